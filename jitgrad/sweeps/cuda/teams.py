"""Who goes through a row, and adds it up: a thread alone, a warp, or a block.

The threads of a warp run together, so a sum over them needs no shared memory and holds up nobody else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jitgrad.sweeps.cuda.body import Names, held, joined
from jitgrad.sweeps.cuda.text import Text
from jitgrad.tape.row import Row

SHORT = 16
"""Elements of a row up to which one thread goes through it alone."""
EACH = 32
"""Elements that a thread of a warp has of a row, at most, before a block takes it."""
THREAD = "ix(ix(cuda.blockIdx.x) * ix(cuda.blockDim.x) + ix(cuda.threadIdx.x))"


class Grid(NamedTuple):
    """How many threads a block has, how many blocks a grid at most, and how many threads a warp."""

    block: int
    blocks: int
    warp: int

    def over(self, n: int, each: int = 1) -> int:
        """Blocks for n elements, some `each` thread."""
        return max(1, min(self.blocks, -(-n // (self.block * each))))


class Team(NamedTuple):
    """The threads that have a row to themselves. `number` is which team a thread is in, `teams` how many a grid has; `first` and
    `step` say which elements of a row are its own, and only where `leads` are results written."""

    number: str
    teams: str
    first: str
    step: str
    leads: str | None
    wait: list[str]
    fold: Callable[[Names, Text, Row], list[str]]
    threads: int

    def grid(self, rows: int, grid: Grid) -> int:
        """Blocks for so many rows."""
        return max(1, min(grid.blocks, -(-rows * self.threads // grid.block)))

    def written(self, lines: list[str]) -> list[str]:
        """Lines that write, for one thread of the team."""
        return lines if self.leads is None else [f"if {self.leads}:", *[f"    {line}" for line in lines]]


def team_for(row: int, grid: Grid) -> Team:
    """Who takes rows of so many elements."""
    if row <= SHORT:
        return ALONE
    return _warp(grid) if row <= grid.warp * EACH else BLOCK._replace(threads=grid.block)


def _warp(grid: Grid) -> Team:
    n, lane = grid.warp, f"ix(ux(cuda.threadIdx.x) % ux({grid.warp}))"
    mask = hex((1 << n) - 1)

    def fold(names: Names, text: Text, row: Row) -> list[str]:
        acc, dtype = f"acc_{names.of[row]}", held(row)
        return [
            f"width = ix({n // 2})",
            "while width > 0:",
            f"    other = {_passed('shfl_down_sync', mask, acc, 'width', dtype)}",
            f"    {acc} = {joined(row.op.fold, acc, 'other', dtype)}",
            "    width = ix(width // 2)",
            f"{acc} = {_passed('shfl_sync', mask, acc, '0', dtype)}",  # the same to all, where the order matters
        ]

    return Team(
        number=f"ix(ux({THREAD}) // ux({n}))",
        teams=f"ix(ix(cuda.gridDim.x) * ix({grid.block // n}))",
        first=lane,
        step=f"ix({n})",
        leads=f"{lane} == 0",
        wait=[f"cuda.syncwarp({mask})"],
        fold=fold,
        threads=n,
    )


def _passed(way: str, mask: str, value: str, where: str, dtype: np.dtype) -> str:
    """A number of another thread of the warp; whole numbers go as 64 bits."""
    if dtype.kind == "f":
        return f"cuda.{way}({mask}, {value}, {where})"
    return f"{dtype.name}(cuda.{way}({mask}, int64({value}), {where}))"


def tree(names: Names, text: Text, row: Row) -> list[str]:
    """Lines after which every thread of the block has the fold of what each had; the order is that of a tree."""
    acc, shared, dtype = f"acc_{names.of[row]}", f"shared_{names.of[row]}", held(row)
    text.head.append(f"    {shared} = cuda.shared.array({text.block}, {dtype.name})")
    return [
        f"{shared}[ix(cuda.threadIdx.x)] = {acc}",
        "cuda.syncthreads()",
        f"width = ix({text.block // 2})",
        "while width > 0:",
        "    if ix(cuda.threadIdx.x) < width:",
        f"        other = {shared}[ix(cuda.threadIdx.x) + width]",
        f"        {shared}[ix(cuda.threadIdx.x)] = {joined(row.op.fold, f'{shared}[ix(cuda.threadIdx.x)]', 'other', dtype)}",
        "    cuda.syncthreads()",
        "    width = ix(width // 2)",
        f"{acc} = {shared}[0]",
        "cuda.syncthreads()",
    ]


ALONE = Team(
    number=THREAD,
    teams="ix(ix(cuda.gridDim.x) * ix(cuda.blockDim.x))",
    first="ix(0)",
    step="ix(1)",
    leads=None,
    wait=[],
    fold=lambda *_: [],
    threads=1,
)
BLOCK = Team(
    number="ix(cuda.blockIdx.x)",
    teams="ix(cuda.gridDim.x)",
    first="ix(cuda.threadIdx.x)",
    step="ix(cuda.blockDim.x)",
    leads="ix(cuda.threadIdx.x) == 0",
    wait=["cuda.syncthreads()"],
    fold=tree,
    threads=0,  # as many as a block has
)
