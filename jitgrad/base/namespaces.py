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
    """Public functions by name; what makes one is `offered`."""

    def __init__(self) -> None:
        self.offered: dict[str, Callable[[], Any]] = {}

    def __getitem__(self, name: str) -> Any:
        return self.offered[name]()

    def __contains__(self, name: object) -> bool:
        return name in self.offered

    def __iter__(self) -> Iterator[str]:
        return iter(self.offered)

    def __len__(self) -> int:
        return len(self.offered)
