"""What jitgrad promises to reach, and where it loses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bench.chain import ROWS
from bench.contestants import EAGER, FLOOR, INTERPRETED, JAX, JIT, MACHINE, NUMBA_SWEEP, STRICT, TORCH, C
from bench.measure import Results, Timing


class Goal(NamedTuple):
    """At a workload, `ours` takes at most `limit` times what the quickest of `theirs` takes.

    With nobody in `theirs` the limit is in seconds, for each of the `rows` of the workload.
    """

    text: str
    workload: str
    ours: str
    theirs: tuple[str, ...]
    limit: float
    rows: int = 1


GOALS = (
    Goal("neuron, value and gradient under jit, beside jax.jit", "neuron", JIT, (JAX,), 0.15),
    Goal("neuron, whole eager step, beside torch", "neuron eager", EAGER, (TORCH,), 0.25),
    Goal("eager w * x on 0-d tensors, beside torch", "overhead w * x 0-d", EAGER, (TORCH,), 0.5),
    Goal("elementwise, 1e4 elements, beside jax.jit", "elementwise 1e4", JIT, (JAX,), 0.3),
    Goal("elementwise, 1e6 elements, beside jax.jit", "elementwise 1e6", JIT, (JAX,), 0.7),
    Goal("elementwise, 1e7 elements, beside jax.jit", "elementwise 1e7", JIT, (JAX,), 0.7),
    Goal("elementwise, eager, 1e4 elements, beside torch", "elementwise eager 1e4", EAGER, (TORCH,), 0.5),
    Goal("elementwise, eager, 1e6 elements, beside torch", "elementwise eager 1e6", EAGER, (TORCH,), 0.5),
    Goal("elementwise, eager, 1e7 elements, beside torch", "elementwise eager 1e7", EAGER, (TORCH,), 0.5),
    Goal("softmax cross entropy, 256 × 1000, beside jax.jit", "cross-entropy 256x1000", JIT, (JAX,), 0.7),
    Goal("layer_norm, 512 × 768, beside jax.jit", "layer-norm 512x768", JIT, (JAX,), 0.7),
    Goal("network 32×16→32→1, beside the better of torch and jax", "mlp 32x16-32-1", JIT, (TORCH, JAX), 0.3),
    Goal("network 64×784→128→10, beside the better", "mlp 64x784-128-10", JIT, (TORCH, JAX), 0.9),
    Goal("network 256×1024→1024→10, beside the better", "mlp 256x1024-1024-10", JIT, (TORCH, JAX), 1.0),
    Goal("logistic regression, 569 × 30, beside jax.jit", "logistic 569x30", JIT, (JAX,), 0.3),
    Goal("training on digits with Adam under jit, beside torch eager", "digits 20x64-64", JIT, (TORCH,), 0.5),
    Goal("Black–Scholes, 1e6 options, beside jax.jit", "black-scholes 1e6", JIT, (JAX,), 0.7),
    Goal("Black–Scholes, 1e6 options, beside C by hand", "black-scholes 1e6", JIT, (C,), 1.2),
    Goal("Rosenbrock, n = 1e5, beside jax.jit", "rosenbrock 1e5", JIT, (JAX,), 0.5),
    Goal("energy of 10 bodies, beside jax.jit", "bodies 10", JIT, (JAX,), 0.5),
    Goal("gradients of 1000 samples, beside jax.jit", "each-sample 1000x64-32-10", JIT, (JAX,), 0.7),
    Goal("Hessian of Rosenbrock, 100 variables, beside jax.jit", "hessian rosenbrock 100", JIT, (JAX,), 0.7),
    Goal("Hessian of log(sum(exp(A x))), 100 variables, beside jax.jit", "hessian smooth-maximum 100", JIT, (JAX,), 0.7),
    Goal("descent on the neuron inside of @njit, beside it by hand, IEEE", "njit descent 100000", JIT, (STRICT,), 1.3),
    Goal("Hamiltonian Monte Carlo in @njit, 130 × 14, beside Python over jax.jit", "hmc wines", JIT, (JAX,), 0.05),
    Goal("Hamiltonian Monte Carlo in @njit, 569 × 31, beside Python over jax.jit", "hmc tumours", JIT, (JAX,), 0.05),
    Goal("an ODE through 1000 steps of a scan, beside jax.jit", "oscillator 1000", JIT, (JAX,), 0.5),
    Goal("a chain of 10 000 scalar operations, an operation", f"chain {ROWS}", JIT, (), 20e-9, ROWS),
    Goal("recording that chain, an operation", f"recording {ROWS}", JIT, (), 0.8e-6, ROWS),
    Goal("first gradient of a new function, beside jax.jit", "new function", JIT, (JAX,), 0.7),
    Goal("first gradient in a new process, caches filled", "new process neuron", JIT, (), 0.05),
    Goal("import, beside import jax", "import", "jitgrad", ("jax",), 0.5),
)


class Outcome(NamedTuple):
    """A goal and what was measured, a ratio or seconds; None where a side of the comparison was not."""

    text: str
    limit: float
    relative: bool
    measured: float | None
    met: bool | None


def outcomes(results: Results) -> list[Outcome]:
    """How far each goal was reached."""
    found = []
    for goal in GOALS:
        timings = results[goal.workload].timings if goal.workload in results else {}
        ours, *theirs = (_steady(timings, label) for label in (goal.ours, *goal.theirs))
        measured = None
        if ours is not None and None not in theirs:
            measured = ours / (min(filter(None, theirs)) if theirs else goal.rows)
        met = None if measured is None else measured <= goal.limit
        found.append(Outcome(goal.text, goal.limit, bool(theirs), measured, met))
    return found


def _steady(timings: Mapping[str, Timing], label: str) -> float | None:
    return timings[label].steady if label in timings and timings[label].rounds else None


class Loss(NamedTuple):
    """A contestant that was faster than jitgrad, or another sweep where it was faster than the JIT sweep."""

    workload: str
    ours: str
    theirs: str
    times_slower: float


NO_RIVALS = (EAGER, JIT, FLOOR, "numpy")
"""Who is never a rival: our other side, and what jitgrad cannot do without."""

OTHER_SWEEPS = (INTERPRETED, NUMBA_SWEEP, MACHINE)


def losses(results: Results) -> list[Loss]:
    """Every case in which somebody was faster, the worst first."""
    found = []
    for name, (_, base, timings) in results.items():
        ours = _steady(timings, base)
        for label in timings:
            theirs = _steady(timings, label)
            rival = label not in NO_RIVALS and (label not in OTHER_SWEEPS or base == JIT)
            if rival and ours is not None and theirs is not None and theirs < ours:
                found.append(Loss(name, base, label, ours / theirs))
    return sorted(found, key=lambda loss: -loss.times_slower)
