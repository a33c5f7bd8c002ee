"""Numba's side of native functions: how `@njit` code calls them.

A native function becomes an ordinary `@njit` function with an `@overload` in it. That checks the types of the arguments
and gives the text of an implementation for them: compare shapes, make the arrays of the results, call. Of a small function
the LLVM text is linked with the caller, and inlined; the machine code of a large one is found by its symbol when it
is first called in a process, and not by an address. So callers can be cached; one that was cached for a function which
this process has not compiled or loaded is compiled again, or raises an exception.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.environment import lookup_environment
from numba.core.errors import TypingError
from numba.extending import intrinsic, overload
from numba.np import arrayobj
from numba.np.numpy_support import from_dtype

from jitgrad.ops.faults import FAULTS
from jitgrad.sweeps.code.compile import FIND, is_published
from jitgrad.sweeps.llvm.wrapped import Value

_FIXED: dict[type, Any] = {bool: types.Boolean, int: types.Integer, type(None): (types.NoneType, types.Omitted)}
_BYTE, _INT32 = ir.IntType(8), ir.IntType(32)
_POINTER = _BYTE.as_pointer()


def dispatcher(function: Any) -> Any:
    """The `@njit` function that calls a native function."""
    parameters = ", ".join(_parameters(function))
    name = function.symbol  # with its hash: Numba tells functions of one name apart by a counter alone
    options: Any = {"forceinline": bool(function.inlined)}
    names: dict[str, Any] = {"njit": njit(nogil=True, **options), "__name__": __name__}
    text = (
        f"def typed_{name}({parameters}):\n    raise NotImplementedError\n"
        f"@njit\ndef {name}({parameters}):\n    return typed_{name}({parameters})\n"
    )
    exec(compile(text, f"<{name}>", "exec"), names)
    overload(names[f"typed_{name}"], jit_options=options)(_implementation(function, parameters))
    found = names[name]
    found.__doc__ = f"{function.name} as machine code: {function.prototype()}"
    return found


def type_of_function(function: Any) -> Any:
    """The Numba type of a native function: that of its dispatcher."""
    return types.Dispatcher(function.njit)


def _parameters(function: Any) -> list[str]:
    return [f"a{i}" for i in range(len(function.arguments.structure[-1]))]


def _implementation(function: Any, parameters: str) -> Any:
    """What `@overload` wants: a function of the types that gives the implementation for them, or says what is wrong."""
    names: dict[str, Any] = {}
    given = _tuple(_parameters(function))
    exec(compile(f"def typing({parameters}):\n    return of({given})", f"<{function.symbol}>", "exec"), names)
    names["of"] = lambda given: _Implementation(function, given).function(parameters)
    return names["typing"]


class _Implementation:
    """The text of the implementation for arguments of some Numba types, written leaf by leaf."""

    def __init__(self, function: Any, given: tuple) -> None:
        self.native = function
        self.lines: list[str] = []
        self.passed: list[str] = []
        self.names: dict[str, Any] = {"np": np, "invoke": _invoke(function), "__name__": __name__}
        pairs = iter(zip(function.arguments.labels, function.arguments.leaves))
        for i, (part, kind) in enumerate(zip(function.arguments.structure[-1], given)):
            self._take(part, f"a{i}", kind, pairs)

    def function(self, parameters: str) -> Any:
        made = [f"o{i}" for i, (_, v) in enumerate(self.native.results.values()) if v.shape]
        for i, (_, v) in enumerate(self.native.results.values()):
            if v.shape:
                self.names[f"dtype{i}"] = v.dtype
                self.lines.append(f"o{i} = np.empty({v.shape}, dtype{i})")
        self.lines.append(f"status, numbers = invoke({_tuple(self.passed)}, {_tuple(made)})")
        self.lines.append("if status == 1:\n        raise MemoryError('no memory for what a native function needs')")
        for number, fault in FAULTS.items():
            self.names[fault.error.__name__] = fault.error
            text = f"a native function was given, or computed, {fault.what}"
            self.lines.append(f"if status == {number}:\n        raise {fault.error.__name__}({text!r})")
        self.lines.append(f"return {self._result()}")
        name = f"body_{self.native.symbol}"
        text = f"def {name}({parameters}):\n" + "".join(f"    {line}\n" for line in self.lines)
        exec(compile(text, f"<{name}>", "exec"), self.names)
        return self.names[name]

    def _wrong(self, label: str, wanted: str, kind: Any) -> TypingError:
        return TypingError(f"{label} of the native function {self.native.name} must be {wanted}, not {kind}")

    def _take(self, structure: Any, at: str, kind: Any, pairs: Any) -> None:
        """Check the type of one argument, and of what is in it; append the text that takes its leaves."""
        kind = types.unliteral(kind)
        if structure is None:
            label, leaf = next(pairs)
            self._value(label, leaf, at, kind) if isinstance(leaf, Value) else self._fixed(label, leaf, at, kind)
            return
        parts = structure[-1]
        if not isinstance(kind, (types.Tuple, types.UniTuple)) or len(kind) != len(parts):
            raise self._wrong(
                f"argument {at[1:]}", f"a tuple of {len(parts)} (also where the function takes a list or a dict)", kind
            )
        for i, (part, inner) in enumerate(zip(parts, list(kind))):
            self._take(part, f"{at}[{i}]", inner, pairs)

    def _fixed(self, label: str, value: Any, at: str, kind: Any) -> None:
        if type(value) not in _FIXED:
            raise TypingError(
                f"{label} of the native function {self.native.name} is fixed at {value!r}, which @njit code cannot "
                "pass: compile a function without this parameter"
            )
        if not isinstance(kind, _FIXED[type(value)]):
            raise self._wrong(label, f"{value!r}, as in the example", kind)
        if value is None:
            return
        said = f"{label} is fixed at {value!r}, as in the example"
        self.lines.append(f"if {at} != {value!r}:\n        raise ValueError({said!r})")

    def _value(self, label: str, value: Value, at: str, kind: Any) -> None:
        number = from_dtype(value.dtype)
        is_array = isinstance(kind, types.Array)
        if (is_array and (kind.dtype != number or kind.ndim != len(value.shape))) or (not is_array and kind != number):
            raise self._wrong(label, _described(value), kind)
        if not is_array:
            if value.shape:
                raise self._wrong(label, _described(value), kind)
            self.passed.append(at)
        elif not value.shape:
            self.passed.append(f"{at}[()]")
        else:
            # The shape that it has is not in the message: Numba cannot raise what is computed from cached code.
            said = f"{label} of {self.native.name} must have the shape {value.shape}, as in the example it was compiled for"
            self.lines.append(f"if {at}.shape != {value.shape}:\n        raise ValueError({said!r})")
            self.passed.append(at if kind.layout == "C" else f"np.ascontiguousarray({at})")

    def _result(self) -> str:
        results = self.native.results
        numbers = iter(range(len(results.leaves)))
        counted = iter(range(len(results.leaves)))
        leaves: list[str] = []
        for leaf in results.leaves:
            if isinstance(leaf, Value):
                i = next(counted)
                leaves.append(f"o{i}" if leaf.shape else f"numbers[{next(numbers)}]")
            elif type(leaf) in (bool, int, float, str, type(None)):
                leaves.append(_NOT_FINITE.get(repr(leaf), repr(leaf)) if type(leaf) is float else repr(leaf))
            else:
                raise TypingError(f"{self.native.name} also returns {leaf!r}, which has no form in @njit code")
        return _nested(results.structure, iter(leaves))


_NOT_FINITE = {"inf": "np.inf", "-inf": "-np.inf", "nan": "np.nan"}


def _tuple(parts: list[str]) -> str:
    return f"({', '.join(parts)}{',' * (len(parts) == 1)})"


def _nested(structure: Any, leaves: Any) -> str:
    if structure is None:
        return next(leaves)
    return _tuple([_nested(part, leaves) for part in structure[-1]])


def _described(value: Value) -> str:
    if value.shape:
        return f"an array({value.dtype}, {len(value.shape)}d) of shape {value.shape}: x.astype(np.{value.dtype})"
    return f"a number of type {value.dtype}: np.{np.dtype(value.dtype).type.__name__}(x)"


def _invoke(function: Any) -> Any:
    """The call itself: `invoke(inputs, arrays of the results)` gives the status and the tuple of the single numbers."""
    inputs = [v for _, v in function.arguments.values()]
    outputs = [v for _, v in function.results.values()]
    numbers = types.Tuple([from_dtype(v.dtype) for v in outputs if not v.shape])

    @intrinsic
    def invoke(typingctx: Any, given: Any, made: Any) -> Any:
        signature = types.Tuple((types.int32, numbers))(given, made)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            passed = []
            for value, kind, part in zip(inputs, signature.args[0], cgutils.unpack_tuple(builder, args[0])):
                passed.append(_data(context, builder, kind, part) if value.shape else _widened(builder, part))
            arrays = iter(zip(signature.args[1], cgutils.unpack_tuple(builder, args[1])))
            places = []
            for value in outputs:
                if value.shape:
                    passed.append(_data(context, builder, *next(arrays)))
                else:
                    word = context.get_data_type(from_dtype(value.dtype))
                    places.append((cgutils.alloca_once(builder, word), from_dtype(value.dtype)))
                    passed.append(builder.bitcast(places[-1][0], _POINTER))
            kind = ir.FunctionType(_INT32, [value.type for value in passed])
            _require_when_loaded(context, function.symbol)
            find = _linked if function.inlined else _address
            attributes = {i: ("zeroext",) for i, value in enumerate(passed) if value.type == _BYTE}
            status = builder.call(find(context, builder, function, kind), passed, arg_attrs=attributes)
            found = [context.unpack_value(builder, kind, place) for place, kind in places]
            return context.make_tuple(builder, signature.return_type, (status, context.make_tuple(builder, numbers, found)))

        return signature, generate

    return invoke


def _data(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """The pointer to the elements of an array."""
    return builder.bitcast(arrayobj.make_array(kind)(context, builder, array).data, _POINTER)


def _widened(builder: Any, value: Any) -> Any:
    """A number as C passes it: a bool is a byte."""
    return builder.zext(value, _BYTE) if value.type == ir.IntType(1) else value


def _address(context: Any, builder: Any, function: Any, kind: Any) -> Any:
    """The machine code: looked up by name at the first call, and kept in a variable of the caller's module."""
    module, symbol = builder.module, function.symbol
    slot = module.globals.get(f"{symbol}.address")
    if slot is None:
        slot = ir.GlobalVariable(module, _POINTER, f"{symbol}.address")
        slot.linkage = "internal"
        slot.initializer = ir.Constant(_POINTER, None)
    known = builder.load(slot)
    with builder.if_then(cgutils.is_null(builder, known), likely=False):
        find = cgutils.get_or_insert_function(module, ir.FunctionType(_POINTER, [_POINTER]), FIND)
        name = context.insert_const_string(module, symbol)
        found = builder.call(find, [builder.bitcast(name, _POINTER)])
        _raise_if_null(context, builder, found, function)
        builder.store(found, slot)
    return builder.bitcast(builder.load(slot), kind.as_pointer())


def _linked(context: Any, builder: Any, function: Any, kind: Any) -> Any:
    """The function in a library that becomes part of the caller's, so that LLVM inlines it.

    Code of a function that is not in this process must not run. Callers from Numba's cache are asked by `_require`; where
    Numba loads machine code without asking (that of `guvectorize`), the variable of the environment stays null. It never
    changes while code runs, so LLVM tests it once before a loop.
    """
    environment = builder.load(context.declare_env_global(builder.module, context.get_env_name(context.fndesc)))
    environment.set_metadata("invariant.load", builder.module.add_metadata([]))
    _raise_if_null(context, builder, environment, function)
    context.active_code_library.add_linking_library(_library(context.codegen(), function.symbol, function.inlined))
    return cgutils.get_or_insert_function(builder.module, kind, function.symbol)


@cache
def _library(codegen: Any, symbol: str, text: str) -> Any:
    """The module as Numba has those of the functions that it compiles."""
    library = codegen.create_library(symbol)
    library.add_llvm_module(llvm.parse_assembly(text))
    library.finalize()
    return library


def _raise_if_null(context: Any, builder: Any, pointer: Any, function: Any) -> None:
    with builder.if_then(cgutils.is_null(builder, pointer), likely=False):
        message = _GONE.format(symbol=function.symbol, name=function.name)
        context.call_conv.return_user_exc(builder, RuntimeError, (message,))


_GONE = (
    "the native function {symbol} is not in this process: this code was cached when {name} was another function, or "
    "before {name} is compiled. Compile or load it first; if it has changed, delete the cached files of its callers "
    "(__pycache__/*.nbi)"
)


# Numba's cache.


class _Required:
    """A native function that cached code calls or contains."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol

    def __reduce__(self) -> tuple:
        return _require, (self.symbol,)


def _require(symbol: str) -> _Required:
    """OSError if the function is not in this process: then Numba takes what it loads as not cached, and compiles it."""
    if not is_published(symbol):
        raise FileNotFoundError(f"the native function {symbol} is not in this process")
    return _Required(symbol)


def _require_when_loaded(context: Any, symbol: str) -> None:
    """Add to what Numba pickles with this function's code, wherever that is linked to: the objects of its environment."""
    environment = lookup_environment(context.get_env_name(context.fndesc))
    environment.consts.append(_Required(symbol))
    _kept.append(environment)


_kept: list[Any] = []  # environments, which Numba refers to weakly


class CFunc(types.WrapperAddressProtocol):
    """A native function as a first-class function of Numba: numbers, then pointers for arrays and results; an int32."""

    def __init__(self, function: Any) -> None:
        self.address, self.ctypes, self.native_name = function.address, function.ctypes, function.symbol
        inputs = [v for _, v in function.arguments.values()]
        given = [types.CPointer(from_dtype(v.dtype)) if v.shape else from_dtype(v.dtype) for v in inputs]
        made = [types.CPointer(from_dtype(v.dtype)) for _, v in function.results.values()]
        self._signature = types.int32(*given, *made)

    def __wrapper_address__(self) -> int:
        return self.address

    def signature(self) -> Any:
        return self._signature
