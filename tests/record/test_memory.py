"""What shares memory follows from shapes and strides: in eager code, under jit and vmap, and in native functions alike."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from tests.helpers.sweeps import SWEEPS

BASES = [
    "x * 1",
    "x.t() * 1",
    "(x * 1).t()",
    "x.clone()",
    "x.t().clone()",
    "(x * 1)[:, ::2]",
    "(x * 1)[::2]",
    "x[1:, ::2] * 1",
    "(x * 1)[:, 1:3]",
    "x * 1 + x.t().contiguous().t()",
    "(x.t() + 1).t()",
    "jg.cat([x.t(), x.t()])",
    "jg.stack([x.t() * 1, x.t()])",
    "jg.where(x.t() > 0, x.t(), 1.0)",
    "(x * 1).reshape(2, 2, 4).transpose(0, 2)",
    "x.reshape(2, 2, 4).transpose(0, 2) * 1",
    "x.reshape(2, 2, 4).transpose(0, 2).sum(1)",
    "x.t().cumsum(0)",
    "x.t().softmax(0)",
    "x.t() @ x",
    "x.flip(0)",
    "x.t()[[1, 0]]",
    "x[:, [2, 0, 1]]",
    "(x * 1).unsqueeze(1)",
    "(x * 1)[0]",
    "(x * 1)[:, 0]",
    "x.sum()",
    "jg.zeros(4, 4).t()",
    "x.t().contiguous()",
    "(x * 1).detach()",
    "x.t().amax(0, keepdim=True) * x.t()",
    "x.t().sigmoid() * x",
    "x.t().double()",
    "x.t().repeat(1, 1)",
    "x[:1].expand(4, 4) * 1",
    "x.t().float()",
    "jg.scan(lambda c, s: (c + s, c.t()), x.t() * 1, jg.zeros(2))[1]",
    "jg.fori_loop(0, 2, lambda i, c: c.t(), x)",
    "jg.cond(x.sum() > 99, lambda a: a, lambda a: a.t(), x)",
]
VIEWS = [
    "y.reshape(-1)",
    "y.flatten()",
    "y.ravel()",
    "y.contiguous()",
    "y.view(-1)",
    "y.t().reshape(-1)",
    "y.t().flatten()",
    "y.T.contiguous()",
    "y.squeeze()",
    "y.unsqueeze(-1)",
    "y[..., None].squeeze(-1)",
    "y[::2].reshape(-1)",
    "y[..., ::2].reshape(-1)",
    "y[..., 1:].flatten()",
    "y.transpose(0, -1).reshape(-1)[1:]",
    "y.reshape(-1).reshape(y.shape)",
    "y.reshape(-1)[::2]",
    "y.expand(y.shape)",
    "y.reshape(1, *y.shape).reshape(-1)",
    "y.detach()",
    "y.clone()",
    "y.to(y.dtype)",
    "y.narrow(0, 0, 1).reshape(-1)",
    "y.unbind(0)[0].reshape(-1)",
    "y.chunk(2, -1)[0].flatten()",
    "y.split(1)[0].view(-1)",
    "y.movedim(0, -1).reshape(-1)",
    "y.mT.reshape(-1)",
    "y.transpose(0, -1).contiguous().reshape(-1)",
    "y.flip(0).reshape(-1)",
    "y[[0]]",
    "y.repeat([1] * y.ndim)",
    "y[..., 0:1].reshape(-1)",
    "y.reshape(2, -1)",
    "y.t().view(2, -1)",
    "y.view(y.shape)",
    "y.reshape(y.shape[::-1])",
    "y.expand(1, *y.shape).flatten()",
    "y.reshape(-1).view(1, -1).squeeze(0)",
    "y.permute(list(range(y.ndim))[::-1]).flatten(0)",
    "y.ravel().unsqueeze(0).flatten()",
]
WRITES = ["z.add_(10)", "z[...] = 7", "y.mul_(3)", "z *= w", "z[..., 0] = 5", "y += y.sum()"]


def program(base: str, view: str, write: str) -> Callable:
    """A function that changes a view or what it looks at, and returns both, their strides, and one more view."""
    scope: dict[str, Any] = {"jg": jg}
    exec(
        f"def f(x):\n    w = x.sum()\n    y = {base}\n    z = {view}\n    {write}\n"
        "    return y * 1.0, z * 1.0, y.reshape(-1) + 0, laid(y, z)",
        scope | {"laid": laid, "f": None},
        scope,
    )
    return scope["f"]


def laid(*tensors: Any) -> tuple:
    return tuple(tuple(s for s, n in zip(t.stride(), t.shape) if n > 1) for t in tensors)


def outcome(f: Callable, *args: Any) -> Any:
    """The values, or the kind of error."""
    try:
        found = f(*args)
    except (RuntimeError, ValueError, IndexError) as error:
        return type(error).__name__
    return [x.detach().numpy() if isinstance(x, jg.Tensor) else x for x in found]


def check(got: Any, want: Any, what: str) -> None:
    refused = got == "MutatedArgumentError" or (got == "RuntimeError" and "detach" in what)
    if isinstance(got, str) and refused:  # arguments stay as they are, and so does what is detached: said, not done
        return
    if isinstance(want, str) or isinstance(got, str):
        assert type(got) is type(want), f"{what}: {got}, right is {want}"
        assert got == want, what
        return
    for g, w in zip(got, want):
        if isinstance(w, tuple):
            assert g == w, f"{what}: {g}, right is {w}"
        else:
            np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-6, err_msg=what)


NUMBERS = np.random.default_rng(0).uniform(-1, 1, (4, 4)).astype(np.float32)
ARGUMENTS: dict[str, Callable[[], Any]] = {
    "in order": lambda: jg.tensor(NUMBERS),
    "transposed": lambda: jg.tensor(NUMBERS.T.copy()).t(),
    "with gaps": lambda: jg.tensor(np.repeat(NUMBERS, 2, 1))[:, ::2],
    "backwards": lambda: jg.from_numpy(NUMBERS[::-1].copy()[::-1]),
}


def of_one(f: Callable) -> Callable:
    """`f` by way of `vmap` for one example."""

    def call(x: Any) -> list[Any]:
        strides: list[tuple] = []

        def noted(x: Any) -> Any:
            *values, steps = f(x)
            strides.append(steps)
            return values

        return [*[out[0] for out in jg.vmap(noted)(x[None])], strides[0]]

    return call


WAYS: dict[str, Callable[[Callable], Callable]] = {
    "jit": jg.jit,
    "vmap": of_one,
    "jit of vmap": lambda f: jg.jit(of_one(f)),
    "guarded": lambda f: jg.jit(f, guard=True),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_changed_in_place_is_what_eager_code_changes(way: str) -> None:
    """One function for arguments that lie in memory in all sorts of ways, one after the other."""
    rng = random.Random(way)
    for base, view in rng.sample(list(itertools.product(BASES, VIEWS)), 150):
        f = program(base, view, write := rng.choice(WRITES))
        again = WAYS[way](f)
        for name in rng.sample(list(ARGUMENTS), 3):
            want = outcome(f, ARGUMENTS[name]())
            with jg.sweep("interpreted"):
                got = outcome(again, ARGUMENTS[name]())
            check(got, want, f"{way}, {name}: y = {base}; z = {view}; {write}")


def test_machine_code_changes_what_eager_code_changes() -> None:
    rng = random.Random(0)
    for base, view in rng.sample(list(itertools.product(BASES, VIEWS)), 40):
        f = program(base, view, write := rng.choice(WRITES))
        for name in rng.sample(list(ARGUMENTS), 2):
            what = f"{name}: y = {base}; z = {view}; {write}"
            want = outcome(f, ARGUMENTS[name]())
            check(outcome(jg.jit(f), ARGUMENTS[name]()), want, what)
            check(outcome(lambda x, f=f: jg.jit(f).compile(x)(x), ARGUMENTS[name]()), want, f"compiled, {what}")


def test_gradients_of_what_is_changed_in_place() -> None:
    rng = random.Random(1)
    for base, view in rng.sample(list(itertools.product(BASES, VIEWS)), 60):
        f = program(base, view, write := rng.choice(WRITES))
        if "zeros" in base or "detach" in base + view:
            continue
        slope = jg.grad(lambda x, f=f: sum((out * out).sum() for out in f(x)[:3]).float())  # type: ignore[attr-defined]
        for name in rng.sample(list(ARGUMENTS), 2):
            want = outcome(lambda x, g=slope: [g(x)], ARGUMENTS[name]())
            if isinstance(want, str) and want == "OverwrittenError":  # a tape has no memory that could be written over
                continue
            with jg.sweep("interpreted"):
                got = outcome(lambda x, g=slope: [jg.jit(g)(x)], ARGUMENTS[name]())
            check(got, want, f"{name}: y = {base}; z = {view}; {write}")


RESULTS: dict[str, Callable[[Any], Any]] = {
    "vjp": lambda v: jg.vjp(lambda x: x, v)[0],
    "pull": lambda v: jg.vjp(lambda x: x, jg.ones(2, 3))[1](v)[0],
    "pull of a view": lambda v: jg.vjp(lambda x: x.t(), jg.ones(3, 2))[1](v)[0],
    "jvp": lambda v: jg.jvp(lambda x: x, (v,), (v,))[0],
    "tangent": lambda v: jg.jvp(lambda x: x, (v,), (v,))[1],
    "tangent of a view": lambda v: jg.jvp(lambda x: x.t(), (v,), (v,))[1],
    "aux": lambda v: jg.value_and_grad(lambda x: (x.sum(), x.t()), has_aux=True)(v)[0][1],
    "closure": lambda v: jg.vjp(lambda x: v, jg.ones(2))[0],
    "vmap": lambda v: jg.vmap(lambda x: x)(v),
    "vmap of a constant": lambda v: jg.vmap(lambda x: v)(jg.ones(2)),
    "vmap along another": lambda v: jg.vmap(lambda x: x, 1, 1)(v),
    "vmap of detach": lambda v: jg.vmap(lambda x: x.detach())(v),
    "chunks": lambda v: jg.vmap(lambda x: x, chunk_size=1)(v),
    "no step": lambda v: jg.fori_loop(0, 0, lambda i, c: c * 2, v),
    "no scan": lambda v: jg.scan(lambda c, x: (c, c), v, jg.zeros(0))[0],
    "while": lambda v: jg.while_loop(lambda c: c.sum() > 1e9, lambda c: c, v),
    "cond": lambda v: jg.cond(v.sum() > 0, lambda x: x, lambda x: x * 2, v),
    "cond of a view": lambda v: jg.cond(v.sum() > 0, lambda x: x.t(), lambda x: x.t() * 2, v),
    "cond of a closure": lambda v: jg.cond(v.sum() > 0, lambda: v, lambda: v * 2),
    "switch": lambda v: jg.switch(1, [lambda x: x * 2, lambda x: x], v),
    "loop of a closure": lambda v: jg.fori_loop(0, 2, lambda i, c: v, v),
    "scanned": lambda v: jg.scan(lambda c, x: (c, x), v, v)[1],
    "repeat": lambda v: v.repeat(1, 1),
    "rows": lambda v: v[:1].repeat(2, 1),
    "repeated numbers": lambda v: v[0, :1].repeat(3),
}


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize(
    "write", [lambda y: y.add_(1), lambda y: y.zero_(), lambda y: y.__setitem__(0, 5), lambda y: y.reshape(-1).mul_(3)]
)
def test_results_of_transforms_and_loops_have_memory_of_their_own(name: str, write: Callable) -> None:
    """What is done to them in place is not seen in the arguments, and they lie in order."""

    def f(x: Any, make: Callable = lambda x: x * 1) -> Any:
        v = make(x)
        y = RESULTS[name](v)
        assert y.is_contiguous()
        write(y)
        return v * 1, y * 1

    x = jg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    want = [out.numpy() for out in f(x)]
    np.testing.assert_array_equal(want[0], x.numpy())
    for made in (lambda x: x.t().clone().t(), lambda x: x.reshape(-1).reshape(2, 3)):
        for again in (f, jg.jit(f), lambda x, make: [out[0] for out in jg.vmap(lambda x: f(x, make))(x[None])]):
            with jg.sweep("interpreted"):
                got = [out.numpy() for out in again(x, made)]  # type: ignore[operator]
            for g, w in zip(got, want):
                np.testing.assert_array_equal(g, w)


BRANCHES: dict[str, Callable[[Any], Any]] = {
    "cond": lambda v: jg.cond(v.sum() > 0, lambda x: x.add_(1) * 2, lambda x: x, v),
    "switch": lambda v: jg.switch(0, [lambda x: x.mul_(2), lambda x: x], v),
    "scan": lambda v: jg.scan(lambda c, x: (c.add_(1), x.zero_()), v, v)[0],
    "while": lambda v: jg.while_loop(lambda c: c.sum() < 100, lambda c: c.mul_(2), v),
}


@pytest.mark.parametrize("name", BRANCHES)
def test_loops_and_branches_change_copies(name: str) -> None:
    def f(x: Any) -> Any:
        v = x * 1
        return BRANCHES[name](v) * 1, v

    x = jg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    want = [out.numpy() for out in f(x)]
    np.testing.assert_array_equal(want[1], x.numpy())
    for again in (jg.jit(f), lambda x: [out[0] for out in jg.vmap(f)(x[None])]):
        for g, w in zip(again(x), want):
            np.testing.assert_array_equal(g.numpy(), w)


@pytest.mark.parametrize("sweep", SWEEPS)
def test_each_result_of_a_jitted_function_has_memory_of_its_own(sweep: str) -> None:
    def f(x: Any) -> Any:
        y = x * 2
        return x, x, x.t(), x.detach(), y, y, y.t(), y.reshape(-1), y.detach(), y[0]

    x = jg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    for _ in range(3):
        with jg.sweep(sweep):
            values = [x.numpy(), *[out.numpy() for out in jg.jit(f)(x)]]
        assert not any(np.shares_memory(a, b) for a, b in itertools.combinations(values, 2))


def test_a_tape_is_right_for_arguments_that_lie_in_memory_alike() -> None:
    """Where it makes a difference, one more is recorded, and only there."""

    def f(x: Any, other: Any) -> Any:
        y = x * 1
        y.reshape(-1).zero_()
        return y + other

    g = jg.jit(f)
    for _ in range(3):
        for x in (jg.ones(2, 3), jg.ones(3, 2).t(), jg.ones(2, 6)[:, ::2], jg.ones(2, 3).flip(0)):
            for other in (jg.zeros(2, 3), jg.zeros(3, 2).t()):
                assert g(x, other).tolist() == f(x, other).tolist()
    assert len(g._compiled) <= 5
    kept = jg.ones(3, 2).t()
    h = jg.jit(lambda x: f(kept, x))
    for kept in (jg.ones(3, 2).t(), jg.ones(2, 3), jg.ones(3, 2).t()):
        assert h(jg.zeros(2, 3)).tolist() == f(kept, jg.zeros(2, 3)).tolist()


@pytest.mark.parametrize("way", ["jit", "vmap", "grad"])
def test_view_that_cannot_be_is_an_error(way: str) -> None:
    again: Any = {"jit": jg.jit, "vmap": lambda f: lambda x: jg.vmap(f)(x[None]), "grad": lambda f: jg.jit(jg.grad(f))}[way]
    for f in (
        lambda x: x.t().view(-1).sum(),
        lambda x: (x * 1).t().view(6).sum(),
        lambda x: x[:, :2].view(-1).sum(),
        lambda x: (x * 1).view_as(x.t()).t().view(-1, 2, 1).view(-1).sum(),
    ):
        with pytest.raises(RuntimeError, match="reshape"):
            f(jg.ones(2, 3))
        with pytest.raises(RuntimeError, match="reshape"):
            again(f)(jg.ones(2, 3))
    for f in (lambda x: x.view(-1).sum(), lambda x: x.t().view(3, 2).sum(), lambda x: x[:, :2].view(2, 2, 1).sum()):
        f(jg.ones(2, 3))
        again(f)(jg.ones(2, 3))
