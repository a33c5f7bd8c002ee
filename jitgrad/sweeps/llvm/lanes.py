"""LLVM text for straight-line arithmetic, written by running ordinary Python arithmetic on it.

`x * y + 1.0` on two `Lane` values appends two lines to their `Instructions` and gives the `Lane` that names the
result; loads and stores are in `blocks`.  A value is one number (`lanes=1`) or W of them side by side (`<W x float>`):
the text is a vector program as it stands, so nothing depends on whether a loop vectoriser recognises it, and W changes
no bit of any result.

There are no fast-math flags: a product and a sum are contracted where the kernel says `fma` and nowhere else, so every
machine gives the same bits.  Types never mix silently (`TypeError`); Python and NumPy scalars take the type of the
value they meet.  Intrinsics: the LLVM Language Reference, https://llvm.org/docs/LangRef.html.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

from jitgrad.sweeps.plan.machine_types import SIZES, WORDS, literal, spelled, suffix, type_of

_BIRTHS = itertools.count()


def _operator(method: str, code: str, swap: bool = False) -> Callable[[Lane, Any], Lane]:
    if swap:
        return lambda self, other: getattr(self.block.const(other, self.type), method)(code, self)
    return lambda self, other: getattr(self, method)(code, other)


def _method(name: str) -> Callable[..., Lane]:
    return lambda self, *others: self._intrinsic(name, *others)


class Declares(set[str]):
    """The `declare` lines of a module and the helper functions in it; how often each kernel is written out in it."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: Counter[tuple[str, str, int]] = Counter()


class Instructions:
    """A list of instructions under construction: one basic block, or a piece of one.

    prefix    begins every SSA name; give the blocks of one function different ones
    declares  the `declare` lines the instructions need, at the top of the module; blocks of a module share the set

    The same instruction on the same operands is written once (memory operations and calls aside), which also is what
    keeps a scalar's splat from being repeated.  An operation on values of two blocks goes into the younger one: create
    blocks in the order in which they run.
    """

    __slots__ = ("_birth", "_names", "_seen", "declares", "lines", "prefix")

    def __init__(self, prefix: str = "v", declares: Declares | None = None) -> None:
        self.prefix = prefix
        self.declares = Declares() if declares is None else declares
        self.lines: list[str] = []
        self._names = itertools.count()
        self._seen: dict[str, Lane] = {}
        self._birth = next(_BIRTHS)

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def fresh(self) -> str:
        """A name nothing else in this block has."""
        return f"%{self.prefix}{next(self._names)}"

    def value(self, name: str, type: str, lanes: int = 1) -> Lane:
        """A value that exists already (an argument, a phi, one of an earlier block), to be used in this block."""
        return Lane(self, name, type, lanes)

    def const(self, value: Any, type: str, lanes: int = 1) -> Lane:
        """A Python or NumPy number as a value."""
        text = literal(value, type)
        return Lane(self, text if lanes == 1 else f"splat ({WORDS[type]} {text})", type, lanes)

    def emit(self, text: str, type: str, lanes: int, *, pure: bool = True) -> Lane:
        """Append `%fresh = text`; an instruction already written is not repeated if it is pure."""
        if pure and (known := self._seen.get(text)) is not None:
            return known if known.type == type else Lane(self, known.name, type, lanes)  # u8 and i8 read the same
        result = Lane(self, self.fresh(), type, lanes)
        self.lines.append(f"  {result.name} = {text}")
        if pure:
            self._seen[text] = result
        return result

    def call(self, symbol: str, type: str, lanes: int, *args: Lane) -> Lane:
        """Call a pure function or intrinsic of these arguments.

        What the C library has is called as nothing that LLVM knows: of `fmod(x, nan)` for an x that is finite it makes poison.
        """
        word, plainly = spelled(type, lanes), "" if symbol.startswith("llvm.") else " nobuiltin"
        self.declares.add(f"declare {word} @{symbol}({', '.join(spelled(a.type, a.lanes) for a in args)})")
        return self.emit(f"call {word} @{symbol}({', '.join(map(str, args))}){plainly}", type, lanes)


class Lane:
    """A number, or `lanes` of them: the name of an SSA value and its type; its `str` is an operand, `float %v3`."""

    __slots__ = ("block", "lanes", "name", "type")
    __array_ufunc__ = None  # NumPy scalars leave `np.float32(2) * lane` to us

    def __init__(self, block: Instructions, name: str, type: str, lanes: int) -> None:
        self.block, self.name, self.type, self.lanes = block, name, type, lanes

    def __str__(self) -> str:
        return f"{spelled(self.type, self.lanes)} {self.name}"

    __repr__ = __str__
    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise TypeError("a traced value has no truth: both branches are computed, and select(c, a, b) picks one")

    # -- operands ------------------------------------------------------------------------------------------------

    @property
    def _float(self) -> bool:
        return self.type[0] == "f"

    @property
    def _signed(self) -> bool:
        return self.type[0] == "i" and self.type != "i1"

    def splat(self, lanes: int) -> Lane:
        """The same number in every lane."""
        if self.lanes == lanes:
            return self
        if self.lanes != 1:
            raise TypeError(f"{self.lanes} lanes cannot become {lanes}")
        if self.name[0] not in "%@":  # a constant
            return Lane(self.block, f"splat ({self})", self.type, lanes)
        wide = spelled(self.type, lanes)
        first = self.block.emit(f"insertelement {wide} poison, {self}, i32 0", self.type, lanes)
        text = f"shufflevector {first}, {wide} poison, <{lanes} x i32> zeroinitializer"
        return self.block.emit(text, self.type, lanes)

    def _with(self, *others: Any) -> list[Lane]:
        """Self and the others, all of self's type, in one block and as wide as the widest."""
        values = [self]
        for other in others:
            if not isinstance(other, Lane):
                other = self.block.const(other, self.type, self.lanes)
            elif other.type != self.type:
                raise TypeError(f"{self.type} and {other.type} do not mix: convert one with .to()")
            values.append(other)
        return level(values)

    def _binary(self, opcode: str, other: Any) -> Lane:
        x, y = self._with(other)
        if opcode in ("add", "sub", "mul"):
            if x.type == "i1":
                raise TypeError("i1 has no arithmetic: use & | ^ ~, or convert it with .to()")
            opcode = "f" + opcode if x._float else opcode
        elif (opcode == "fdiv") != x._float:
            what = "/ divides floats, // integers" if opcode == "fdiv" else f"{opcode} needs integers: take bits()"
            raise TypeError(f"{what} (this is {x.type})")
        found = x.block.emit(f"{opcode} {x}, {y.name}", x.type, x.lanes)
        # LLVM 22 (SimplifyDemandedVectorElts, up to code generation) takes 0 / 0 in a lane whose operands it knows, as those
        # behind a mask, for 0, and leaves out the select that hides the nan. It does not look behind a fence, which costs no
        # instruction.
        return found._intrinsic("arithmetic.fence") if opcode == "fdiv" and x.lanes > 1 else found

    def _compare(self, code: str, other: Any) -> Lane:
        x, y = self._with(other)
        if x._float:
            opcode = "fcmp " + {"ne": "une", "uno": "uno"}.get(code, "o" + code)
        else:
            opcode = "icmp " + (code if code in ("eq", "ne") else ("s" if x._signed else "u") + code)
        return x.block.emit(f"{opcode} {x}, {y.name}", "i1", x.lanes)

    def _intrinsic(self, name: str, *others: Any) -> Lane:
        if not self._float:
            raise TypeError(f"{name} needs a float, not {self.type}")
        values = self._with(*others)
        x = values[0]
        return x.block.call(f"llvm.{name}.{suffix(x.type, x.lanes)}", x.type, x.lanes, *values)

    # -- arithmetic ----------------------------------------------------------------------------------------------

    __add__ = _operator("_binary", "add")
    __sub__ = _operator("_binary", "sub")
    __rsub__ = _operator("_binary", "sub", swap=True)
    __mul__ = _operator("_binary", "mul")
    __truediv__ = _operator("_binary", "fdiv")
    __rtruediv__ = _operator("_binary", "fdiv", swap=True)
    __floordiv__ = _operator("_divide", "div")
    __rfloordiv__ = _operator("_divide", "div", swap=True)
    __mod__ = _operator("_divide", "rem")
    __rmod__ = _operator("_divide", "rem", swap=True)
    __and__ = _operator("_binary", "and")
    __or__ = _operator("_binary", "or")
    __xor__ = _operator("_binary", "xor")
    __lshift__ = _operator("_binary", "shl")  # by less than the width, as >>
    __radd__, __rmul__, __rand__, __ror__, __rxor__ = __add__, __mul__, __and__, __or__, __xor__
    __lt__ = _operator("_compare", "lt")
    __le__ = _operator("_compare", "le")
    __gt__ = _operator("_compare", "gt")
    __ge__ = _operator("_compare", "ge")
    __eq__ = _operator("_compare", "eq")  # type: ignore[assignment]
    __ne__ = _operator("_compare", "ne")  # type: ignore[assignment]

    def __rshift__(self, other: Any) -> Lane:
        return self._binary("ashr" if self._signed else "lshr", other)

    def _divide(self, code: str, other: Any) -> Lane:
        """Quotient towards minus infinity, or the remainder with the divisor's sign; by 0 both are 0, as in NumPy."""
        if self._float or self.type == "i1":
            raise TypeError(f"// and % divide integers, not {self.type}")
        x, y = self._with(other)
        zero = y == 0
        if not x._signed:
            return zero.select(0, x._binary("u" + code, zero.select(1, y)))
        # The two divisions that LLVM leaves undefined: by 0, and the smallest integer by -1 (which NumPy wraps).
        safe = (zero | ((y == -1) & (x == -1 << (int(x.type[1:]) - 1)))).select(1, y)
        quotient = x._binary("sdiv", safe)
        rest = x - quotient * safe
        uneven = (rest != 0) & ((rest ^ safe) < 0)
        return zero.select(0, quotient - uneven.to(x.type) if code == "div" else rest + uneven.select(safe, 0))

    def __neg__(self) -> Lane:
        return self.block.emit(f"fneg {self}", self.type, self.lanes) if self._float else 0 - self

    def __abs__(self) -> Lane:
        if self._float:
            return self._intrinsic("fabs")
        return (self < 0).select(-self, self) if self._signed else self

    def __invert__(self) -> Lane:
        return self ^ (True if self.type == "i1" else -1 if self._signed else (1 << int(self.type[1:])) - 1)

    # -- the primitives (see jitgrad.kernels.primitives) ---------------------------------------------------------

    unordered = _operator("_compare", "uno")  # true where either is NaN
    sqrt, floor, ceil, trunc = _method("sqrt"), _method("floor"), _method("ceil"), _method("trunc")
    rint, copysign, fma = _method("rint"), _method("copysign"), _method("fma")

    def isnan(self) -> Lane:
        return self.unordered(self) if self._float else self.block.const(False, "i1", self.lanes)

    def bits(self) -> Lane:
        """The float's bits as a signed integer of its width."""
        return self._cast("bitcast", "i" + self.type[1:])

    def float_of(self) -> Lane:
        """The float that has these bits."""
        return self._cast("bitcast", "f" + self.type[1:])

    def select(self, a: Any, b: Any) -> Lane:
        """a where self (i1) is true, else b; both are computed."""
        if self.type != "i1":
            raise TypeError(f"select needs an i1 condition, not {self.type}")
        if not isinstance(a, Lane):
            a = self.block.const(a, b.type if isinstance(b, Lane) else type_of(b if hasattr(b, "dtype") else a))
        a, b = a._with(b)
        c, a, b = level([self, a, b])
        return c.block.emit(f"select {c}, {a}, {b}", a.type, a.lanes)

    def _cast(self, opcode: str, type: str) -> Lane:
        return self.block.emit(f"{opcode} {self} to {spelled(type, self.lanes)}", type, self.lanes)

    def to(self, type: str) -> Lane:
        """The value as another type.

        To i1: is it not 0.  Float to integer: towards 0, and, as NumPy has it on x86, by way of 32 bits, or of 64 if
        the integer has as many, of which NaN and what is beyond give the smallest.  Between integers: modulo 2**bits.
        Into a narrower float: the nearest, ties to even, rounded once.
        """
        old = self.type
        if old == type:
            return self
        if type == "i1":
            return self != 0
        if "f16" in (old, type) and {old, type} != {"f16", "f32"}:
            # Half is converted in hardware from and to float only; anything else would call into a runtime library.
            if old == "f16":
                return self.to("f32").to(type)
            if old[1:] in ("32", "64") and old != "f32":
                return self.to("f64")._round_to_odd().to("f16")
            return self.to("f32").to("f16")
        if self._float and type[0] == "f":
            return self._cast("fpext" if SIZES[type] > SIZES[old] else "fptrunc", type)
        if self._float:
            wide = "i64" if SIZES[type] == 8 else "i32"
            limit = 2.0 ** (SIZES[wide] * 8 - 1)
            fits = abs(self) < limit
            return fits.select(fits.select(self, 0)._cast("fptosi", wide), -int(limit)).to(type)
        if type[0] == "f":
            return self._cast("sitofp" if self._signed else "uitofp", type)
        if SIZES[type] < SIZES[old]:
            return self._cast("trunc", type)
        if SIZES[type] == SIZES[old] and old != "i1":
            return Lane(self.block, self.name, type, self.lanes)  # LLVM's integers have no sign
        return self._cast("sext" if self._signed else "zext", type)

    def _round_to_odd(self) -> Lane:
        """f64 as an f32 whose last bit says whether anything was cut off, so that rounding it again is exact.

        Boldo & Melquiond, "Emulation of FMA and correctly rounded sums" (2008), theorem 3.
        """
        near = self.to("f32")
        back = near.to("f64")
        inward = near.bits() - (abs(back) > abs(self)).to("i32")
        return ((back != self) & (self == self)).select(inward | 1, near.bits()).float_of()

    def libm(self, name: str, *args: Any) -> Lane:
        """The C library's `double name(double, …)` of each lane; f32 is widened for the call and rounded after it."""
        x, *rest = self._with(*args)
        if x.type != "f64":
            return x.to("f64").libm(name, *(y.to("f64") for y in rest)).to(x.type)
        if x.lanes == 1:
            return x.block.call(name, "f64", 1, x, *rest)
        return side_by_side([x.at(k).libm(name, *(y.at(k) for y in rest)) for k in range(x.lanes)])

    def rarely(self, where: Lane, name: str, fast: Lane, *others: Any) -> Lane:
        """libm(name) of this value and others in the lanes where `where` is true, else `fast`; nowhere true, it costs a test.

        The branch is in a function that is inlined, so that the text which calls it stays a straight line.
        """
        x, where, fast, *beside = level([self, where, fast, *others])
        block, word = Instructions(declares=x.block.declares), spelled(x.type, x.lanes)
        symbol = f"rarely.{name}.{suffix(x.type, x.lanes)}"
        c, *given, new = [
            block.value(name, type, x.lanes)
            for name, type in (("%c", "i1"), *[(f"%x{k}", x.type) for k in range(1 + len(beside))], ("%fast", x.type))
        ]
        parameters = f"({', '.join(map(str, (c, *given, new)))})"
        slow = c.select(given[0].libm(name, *given[1:]), new)
        block.declares.update(_rare_call(symbol, word, parameters, x.lanes, f"{block}\n  ret {slow}"))
        return x.block.emit(f"call {word} @{symbol}({', '.join(map(str, (where, x, *beside, fast)))})", x.type, x.lanes)

    # -- across lanes --------------------------------------------------------------------------------------------

    def at(self, lane: int) -> Lane:
        """One lane as a scalar."""
        return self if self.lanes == 1 else self.block.emit(f"extractelement {self}, i32 {lane}", self.type, 1)

    def part(self, start: int, count: int, step: int = 1) -> Lane:
        """`count` lanes from `start` on, neighbours or a step apart."""
        if count == 1:
            return self.at(start)
        order = ", ".join(f"i32 {start + step * k}" for k in range(count))
        word = spelled(self.type, self.lanes)
        return self.block.emit(f"shufflevector {self}, {word} poison, <{count} x i32> <{order}>", self.type, count)

    def reduce(self, combine: Callable[[Lane, Lane], Lane]) -> Lane:
        """All lanes as one scalar: the lower half with the upper half, again and again, and what is odd at the end.

        The order is part of the text, so the result does not depend on the machine.
        """
        half = 1 << self.lanes.bit_length() - 1
        value = self.part(0, half) if half < self.lanes else self
        while half := half // 2:
            value = combine(value.part(0, half), value.part(half, half))
        rest = self.lanes - (1 << self.lanes.bit_length() - 1)
        return combine(value, self.part(self.lanes - rest, rest).reduce(combine)) if rest else value


def side_by_side(numbers: list[Lane]) -> Lane:
    """Numbers as the lanes of one value."""
    block, lanes = numbers[0].block, len(numbers)
    result = Lane(block, "poison", numbers[0].type, lanes)
    for k, number in enumerate(numbers):
        result = block.emit(f"insertelement {result}, {number}, i32 {k}", number.type, lanes)
    return result


def level(values: list[Lane]) -> list[Lane]:
    """The same values in the youngest of their blocks, the scalars among them splatted to the widest."""
    block, lanes = values[0].block, values[0].lanes
    if all(v.block is block and v.lanes == lanes for v in values):
        return values
    block = max((v.block for v in values), key=lambda b: b._birth)
    lanes = max(v.lanes for v in values)
    return [(v if v.block is block else Lane(block, v.name, v.type, v.lanes)).splat(lanes) for v in values]


def _rare_call(symbol: str, word: str, parameters: str, lanes: int, body: str) -> tuple[str, str]:
    """Two functions: `symbol`, inlined, gives %fast unless %c is true in some lane; then it calls the other, `body`."""
    slow = f"define internal {word} @slow.{symbol}{parameters} noinline cold {{\n{body}\n}}"
    return (
        slow,
        f"""define internal {word} @{symbol}{parameters} alwaysinline {{
  %all = bitcast {spelled("i1", lanes)} %c to i{lanes}
  %any = icmp ne i{lanes} %all, 0
  br i1 %any, label %slow, label %done
slow:
  %patched = call {word} @slow.{symbol}{parameters}
  br label %done
done:
  %result = phi {word} [%fast, %0], [%patched, %slow]
  ret {word} %result
}}""",
    )
