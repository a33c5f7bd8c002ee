"""Reading memory and writing it: a block of instructions with loads, stores, gathers and scatters."""

from __future__ import annotations

from jitgrad.sweeps.llvm.lanes import Declares, Instructions, Lane
from jitgrad.sweeps.plan.machine_types import SIZES, WORDS, kept, literal, spelled, suffix, word_of


class Block(Instructions):
    """`Instructions` that reach memory; `lanes` is the width W that `load`, `iota` and `mask` use unless told otherwise."""

    __slots__ = ("lanes",)

    def __init__(self, lanes: int = 1, prefix: str = "v", declares: Declares | None = None) -> None:
        super().__init__(prefix, declares)
        self.lanes = lanes

    def iota(self, type: str = "i64", lanes: int | None = None) -> Lane:
        """0, 1, … W-1."""
        lanes = self.lanes if lanes is None else lanes
        if lanes == 1:
            return self.const(0, type)
        elements = ", ".join(f"{WORDS[type]} {literal(k, type)}" for k in range(lanes))
        return Lane(self, f"<{elements}>", type, lanes)

    def spaced(self, first: Lane, step: Lane, lanes: int) -> Lane:
        """first, first + step, first + 2 step, …: the places for `gather` and `scatter`."""
        return first.splat(lanes) + self.iota("i64", lanes) * step

    def mask(self, count: Lane, lanes: int | None = None) -> Lane:
        """i1 lanes: true in the first `count` (i64, at most some millions) of them; for an incomplete vector."""
        return self.iota("i32", lanes) < count.to("i32")

    def address(self, base: str, index: Lane | int, type: str) -> str:
        """The name of the pointer to element `index` (i64) of an array of `type` at pointer `base`."""
        name = self.fresh()
        self.lines.append(f"  {name} = getelementptr {word_of(type)}, ptr {base}, i64 {getattr(index, 'name', index)}")
        return name

    def load(self, pointer: str, type: str, lanes: int | None = None, mask: Lane | None = None) -> Lane:
        """`lanes` neighbours from memory, aligned to an element; where the mask is false nothing is read: it is 0.

        The mask is one that `mask` made: true in the first lanes.
        """
        lanes = self.lanes if lanes is None else lanes
        stored, size = kept(type), SIZES[type]
        word = spelled(stored, lanes)
        if mask is None:
            text = f"load {word}, ptr {pointer}, align {size}"
        elif size < 4:
            text = f"call {word} @{self._part('load', stored, lanes)}(ptr {pointer}, {self._count(mask)})"
        else:
            # The alignment argument became an attribute in LLVM 22, whose parser still upgrades this older form.
            symbol = f"llvm.masked.load.{suffix(stored, lanes)}.p0"
            self.declares.add(f"declare {word} @{symbol}(ptr, i32, <{lanes} x i1>, {word})")
            text = f"call {word} @{symbol}(ptr {pointer}, i32 {size}, {mask}, {word} zeroinitializer)"
        return self.emit(text, stored, lanes, pure=False).to(type)

    def store(self, value: Lane, pointer: str, mask: Lane | None = None) -> None:
        """Write the lanes of `value` next to each other; where the mask is false memory is not touched."""
        size = SIZES[value.type]
        value = value.to(kept(value.type))
        if mask is None:
            self.lines.append(f"  store {value}, ptr {pointer}, align {size}")
            return
        if size < 4:
            symbol = self._part("store", value.type, value.lanes)
            self.lines.append(f"  call void @{symbol}(ptr {pointer}, {self._count(mask)}, {value})")
            return
        symbol, word = f"llvm.masked.store.{suffix(value.type, value.lanes)}.p0", spelled(value.type, value.lanes)
        self.declares.add(f"declare void @{symbol}({word}, ptr, i32, <{value.lanes} x i1>)")
        self.lines.append(f"  call void @{symbol}({value}, ptr {pointer}, i32 {size}, {mask})")

    def _count(self, mask: Lane) -> Lane:
        """In how many lanes a mask is true, as i64."""
        bits = self.emit(f"bitcast {mask} to i{mask.lanes}", f"u{mask.lanes}", 1)
        return self.call(f"llvm.ctpop.i{mask.lanes}", bits.type, 1, bits).to("u64")

    def _part(self, what: str, type: str, lanes: int) -> str:
        """The name of a function that loads or stores the first lanes only, by way of a copy in between.

        Few CPUs have masked loads of less than 4 bytes; LLVM makes a branch a lane of them, and compiling takes seconds.
        """
        name, word = f"{what}.part.{suffix(type, lanes)}", spelled(type, lanes)
        copy = "call void @llvm.memcpy.p0.p0.i64(ptr {}, ptr {}, i64 %bytes, i1 false)"
        body = [f"%copy = alloca {word}", f"%bytes = mul i64 %count, {SIZES[type]}"]
        if what == "load":
            body += [
                f"store {word} zeroinitializer, ptr %copy",
                copy.format("%copy", "%from"),
                f"%value = load {word}, ptr %copy",
                f"ret {word} %value",
            ]
            head = f"define internal {word} @{name}(ptr %from, i64 %count) noinline"
        else:
            body += [f"store {word} %value, ptr %copy", copy.format("%to", "%copy"), "ret void"]
            head = f"define internal void @{name}(ptr %to, i64 %count, {word} %value) noinline"
        self.declares |= {"declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)", f"{head} {{\n  " + "\n  ".join(body) + "\n}"}
        return name

    def _where(self, mask: Lane | None, lanes: int) -> Lane:
        return self.const(True, "i1", lanes) if mask is None else mask

    def in_turn(self, x: Lane, y: Lane) -> Lane:
        """The lanes of two values, first of one, first of the other, second of one, …"""
        order = ", ".join(f"i32 {k}, i32 {x.lanes + k}" for k in range(x.lanes))
        return self.emit(f"shufflevector {x}, {y}, <{2 * x.lanes} x i32> <{order}>", x.type, 2 * x.lanes)

    def gather(self, base: str, places: Lane, type: str, mask: Lane | None = None) -> Lane:
        """The elements at `places` (i64 lanes) of an array; where the mask is false nothing is read: it is 0."""
        lanes, stored = places.lanes, kept(type)
        word, pointers = spelled(stored, lanes), self._pointers(base, places, stored)
        symbol = f"llvm.masked.gather.{suffix(stored, lanes)}.v{lanes}p0"
        self.declares.add(f"declare {word} @{symbol}(<{lanes} x ptr>, i32, <{lanes} x i1>, {word})")
        text = f"call {word} @{symbol}({pointers}, i32 {SIZES[type]}, {self._where(mask, lanes)}, {word} zeroinitializer)"
        return self.emit(text, stored, lanes, pure=False).to(type)

    def scatter(self, value: Lane, base: str, places: Lane, mask: Lane | None = None) -> None:
        """Write the lanes of `value` to `places` (i64 lanes) of an array."""
        size, lanes = SIZES[value.type], value.lanes
        value = value.to(kept(value.type))
        pointers = self._pointers(base, places, value.type)
        symbol = f"llvm.masked.scatter.{suffix(value.type, lanes)}.v{lanes}p0"
        self.declares.add(f"declare void @{symbol}({spelled(value.type, lanes)}, <{lanes} x ptr>, i32, <{lanes} x i1>)")
        self.lines.append(f"  call void @{symbol}({value}, {pointers}, i32 {size}, {self._where(mask, lanes)})")

    def _pointers(self, base: str, places: Lane, type: str) -> str:
        name = self.fresh()
        self.lines.append(f"  {name} = getelementptr {WORDS[type]}, ptr {base}, {places}")
        return f"<{places.lanes} x ptr> {name}"
