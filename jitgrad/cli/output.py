"""Results as JSON and as a picture; and the checks that come before the work, so that none is done in vain."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from jitgrad.cli.errors import UsageError
from jitgrad.cli.measure import LABELS, SWEEPS, Comparison
from jitgrad.cli.table import three_digits


def check_writable(option: str, file: str | None) -> None:
    """`UsageError` if `file` cannot be written; one that is there keeps its content."""
    if file is None:
        return
    path = Path(file)
    is_new = not path.exists()
    try:
        path.open("ab").close()
    except OSError as error:
        raise UsageError(f"{option} {file} cannot be written: {error.strerror or error}") from error
    if is_new:
        path.unlink()


def check_plot(file: str | None) -> None:
    """`UsageError` if there is no matplotlib or it does not know the kind of file."""
    if file is None:
        return
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError as error:
        raise UsageError("--plot needs matplotlib: pip install 'jitgrad[plot]'") from error
    kind = Path(file).suffix.lstrip(".").lower()
    if kind not in FigureCanvasAgg.get_supported_filetypes():
        raise UsageError(f"--plot {file}: the name must end in .png (or .svg, .pdf)")


def write_json(file: str, facts: dict[str, Any], results: list[Comparison]) -> None:
    """Everything that is in the table, and the loss curves. Numbers that JSON has no word for become null."""
    content = facts | {"results": [entry for comparison in results for entry in _entries(comparison)]}
    Path(file).write_text(json.dumps(_plain(content), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _entries(comparison: Comparison) -> list[dict[str, Any]]:
    return [
        {
            "model": comparison.name,
            "sweep": run.sweep,
            "loss": run.loss,
            "accuracy": run.accuracy,
            "first_gradient_s": run.first,
            "step_s": run.steady,
            "speed_up": comparison.speed_up(run.sweep),
            "largest_gradient_difference": comparison.differences[run.sweep],
            "kernels_from_disk_cache": run.from_disk,
            "losses": run.losses,
        }
        for run in comparison.runs.values()
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_plot(file: str, title: str, results: list[Comparison]) -> None:
    """Loss curves on the left (where something was trained), times on the right."""
    from matplotlib.figure import Figure

    with_curves = any(c.jit.losses for c in results)
    figure = Figure(figsize=(11, 4.5) if with_curves else (6, 4.5), layout="constrained")
    axes = figure.subplots(1, 2) if with_curves else [figure.subplots()]
    if with_curves:
        _draw_losses(axes[0], results)
    _draw_times(axes[-1], results)
    figure.suptitle(title, fontsize=9)
    figure.savefig(file, dpi=150)


def _draw_losses(axes: Any, results: list[Comparison]) -> None:
    for i, comparison in enumerate(results):
        axes.plot(comparison.runs["interpreted"].losses, color=f"C{i}", linewidth=3, alpha=0.35)
        axes.plot(comparison.jit.losses, color=f"C{i}", linewidth=1, linestyle="--", label=comparison.name)
    axes.set(xlabel="step", ylabel="training loss", title="loss (wide: interpreted, dashed: JIT)", yscale="log")
    axes.legend()


def _draw_times(axes: Any, results: list[Comparison]) -> None:
    places = range(len(results))
    for i, sweep in enumerate(SWEEPS):
        heights = [1e6 * c.runs[sweep].steady for c in results]
        axes.bar([p + 0.2 * i - 0.3 for p in places], heights, 0.2, label=LABELS[sweep])
    for place, comparison in zip(places, results):
        text = f"{three_digits(comparison.speed_up('jit'))} times"
        axes.text(place + 0.3, 1e6 * comparison.jit.steady, text, ha="center", va="bottom", fontsize=8)
    axes.set_xticks(list(places), [c.name for c in results])
    shortest = 1e6 * min(run.steady for c in results for run in c.runs.values())
    axes.set(ylabel="a step, µs", title="steady time a step", yscale="log")
    axes.set_ylim(bottom=10 ** math.floor(math.log10(shortest) - 0.3))  # log bars have no zero: begin at a round number
    axes.legend()
