"""PyTorch's `utils`: so far `checkpoint`."""

from jitgrad.utils import checkpoint

__all__ = ["checkpoint"]
