"""Training steps with Adam, loss, gradient and update, eagerly and under `jit`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bench.contestants import EAGER, INTERPRETED, JIT, TORCH, Contestant, Entrants
from bench.libraries import Library, load

RATE, BETAS, EPS = 1e-3, (0.9, 0.999), 1e-8

Arguments = tuple[list[np.ndarray], list[tuple[np.ndarray, ...]]]
"""The parameters to begin with, and the batches, one a step."""


class Training(NamedTuple):
    """Some steps from the same beginning each time; what is right or wrong is the loss before each of them."""

    loss: Callable[[Library], Callable]  # of the parameters and what a batch consists of, one after the other
    arguments: Callable[[], Arguments]

    def entrants(self) -> Entrants:
        """Us and torch."""
        return {
            JIT: lambda: self._jitted("auto"),
            INTERPRETED: lambda: self._jitted("interpreted"),
            EAGER: lambda: self._eager("jitgrad"),
            TORCH: lambda: self._eager("torch"),
        }

    def contestant(self, run: Callable, array: Callable) -> Contestant:
        """The steps that `run` takes with the arguments, made arrays of a library by `array`."""
        start, batches = self.arguments()
        given = [array(a) for a in start], [tuple(array(a) for a in batch) for batch in batches]
        return Contestant(run, given, lambda losses: [np.array([float(loss) for loss in losses])])

    def doubled(self) -> Arguments:
        """The arguments, in float64 where they are float32."""

        def double(a: np.ndarray) -> np.ndarray:
            return a.astype(np.float64) if a.dtype == np.float32 else a

        start, batches = self.arguments()
        return [double(a) for a in start], [tuple(double(a) for a in batch) for batch in batches]

    def in_double(self) -> list[np.ndarray]:
        """The losses of our eager code in float64, for problems that nobody solves by hand."""
        contestant = self._replace(arguments=self.doubled)._eager("jitgrad")
        return contestant.arrays(contestant.call(*contestant.args))

    def _jitted(self, sweep: str) -> Contestant:
        import jitgrad as jg

        loss, optimizer = self.loss(load("jitgrad")), jg.optim.functional.adam(RATE, BETAS, EPS)

        @jg.jit
        def step(params: Any, state: Any, batch: Any) -> Any:
            value, gradients = jg.value_and_grad(lambda params: loss(*params, *batch))(params)
            return value, *optimizer.update(gradients, state, params)

        def run(params: Any, batches: Any) -> list[Any]:
            state, losses = optimizer.init(params), []
            for batch in batches:
                value, params, state = step(params, state, batch)
                losses.append(value)
            return losses

        return self.contestant(run, jg.tensor)._replace(context=lambda: jg.sweep(sweep))

    def _eager(self, library: str) -> Contestant:
        given = load(library)
        return self.contestant(functools.partial(_eagerly, given.xp, self.loss(given)), given.array)


def _eagerly(xp: Any, loss: Callable, start: Any, batches: Any) -> list[Any]:
    params = [a.clone().requires_grad_() for a in start]
    optimizer = xp.optim.Adam(params, RATE, BETAS, EPS)
    losses = []
    for batch in batches:
        optimizer.zero_grad()
        value = loss(*params, *batch)
        value.backward()
        optimizer.step()
        losses.append(value.detach())
    return losses
