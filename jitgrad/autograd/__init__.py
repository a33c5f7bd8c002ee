"""`backward`, `grad`, and whether operations are recorded."""

from jitgrad.autograd.gradients import HookHandle, backward, grad
from jitgrad.autograd.modes import enable_grad, is_grad_enabled, no_grad, set_grad_enabled

__all__ = ["HookHandle", "backward", "enable_grad", "grad", "is_grad_enabled", "no_grad", "set_grad_enabled"]
