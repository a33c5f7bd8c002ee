"""Public functions: one for each row of the op table, and composites without rules of their own.

Importing this attaches the methods of `Tensor`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.functions import creation, data, losses, numeric, shaping
from jitgrad.inplace import overwrite
from jitgrad.methods import bound, quick_binary, quick_reflected, quick_unary
from jitgrad.ops import TABLE
from jitgrad.ops import elementwise as ew
from jitgrad.protocols import FUNCTIONS
from jitgrad.handle import Handle
from jitgrad.record import apply
from jitgrad.tensor import Tensor

_KINDS = ("elementwise", "reduction", "movement")
_HIDDEN = ("alias", "clone", "detach", "cast", "pow_scalar", "zeros_like", "pad")


def _own(module: Any) -> dict[str, Callable]:
    """The public functions that a module defines itself."""
    return {
        name: f for name, f in vars(module).items()
        if callable(f) and not name.startswith("_") and getattr(f, "__module__", "") == module.__name__
    }  # fmt: skip


def _accepting_arrays(function: Callable) -> Callable:
    """The function, with NumPy arrays and numbers in the first place made into tensors."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if args and not isinstance(args[0], Handle) and not any(isinstance(a, Handle) for a in args):
            args = (data.as_tensor(args[0]), *args[1:])
        return function(*args, **kwargs)

    call.__name__ = call.__qualname__ = function.__name__
    call.__doc__ = function.__doc__
    return call


def _renaming(function: Callable) -> Callable:
    """The function, with NumPy's `axis` and `keepdims` accepted."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if "axis" in kwargs:
            kwargs["dim"] = kwargs.pop("axis")
        if "keepdims" in kwargs:
            kwargs["keepdim"] = kwargs.pop("keepdims")
        return function(*args, **kwargs)

    call.__name__ = call.__qualname__ = function.__name__
    call.__doc__ = function.__doc__
    return call


def _polygamma(n: int, input: Tensor) -> Tensor:
    """The n-th derivative of `digamma`."""
    return apply(ew.polygamma, (input,), {"n": n}) if n else apply(ew.digamma, (input,))


for _op in TABLE.values():
    if _op.kind in _KINDS and _op.name not in _HIDDEN:
        for _name in (_op.name, *_op.aliases):
            FUNCTIONS[_name] = _accepting_arrays(bound(_op))
FUNCTIONS["polygamma"] = _polygamma
FUNCTIONS |= {name: _renaming(f) for name, f in (_own(numeric) | _own(shaping)).items() if name != "Extreme"}
FUNCTIONS["where"] = numeric.where
FUNCTIONS["mm"] = FUNCTIONS["bmm"] = FUNCTIONS["mv"] = FUNCTIONS["matmul"]
FUNCTIONS["view"] = FUNCTIONS["reshape"]
FUNCTIONS["concatenate"] = FUNCTIONS["concat"] = FUNCTIONS["cat"]

_FUNCTIONS_ONLY = ("where", "cat", "concatenate", "concat", "stack", "matrix_transpose", "polygamma")

for _name, _function in FUNCTIONS.items():
    if _name not in _FUNCTIONS_ONLY:
        setattr(Tensor, _name, _function)

for _op in TABLE.values():
    if _op.kind != "elementwise" or _op.prepare is not None or _op.name in _HIDDEN or not _op.method:
        continue
    for _name in (_op.name, *_op.aliases):
        if len(_op.inputs) == 1:
            setattr(Tensor, _name, quick_unary(_op))
        elif len(_op.inputs) == 2:
            setattr(Tensor, _name, quick_binary(_op))

_DUNDERS = {
    "add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "floordiv": "floor_divide", "mod": "remainder",
    "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
}  # fmt: skip
for _dunder, _name in _DUNDERS.items():
    setattr(Tensor, f"__{_dunder}__", quick_binary(TABLE[_name]))
    setattr(Tensor, f"__r{_dunder}__", quick_reflected(TABLE[_name]))
for _dunder in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Tensor, f"__{_dunder}__", quick_binary(TABLE[_dunder]))
for _dunder, _name in {"neg": "neg", "abs": "abs", "invert": "bitwise_not"}.items():
    setattr(Tensor, f"__{_dunder}__", quick_unary(TABLE[_name]))


def _rpow(self: Tensor, base: Any) -> Tensor:
    return apply(ew.pow, (base, self))


def _rmatmul(self: Tensor, other: Any) -> Tensor:
    return FUNCTIONS["matmul"](other, self)


_ATTACHED: dict[str, Any] = {
    "__pow__": numeric.pow, "__rpow__": _rpow, "__matmul__": FUNCTIONS["matmul"], "__rmatmul__": _rmatmul,
    "__pos__": lambda self: self, "T": property(lambda self: self.permute(*reversed(range(self.ndim)))),
    "mT": property(numeric.matrix_transpose),
}  # fmt: skip


def _inplace(name: str, function: Callable) -> Callable:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return overwrite(self, function(self, *args, **kwargs), name + "_")

    method.__name__ = method.__qualname__ = name + "_"
    method.__doc__ = f"`{name}` in place: this tensor takes the result."
    return method


for _op in TABLE.values():
    if _op.kind == "elementwise" and _op.name not in _HIDDEN and _op.name != "where":
        for _name in (_op.name, *_op.aliases):
            _ATTACHED[_name + "_"] = _inplace(_name, FUNCTIONS[_name])
for _name in ("pow", "clamp", "round", "masked_fill", "scatter_add", "index_add", "cumsum"):
    _ATTACHED[_name + "_"] = _inplace(_name, FUNCTIONS[_name])
for _dunder, _name in (_DUNDERS | {"pow": "pow"}).items():
    _ATTACHED[f"__i{_dunder}__"] = _ATTACHED[_name + "_"]


def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The tensor in another dtype: `x.to(jitgrad.float64)`; itself if it has that dtype already."""
    wanted = [a for a in (*args, kwargs.get("dtype")) if a is not None and not isinstance(a, (str, bool))]
    if any(isinstance(a, str) and a != "cpu" for a in (*args, kwargs.get("device"))):
        raise RuntimeError("device: this version computes on the cpu")
    if not wanted:
        return self
    dtype = wanted[0]._held.dtype if isinstance(wanted[0], Tensor) else dtypes.to_numpy(wanted[0])
    return self if self._held.dtype == dtype else apply(ew.cast, (self,), {"dtype": dtype})


def _converter(name: str) -> Callable:
    def method(self: Tensor) -> Tensor:
        return to(self, dtypes.by_name(name))

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"The tensor in the dtype {dtypes.by_name(name)!r}."
    return method


def contiguous(self: Tensor) -> Tensor:
    """This tensor, or a copy whose elements lie in memory in row-major order."""
    return self if self.is_contiguous() else apply(ew.clone, (self,))


for _name in ("half", "float", "double", "short", "int", "long", "bool"):
    _ATTACHED[_name] = _converter(_name)
_ATTACHED |= {"to": to, "type": to, "contiguous": contiguous, "cpu": lambda self: self}

for _name, _attribute in _ATTACHED.items():
    setattr(Tensor, _name, _attribute)

LOSSES = _own(losses)
CREATION = _own(data) | _own(creation) | {n: getattr(creation, n) for n in ("zeros_like", "ones_like", "empty_like", "rand_like", "randn_like")}
_ = np
