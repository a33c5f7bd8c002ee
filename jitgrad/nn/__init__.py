"""`jitgrad.nn.functional` and `jitgrad.nn.utils`; modules with parameters are left to the user, who has functions and arrays."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from jitgrad.base.signals import importing
from jitgrad.nn import functional

if TYPE_CHECKING:
    from jitgrad.nn import utils

__all__ = ["functional", "utils"]


def __getattr__(name: str) -> Any:
    if name == "utils":  # which imports `jit`
        with importing("jitgrad.nn.utils"):
            return importlib.import_module("jitgrad.nn.utils")
    raise AttributeError(f"jitgrad.nn.{name} is not available: there is {', '.join(__all__)}", name=name)
