"""The LLVM text of one function `void f(i64* table)`, written from top to bottom, with loops in loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jitgrad.sweeps.lanes import Block, Declares, Lane


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
        return "\n".join([*sorted(self.declares), "", self.function(name, slots, numbers)])

    def function(self, name: str, slots: Sequence[str], numbers: Sequence[str] = (), sort: str = "") -> str:
        """The function; `%slot` is the pointer that the table holds at the place of the slot; then come integers."""
        loads = [
            f"  %{slot}.at = getelementptr i64, ptr %table, i64 {i}\n  %{slot} = load ptr, ptr %{slot}.at"
            for i, slot in enumerate(slots)
        ]
        loads += [
            f"  %{number}.at = getelementptr i64, ptr %table, i64 {i}\n  %{number} = load i64, ptr %{number}.at"
            for i, number in enumerate(numbers, len(slots))
        ]
        body = "\n".join([*self.allocas, *loads, str(self.entry), *self.pieces])
        return f"define {sort}void @{name}(ptr %table) {{\nentry:\n{body}\n  ret void\n}}\n"

    def straight(self) -> Block:
        """A new block of scalar code, which runs after everything so far."""
        self.count += 1
        return Block(1, f"s{self.count}.", self.declares)

    def flush(self) -> None:
        """End the current straight code."""
        self.pieces.append(str(self.block))
        self.block = self.straight()

    def open(self, name: str, size: Lane, start: Lane | None = None, step: int | Lane = 1) -> Lane:
        """Begin a loop; its index. `close` ends it."""
        self.allocas.append(f"  %{name}.counter = alloca i64")
        first = start.name if start is not None else "0"
        self.block.lines.append(f"  store i64 {first}, ptr %{name}.counter\n  br label %{name}.head\n{name}.head:")
        self.flush()
        index = self.block.load(f"%{name}.counter", "i64", 1)
        last = index + (step - 1) if isinstance(step, int) and step > 1 else index
        more = last < moved(self.block, size)
        self.block.lines.append(f"  br i1 {more.name}, label %{name}.body, label %{name}.end\n{name}.body:")
        self.flush()
        return moved(self.block, index)

    def close(self, name: str, step: int | Lane = 1) -> None:
        """End the loop that `open` began."""
        old = self.block.load(f"%{name}.counter", "i64", 1)
        self.block.store(old + step, f"%{name}.counter")
        self.block.lines.append(f"  br label %{name}.head\n{name}.end:")
        self.flush()

    def vectors(self, name: str, size: Lane, lanes: int, body: Callable[[Lane, Lane | None], None]) -> None:
        """`body(index, mask)` for every W of `size`, then for those that are left, under a mask."""
        at = self.open(name, size, step=lanes)
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
