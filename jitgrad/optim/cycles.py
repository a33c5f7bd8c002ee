"""Schedules of learning rates that go up and down: along cosines, in cycles."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from jitgrad.optim.optimizer import Optimizer
from jitgrad.optim.schedule import LRScheduler, for_each


class CosineAnnealingLR(LRScheduler):
    """From the initial rate to `eta_min` along a cosine, in `T_max` epochs, and back.

    Loshchilov & Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017), without the restarts.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        now, span, least = self.last_epoch, self.T_max, self.eta_min
        rates = [group["lr"] for group in self.optimizer.param_groups]
        if now == 0:
            return rates
        if self._step_count == 1:  # it goes on from a run before
            return [least + (base - least) * (1 + math.cos(now * math.pi / span)) / 2 for base in self.base_lrs]
        if (now - 1 - span) % (2 * span) == 0:  # from the lowest rate up
            up = (1 - math.cos(math.pi / span)) / 2
            return [rate + (base - least) * up for base, rate in zip(self.base_lrs, rates)]
        factor = (1 + math.cos(math.pi * now / span)) / (1 + math.cos(math.pi * (now - 1) / span))
        return [factor * (rate - least) + least for rate in rates]


class CosineAnnealingWarmRestarts(LRScheduler):
    """From the initial rate to `eta_min` along a cosine, in `T_0` epochs, then at once from the initial rate again, each time in
    `T_mult` times as many. `step(epoch)` also takes fractions of epochs.

    Loshchilov & Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017).
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        if not isinstance(T_0, int) or T_0 <= 0 or not isinstance(T_mult, int) or T_mult < 1:
            raise ValueError(f"T_0 and T_mult must be ints from 1 on, and they are {T_0} and {T_mult}")
        self.T_0, self.T_i, self.T_mult, self.eta_min = T_0, T_0, T_mult, eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        if epoch is None and self.last_epoch >= 0:
            self.last_epoch += 1
            self.T_cur += 1
        else:
            self.T_cur, self.T_i = epoch or 0, self.T_0
            if self.T_cur < 0:
                raise ValueError(f"an epoch must not be negative, and it is {epoch}")
            self.last_epoch = math.floor(self.T_cur)
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult
        self._step_count += 1
        self.set(self.get_lr())


def _has_betas(optimizer: Optimizer) -> bool:
    """Whether the momentum that is cycled is the first of `betas`; `ValueError` if there is none."""
    if not {"momentum", "betas"} & optimizer.defaults.keys():
        raise ValueError("the optimizer has no momentum to be cycled: say cycle_momentum=False")
    return "betas" in optimizer.defaults


def _set_momentum(group: dict[str, Any], of_betas: bool, value: float) -> None:
    if of_betas:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value


_SCALES: dict[str, tuple[str, Callable[[float, float], float]]] = {
    "triangular": ("cycle", lambda gamma, n: 1.0),
    "triangular2": ("cycle", lambda gamma, n: 1 / 2.0 ** (n - 1)),
    "exp_range": ("iterations", lambda gamma, n: gamma**n),
}


class CyclicLR(LRScheduler):
    """Between `base_lr` and `max_lr` on straight lines: up in `step_size_up` steps, down in `step_size_down`, or as many.

    With `mode` "triangular2" every cycle is half as high as the one before, with "exp_range" the height is times `gamma` to the
    number of steps; `scale_fn` gives a factor for the height, of the number of the cycle, or with `scale_mode="iterations"` of
    the step. With `cycle_momentum` the momentum goes the other way, from `max_momentum` to `base_momentum`. Smith, "Cyclical
    learning rates for training neural networks" (2017).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        if mode not in _SCALES and scale_fn is None:
            raise ValueError(f"mode is one of {', '.join(_SCALES)}, not {mode!r}: or give scale_fn")
        down = step_size_up if step_size_down is None else step_size_down
        self.total_size, self.step_ratio = float(step_size_up + down), step_size_up / (step_size_up + down)
        self.mode, self.gamma, self._scale_fn_custom, self.cycle_momentum = mode, gamma, scale_fn, cycle_momentum
        self.scale_mode = scale_mode if scale_fn is not None else _SCALES[mode][0]
        self.max_lrs = for_each(max_lr, optimizer, "max_lr")
        lowest = for_each(base_lr, optimizer, "base_lr")
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, lowest):
                group["lr"] = rate
        if cycle_momentum:
            self.use_beta1 = _has_betas(optimizer)
            self.base_momentums = for_each(base_momentum, optimizer, "base_momentum")
            self.max_momentums = for_each(max_momentum, optimizer, "max_momentum")
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lowest

    def get_lr(self) -> list[Any]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        n = cycle if self.scale_mode == "cycle" else self.last_epoch
        scale = _SCALES[self.mode][1](self.gamma, n) if self._scale_fn_custom is None else self._scale_fn_custom(n)
        if self.cycle_momentum:
            for group, low, high in zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums):
                _set_momentum(group, self.use_beta1, high - (high - low) * height * scale)
        return [low + (high - low) * height * scale for low, high in zip(self.base_lrs, self.max_lrs)]


_ANNEALING: dict[str, Callable[[float, float, float], float]] = {
    "cos": lambda start, end, part: end + (start - end) / 2.0 * (math.cos(math.pi * part) + 1),
    "linear": lambda start, end, part: (end - start) * part + start,
}


_PHASE = ("end_step", "start_lr", "end_lr", "start_momentum", "end_momentum")
"""What a state dict says of a phase, as PyTorch's does: when it ends, and between which values of a group."""


class OneCycleLR(LRScheduler):
    """From `max_lr / div_factor` up to `max_lr` in the part `pct_start` of all steps, then down to the first rate over
    `final_div_factor`; `step()` after each step of the optimizer.

    There are `total_steps`, or `epochs * steps_per_epoch`. `anneal_strategy` is "cos" or "linear"; with `three_phase` the rate
    goes down to the first one as it went up, and to the last one in what is left. With `cycle_momentum` the momentum goes from
    `max_momentum` down to `base_momentum` and back. Smith & Topin, "Super-convergence" (2018). `ValueError` for steps beyond the
    last.

    >>> import jitgrad
    >>> optimizer = jitgrad.optim.Adam([jitgrad.ones(2).requires_grad_()])
    >>> scheduler = jitgrad.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=10)
    >>> for _ in range(2):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.1]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None and (epochs is None or steps_per_epoch is None):
            raise ValueError("say how many steps there are: total_steps, or both epochs and steps_per_epoch")
        self.total_steps: Any = epochs * steps_per_epoch if total_steps is None else total_steps  # type: ignore[operator]
        if not isinstance(self.total_steps, int) or self.total_steps <= 0:
            raise ValueError(f"the number of steps must be an int from 1 on, and it is {self.total_steps}")
        if not 0 <= pct_start <= 1:
            raise ValueError(f"pct_start must be in [0, 1], and it is {pct_start}")
        if anneal_strategy not in _ANNEALING:
            raise ValueError(f"anneal_strategy is one of {', '.join(_ANNEALING)}, not {anneal_strategy!r}")
        self._anneal_func_type, self.cycle_momentum = anneal_strategy, cycle_momentum
        risen = float(pct_start * self.total_steps) - 1
        last = self.total_steps - 1
        phases = [(risen, "initial_lr", "max_lr", "max_momentum", "base_momentum")]
        if three_phase:
            phases += [(2 * risen, "max_lr", "initial_lr", "base_momentum", "max_momentum")]
            phases += [(last, "initial_lr", "min_lr", "max_momentum", "max_momentum")]
        else:
            phases += [(last, "max_lr", "min_lr", "base_momentum", "max_momentum")]
        self._schedule_phases: list[dict[str, Any]] = [dict(zip(_PHASE, phase)) for phase in phases]
        if cycle_momentum:
            self.use_beta1 = _has_betas(optimizer)
        if last_epoch == -1:
            groups = zip(
                optimizer.param_groups,
                for_each(max_lr, optimizer, "max_lr"),
                for_each(base_momentum, optimizer, "base_momentum"),
                for_each(max_momentum, optimizer, "max_momentum"),
            )
            for group, rate, low, high in groups:
                group |= {"initial_lr": rate / div_factor, "max_lr": rate, "min_lr": rate / div_factor / final_div_factor}
                if cycle_momentum:
                    group |= {"base_momentum": low, "max_momentum": high}
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        now = self.last_epoch
        if now > self.total_steps:
            raise ValueError(f"this is step {now} of a schedule of {self.total_steps} steps: say more in total_steps")
        start: float = 0
        for phase in self._schedule_phases:
            if now <= phase["end_step"] or phase is self._schedule_phases[-1]:
                break
            start = phase["end_step"]
        end, *names = [phase[name] for name in _PHASE]
        part, anneal = (now - start) / (end - start), _ANNEALING[self._anneal_func_type]
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(anneal(group[names[0]], group[names[1]], part))
            if self.cycle_momentum:
                _set_momentum(group, self.use_beta1, anneal(group[names[2]], group[names[3]], part))
        return rates
