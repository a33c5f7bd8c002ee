"""Special functions, by the names of `torch.special`. What each function is stands in the op table and in `functions`."""

from jitgrad.functions import NAMESPACES

globals().update(NAMESPACES["special"])
__all__ = sorted(NAMESPACES["special"])


def __dir__() -> list[str]:
    return __all__
