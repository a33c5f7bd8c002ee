"""The kernels under Numba: the only place that imports it for them, and only when asked.

`register()` tells Numba what the primitives are and that every function of the kernels' modules compiles as it
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

from jitgrad.kernels import common, primitives, scalar


def _functions(module: Any) -> dict[str, FunctionType]:
    """What a module defines itself."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, FunctionType) and value.__module__ == module.__name__
    }


def njit_namespace() -> dict[str, Any]:
    """The global names of generated `@njit` source: `np`, the primitives, and the kernels, each under its own name.

    >>> exec("def f(x): return exp(x) + 1", names := njit_namespace())
    >>> numba.njit(names["f"])
    """
    register()
    typed = {f"{name}_{type}": k for name, kernels in scalar.KERNELS.items() for type, k in kernels.items()}
    return {"np": np} | _functions(primitives) | typed | scalar.GENERIC


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
    float64, int64 = np.float64, np.int64

    def by_itself(function: Callable[..., Any], wanted: Any = None) -> None:
        def typing(*args: Any) -> Any:
            fits = wanted is None or all(a == wanted for a in args if isinstance(a, types.Float))
            return function if fits else None

        overload(function, strict=False, jit_options=options)(typing)

    def by_type(kernels: dict[str, Callable[..., Any]]) -> Callable[..., Any]:
        whole = kernels.get("i64")
        if whole is not None:
            two, three = (lambda x, y: whole(int64(x), int64(y))), (lambda x, y, z: whole(int64(x), int64(y), int64(z)))
            return lambda *args: three if len(args) == 3 else two

        def typing(*args: Any) -> Any:
            name = "f32" if all(a == floats["f32"] for a in args) else "f64"
            kernel = kernels[name]
            if all(a == floats[name] for a in args):
                return kernel
            wide = (lambda x: kernel(float64(x))) if len(args) == 1 else (lambda x, y: kernel(float64(x), float64(y)))
            return wide if all(isinstance(a, types.Number | types.Boolean) for a in args) else None

        return typing

    for module in (common, *scalar.FAMILIES):
        for name, function in _functions(module).items():
            by_itself(function, floats.get(name[-3:]))
    for name, kernels in scalar.KERNELS.items():
        for type, kernel in kernels.items():
            if kernel.__module__ == common.__name__:  # made there from a body, and in no module by name
                by_itself(kernel, floats[type])
        overload(scalar.GENERIC[name], strict=False, jit_options=options)(by_type(kernels))


# long: Numba is told of one primitive after the other
def _register_primitives() -> None:  # noqa: PLR0915
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

    def with_bits(context: Any, builder: Any, result: Any, args: Any, values: Any) -> Any:
        integer = context.cast(builder, values[1], args[1], integers[result])
        return builder.bitcast(integer, context.get_value_type(result))

    def typed_bits(x: Any, k: Any) -> Any:
        return x(x, k) if x in integers and isinstance(k, types.Integer) else None

    instruction(primitives.with_bits, typed_bits, with_bits)
    overload(primitives.low_product, jit_options=options)(lambda x, y: lambda x, y: (x & 0xFFFFFFFF) * (y & 0xFFFFFFFF))

    def select(context: Any, builder: Any, result: Any, args: Any, values: Any) -> Any:
        a, b = (context.cast(builder, value, arg, result) for value, arg in zip(values[1:], args[1:]))
        return builder.select(values[0], a, b)

    def picked(c: Any, a: Any, b: Any) -> Any:
        """Python's numbers, which have 64 bits, take the type of the value they meet."""
        if a != b and not all(isinstance(x, (types.Float, types.Integer)) for x in (a, b)):
            return None
        result = a if a == b else min(a, b, key=lambda x: (isinstance(x, types.Integer), x.bitwidth))
        return result(types.boolean, a, b)

    instruction(primitives.select, picked, select)

    def isnan(context: Any, builder: Any, result: Any, args: Any, values: Any) -> Any:
        return builder.fcmp_unordered("uno", values[0], values[0])

    instruction(primitives.isnan, lambda x: types.boolean(x) if x in integers else None, isnan)

    overload(primitives.span, jit_options=options)(lambda first, end: lambda first, end: range(first, end))

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

    for name in ("sin", "cos", "tan", "lgamma"):
        libm = types.ExternalFunction(name, double(double))
        overload(getattr(primitives, f"rare_{name}"), strict=False, jit_options=options)(rare(libm))

    c_fmod = types.ExternalFunction("fmod", double(double, double))

    def rare_fmod(c: Any, x: Any, y: Any, fast: Any) -> Any:
        x_type = x
        return (lambda c, x, y, fast: x_type(c_fmod(x, y)) if c else fast) if x in integers else None

    overload(primitives.rare_fmod, strict=False, jit_options=options)(rare_fmod)
