"""What jitgrad promises to reach, and where it loses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bench.contestants import EAGER, FLOOR, INTERPRETED, JAX, JIT, TORCH
from bench.measure import Timing

IMPORT_LIMIT = 0.35


class Goal(NamedTuple):
    """At workload `workload`, `ours` takes at most `limit` times what `theirs` takes."""

    text: str
    workload: str
    ours: str
    theirs: str
    limit: float


GOALS = (
    Goal("neuron under jit, beside jax.jit", "neuron", JIT, JAX, 0.3),
    Goal("neuron under jit, beside torch eager", "neuron", JIT, TORCH, 0.03),
    Goal("elementwise, 1e4 elements, beside jax.jit", "elementwise 1e4", JIT, JAX, 0.5),
    Goal("elementwise, 1e6 elements, beside jax.jit", "elementwise 1e6", JIT, JAX, 1.0),
    Goal("eager w * x on 0-d tensors, beside torch", "overhead w * x 0-d", EAGER, TORCH, 0.7),
    Goal("whole eager neuron step, beside torch", "neuron eager", EAGER, TORCH, 0.5),
)


class Outcome(NamedTuple):
    """A goal, and what was measured; `measured` is None where a side of the comparison was not."""

    text: str
    limit: str
    measured: float | None
    met: bool | None


def outcomes(results: Mapping[str, Mapping[str, Timing]], imports: Mapping[str, float]) -> list[Outcome]:
    """How far each goal was reached."""
    found = []
    for goal in GOALS:
        timings = results.get(goal.workload, {})
        ours, theirs = timings.get(goal.ours), timings.get(goal.theirs)
        ratio = ours.steady / theirs.steady if ours and theirs and ours.rounds and theirs.rounds else None
        found.append(Outcome(goal.text, f"{goal.limit} ×", ratio, None if ratio is None else ratio <= goal.limit))
    taken = imports.get("jitgrad")
    met = None if taken is None else taken <= IMPORT_LIMIT
    return [*found, Outcome("import jitgrad", f"{IMPORT_LIMIT} s", taken, met)]


class Loss(NamedTuple):
    """A contestant that was faster than jitgrad, or the interpreted sweep where it was faster than the JIT sweep."""

    workload: str
    ours: str
    theirs: str
    times_slower: float


def losses(results: Mapping[str, Mapping[str, Timing]], bases: Mapping[str, str]) -> list[Loss]:
    """Every case in which somebody was faster, the worst first."""
    found = []
    for name, timings in results.items():
        base = timings.get(bases[name])
        if base is None or not base.rounds:
            continue
        for label, timing in timings.items():
            rival = label not in (EAGER, JIT, FLOOR) and (label != INTERPRETED or bases[name] == JIT)
            if rival and timing.rounds and timing.steady < base.steady:
                found.append(Loss(name, bases[name], label, base.steady / timing.steady))
    return sorted(found, key=lambda loss: -loss.times_slower)
