"""Fourier transforms, by the names of `torch.fft`. What each function is stands in the op table and in `functions`."""

from jitgrad.functions import NAMESPACES

globals().update(NAMESPACES["fft"])
__all__ = sorted(NAMESPACES["fft"])


def __dir__() -> list[str]:
    return __all__
