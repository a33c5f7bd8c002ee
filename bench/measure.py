"""Timing: rounds in which every contestant has its turn, so that noise of the machine hits all alike."""

from __future__ import annotations

import statistics
import time
import timeit
from collections.abc import Callable, Collection
from typing import NamedTuple

from bench.contestants import NEEDS, Contestant, Workload, wrong
from bench.libraries import why_missing


class Effort(NamedTuple):
    """How long to measure: seconds for a workload, seconds that each contestant runs before that (compilers that work in the
    background are done by then), seconds for a turn, and the fewest and the most rounds."""

    workload: float
    warm: float
    turn: float
    fewest: int
    most: int


FULL = Effort(4.0, 0.7, 0.01, 5, 60)
QUICK = Effort(0.3, 0.05, 0.002, 3, 15)
SWEEP = Effort(0.2, 0.1, 0.001, 3, 9)
QUICK_SWEEP = Effort(0.02, 0.0, 0.0005, 2, 3)

WRONG = "WRONG"


class Timing(NamedTuple):
    """What one contestant took, in seconds: the first call, then the median of the rounds and their spread."""

    first: float = float("nan")
    steady: float = float("nan")
    spread: float = float("nan")  # half of the distance between the quartiles, relative to the median
    rounds: int = 0
    batch: int = 0
    problem: str | None = None


class Result(NamedTuple):
    """What was measured at one workload, by contestant; `base` is the one that the others are compared to."""

    title: str
    base: str
    timings: dict[str, Timing]


Results = dict[str, Result]
"""What was measured, by the name of the workload."""


def measure(workload: Workload, effort: Effort, only: Collection[str] | None = None, skip: Collection[str] = ()) -> Result:
    """The timing of every contestant (of those in `only`); a wrong gradient or a failure is a problem and not timed."""
    found: dict[str, Timing] = {}
    running: dict[str, Contestant] = {}
    right = workload.reference()
    for label, build in workload.entrants.items():
        if not takes_part(label) or label in skip or (only is not None and label not in only):
            continue
        try:
            contestant, first, problem = _first_call(build, right, workload.tolerance)
        except Exception as error:  # a contestant that fails is shown as such, and the others go on
            found[label] = Timing(problem=f"failed: {one_line(error)}")
            continue
        found[label] = Timing(first, problem=problem)
        if problem is None:
            running[label] = contestant
    del right
    for label, (steady, spread, rounds, batch) in _rounds(running, effort).items():
        found[label] = Timing(found[label].first, steady, spread, rounds, batch)
    return Result(workload.title, workload.base, found)


def takes_part(label: str) -> bool:
    """Whether what a contestant needs is installed."""
    return label not in NEEDS or why_missing(NEEDS[label]) is None


def one_line(error: Exception) -> str:
    """The type of an error and the beginning of its message."""
    message = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {message}"[:100]


def _first_call(build: Callable[[], Contestant], right: list, tolerance: float) -> tuple[Contestant, float, str | None]:
    contestant = build()
    with contestant.context():
        start = time.perf_counter()
        result = contestant.call(*contestant.args)
        first = time.perf_counter() - start
        difference = wrong(contestant.arrays(result), right, tolerance)
    return contestant, first, None if difference is None else f"{WRONG}: {difference}"


def _rounds(contestants: dict[str, Contestant], effort: Effort) -> dict[str, tuple[float, float, int, int]]:
    timers = {label: _timer(c) for label, c in contestants.items()}
    batches, total = {}, 0.0
    for label, contestant in contestants.items():
        with contestant.context():
            end = time.perf_counter() + effort.warm
            while time.perf_counter() < end:
                timers[label].timeit(1)
            batches[label], seconds = _batch(timers[label], effort.turn)
        total += seconds
    count = max(effort.fewest, min(effort.most, int(effort.workload / max(total, 1e-9))))
    times: dict[str, list[float]] = {label: [] for label in contestants}
    order = list(contestants)
    for i in range(count):
        turn = i % len(order)
        for label in order[turn:] + order[:turn]:  # nobody always comes after the same one
            with contestants[label].context():
                if batches[label] > 1:
                    timers[label].timeit(1 + batches[label] // 20)  # into the caches again
                times[label].append(timers[label].timeit(batches[label]) / batches[label])
    return {label: (*middle(times[label]), count, batches[label]) for label in order}


def _timer(contestant: Contestant) -> timeit.Timer:
    names = {f"a{i}": value for i, value in enumerate(contestant.args)}
    return timeit.Timer(f"call({', '.join(names)})", globals={"call": contestant.call, **names})


def _batch(timer: timeit.Timer, turn: float) -> tuple[int, float]:
    """How many calls fill a turn, and how long that takes."""
    batch, seconds = 1, timer.timeit(1)
    while seconds < turn / 2 and batch < 1 << 20:
        batch = min(batch * 10, max(2 * batch, int(batch * turn / max(seconds, 1e-9))))
        seconds = timer.timeit(batch)
    return batch, seconds


def middle(times: list[float]) -> tuple[float, float]:
    """The median, and half of the distance between the quartiles relative to it."""
    median = statistics.median(times)
    low, _, high = statistics.quantiles(times, n=4) if len(times) > 1 else (median, median, median)
    return median, (high - low) / 2 / median
