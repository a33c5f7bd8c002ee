"""Kernels for several generations of GPUs: `python -m tests.cuda.compile_all`.

Every elementwise row of the op table, fused loops of value and gradient, and the kernels that are written by hand.

No GPU is needed. What does not compile, and what the registers have no room for ("spills"), is an error, for CI to see.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, product
from typing import NamedTuple

import numpy as np

from jitgrad.dtypes import ALL
from jitgrad.errors import NotCompilableError
from jitgrad.ops import rows
from jitgrad.ops.choosing import cast
from jitgrad.ops.table import Op, infer
from jitgrad.sweeps.cuda.compile import machine_code
from jitgrad.sweeps.cuda.kernel import Kernel
from jitgrad.sweeps.cuda.text import STORED, loaded, stored
from jitgrad.sweeps.numba.expressions import expression
from jitgrad.sweeps.plan.supported import GPU, why_no_kernel
from jitgrad.tape.row import Leaf, Row
from tests.cuda import fused, library

GENERATIONS = ((8, 0), (9, 0), (10, 0))
BLOCK = 256
HALVES = ("float16", "bfloat16")
_REGISTERS = re.compile(r"ptxas info +: Used (\d+) registers")
_SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")


REAL = [d for d in ALL.values() if d.numpy.kind != "c"]
"""The dtypes that devices compute in."""


class Result(NamedTuple):
    """What became of a kernel for one generation; `error` is why there is none."""

    name: str
    cc: tuple[int, int]
    registers: int = 0
    stack: int = 0
    spilled: int = 0
    nbytes: int = 0
    error: str = ""


def elementwise() -> Iterator[tuple[str, Kernel]]:
    """A kernel for each row of the table and each dtype that it takes, with all that its samples say."""
    for op in rows():
        if not op.elementwise or op.kernel is None:
            continue
        known = [params for params in (op.samples() if op.samples else [{}]) if isinstance(params, dict)]
        if op is cast:
            known = [{"dtype": d.numpy} for d in REAL]
        seen = set()
        for dtype, params in product(REAL, known or [{}]):
            row = _row(op, dtype.numpy, params)
            if row is None or (op is not cast and _is_never_recorded(row)):
                continue
            kernel = _flat(row)
            if kernel not in seen:
                seen.add(kernel)
                yield " ".join([op.name, *[x.dtype.name for x in row.inputs], "->", row.dtype.name, *_shown(params)]), kernel


def _shown(params: dict) -> list[str]:
    return [f"{name}={value}" for name, value in params.items() if name != "dtype"]


def _row(op: Op, dtype: np.dtype, params: dict) -> Row | None:
    """A row of a dtype, if machine code computes it."""
    leaves = [Leaf((8,), np.dtype(bool) if name == "c" else dtype, False) for name in op.inputs]
    try:
        spec = infer(op, leaves, params)
    except (TypeError, ValueError, OverflowError):  # NumPy has no such thing
        return None
    row = Row(op, tuple(leaves), params, (8,), spec.dtype, False)
    return None if why_no_kernel(row, GPU) else row


def _is_never_recorded(row: Row) -> bool:
    """Functions of halves are recorded as those of float32, and functions of whole numbers that give floats after a cast."""
    operand = row.inputs[-1].dtype if row.inputs else row.dtype
    return (operand.name in HALVES and row.op.single) or (
        row.dtype.kind == "f" and operand.kind != "f" and operand.name != "bfloat16"
    )


def _flat(row: Row) -> Kernel:
    """One thread after the other, element after element."""
    names = [f"x{i}" for i in range(len(row.inputs))]
    values = [loaded(f"{name}[i]", x.dtype) for name, x in zip(names, row.inputs)]
    text = (
        f"def kernel({', '.join([*names, 'y', 'n'])}):\n"
        "    i = i32(i32(cuda.blockIdx.x) * i32(cuda.blockDim.x) + i32(cuda.threadIdx.x))\n"
        "    while i < n:\n"
        f"        y[i] = {stored(expression(row, values), row.dtype)}\n"
        "        i = i32(i + i32(cuda.gridDim.x) * i32(cuda.blockDim.x))\n"
    )
    pointers = ["*" + STORED.get(x.dtype.name, x.dtype.name) for x in (*row.inputs, row)]
    return Kernel(text, (*pointers, "int32"), BLOCK)


def compiled(name: str, kernel: Kernel, cc: tuple[int, int]) -> Result:
    """What becomes of one kernel."""
    try:
        code, log = machine_code(kernel, cc)
    except NotCompilableError as error:
        return Result(name, cc, error=str(error))
    frames = [[int(n) for n in found] for found in _SPILLS.findall(log)]
    spilled = sum(stores + loads for _, stores, loads in frames)
    registers = max(map(int, _REGISTERS.findall(log)), default=0)
    return Result(name, cc, registers, sum(frame for frame, *_ in frames), spilled, len(code))


def check(kernels: Iterable[tuple[str, Kernel]], generations: Sequence[tuple[int, int]] = GENERATIONS) -> list[Result]:
    """Compile kernels, print a line for each, and the errors; what is returned went wrong."""
    start, results = time.perf_counter(), []
    for name, kernel in kernels:
        mine = [compiled(name, kernel, cc) for cc in generations]
        results += mine
        print(f"{name:58s} " + "   ".join(map(_line, mine)), flush=True)
    wrong = [r for r in results if r.error or r.spilled]
    for r in wrong:
        print(f"\nsm_{r.cc[0]}{r.cc[1]} {r.name}: {r.error or f'{r.spilled} bytes of registers are spilled'}")
    used = Counter(r.cc for r in results if not r.error)
    print(
        f"\n{len(results)} compiled for {', '.join(f'sm_{a}{b} ({used[a, b]} well)' for a, b in generations)} in "
        f"{time.perf_counter() - start:.0f} s, {sum(r.nbytes for r in results) / 1e6:.1f} MB; at most "
        f"{max((r.registers for r in results), default=0)} registers; {len(wrong)} wrong"
    )
    return wrong


def _line(r: Result) -> str:
    if r.error:
        return "does not compile"
    return (
        f"{r.registers:3d} registers" + f", {r.stack} bytes of stack" * bool(r.stack) + f", {r.spilled} SPILLED" * bool(r.spilled)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.cuda.compile_all", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="of the kernels those whose line has this text in it")
    parser.add_argument("--cc", type=int, action="append", help="a generation, as 90; else 80, 90 and 100")
    given = parser.parse_args(arguments)
    generations = [divmod(cc, 10) for cc in given.cc or ()] or GENERATIONS
    by_hand = ((f"by hand {k}: {', '.join(made.types)}", made) for k, made in enumerate(library.every_kernel(BLOCK)))
    every = chain(elementwise(), fused.kernels(), by_hand)
    return bool(check(((name, kernel) for name, kernel in every if given.only in name), generations))


if __name__ == "__main__":
    sys.exit(main())
