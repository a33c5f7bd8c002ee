"""Transforms of functions, as in `torch.func`: they take a function and return one, and nest in any order."""

from jitgrad.func.custom import custom_jvp, custom_vjp
from jitgrad.func.gradients import grad, grad_and_value, value_and_grad, vjp
from jitgrad.func.implicit import implicit_fixed_point, implicit_root
from jitgrad.func.jacobians import hessian, jacfwd, jacrev
from jitgrad.func.named_axes import rearrange
from jitgrad.func.sparsity import hessian_sparsity, jacobian_sparsity
from jitgrad.func.tangents import hvp, jvp, linearize
from jitgrad.func.vectorized import vmap
from jitgrad.func.with_parameters import functional_call

__all__ = [
    "custom_jvp",
    "custom_vjp",
    "functional_call",
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
    "rearrange",
    "value_and_grad",
    "vjp",
    "vmap",
]


def __getattr__(name: str) -> object:
    if name == "stack_module_state":
        raise AttributeError(
            "jitgrad.func.stack_module_state is not available, since it takes modules, which are PyTorch's: stack the parameters "
            "of several models with {name: jitgrad.stack([p[name] for p in each]) for name in each[0]}, and map over them with "
            "vmap(functional_call, in_dims=(None, 0, None))",
            name=name,
        )
    raise AttributeError(f"jitgrad.func.{name} is not available", name=name)
