"""Optimizers by the names of `torch.optim`, as objects that change parameters in place, and in `functional` as pure functions."""

from __future__ import annotations

import importlib
from typing import Any

from jitgrad.base.signals import importing
from jitgrad.optim import functional, lr_scheduler, swa_utils
from jitgrad.optim.adam import Adam, AdamW
from jitgrad.optim.lbfgs import LBFGS
from jitgrad.optim.matrices import Adafactor, Muon
from jitgrad.optim.moments import Adamax, NAdam, RAdam
from jitgrad.optim.optimizer import Optimizer
from jitgrad.optim.rprop import Rprop
from jitgrad.optim.sgd import ASGD, SGD
from jitgrad.optim.squares import Adadelta, Adagrad, RMSprop

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "functional",
    "lr_scheduler",
    "minimize",
    "swa_utils",
]


def __getattr__(name: str) -> Any:
    if name == "minimize":  # which imports all transforms
        with importing("jitgrad.optim.scipy_minimize"):
            found = globals()[name] = importlib.import_module("jitgrad.optim.scipy_minimize").minimize
        return found
    raise AttributeError(f"jitgrad.optim.{name} is not available: there is {', '.join(__all__)}", name=name)
