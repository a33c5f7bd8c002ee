"""The results as text, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bench import threads
from bench.contestants import Workload
from bench.goals import Loss, Outcome
from bench.libraries import PEERS, processor, versions, why_missing
from bench.measure import Timing
from jitgrad.cli.table import table, three_digits


def heading() -> str:
    """Machine, versions, threads, and who is missing."""
    known = versions()
    present = ", ".join(f"{name} {version}" for name, version in known.items() if version)
    lines = [processor(), present, *threads.describe()]
    missing = [f"{peer} ({why})" for peer in PEERS if (why := why_missing(peer))]
    if "torch (not installed)" not in missing and (why := why_missing("torch.compile")):
        missing.append(f"torch.compile ({why})")
    if missing:
        lines.append(f"missing: {', '.join(missing)}; the extra `bench` has the peers: pip install -e '.[bench]'")
    lines.append(
        "Times are medians over rounds in which all take turns. The first call traces and compiles what was not\n"
        "compiled before in this process, with empty disk caches; the libraries themselves were started before."
    )
    return "\n".join(lines)


def timings_table(workload: Workload, timings: Mapping[str, Timing]) -> str:
    """One workload: its contestants, fastest first."""
    base = timings.get(workload.base)
    rows, problems = [], []
    for label, t in sorted(timings.items(), key=lambda item: (math.isnan(item[1].steady), item[1].steady)):
        if t.problem is not None:
            problems.append(f"{label}: {t.problem}")
            continue
        ratio = three_digits(t.steady / base.steady) if base is not None and base.rounds else ""
        rows.append([label, micro(t.steady), f"±{t.spread * 100:.0f}%", ratio, f"{t.first * 1e3:,.2f}"])
    head = [workload.name, "µs", "spread", f"× {workload.base}", "first call ms"]
    return "\n".join([workload.title, table(head, rows, right=(1, 2, 3, 4)), *problems])


def micro(seconds: float) -> str:
    """Microseconds with three digits, thousands apart."""
    number = seconds * 1e6
    return f"{number:,.0f}" if number >= 999.5 else three_digits(number)


def imports_table(times: Mapping[str, float]) -> str:
    """Import times beside each other."""
    base = times["jitgrad"]
    ordered = sorted(times.items(), key=lambda item: item[1])
    rows = [[f"import {name}", three_digits(t), three_digits(t / base)] for name, t in ordered]
    return "import, in fresh processes\n" + table(["import", "s", "× jitgrad"], rows, right=(1, 2))


def goals_table(outcomes: list[Outcome]) -> str:
    """Each goal with its limit, what was measured, and whether that is enough."""
    words = {True: "met", False: "MISSED", None: "not measured"}
    rows = []
    for o in outcomes:
        unit = o.limit.split()[-1]
        rows.append([o.text, f"≤ {o.limit}", "" if o.measured is None else f"{o.measured:.3f} {unit}", words[o.met]])
    return "Goals\n" + table(["jitgrad takes", "limit", "measured", ""], rows, right=(1, 2))


def problems_text(results: Mapping[str, Mapping[str, Timing]]) -> str:
    """Who was wrong or failed, a line each."""
    return "\n".join(
        f"{name}, {label}: {t.problem}"
        for name, timings in results.items()
        for label, t in timings.items()
        if t.problem
    )


def losses_table(losses: list[Loss], compared: int) -> str:
    """Who was faster than jitgrad, and where, among the workloads that were `compared`."""
    if not losses:
        return f"Where jitgrad loses\n{f'nowhere, in {compared} workloads' if compared else 'nothing was compared'}"
    rows = [[x.workload, x.ours, x.theirs, three_digits(x.times_slower)] for x in losses]
    return "Where jitgrad loses\n" + table(["workload", "ours", "faster", "ours takes ×"], rows, right=(3,))


def as_json(
    results: Mapping[str, Mapping[str, Timing]],
    imports: Mapping[str, float],
    outcomes: list[Outcome],
    losses: list[Loss],
) -> dict[str, Any]:
    """Everything that was measured, in seconds; what was not measured is null."""
    return {
        "processor": processor(),
        "versions": versions(),
        "threads": threads.describe(),
        "workloads": {
            name: {label: _without_nan(t) for label, t in timings.items()} for name, timings in results.items()
        },
        "imports": dict(imports),
        "goals": [o._asdict() for o in outcomes],
        "losses": [x._asdict() for x in losses],
    }


def _without_nan(timing: Timing) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in timing._asdict().items()}
