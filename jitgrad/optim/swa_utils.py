"""Means of parameters over training, and the schedule that goes with them, by the names of `torch.optim.swa_utils`.

Izmailov et al., "Averaging weights leads to wider optima and better generalization" (2018).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

from jitgrad.autograd.modes import no_grad
from jitgrad.base.tree import flatten, tree_map
from jitgrad.functions.creation import zeros
from jitgrad.optim.optimizer import Optimizer
from jitgrad.optim.schedule import LRScheduler, for_each
from jitgrad.tensors.tensor import Tensor

__all__ = ["SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn"]


def get_ema_avg_fn(decay: float = 0.999) -> Callable[[Tensor, Tensor, Any], Tensor]:
    """The function `decay * mean + (1 - decay) * current`, for `avg_fn`; `ValueError` for a `decay` out of [0, 1]."""
    if not 0 <= decay <= 1:
        raise ValueError(f"decay must be in [0, 1], and it is {decay}")
    return no_grad()(lambda averaged, current, num_averaged: decay * averaged + (1 - decay) * current)


def get_swa_avg_fn() -> Callable[[Tensor, Tensor, Any], Tensor]:
    """The function `mean + (current - mean) / (n + 1)`, for `avg_fn`: all that there was has the same weight."""
    return no_grad()(lambda averaged, current, num_averaged: averaged + (current - averaged) / (num_averaged + 1))


def _in_place(avg_fn: Callable[[Tensor, Tensor, Any], Tensor]) -> Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]:
    """The same for lists of tensors, the first of which is changed."""

    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], num_averaged: Any) -> None:
        with no_grad():
            for mean, now in zip(averaged, current):
                mean.copy_(avg_fn(mean, now.to(mean.device), num_averaged))

    return update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]:
    """`get_ema_avg_fn` of lists of tensors, which changes those of the first, for `multi_avg_fn`."""
    return _in_place(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]:
    """`get_swa_avg_fn` of lists of tensors, which changes those of the first, for `multi_avg_fn`."""
    return _in_place(get_swa_avg_fn())


class AveragedModel:
    """A copy of a model whose parameters are means of those that it was given; `module` is that copy.

    The model is parameters nested in any way, or an object with a method `parameters()`. The first `update_parameters(model)`
    copies its values, each later one takes them into the mean, by `avg_fn(mean, current, n)`, or by `multi_avg_fn(means, current,
    n)` in place; with neither all have the same weight. What `buffers()` of the object gives is averaged too with `use_buffers`,
    and else copied. A call is one of the copy. `AssertionError` for both functions, `ValueError` for a model of other parameters.

    >>> import jitgrad
    >>> params = {"w": jitgrad.tensor([1.0, 2.0])}
    >>> averaged = jitgrad.optim.swa_utils.AveragedModel(params)
    >>> for _ in range(3):
    ...     averaged.update_parameters(params)
    ...     params["w"] += 1
    >>> averaged.module
    {'w': tensor([2., 3.])}
    """

    def __init__(
        self,
        model: Any,
        device: Any = None,
        avg_fn: Callable[[Tensor, Tensor, Any], Tensor] | None = None,
        multi_avg_fn: Callable[[Sequence[Tensor], Sequence[Tensor], Any], None] | None = None,
        use_buffers: bool = False,
    ) -> None:
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("a mean is taken by avg_fn or by multi_avg_fn, and both were given: leave one out")
        _parts(model, "parameters")
        self.module = copy.deepcopy(model)
        if device is not None:
            moved = getattr(self.module, "to", None)
            self.module = moved(device) if moved else tree_map(lambda p: p.to(device), self.module)
        self.n_averaged = zeros((), dtype="int64", device=device)
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def parameters(self) -> list[Tensor]:
        """The means, one after the other."""
        return _parts(self.module, "parameters")

    def update_parameters(self, model: Any) -> None:
        """Take the parameters of a model into the mean."""
        update = self.multi_avg_fn or _in_place(self.avg_fn or get_swa_avg_fn())
        copied = _in_place(lambda mean, current, num_averaged: current)
        for kind in ("parameters", "buffers"):
            means, current = ([x.detach() for x in _parts(each, kind)] for each in (self.module, model))
            if [x.shape for x in means] != [x.shape for x in current]:
                raise ValueError(
                    f"the mean is of {kind} of shapes {[list(x.shape) for x in means]}, and the model has "
                    f"{[list(x.shape) for x in current]}"
                )
            averages = int(self.n_averaged) > 0 and (kind == "parameters" or self.use_buffers)
            if means:
                (update if averages else copied)(means, current, self.n_averaged)
        self.n_averaged += 1

    def state_dict(self) -> dict[str, Any]:
        """The means and how many models they are of."""
        return {"n_averaged": self.n_averaged, **{kind: _parts(self.module, kind) for kind in ("parameters", "buffers")}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the means of a `state_dict()`, whose values are copied."""
        for kind in ("parameters", "buffers"):
            _in_place(lambda mean, saved, _: saved)([x.detach() for x in _parts(self.module, kind)], state_dict[kind], None)
        self.n_averaged.copy_(state_dict["n_averaged"])


def _parts(model: Any, kind: str) -> list[Tensor]:
    """The parameters or the buffers of a model; `TypeError` for what has none."""
    if callable(given := getattr(model, kind, None)):
        return list(given())
    found: list[Any] = []
    if kind == "parameters":
        flatten(model, found)
    for x in found:
        if not isinstance(x, Tensor):
            raise TypeError(
                f"a mean is taken of tensors, nested in any way, or of an object with parameters(), and it was given "
                f"{type(x).__name__}"
            )
    return found


class SWALR(LRScheduler):
    """From the rate of each group to `swa_lr`, one for all or a list, in `anneal_epochs`, along a cosine or a "linear" way.

    >>> import jitgrad
    >>> optimizer = jitgrad.optim.SGD([jitgrad.ones(2).requires_grad_()], lr=0.5)
    >>> scheduler = jitgrad.optim.swa_utils.SWALR(optimizer, swa_lr=0.1, anneal_epochs=4, anneal_strategy="linear")
    >>> optimizer.step(), scheduler.step()
    (None, None)
    >>> scheduler.get_last_lr()
    [0.4]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy is 'cos' or 'linear', not {anneal_strategy!r}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be an int from 0 on, and it is {anneal_epochs}")
        for rate, group in zip(for_each(swa_lr, optimizer, "swa_lr"), optimizer.param_groups):
            group["swa_lr"] = rate
        self.anneal_epochs, self._anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        step = max(self._step_count - 1, int(self.anneal_epochs == 0))
        before, now = self._weight(step - 1), self._weight(step)
        pairs = [(group["lr"], group["swa_lr"]) for group in self.optimizer.param_groups]
        starts = [last if before == 1 else (rate - before * last) / (1 - before) for rate, last in pairs]
        return [last * now + start * (1 - now) for start, (_, last) in zip(starts, pairs)]

    def _weight(self, step: int) -> float:
        """How much of a rate is the last one's."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2
