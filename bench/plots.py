"""Pictures of a run, as PNG; matplotlib is imported only when they are drawn."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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
from bench.measure import Result, Results
from bench.ops import FORWARD, GRADIENT

COLOURS = {
    JIT: "#0b5fa5",
    EAGER: "#4ea3e0",
    INTERPRETED: "#a9cfec",
    NUMBA_SWEEP: "#7fb2dd",
    MACHINE: "#5a94c8",
    NUMPY: "#777777",
    FLOOR: "#b8b8b8",
    NUMBA: "#2c8f4f",
    STRICT: "#7fbf8f",
    C: "#000000",
    TORCH: "#e4572e",
    COMPILED: "#f4a08a",
    JAX: "#8e44ad",
    AUTOGRAD: "#c9a227",
}
SIZE = r"(?P<size>\d+e\d+)"
Lines = Mapping[str, Mapping[float, float]]
"""Seconds by size, by contestant."""


def draw(results: Results, folder: Path) -> list[str]:
    """Write every picture that there are numbers for; returns their names."""
    pyplot = load()
    pictures: dict[str, Callable[[Any], Any]] = {}
    workloads = {name: r for name, r in results.items() if r.base in (JIT, EAGER) and not name.startswith("op ")}
    if workloads:
        pictures["workloads.png"] = lambda p: _ratios(p, workloads)
    if found := _by_size(results, rf"(?P<name>elementwise) {SIZE}"):
        pictures["elementwise.png"] = lambda p: _grid(p, found, "one expression with its gradient, float32", 7, 5)
    for way in (FORWARD, GRADIENT):
        if swept := _by_size(results, rf"op (?P<name>.+) {SIZE} {way}"):
            pictures[f"ops-{way}.png"] = functools.partial(_grid, swept=swept, title=f"single operations, {way}")
    for name, picture in pictures.items():
        figure = picture(pyplot)
        figure.savefig(folder / name, dpi=110)
        pyplot.close(figure)
    return list(pictures)


def load() -> Any:
    """matplotlib's pyplot; raises `ImportError` that says what to install."""
    try:
        import matplotlib
    except ImportError:
        raise ImportError("--report draws with matplotlib, which is missing: pip install -e '.[bench]'") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _by_size(results: Results, pattern: str) -> dict[str, dict[str, dict[float, float]]]:
    """Seconds by name, contestant and size, of the workloads called like the pattern, which has a `name` and a `size`."""
    found: dict[str, dict[str, dict[float, float]]] = {}
    for name, result in results.items():
        if match := re.fullmatch(pattern, name):
            lines = found.setdefault(match["name"], {})
            for label, timing in result.timings.items():
                if timing.rounds:
                    lines.setdefault(label, {})[float(match["size"])] = timing.steady
    return found


def _plot(axes: Any, lines: Lines, title: str) -> None:
    for label, points in sorted(lines.items(), key=lambda item: list(COLOURS).index(item[0])):
        sizes = sorted(points)
        axes.loglog(sizes, [points[n] for n in sizes], ".-", label=label, color=COLOURS[label], linewidth=1.2)
    axes.set_title(title, fontsize=9)
    axes.grid(alpha=0.3)


def _grid(pyplot: Any, swept: Mapping[str, Lines], title: str, width: float = 3, height: float = 2.4) -> Any:
    columns = min(5, len(swept))
    rows = math.ceil(len(swept) / columns)
    size = (max(7, width * columns), height * rows + 0.8)
    figure, grid = pyplot.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for axes, (name, lines) in zip(grid.flat, swept.items()):
        _plot(axes, lines, name)
    for axes in grid.flat[len(swept) :]:
        axes.axis("off")
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=9)
    figure.suptitle(f"{title}: seconds by number of elements")
    return figure


def _ratios(pyplot: Any, workloads: Mapping[str, Result]) -> Any:
    """How many times as long as jitgrad everybody takes."""
    figure, axes = pyplot.subplots(figsize=(8, 0.32 * len(workloads) + 1.2), layout="constrained")
    names = list(workloads)
    for label, colour in COLOURS.items():
        points = [
            (result.timings[label].steady / result.timings[result.base].steady, i)
            for i, result in enumerate(workloads.values())
            if label != result.base and all(k in result.timings and result.timings[k].rounds for k in (label, result.base))
        ]
        if points:
            axes.plot(*zip(*points), "o", label=label, color=colour, markersize=5)
    axes.axvline(1, color=COLOURS[JIT], linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.grid(alpha=0.3)
    axes.set_xlabel("times as long as jitgrad (left of the line: faster)")
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
