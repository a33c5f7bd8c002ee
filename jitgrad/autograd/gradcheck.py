"""`gradcheck` as PyTorch has it: a function of `autograd`, and its module, which is called as the function is."""

from __future__ import annotations

import inspect
import sys
from types import ModuleType
from typing import Any

from jitgrad.errors import GradcheckError
from jitgrad.testing import gradcheck, gradgradcheck

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class _Called(ModuleType):
    """This module: Python gives its name in `jitgrad.autograd` to it, where programs look for the function."""

    def __call__(self, *args: Any, **kwargs: Any) -> bool:
        return gradcheck(*args, **kwargs)


__signature__ = inspect.signature(gradcheck)
sys.modules[__name__].__class__ = _Called
