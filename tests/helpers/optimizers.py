"""Optimizers and schedules at work on small problems, in jitgrad or in PyTorch: what the tests compare.

`python -m tests.helpers.optimizers`, where PyTorch is, writes its outcomes to `tests/optim/recorded.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

RECORDED = Path(__file__).parents[1] / "optim" / "recorded.json"
STEPS = 10

_DECAYS = [{"weight_decay": 0.1}]
_BOTH_DECAYS = [*_DECAYS, {"weight_decay": 0.1, "decoupled_weight_decay": True}]
_MAXIMIZED = [{"maximize": True}]
_BETAS = [{"betas": (0.5, 0.9), "eps": 1e-3, "lr": 0.05}]
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "SGD": [
        {"lr": 0.02, **more}
        for more in (
            {},
            {"momentum": 0.9},
            {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
            {"momentum": 0.9, "dampening": 0.3},
            *_DECAYS,
            *_MAXIMIZED,
        )
    ],
    "Adam": [{}, {"amsgrad": True, "lr": 0.1}, *_BOTH_DECAYS, *_MAXIMIZED, *_BETAS],
    "AdamW": [{}, {"amsgrad": True, "lr": 0.1}, *_DECAYS, *_MAXIMIZED, *_BETAS],
    "Adamax": [{}, *_DECAYS, *_MAXIMIZED, *_BETAS],
    "NAdam": [{}, {"momentum_decay": 0.1}, *_BOTH_DECAYS, *_MAXIMIZED, *_BETAS],
    "RAdam": [{}, *_BOTH_DECAYS, *_MAXIMIZED, *_BETAS],
    "RMSprop": [{}, {"momentum": 0.9}, {"centered": True, "alpha": 0.9}, *_DECAYS, *_MAXIMIZED],
    "Rprop": [{}, {"etas": (0.3, 1.5), "step_sizes": (1e-3, 0.05), "lr": 0.04}, *_MAXIMIZED],
    "Adagrad": [{}, {"lr_decay": 0.1}, {"initial_accumulator_value": 0.5, "eps": 1e-3}, *_DECAYS, *_MAXIMIZED],
    "Adadelta": [{}, {"rho": 0.5, "eps": 1e-3, "lr": 0.5}, *_DECAYS, *_MAXIMIZED],
    "LBFGS": [
        {},
        {"lr": 0.5, "max_iter": 3, "history_size": 2},
        {"line_search_fn": "strong_wolfe"},
        {"line_search_fn": "strong_wolfe", "max_iter": 2, "lr": 0.1},
    ],
}
DTYPES = ("float32", "float64", "complex128")
CASES = [(name, i, dtype) for name, options in OPTIONS.items() for i in range(len(options)) for dtype in DTYPES]


def start(dtype: str) -> list[np.ndarray]:
    """The parameters that every case begins with: a matrix, a vector, a number."""
    values = [np.array([[0.5, -1.5, 2.0], [1.0, 0.25, -0.75]]), np.array([0.1, -0.2]), np.array(0.7)]
    if dtype.startswith("complex"):
        values = [a + 1j * a[..., ::-1] / 2 if a.ndim else a + 0.3j for a in values]
    return [a.astype(dtype) for a in values]


def loss_of(xp: Any, params: list[Any]) -> Any:
    """A function that is not convex, with gradients in all parameters; xp is jitgrad or torch."""
    w, b, c = params
    x = xp.tensor([[1.0, -0.5, 0.25], [0.3, 0.8, -1.2], [-0.6, 0.4, 2.0]], dtype=w.dtype)
    y = x @ w.T + b
    return (
        ((y * y.conj()).real.mean() - 1) ** 2
        + (y.real * 2).sin().sum()
        + (y.imag.sum() if y.is_complex() else 0) * 0.1
        + ((c - 3) * (c - 3).conj()).real
    )


def minimized(xp: Any, name: str, options: dict[str, Any], dtype: str) -> tuple[list[Any], Any]:
    """The parameters and the optimizer after some steps."""
    params = [xp.tensor(a).requires_grad_() for a in start(dtype)]
    optimizer = getattr(xp.optim, name)(params, **options)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = loss_of(xp, params)
        loss.backward()
        return loss

    for _ in range(STEPS):
        optimizer.step(closure)
    return params, optimizer


def flat(params: list[Any]) -> list[float]:
    """All parameters as numbers, the parts of complex ones one after the other."""
    found = np.concatenate([np.asarray(p.detach()).ravel() for p in params])
    return [float(part) for x in found for part in ((x.real, x.imag) if np.iscomplexobj(found) else (x,))]


if __name__ == "__main__":
    import torch

    recorded = {f"{name} {i} {dtype}": flat(minimized(torch, name, OPTIONS[name][i], dtype)[0]) for name, i, dtype in CASES}
    RECORDED.write_text(json.dumps({"optimizers": recorded}, indent=0), encoding="utf-8")
    print(f"wrote {RECORDED}")
