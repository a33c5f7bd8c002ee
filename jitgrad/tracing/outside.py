"""What a function uses from outside: numbers, tensors and lists in its globals, in its closure, among the defaults of its
parameters, and in attributes.

`jit` records a function once, so a number that it read from outside is part of the tape. Were that number changed
later, the tape would silently go on with the old one. So the values are looked at again at every call and are part of
the key: a changed one records anew. `search` says which these are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from operator import is_
from typing import Any, NamedTuple

import numpy as np

from jitgrad import dtypes
from jitgrad.base.tree import flatten
from jitgrad.tape.handle import Handle
from jitgrad.tracing.looks import Look
from jitgrad.tracing.search import CONTAINERS, MAPPINGS, OCTETS, PLAIN, Search, items_of
from jitgrad.tracing.unrepeatable import watching


class _Seen(NamedTuple):
    """Where values are and what they were; replaced as a whole, since other threads may be reading it."""

    looks: list[Look]
    fixed: list[tuple]  # those that are the same as long as they are the same object
    moving: list[tuple]
    state: tuple
    places: dict[tuple, Any]  # the states by place


class Watch:
    """Values that may change. `changed()` is quick; `state()` is their part of a key. `find()` says where they are, and
    whether an equal object is another one, since the code asks which it is; it is asked again after a change."""

    def __init__(self, find: Callable[[], tuple[list[Look], bool]]) -> None:
        self._find = find
        self._seen = _Seen([], [], [], (), {})

    def search(self) -> None:
        """Look for the values again."""
        looks, exact = self._find()
        values = [look() for look in looks]
        states = [state(value, exact=exact) for value in values]
        fixed = [(look, value) for look, value in zip(looks, values) if _stays(value)]
        moving = [
            (look, now, None if exact else _copy(value), exact)
            for look, value, now in zip(looks, values, states)
            if not _stays(value)
        ]
        self._seen = _Seen(looks, fixed, moving, tuple(states), {look.place(): now for look, now in zip(looks, states)})

    def search_after(self) -> None:
        """Look for the values again after a recording, which may have brought some (those in a cache, say). If it changed
        others these are no longer as they were read, and all stays as it is."""
        before = self._seen
        self.search()
        if any(self._seen.places.get(place) != known for place, known in before.places.items()):
            self._seen = before

    def conditions(self, known: Callable[[Any], str]) -> list[str]:
        """Expressions of which one is true if a value is another than now."""
        seen = self._seen
        found = [f"{look.text(value, known)} is not {known(value)}" for look, value in seen.fixed]
        return found + [condition for moving in seen.moving for condition in _conditions(known, *moving)]

    def changed(self) -> bool:
        """Whether anything is different from what `state()` last said."""
        seen = self._seen
        return any(look() is not value for look, value in seen.fixed) or any(_is_other(*moving) for moving in seen.moving)

    def state(self) -> tuple:
        """The state of all values now, hashable."""
        if self.changed():
            self.search()
        return self._seen.state

    def names(self, state: tuple) -> str:
        """The names of the values that are others now than in a former state, or of all."""
        now = [look.name for look in self._seen.looks]
        moved = [name for name, old, new in zip(now, state, self._seen.state) if old != new]
        return ", ".join(dict.fromkeys(moved if len(state) == len(now) else now))


MOST_OBJECTS = 16
"""For how many objects among the arguments it is remembered what there is to look at."""


class Outside(Watch):
    """The values that a function uses from outside; none are known before the first `search()`."""

    def __init__(self, function: Callable) -> None:
        self._function = function
        self._objects: dict[int, tuple[Any, Watch]] = {}
        self._search = Search([], function)
        super().__init__(self._of_function)

    def _of_function(self) -> tuple[list[Look], bool]:
        search = Search([Look(dtypes.settings.get, "default dtype")], self._function)
        search.of(self._function)
        self._search, self._objects = search, {}
        return search.looks, search.identity

    def state_with(self, objects: list[Any], anew: bool = False) -> tuple:
        """The state of all values, and of those in objects among the arguments; `anew` after searching again."""
        if anew:
            self.search()
        return (self.state(), *[self.of_argument(x).state() for x in objects])

    def asks_types(self) -> bool:
        """Whether the function, or one that it calls, may do something else for an object of another type."""
        return self._search.asks_types

    def of_argument(self, value: Any) -> Watch:
        """What the function may read of an object that it is given."""
        known = self._objects.get(id(value))
        if known is None or known[0] is not value:
            if len(self._objects) >= MOST_OBJECTS:
                self._objects = {}
            known = self._objects[id(value)] = value, Watch(lambda: self._looks_into(value))
            known[1].search()
        return known[1]

    def _looks_into(self, value: Any) -> tuple[list[Look], bool]:
        search = Search([], self._function)
        search.of(self._function, value)
        return [look for look in search.looks if look.place() not in self._search.places], search.identity

    @contextmanager
    def watching(self, arguments: Any, doubts: list[tuple[str, ...] | None]) -> Iterator[None]:
        """In here the function, given these arguments, must not do what cannot be repeated: see `unrepeatable`. Afterwards
        `doubts` have the names of what it reached that nobody knows more of; None if the user has been warned."""
        search, leaves = self._search, []  # type: ignore[var-annotated]
        flatten(arguments, leaves)
        if not all(leaf.__class__ in PLAIN or isinstance(leaf, (Handle, np.ndarray, np.generic)) for leaf in leaves):
            search = Search([], self._function)
            search.of(self._function, arguments)
        with watching(search) if search.suspect else nullcontext():
            yield
        arrays = search.writes and any(isinstance(x, np.ndarray) for x in _all_in([look() for look in search.looks]))
        doubts.append(None if search.warned else (*search.doubts, *(["an array that it may change"] if arrays else [])))

    def tensors(self) -> list[tuple[Handle, Any]]:
        """The tensors among the values, also those in lists and the like, with what `contents` says of each."""
        return [(value, contents(value)) for value in _all_in([look() for look in self._seen.looks]) if isinstance(value, Handle)]

    def memory(self, arguments: Any) -> list[Any]:
        """The tensors, arrays and numbers by NumPy among the values, and in the objects among the arguments."""
        looks = [*self._seen.looks, *self._looks_into(arguments)[0]]
        return [value for value in _all_in([look() for look in looks]) if isinstance(value, (Handle, np.ndarray, np.generic))]


def _is_other(look: Look, before: Any, copy: Any, exact: bool) -> bool:
    """Whether a container is another, or holds something else, than before."""
    now = look()
    return (copy is None or not _holds(now, copy)) and state(now, exact=exact) != before


FEW = 8
"""Items of a container that are compared one by one, written out."""


def _conditions(known: Callable[[Any], str], look: Look, before: Any, copy: Any, exact: bool) -> list[str]:
    """`_is_other` as expressions."""
    if copy is None or len(copy) > FEW:
        return [f"{known(functools.partial(_is_other, look, before, copy, exact))}()"]
    name, kind = known(None), copy.__class__
    found = [f"({name} := {look.text(copy, known)}).__class__ is not {known(kind)}"]
    if kind is dict:
        items = [f"{name}[{known(key)}] is not {known(value)}" for key, value in copy.items()]
        return [" or ".join([*found, f"list({name}) != {known(list(copy))}", *items])]
    items = [f"{name}[{i}] is not {known(value)}" for i, value in enumerate(copy)]
    return [" or ".join([*found, f"len({name}) != {len(copy)}", *items])]


def _stays(value: Any) -> bool:
    """Whether the state of a value is the same as long as it is the same object."""
    return not isinstance(value, CONTAINERS) or (isinstance(value, tuple) and all(map(_stays, value)))


def _copy(value: Any) -> Any:
    """A copy of a list or dict of nothing but what stays; None of another container."""
    return value.copy() if value.__class__ in (list, dict) and all(map(_stays, items_of(value))) else None


def _all_in(values: list[Any]) -> Iterable[Any]:
    """Those values, and what is in the containers among them."""
    waiting, seen = list(values), set()
    while waiting:
        value = waiting.pop()
        if id(value) not in seen:
            seen.add(id(value))
            yield value
            if isinstance(value, CONTAINERS) and not isinstance(value, OCTETS):
                waiting += items_of(value)


def _holds(value: Any, copy: Any) -> bool:
    """Whether there are just the same objects in a container, which takes a hundredth of asking for its `state`."""
    if value.__class__ is not copy.__class__ or len(value) != len(copy) or not all(map(is_, value, copy)):
        return False
    return copy.__class__ is not dict or all(map(is_, value.values(), copy.values()))


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


def state(value: Any, above: tuple[int, ...] = (), exact: bool = False) -> Any:
    """Something hashable that changes when `value` does: numbers by type and value, containers by what is in them.

    Tensors and arrays are told apart by identity, and if `exact` everything is as well. `above` are the containers that it
    is in.
    """
    found = _state(value, above, exact)
    return (_Same(value), found) if exact else found


def _state(value: Any, above: tuple[int, ...], exact: bool) -> Any:
    if isinstance(value, (bool, int, str, bytes, type(None))):
        return (value.__class__, value)
    if isinstance(value, np.generic):
        return (value.__class__, value.tobytes())
    if isinstance(value, (float, complex)):
        return (value.__class__, repr(value))  # tells -0.0 from 0.0, and nan is equal to itself
    if isinstance(value, OCTETS):
        return (value.__class__, bytes(value))
    if not isinstance(value, (*CONTAINERS, frozenset)) or len(above) > _DEEPEST:
        return _Same(value)
    if id(value) in above:
        return (value.__class__, above.index(id(value)))
    above = (*above, id(value))
    if isinstance(value, MAPPINGS):
        return (value.__class__, tuple([(_key(k), state(v, above, exact)) for k, v in value.items()]))
    return (value.__class__, tuple([state(v, above, exact) for v in items_of(value)]))


_DEEPEST = 100


def _key(key: Any) -> Any:
    return _Same(key) if key.__hash__ is None else state(key)
