"""Optimizers as pure functions, for training loops that are compiled whole: `opt = adam(lr=1e-3)`, then `opt.init(params)` and
`opt.update(grads, state, params)`; see `Functional`."""

from jitgrad.optim.adam import adam, adamw
from jitgrad.optim.matrices import adafactor, muon
from jitgrad.optim.moments import adamax, nadam, radam
from jitgrad.optim.rprop import rprop
from jitgrad.optim.rule import Functional
from jitgrad.optim.sgd import asgd, sgd
from jitgrad.optim.squares import adadelta, adagrad, rmsprop

__all__ = [
    "Functional",
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "asgd",
    "muon",
    "nadam",
    "radam",
    "rmsprop",
    "rprop",
    "sgd",
]
