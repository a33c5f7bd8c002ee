"""Transforms of functions, as in `torch.func`: they take a function and return one, and nest in any order."""

from jitgrad.func.custom import custom_jvp, custom_vjp
from jitgrad.func.gradients import grad, grad_and_value, value_and_grad, vjp
from jitgrad.func.implicit import implicit_fixed_point, implicit_root
from jitgrad.func.jacobians import hessian, jacfwd, jacrev
from jitgrad.func.sparsity import hessian_sparsity, jacobian_sparsity
from jitgrad.func.tangents import hvp, jvp, linearize
from jitgrad.func.vectorized import vmap

__all__ = [
    "custom_jvp",
    "custom_vjp",
    "grad",
    "grad_and_value",
    "hessian",
    "hessian_sparsity",
    "hvp",
    "implicit_fixed_point",
    "implicit_root",
    "jacfwd",
    "jacobian_sparsity",
    "jacrev",
    "jvp",
    "linearize",
    "value_and_grad",
    "vjp",
    "vmap",
]
