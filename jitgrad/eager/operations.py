"""Eager operations: the compiled kernel of one op in the place of NumPy's loops, once it has been used enough.

An elementwise op has one kernel for large arrays of all sizes; a reduction, a softmax or the like, for which NumPy needs
several calls, one for each shape that recurs, also for small arrays. Results agree with NumPy's to a few units in the last
place, as those of compiled functions do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.base.settings import config
from jitgrad.base.signals import importing
from jitgrad.eager import background
from jitgrad.ops import TABLE
from jitgrad.ops.table import Op, infer
from jitgrad.tape.row import NOTHING, Leaf, Row
from jitgrad.tape.tape import Tape

ENOUGH = 1_000_000
"""Elements after which an op is compiled: NumPy has then taken about as long as compiling does."""

limits = config.values

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


LONGER = 10_000_000
"""Elements, in arrays of one shape, after which such an op is compiled; a call counts as `CALL` more."""

CALL = 4096


class Recurring:
    """One op of one input along dimensions: `run(x, **params)` for an array or a number."""

    def __init__(self, op: Op) -> None:
        self.op = op
        self.kernels: dict[tuple, Run | None] = {}
        self.seen: dict[tuple, int] = {}

    def run(self, x: Any, **params: Any) -> Any:
        """The result for `x`, by the kernel for its shape and the parameters if there is one."""
        if x.__class__ is np.ndarray and x.dtype in _FLOATS:
            key = (x.shape, x.dtype, *params.values())
            kernel = self.kernels.get(key)
            if kernel is None:
                self._note(key, x, params)
            elif x.flags.c_contiguous and x.flags.aligned:
                return kernel(x)
        return self.op.run(x, **params)

    def _note(self, key: tuple, x: np.ndarray, params: dict[str, Any]) -> None:
        if key in self.kernels or not (config.large_kernels and config.background_compile):
            return
        seen = self.seen.pop(key, 0) + x.size + CALL
        _drop_first(self.seen)
        self.seen[key] = seen
        if seen >= LONGER * config.hot_after:
            _drop_first(self.kernels)
            self.kernels[key] = None
            background.submit(f"{self.op.name} of arrays of shape {x.shape}", lambda: self._compile(key, params))

    def _compile(self, key: tuple, params: dict[str, Any]) -> None:
        kernel = _whole(self.op, key[0], key[1], params)
        if config.large_kernels and kernel is not None:
            self.kernels[key] = kernel


def _drop_first(kept: dict[tuple, Any]) -> None:
    """Make room in a dict of at most `config.structures` items: what came first has to go."""
    while len(kept) >= max(limits["structures"], 1):
        with contextlib.suppress(KeyError, RuntimeError):  # another thread has just made room, or filled it
            del kept[next(iter(kept))]


_FLOATS = frozenset({np.dtype(np.float32), np.dtype(np.float64)})
known: dict[Op, Large] = {op: Large(op) for op in TABLE.values() if op.hot and op.kernel}
recurring: dict[Op, Recurring] = {op: Recurring(op) for op in TABLE.values() if op.hot and not op.kernel}
for _op in TABLE.values():
    if _op.hot:
        _op.hot_run = (known[_op] if _op.kernel else recurring[_op]).run


def _all() -> list[Any]:
    return [*known.values(), *recurring.values()]


@background.forgotten.append
def _again() -> None:
    for one in _all():
        one.kernels = {key: kernel for key, kernel in one.kernels.items() if kernel is not None}


@config.watch
def _changed() -> None:
    if not config.large_kernels:
        for one in _all():
            one.kernels.clear()


def _whole(op: Op, shape: tuple[int, ...], dtype: np.dtype, params: dict[str, Any]) -> Run | None:
    """The compiled op for arrays of one shape; None if it is not machine code as a whole, or gives memory of its input."""
    with importing("jitgrad.sweeps.program.program"):
        from jitgrad.passes.simplify import simplify
        from jitgrad.sweeps.program.program import Program
        from jitgrad.sweeps.program.steps import Native

    x = Leaf(shape, dtype, False)
    spec = infer(op, [x], params)
    out = Row(op, (x,), params, tuple(spec.shape), spec.dtype, False)
    program = Program(simplify(Tape([x], [out])), [x])
    trial = np.ones(shape, dtype)
    if not all(isinstance(step, Native) for step in program.steps) or np.may_share_memory(program.run(trial)[0], trial):
        return None
    return (lambda x: program.run(x)[0]) if out.shape else (lambda x: program.run(x)[0][()])


def _kernel(op: Op, dtype: np.dtype) -> Run:
    """The compiled loop of an op, for arrays of any size: the size is an argument of the machine code."""
    with importing("jitgrad.sweeps.program.program"):
        from jitgrad.sweeps.code.compile import trampolines
        from jitgrad.sweeps.program.program import Program
        from jitgrad.sweeps.program.steps import LONG, Native

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
