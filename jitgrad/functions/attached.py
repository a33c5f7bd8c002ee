"""What tensors get from the functions: methods, operators, the forms in place. None is made before it is asked for."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from jitgrad.base.namespaces import Attribute, Later
from jitgrad.functions import complexes, converting, numeric, shaping
from jitgrad.functions.bind import bound
from jitgrad.functions.offered import METHODS, WRITTEN, at_top, offer
from jitgrad.ops import TABLE, arithmetic, choosing
from jitgrad.ops.table import Op
from jitgrad.record.checking import checked
from jitgrad.record.promotion import FLOATS
from jitgrad.record.quick import is_operand, quick_binary, quick_one, quick_reflected, quick_unary, quick_with_parameters
from jitgrad.record.weak import are_numbers, number, operate
from jitgrad.tensors.inplace import overwrite_by
from jitgrad.tensors.numpy_protocols import FUNCTIONS
from jitgrad.tensors.tensor import Tensor

Make = Callable[[], Any]
ATTACHED: dict[str, Make] = dict(METHODS)

for _op in TABLE.values():  # these have a quicker way than the function that arrays and numbers may be given to
    if _op.elementwise and _op.prepare is None and _op.method and _op.result != "integer" and len(_op.inputs) < 3:
        _quick = quick_unary if len(_op.inputs) == 1 else bound
        for _name in {_op.name, *at_top(_op.aliases)} - WRITTEN.keys():
            ATTACHED[_name] = functools.partial(_quick, _op)


# -- operators --------------------------------------------------------------------------------------------------------


def _bitwise(op: Op, reflected: bool) -> Callable:
    def method(self: Tensor, other: Any) -> Any:
        if not is_operand(other):
            return NotImplemented
        return operate(op, (other, self) if reflected else (self, other))

    return method


_ARITHMETIC = {"add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "floordiv": "floor_divide", "mod": "remainder"}
_BITWISE = {"lshift": "bitwise_left_shift", "rshift": "bitwise_right_shift"} | {n: f"bitwise_{n}" for n in ("and", "or", "xor")}
for _operator, _name in _ARITHMETIC.items():
    ATTACHED[f"__{_operator}__"] = functools.partial(quick_binary, TABLE[_name], operate)
    ATTACHED[f"__r{_operator}__"] = functools.partial(quick_reflected, TABLE[_name], operate)
for _operator, _name in _BITWISE.items():
    ATTACHED[f"__{_operator}__"] = functools.partial(_bitwise, TABLE[_name], False)
    ATTACHED[f"__r{_operator}__"] = functools.partial(_bitwise, TABLE[_name], True)
for _operator in ("eq", "ne", "lt", "le", "gt", "ge"):
    ATTACHED[f"__{_operator}__"] = functools.partial(quick_binary, TABLE[_operator], operate)
for _operator in ("neg", "abs"):
    ATTACHED[f"__{_operator}__"] = functools.partial(quick_unary, TABLE[_operator], operate)


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
    if self.dtype.has_gradient:
        raise TypeError(f"~ is for bool and integer tensors, not for {self.dtype.name}")
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


def _where(self: Tensor, condition: Any, other: Any) -> Tensor:
    """This tensor where `condition` (bool) is true, `other` elsewhere."""
    return numeric.where(condition, self, other)


def _polygamma_method(self: Tensor, n: int) -> Tensor:
    """The n-th derivative of `digamma`."""
    return FUNCTIONS["polygamma"](n, self)


for _named in (_where, _polygamma_method):
    _named.__name__ = _named.__qualname__ = _named.__name__.removesuffix("_method").lstrip("_")

_OTHERS: dict[str, Any] = {
    "__pow__": _power,
    "__rpow__": _rpow,
    "__rmatmul__": _rmatmul,
    "__divmod__": _divmod,
    "__rdivmod__": lambda self, other: _divmod(other, self),
    "__invert__": _inverted,
    "__pos__": lambda self: self,
    "T": property(_reversed_dims),
    "mT": property(numeric.matrix_transpose),
    "where": _where,
    "polygamma": _polygamma_method,
    "nonzero": numeric.nonzero,
    "repeat": shaping.repeat,
}
ATTACHED["__matmul__"] = functools.partial(FUNCTIONS.__getitem__, "matmul")


# -- in place ---------------------------------------------------------------------------------------------------------


def _inplace(name: str, make: Make) -> Callable:
    function = make()

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return overwrite_by(function, self, name + "_", *args, **kwargs)

    method.__name__ = method.__qualname__ = name + "_"
    method.__doc__ = f"`{name}` in place: this tensor takes the result."
    return method


def _assignment(operator: str, name: str) -> Callable:
    """`x += y`: in place, but for a number on a tape, of which it makes another as in Python."""
    plain, function = getattr(Tensor, f"__{operator}__"), FUNCTIONS[name]

    def method(self: Tensor, other: Any) -> Tensor:
        if self._value is None and number(self) is not None:
            return plain(self, other)
        return overwrite_by(function, self, name + "_", other)

    method.__doc__ = f"`{name}` in place: this tensor takes the result."
    return method


_CHANGING = [name for op in TABLE.values() if op.inplace for name in (op.name, *at_top(op.aliases))]
_CHANGING += [name for name, fact in WRITTEN.items() if fact.inplace]
for _name in _CHANGING:
    ATTACHED[_name + "_"] = functools.partial(_inplace, _name, METHODS.get(_name) or FUNCTIONS.offered[_name])
ATTACHED["polygamma_"] = functools.partial(_inplace, "polygamma", lambda: _polygamma_method)
for _operator, _name in (_ARITHMETIC | _BITWISE | {"pow": "pow"}).items():
    ATTACHED[f"__i{_operator}__"] = functools.partial(_assignment, _operator, _name)


for _name, _make in ATTACHED.items():
    setattr(Tensor, _name, Attribute(Tensor, _name, _make))
for _name, _attribute in (_OTHERS | converting.METHODS | complexes.ATTRIBUTES).items():
    setattr(Tensor, _name, _attribute)


# -- methods at the top -----------------------------------------------------------------------------------------------


def _function_of(name: str) -> Callable:
    """A method as a function, whose first operand must be a tensor: what is changed in place cannot be made of an array."""
    method = getattr(Tensor, name)

    @functools.wraps(method)
    def function(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(input, Tensor):
            raise TypeError(f"{name} changes its operand, which must be a tensor, not {type(input).__name__}")
        return method(input, *args, **kwargs)

    first = inspect.Parameter("input", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation="Tensor")
    signature = inspect.signature(method)
    function.__dict__["__signature__"] = signature.replace(parameters=[first, *[*signature.parameters.values()][1:]])
    return checked(function)


_OF_ONE = [op for op in TABLE.values() if op.elementwise and op.inplace and len(op.inputs) == 1 and op.prepare is None]
_IN_PLACE = [name for op in _OF_ONE for name in (op.name, *at_top(op.aliases))]
_IN_PLACE += ["addmv", "as_strided", "clamp", "clamp_max", "clamp_min", "clip", "conj_physical", "detach", "fill", "frac", "gcd"]
_IN_PLACE += ["index_put", "lcm", "ldexp", "nan_to_num", "sinc", "xlogy", "zero"]
for _name in _IN_PLACE:
    offer(_name + "_", Later(functools.partial(_function_of, _name + "_")))
