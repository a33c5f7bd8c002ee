"""Random programs of views and in-place operations: the gradient is that of finite differences, or an error is raised.

The same programs under `jit` give what they give without it.
"""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.functions.data import tensor

VIEWS = [
    "{v}[1:]",
    "{v}[0]",
    "{v}.t()",
    "{v}.reshape(-1)",
    "{v}.unsqueeze(0)",
    "{v}.squeeze()",
    "{v}[..., 0]",
    "{v}[..., ::2]",
    "{v}.flatten()",
    "{v}[None]",
    "{v}.transpose(0, -1)",
    "{v}.split(1)[0]",
    "{v}.narrow(0, 0, 1)",
    "{v}.T",
]
WRITES = [
    "{v}.mul_(2)",
    "{v}.add_({u})",
    "{v}.mul_({u})",
    "{v}[0] = 3",
    "{v}[0] = {u}.sum()",
    "{v}.exp_()",
    "{v}.zero_()",
    "{v}.sigmoid_()",
    "{v} += {u}",
    "{v} *= {u}",
    "{v}[...] = {u}",
    "{v}.copy_({u})",
    "{v}.sub_({u}.mean())",
    "{v}.pow_(2)",
    "{v}.clamp_(-1, 1)",
    "{v}.fill_({u}.sum())",
    "{v}[[0]] = 1",
    "{v}.neg_()",
    "{v}.div_(2)",
]
VALUES = ["{v} * {v}", "{v} * 2", "{v}.exp()", "{v} + {u}", "{v}.sum()", "{v}.clone()", "{v}.sin()"]
SHAPES = [(3,), (2, 3), (3, 2), (2, 2, 2), ()]


def program(rng: random.Random) -> Callable[[Any], Any]:
    """A function of `w` that computes a loss, as text: views, writes and new values of what there is so far."""
    names, lines = ["a"], ["a = w * 1" if rng.random() < 0.7 else "a = w.detach() * 0 + 0.5"]
    for i in range(rng.randint(2, 7)):
        kind = rng.choices([VIEWS, WRITES, VALUES], [35, 40, 25])[0]
        line = rng.choice(kind).format(v=rng.choice(names), u=rng.choice([*names, "w"]))
        if kind is not WRITES:
            line = f"v{i} = {line}"
            names.append(f"v{i}")
        lines.append(line)
    used = [*rng.sample(names, min(2, len(names))), names[-1]]
    lines.append("return " + " + ".join(f"({x} * {x}).sum()" for x in used))
    scope: dict[str, Any] = {"jg": jg}
    exec("def f(w):\n    " + "\n    ".join(lines), scope)
    scope["f"].text = "; ".join(lines)
    return scope["f"]


def differences(f: Callable, at: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """The gradient of `f` by central differences."""
    out = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        moved = []
        for sign in (1, -1):
            point = at.copy()
            point[place] += sign * step
            moved.append(f(tensor(point)).item())
        out[place] = (moved[0] - moved[1]) / (2 * step)
    return out


@pytest.mark.parametrize("seed", range(8))
def test_random_programs(seed: int) -> None:
    rng = random.Random(seed)
    checked = 0
    for _ in range(50):
        f, shape = program(rng), rng.choice(SHAPES)
        at = (np.arange(float(np.prod(shape))) * 0.3 - 0.37).reshape(shape)
        try:
            value, gradient = jg.value_and_grad(f)(tensor(at))
        except (RuntimeError, IndexError, TypeError):  # overwritten values, broken shapes: an error is a right answer
            continue
        wanted = differences(f, at)
        scale = max(1.0, np.abs(wanted).max(initial=0))
        if not np.isfinite(scale) or scale > 1e6:
            continue
        np.testing.assert_allclose(gradient.numpy(), wanted, rtol=1e-3, atol=1e-3 * scale, err_msg=f.text)  # type: ignore
        with jg.sweep("interpreted"):
            traced_value, traced = jg.jit(jg.value_and_grad(f))(tensor(at))
        np.testing.assert_allclose(traced_value.item(), value.item(), rtol=1e-12)
        np.testing.assert_allclose(traced.numpy(), gradient.numpy(), rtol=1e-10, err_msg=f.text)  # type: ignore
        checked += 1
    assert checked > 10
