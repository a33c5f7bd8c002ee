"""`jitgrad compare`: every sweep on the three models, or on a function of the user's."""

from __future__ import annotations

import argparse
import os
import platform
import time
from importlib.metadata import version
from typing import Any

import jitgrad as jg
from jitgrad.cli import data, output, target
from jitgrad.cli.measure import LABELS, SWEEPS, Comparison, Run, differences_of_sweeps, median, timed
from jitgrad.cli.progress import Progress
from jitgrad.cli.table import duration, table, three_digits
from jitgrad.cli.train import compare_models

STEPS, QUICK_STEPS = 300, 20
BUDGET = 3.0  # seconds for the timed calls of a user's function with one sweep
FIRST = "first gradient: from the plain function to its first gradient, tracing and compiling included"
HEAD = ("model", "sweep", "loss", "accuracy", "first gradient", "a step", "speed-up", "gradients differ by")


def run(options: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    output.check_plot(options.plot)
    output.check_writable("--plot", options.plot)
    output.check_writable("--json", options.json)
    steps = options.steps or (QUICK_STEPS if options.quick else STEPS)
    facts = machine() | {"steps": steps, "seed": options.seed}
    if options.target is None:
        results = _demo(facts, steps, options.seed)
    else:
        results = _own(facts, steps, target.load(options.target))
    if options.json:
        output.write_json(options.json, facts, results)
    if options.plot:
        output.write_plot(options.plot, heading(facts), results)


def _demo(facts: dict[str, Any], steps: int, seed: int) -> list[Comparison]:
    tables = data.load(seed)
    facts |= {"data": tables.origin, "real_data": tables.real, "dtype": "float32"}
    print(heading(facts))
    print(f"data: {tables.origin}")
    print(f"parameters and data in float32, {steps} steps of gradient descent a model")
    print(flush=True)
    results = compare_models(tables, steps, seed)
    print(results_table(results))
    print()
    print("loss, accuracy: on the quarter of the data that was held out")
    print(FIRST + _disk(results))
    print("a step: median; loss, gradients and new parameters")
    print("gradients differ by: the largest difference from the interpreted ones at the same parameters")
    return results


def _own(facts: dict[str, Any], steps: int, own: target.Target) -> list[Comparison]:
    print(heading(facts), flush=True)
    results = [compare_target(own, steps)]
    facts |= {"target": f"{own.path}:{own.name}", "argnums": list(own.argnums)}
    kinds = [str(a.dtype).rpartition(".")[2] if isinstance(a, jg.Tensor) else type(a).__name__ for a in own.arguments]
    facts["dtype"] = ", ".join(kinds)
    print(
        f"value: {results[0].jit.loss:.8g}, differentiated in argument{'s' * (len(own.argnums) > 1)} "
        f"{', '.join(map(str, own.argnums))} of ({facts['dtype']})"
    )
    print()
    print(results_table(results, HEAD[:2] + HEAD[4:]))
    print()
    print(FIRST + _disk(results))
    print("a step: median; value and gradients")
    return results


def compare_target(own: target.Target, steps: int) -> Comparison:
    """Value and gradient of the user's function with every sweep."""
    runs = {}
    with Progress(len(SWEEPS) * steps) as progress:
        for sweep in SWEEPS:
            gradient = jg.jit(own.gradient())
            with jg.sweep(sweep):
                times, value = _timed_calls(own, gradient, steps, progress)
            runs[sweep] = Run(sweep, value, times[0], median(times), report=str(gradient.report()))
    return Comparison(own.name, runs, differences_of_sweeps(lambda: own.call(gradient, *own.arguments)[1]))


def _timed_calls(own: target.Target, gradient: Any, steps: int, progress: Progress) -> tuple[list[float], float]:
    """The times of `steps` calls, or of as many as fit into the budget after the first three; and the value."""
    times: list[float] = []
    begin = time.perf_counter()
    for i in range(steps + 1):  # one more: the first is cold
        seconds, (value, _) = own.call(timed, gradient, *own.arguments)
        times.append(seconds)
        progress.step(own.name)
        if i >= 2 and time.perf_counter() - begin > BUDGET:
            progress.step(own.name, steps - i)
            break
    return times, value.item()


def results_table(results: list[Comparison], head: tuple[str, ...] = HEAD) -> str:
    """The one table; `head` chooses its columns."""
    rows = []
    for comparison in results:
        for run in comparison.runs.values():
            cells = dict(zip(HEAD, _cells(comparison, run)))
            rows.append([cells[column] for column in head])
    return table(head, rows, right=range(2, len(head)))


def _cells(comparison: Comparison, run: Run) -> tuple[str, ...]:
    first = run.sweep == SWEEPS[0]
    return (
        comparison.name if first else "",
        LABELS[run.sweep],
        f"{run.loss:.4f}",
        "" if run.accuracy is None else f"{100 * run.accuracy:.1f} %",
        ("*" if run.from_disk else "") + duration(run.first),
        duration(run.steady),
        "1" if first else three_digits(comparison.speed_up(run.sweep)),
        "" if first else f"{comparison.differences[run.sweep]:.1e}",
    )


def _disk(results: list[Comparison]) -> str:
    found = any(c.jit.from_disk for c in results)
    return "\n  * kernels, or some of them, came from the disk cache of an earlier run" if found else ""


def machine() -> dict[str, Any]:
    """Versions, and what this runs on."""
    packages = {name: version(name) for name in ("numpy", "numba", "llvmlite")}
    return {
        "versions": {"jitgrad": jg.__version__, "python": platform.python_version()} | packages,
        "machine": {"system": platform.system(), "cpu": cpu(), "cores": os.cpu_count()},
    }


def cpu() -> str:
    """The name of the processor, where the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def heading(facts: dict[str, Any]) -> str:
    """Versions and machine on a line."""
    versions, host = facts["versions"], facts["machine"]
    return (
        f"jitgrad {versions['jitgrad']}, NumPy {versions['numpy']}, Numba {versions['numba']}, "
        f"Python {versions['python']}; {host['cpu']}, {host['cores']} cores"
    )
