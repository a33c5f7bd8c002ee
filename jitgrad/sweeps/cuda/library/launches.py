"""What the kernels written by hand are handed on as: launches whose arguments name arrays and scratch memory by their place.

Texts hold dtypes and the number of threads of a block, never a size, so that what is compiled once serves all shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from jitgrad.sweeps.cuda.kernel import Kernel


class Scratch(NamedTuple):
    """Memory for the time of some launches, `elements` of a dtype, with arbitrary values. The same object is the same memory."""

    dtype: str
    elements: int


class Operand(NamedTuple):
    """An array that the caller has: inputs are counted first, then results. Whoever launches adds where it starts."""

    index: int  # type: ignore[assignment]


Launch = tuple[Kernel, int, list[Any]]
"""A kernel, the number of blocks, and for each parameter an `Operand`, a `Scratch` or a number."""

HALVES = ("float16", "bfloat16")
FLOATS = ("float32", "float64", *HALVES)
BITS = {"bool": 8, "bfloat16": 16} | {f"{kind}{n}": n for kind in ("int", "uint", "float") for n in (8, 16, 32, 64)}
MOST_BLOCKS = 2048
"""Enough to fill a large GPU: kernels that go on by a grid's stride have no use for more."""
LARGEST = 2**31 - 1 - MOST_BLOCKS * 1024
"""An index of 32 bits goes a grid's stride beyond the last element before a thread sees that it is done."""

FLAT = "i32(i32(cuda.blockIdx.x) * i32(cuda.blockDim.x) + i32(cuda.threadIdx.x))"
STEP = "i32(i32(cuda.gridDim.x) * i32(cuda.blockDim.x))"


def memory(dtype: str) -> str:
    """The type of a pointer to values of a dtype."""
    return "*" + {"bool": "uint8", "bfloat16": "uint16"}.get(dtype, dtype)


def words(dtype: str) -> str:
    """The type of a pointer to the bits of values of a dtype, for kernels that move values or compare their bits."""
    return f"*uint{BITS[dtype]}"


def loaded(place: str, dtype: str) -> str:
    """An element of memory as a number to compute with: a half as float32."""
    return {"float16": f"float32({place})", "bfloat16": f"from_bf16({place})"}.get(dtype, place)


def stored(value: str, dtype: str) -> str:
    """A number that was computed, as it is put into memory."""
    return {"float16": f"half({value})", "bfloat16": f"to_bf16({value})", "bool": f"uint8({value})"}.get(
        dtype, f"{dtype}({value})"
    )


def small(elements: int, what: str) -> int:
    """The number of elements, which kernels count in 32 bits."""
    if elements > LARGEST:
        raise ValueError(f"{what} of {elements} elements on a GPU: at most {LARGEST} at once, so split it into several")
    return elements


def blocks_over(n: int, block: int, most: int = MOST_BLOCKS) -> int:
    """How many blocks go over n elements, one a thread, or by a grid's stride."""
    return max(1, min(most, -(-n // block)))


def two_power(n: int) -> int:
    """The smallest power of two that is not less than n."""
    return 1 << max(n - 1, 0).bit_length()


def indented(text: str, level: int) -> str:
    """Lines as the body of what is above them."""
    return "\n".join("    " * level + line for line in text.strip("\n").split("\n"))


def kernel(block: int, parameters: dict[str, str], lines: Sequence[str]) -> Kernel:
    """A kernel of parameters, name to type, and the lines of its body, unindented."""
    if block & (block - 1) or block < 1:
        raise ValueError(f"a block of {block} threads: a power of two is needed")
    body = "\n".join(indented(text, 1) for text in lines)
    return Kernel(f"def kernel({', '.join(parameters)}):\n{body}\n", tuple(parameters.values()), block)
