"""Schedules of learning rates that multiply them, step by step, and what all schedules share."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

from jitgrad.optim.optimizer import Optimizer


class LRScheduler:
    """What all schedules share; derive from it, with a `get_lr` of your own, for one that is not here.

    `step()` after each epoch, or step of the optimizer, sets `lr` of its groups. `get_lr()` gives the rates for `last_epoch`,
    which may follow from those that the groups have. With `last_epoch` of a run that went on before, rates start from the
    `initial_lr` of the groups. `TypeError` for what is no optimizer, `KeyError` for groups without an `initial_lr`.
    """

    base_lrs: list[Any]

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"a schedule is of an optimizer, not {type(optimizer).__name__}")
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(f"group {i} has no initial_lr, which a schedule that goes on at epoch {last_epoch} starts from")
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.begin()

    def begin(self) -> None:
        """Take the first step, which sets the rates before any is taken by the optimizer."""
        self._step_count = 0
        self.step()

    def get_lr(self) -> list[Any]:
        """The rates of the groups for `last_epoch`."""
        raise NotImplementedError(f"{type(self).__name__} has no get_lr: derive from LRScheduler and write one")

    def get_last_lr(self) -> list[Any]:
        """The rates that the last step set."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next epoch, or to that one."""
        if self._step_count == 1 and not self.optimizer.steps:
            warnings.warn(
                "the schedule takes a step before the optimizer has taken one, so that its first rate is never used: call "
                "optimizer.step() first",
                stacklevel=2,
            )
        self._step_count += 1
        if epoch is None:
            self.last_epoch += 1
            self.set(self.get_lr())
        else:
            self.go_to(epoch)

    def go_to(self, epoch: int) -> None:
        """Set the rates of an epoch, reached from the first one."""
        self.set(self.base_lrs)
        for self.last_epoch in range(epoch + 1):
            self.set(self.get_lr())

    def set(self, rates: Iterable[Any]) -> None:
        """Give the groups their rates."""
        for group, rate in zip(self.optimizer.param_groups, rates):
            group["lr"] = rate
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, by PyTorch's names; functions are None, callable objects what they hold."""
        return {name: _stateful(value) for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what a `state_dict()` holds; functions stay as they are."""
        for name, value in state_dict.items():
            mine = getattr(self, name, None)
            if callable(mine) or (isinstance(mine, list) and any(callable(each) for each in mine)):
                for each, found in zip(mine, value) if isinstance(mine, list) else [(mine, value)]:
                    if found is not None:
                        vars(each).update(found)
            else:
                setattr(self, name, value)


def _stateful(value: Any) -> Any:
    """What a state holds of a value: of functions, and of a list of them, what those that are objects hold."""
    if isinstance(value, list) and any(callable(each) for each in value):
        return [_stateful(each) for each in value]
    if callable(value):
        return None if isinstance(value, (FunctionType, type)) else dict(getattr(value, "__dict__", {}))
    return value


def for_each(value: Any, optimizer: Optimizer, name: str) -> list[Any]:
    """A value for each group: one for all, or a list of as many."""
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{name} has {len(value)} values, and the optimizer {count} groups: give one for each, or one for all")
    return list(value)


class LambdaLR(LRScheduler):
    """The initial rate times `lr_lambda(epoch)`, a function, or one for each group.

    >>> import jitgrad
    >>> optimizer = jitgrad.optim.SGD([jitgrad.ones(2).requires_grad_()], lr=0.5)
    >>> scheduler = jitgrad.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 / (epoch + 1))
    >>> optimizer.step(), scheduler.step()
    (None, None)
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable | list[Callable], last_epoch: int = -1) -> None:
        self.lr_lambdas = for_each(lr_lambda, optimizer, "lr_lambda")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        return [base * function(self.last_epoch) for base, function in zip(self.base_lrs, self.lr_lambdas)]


class MultiplicativeLR(LRScheduler):
    """The rate before times `lr_lambda(epoch)`, a function, or one for each group."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable | list[Callable], last_epoch: int = -1) -> None:
        self.lr_lambdas = for_each(lr_lambda, optimizer, "lr_lambda")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        now, groups = self.last_epoch, self.optimizer.param_groups
        return [group["lr"] * function(now) if now > 0 else group["lr"] for group, function in zip(groups, self.lr_lambdas)]


class _Factor(LRScheduler):
    """Every rate is multiplied by the same `factor_at(epoch)`."""

    def factor_at(self, epoch: int) -> float:
        raise NotImplementedError

    def get_lr(self) -> list[Any]:
        factor = self.factor_at(self.last_epoch)
        return [group["lr"] * factor for group in self.optimizer.param_groups]


class StepLR(_Factor):
    """The rate times `gamma` every `step_size` epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def factor_at(self, epoch: int) -> float:
        return self.gamma if epoch and epoch % self.step_size == 0 else 1.0


class MultiStepLR(_Factor):
    """The rate times `gamma` at each of the `milestones`."""

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def factor_at(self, epoch: int) -> float:
        return self.gamma ** self.milestones[epoch]


class ConstantLR(_Factor):
    """The rate times `factor` until epoch `total_iters`."""

    def __init__(self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        if not 0 < factor <= 1:
            raise ValueError(f"factor must be above 0 and not above 1, and it is {factor}")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def factor_at(self, epoch: int) -> float:
        return self.factor if epoch == 0 else 1 / self.factor if epoch == self.total_iters else 1.0


class LinearLR(_Factor):
    """The rate times what goes from `start_factor` to `end_factor` on a straight line, in `total_iters` epochs."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1 or not 0 <= end_factor <= 1:
            raise ValueError(f"factors must be from 0 to 1, the first one above 0, and they are {start_factor} and {end_factor}")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def factor_at(self, epoch: int) -> float:
        if epoch == 0:
            return self.start_factor
        if epoch > self.total_iters:
            return 1.0
        rise = self.end_factor - self.start_factor
        return 1.0 + rise / (self.total_iters * self.start_factor + (epoch - 1) * rise)


class ExponentialLR(_Factor):
    """The rate times `gamma` every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor_at(self, epoch: int) -> float:
        return self.gamma if epoch else 1.0


class PolynomialLR(_Factor):
    """The initial rate times (1 − epoch / total_iters) to the `power`, 0 from `total_iters` on."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def factor_at(self, epoch: int) -> float:
        if not 0 < epoch <= self.total_iters:
            return 1.0
        return ((1.0 - epoch / self.total_iters) / (1.0 - (epoch - 1) / self.total_iters)) ** self.power
