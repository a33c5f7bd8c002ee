"""PyTorch's `utils`: so far `checkpoint` and `dlpack`."""

from jitgrad.utils import checkpoint, dlpack

__all__ = ["checkpoint", "dlpack"]
