"""The LLVM text of one function `void f(i64* table)`, written from top to bottom, with loops in loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jitgrad.sweeps.llvm.blocks import Block
from jitgrad.sweeps.llvm.lanes import Declares, Lane
from jitgrad.sweeps.plan.machine_types import spelled


class Function:
    """Text under construction: `block` is where straight code goes; `entry` comes before everything else."""

    def __init__(self) -> None:
        self.declares = Declares()
        self.pieces: list[str] = []
        self.allocas: list[str] = []
        self.count = 0
        self.entry = Block(1, "e", self.declares)
        self.block = self.straight()

    def define(self, name: str, slots: Sequence[str], numbers: Sequence[str] = ()) -> str:
        """The module with the function; see `function`."""
        return self.module(self.function(name, slots, numbers))

    def module(self, text: str) -> str:
        """A function with all that it needs."""
        return "\n".join([*sorted(self.declares), "", text])

    def function(self, name: str, slots: Sequence[str], numbers: Sequence[str] = (), sort: str = "") -> str:
        """The function; `%slot` is the pointer that the table holds at the place of the slot; then come integers."""
        words = [*((slot, "ptr") for slot in slots), *((number, "i64") for number in numbers)]
        loads = [
            f"  %{entry}.at = getelementptr i64, ptr %table, i64 {i}\n  %{entry} = load {word}, ptr %{entry}.at"
            for i, (entry, word) in enumerate(words)
        ]
        return self.between(f"{sort}void @{name}(ptr %table)", loads, "  ret void")

    def between(self, head: str, first: Sequence[str], last: str) -> str:
        """The function with that head; `first` comes before the entry, `last` after everything."""
        body = "\n".join([*self.allocas, *first, str(self.entry), *self.pieces, last])
        return f"define {head} {{\nentry:\n{body}\n}}\n"

    def register(self, name: str, type: str, lanes: int) -> None:
        """Something that keeps a value between the turns of a loop: memory, which LLVM makes a register of."""
        self.allocas.append(f"  {name} = alloca {spelled(type, lanes)}, align 64")

    def straight(self) -> Block:
        """A new block of scalar code, which runs after everything so far."""
        self.count += 1
        return Block(1, f"s{self.count}.", self.declares)

    def flush(self) -> None:
        """End the current straight code."""
        self.pieces.append(str(self.block))
        self.block = self.straight()

    def open(self, name: str, size: Lane, start: Lane | None = None, whole: int = 1) -> Lane:
        """Begin a loop, which goes on while `whole` are left; its index. `close` ends it."""
        self.allocas.append(f"  %{name}.counter = alloca i64")
        first = start.name if start is not None else "0"
        self.block.lines.append(f"  store i64 {first}, ptr %{name}.counter\n  br label %{name}.head\n{name}.head:")
        self.flush()
        index = self.block.load(f"%{name}.counter", "i64", 1)
        last = index if whole == 1 else index + (whole - 1)
        more = last < moved(self.block, size)
        self.block.lines.append(f"  br i1 {more.name}, label %{name}.body, label %{name}.end\n{name}.body:")
        self.flush()
        return moved(self.block, index)

    def close(self, name: str, step: int | Lane = 1) -> None:
        """End the loop that `open` began: on to the index a step further."""
        old = self.block.load(f"%{name}.counter", "i64", 1)
        self.block.store(old + step, f"%{name}.counter")
        self.block.lines.append(f"  br label %{name}.head\n{name}.end:")
        self.flush()

    def vectors(self, name: str, size: Lane, lanes: int, body: Callable[[Lane, Lane | None], None]) -> None:
        """`body(index, mask)` for every W of `size`, then for those that are left, under a mask."""
        at = self.open(name, size, whole=lanes)
        self.block.lanes = lanes
        body(at, None)
        self.close(name, lanes)
        at = self.block.load(f"%{name}.counter", "i64", 1)
        left = moved(self.block, size) - at
        some = left > 0
        self.block.lines.append(f"  br i1 {some.name}, label %{name}.tail, label %{name}.done\n{name}.tail:")
        self.flush()
        self.block.lanes = lanes
        body(moved(self.block, at), self.block.mask(moved(self.block, left)))
        self.block.lines.append(f"  br label %{name}.done\n{name}.done:")
        self.flush()


def moved(block: Block, value: Lane) -> Lane:
    """The value as one of `block`: what is computed from it is written there."""
    return block.value(value.name, value.type, value.lanes)
