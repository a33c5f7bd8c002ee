"""The results as text: tables of a terminal, and the page in Markdown that `--report` writes."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from bench import threads
from bench.contestants import (
    AUTOGRAD,
    COMPILED,
    EAGER,
    FLOOR,
    INTERPRETED,
    JAX,
    JIT,
    MACHINE,
    NUMBA,
    NUMBA_SWEEP,
    NUMPY,
    STRICT,
    TORCH,
    C,
)
from bench.goals import Loss, Outcome
from bench.imports import Size
from bench.libraries import JAX_ASYNC, PEERS, versions, why_missing
from bench.measure import Result, Results, Timing
from jitgrad.cli.compare import cpu
from jitgrad.cli.table import duration, table, three_digits

COLUMNS = (JIT, EAGER, INTERPRETED, NUMBA_SWEEP, MACHINE, FLOOR, NUMPY, NUMBA, STRICT, C, TORCH, COMPILED, JAX, AUTOGRAD)
SWEEP = "op "
"""How the names of single operations begin."""


def heading() -> str:
    """Machine, versions, threads, and who is missing."""
    lines = [cpu(), ", ".join(f"{name} {version}" for name, version in versions().items() if version)]
    lines += threads.describe()
    if why_missing("jax") is None:
        lines.append(f"jax {'as it comes' if JAX_ASYNC in os.environ else 'without asynchronous dispatch (--jax-async)'}")
    if missing := [f"{peer} ({why})" for peer in PEERS if (why := why_missing(peer))]:
        lines.append(f"missing: {', '.join(missing)}; the extra `bench` has the peers: pip install -e '.[bench]'")
    lines.append(
        "Times are medians over rounds in which all take turns. The first call traces and compiles what was not\n"
        "compiled before in this process, with empty disk caches; the libraries themselves were started before."
    )
    return "\n".join(lines)


def timings_table(name: str, result: Result) -> str:
    """One workload: its contestants, fastest first."""
    base = result.timings.get(result.base)
    rows, problems = [], []
    for label, t in sorted(result.timings.items(), key=lambda item: (math.isnan(item[1].steady), item[1].steady)):
        if t.problem is not None:
            problems.append(f"{label}: {t.problem}")
            continue
        ratio = three_digits(t.steady / base.steady) if base is not None and base.rounds else ""
        rows.append([label, _time(t.steady), f"±{t.spread * 100:.0f}%", ratio, _time(t.first)])
    head = [name, "time", "spread", f"× {result.base}", "first call"]
    return "\n".join([result.title, table(head, rows, right=(1, 2, 3, 4)), *problems])


def line(name: str, result: Result) -> str:
    """One operation at one size, on one line."""
    times = [f"{label} {t.problem or _time(t.steady)}" for label, t in result.timings.items()]
    return f"{name}: {', '.join(times)}"


def _time(seconds: float) -> str:
    return "" if math.isnan(seconds) else duration(seconds)


def sizes_table(sizes: Mapping[str, Size]) -> str:
    """Installed sizes beside each other."""
    return "Installed size, MB\n" + table(_SIZES_HEAD, _sizes_rows(sizes), right=(1, 2))


_SIZES_HEAD = ("library", "by itself", "with all it needs")


def _sizes_rows(sizes: Mapping[str, Size]) -> list[list[str]]:
    ordered = sorted(sizes.items(), key=lambda item: item[1].together)
    return [[name, three_digits(s.alone / 1e6), three_digits(s.together / 1e6)] for name, s in ordered]


def goals_table(outcomes: list[Outcome]) -> str:
    """Each goal with its limit, what was measured, and whether that is enough; how many were not measured."""
    missing = sum(o.met is None for o in outcomes)
    ending = f"\n{missing} more were not measured" if missing else ""
    return "Goals\n" + table(_GOALS_HEAD, _goals_rows(outcomes), right=(1, 2)) + ending


_GOALS_HEAD = ("jitgrad takes", "at most", "measured", "")


def _goals_rows(outcomes: Iterable[Outcome]) -> list[list[str]]:
    rows = []
    for o in outcomes:
        if o.measured is not None:
            limit, measured = (f"{x:.3f} ×" if o.relative else _nano(x) for x in (o.limit, o.measured))
            rows.append([o.text, limit, measured, "met" if o.met else "MISSED"])
    return rows


def _nano(seconds: float) -> str:
    return f"{three_digits(seconds * 1e9)} ns" if seconds < 0.9995e-6 else duration(seconds)


def problems_text(results: Results) -> str:
    """Who was wrong or failed, a line each."""
    return "\n".join(
        f"{name}, {label}: {t.problem}" for name, result in results.items() for label, t in result.timings.items() if t.problem
    )


def losses_table(losses: list[Loss], compared: int) -> str:
    """Who was faster than jitgrad, and where, among the workloads that were `compared`."""
    if not losses:
        return f"Where jitgrad loses\n{f'nowhere, in {compared} workloads' if compared else 'nothing was compared'}"
    return "Where jitgrad loses\n" + table(_LOSSES_HEAD, _losses_rows(losses), right=(3,))


_LOSSES_HEAD = ("workload", "ours", "faster", "ours takes ×")


def _losses_rows(losses: Iterable[Loss]) -> list[list[str]]:
    return [[x.workload, x.ours, x.theirs, three_digits(x.times_slower)] for x in losses]


# The page.


def page(
    head: str, results: Results, sizes: Mapping[str, Size], outcomes: list[Outcome], losses: list[Loss], plots: list[str]
) -> str:
    """Everything in Markdown; `plots` are the names of the pictures beside it."""
    imports = {name: r for name, r in results.items() if name == "import"}
    plain = {name: r for name, r in results.items() if not name.startswith(SWEEP) and name not in imports}
    parts = [
        "# Benchmarks",
        "```text\n" + head + "\n```",
        "## Goals",
        _markdown(_GOALS_HEAD, _goals_rows(outcomes)),
        "## Times",
        "Medians of interleaved rounds, one thread; in bold who was fastest. A new process: the first value and gradient\n"
        "after the imports, disk caches filled.",
        _wide(plain, _steady),
        "## First calls",
        "Tracing and compiling included, disk caches empty.",
        _wide(plain, lambda t: t.first),
        *(["## Imports", _wide(imports, _steady)] if imports else []),
        *(["## Installed size, MB", _markdown(_SIZES_HEAD, _sizes_rows(sizes))] if sizes else []),
        "## Where jitgrad loses",
        _markdown(_LOSSES_HEAD, _losses_rows(x for x in losses if not x.workload.startswith(SWEEP))),
        *[f"![{name}]({name})" for name in plots],
        *_sweeps(results),
        *(["## Wrong or failed", "```text\n" + problems + "\n```"] if (problems := problems_text(results)) else []),
    ]
    return "\n\n".join(parts) + "\n"


def _sweeps(results: Results) -> list[str]:
    swept = {name.removeprefix(SWEEP): r for name, r in results.items() if name.startswith(SWEEP)}
    return ["## Single operations", _wide(swept, _steady)] if swept else []


def _steady(timing: Timing) -> float:
    return timing.steady if timing.rounds else math.nan


def _wide(results: Results, number: Callable[[Timing], float]) -> str:
    """A row a workload, a column a contestant."""
    seen = {label for result in results.values() for label in result.timings}
    columns = [label for label in COLUMNS if label in seen] + sorted(seen - set(COLUMNS))
    rows = []
    for name, result in results.items():
        times = {label: number(t) for label, t in result.timings.items()}
        known = [t for t in times.values() if not math.isnan(t)]
        best = min(known, default=math.nan)
        cells = [(_time(t), t == best) for t in (times.get(label, math.nan) for label in columns)]
        rows.append([name, *[f"**{text}**" if bold else text for text, bold in cells]])
    return _markdown(["", *columns], rows)


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
