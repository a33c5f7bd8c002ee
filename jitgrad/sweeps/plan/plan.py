"""What becomes of a tape: its rows sorted into phases, levels, nests, stages and loops.

Phase    levels, one after another
Level    single numbers, in registers; then nests; then products, loops and switches
Nest     loops over arrays whose first dimensions agree, done tile by tile along that dimension: what one loop of a
         tile leaves for the next is still in cache, and what nobody else reads never gets further than that
Stage    loops of a nest that need nothing of each other
Loop     rows over one index space, computed element by element in registers
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from jitgrad.sweeps.plan.indexing import lookup_accesses
from jitgrad.sweeps.plan.layouts import Access, Layouts
from jitgrad.sweeps.plan.supported import Target
from jitgrad.tape.row import Row


class Write(NamedTuple):
    """A value put (or added) into a part of the memory of `row`; `value` None puts zeros."""

    row: Row
    value: Access | None
    space: tuple[int, ...]
    offset: int
    strides: tuple[int, ...]
    adds: bool


class Loop:
    """What is computed in one pass over `space`; its first dimension is that of the nest."""

    def __init__(self, space: tuple[int, ...]) -> None:
        self.space = space
        self.items: list[Row | Write] = []


class Nest:
    """Stages of loops whose spaces all begin with `lead`; the loops of a stage by their space."""

    def __init__(self, lead: int) -> None:
        self.lead = lead
        self.stages: dict[int, dict[tuple[int, ...], Loop]] = defaultdict(dict)

    def loops(self) -> list[Loop]:
        return [loop for k in sorted(self.stages) for loop in self.stages[k].values() if loop.items]


class Level:
    """Numbers, nests (by lead) and products that need nothing but what earlier levels computed, in this order.

    Among the products are loops and switches, and their results.
    """

    def __init__(self) -> None:
        self.numbers: list[Row] = []
        self.nests: dict[int, Nest] = {}
        self.products: list[Row] = []


class Phase:
    """One native function (its levels in order), and the rows that NumPy runs after it.

    A chunked one is just one nest, which several threads may share.
    """

    def __init__(self, chunked: bool = False) -> None:
        self.levels: dict[int, Level] = defaultdict(Level)
        self.others: list[Row] = []
        self.chunked = chunked

    def ordered(self) -> list[Level]:
        return [self.levels[k] for k in sorted(self.levels)]

    def loops(self) -> list[Loop]:
        return [loop for level in self.ordered() for nest in level.nests.values() for loop in nest.loops()]

    def native_rows(self) -> list[Row]:
        """The rows in the order in which they are computed."""
        found: dict[Row, None] = {}
        for level in self.ordered():
            found |= dict.fromkeys(level.numbers)
            for nest in level.nests.values():
                found |= {i.row if isinstance(i, Write) else i: None for loop in nest.loops() for i in loop.items}
            found |= dict.fromkeys(level.products)
        return list(found)


class Plan:
    """All phases of a tape, and where its values are kept.

    native    rows that machine code computes
    stored    of these, those in memory, or in a cell
    escaping  of these, those that others than the phase that computes them read
    local     those in memory for one tile at a time
    home      for a row that is written into the memory of another, which goes on from there, the other one
    results   for an output that is a reshape of what machine code computed, that
    lookups   rows that read elements at indices in passing, in a loop among others
    """

    def __init__(self, layouts: Layouts, native: set[Row], home: dict[Row, Row], results: dict[Row, Row], target: Target) -> None:
        self.target = target
        self.layouts, self.native, self.home, self.results = layouts, native, home, results
        self.phases: list[Phase] = []
        self.stored: set[Row] = set()
        self.escaping: set[Row] = set()
        self.local: set[Row] = set()
        self.lookups: set[Row] = set()

    def operands(self, item: Row | Write) -> list[Access]:
        """What an elementwise row, a reduction, a product or a write reads."""
        if isinstance(item, Write):
            return [] if item.value is None else [item.value]
        return reads_of(item, self.layouts, item in self.lookups)

    def owner(self, row: Row) -> Row:
        """The row in whose memory the value of `row` is."""
        while row in self.home:
            row = self.home[row]
        return row


def reads_of(row: Row, layouts: Layouts, lookup: bool) -> list[Access]:
    """How a loop goes along what a row reads."""
    return lookup_accesses(row, layouts) if lookup else [layouts.access(x) for x in row.inputs]
