"""The kernels under Numba: the only place that imports it for them, and only when asked.

`register()` tells Numba what the primitives are and that every function of `jitgrad.kernels.scalar` compiles as it
stands; from then on `@njit` source may say `exp_f32(x)`, or `exp(x)` for whichever type x has.  The instructions are
those that `jitgrad.sweeps.lanes` writes, so the results are the same to the last bit.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np

from jitgrad.kernels import primitives, scalar


def njit_namespace() -> dict[str, Any]:
    """The global names of generated `@njit` source: `np`, the primitives, and the kernels, each under its own name.

    >>> exec("def f(x): return exp(x) + 1", names := njit_namespace())
    >>> numba.njit(names["f"])
    """
    register()
    modules = (primitives, scalar)
    return {"np": np} | {
        name: value for module in modules for name, value in vars(module).items() if isinstance(value, FunctionType)
    }


@cache
def register() -> None:
    """Make the primitives and kernels known to Numba; once a process.

    A kernel is inlined wherever it is used, without the checks of Python's division.  It takes the float type of its
    name and no other; the generic ones choose by the type of their first argument.
    """
    from numba import types
    from numba.extending import overload

    _register_primitives()
    options: Any = {"error_model": "numpy", "forceinline": True}
    floats: dict[str, Any] = {"f32": types.float32, "f64": types.float64}

    def by_itself(kernel: Callable[..., Any], wanted: Any) -> Callable[..., Any]:
        def typing(*args: Any) -> Any:
            return kernel if all(a == wanted for a in args if isinstance(a, types.Float)) else None

        return typing

    def by_type(kernels: dict[str, Callable[..., Any]]) -> Callable[..., Any]:
        def typing(*args: Any) -> Any:
            return next((kernels[name] for name in kernels if args[0] == floats[name]), None)

        return typing

    for name, value in vars(scalar).items():
        if not isinstance(value, FunctionType) or value.__module__ != scalar.__name__:
            continue
        if name in scalar.KERNELS:
            overload(value, strict=False, jit_options=options)(by_type(scalar.KERNELS[name]))
        elif name[-3:] in floats:
            overload(value, strict=False, jit_options=options)(by_itself(value, floats[name[-3:]]))


def _register_primitives() -> None:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic, overload

    integers: dict[Any, Any] = {types.float32: types.int32, types.float64: types.int64}
    floats: dict[Any, Any] = {integer: float for float, integer in integers.items()}
    options: Any = {"error_model": "numpy", "forceinline": True}

    def suffix(kind: Any) -> str:
        return f"{'f' if isinstance(kind, types.Float) else 'i'}{kind.bitwidth}"

    def instruction(primitive: Any, signature: Callable[..., Any], emit: Callable[..., Any]) -> None:
        """`primitive` becomes what `emit(context, builder, result type, argument types, values)` builds.

        `signature(*argument types)` is its type, or None where it does not apply.
        """
        parameters = ", ".join(inspect.signature(primitive).parameters)

        def typed(typing_context: Any, *args: Any) -> Any:
            sig = signature(*map(types.unliteral, args))

            def codegen(context: Any, builder: Any, sig: Any, values: Any) -> Any:
                return emit(context, builder, sig.return_type, sig.args, values)

            return None if sig is None else (sig, codegen)

        # Numba wants functions with the primitive's own parameters, by name.
        scope: dict[str, Any] = {"typed": typed, "unliteral": types.unliteral, "signature": signature}
        exec(f"def call(typing_context, {parameters}): return typed(typing_context, {parameters})", scope)
        scope["call"] = intrinsic(scope["call"])
        exec(
            f"def typing({parameters}):\n"
            f"    if signature(*map(unliteral, ({parameters},))) is not None:\n"
            f"        return lambda {parameters}: call({parameters})",
            scope,
        )
        overload(primitive, jit_options=options)(scope["typing"])

    def intrinsic_of(name: str) -> Callable[..., Any]:
        def emit(context: Any, builder: Any, result: Any, args: Any, values: Any) -> Any:
            word = context.get_value_type(result)
            kind = ir.FunctionType(word, [word] * len(values))
            function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.{suffix(result)}")
            return builder.call(function, values)

        return emit

    def same_float(*args: Any) -> Any:
        return args[0](*[args[0]] * len(args)) if args[0] in integers else None

    for name in ("fma", "sqrt", "floor", "ceil", "trunc", "rint", "copysign"):
        instruction(getattr(primitives, name), same_float, intrinsic_of(name))

    def bitcast(context: Any, builder: Any, result: Any, args: Any, values: Any) -> Any:
        return builder.bitcast(values[0], context.get_value_type(result))

    instruction(primitives.bits, lambda x: integers[x](x) if x in integers else None, bitcast)
    instruction(primitives.float_of, lambda x: floats[x](x) if x in floats else None, bitcast)

    def select(context: Any, builder: Any, result: Any, args: Any, values: Any) -> Any:
        return builder.select(*values)

    instruction(primitives.select, lambda c, a, b: a(types.boolean, a, a) if a == b else None, select)

    def isnan(context: Any, builder: Any, result: Any, args: Any, values: Any) -> Any:
        return builder.fcmp_unordered("uno", values[0], values[0])

    instruction(primitives.isnan, lambda x: types.boolean(x) if x in integers else None, isnan)

    def convert(context: Any, builder: Any, result: Any, args: Any, values: Any) -> Any:
        (value,), (old,) = values, args
        if isinstance(old, types.Float) and isinstance(result, types.Integer):
            word = context.get_value_type(result)
            name = f"llvm.fptosi.sat.{suffix(result)}.{suffix(old)}"
            kind = ir.FunctionType(word, [value.type])
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [value])
        return context.cast(builder, value, old, result)

    numbers = (types.Float, types.Integer, types.Boolean)
    for name, wanted in (("f32", types.float32), ("f64", types.float64), ("i32", types.int32), ("i64", types.int64)):

        def conversion(x: Any, wanted: Any = wanted) -> Any:
            return wanted(x) if isinstance(x, numbers) else None

        instruction(getattr(primitives, f"to_{name}"), conversion, convert)

    double = types.float64

    def rare(libm: Any) -> Callable[..., Any]:
        def typing(c: Any, x: Any, fast: Any) -> Any:
            def patched(c: Any, x: Any, fast: Any) -> Any:
                return x_type(libm(x)) if c else fast

            x_type = x
            return patched if x in integers else None

        return typing

    for name in ("sin", "cos"):
        libm = types.ExternalFunction(name, double(double))
        overload(getattr(primitives, f"rare_{name}"), strict=False, jit_options=options)(rare(libm))

    def called(libm: Any, count: int) -> Callable[..., Any]:
        def typing(*args: Any) -> Any:
            x_type = args[0]
            if x_type not in integers:
                return None
            if count == 1:
                return lambda x: x_type(libm(x))
            return lambda x, y: x_type(libm(x, y))

        return typing

    for name, count in scalar.LIBM.items():
        libm = types.ExternalFunction(name, double(*[double] * count))
        overload(getattr(scalar, name), strict=False, jit_options=options)(called(libm, count))
