"""Copies within a device of what does not lie in order: one flat kernel for every pattern of strides."""

from __future__ import annotations

import math
from typing import Any

from jitgrad.sweeps.cuda.body import indented
from jitgrad.sweeps.cuda.kernel import Kernel
from jitgrad.sweeps.cuda.teams import Grid
from jitgrad.sweeps.cuda.text import Text, decompose
from jitgrad.tape.device_array import DeviceArray


def copy_launch(target: DeviceArray, source: DeviceArray, grid: Grid) -> tuple[Kernel, int, list[Any]]:
    """The kernel that copies one array into another of the same shape and dtype, its grid and its arguments."""
    text = Text(grid.block)
    sizes = [(d, n) for d, n in enumerate(target.shape) if n != 1]
    used = {d for d, _ in sizes}
    to, of = text.array("target", target.dtype), text.array("source", source.dtype)
    there = text.index(target.offset, [(f"d{d}", target.layout.strides[d]) for d, _ in sizes])
    here = text.index(source.offset, [(f"d{d}", source.layout.strides[d]) for d, _ in sizes])
    n = math.prod(target.shape)
    text.lines += [
        "    i = ix(ix(cuda.blockIdx.x) * ix(cuda.blockDim.x) + ix(cuda.threadIdx.x))",
        f"    while i < {text.size(n)}:",
        *indented(2, decompose("q", "i", sizes, used, text)),
        f"        {to}[{there}] = {of}[{here}]",
        "        i = ix(i + ix(cuda.gridDim.x) * ix(cuda.blockDim.x))",
    ]
    launch = text.launch(grid.over(n))
    memory = {"target": target.buffer.raw, "source": source.buffer.raw}
    return launch.kernel, launch.grid, [memory.get(x, x) if isinstance(x, str) else x for x in launch.arguments]
