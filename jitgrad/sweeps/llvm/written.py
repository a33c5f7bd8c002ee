"""Values and matrices on which ordinary Python, loops included, writes the machine code that does what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from jitgrad.sweeps.llvm.function import Function, moved
from jitgrad.sweeps.llvm.lanes import Lane


class Value:
    """A number in each lane, or the index of a loop: what is computed from it is written where the function then stands."""

    __slots__ = ("f", "lane")

    def __init__(self, f: Function, lane: Lane) -> None:
        self.f, self.lane = f, lane

    @property
    def type(self) -> str:
        return self.lane.type

    def span(self, first: Any) -> Iterator[Value]:
        """The indices from the first on up to this one: a loop, whose body is written meanwhile."""
        f = self.f
        f.count += 1
        name = f"M{f.count}"
        yield Value(f, f.open(name, lane_of(f, self), start=lane_of(f, first)))
        f.close(name)


def lane_of(f: Function, value: Any) -> Any:
    """A value as one of the block that is being written; numbers as they are, but for indices."""
    if isinstance(value, Value):
        return moved(f.block, value.lane)
    return f.block.const(value, "i64") if isinstance(value, int) and not isinstance(value, bool) else value


def _written(name: str) -> Callable:
    def method(self: Value, *others: Any) -> Value:
        given = [lane_of(self.f, x) if isinstance(x, Value) else x for x in others]
        return Value(self.f, getattr(lane_of(self.f, self), name)(*given))

    return method


_ARITHMETIC = ("add", "sub", "mul", "truediv", "radd", "rsub", "rmul", "rtruediv", "and", "or", "xor", "lshift", "rshift")
for _name in (*_ARITHMETIC, "neg", "abs", "invert", "lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Value, f"__{_name}__", _written(f"__{_name}__"))
for _name in ("select", "fma", "sqrt", "to", "bits", "float_of", "isnan", "copysign", "floor", "rint"):
    setattr(Value, _name, _written(_name))


class Matrix:
    """A matrix, vector or number in memory, of which there are so many side by side; integers are i64 while one computes."""

    def __init__(
        self, pointer: str, start: Value, shape: tuple[Value, ...], strides: tuple[Value, ...], kind: str, lanes: int
    ) -> None:
        self.f, self.pointer, self.start = start.f, pointer, start
        self.shape, self.strides, self.kind, self.lanes = shape, strides, kind, lanes

    def __getitem__(self, index: Any) -> Value:
        block, at = self.f.block, self.place(index)
        if at.lanes == 1:
            found = block.load(block.address(self.pointer, at, self.kind), self.kind, self.lanes)
        else:
            found = block.gather(self.pointer, at + block.iota("i64", self.lanes), self.kind)
        return Value(self.f, found if self.kind[0] == "f" else found.to("i64"))

    def __setitem__(self, index: Any, value: Any) -> None:
        block, at = self.f.block, self.place(index)
        lane = lane_of(self.f, value) if isinstance(value, Value) else block.const(value, self.kind, self.lanes)
        lane = lane.to(self.kind).splat(self.lanes)
        if at.lanes == 1:
            block.store(lane, block.address(self.pointer, at, self.kind))
        else:
            block.scatter(lane, self.pointer, at + block.iota("i64", self.lanes))

    def place(self, index: Any) -> Lane:
        """Where an element is in the first lane; or in each, if the indices are different ones."""
        at: Any = self.start
        for i, stride in zip(index if isinstance(index, tuple) else (index,), self.strides):
            at = at + stride * i
        return lane_of(self.f, at)
