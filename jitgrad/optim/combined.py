"""Schedules that follow others, and the one that follows what is measured."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from jitgrad.optim.optimizer import Optimizer
from jitgrad.optim.schedule import LRScheduler, for_each


class ReduceLROnPlateau(LRScheduler):
    """The rate times `factor` when what `step(metrics)` is given got no better in more than `patience` steps.

    Better is smaller, or larger with `mode="max"`, by the part `threshold` of the best, or with `threshold_mode="abs"` by that
    much. After a reduction `cooldown` steps do not count; no rate falls below `min_lr`, and none by less than `eps`.

    >>> import jitgrad
    >>> optimizer = jitgrad.optim.SGD([jitgrad.ones(2).requires_grad_()], lr=0.5)
    >>> scheduler = jitgrad.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 2.0, 2.0):
    ...     scheduler.step(loss)
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1:
            raise ValueError(f"factor must be below 1, and it is {factor}")
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ValueError(f"mode is 'min' or 'max', and threshold_mode 'rel' or 'abs', not {mode!r} and {threshold_mode!r}")
        self.mode, self.factor, self.patience, self.threshold = mode, factor, patience, threshold
        self.threshold_mode, self.cooldown, self.eps = threshold_mode, cooldown, eps
        self.min_lrs = for_each(min_lr, optimizer, "min_lr")
        self.default_min_lr = min_lr if isinstance(min_lr, (int, float)) else None
        self.best = self.mode_worse = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = 0
        super().__init__(optimizer)

    def begin(self) -> None:
        self.last_epoch = 0
        del self.base_lrs  # the rates that it lowers are those that it finds
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Take note of a measurement, a number or a tensor with one."""
        current = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        better = self.is_better(current)
        self.best = current if better else self.best
        self.num_bad_epochs = 0 if better else self.num_bad_epochs + 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
            self.set(self.get_lr())
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def get_lr(self) -> list[Any]:
        """The rates, reduced."""
        pairs = [(group["lr"], least) for group, least in zip(self.optimizer.param_groups, self.min_lrs)]
        return [new if rate - (new := max(rate * self.factor, least)) > self.eps else rate for rate, least in pairs]

    @property
    def in_cooldown(self) -> bool:
        """Whether steps do not count yet."""
        return self.cooldown_counter > 0

    def is_better(self, a: float) -> bool:
        """Whether a measurement is better than the best so far."""
        margin = self.threshold if self.mode == "min" else -self.threshold
        limit = self.best * (1 - margin) if self.threshold_mode == "rel" else self.best - margin
        return a < limit if self.mode == "min" else a > limit


def _alike(schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> Optimizer:
    """The optimizer of all schedules; `ValueError` if they have several, or are none."""
    if not schedulers:
        raise ValueError("a schedule made of others needs one at least, and was given none")
    for i, scheduler in enumerate(schedulers):
        if isinstance(scheduler, ReduceLROnPlateau) or not isinstance(scheduler, LRScheduler):
            raise ValueError(
                f"schedule {i} is {type(scheduler).__name__}, whose steps are not those of the others: step it apart"
            )
    found = schedulers[0].optimizer if optimizer is None else optimizer
    for i, scheduler in enumerate(schedulers):
        if scheduler.optimizer is not found:
            raise ValueError(f"schedule {i} is of another optimizer than that of the others")
    return found


class _Combined(LRScheduler):
    """What is made of other schedules keeps their states in its own."""

    _schedulers: list[LRScheduler]

    def state_dict(self) -> dict[str, Any]:
        held = {name: value for name, value in vars(self).items() if name not in ("optimizer", "_schedulers")}
        return held | {"_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for scheduler, held in zip(self._schedulers, state_dict["_schedulers"]):
            scheduler.load_state_dict(held)
        vars(self).update({name: value for name, value in state_dict.items() if name != "_schedulers"})


class ChainedScheduler(_Combined):
    """All of some schedules at once: each multiplies what the ones before it left."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        self.optimizer = _alike(schedulers, optimizer)
        self._schedulers = list(schedulers)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def step(self) -> None:  # type: ignore[override]
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


class SequentialLR(_Combined):
    """One schedule after another: each of `milestones` is the epoch that the next one begins with, as its own epoch 0."""

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: list[int], last_epoch: int = -1
    ) -> None:
        self.optimizer = _alike(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"{len(schedulers)} schedules have {len(schedulers) - 1} milestones between them, not {len(milestones)}"
            )
        self._schedulers, self._milestones = list(schedulers), milestones
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        for scheduler in schedulers:  # all have taken their first step already
            scheduler.last_epoch -= 1
        schedulers[0].begin()
        self._last_lr = schedulers[0].get_last_lr()

    def step(self) -> None:  # type: ignore[override]
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        begins = i > 0 and self._milestones[i - 1] == self.last_epoch
        self._schedulers[i].step(*((0,) if begins else ()))
        self._last_lr = self._schedulers[i].get_last_lr()
