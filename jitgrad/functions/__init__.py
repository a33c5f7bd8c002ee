"""Public functions: one for each row of the op table, and composites without rules of their own.

Importing this attaches the methods of `Tensor`.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable
from typing import Any

from jitgrad.eager import operations as large  # noqa: F401  it says how hot rows run, which the methods take over
from jitgrad.functions import (
    complexes,
    converting,
    creation,
    data,
    generators,
    numeric,
    shaping,
    signal_windows,
)
from jitgrad.functions.bind import bound
from jitgrad.functions.face import face_of
from jitgrad.functions.homes import HOMES
from jitgrad.functions.operands import accepting_arrays, taken
from jitgrad.ops import TABLE, arithmetic, choosing
from jitgrad.ops.table import Op
from jitgrad.record.checking import RAW, is_meant, told
from jitgrad.record.promotion import FLOATS
from jitgrad.record.quick import is_operand, quick_binary, quick_one, quick_reflected, quick_unary, quick_with_parameters
from jitgrad.record.weak import are_numbers, number, operate
from jitgrad.tensors.inplace import overwrite
from jitgrad.tensors.numpy_protocols import FUNCTIONS
from jitgrad.tensors.out import into
from jitgrad.tensors.tensor import Tensor


def _own(module: Any) -> dict[str, Callable]:
    """The public functions that a module defines itself."""
    return {
        name: f
        for name, f in vars(module).items()
        if inspect.isfunction(f) and not name.startswith("_") and getattr(f, "__module__", "") == module.__name__
    }


def _public(function: Callable, home: str = "") -> Callable:
    """The function, with NumPy's `axis` and `keepdims` accepted if it has a `dim`, arrays and numbers where it takes tensors
    (under `jit` they are tensors, so they are here), and errors told as `told` tells them."""
    code, kinds = function.__code__, function.__annotations__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    renames = "dim" in names
    count = len(list(itertools.takewhile(lambda name: kinds.get(name) == "Tensor", names[: function.__code__.co_argcount])))

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            if "out" in kwargs and "out" not in names:
                out = kwargs.pop("out")
                found = call(*args, **kwargs)
                return found if out is None else into(out, found, function.__name__)
            if renames:
                kwargs = {_NUMPYS.get(name, name): value for name, value in kwargs.items()}
        try:
            for x in args[:count]:
                if x.__class__ is not Tensor:
                    args = (*[taken(given, args[:count]) for given in args[:count]], *args[count:])
                    break
            return function(*args, **kwargs)
        except RAW as error:
            raise told(function, error, args, kwargs) from (None if is_meant(error) else error)

    call.__dict__["takes_out"] = "out" not in names and home != "nn.functional"
    return call


_NUMPYS = {"axis": "dim", "keepdims": "keepdim"}


NAMESPACES: dict[str, dict[str, Callable]] = {home: {} for home in HOMES if home}
"""The functions that users find elsewhere than at the top, by namespace and name."""


def _at_top(names: tuple[str, ...]) -> list[str]:
    return [name for name in names if "." not in name]


def _offer(name: str, function: Callable) -> None:
    """Put a function where users find it; the name may begin with a namespace."""
    home, _, own = name.rpartition(".")
    (NAMESPACES[home] if home else FUNCTIONS)[own] = function


for _op in TABLE.values():
    if not _op.internal and not _op.variadic:
        _function = bound(_op, accepting_arrays)
        for _name in (f"{_op.namespace}.{_op.name}".lstrip("."), *_op.aliases):
            _offer(_name, _function)
WRITTEN: dict[str, Callable] = {}
"""The functions at the top, or methods, that are written by hand, without what is put around them."""

_METHODS: dict[str, Callable] = {}


def _offer_written(home: str, name: str, function: Callable) -> None:
    fact = face_of(function, home)
    public = function if fact.bare else _public(function, home)
    names = [*([f"{home}.{name}"] if home else []), *([name] if fact.top else []), *fact.aliases]
    for each in names:
        _offer(each, public)
    for each in {name, *fact.aliases}:
        if "." not in each and (fact.top or fact.method):
            WRITTEN[each] = function
        if "." not in each and fact.method:
            _METHODS[each] = public


for _home, _modules in HOMES.items():
    for _module in _modules:
        for _name, _function in _own(_module).items():
            _offer_written(_home, _name, _function)

_METHODS |= {name: function for name, function in FUNCTIONS.items() if name not in WRITTEN and face_of(function).method}
for _name, _function in _METHODS.items():
    setattr(Tensor, _name, _function)

for _op in TABLE.values():
    if not _op.elementwise or _op.prepare is not None or not _op.method:
        continue
    for _name in {_op.name, *_at_top(_op.aliases)} - WRITTEN.keys():
        if _op.result == "integer":  # has no quick way: that is for floats
            setattr(Tensor, _name, FUNCTIONS[_name])
        elif len(_op.inputs) == 1:
            setattr(Tensor, _name, quick_unary(_op))
        elif len(_op.inputs) == 2:
            setattr(Tensor, _name, bound(_op))


def _bitwise(op: Op, reflected: bool) -> Callable:
    def method(self: Tensor, other: Any) -> Any:
        if not is_operand(other):
            return NotImplemented
        return operate(op, (other, self) if reflected else (self, other))

    return method


_DUNDERS = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "truediv": "div",
    "floordiv": "floor_divide",
    "mod": "remainder",
}
for _dunder, _name in _DUNDERS.items():
    setattr(Tensor, f"__{_dunder}__", quick_binary(TABLE[_name], operate))
    setattr(Tensor, f"__r{_dunder}__", quick_reflected(TABLE[_name], operate))
_SHIFTS = {"lshift": "bitwise_left_shift", "rshift": "bitwise_right_shift"}
for _dunder, _name in ({name: f"bitwise_{name}" for name in ("and", "or", "xor")} | _SHIFTS).items():
    setattr(Tensor, f"__{_dunder}__", _bitwise(TABLE[_name], False))
    setattr(Tensor, f"__r{_dunder}__", _bitwise(TABLE[_name], True))
    _DUNDERS[_dunder] = _name
for _dunder in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Tensor, f"__{_dunder}__", quick_binary(TABLE[_dunder], operate))
for _name in ("neg", "abs"):
    setattr(Tensor, f"__{_name}__", quick_unary(TABLE[_name], operate))


def _power(self: Tensor, exponent: Any, modulo: None = None) -> Tensor:
    if modulo is not None:
        raise TypeError("pow(x, y, z) of a tensor cannot be: use x ** y % z")
    value = self._value
    if value is None and are_numbers(self, exponent):
        return operate(arithmetic.pow, (self, exponent))
    if value is not None and (exponent.__class__ is int or exponent.__class__ is float) and value.dtype in FLOATS:
        return _pow_scalar(self, exponent=exponent)
    return numeric.pow(self, exponent)


_pow_scalar = quick_with_parameters(arithmetic.pow_scalar)


def _rpow(self: Tensor, base: Any) -> Tensor:
    return operate(arithmetic.pow, (base, self)) if self._value is None and are_numbers(base, self) else numeric.pow(base, self)


def _inverted(self: Tensor) -> Tensor:
    return operate(choosing.bitwise_not, (self,))


def _reversed_dims(self: Tensor) -> Tensor:
    """The dimensions in reverse order."""
    return _permute(self, _reversing(len(self._held.shape)))


_permute = quick_one(TABLE["permute"])


@functools.lru_cache
def _reversing(ndim: int) -> dict[str, Any]:
    return {"dims": tuple(reversed(range(ndim)))}


def _rmatmul(self: Tensor, other: Any) -> Tensor:
    return FUNCTIONS["matmul"](other, self)


def _divmod(self: Any, other: Any) -> Any:
    return (self // other, self % other) if is_operand(self) and is_operand(other) else NotImplemented


_ATTACHED: dict[str, Any] = {
    "__pow__": _power,
    "__rpow__": _rpow,
    "__matmul__": FUNCTIONS["matmul"],
    "__rmatmul__": _rmatmul,
    "__divmod__": _divmod,
    "__rdivmod__": lambda self, other: _divmod(other, self),
    "__invert__": _inverted,
    "__pos__": lambda self: self,
    "T": property(_reversed_dims),
    "mT": property(numeric.matrix_transpose),
}


def _inplace(name: str, function: Callable) -> Callable:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return overwrite(self, function(self, *args, **kwargs), name + "_")

    method.__name__ = method.__qualname__ = name + "_"
    method.__doc__ = f"`{name}` in place: this tensor takes the result."
    return method


_CHANGING = [name for op in TABLE.values() if op.inplace for name in (op.name, *_at_top(op.aliases))]
_CHANGING += [name for name, f in WRITTEN.items() if face_of(f).inplace]
_ATTACHED |= {name + "_": _inplace(name, _METHODS.get(name) or FUNCTIONS[name]) for name in _CHANGING}


def _assignment(name: str, function: Callable, plain: Callable) -> Callable:
    """`x += y`: in place, but for a number on a tape, of which it makes another as in Python."""

    def method(self: Tensor, other: Any) -> Tensor:
        if self._value is None and number(self) is not None:
            return plain(self, other)
        return overwrite(self, function(self, other), name + "_")

    method.__doc__ = f"`{name}` in place: this tensor takes the result."
    return method


for _dunder, _name in (_DUNDERS | {"pow": "pow"}).items():
    _plain = _ATTACHED.get(f"__{_dunder}__") or getattr(Tensor, f"__{_dunder}__")
    _ATTACHED[f"__i{_dunder}__"] = _assignment(_name, FUNCTIONS[_name], _plain)


def _where(self: Tensor, condition: Any, other: Any) -> Tensor:
    """This tensor where `condition` (bool) is true, `other` elsewhere."""
    return numeric.where(condition, self, other)


def _polygamma_method(self: Tensor, n: int) -> Tensor:
    """The n-th derivative of `digamma`."""
    return FUNCTIONS["polygamma"](n, self)


_ATTACHED |= (
    converting.METHODS
    | complexes.ATTRIBUTES
    | {
        "where": _where,
        "polygamma": _polygamma_method,
        "polygamma_": _inplace("polygamma", _polygamma_method),
        "nonzero": numeric.nonzero,
        "repeat": shaping.repeat,
    }
)

for _named in (_where, _polygamma_method):
    _named.__name__ = _named.__qualname__ = _named.__name__.removesuffix("_method").lstrip("_")
for _name, _attribute in _ATTACHED.items():
    setattr(Tensor, _name, _attribute)

_GENERATORS = ("Generator", "get_rng_state", "manual_seed", "set_rng_state")
CREATION = {name: _public(f) if inspect.isfunction(f) else f for name, f in converting.FUNCTIONS.items()}
CREATION |= {name: _public(f) for name, f in _own(signal_windows).items()}
CREATION |= _own(data) | _own(creation) | {name: getattr(generators, name) for name in _GENERATORS}
