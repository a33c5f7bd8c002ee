"""A call whose reverse sweep computes it again, while a trace records: one row that holds the tape of the function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitgrad.func.custom import Custom
from jitgrad.func.custom_call import _Call, _op
from jitgrad.func.gradients import vjp
from jitgrad.jitted.generators import called, of_states
from jitgrad.ops.choosing import again
from jitgrad.passes.batch import replay
from jitgrad.record.apply import apply
from jitgrad.tape.tape import Tape


class _Function(Custom):
    def __init__(self, function: Callable) -> None:
        self.__name__ = getattr(function, "__name__", "checkpoint")
        self._function = function


class _Recomputed(_Call):
    """A call that is differentiated in all that it reads, also what the function takes from outside."""

    def _refuse_outside(self) -> None:
        pass

    def _op(self, tape: Tape | None) -> Any:
        assert tape is not None
        count = len(tape.inputs)

        def pull(xs: Sequence[Any], gs: Sequence[Any]) -> list[Any]:
            moving = [i for i, x in enumerate(xs) if x.dtype.has_gradient]

            def outputs(*floating: Any) -> tuple[Any, ...]:
                given = dict(zip(moving, floating))
                return tuple(replay(tape, {end: given.get(i, xs[i]) for i, end in enumerate(tape.inputs)}, 0))

            _, pulled = vjp(outputs, *[apply(again, (xs[i],)) for i in moving])
            found = dict(zip(moving, pulled(tuple(gs))))
            return [found.get(i) for i in range(count)]

        return _op("checkpoint", tape, count, pull, None)


def recomputed(function: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
    """`function(*args, **kwargs)` as one row, whose reverse sweep runs the function again. Generators among the arguments go on,
    and draw the same numbers again."""
    once = lambda *given: _Recomputed(_Function(of_states(function)), given, {}).traced()
    return called(once, args, kwargs)
