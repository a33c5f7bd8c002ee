"""The data that the models are trained on: scikit-learn's tables, or generated stand-ins where it is not installed."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import jitgrad as jg

FEATURE = 22  # "worst perimeter" of the breast-cancer table


class Split(NamedTuple):
    """A table as float32 tensors, standardised by its training part: what is learnt from, and what is held out."""

    x: Any
    y: Any
    x_held: Any
    y_held: Any


class Data(NamedTuple):
    """All tables by name, and where they come from in a sentence."""

    tables: dict[str, Split]
    origin: str
    real: bool


def load(seed: int) -> Data:
    """The tables `one feature`, `tumours` and `digits`, split by `seed`."""
    try:
        from sklearn.datasets import load_breast_cancer, load_digits
    except ImportError:
        tumours, digits = _made_up(569, 30, 2), _made_up(1797, 64, 10)
        origin = (
            "generated data, because scikit-learn is not installed; "
            "for the breast-cancer and digits tables: pip install 'jitgrad[demo]'"
        )
        real = False
    else:
        tumours, digits = load_breast_cancer(return_X_y=True), load_digits(return_X_y=True)
        origin = "scikit-learn's breast-cancer table (569 x 30) and digits table (1797 x 64)"
        real = True
    tables = {
        "one feature": _split(tumours[0][:, FEATURE], tumours[1].astype(np.float32), seed),
        "tumours": _split(tumours[0], tumours[1].astype(np.float32), seed),
        "digits": _split(digits[0], digits[1].astype(np.int64), seed),
    }
    return Data(tables, origin, real)


def _made_up(rows: int, features: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """A cloud of points for each class, overlapping a little; always the same."""
    random = np.random.default_rng(12345)
    y = random.integers(0, classes, rows)
    centres = random.normal(size=(classes, features))
    centres[:, FEATURE] = np.linspace(2, -2, classes)  # the neuron sees nothing else
    return centres[y] + 1.5 * random.normal(size=(rows, features)), y


def _split(x: np.ndarray, y: np.ndarray, seed: int) -> Split:
    """A quarter held out; mean 0 and deviation 1 by what the training part shows."""
    order = np.random.default_rng(seed).permutation(len(x))
    held, train = np.split(order, [len(x) // 4])
    scale = x[train].std(axis=0)
    x = ((x - x[train].mean(axis=0)) / np.where(scale > 0, scale, 1)).astype(np.float32)
    return Split(*(jg.tensor(part) for part in (x[train], y[train], x[held], y[held])))


def batches(split: Split, size: int | None, seed: int) -> list[tuple[Any, Any]]:
    """The training part in shuffled batches of equal `size`; None means one batch with everything."""
    if size is None:
        return [(split.x, split.y)]
    x, y = split.x.numpy(), split.y.numpy()
    order = np.random.default_rng(seed).permutation(len(x))
    parts = [order[i : i + size] for i in range(0, len(x) - size + 1, size)]
    return [(jg.tensor(x[part]), jg.tensor(y[part])) for part in parts]
