"""The quick way into a compiled function: Python written for one kind of arguments.

What a call costs beside the machine code is sorting out its arguments and wrapping its results. Both are known once a
kind of arguments has been seen, so they are written out as a function without loops: it checks that the arguments are
of that kind (else it returns `MISS`, and the general way is taken), runs the tape and wraps the results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jitgrad.tensor import Tensor
from jitgrad.transforms import COMPUTED

MISS = object()


def write_entry(
    structure: Any,
    kinds: list[Any],
    captured: list[tuple[Any, Any]],
    run: Callable,
    results: tuple,
    conditions: list[Callable],
) -> Callable:
    """`entry(args)` for arguments of that structure and those kinds; see `jit` for what a kind is.

    `captured` holds the tensors used from outside with their kinds, `results` the structure and the fixed leaves of what
    the function returns, and each of `conditions` says (by returning true) that the general way must be taken.
    """
    text = _Text()
    names = iter([f"x{i}" for i in range(len(kinds))])
    used: list[str] = []
    text.unpack("args", structure, names, used)
    for name, kind in zip(used, kinds):
        text.check(name, kind)
    for i, (handle, kind) in enumerate(captured):
        text.names[f"c{i}"] = handle
        text.check(f"c{i}", kind)
    for i, condition in enumerate(conditions):
        text.names[f"bad{i}"] = condition
        text.miss_if(f"bad{i}()")
    text.names["run"] = run
    text.lines.append(f"    r = run({', '.join(text.values)})")
    text.results(*results)
    return text.function()


class _Text:
    """The function under construction: its lines, and the objects that they name."""

    def __init__(self) -> None:
        self.lines = ["def entry(args):"]
        self.values: list[str] = []
        self.names: dict[str, Any] = {
            "MISS": MISS, "Tensor": Tensor, "new": Tensor.__new__, "ndarray": np.ndarray, "float64": np.float64,
        }  # fmt: skip

    def known(self, value: Any) -> str:
        """A name for an object."""
        name = f"k{len(self.names)}"
        self.names[name] = value
        return name

    def miss_if(self, condition: str) -> None:
        self.lines += [f"    if {condition}:", "        return MISS"]

    def unpack(self, name: str, structure: Any, fresh: Iterator[str], used: list[str]) -> None:
        """Lines that take a tree of the given structure apart; its leaves get names, in order."""
        kind, parts = structure[0], structure[-1]
        self.miss_if(f"{name}.__class__ is not {self.known(kind)} or len({name}) != {len(parts)}")
        source = name
        if kind is dict:
            self.miss_if(f"tuple({name}) != {self.known(structure[1])}")
            source = f"{name}.values()"
        inner = [f"{name}_{i}" if part is not None else next(fresh) for i, part in enumerate(parts)]
        if inner:
            self.lines.append(f"    {', '.join(inner)}, = {source}")
        for part, part_name in zip(parts, inner):
            if part is None:
                used.append(part_name)
            else:
                self.unpack(part_name, part, fresh, used)

    def check(self, name: str, kind: Any) -> None:
        """Lines that make sure of the kind of a leaf, and the value that it stands for."""
        if kind is float:
            self.miss_if(f"{name}.__class__ is not float")
            self.values.append(f"float64({name})")
        elif isinstance(kind, type):
            self._check_tensor(name, f"v.__class__ is not {self.known(kind)}")
        elif isinstance(kind[0], np.dtype):
            same = f"v.dtype is not {self.known(kind[0])} or v.shape != {self.known(kind[1])}"
            self._check_tensor(name, f"v.__class__ is not ndarray or {same}")
        else:
            self.miss_if(f"{name}.__class__ is not {self.known(kind[0])} or {name} != {self.known(kind[1])}")

    def _check_tensor(self, name: str, unlike: str) -> None:
        value = f"v{len(self.values)}"
        self.miss_if(f"{name}.__class__ is not Tensor")
        self.lines += [f"    v = {value} = {name}._value"]
        self.miss_if(unlike)
        self.lines += [f"    row = {name}._row"]
        self.miss_if("row is not None and row.requires")
        self.values.append(value)

    def results(self, structure: Any, outputs: list[Any]) -> None:
        """Lines that wrap the results and return them in their structure; an output is COMPUTED, or a fixed object."""
        leaves = []
        computed = 0
        for output in outputs:
            if output is not COMPUTED:
                leaves.append(self.known(output))
                continue
            t = f"t{computed}"
            self.lines += [f"    {t} = new(Tensor)", f"    {t}._value = r[{computed}]",
                           f"    {t}._row = {t}._storage = {t}._view = None"]  # fmt: skip
            leaves.append(t)
            computed += 1
        self.lines.append(f"    return {self._built(structure, iter(leaves))}")

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
        return f"{self.known(kind)}({', '.join(parts)})"

    def function(self) -> Callable:
        exec(compile("\n".join(self.lines), "<entry of a compiled function>", "exec"), self.names)
        return self.names["entry"]
