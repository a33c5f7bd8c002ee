"""Ints that are another at every call, such as the step of an optimiser: they become inputs of the tape.

An int among the arguments is part of the key, so that the function may use its value: as a shape, an index, the length of a
loop. Where the third value comes for what is otherwise the same, the function is recorded with that int as a number
without a value. If it does without, so does the tape from then on. If it does not, or asks for the type of things (the number
is a tensor then), or returns what would have been a Python number, the int stays in the key, and many values of it are worth
a warning.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

from jitgrad.calls.kinds import INT_BOUND

FEW = 2
"""So many values of an int are recorded each by itself."""

MOST_VALUES = 32


class _Case:
    """What is known of calls that differ in their ints alone: the values seen, by place, and which places are inputs."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []
        self.inputs: frozenset[int] = frozenset()
        self.needed: frozenset[int] = frozenset()  # places at which the function needs the value


class ChangingInts:
    """The places of the ints in keys that became inputs. `asks_types()` says whether the function may see the difference
    between an int and a tensor, and say nothing."""

    def __init__(self, name: str, asks_types: Callable[[], bool]) -> None:
        self._name, self._asks_types = name, asks_types
        self._cases: dict[tuple, _Case] = {}

    def forget(self) -> None:
        """Begin anew, when the tapes are forgotten."""
        self._cases = {}

    def known(self, key: tuple) -> frozenset[int]:
        """The places in a key that are inputs, as far as known."""
        case = self._cases.get(_general(key)) if self._cases else None
        return case.inputs if case is not None else frozenset()

    def noted(self, key: tuple, works: Callable[[frozenset[int], tuple], bool]) -> frozenset[int]:
        """The places in a key that is to be recorded that are inputs. `works` tries to record with those that it is given, and
        compares with what was recorded for the key before."""
        places = _places(key)
        if not places:
            return places
        case = self._cases.setdefault(_general(key), _Case())
        if len(case.seen) > MOST_VALUES:
            return case.inputs
        case.seen.append(tuple([key[i][1] for i in sorted(places)]))
        if len(case.seen) == MOST_VALUES:
            warnings.warn(
                f"{self._name} has been recorded {MOST_VALUES} times for other values of an int among its arguments, whose value "
                "it needs, which is slow: pass what changes at every call as a tensor or a float, or keep the number of its "
                "values small",
                RuntimeWarning,
                stacklevel=7,
            )
        if len(case.seen) <= FEW:
            return case.inputs
        values = dict(zip(sorted(places), zip(*case.seen)))
        moving = frozenset(i for i in places - case.needed if len(set(values[i])) > FEW) - case.inputs
        if moving and not self._asks_types():
            before = _before(key, case)
            tries = [moving, *[frozenset({i}) for i in sorted(moving) if len(moving) > 1]]
            for some in tries:
                if not some <= case.inputs and works(case.inputs | some, before):
                    case.inputs |= some
        case.needed |= moving - case.inputs
        return case.inputs


def _before(key: tuple, case: _Case) -> tuple:
    """The key of the call before this one."""
    values = dict(zip(sorted(_places(key)), case.seen[-2]))
    return tuple([kind if i not in values else int if i in case.inputs else (int, values[i]) for i, kind in enumerate(key)])


def _places(key: tuple) -> frozenset[int]:
    return frozenset(
        i for i, kind in enumerate(key) if kind.__class__ is tuple and kind[0] is int and -INT_BOUND < kind[1] < INT_BOUND
    )


def _general(key: tuple) -> tuple:
    """The key without the values of its ints."""
    places = _places(key)
    return tuple([int if i in places else kind for i, kind in enumerate(key)])
