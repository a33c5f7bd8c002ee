"""Where a function finds what it uses from outside: a search through its code and through what that reaches.

It follows names: of globals, of cells of the closure, and of attributes of `self`, of objects and of modules that it reaches
in these ways; and special methods, which are reached by syntax. Values reached otherwise (by `getattr` with a name that is
computed, say) are not found.
"""

from __future__ import annotations

import array
import functools
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jitgrad.handle import Handle

CONTAINERS = (list, dict, set, tuple, deque, bytearray, array.array)
PLAIN = frozenset({bool, int, float, complex, str, bytes, type(None)})


class _Of:
    """Gives the attributes of an object; of a method, which is a new object every time, its function."""

    __slots__ = ("owner",)

    def __init__(self, owner: Any) -> None:
        self.owner = owner

    def __call__(self, name: str) -> Any:
        found = getattr(self.owner, name, None)
        return getattr(found, "__func__", found)


class Look(NamedTuple):
    """Where a value is: in a cell of a closure (then `holder` is the cell), or what `holder` gives for its name."""

    holder: Any
    name: str

    def __call__(self) -> Any:
        return self.holder.cell_contents if isinstance(self.holder, types.CellType) else self.holder(self.name)

    def place(self) -> tuple[int, str]:
        """The same for all looks at one place."""
        owner = getattr(self.holder, "owner", getattr(self.holder, "__self__", self.holder))
        return id(owner), self.name

    def text(self, value: Any, known: Callable[[Any], str]) -> str:
        """The same as an expression, where `value` is there now; `known` gives the names of objects."""
        if isinstance(self.holder, types.CellType):
            return f"{known(self.holder)}.cell_contents"
        if isinstance(self.holder, _Of) and not isinstance(value, types.FunctionType):
            return f"getattr({known(self.holder.owner)}, {self.name!r}, None)"
        return f"{known(self.holder)}({self.name!r})"


def items_of(container: Any) -> Iterable[Any]:
    """What is in a container; of a dict its values."""
    return container.values() if isinstance(container, dict) else container


class Search:
    """The state of looking for everything that a function reads, and the functions that it calls."""

    def __init__(self, looks: list[Look], function: Any) -> None:
        self.looks = looks
        self.places: set[tuple[int, str]] = set()  # where these look
        self.seen: set[tuple] = set()
        self.home = _package(getattr(function, "__module__", ""))
        self.names: dict[str, None] = {}  # in all code so far

    def _is_fixed(self, held: dict[str, Any]) -> bool:
        """Whether a module, with these globals, is of a library other than the function's own: nobody changes that."""
        package = _package(held.get("__name__", ""))
        installed = any(place in str(held.get("__file__")) for place in ("site-packages", "dist-packages"))
        return package == "jitgrad" or package in sys.stdlib_module_names or (installed and package != self.home)

    def _is_new(self, *found: Any) -> bool:
        new = found not in self.seen
        self.seen.add(found)
        return new

    def function(self, function: Any) -> None:
        """What a function reads; it may be wrapped, bound to an object, or be an object that can be called."""
        owners: list[Any] = []
        given: dict[str, Any] = {}
        while not isinstance(function, types.FunctionType):
            if isinstance(function, functools.partial):
                given |= {f"argument {i}": value for i, value in enumerate(function.args)} | function.keywords
            owners.append(getattr(function, "__self__", None))
            inner = next((found for found in (getattr(function, name, None) for name in _WRAPPED) if found is not None), None)
            if inner is None:
                inner = getattr(type(function), "__call__", None)  # noqa: B004
                owners.append(function)
                if not isinstance(inner, types.FunctionType):
                    return
            function = inner
        if not self._is_new(id(function), *map(id, [*owners, *given.values()])):
            return
        code, held = function.__code__, function.__globals__
        fixed = self._is_fixed(held)
        names = () if fixed else _names(code)
        self.names |= dict.fromkeys(names)
        for cell, name in zip(function.__closure__ or (), code.co_freevars):
            # What libraries, and our own transforms, close over is followed, since it may be a function of the user.
            self.value(Look(cell, name), names, followed=fixed)
        for name in names:
            if name in held:
                self.value(Look(held.get, name), names)
        given |= {} if fixed else _defaults(function)
        for name, value in given.items():
            if type(value) not in PLAIN:
                self.value(Look(given.get, name), names, followed=fixed)
        for owner in owners if names else ():
            self.attributes(owner, names)

    def value(self, look: Look, names: tuple[str, ...], followed: bool = False) -> None:
        """A value that code with these names may read; it is not watched if it is just `followed`."""
        try:
            value = look()
        except ValueError:  # a closure cell that is not filled yet
            return
        fixed = followed or isinstance(value, types.ModuleType) or self._is_of_library(value)
        if not fixed and look.place() not in self.places:
            self.places.add(look.place())
            self.looks.append(look)
        self.within(value, names)

    def within(self, value: Any, names: tuple[str, ...]) -> None:
        """What there is to read in a value: in a container, in attributes, by calling it."""
        if isinstance(value, CONTAINERS):
            items = items_of(value)
            if not set(map(type, items)) <= PLAIN and self._is_new(id(value), names):
                for item in items:
                    self.within(item, names)
        elif not isinstance(value, _WATCHED):
            if callable(value) and not isinstance(value, type):
                self.function(value)
            self.attributes(value, names)

    def _is_of_library(self, value: Any) -> bool:
        """Whether a value is a class or a module that nobody changes."""
        module = sys.modules.get(value.__module__) if isinstance(value, type) else value
        return isinstance(module, types.ModuleType) and self._is_fixed(vars(module))

    def attributes(self, owner: Any, names: tuple[str, ...]) -> None:
        """Those attributes of an object, a class or a module that code with these names may mean, and special methods."""
        if self._is_of_library(owner) or not self._is_new(id(owner), names):
            return
        if isinstance(owner, types.ModuleType):
            for name in names:
                if name in vars(owner):
                    self.value(Look(_Of(owner), name), names)
            return
        for name in list(vars(owner)) if hasattr(owner, "__dict__") and not isinstance(owner, type) else ():
            if name in names:
                self.value(Look(_Of(owner), name), names)
        for base in (owner if isinstance(owner, type) else type(owner)).__mro__:
            if not self._is_of_library(base):
                self._of_class(owner, vars(base), names)

    def _of_class(self, owner: Any, defined: Mapping[str, Any], names: tuple[str, ...]) -> None:
        """What a class, that of an object or one that it inherits from, defines under these names."""
        for name, found in list(defined.items()):
            if name in names:
                getter = found.fget if isinstance(found, property) else getattr(found, "func", None)  # of a cached_property
                if isinstance(found, property | functools.cached_property):
                    if getter is not None and not isinstance(owner, type):
                        self.function(functools.partial(getter, owner))
                elif _is_plainly_read(found) or (isinstance(found, types.MemberDescriptorType) and hasattr(owner, name)):
                    self.value(Look(_Of(owner), name), names)
                    if "super" in names:  # it may be overridden
                        self.value(Look(defined.get, name), ())
            if isinstance(found, types.FunctionType) and (name in names or (name[:2] == name[-2:] == "__")):
                self.function(types.MethodType(found, owner))


_WRAPPED = ("_function", "__func__", "func")


def _names(code: types.CodeType) -> tuple[str, ...]:
    """The names of globals and attributes in a piece of code, and in the functions within."""
    found = dict.fromkeys(code.co_names)
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            found |= dict.fromkeys(_names(const))
    return tuple(found)


def _defaults(function: types.FunctionType) -> dict[str, Any]:
    """The defaults of the parameters of a function by their names."""
    places, code = function.__defaults__ or (), function.__code__
    named = code.co_varnames[code.co_argcount - len(places) : code.co_argcount]
    return dict(zip(named, places)) | (function.__kwdefaults__ or {})


def _is_plainly_read(found: Any) -> bool:
    """Whether to read what a class defines runs no code of the user."""
    return isinstance(found, types.FunctionType | staticmethod | classmethod) or not hasattr(type(found), "__get__")


def _package(module: Any) -> str:
    return str(module).split(".")[0]


_WATCHED = (bool, int, float, complex, str, bytes, type(None), *CONTAINERS, np.generic, np.ndarray, Handle)
