"""Optimizers by the names of `torch.optim`, as objects that change parameters in place, and in `functional` as pure functions."""

from jitgrad.optim import functional, lr_scheduler
from jitgrad.optim.adam import Adam, AdamW
from jitgrad.optim.lbfgs import LBFGS
from jitgrad.optim.moments import Adamax, NAdam, RAdam
from jitgrad.optim.optimizer import Optimizer
from jitgrad.optim.rprop import Rprop
from jitgrad.optim.scipy_minimize import minimize
from jitgrad.optim.sgd import SGD
from jitgrad.optim.squares import Adadelta, Adagrad, RMSprop

__all__ = [
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "functional",
    "lr_scheduler",
    "minimize",
]
