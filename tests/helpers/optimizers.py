"""Optimizers and schedules at work on small problems, in jitgrad or in PyTorch: what the tests compare.

`python -m tests.helpers.optimizers`, where PyTorch is, writes its outcomes to `tests/optim/recorded.json`.
"""

from __future__ import annotations

import importlib
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
    "ASGD": [{}, {"lr": 0.03, "lambd": 0.1, "t0": 3, "weight_decay": 0.1}, {"lr": 1e-3, "maximize": True}],
    "Adafactor": [{}, {"lr": 0.3, "beta2_decay": -0.5, "d": 2.0, "eps": (1e-6, 0.1), "weight_decay": 0.1}, *_MAXIMIZED],
    "Muon": [{}, {"nesterov": False, "lr": 0.01}, {"adjust_lr_fn": "match_rms_adamw", "weight_decay": 0, "ns_steps": 3}],
    "LBFGS": [
        {},
        {"lr": 0.5, "max_iter": 3, "history_size": 2},
        {"line_search_fn": "strong_wolfe"},
        {"line_search_fn": "strong_wolfe", "max_iter": 2, "lr": 0.1},
    ],
}
DTYPES = ("float32", "float64", "complex128")
REAL = ("Adafactor", "Muon")
"""Those that take no complex parameters."""
CASES = [
    (name, i, dtype)
    for name, options in OPTIONS.items()
    for i in range(len(options))
    for dtype in (DTYPES[:2] if name in REAL else DTYPES)
]


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
    return advanced(xp, params, getattr(xp.optim, name)(taken(name, params), **options), STEPS)


def taken(name: str, params: list[Any]) -> list[Any]:
    """Those of the parameters that an optimizer takes, the first ones."""
    return [p for p in params if p.ndim == 2] if name == "Muon" else params


def advanced(xp: Any, params: list[Any], optimizer: Any, steps: int) -> tuple[list[Any], Any]:
    """The parameters and the optimizer some steps further."""

    def closure() -> Any:
        optimizer.zero_grad()
        loss = loss_of(xp, params)
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
    return params, optimizer


def flat(params: list[Any]) -> list[float]:
    """All parameters as numbers, the parts of complex ones one after the other."""
    found = np.concatenate([np.asarray(p.detach()).ravel() for p in params])
    return [float(part) for x in found for part in ((x.real, x.imag) if np.iscomplexobj(found) else (x,))]


def _chained(lr_scheduler: Any, optimizer: Any) -> Any:
    parts = [lr_scheduler.ConstantLR(optimizer, 0.1, 3), lr_scheduler.ExponentialLR(optimizer, 0.9)]
    return lr_scheduler.ChainedScheduler(parts)


def _sequential(lr_scheduler: Any, optimizer: Any) -> Any:
    parts = [
        lr_scheduler.LinearLR(optimizer, 0.25, total_iters=3),
        lr_scheduler.CosineAnnealingLR(optimizer, 4),
        lr_scheduler.StepLR(optimizer, 2),
    ]
    return lr_scheduler.SequentialLR(optimizer, parts, [3, 8])


def _averaging(**options: Any) -> Any:
    return lambda lr_scheduler, optimizer: _swa_utils(lr_scheduler).SWALR(optimizer, **options)


def _swa_utils(lr_scheduler: Any) -> Any:
    return importlib.import_module(lr_scheduler.__name__.replace("lr_scheduler", "swa_utils"))


SCHEDULES: dict[str, tuple[Any, ...]] = {
    "LambdaLR": ({"lr_lambda": lambda n: 0.95**n}, {"lr_lambda": [lambda n: 1 / (n + 1), lambda n: 2.0 - n]}),
    "MultiplicativeLR": ({"lr_lambda": lambda n: 1 + 0.1 * n},),
    "StepLR": ({"step_size": 3}, {"step_size": 2, "gamma": 0.5}),
    "MultiStepLR": ({"milestones": [2, 5, 5, 9], "gamma": 0.5},),
    "ConstantLR": ({}, {"factor": 0.5, "total_iters": 2}),
    "LinearLR": ({}, {"start_factor": 0.9, "end_factor": 0.1, "total_iters": 7}),
    "ExponentialLR": ({"gamma": 0.8},),
    "PolynomialLR": ({}, {"total_iters": 8, "power": 2.0}),
    "CosineAnnealingLR": ({"T_max": 4}, {"T_max": 20, "eta_min": 0.01}),
    "CosineAnnealingWarmRestarts": ({"T_0": 3}, {"T_0": 2, "T_mult": 2, "eta_min": 0.01}),
    "CyclicLR": (
        {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 3},
        {"base_lr": [0.01, 0.02], "max_lr": [0.1, 0.3], "step_size_up": 2, "step_size_down": 3, "mode": "triangular2"},
        {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4, "mode": "exp_range", "gamma": 0.9, "cycle_momentum": False},
        {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 2, "scale_fn": lambda n: 0.5**n, "scale_mode": "iterations"},
    ),
    "OneCycleLR": (
        {"max_lr": 0.1, "total_steps": 15},
        {"max_lr": [0.1, 0.2], "epochs": 3, "steps_per_epoch": 5, "anneal_strategy": "linear", "three_phase": True},
        {"max_lr": 0.1, "total_steps": 14, "pct_start": 0.5, "div_factor": 10, "cycle_momentum": False},
    ),
    "ReduceLROnPlateau": (
        {"patience": 1},
        {"patience": 0, "factor": 0.5, "mode": "max", "threshold_mode": "abs", "cooldown": 2, "min_lr": 0.2},
        {"patience": 1, "threshold": 0.2},
    ),
    "ChainedScheduler": (_chained,),
    "SWALR": (
        _averaging(swa_lr=0.05),
        _averaging(swa_lr=[0.2, 0.3], anneal_epochs=4, anneal_strategy="linear"),
        _averaging(swa_lr=0.05, anneal_epochs=0),
    ),
    "SequentialLR": (_sequential,),
}
SCHEDULE_CASES = [(name, i) for name, options in SCHEDULES.items() for i in range(len(options))]
EPOCHS = 14


def scheduled(xp: Any, name: str, i: int) -> tuple[Any, Any]:
    """An optimizer of two groups, and a schedule of it."""
    params = [xp.tensor(np.ones(2)).requires_grad_() for _ in range(2)]
    optimizer = xp.optim.SGD([{"params": params[0]}, {"params": params[1], "lr": 0.1}], lr=0.5, momentum=0.9)
    options, made = SCHEDULES[name][i], xp.optim.lr_scheduler
    return optimizer, options(made, optimizer) if callable(options) else getattr(made, name)(optimizer, **options)


def rates(optimizer: Any, scheduler: Any, epochs: int = EPOCHS) -> list[list[float]]:
    """Rates and momenta after each step."""
    found = []
    for epoch in range(epochs):
        optimizer.step()
        found.append([group[name] for group in optimizer.param_groups for name in ("lr", "momentum")])
        measured = (1 / (1 + epoch // 4),) if type(scheduler).__name__ == "ReduceLROnPlateau" else ()
        scheduler.step(*measured)
    return found


if __name__ == "__main__":
    import torch

    optimizers = {f"{name} {i} {dtype}": flat(minimized(torch, name, OPTIONS[name][i], dtype)[0]) for name, i, dtype in CASES}
    schedules = {f"{name} {i}": rates(*scheduled(torch, name, i)) for name, i in SCHEDULE_CASES}
    RECORDED.write_text(json.dumps({"optimizers": optimizers, "schedules": schedules}), encoding="utf-8")
    print(f"wrote {RECORDED}")
