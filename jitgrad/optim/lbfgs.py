"""L-BFGS: Newton's method with a Hessian that is guessed from the last steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitgrad.autograd.modes import enable_grad, no_grad
from jitgrad.functions.creation import zeros_like
from jitgrad.functions.shaping import cat
from jitgrad.optim.line_search import Point, strong_wolfe
from jitgrad.optim.optimizer import Optimizer
from jitgrad.optim.rule import real_of
from jitgrad.tensors.inplace import overwrite
from jitgrad.tensors.tensor import Tensor

CURVED = 1e-10
"""A step counts for the guess of the Hessian if the gradient changed along it by more than this."""


class LBFGS(Optimizer):
    """L-BFGS, as `torch.optim.LBFGS`: each step makes up to `max_iter` iterations, and needs a closure.

    The direction is −H g, H made of the last `history_size` changes of parameters and gradients by two loops over them (Nocedal &
    Wright, "Numerical optimization" (2006), algorithm 7.4). Its length is `lr`, or with `line_search_fn="strong_wolfe"` one that
    fulfils Wolfe's conditions. It ends when no gradient is larger than `tolerance_grad`, when a step, or the change of the loss,
    is below `tolerance_change`, or after `max_eval` calls of the closure (5/4 of `max_iter` if None). `ValueError` for more than
    one group, `RuntimeError` for another line search.

    >>> import jitgrad
    >>> x = jitgrad.tensor([-1.5, 2.0], requires_grad=True)
    >>> optimizer = jitgrad.optim.LBFGS([x], line_search_fn="strong_wolfe", max_iter=50)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item()
    12.5
    >>> x.detach().round(decimals=3)
    tensor([1., 1.])
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        defaults = dict(locals())
        for name in ("self", "params", "__class__"):
            defaults.pop(name, None)
        defaults["max_eval"] = max_iter * 5 // 4 if max_eval is None else max_eval
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        if self.param_groups:
            raise ValueError("LBFGS takes one group of parameters, since it guesses one Hessian for all")
        super().add_param_group(param_group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        if closure is None:
            raise TypeError("LBFGS computes the loss several times in a step: give step() a closure that does, with gradients")
        (group,) = self.param_groups
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise RuntimeError(f"line_search_fn is None or 'strong_wolfe', not {group['line_search_fn']!r}")
        with no_grad():
            return _Minimization(group, self.state[group["params"][0]], closure).run()


class _Minimization:
    """One step of the optimizer; `state` is what the next one goes on with."""

    def __init__(self, group: dict[str, Any], state: dict[str, Any], closure: Callable[[], Any]) -> None:
        self.group, self.params, self.state = group, group["params"], state
        self.closure = enable_grad()(closure)
        self.calls = 0

    def run(self) -> Any:
        """Iterate; the result is the loss that the closure returned first."""
        group, state = self.group, self.state
        begun = self.closure()
        self.calls, loss, gradient = 1, float(begun), self.gradient()
        state.setdefault("n_iter", 0)
        state.setdefault("func_evals", 0)
        for left in range(group["max_iter"] - 1, -1, -1) if _largest(gradient) > group["tolerance_grad"] else ():
            state["n_iter"] += 1
            t = group["lr"]
            if state["n_iter"] == 1:
                state |= {"d": -gradient, "old_dirs": [], "old_stps": [], "ro": [], "H_diag": 1}
                t = min(1.0, 1.0 / float(gradient.abs().sum())) * t
            else:
                self.learn(gradient)
                state["d"] = self.direction(gradient)
            state |= {"prev_flat_grad": gradient, "prev_loss": loss, "t": t}
            slope = float(gradient @ state["d"])
            if slope > -group["tolerance_change"]:
                break
            found = self.moved(Point(0.0, loss, gradient, slope), t, last=not left)
            state["t"], loss, gradient = found.t, found.value, found.gradient
            if self.is_done(loss, gradient):
                break
        state["func_evals"] += self.calls
        return begun

    def is_done(self, loss: float, gradient: Tensor) -> bool:
        """Whether another iteration would not be worth it, or too much."""
        group, state = self.group, self.state
        least = group["tolerance_change"]
        return (
            self.calls >= group["max_eval"]
            or _largest(gradient) <= group["tolerance_grad"]
            or _largest(state["d"] * state["t"]) <= least
            or abs(loss - state["prev_loss"]) < least
        )

    def moved(self, start: Point, t: float, last: bool) -> Point:
        """Where an iteration goes to, with the parameters there; after the last one nobody asks for the loss."""
        group, d = self.group, self.state["d"]
        before = self.flat([p.detach() for p in self.params])
        if group["line_search_fn"] is not None:
            most = group["max_eval"] - self.calls
            found, calls = strong_wolfe(lambda t: self.at(before, t), start, t, most, _largest(d), group["tolerance_change"])
            self.calls += calls
            self.place(before + found.t * d)
            return found
        if last:
            self.place(before + t * d)
            return start._replace(t=t)
        self.calls += 1
        return self.at(before, t)

    def at(self, before: Tensor, t: float) -> Point:
        """Loss and gradient a step along the direction."""
        d = self.state["d"]
        self.place(before + t * d)
        loss, gradient = float(self.closure()), self.gradient()
        return Point(t, loss, gradient, float(gradient @ d))

    def learn(self, gradient: Tensor) -> None:
        """Add the last iteration to what the Hessian is guessed from."""
        state = self.state
        change, move = gradient - state["prev_flat_grad"], state["d"] * state["t"]
        curvature = float(change @ move)
        if curvature <= CURVED:
            return
        for name, value in (("old_dirs", change), ("old_stps", move), ("ro", 1 / curvature)):
            state[name] = [*state[name][max(0, len(state[name]) + 1 - self.group["history_size"]) :], value]
        state["H_diag"] = curvature / float(change @ change)

    def direction(self, gradient: Tensor) -> Tensor:
        """Minus the guessed inverse of the Hessian times the gradient."""
        state, d, parts = self.state, -gradient, []
        history = list(zip(state["old_dirs"], state["old_stps"], state["ro"]))
        for change, move, ro in reversed(history):
            parts.append(float(move @ d) * ro)
            d = d - parts[-1] * change
        d = d * state["H_diag"]
        for (change, move, ro), part in zip(history, reversed(parts)):
            d = d + (part - float(change @ d) * ro) * move
        return d

    def flat(self, tensors: list[Tensor]) -> Tensor:
        """All elements one after the other, real and imaginary parts as two."""
        return cat([real_of(x).reshape(-1) for x in tensors])

    def gradient(self) -> Tensor:
        return self.flat([zeros_like(p) if p.grad is None else p.grad.detach() for p in self.params])

    def place(self, flat: Tensor) -> None:
        """Write the parameters."""
        at = 0
        for p in self.params:
            parts = real_of(p.detach())
            overwrite(parts, flat[at : at + parts.numel()].reshape(parts.shape), "step")
            at += parts.numel()


def _largest(x: Tensor) -> float:
    return float(x.abs().max())
