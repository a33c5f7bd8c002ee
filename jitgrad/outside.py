"""What a function uses from outside: numbers, tensors and lists in its globals, in its closure, among the defaults of its
parameters, and in attributes.

`jit` records a function once, so a number that it read from outside is part of the tape. Were that number changed
later, the tape would silently go on with the old one. So the values are looked at again at every call and are part of
the key: a changed one records anew. Attributes are those whose names the code has, of `self`, and of objects and modules
that it reaches in these ways. Values reached otherwise (by `getattr` with a name that is computed, say) are not seen.
"""

from __future__ import annotations

import array
import functools
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from operator import is_
from typing import Any, NamedTuple

import numpy as np

from jitgrad import dtypes
from jitgrad.handle import Handle


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


class Watch:
    """Values that may change. `changed()` is quick; `state()` is their part of a key. `find()` says where they are, and is
    asked again after a change."""

    def __init__(self, find: Callable[[], list[Look]]) -> None:
        self._find = find
        self._take()

    def _take(self) -> None:
        self._looks = self._find()
        values = [look() for look in self._looks]
        self._fixed = [(look, v) for look, v in zip(self._looks, values) if _stays(v)]
        self._moving = [(look, state(v), _copy(v)) for look, v in zip(self._looks, values) if not _stays(v)]
        self._state = tuple([state(v) for v in values])

    def conditions(self, known: Callable[[Any], str]) -> list[str]:
        """Expressions of which one is true if a value is another than now."""
        found = [f"{look.text(value, known)} is not {known(value)}" for look, value in self._fixed]
        return found + [condition for moving in self._moving for condition in _conditions(*moving, known)]

    def changed(self) -> bool:
        """Whether anything is different from what `state()` last said."""
        return any(look() is not value for look, value in self._fixed) or any(_is_other(*moving) for moving in self._moving)

    def state(self) -> tuple:
        """The state of all values now, hashable."""
        if self.changed():
            self._take()
        return self._state

    def names(self, state: tuple) -> str:
        """The names of the values that are others now than in a former state, or of all."""
        now = [look.name for look in self._looks]
        moved = [name for name, old, new in zip(now, state, self._state) if old != new]
        return ", ".join(dict.fromkeys(moved if len(state) == len(now) else now))


MOST_OBJECTS = 16
"""For how many objects among the arguments it is remembered what there is to look at."""


class Outside(Watch):
    """The values that a function uses from outside."""

    def __init__(self, function: Callable) -> None:
        self._function = function
        self._objects: dict[int, tuple[Any, Watch]] = {}
        super().__init__(self._of_function)

    def _of_function(self) -> list[Look]:
        looks = [Look(dtypes.settings.get, "default dtype")]
        self._search = _Search(looks, self._function)
        self._search.function(self._function)
        self._objects = {}
        return looks

    def of_argument(self, value: Any) -> Watch:
        """What the function may read of an object that it is given."""
        known = self._objects.get(id(value))
        if known is None or known[0] is not value:
            if len(self._objects) >= MOST_OBJECTS:
                self._objects = {}
            known = self._objects[id(value)] = value, Watch(lambda: self._looks_into(value))
        return known[1]

    def _looks_into(self, value: Any) -> list[Look]:
        search = _Search([], self._function)
        search.within(value, tuple(self._search.names))
        return search.looks

    def tensors(self) -> list[tuple[Handle, Any]]:
        """The tensors among the values, also those in lists and the like, with what `contents` says of each."""
        return [(value, contents(value)) for value in _all_in([look() for look in self._looks]) if isinstance(value, Handle)]

    def memory(self, arguments: Any) -> list[Any]:
        """The tensors, arrays and numbers by NumPy among the values, and in the objects among the arguments."""
        looks = [*self._looks, *self._looks_into(arguments)]
        return [value for value in _all_in([look() for look in looks]) if isinstance(value, (Handle, np.ndarray, np.generic))]


_MUTABLE = (list, dict, set, tuple, deque, bytearray, array.array)
_PLAIN = frozenset({bool, int, float, complex, str, bytes, type(None)})


def _is_other(look: Look, before: Any, copy: Any) -> bool:
    """Whether a container is another, or holds something else, than before."""
    now = look()
    return (copy is None or not _holds(now, copy)) and state(now) != before


FEW = 8
"""Items of a container that are compared one by one, written out."""


def _conditions(look: Look, before: Any, copy: Any, known: Callable[[Any], str]) -> list[str]:
    """`_is_other` as expressions."""
    if copy is None or len(copy) > FEW:
        return [f"{known(functools.partial(_is_other, look, before, copy))}()"]
    name, kind = known(None), copy.__class__
    found = [f"({name} := {look.text(copy, known)}).__class__ is not {known(kind)}"]
    if kind is dict:
        items = [f"{name}[{known(key)}] is not {known(value)}" for key, value in copy.items()]
        return [" or ".join([*found, f"list({name}) != {known(list(copy))}", *items])]
    items = [f"{name}[{i}] is not {known(value)}" for i, value in enumerate(copy)]
    return [" or ".join([*found, f"len({name}) != {len(copy)}", *items])]


def _stays(value: Any) -> bool:
    """Whether the state of a value is the same as long as it is the same object."""
    return not isinstance(value, _MUTABLE) or (isinstance(value, tuple) and all(map(_stays, value)))


def _copy(value: Any) -> Any:
    """A copy of a list or dict of nothing but what stays; None of another container."""
    return value.copy() if value.__class__ in (list, dict) and all(map(_stays, _items(value))) else None


def _all_in(values: list[Any]) -> Iterable[Any]:
    """Those values, and what is in the containers among them."""
    waiting, seen = list(values), set()
    while waiting:
        value = waiting.pop()
        if id(value) not in seen:
            seen.add(id(value))
            yield value
            if isinstance(value, _MUTABLE) and not isinstance(value, bytearray | array.array):
                waiting += _items(value)


def _items(container: Any) -> Iterable[Any]:
    return container.values() if isinstance(container, dict) else container


def _holds(value: Any, copy: Any) -> bool:
    """Whether there are just the same objects in a container, which takes a hundredth of asking for its `state`."""
    if value.__class__ is not copy.__class__ or len(value) != len(copy) or not all(map(is_, value, copy)):
        return False
    return copy.__class__ is not dict or all(map(is_, value.values(), copy.values()))


class _Search:
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
            if type(value) not in _PLAIN:
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
        if isinstance(value, _MUTABLE):
            items = _items(value)
            if not set(map(type, items)) <= _PLAIN and self._is_new(id(value), names):
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


_WATCHED = (bool, int, float, complex, str, bytes, type(None), *_MUTABLE, np.generic, np.ndarray, Handle)


def contents(handle: Handle) -> tuple[Any, int]:
    """What changes when a tensor is changed in place; that of a number may be moved to memory without being changed."""
    value = handle._value
    number = value is not None and value.ndim == 0
    return value.tobytes() if number else _Same(value), 0 if handle._storage is None else handle._storage.version


class _Same:
    """A key that is equal for the same object alone, and keeps it alive so that no other can take its place."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def state(value: Any, above: tuple[int, ...] = ()) -> Any:
    """Something hashable that changes when `value` does: numbers by type and value, containers by what is in them.

    Tensors and arrays are told apart by identity. `above` are the containers that it is in.
    """
    if isinstance(value, (bool, int, str, bytes, type(None))):
        return (value.__class__, value)
    if isinstance(value, np.generic):
        return (value.__class__, value.tobytes())
    if isinstance(value, (float, complex)):
        return (value.__class__, repr(value))  # tells -0.0 from 0.0, and nan is equal to itself
    if isinstance(value, (bytearray, array.array)):
        return (value.__class__, bytes(value))
    if not isinstance(value, (*_MUTABLE, frozenset)) or len(above) > _DEEPEST:
        return _Same(value)
    if id(value) in above:
        return (value.__class__, above.index(id(value)))
    above = (*above, id(value))
    if isinstance(value, dict):
        return (value.__class__, tuple([(_key(k), state(v, above)) for k, v in value.items()]))
    return (value.__class__, tuple([state(v, above) for v in value]))


_DEEPEST = 100


def _key(key: Any) -> Any:
    return _Same(key) if key.__hash__ is None else state(key)
