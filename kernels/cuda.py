"""The kernels on a GPU: what their names mean under `@cuda.jit`, and the only place that imports `numba.cuda`.

Most of what `launch` registers compiles for a GPU as it stands. A few primitives do not, since the compiler behind numba-cuda
has no such instruction, or there is no C library on the device, and are registered here once more. Where NVIDIA's libdevice has
a function, it is taken: it is quicker there than arithmetic without branches. What it lacks (sigmoid, softplus, digamma, ...) is
ours. So a result may differ from the CPU's in the last places, as it does anyway where a product and a sum are contracted.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy import float32, int32, uint16, uint32

from jitgrad.kernels import launch, primitives, scalar
from jitgrad.kernels.primitives import bits, float_of

ONE = (
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "cbrt", "erf", "erfc", "erfinv", "lgamma"),
    *("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh"),
)
TWO = ("atan2", "fmod", "hypot", "pow")
TYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "boolean")
SHORT = {"i32": "int32", "i64": "int64", "u32": "uint32", "u64": "uint64"}


def from_bf16(word):
    """The float32 of a bfloat16, which is its upper half."""
    return float_of(int32(uint32(word) << uint32(16)))


def to_bf16(x):
    """The nearest bfloat16 of a float32, of two the even one, as a word of 16 bits; nan stays nan."""
    word = uint32(bits(float32(x)))
    if (word & uint32(0x7FFFFFFF)) > uint32(0x7F800000):
        return uint16((word >> uint32(16)) | uint32(0x40))
    return uint16((word + uint32(0x7FFF) + ((word >> uint32(16)) & uint32(1))) >> uint32(16))


def bfloat16(x):
    """A float32, rounded to a bfloat16."""
    return from_bf16(to_bf16(x))


def float16(x):
    """A number, rounded to a float16, as a float32."""
    return float32(np.float16(x))


@cache
def namespace() -> dict[str, Any]:
    """The global names of the texts of kernels: `exec(text, dict(namespace()))`."""
    import numba
    from numba import cuda, types

    register()
    named = {name: getattr(numba, name) for name in TYPES}
    named |= {short: named[name] for short, name in SHORT.items()}
    own = {f.__name__: f for f in (from_bf16, to_bf16, bfloat16, float16)}
    none_of_theirs = (primitives.primitive, primitives.span)  # no kernel of a GPU goes through a matrix by itself
    shared = {name: value for name, value in launch.njit_namespace().items() if value not in none_of_theirs}
    return {**shared, **named, **own, "cuda": cuda, "half": types.float16}


def device(function: Callable[..., Any]) -> Any:
    """A function of the host, as Python, for kernels to call."""
    from numba import cuda

    register()
    return cuda.jit(device=True)(function)


def compile_ptx(function: Callable[..., Any], types: tuple[str, ...], cc: tuple[int, int], block: int) -> str:
    """A kernel as PTX. A type "*float32" is a pointer, "int32" a number; `block` is the most threads that a block has."""
    from numba import cuda

    signature = tuple([_type(name) for name in types])
    with _without_device(cc):
        text, _ = cuda.compile(function, signature, cc=cc, device=False, abi="numba", output="ptx", launch_bounds=block)
    return text


def _type(name: str) -> Any:
    from numba import types

    return types.CPointer(getattr(types, name[1:])) if name[0] == "*" else getattr(types, name)


@contextmanager
def _without_device(cc: tuple[int, int]):
    """For a kernel that calls functions numba-cuda asks the driver what device there is: answer with the one compiled for."""
    from numba.cuda import dispatcher

    found = dispatcher.get_current_device
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=cc)
    try:
        yield
    finally:
        dispatcher.get_current_device = found


@cache
def register() -> None:
    """Make the primitives and kernels known to numba-cuda; once a process."""
    from numba import types
    from numba.cuda import libdevice
    from numba.cuda.extending import overload

    launch.register()
    kinds, boolean = {types.float32: 0, types.float64: 1}, types.boolean

    def by_type(function: Any, names: tuple[str, str], shape: Callable[[Any], Any]) -> None:
        """What a function of floats is in libdevice, by their type; `shape` makes functions with its parameters."""
        made = [shape(getattr(libdevice, name)) for name in names]

        def typing(*types: Any) -> Any:
            floats = [x for x in types if x != boolean]
            return made[kinds[floats[0]]] if floats[0] in kinds and all(x == floats[0] for x in floats) else None

        overload(function, target="cuda", strict=False)(typing)

    for name in ONE:
        by_type(scalar.GENERIC[name], (name + "f", name), _one)
    for name in TWO:
        by_type(scalar.GENERIC[name], (name + "f", name), _two)
    for function in (primitives.floor, primitives.ceil, primitives.trunc, primitives.rint):
        by_type(function, (function.__name__ + "f", function.__name__), _one)
    by_type(primitives.copysign, ("copysignf", "copysign"), _two)
    by_type(primitives.rare_fmod, ("fmodf", "fmod"), _rare_of_two)
    # These stay within the range, as the primitives do; of nan some make the smallest number, where those make 0.
    by_type(primitives.to_i32, ("float2int_rz", "double2int_rz"), _one)
    by_type(primitives.to_i64, ("float2ll_rz", "double2ll_rz"), _one)
    for name in ("sin", "cos", "tan", "lgamma"):
        by_type(getattr(primitives, f"rare_{name}"), (name + "f", name), _rare)
    overload(primitives.select, target="cuda", strict=False)(_select_beside_a_bool)
    for function in (from_bf16, to_bf16, bfloat16, float16):
        overload(function, target="cuda", strict=False)(_one(lambda x, function=function: function))


def _select_beside_a_bool(c, a, b):
    """A bool beside a number becomes a number; else it is the `select` of `launch`."""
    from numba import types

    kinds = [types.unliteral(x) for x in (a, b)]
    numbers = [x for x in kinds if isinstance(x, types.Float | types.Integer)]
    if len(numbers) != 1 or types.boolean not in kinds:
        return None
    number = numbers[0]
    return lambda c, a, b: number(a) if c else number(b)


def _one(function: Any) -> Any:
    return lambda x: function(x)


def _two(function: Any) -> Any:
    return lambda x, y: function(x, y)


def _rare(function: Any) -> Any:
    return lambda c, x, fast: function(x) if c else fast


def _rare_of_two(function: Any) -> Any:
    return lambda c, x, y, fast: function(x, y) if c else fast


__all__ = ["bfloat16", "compile_ptx", "device", "float16", "from_bf16", "namespace", "register", "to_bf16"]
