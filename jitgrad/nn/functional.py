"""What neural networks are made of, by the names of `torch.nn.functional`."""

from jitgrad.functions import NAMESPACES

globals().update(NAMESPACES["nn.functional"])
__all__ = sorted(NAMESPACES["nn.functional"])


def __dir__() -> list[str]:
    return __all__
