"""What the examples share: their flags, a table of times, the logistic regression, and a window for plots."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import numpy as np


def options(text: str | None, arguments: list[str] | None = None) -> argparse.Namespace:
    """The flags of every example: `--quick`, and `--plot FILE`."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small form of it, in a few seconds")
    parser.add_argument("--plot", metavar="FILE", help="draw a picture (needs matplotlib)")
    return parser.parse_args(arguments)


def table(title: str, calls: dict[str, Callable[[], Any]], rounds: int = 7) -> dict[str, float]:
    """Print how long the calls take, the first one being what the others are compared to; seconds, by name.

    Every call runs once to warm up, then in rounds, so that noise of the machine hits all alike; medians.
    """
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - began)
    found = {name: median(several) for name, several in times.items()}
    base = next(iter(found.values()))
    print(f"\n{title}")
    for name, seconds in found.items():
        print(f"  {name:<48}{seconds * 1e3:10.3f} ms  {seconds / base:7.2f} x")
    return found


@contextmanager
def picture(file: str | None) -> Iterator[Any]:
    """The axes of a plot that is written to `file`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    yield axes
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


def sheet(pictures: np.ndarray, rows: int) -> np.ndarray:
    """Pictures as one, in rows, with white between them."""
    apart = np.pad(pictures, ((0, 0), (1, 1), (1, 1)))
    _, height, width = apart.shape
    grid = apart.reshape(rows, -1, height, width).transpose(0, 2, 1, 3)
    return grid.reshape(rows * height, -1)


def tumours() -> tuple[np.ndarray, np.ndarray]:
    """569 tumours: 30 standardised measurements and a column of ones; 1 or -1."""
    from sklearn.datasets import load_breast_cancer

    return _in_two_classes(*load_breast_cancer(return_X_y=True))


def wines() -> tuple[np.ndarray, np.ndarray]:
    """130 wines of two vineyards: 13 standardised measurements and a column of ones; 1 or -1."""
    from sklearn.datasets import load_wine

    x, y = load_wine(return_X_y=True)
    return _in_two_classes(x[y < 2], y[y < 2])


def digits() -> tuple[np.ndarray, np.ndarray]:
    """1797 pictures of 8 x 8, in a random order, and what they show."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    return (x[order] / 16).astype(np.float32), y[order]


def _in_two_classes(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x = (x - x.mean(0)) / x.std(0)
    return np.hstack([x, np.ones((len(x), 1))]), 2.0 * y - 1
