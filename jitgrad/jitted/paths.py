"""Branches on values under `jit(f, guard=True)`: tapes that know for which values they are right.

A tape has no branches: it is one way through the function. While that is recorded with `guard=True`, the values of the
call at hand are known, so that `if loss < tol:` can be decided; the row that decided it becomes a guard. The tape has one
output more, the number of the first guard that is other than it was when the tape was recorded, 0 if none is. Where it
is not 0, the tapes recorded for other ways are tried, and if none is right the function is recorded again.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from jitgrad.base import locks
from jitgrad.calls.entry import MISS, Failed
from jitgrad.ops.choosing import clone
from jitgrad.passes.simplify import frozen
from jitgrad.record.apply import apply
from jitgrad.tape.handle import Handle
from jitgrad.tensors.tensor import wrap

MOST_PATHS = 32
"""How many tapes are kept for one kind of arguments."""


class Paths:
    """The compiled tapes for one kind of arguments, the last used first. `prefer(path)` lets calls begin with its entry."""

    def __init__(self, name: str, prefer: Callable[[Any], None]) -> None:
        self.name, self.prefer = name, prefer
        self.paths: list[Any] = []
        self._full = False

    def is_right(self) -> bool:
        """Each path is asked for itself."""
        return True

    def chosen(self, tensors: list[Any], sweep: str, record: Callable[[list[Any]], Any]) -> tuple[Any, Any]:
        """The path that these tensors take, and the values of its outputs; it is recorded if need be.

        A wrong path may fail in any way (an index may be out of range, say) before its guards are looked at. The last word
        has the function itself: the path that is recorded for these very values is right, whatever its guards say.
        """

        def attempt(path: Any) -> Any:
            try:
                values = _run(path, sweep, tensors)
            except Exception:
                return Failed(0)
            failed = Failed(values[-1] if path.outcomes else 0)
            return failed if failed.guard else values

        found = self._search(attempt, [], ())
        if found is not None:
            return found
        path = self._added(record([x._value for x in tensors]))
        return path, _run(path, sweep, tensors) if path.kept else None

    def other(self, path: Any, args: tuple, failed: int) -> Any:
        """The result for `args` by another path than this, of which a guard failed (0: something else); MISS if the general
        way must be taken."""
        begin = _turned(path, failed) if failed else ()
        found = self._search(lambda path: MISS if path.entry is None else path.entry(args, True), [path], begin)
        if found is None or found[1] is MISS:
            return MISS
        self.prefer(found[0])
        return found[1]

    def _search(self, attempt: Callable[[Any], Any], tried: list[Any], begin: tuple[bool, ...]) -> tuple[Any, Any] | None:
        """The path that is right and what `attempt` gives for it; where that is a `Failed`, the next path begins alike."""
        while True:
            fitting = (p for p in self.paths if p.outcomes[: len(begin)] == begin and p not in tried and p.is_right())
            path = next(fitting, None)
            if path is None:
                return None
            result = attempt(path)
            if result.__class__ is not Failed:
                if self.paths[0] is not path and result is not MISS:
                    with locks.paths:
                        self.paths = [path, *[p for p in self.paths if p is not path]]
                return path, result
            tried.append(path)
            if result.guard:
                begin = _turned(path, result.guard)

    def _added(self, path: Any) -> Any:
        """A path that has just been recorded, or the same that is there already."""
        with locks.paths:
            rivals = [p for p in self.paths if p.outcomes == path.outcomes]
            if rivals and _same(rivals[0], path):
                return rivals[0]
            path.kept = len(self.paths) - len(rivals) < MOST_PATHS
            if path.kept:
                path.alike = self
                if path.outcomes:
                    path.others = functools.partial(self.other, path)
                self.paths = [path, *[p for p in self.paths if p not in rivals]]
            warns, self._full = not path.kept and not self._full, not path.kept
        if warns:
            warnings.warn(
                f"{self.name} has been recorded for {MOST_PATHS} outcomes of its branches, and this call has another. Such calls "
                "are now recorded and run row by row every time, which is slow: write a loop whose length follows from values "
                "as jitgrad.while_loop, and a choice as jitgrad.cond or where",
                RuntimeWarning,
                stacklevel=7,
            )
        return path


def _run(path: Any, sweep: str, tensors: list[Any]) -> Any:
    """The values of the outputs of a compiled tape."""
    return path.runner(sweep)(*[x._value for x in tensors], *[x._value for x in path.captured])


def _turned(path: Any, failed: int) -> tuple[bool, ...]:
    """The outcomes up to a guard that fails, with that as it is now."""
    return (*path.outcomes[: failed - 1], not path.outcomes[failed - 1])


def _same(one: Any, other: Any) -> bool:
    """Whether two paths have equal rows, read the same tensors from outside and give the same fixed results."""
    forms = []
    for path in (one, other):
        places = {row: i for i, row in enumerate(path.tape.rows)}
        rows = [(r.op, r.shape, r.dtype, frozen(r.params), *[places[x] for x in r.inputs]) for r in path.tape.rows]
        forms.append((rows, [id(x) for x in [*path.captured, *path.traced.outputs]], path.traced.structure))
    return forms[0] == forms[1] and one.is_right()


def replayed(path: Any, tensors: Sequence[Any]) -> list[Any]:
    """The outputs of a tape that is not compiled, recorded again where a gradient may be wanted."""
    found = path.tape.replay(*tensors[: len(path.tape.inputs)], captured=dict(zip(path.leaves, tensors)).__getitem__)
    return [apply(clone, (x if isinstance(x, Handle) else wrap(x),)) for x in found]
