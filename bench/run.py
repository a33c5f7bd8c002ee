"""The command: choose what is measured, measure, report."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench import compare, goals, new_process, ops, plots, report, store
from bench.contestants import AUTOGRAD, COMPILED, JAX, JIT, NEEDS, TORCH, Problem, differentiated
from bench.imports import import_times, installed_sizes
from bench.libraries import JAX_ASYNC, versions
from bench.measure import FULL, QUICK, QUICK_SWEEP, SWEEP, WRONG, Result, Results, measure, one_line, takes_part
from bench.workloads import everything

Jobs = dict[str, Callable[[], Result]]


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code is 1 if a gradient was wrong, jitgrad failed or became slower, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        old = None if options.compare is None else store.read(options.compare)
        if options.report is not None:
            plots.load()
        measured, stopped = (store.read(options.reuse), False) if options.reuse else _measured(options)
    except (OSError, ValueError, ImportError) as error:
        print(error, file=sys.stderr)
        return 2
    results = measured.results
    outcomes, lost = goals.outcomes(results), goals.losses(results)
    if any(o.measured is not None for o in outcomes):
        _say(report.goals_table(outcomes))
    _say(report.losses_table(lost, len(results)))
    if problems := report.problems_text(results):
        _say(f"Wrong or failed\n{problems}")
    if options.json is not None:
        store.save(measured, versions(), options.json)
    if options.report is not None:
        _write_page(measured, outcomes, lost, options.report)
    changed = [] if old is None else compare.changes(old.results, results)
    if old is not None:
        _say(compare.changes_table(changed, len(old.results.keys() & results.keys())))
    return 130 if stopped else 1 if failed(results) or compare.slower(changed) else 0


def _measured(options: argparse.Namespace) -> tuple[store.Run, bool]:
    """Everything that was asked for, and whether Ctrl-C cut it short."""
    if options.jax_async:
        os.environ[JAX_ASYNC] = "1"
    jobs = _jobs(options)
    run = store.Run(report.heading(), {}, {})
    try:
        start_libraries()
        run = store.Run(report.heading(), {}, installed_sizes() if "import" in jobs else {})
        print(run.heading, flush=True)
        for name, job in jobs.items():
            _progress(name)
            result = run.results[name] = job()
            _say((report.line if name.startswith(report.SWEEP) else report.timings_table)(name, result))
        if run.sizes:
            _say(report.sizes_table(run.sizes))
    except KeyboardInterrupt:
        _say("stopped; what follows is from what was measured until now")
        return run, True
    return run, False


def _jobs(options: argparse.Namespace) -> Jobs:
    """What to measure, by name; raises `ValueError` for names that there are not."""
    quick, jobs = options.quick, Jobs()
    if options.ops is None:
        effort, skip = (QUICK, (COMPILED,)) if quick else (FULL, ())
        for workload in everything(quick):
            jobs[workload.name] = functools.partial(measure, workload, effort, skip=skip)
        for name in new_process.WORKLOADS[:1] if quick else new_process.WORKLOADS:
            few = (COMPILED, TORCH) if quick else ()
            jobs[f"new process {name}"] = functools.partial(new_process.first_calls, name, 1 if quick else 3, few)
        jobs["import"] = functools.partial(import_times, 1 if quick else 5)
    if options.ops is not None or options.report is not None:
        for name, case in _cases(options.ops or [], quick).items():
            jobs[name] = lambda case=case: measure(ops.sweep(*case), QUICK_SWEEP if quick else SWEEP)
    chosen = {name: job for name, job in jobs.items() if name.startswith(options.only or "")}
    if not chosen:
        raise ValueError(f"no workload begins with {options.only!r}; there are: {', '.join(jobs)}")
    return chosen


def _cases(names: list[str], quick: bool) -> dict[str, tuple[str, int, str]]:
    if unknown := [name for name in names if name not in ops.OPS]:
        raise ValueError(f"no operation is called {unknown[0]!r}; there are: {', '.join(ops.OPS)}")
    return ops.cases(names, quick)


def _write_page(measured: store.Run, outcomes: list[goals.Outcome], lost: list[goals.Loss], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pictures = plots.draw(measured.results, folder)
    page = folder / "report.md"
    text = report.page(measured.heading, measured.results, measured.sizes, outcomes, lost, pictures)
    page.write_text(text, encoding="utf-8")
    _say(f"written: {page}" + "".join(f", {name}" for name in pictures))


def start_libraries() -> None:
    """Have every library take one small gradient, so that no workload's first call pays for its start."""
    problem = Problem("", "", lambda _: lambda x: x * x, lambda: (np.float32(2.0),), 1, lambda x: (x * x, (2 * x,)))
    small = differentiated(problem)
    for label in (JIT, TORCH, JAX, AUTOGRAD):
        if not takes_part(label):
            continue
        try:
            contestant = small.entrants[label]()
            with contestant.context():
                contestant.call(*contestant.args)
        except Exception as error:  # named here; the tables show it at every workload
            print(f"{label} does not work here: {one_line(error)}", file=sys.stderr)


def failed(results: Results) -> bool:
    """Whether anybody's gradient was wrong, or jitgrad failed; a peer that does not work here is no failure of ours."""
    problems = [(label, t.problem) for r in results.values() for label, t in r.timings.items() if t.problem]
    return any(problem.startswith(WRONG) or label not in NEEDS for label, problem in problems)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Benchmark jitgrad beside its peers, on one thread.")
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer and smaller sizes, fewer rounds: about a minute")
    add("--only", metavar="NAME", help="only what begins so: overhead, neuron, elementwise, mlp, chain, import …")
    add("--models", dest="only", action="store_const", const="model", help="only training steps of the models of examples/")
    add("--ops", metavar="NAME", nargs="*", help="single operations (all if none is named) at 1 to 1e7 elements instead")
    add("--jax-async", action="store_true", help="jax with asynchronous dispatch, every result waited for")
    add("--json", metavar="FILE", type=Path, help="also write all numbers to FILE")
    add(
        "--report",
        metavar="DIR",
        nargs="?",
        type=Path,
        const=Path("bench-report"),
        help="measure the single operations as well; write report.md and plots to DIR (bench-report)",
    )
    add(
        "--compare",
        metavar="OLD.json",
        type=Path,
        help=f"show what changed since that run; exit code 1 if something is over {compare.LIMIT} times slower",
    )
    add("--reuse", metavar="FILE", type=Path, help="measure nothing: take the numbers that --json wrote to FILE")
    return parser


def _progress(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K… {what}", end="", file=sys.stderr, flush=True)


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    print(f"\n{text}", flush=True)
