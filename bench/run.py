"""The command: choose workloads, measure, report."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from bench import goals, report
from bench.contestants import AUTOGRAD, JAX, JIT, NEEDS, TORCH, Problem, Workload, differentiated
from bench.imports import import_times
from bench.libraries import why_missing
from bench.measure import FULL, QUICK, WRONG, Effort, Timing, measure, one_line
from bench.workloads import everything


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code is 1 if a gradient was wrong or jitgrad failed, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    chosen = [w for w in everything(options.quick) if options.only is None or w.name.startswith(options.only)]
    with_imports = options.only is None or "import".startswith(options.only)
    if not chosen and not with_imports:
        names = ", ".join(w.name for w in everything(options.quick))
        print(f"no workload begins with {options.only!r}; there are: {names}, import", file=sys.stderr)
        return 2
    results: dict[str, dict[str, Timing]] = {}
    imports: dict[str, float] = {}
    stopped = False
    try:
        start_libraries()
        print(report.heading(), flush=True)
        run(chosen, QUICK if options.quick else FULL, results)
        if with_imports:
            _progress("import times")
            imports |= import_times(1 if options.quick else 5)
            _say(report.imports_table(imports))
    except KeyboardInterrupt:
        _say("stopped; what follows is from what was measured until now")
        stopped = True
    outcomes = goals.outcomes(results, imports)
    lost = goals.losses(results, {w.name: w.base for w in chosen})
    _say(report.goals_table(outcomes))
    _say(report.losses_table(lost, len(results)))
    if problems := report.problems_text(results):
        _say(f"Wrong or failed\n{problems}")
    if options.json is not None:
        text = json.dumps(report.as_json(results, imports, outcomes, lost), indent=1, allow_nan=False)
        options.json.write_text(text + "\n", encoding="utf-8")
    return 130 if stopped else 1 if failed(results) else 0


def run(workloads: Iterable[Workload], effort: Effort, results: dict[str, dict[str, Timing]]) -> None:
    """Measure workloads one by one, print a table for each, and collect the timings in `results`."""
    for workload in workloads:
        _progress(workload.name)
        results[workload.name] = measure(workload, effort)
        _say(report.timings_table(workload, results[workload.name]))


def start_libraries() -> None:
    """Have every library take one small gradient, so that no workload's first call pays for its start."""
    problem = Problem("", "", lambda _: lambda x: x * x, lambda: (np.float32(2.0),), 1, lambda x: (x * x, (2 * x,)))
    small = differentiated(problem)
    for label in (JIT, TORCH, JAX, AUTOGRAD):
        if label in NEEDS and why_missing(NEEDS[label]) is not None:
            continue
        try:
            contestant = small.entrants[label]()
            with contestant.context():
                contestant.call(*contestant.args)
        except Exception as error:  # named here; the tables show it at every workload
            print(f"{label} does not work here: {one_line(error)}", file=sys.stderr)


def failed(results: dict[str, dict[str, Timing]]) -> bool:
    """Whether anybody's gradient was wrong, or jitgrad failed; a peer that does not work here is no failure of ours."""
    problems = [(label, t.problem) for timings in results.values() for label, t in timings.items() if t.problem]
    return any(problem.startswith(WRONG) or label not in NEEDS for label, problem in problems)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Benchmark jitgrad beside its peers, on one thread."
    )
    parser.add_argument("--quick", action="store_true", help="fewer sizes and rounds: about 20 seconds")
    parser.add_argument(
        "--only", metavar="NAME", help="only what begins so: overhead, neuron, elementwise, mlp, logistic, import"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write all numbers to FILE")
    return parser


def _progress(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K… {what}", end="", file=sys.stderr, flush=True)


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    print(f"\n{text}", flush=True)
