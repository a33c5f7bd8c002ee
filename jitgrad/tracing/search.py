"""Where a function finds what it uses from outside: a search through its code and through what that reaches.

It starts at the function and goes on to every function, object, class and module of the user that is reached: from globals,
cells of closures, defaults, and attributes. Of an object it takes those attributes whose names are read anywhere in the code
that was found, of whatever object; so it does not matter how an object comes to the code that reads it. Where code reads
attributes whose names are strings (`getattr`), the strings in the code and in what it reads count as names; where it puts
names together, or asks for all attributes (`vars`), all count.
"""

from __future__ import annotations

import array
import builtins
import contextvars
import functools
import gc
import importlib.util
import operator
import os
import random
import sys
import types
import weakref
from collections import abc, deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from jitgrad.record.trace import grad_enabled
from jitgrad.tape.handle import Handle
from jitgrad.tracing.looks import Held, Look, Of, defined
from jitgrad.tracing.reading import reads
from jitgrad.tracing.repeatable import doubted, may_draw, package_of, part, unlike_in_numpy

MAPPINGS: tuple[Any, ...] = (dict, types.MappingProxyType)
OCTETS = (bytearray, array.array, memoryview)
CONTAINERS: tuple[Any, ...] = (*MAPPINGS, list, set, tuple, deque, *OCTETS, type({}.keys()), type({}.values()), type({}.items()))
PLAIN = frozenset({bool, int, float, complex, str, bytes, type(None)})


def items_of(container: Any) -> Any:
    """What is in a container; of a mapping its values."""
    return container.values() if isinstance(container, MAPPINGS) else container


class Search:
    """Looking for everything that a function reads, and for what it may call. `looks` grow."""

    def __init__(self, looks: list[Look], function: Any) -> None:
        self.looks = looks
        self.places: set[tuple[int, str]] = set()  # where these look
        self.seen: set[tuple] = set()
        self.alive: list[Any] = []  # what `seen` knows by its id
        self.home = package_of(getattr(function, "__module__", ""))
        self.owners: dict[int, Any] = {}  # what may have attributes that are read
        self.values: set[str] = set()  # names of attributes that are read
        self.called: set[str] = set()  # and of those that are called
        self.strings: set[str] = set()
        self.by_name = self.everything = self.writes_text = self.identity = self.inherits = False
        self.catches = False  # it may do something else where an attribute is missing
        self.asked: set[str] = set()  # strings in code that reads attributes by strings
        self.sources: list[Any] = []  # generators of random numbers and iterators
        self.environment = False  # the variables of the environment are among what is looked at
        self.suspect = False  # it may call what gives something else each time, and can be watched doing so
        self.warned = False  # so it did, and the user knows
        self.writes = False  # it may change arrays
        self.doubts: dict[str, None] = {}  # what may give something else each time: see `rerecording`
        self.asks_types = False  # it may do something else for an object of another type

    def of(self, *roots: Any) -> None:
        """Everything that is reached from functions and other values."""
        for root in roots:
            self.within(root)
        known: Any = None
        for _ in range(_ROUNDS):
            if known == (known := (len(self.values), len(self.called), len(self.owners), len(self.strings), self._all())):
                break
            for owner in list(self.owners.values()):
                self._attributes(owner)

    def _all(self) -> bool:
        """Whether all attributes are read, since their names cannot be known."""
        return self.everything or (self.by_name and self.writes_text)

    def _is_read(self, name: str, value: Any) -> bool:
        """Whether an attribute of that name and value is read somewhere."""
        if name in self.values or (self.by_name and name in self.strings) or (callable(value) and name in self.called):
            return True
        return self._all() and name[:2] != "__"

    def _is_fixed(self, held: Mapping[str, Any]) -> bool:
        """Whether a module, with these globals, is of a library other than the function's own: nobody changes that."""
        package = package_of(held.get("__name__", ""))
        installed = any(place in str(held.get("__file__")) for place in ("site-packages", "dist-packages"))
        return package == "jitgrad" or package in sys.stdlib_module_names or (installed and package != self.home)

    def is_users(self, held: Mapping[str, Any]) -> bool:
        """Whether a module with these globals is of the user."""
        return not self._is_fixed(held)

    def _is_new(self, *found: Any) -> bool:
        new = found not in self.seen
        self.seen.add(found)
        return new

    def function(self, function: Any) -> None:
        """What a function reads; it may be wrapped, bound to an object, or be an object that can be called."""
        given: dict[str, Any] = {}
        while not isinstance(function, types.FunctionType):
            if isinstance(function, functools.partial):
                given |= {f"argument {i}": value for i, value in enumerate(function.args)} | function.keywords
            self._own(part(function, "__self__"))
            inner = next((found for found in (part(function, name) for name in _WRAPPED) if found is not None), None)
            if inner is None:
                inner = getattr(type(function), "__call__", None)  # noqa: B004
                self._own(function)
                if not isinstance(inner, types.FunctionType):
                    inner = None
            if inner is None:
                break
            function = inner
        fixed = True
        if isinstance(function, types.FunctionType) and self._is_new("code", id(function)):
            fixed = self._is_fixed(function.__globals__)
            if function.__dict__ and not fixed:
                self.owners[id(function)] = function
            cells = () if fixed and _is_public(function) else function.__closure__ or ()
            for cell, name in zip(cells, function.__code__.co_freevars):
                # What libraries, and our own transforms, close over is followed, since it may be a function of the user.
                self.value(Look(cell, name), fixed, package_of(function.__module__) == "jitgrad")
            if not fixed:
                for name in ("__code__", "__defaults__", "__kwdefaults__"):
                    if getattr(function, name) is not None:
                        self.value(Look(Of(function), name))
                self.code(function.__code__, function.__globals__)
        for name, value in given.items():
            if type(value) not in PLAIN and self._is_new(id(value), name):
                self.value(Look(given.get, name), followed=fixed and not isinstance(value, CONTAINERS))

    def code(self, code: types.CodeType, held: dict[str, Any]) -> None:
        """What code with these globals reads."""
        found = reads(code)
        self.values |= found.attributes
        self.asks_types |= not _KINDS_ASKED.isdisjoint(found.attributes | found.methods)
        self.called |= found.methods
        self.strings |= found.strings
        self.asked |= found.strings if found.by_name else set()
        self.inherits |= "super" in found.globals
        self.by_name |= found.by_name
        self.everything |= found.everything
        self.writes_text |= found.writes_text
        self.identity |= found.identity
        self.catches |= not _ABSENT.isdisjoint(found.globals)
        self.writes |= found.writes
        by_string = not found.globals.isdisjoint(("globals", "eval", "exec"))
        for name in found.globals | (found.strings if by_string else set()):
            self.value(Look(held.get, name))  # it may come to be there
            if name not in held and hasattr(builtins, name):
                if not isinstance(getattr(builtins, name), type | types.BuiltinFunctionType):  # somebody put it there
                    self.value(Look(vars(builtins).get, name))
                self.suspect |= name in ("open", "input", "__import__")
                self.asks_types |= name in ("isinstance", "issubclass", "type", "hasattr", "callable")
        if "is_grad_enabled" in found.globals | found.attributes | found.methods:
            self.value(Look(grad_enabled, "grad mode"))
        if not _ENVIRONMENT.isdisjoint(found.globals | found.attributes | found.methods):
            self.environment = True
            self.value(Look(vars(os).get, "environ"))
        for name, level in found.modules:
            package = held.get("__package__") or package_of(held.get("__name__"))
            full = importlib.util.resolve_name("." * level + name, package) if level else name
            for module in (full, package_of(full)):
                self.within(sys.modules.get(module))
        if by_string:
            for name in [name for name, value in held.items() if name[:2] != "__" and isinstance(value, _WATCHED)]:
                self.value(Look(held.get, name))

    def value(self, look: Look, followed: bool = False, trusted: bool = False) -> None:
        """A value that is read; it is not watched if it is just `followed`, and not doubted if it is `trusted`."""
        try:
            value = look()
        except ValueError:  # a closure cell that is not filled yet
            return
        fixed = followed or isinstance(value, types.ModuleType) or self._is_of_library(value)
        if not fixed and look.place() not in self.places:
            self.places.add(look.place())
            self.looks.append(look)
            if isinstance(value, str):
                self.strings.add(value)
        self.within(value, trusted)

    def within(self, value: Any, trusted: bool = False) -> None:
        """What there is to read in a value: in a container, in attributes, by calling it."""
        if isinstance(value, _WATCHED) and not self._is_of_library(type(value)):  # of a class that adds something
            self._own(value)
        if isinstance(value, CONTAINERS):
            self.within(part(value, "default_factory"))
            if not isinstance(value, OCTETS) and self._is_new(id(value), len(value)):
                self.alive.append(value)
                for items in (value, items_of(value)) if isinstance(value, MAPPINGS) else (value,):
                    kinds = set(map(type, items))
                    self.strings |= {text for text in items if isinstance(text, str)} if str in kinds else set()
                    for item in [item for item in items if type(item) not in PLAIN] if not kinds <= PLAIN else ():
                        self.within(item, trusted)
        elif isinstance(value, np.ndarray) and value.dtype.hasobject:
            self.within(value.tolist())
        elif not isinstance(value, _WATCHED) and self._is_new(*_identity(value)):
            self.alive.append(value)
            self._own(None if isinstance(value, types.MethodType) else value)
            self.suspect |= may_draw(value, self.is_users)
            if not trusted and (doubt := doubted(value, self.is_users)):
                self.doubts[doubt] = None
            found = [source for source in (value, part(value, "__self__")) if self._is_source(source)]
            self.sources += found
            self.suspect |= bool(found)
            if isinstance(value, contextvars.ContextVar):
                self.value(Look(value.get, value.name))
            elif isinstance(value, weakref.ref):
                self.within(value())
            elif isinstance(value, functools.partialmethod):
                self.within((value.func, value.args, value.keywords))
            elif isinstance(value, _HOLDERS):
                self._held_by(value)
            if callable(value) and not isinstance(value, type):
                self.function(value)

    def _held_by(self, value: Any) -> None:
        """What is in an object that shows nothing of it."""
        for held in gc.get_referents(value):
            if isinstance(held, str):
                self.values |= set(held.split("."))
            elif isinstance(held, tuple):
                self._held_by(held)
            elif not isinstance(held, type | types.ModuleType | types.FunctionType):
                self._held_by(held) if type(held).__name__ == "_lru_list_elem" else self.within(held)

    def _is_source(self, value: Any) -> bool:
        """Whether a value gives something else each time, and cannot be looked into: random numbers, iterators of libraries."""
        if isinstance(value, Iterator) and not isinstance(value, type):
            step = getattr(type(value), "__next__", None)
            return not isinstance(step, types.FunctionType) or self._is_fixed(step.__globals__)
        return str(type(value).__module__).startswith("numpy.random.") or isinstance(value, random.Random)

    def _is_of_library(self, value: Any) -> bool:
        """Whether a value is a class or a module that nobody changes."""
        if isinstance(value, type) and value.__module__ == "builtins":  # as says a class that was made where there is no module
            return not value.__flags__ & _MADE_BY_CODE
        module = sys.modules.get(value.__module__) if isinstance(value, type) else value
        return isinstance(module, types.ModuleType) and self._is_fixed(vars(module))

    def _own(self, owner: Any) -> None:
        """Note something whose attributes may be read."""
        if owner is None or isinstance(owner, types.FunctionType | types.BuiltinFunctionType):
            return
        of_ours = package_of(type(owner).__module__) == "jitgrad"
        library = self._is_of_library(owner) if isinstance(owner, types.ModuleType) else of_ours
        if owner is np or not library:
            self.owners[id(owner)] = owner

    def _attributes(self, owner: Any) -> None:
        """Those attributes of an object, a class or a module that are read, and its special methods."""
        if owner is np:
            unlike = unlike_in_numpy(self.values | self.called | (self.strings if self.by_name else set()))
            self.doubts |= dict.fromkeys(unlike)
            self.suspect |= bool(unlike)
            return
        if isinstance(owner, types.ModuleType):
            for name in [*vars(owner), *(self.values if "__getattr__" in vars(owner) else ())]:
                by_string = (self.by_name or self.everything) and name in self.strings
                if name in self.values or name in self.called or by_string:
                    self.value(Look(Of(owner), name))
            return
        held = None if isinstance(owner, type) else part(owner, "__dict__")
        if self.asks_types and held is not None:
            self.value(Look(Of(owner), "__class__"))
        if isinstance(held, dict):
            whole = isinstance(owner, abc.Collection) and self._keeps_items(type(owner))
            names = {name for name, value in list(held.items()) if whole or self._is_read(name, value)}
            if self.by_name and not hasattr(type(owner), "__getattr__"):
                names |= {name for name in self.asked if not hasattr(type(owner), name)}  # it may come to be there
            if self.catches or hasattr(type(owner), "__getattr__"):
                names |= {name for name in self.values if name[:2] != "__" and not hasattr(type(owner), name)}
            for name in names:
                self.value(Look(self._of(owner), name))
        bases = [base for kind in ([owner] if isinstance(owner, type) else []) + [type(owner)] for base in kind.__mro__]
        for base in bases:
            if not self._is_of_library(base):
                self._of_class(owner, base)

    def _of(self, owner: Any) -> Of:
        own = type(owner).__getattribute__
        plain = isinstance(owner, type) or not (isinstance(own, types.FunctionType) or hasattr(type(owner), "__getattr__"))
        return Of(owner) if plain else Held(owner)

    def _keeps_items(self, kind: type) -> bool:
        """Whether the items of a class are kept by a library, whose code is not searched, as those of a `UserDict` are."""
        return any(base.__module__ in ("collections", "weakref", "os") for base in kind.__mro__)

    def _of_class(self, owner: Any, base: type) -> None:
        """What a class, that of an object or one that it inherits from, defines under names that are read."""
        for name, found in list(vars(base).items()):
            special = name[:2] == name[-2:] == "__"
            if isinstance(found, types.FunctionType) and (special or self._is_read(name, found)):
                self.function(types.MethodType(found, owner))
                if special and name not in _OF_MAKING:
                    self.value(Look(functools.partial(defined, base), name), trusted=True)
            if special or not (self._is_read(name, found) or (isinstance(found, _METHODS) and name in self.called)):
                continue
            getter = found.fget if isinstance(found, property) else getattr(found, "func", None)  # of a cached_property
            if isinstance(found, property | functools.cached_property):
                self._own_definition(owner, base, name)
                if getter is not None:
                    self.function(getter)
            elif isinstance(getattr(type(found), "__get__", None), types.FunctionType):  # a descriptor of the user's
                self.value(Look(functools.partial(defined, base), name))
            elif _is_plainly_read(found) or (isinstance(found, types.MemberDescriptorType) and hasattr(owner, name)):
                self.value(Look(self._of(owner), name))
                if self.inherits:  # it may be overridden
                    self.value(Look(functools.partial(defined, base), name))

    def _own_definition(self, owner: Any, base: type, name: str) -> None:
        """That a class defines a name, and that no class before it does."""
        kind = owner if isinstance(owner, type) else type(owner)
        for each in kind.__mro__[: kind.__mro__.index(base) + 1] if base in kind.__mro__ else (base,):
            self.value(Look(functools.partial(defined, each), name), trusted=True)


_ABSENT = frozenset({"AttributeError", "Exception", "BaseException"})
_OF_MAKING = frozenset({"__init__", "__new__", "__repr__", "__str__", "__init_subclass__", "__class_getitem__", "__set_name__"})
_MADE_BY_CODE = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_ENVIRONMENT = frozenset({"environ", "getenv", "environb", "getenvb"})
_WRAPPED = ("_function", "__func__", "func", "__wrapped__")
_METHODS = (staticmethod, classmethod, functools.partialmethod)
_HOLDERS = (
    functools._lru_cache_wrapper,
    functools.partial,
    operator.attrgetter,
    operator.methodcaller,
    operator.itemgetter,
)
_KINDS_ASKED = frozenset({"__class__", "isscalar", "is_tensor", "isreal", "iscomplexobj"})
_ROUNDS = 100
"""What is reached in so many rounds is all there is, but for objects that make new ones whenever they are looked at."""


def _identity(value: Any) -> tuple[int, ...]:
    """What tells a value from others; a method is a new object whenever it is looked up."""
    return (id(value.__func__), id(value.__self__)) if isinstance(value, types.MethodType) else (id(value),)


def _is_public(function: types.FunctionType) -> bool:
    """Whether a library offers a function at its top: then it was not made for the user, and holds nothing of theirs."""
    there = getattr(sys.modules.get(package_of(function.__module__)), "__dict__", {})  # what is lazy is there once it is used
    return there.get(function.__name__) is function


def _is_plainly_read(found: Any) -> bool:
    """Whether to read what a class defines runs no code of the user."""
    return isinstance(found, (types.FunctionType, *_METHODS)) or not hasattr(type(found), "__get__")


_WATCHED = (bool, int, float, complex, str, bytes, type(None), *CONTAINERS, np.generic, np.ndarray, Handle)
