"""Tensors as arguments of the user's own `@njit` functions: arrays that share their memory, and numbers.

Numba finds this through `Tensor._numba_type_`, so nothing has to be registered before, and Numba is imported only by
those who use it.
"""

from __future__ import annotations

from typing import Any

from numba import typeof, types
from numba.core.datamodel.models import ArrayModel
from numba.core.imputils import lower_cast, lower_constant
from numba.extending import register_model, unbox
from numba.np.numpy_support import from_dtype

from jitgrad.tape.handle import requires


class TensorArray(types.Array):
    """The type of a tensor with dimensions: in `@njit` code an array like any other."""

    @classmethod
    def like(cls, array: Any, readonly: bool) -> TensorArray:
        name = f"{'readonly ' if readonly else ''}tensor({array.dtype}, {array.ndim}d, {array.layout})"
        return cls(array.dtype, array.ndim, array.layout, readonly, name, array.aligned)

    def copy(self, dtype: Any = None, ndim: Any = None, layout: Any = None, readonly: Any = None) -> Any:
        """A similar type; a tensor still if it is just that Numba takes a global to be read-only."""
        if readonly and dtype is ndim is layout is None:
            return TensorArray.like(self, True)
        return super().copy(dtype, ndim, layout, readonly)


register_model(TensorArray)(ArrayModel)


def type_of_tensor(tensor: Any) -> Any:
    """The Numba type of a tensor; `RuntimeError` if it requires grad, since what is computed from it would not."""
    if requires(tensor):
        raise RuntimeError(
            "a tensor that requires grad was passed to an @njit function, whose result would have no gradient: "
            "pass tensor.detach(), or make the function differentiable with jitgrad.from_njit"
        )
    value = tensor._known("an argument of an @njit function")
    if not value.ndim:
        return from_dtype(value.dtype)
    found = typeof(value)
    return TensorArray.like(found, not found.mutable)


@unbox(TensorArray)
def _array_of(kind: Any, tensor: Any, c: Any) -> Any:
    """The array that shares memory with the tensor, which takes note of that."""
    array = c.pyapi.call_method(tensor, "numpy")
    native = c.unbox(types.Array(kind.dtype, kind.ndim, kind.layout, not kind.mutable, aligned=kind.aligned), array)
    c.pyapi.decref(array)
    return native


@lower_constant(TensorArray)
def _global(context: Any, builder: Any, kind: Any, tensor: Any) -> Any:
    """A global tensor is a constant with the values that it has when the function is compiled, as global arrays are."""
    return context.make_constant_array(builder, kind, tensor.numpy())


@lower_cast(TensorArray, types.Array)
def _as_array(context: Any, builder: Any, from_type: Any, to_type: Any, value: Any) -> Any:
    return value
