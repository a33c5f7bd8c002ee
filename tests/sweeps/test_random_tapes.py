"""Random programs: eager, `jit` interpreted and `jit` compiled agree with the naive engine, values and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import jitgrad as jg
from tests.helpers import naive
from tests.helpers.naive import Step

UNARY = ("sin", "tanh", "sigmoid", "abs", "relu", "neg", "square")
BINARY = ("add", "sub", "mul", "div", "maximum", "where")
SHAPES: tuple[tuple[int, ...], ...] = ((), (3,), (1,), (2, 3), (3, 2), (3, 1), (1, 3), (0, 3), (2, 1, 3))

JITGRAD: dict[str, Any] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / (1 + y * y),
    "maximum": lambda x, y: x.maximum(y),
    "where": lambda x, y: jg.where(x > 0, x, y),
    "sin": lambda x: x.sin(),
    "tanh": lambda x: x.tanh(),
    "sigmoid": lambda x: x.sigmoid(),
    "abs": lambda x: x.abs(),
    "relu": lambda x: x.relu(),
    "neg": lambda x: -x,
    "square": lambda x: x.square(),
    "scale": lambda x, a: x * a,
    "sum": lambda x, dim, keep: x.sum(dim, keepdim=keep),
    "mean": lambda x, dim, keep: x.mean(dim, keepdim=keep),
    "amax": lambda x, dim, keep: x.amax(dim, keepdim=keep),
    "softmax": lambda x, dim: x.softmax(dim),
    "matmul": lambda x, y: x @ y,
    "reshape": lambda x, shape: x.reshape(shape),
    "transpose": lambda x: x.T,
    "expand": lambda x, shape: x.expand(shape),
    "index": lambda x, index: x[index],
    "cat": lambda x, y: jg.cat([x, y]),
}


def shape_of(shapes: list[tuple[int, ...]], step: Step) -> tuple[int, ...]:
    return naive.run([np.zeros(shape) for shape in shapes], [step])[-1].shape


@st.composite
def steps(draw: Any, shapes: list[tuple[int, ...]]) -> Step:
    """One step that fits the values there are; recent values more often, old ones again and again."""
    places = range(len(shapes))
    i = draw(st.sampled_from([*places, *[len(shapes) - 1] * 3]))
    shape = shapes[i]
    kinds = ["unary", "binary", "binary", "scale", "reshape"]
    kinds += ["reduce", "index", "expand"] if 0 not in shape else ["sum"]
    kinds += ["matmul", "transpose"] if len(shape) == 2 else []
    kinds += ["cat"] if shape else []
    kind = draw(st.sampled_from(kinds))
    if kind == "unary":
        return Step(draw(st.sampled_from(UNARY)), (i,))
    if kind == "binary":
        partners = [j for j in places if fits(shape, shapes[j])] or [i]
        return Step(draw(st.sampled_from(BINARY)), (i, draw(st.sampled_from(partners))))
    if kind == "scale":
        return Step("scale", (i,), (draw(st.sampled_from([0.5, -1.0, 1.0, 0.0, 2.0])),))
    if kind == "sum" or kind == "reduce":
        name = "sum" if kind == "sum" else draw(st.sampled_from(["sum", "sum", "mean", "amax", "softmax"]))
        dim = draw(st.sampled_from([None, *range(len(shape))]))
        if name == "softmax":
            return Step(name, (i,), (dim,)) if dim is not None else Step("sin", (i,))
        return Step(name, (i,), (dim, draw(st.booleans())))
    if kind == "matmul":
        partners = [j for j in places if len(shapes[j]) == 2 and shapes[j][0] == shape[1]]
        return Step("matmul", (i, draw(st.sampled_from(partners)))) if partners else Step("transpose", (i,))
    if kind == "cat":
        partners = [j for j in places if len(shapes[j]) == len(shape) and shapes[j][1:] == shape[1:]]
        return Step("cat", (i, draw(st.sampled_from(partners))))
    if kind == "expand":
        return Step("expand", (i,), ((draw(st.integers(1, 2)), *shape),)) if len(shape) < 3 else Step("neg", (i,))
    if kind == "reshape":
        size = int(np.prod(shape))
        options = [(size,), (size, 1), (1, *shape), shape[::-1]]
        return Step("reshape", (i,), (draw(st.sampled_from([s for s in options if len(s) < 4])),))
    if kind == "index" and shape:
        n = shape[0]
        options = [0, -1, slice(None, None, 2), slice(1, None), np.array([0, n - 1, 0]), (..., 0), None]
        return Step("index", (i,), (draw(st.sampled_from(options)),))
    return Step("transpose", (i,)) if len(shape) == 2 else Step("tanh", (i,))


def fits(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    try:
        return int(np.prod(np.broadcast_shapes(a, b))) <= 64 and len(np.broadcast_shapes(a, b)) < 4
    except ValueError:
        return False


@st.composite
def programs(draw: Any) -> tuple[list[np.ndarray], list[Step]]:
    """Leaves and steps. Values stay within what float64 can compare."""
    shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    leaves = [rng.uniform(-1, 1, shape).round(2) for shape in shapes]
    found: list[Step] = []
    for _ in range(draw(st.integers(1, 16))):
        step = draw(steps(shapes))
        shapes = [*shapes, shape_of(shapes, step)]
        found.append(step)
    return leaves, found


def computed(xs: list[jg.Tensor], program: list[Step]) -> jg.Tensor:
    values = list(xs)
    for step in program:
        values.append(JITGRAD[step.name](*[values[i] for i in step.operands], *step.params))
    return values[-1]


def same(got: Any, want: np.ndarray, what: str) -> None:
    assert got.dtype is jg.float64, what
    assert tuple(got.shape) == want.shape, what
    scale = max(1.0, float(np.max(np.abs(want), initial=0)))
    np.testing.assert_allclose(got.detach().numpy() / scale, want / scale, rtol=1e-9, atol=1e-9, err_msg=what)


def compare(leaves: list[np.ndarray], program: list[Step], sweeps: tuple[str, ...]) -> None:
    value = naive.run(leaves, program)[-1]
    weights = np.linspace(0.5, 1.5, value.size).reshape(value.shape)
    wanted = naive.gradients(leaves, program, weights)
    if not all(np.all(np.abs(v) < 1e8) for v in (value, *wanted)):
        return

    xs = [jg.tensor(x, requires_grad=True) for x in leaves]
    out = computed(xs, program)
    out.tape().check()
    same(out, value, "eager value")
    (out * jg.tensor(weights)).sum().backward()
    for i, (x, want) in enumerate(zip(xs, wanted)):
        same(jg.zeros(x.shape, dtype=jg.float64) if x.grad is None else x.grad, want, f"eager gradient {i}")

    def both(*xs: jg.Tensor) -> Any:
        def loss(*xs: jg.Tensor) -> tuple[jg.Tensor, jg.Tensor]:
            out = computed(list(xs), program)
            return (out * weights).sum(), out

        (_, out), grads = jg.value_and_grad(loss, tuple(range(len(xs))), has_aux=True)(*xs)
        return out, grads

    compiled = jg.jit(both)
    plain = [jg.tensor(x) for x in leaves]
    compiled.tape(*plain).check()
    for name in sweeps:
        with jg.sweep(name):
            got, grads = compiled(*plain)
        same(got, value, f"{name} value")
        for i, (g, want) in enumerate(zip(grads, wanted)):
            same(g, want, f"{name} gradient {i}")
    assert all(x.numpy().tobytes() == leaf.tobytes() for x, leaf in zip(plain, leaves)), "an input was written to"


COMMON: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}


@settings(max_examples=300, **COMMON)
@given(programs())
def test_interpreted_sweeps_agree_with_the_naive_engine(program: tuple[list[np.ndarray], list[Step]]) -> None:
    compare(*program, ("interpreted",))


@settings(max_examples=200, **COMMON)
@given(programs())
def test_compiled_sweep_agrees_with_the_naive_engine(program: tuple[list[np.ndarray], list[Step]]) -> None:
    compare(*program, ("jit",))


@settings(max_examples=200, **COMMON)
@given(programs())
def test_machine_agrees_with_the_naive_engine(program: tuple[list[np.ndarray], list[Step]]) -> None:
    compare(*program, ("machine",))


@pytest.mark.quick
def test_naive_engine_itself() -> None:
    """Its gradients are the limits of differences of its values, for every operation."""
    rng = np.random.default_rng(0)
    params: dict[str, tuple] = {
        "scale": (2.5,),
        "sum": (1, False),
        "mean": (0, True),
        "amax": (1, False),
        "softmax": (1,),
        "reshape": ((9,),),
        "expand": ((2, 3, 3),),
        "index": (np.array([0, 2, 0]),),
    }
    for name in naive.OPS:
        count = 2 if name in (*BINARY, "matmul", "cat") else 1
        leaves = [rng.uniform(-1, 1, (3, 3)) for _ in range(count)]
        program = [Step(name, tuple(range(count)), params.get(name, ()))]
        weights = rng.uniform(-1, 1, naive.run(leaves, program)[-1].shape)
        for leaf, g in zip(leaves, naive.gradients(leaves, program, weights)):
            for place in np.ndindex(leaf.shape):
                sides = []
                kept = leaf[place]
                for change in (1e-6, -1e-6):
                    leaf[place] = kept + change
                    sides.append(float((naive.run(leaves, program)[-1] * weights).sum()))
                leaf[place] = kept
                assert (sides[0] - sides[1]) / 2e-6 == pytest.approx(g[place], abs=1e-7), name


def test_programs_use_everything() -> None:
    assert set(JITGRAD) == set(naive.OPS)
