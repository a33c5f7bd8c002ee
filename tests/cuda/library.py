"""What the tests of the kernels written by hand share: running their launches, values to try, and all kernels there are."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from jitgrad.sweeps.cuda.library import product, running, scatter, sorting
from jitgrad.sweeps.cuda.library.launches import Operand, Scratch
from jitgrad.sweeps.cuda.simulator import run

BLOCKS = (4, 8)
SIZES = (1, 2, 7, 8, 9, 16, 17, 100)
FLOATS = ("float32", "float64", "float16", "bfloat16")
WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def numpy_dtype(name: str) -> np.dtype:
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def carry_out(launches, operands):
    """Run launches on arrays, seen as their kernels want them; scratch memory begins with nonsense."""
    scratch = {}
    for made, grid, arguments in launches:
        given = []
        assert len(arguments) == len(made.types)
        for x, kind in zip(arguments, made.types):
            if isinstance(x, Scratch):
                if id(x) not in scratch:
                    scratch[id(x)] = np.full(x.elements * np.dtype(x.dtype).itemsize, 0xEE, np.uint8).view(x.dtype)
                x = scratch[id(x)]
            elif isinstance(x, Operand):
                x = operands[x.index]
                assert x.flags.c_contiguous
            if isinstance(x, np.ndarray):
                x = x.reshape(-1).view(kind[1:])
            given.append(x)
        run(made, grid, given)


def words(x):
    return np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}")


def values_of(dtype, shape, seed=0):
    """Numbers with few different values, and what is special about floats."""
    rng = np.random.default_rng(seed)
    kind = numpy_dtype(dtype)
    if dtype in WHOLE:
        info = np.iinfo(kind)
        return rng.choice(np.array([info.min, info.max, 0, 1, 2, 3, 77, 2**7 - 1], kind), shape)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    special = [0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1.0, -1.0, 1e-3, -1e-3]
    return np.where(rng.random(shape) < 0.5, rng.choice(special, shape), rng.normal(size=shape)).astype(kind)


def every_kernel(block):
    """All kernels, for `compile_all`: launches of each function for each dtype, short and long."""
    every = (*FLOATS, *WHOLE, "bool")
    long = 100 * block
    launches = [
        product.matmul(d, 2, 9, k, 9, block, *((9 * k, *s),) * 2) for d in every for k in (9, long) for s in ((9, 1), (1, 9))
    ]
    launches += [running.cumsum(d, 3, n, 1, block) for d in every[:-1] for n in (8, 20, long)]
    launches += [sorting.sort(d, 1, n, down, block) for d in every for n in (9, long) for down in (False, True)]
    launches += [work(d, long, 9, block) for d in every for work in (scatter.index_add, scatter.index_put)]
    return list(dict.fromkeys(made for several in launches for made, _, _ in several))
