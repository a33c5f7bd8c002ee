"""Functions by name that are made when they are first asked for: a program uses few of the hundreds that there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any


class Later:
    """What is made when it is first called for, once; all names of a function share one of these."""

    __slots__ = ("found", "make")

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make, self.found = make, None

    def __call__(self) -> Any:
        if self.found is None:
            self.found = self.make()
        return self.found


class Attribute:
    """Stands in a class for an attribute that is made when it is first asked for, and then takes its place."""

    __slots__ = ("make", "name", "owner")

    def __init__(self, owner: type, name: str, make: Callable[[], Any]) -> None:
        self.owner, self.name, self.make = owner, name, make

    def __get__(self, instance: Any, kind: type) -> Any:
        found = self.make()
        if vars(self.owner)[self.name] is self:
            setattr(self.owner, self.name, found)
        return found.__get__(instance, kind)


class Namespace(Mapping[str, Any]):
    """Public functions by name. Those of modules that are seldom needed are `offered` by `more`, which is called when a name is
    not known yet, or all are asked for."""

    def __init__(self, more: Callable[[], object] = lambda: None) -> None:
        self.offered: dict[str, Callable[[], Any]] = {}
        self.more = more

    def __getitem__(self, name: str) -> Any:
        if name not in self.offered:
            self.more()
        return self.offered[name]()

    def __iter__(self) -> Iterator[str]:
        self.more()
        return iter(self.offered)

    def __len__(self) -> int:
        self.more()
        return len(self.offered)
