"""`backward`, `grad`, whether operations are recorded, and PyTorch's further ways to differentiate."""

import importlib

from jitgrad.autograd.gradients import backward, grad
from jitgrad.autograd.modes import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from jitgrad.autograd.removal import HookHandle
from jitgrad.base.signals import importing as _importing

# What many programs do without, and what stands above this folder, is imported when it is first asked for.
_LATER = {
    "jitgrad.autograd.function": ("Function",),
    "jitgrad.testing": ("gradcheck", "gradgradcheck"),
    "jitgrad.autograd.anomaly": ("detect_anomaly", "set_detect_anomaly"),
    "jitgrad.autograd.modes": ("inference_mode", "set_multithreading_enabled"),
}
_MODULES = ("forward_ad", "function", "functional", "graph")
_HOME = {name: module for module, names in _LATER.items() for name in names}

__all__ = ["HookHandle", "backward", "enable_grad", "grad", "is_grad_enabled", "no_grad", "set_grad_enabled"]
__all__ += [*_HOME, *_MODULES]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    if name in _HOME:
        with _importing(_HOME[name]):
            found = globals()[name] = getattr(importlib.import_module(_HOME[name]), name)
        return found
    if name in _MODULES:
        with _importing(f"jitgrad.autograd.{name}"):
            return importlib.import_module(f"jitgrad.autograd.{name}")
    raise AttributeError(f"jitgrad.autograd.{name} is not available", name=name)
