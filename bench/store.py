"""Results as JSON, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench.goals import losses, outcomes
from bench.imports import Size
from bench.measure import Result, Results, Timing


class Run(NamedTuple):
    """One run of the benchmarks: where and with what, and what was measured."""

    heading: str
    results: Results
    sizes: dict[str, Size]


def save(run: Run, versions: Mapping[str, str | None], path: Path) -> None:
    """Write everything that was measured, in seconds and bytes; what was not measured is null."""
    workloads = {
        name: result._asdict() | {"timings": {label: _without_nan(t) for label, t in result.timings.items()}}
        for name, result in run.results.items()
    }
    content = {
        "heading": run.heading,
        "versions": dict(versions),
        "workloads": workloads,
        "sizes": {name: size._asdict() for name, size in run.sizes.items()},
        "goals": [o._asdict() for o in outcomes(run.results)],
        "losses": [x._asdict() for x in losses(run.results)],
    }
    path.write_text(json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def read(path: Path) -> Run:
    """What `save` wrote; raises `ValueError` for a file that holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        results = {
            name: Result(w["title"], w["base"], {label: _with_nan(t) for label, t in w["timings"].items()})
            for name, w in content["workloads"].items()
        }
        return Run(content["heading"], results, {name: Size(**size) for name, size in content["sizes"].items()})
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} holds no results of `python -m bench --json`: {error!r}") from None


def _without_nan(timing: Timing) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in timing._asdict().items()}


def _with_nan(stored: Mapping[str, Any]) -> Timing:
    return Timing(**{k: math.nan if v is None and k != "problem" else v for k, v in stored.items()})
