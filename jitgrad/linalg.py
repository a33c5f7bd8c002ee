"""Linear algebra, by the names of `torch.linalg`. What each function is stands in the op table and in `functions`."""

from jitgrad.errors import LinAlgError
from jitgrad.functions import NAMESPACES

globals().update(NAMESPACES["linalg"])
__all__ = sorted({*NAMESPACES["linalg"], LinAlgError.__name__})


def __dir__() -> list[str]:
    return __all__
