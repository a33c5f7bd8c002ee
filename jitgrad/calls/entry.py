"""The quick way into a compiled function: Python written for one kind of arguments.

What a call costs beside the machine code is sorting out its arguments and wrapping its results. Both are known once a
kind of arguments has been seen, so they are written out as a function without loops: it checks that the arguments are
of that kind (else it returns `MISS`, and the general way is taken), runs the tape and wraps the results.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from jitgrad.base.tree import COMPUTED, base_of, put_together, slots, taken_apart, told_apart
from jitgrad.calls.fresh import fresh, is_mutable
from jitgrad.calls.kinds import INT_BOUND, Scalar, is_itself_alone
from jitgrad.tape.device_array import DeviceArray
from jitgrad.tensors.tensor import Tensor

MISS = object()


class Failed:
    """Stands for the results of a tape that is wrong for these values: that guard of it fails, or (0) the tape does."""

    __slots__ = ("guard",)

    def __init__(self, guard: Any) -> None:
        self.guard = int(guard)


def write_entry(
    structure: Any,
    kinds: list[Any],
    captured: list[tuple[Any, Any]],
    run: Callable,
    direct: Any,
    results: tuple,
    conditions: Callable[[Callable[[Any], str]], list[str]],
    others: Callable | None = None,
    laid: Mapping[int, Any] = MappingProxyType({}),
    loose: bool = False,
) -> Callable:
    """`entry(args)` for arguments of that structure and those kinds; see `jit` for what a kind is.

    `captured` holds the tensors used from outside with their kinds, `results` the structure and the fixed leaves of what
    the function returns. `conditions` gives the expressions that say (by being true) that the general way must be taken;
    it is given a function that makes names for objects. `direct` is how to run the tape in one C function that looks at
    arguments and makes tensors itself (see `sweeps.program`), or None: then `run` is called with values. It is called, too,
    for what the C function does not take, such as arrays with gaps.

    `laid` says how some of the leaves must lie in memory: see `strides.lies`.

    With `others` the tape has a further output, the number of a guard that failed or 0 (see `jitted.paths`). If it is not 0 the
    result is that of `others(args, number)`, or with `entry(args, True)` a `Failed`. If it is `loose` a number by NumPy is as
    good as a tensor that holds one.
    """
    text = _Text(loose)
    names = iter([f"x{i}" for i in range(len(kinds))])
    used: list[str] = []
    text.unpack("args", structure, names, used, given=True)
    for condition in conditions(text.known):
        text.miss_if(condition)
    leaves = list(zip(used, kinds)) + [(text.known(handle), kind) for handle, kind in captured]
    static = [(name, kind) for name, kind in leaves if isinstance(kind, tuple) and not isinstance(kind[0], np.dtype)]
    for name, (cls, value) in static:
        if is_itself_alone((cls, value)):
            text.miss_if(f"{name} is not {text.known(value)}")
        else:
            text.miss_if(f"{name}.__class__ is not {text.known(cls)} or {name} != {text.known(value)}")
    moving = [leaf for leaf in leaves if leaf not in static]
    for name, kind in moving:
        if kind is int:
            text.take_int(name)
    count = sum(output is COMPUTED for output in results[1])
    begun = text.copy()

    @functools.cache
    def by_values() -> Callable:
        text = begun.copy()
        text.run_values(moving, run, count, others, laid)
        text.results(*results)
        return text.function()

    if direct is None:
        return by_values()
    text.run_direct([name for name, _ in moving], direct, count, by_values, others)
    text.results(*results)
    return text.function()


class _Text:
    """The function under construction: its lines, and the objects that they name."""

    def __init__(self, loose: bool) -> None:
        self.loose = loose
        self.lines = ["def entry(args, one=False):"]
        self.names: dict[str, Any] = {
            "MISS": MISS,
            "Failed": Failed,
            "Tensor": Tensor,
            "new": Tensor.__new__,
            "ndarray": np.ndarray,
            "float64": np.float64,
            "int64": np.int64,
        }

    def copy(self) -> _Text:
        """The same beginning, to be gone on with in another way."""
        text = _Text(self.loose)
        text.lines, text.names = list(self.lines), dict(self.names)
        return text

    def known(self, value: Any) -> str:
        """A name for an object."""
        name = f"k{len(self.names)}"
        self.names[name] = value
        return name

    def miss_if(self, condition: str) -> None:
        self.lines += [f"    if {condition}:", "        return MISS"]

    def take_int(self, name: str) -> None:
        """Lines that make an int that is an input a number by NumPy."""
        self.miss_if(f"{name}.__class__ is not int or not {-INT_BOUND} < {name} < {INT_BOUND}")
        self.lines.append(f"    {name} = int64({name})")

    def unpack(self, name: str, structure: Any, fresh: Iterator[str], used: list[str], given: bool = False) -> None:
        """Lines that take a tree of the given structure apart; its leaves get names, in order. Arguments are a tuple."""
        kind, parts = structure[0], structure[-1]
        if not given:
            self.miss_if(f"{name}.__class__ is not {self.known(kind)}")
        source = name
        if kind is dict:
            self.miss_if(f"len({name}) != {len(parts)} or {self._other_keys(f'tuple({name})', structure)}")
            source = f"{name}.values()"
        elif len(structure) == 2:
            self.miss_if(f"len({name}) != {len(parts)}")
        elif _is_plain_dataclass(kind, structure[1]):
            self.miss_if(f"{name}.__dict__.keys() != {self.known({key.name for key in structure[1]})}")
            source = "".join(f"{name}.__dict__['{key}'], " for key in structure[1])
        else:
            self.lines.append(f"    keys, {name}_parts = {self.known(taken_apart)}({name})")
            self.miss_if(self._other_keys("keys", structure))
            source = f"{name}_parts"
        inner = [f"{name}_{i}" if part is not None else next(fresh) for i, part in enumerate(parts)]
        if inner:
            self.lines.append(f"    {', '.join(inner)}, = {source}")
        for part, part_name in zip(parts, inner):
            if part is None:
                used.append(part_name)
            else:
                self.unpack(part_name, part, fresh, used)

    def _other_keys(self, given: str, structure: Any) -> str:
        """Whether keys are not those of a structure, as an expression."""
        if len(structure) == 3:
            return f"{given} != {self.known(structure[1])}"
        return f"{self.known(told_apart)}({given}) != {self.known(structure[1:-1])}"

    def turn_if(self, failed: str, others: Callable) -> None:
        """Lines that leave the call to other tapes if a guard of this one failed."""
        self.lines.append(f"    if {failed}:")
        self.lines.append(f"        return Failed({failed}) if one else {self.known(others)}(args, int({failed}))")

    def run_direct(
        self, leaves: list[str], direct: Any, count: int, otherwise: Callable[[], Callable], others: Callable | None
    ) -> None:
        """Lines that leave everything to the C function, or if it does not take the arguments to the entry `otherwise()`."""
        made = [f"{self.known(make)}()" for make in direct.made]
        self.names["direct"] = direct  # keeps alive what is at that address
        self.lines.append(f"    r = {self.known(direct.enter)}({', '.join([str(direct.plan.address), *leaves, *made])})")
        self.lines += ["    if r is None:", f"        return {self.known(otherwise)}()(args, one)"]
        names = [f"t{i}" for i in range(count)] + ["failed"] * (others is not None)
        if names:
            self.lines.append(f"    {', '.join(names)}, = r")
        if others is not None:
            self.turn_if("failed._value", others)

    def run_values(
        self, leaves: list[tuple[str, Any]], run: Callable, count: int, others: Callable | None, laid: Mapping[int, Any]
    ) -> None:
        """Lines that look at the leaves one by one, run the tape with their values and wrap its results."""
        values = [self._value(i, name, kind) for i, (name, kind) in enumerate(leaves)]
        for i, how in laid.items():
            alike = f"v{i}.flags.c_contiguous" if how is None else f"v{i}.strides == {self.known(how)}"
            self.miss_if(f"not {alike}")
        self.names["run"] = run
        call = f"r = run({', '.join(values)})"
        if others is None:
            self.lines.append(f"    {call}")
        else:  # what is wrong for these values may fail
            failed = f"        return Failed(0) if one else {self.known(others)}(args, 0)"
            self.lines += ["    try:", f"        {call}", "    except Exception:", failed]
            self.turn_if(f"r[{count}]", others)
        for i in range(count):
            self.lines += [
                f"    t{i} = new(Tensor)",
                f"    t{i}._value = r[{i}]",
                f"    t{i}._row = t{i}._storage = t{i}._view = None",
            ]

    def _value(self, i: int, name: str, kind: Any) -> str:
        """Lines that make sure of the kind of a leaf, a tensor or what one can be made of, and the value that it stands for."""
        if kind is float:
            self.miss_if(f"{name}.__class__ is not float")
            return f"float64({name})"
        if kind is int:
            return name
        if isinstance(kind, Scalar):
            self.miss_if(f"{name}.__class__ is not {self.known(kind.type)}")
            return name
        dtype, shape, *device = (np.dtype(kind), ()) if isinstance(kind, type) else kind
        unlike = f"(v{i}.__class__ is not ndarray or v{i}.dtype is not {self.known(dtype)} or v{i}.shape != {self.known(shape)})"
        if device == [None]:  # an array, where a tensor would have to be on the device
            self.miss_if(f"{name}.__class__ is not ndarray")
        elif device:
            cls, compute = self.known(DeviceArray), self.known(device[0])
            unlike = unlike.replace("ndarray", cls, 1)[:-1] + f" or v{i}.compute is not {compute})"
        elif shape == ():  # a number, or an array without dimensions
            unlike = f"v{i}.__class__ is not {self.known(kind)} and {unlike}"
        self.lines += [
            f"    v{i} = {name}",
            f"    if {name}.__class__ is Tensor:",
            f"        v{i} = {name}._value",
            f"        row = {name}._row",
            "        if row is not None and row.requires:",
            "            return MISS",
        ]
        if isinstance(kind, type) and not self.loose:
            self.lines += [f"    elif {name}.__class__ is {self.known(kind)}:", "        return MISS"]
        self.miss_if(unlike)
        return f"v{i}"

    def results(self, structure: Any, outputs: list[Any]) -> None:
        """The line that returns the results in their structure; an output is COMPUTED, or a fixed object."""
        computed = iter([f"t{i}" for i in range(len(outputs))])
        leaves = [next(computed) if output is COMPUTED else self._fixed(output) for output in outputs]
        self.lines.append(f"    return {self._built(structure, iter(leaves))}")

    def _fixed(self, output: Any) -> str:
        """The expression for a fixed result."""
        return f"{self.known(fresh)}({self.known(output)})" if is_mutable(output) else self.known(output)

    def _built(self, structure: Any, leaves: Iterator[str]) -> str:
        """The expression that builds a tree."""
        if structure is None:
            return next(leaves)
        kind = structure[0]
        parts = [self._built(part, leaves) for part in structure[-1]]
        if kind is dict:
            return "{" + ", ".join(f"{self.known(key)}: {part}" for key, part in zip(structure[1], parts)) + "}"
        if kind is list:
            return f"[{', '.join(parts)}]"
        if kind is tuple:
            return f"({', '.join(parts)}{',' * (len(parts) == 1)})"
        return f"{self.known(put_together)}({self.known(kind)}, {self.known(structure[1])}, [{', '.join(parts)}])"

    def function(self) -> Callable:
        exec(compile("\n".join(self.lines), "<entry of a compiled function>", "exec"), self.names)
        return self.names["entry"]


def _is_plain_dataclass(kind: Any, keys: tuple) -> bool:
    """Whether objects of a class have nothing but the attributes in their `__dict__`, and those are `keys`."""
    return base_of(kind) is object and hasattr(kind, "__dict__") and not slots(kind) and bool(keys)
