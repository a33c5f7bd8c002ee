"""What became slower or faster since another run.

Two runs are seldom on an equally quick machine, so our times are divided by how much slower everybody else became at the
same workload: the peers, and code by hand, are the yardstick. Their median counts, over all workloads where there is
nobody else. What differs by less than the noise of both runs is not mentioned.
"""

from __future__ import annotations

import statistics
from typing import NamedTuple

from bench.contestants import EAGER, INTERPRETED, JIT, MACHINE, NUMBA_SWEEP
from bench.measure import Result, Results
from jitgrad.cli.table import duration, table, three_digits

OURS = (JIT, EAGER, INTERPRETED, NUMBA_SWEEP, MACHINE, "jitgrad")
SMALLEST = 0.10
"""The smallest change that is mentioned, however quiet the runs were."""
LIMIT = 1.3
"""How many times slower is a failure."""


class Change(NamedTuple):
    """How many times slower than before one of our ways became at a workload, corrected for the machine."""

    workload: str
    ours: str
    before: float
    now: float
    times: float
    noise: float


def changes(old: Results, new: Results) -> list[Change]:
    """What changed by more than the noise, the worst first."""
    shared = {name: (old[name], new[name]) for name in new if name in old}
    everywhere = _median([ratio for pair in shared.values() for ratio in _yardsticks(*pair)], 1.0)
    found = []
    for name, pair in shared.items():
        machine = _median(_yardsticks(*pair), everywhere)
        for label in OURS:
            before, now = (result.timings.get(label) for result in pair)
            if before is None or now is None or not before.rounds or not now.rounds:
                continue
            times = now.steady / before.steady / machine
            noise = max(SMALLEST, 2 * (before.spread + now.spread))
            if max(times, 1 / times) > 1 + noise:
                found.append(Change(name, label, before.steady, now.steady, times, noise))
    return sorted(found, key=lambda change: -change.times)


def changes_table(found: list[Change], shared: int) -> str:
    """The changes as a table."""
    if not found:
        return f"Compared with the older run: nothing changed by more than the noise, in {shared} workloads"
    rows = [
        [c.workload, c.ours, duration(c.before), duration(c.now), three_digits(c.times), f"±{c.noise * 100:.0f}%"] for c in found
    ]
    title = "Compared with the older run: times slower, with the others' times at the same workload as the yardstick\n"
    return title + table(["workload", "ours", "before", "now", "times", "noise"], rows, right=(2, 3, 4, 5))


def slower(found: list[Change]) -> bool:
    """Whether something became slower by more than the limit and by more than its noise."""
    return any(change.times > LIMIT for change in found)


def _yardsticks(old: Result, new: Result) -> list[float]:
    """How many times slower everybody else became."""
    return [
        new.timings[label].steady / old.timings[label].steady
        for label in new.timings
        if label not in OURS and label in old.timings and new.timings[label].rounds and old.timings[label].rounds
    ]


def _median(ratios: list[float], otherwise: float) -> float:
    return statistics.median(ratios) if ratios else otherwise
