"""Large arrays: the compiled kernel of one op in the place of NumPy's loop, once the op has been used enough.

Results agree with NumPy's to a few units in the last place, as those of compiled functions do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import background
from jitgrad.ops.table import Op
from jitgrad.settings import config
from jitgrad.tape import NOTHING, Leaf, Row, Tape

FASTER = frozenset({
    "cos", "erf", "erfc", "exp", "expm1", "lgamma", "log", "log10", "log1p", "log2", "relu", "rsqrt", "sigmoid", "sign", "silu",
    "sin", "softplus", "sqrt", "tanh",
})  # fmt: skip
"""Ops whose kernels take at most 2/3 of NumPy's time for 10,000 float32 elements; the others are as fast, or slower."""

ENOUGH = 1_000_000
"""Elements after which an op is compiled: NumPy has then taken about as long as compiling does."""

Run = Callable[[np.ndarray], Any]


class Large:
    """One op of one input: `run(x)` for an array of a floating dtype."""

    def __init__(self, op: Op) -> None:
        self.op = op
        self.kernels: dict[np.dtype, Run | None] = {}
        self.seen = 0

    def run(self, x: np.ndarray) -> Any:
        """The result for `x`, by the kernel if there is one and the array is one that it can read."""
        kernel = self.kernels.get(x.dtype)
        if kernel is None:
            self._note(x)
        elif x.flags.c_contiguous and x.flags.aligned:
            return kernel(x)
        return self.op.run(x)

    def _note(self, x: np.ndarray) -> None:
        if x.dtype in self.kernels or x.dtype.itemsize < 4 or not (config.large_kernels and config.background_compile):
            return
        self.seen += x.size
        if self.seen >= ENOUGH * config.hot_after:
            self.kernels[x.dtype] = None
            background.submit(f"{self.op.name} of large arrays", lambda: self._compile(x.dtype))

    def _compile(self, dtype: np.dtype) -> None:
        kernel = _kernel(self.op, dtype)
        if config.large_kernels:
            self.kernels[dtype] = kernel


known: dict[Op, Large] = {}


def of(op: Op) -> Large | None:
    """The kernel to be of an op, if it is one for which that pays."""
    return known.setdefault(op, Large(op)) if op.name in FASTER else None


@background.forgotten.append
def _again() -> None:
    for large in known.values():
        large.kernels = {dtype: kernel for dtype, kernel in large.kernels.items() if kernel is not None}


@config.watch
def _changed() -> None:
    if not config.large_kernels:
        for large in known.values():
            large.kernels.clear()


def _kernel(op: Op, dtype: np.dtype) -> Run:
    """The compiled loop of an op, for arrays of any size: the size is an argument of the machine code."""
    with background.imports:
        from jitgrad.sweeps.native import trampolines
        from jitgrad.sweeps.program import LONG, Native, Program

    x = Leaf((16,), dtype, False)
    out = Row(op, (x,), NOTHING, x.shape, dtype, False)
    program = Program(Tape([x], [out]), [x])
    (step,) = program.steps
    if not isinstance(step, Native) or step.sizes.tolist() != [16] or len(step.arrays) != 2 or program.cells:
        raise TypeError(f"the program of {op.name} is not one loop over one array")
    address, constants, kept = step.kernel.address, step.constants, step.kernel
    call, call_nogil = trampolines().call, trampolines().call_nogil
    empty = np.empty
    sizes: dict[int, np.ndarray] = {}

    def run(x: np.ndarray, _kept: Any = kept) -> np.ndarray:
        n = x.size
        size = sizes.get(n)
        if size is None:
            if len(sizes) > 256:
                sizes.clear()
            size = sizes[n] = np.array([n])
        out = empty(x.shape, dtype)
        (call if n < LONG else call_nogil)(address, x, out, constants, size)
        return out

    return run
