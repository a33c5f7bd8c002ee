"""Values and derivatives where floats run out: saturated tails, ends of domains, around 0, squares beyond the range.

Everything is compared with exact values in mpmath, relative to themselves; results that are subnormal may be 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pytest

import jitgrad as jg
from tests.helpers.sweeps import SWEEPS

Exact = tuple[Callable, Callable, Callable]  # value, first and second derivative
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
LARGE = {"float32": 37, "float64": 300}


def s(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def bessel(n: int, order: int, a: Any) -> Any:
    """A derivative of e^-a I_n(a), a > 0; those of I_n are means of its neighbours (DLMF 10.29.1)."""
    with mp.workdps(60):
        a = mp.mpf(a)
        near = [mp.besseli(m, a) for m in range(n + order + 1)]
        slope = [mp.fsum(math.comb(k, j) * near[abs(n - k + 2 * j)] for j in range(k + 1)) / 2**k for k in range(order + 1)]
        return mp.exp(-a) * mp.fsum((-1) ** (order - k) * math.comb(order, k) * slope[k] for k in range(order + 1))


FUNCTIONS: dict[str, Exact] = {
    "sigmoid": (s, lambda x: s(x) * s(-x), lambda x: -s(x) * s(-x) * mp.tanh(x / 2)),
    "softplus": (lambda x: max(x, 0) + mp.log1p(mp.exp(-abs(x))), s, lambda x: s(x) * s(-x)),
    "silu": (lambda x: x * s(x), lambda x: s(x) + x * s(x) * s(-x), lambda x: s(x) * s(-x) * (2 - x * mp.tanh(x / 2))),
    "tanh": (mp.tanh, lambda x: mp.sech(x) ** 2, lambda x: -2 * mp.tanh(x) * mp.sech(x) ** 2),
    "expm1": (mp.expm1, mp.exp, mp.exp),
    "log1p": (mp.log1p, lambda x: 1 / (1 + x), lambda x: -1 / (1 + x) ** 2),
    "asin": (mp.asin, lambda x: ((1 - x) * (1 + x)) ** -0.5, lambda x: x * ((1 - x) * (1 + x)) ** -1.5),
    "acos": (mp.acos, lambda x: -(((1 - x) * (1 + x)) ** -0.5), lambda x: -x * ((1 - x) * (1 + x)) ** -1.5),
    "atanh": (mp.atanh, lambda x: 1 / ((1 - x) * (1 + x)), lambda x: 2 * x / ((1 - x) * (1 + x)) ** 2),
    "acosh": (mp.acosh, lambda x: ((x - 1) * (x + 1)) ** -0.5, lambda x: -x * ((x - 1) * (x + 1)) ** -1.5),
    "asinh": (mp.asinh, lambda x: (1 + x * x) ** -0.5, lambda x: -x * (1 + x * x) ** -1.5),
    "atan": (mp.atan, lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) ** 2),
    "erf": (
        lambda x: mp.erf(min(max(x, -50), 50)),
        lambda x: 2 / mp.sqrt(mp.pi) * mp.exp(-x * x),
        lambda x: -4 * x / mp.sqrt(mp.pi) * mp.exp(-x * x),
    ),
    "erfc": (
        lambda x: mp.erfc(min(max(x, -50), 50)),
        lambda x: -2 / mp.sqrt(mp.pi) * mp.exp(-x * x),
        lambda x: 4 * x / mp.sqrt(mp.pi) * mp.exp(-x * x),
    ),
    "rsqrt": (lambda x: x**-0.5, lambda x: -(x**-1.5) / 2, lambda x: 3 * x**-2.5 / 4),
}
INSIDE = {"log1p": (-1, None), "asin": (-1, 1), "acos": (-1, 1), "atanh": (-1, 1), "acosh": (1, None), "rsqrt": (0, None)}


def points(name: str, dtype: str) -> np.ndarray:
    rng = np.random.default_rng(len(name))
    size = 10.0 ** np.concatenate([np.linspace(-LARGE[dtype], LARGE[dtype], 31), rng.uniform(-3, 3, 20)])
    near = 10.0 ** rng.uniform(-15, -1, 8)
    x = np.concatenate([size, rng.uniform(0, 110, 12), 1 - near, 1 + near, [20, 40, 88, 100, 1e-40, 1e-44]])
    x = np.unique(np.concatenate([x, -x]).astype(dtype))
    low, high = INSIDE.get(name, (None, None))
    x = x if low is None else x[x > low]
    return x if high is None else x[x < high]


def close(got: np.ndarray, exact: list, condition: list, what: str) -> None:
    info = np.finfo(got.dtype)
    for k, (g, e, c) in enumerate(zip(got.tolist(), exact, condition)):
        if abs(e) > info.max / 4:
            continue
        bound = TOLERANCE[str(got.dtype)] * (1 + c / 5) * abs(e) + 4 * float(info.tiny)
        assert abs(g - e) <= bound, f"{what}, point {k}: {g}, exact {mp.nstr(e, 17)}"


def exactly(f: Callable, x: np.ndarray) -> tuple[list, list]:
    """Values, and how many times their relative change is larger than that of x, roughly."""
    with mp.workdps(80):
        values = [mp.mpf(f(mp.mpf(v))) for v in x.tolist()]
        step = mp.mpf(10) ** -30
        moved = [f(mp.mpf(v) * (1 + step)) for v in x.tolist()]
        return values, [abs((m - v) / (step * v)) if v else 0 for v, m in zip(values, moved)]


def ways(f: Callable) -> dict[str, tuple[int, Callable]]:
    """A function and its derivatives, by reverse and forward mode."""

    def slope(g: Callable) -> Callable:
        return jg.grad(lambda x: g(x).sum())

    def ahead(g: Callable) -> Callable:
        return lambda x: jg.jvp(g, (x,), (jg.ones_like(x),))[1]

    return {
        "value": (0, f),
        "reverse": (1, slope(f)),
        "forward": (1, ahead(f)),
        "reverse twice": (2, slope(slope(f))),
        "forward over reverse": (2, ahead(slope(f))),
        "reverse over forward": (2, slope(ahead(f))),
    }


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_derivative_of_sigmoid_fits_its_result(dtype: str) -> None:
    """What 1 - y has lost cancels in a loss of it; where nothing is left of 1 - y the derivative is exact."""
    x = jg.tensor(np.linspace(-30, 16 if dtype == "float32" else 36, 200).astype(dtype))
    loss = lambda x: -jg.log(1 - x.sigmoid())
    for f in (jg.grad(lambda x: loss(x).sum()), lambda x: jg.jvp(loss, (x,), (jg.ones_like(x),))[1]):
        np.testing.assert_allclose(f(x).numpy(), x.sigmoid().numpy(), rtol=8 * np.finfo(dtype).eps)
        np.testing.assert_allclose(jg.jit(f)(x).numpy(), x.sigmoid().numpy(), rtol=8 * np.finfo(dtype).eps)
    far = jg.tensor([40.0, 60.0], dtype=jg.dtypes.by_name(dtype))
    np.testing.assert_allclose(jg.grad(lambda x: x.sigmoid().sum())(far).numpy(), np.exp(-far.numpy()), rtol=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_one_number(name: str, dtype: str) -> None:
    x = points(name, dtype)
    given, all_ways = jg.tensor(x), ways(getattr(jg, name))
    results = jg.jit(lambda x: {way: f(x) for way, (_, f) in all_ways.items() if "forward" not in way})(given)
    exact = [exactly(f, x) for f in FUNCTIONS[name]]
    for way, (order, f) in all_ways.items():
        if name == "sigmoid" and order == 1:
            continue  # by its result, see below
        close(f(given).numpy(), *exact[order], f"{name} {way} {dtype}")
        if way in results:
            close(results[way].numpy(), *exact[order], f"{name} {way} {dtype} under jit")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [0, 1])
def test_scaled_bessel_functions(n: int, dtype: str) -> None:
    """Of large numbers, whose I_0 and I_1 are nearly equal, and around 0, where I_1(x) / x is 1/2."""
    a = np.array([1e-44, 1e-40, 1e-30, 1e-3, 0.5, 3, 7.7, 7.8, 13.9, 14.1, 50, 300], dtype)
    a = a[(a > 1e-30) | (n == 1)]
    all_exact = [[bessel(n, order, v) for v in a.tolist()] for order in range(3)]
    for name, (order, f) in ways(jg.i0e if n == 0 else jg.i1e).items():
        exact = all_exact[order]
        for x, sign in ((a, 1), (-a, (-1) ** (n + order))):
            for run in (f, jg.jit(f)):
                close(run(jg.tensor(x)).numpy(), [sign * e for e in exact], [20] * a.size, f"i{n}e {name} {dtype}")
    for v in (1e-39, 1e-42, 1e-45, 0.0):
        assert jg.grad(jg.i1e)(jg.tensor(v)).item() == pytest.approx(0.5, rel=1e-6)
        assert jg.grad(jg.i1)(jg.tensor(v)).item() == 0.5
    for v in (1e6, 1e30):  # by the leading terms of Hankel's expansions
        leading = 1 / math.sqrt(2 * math.pi * v) / v
        assert jg.grad(jg.i0e)(jg.tensor(v)).item() == pytest.approx(-leading / 2, rel=1e-5)
        assert jg.grad(jg.i1e)(jg.tensor(-v)).item() == pytest.approx(-leading / 2, rel=1e-5)


def h(x: Any, y: Any) -> Any:
    return mp.sqrt(x * x + y * y)


PAIRS: dict[str, tuple[Callable, list[Callable]]] = {  # the function; it, and its derivatives in x; y; x, x; x, y
    "atan2": (
        jg.atan2,
        [
            mp.atan2,
            lambda x, y: y / h(x, y) ** 2,
            lambda x, y: -x / h(x, y) ** 2,
            lambda x, y: -2 * x * y / h(x, y) ** 4,
            lambda x, y: (x - y) * (x + y) / h(x, y) ** 4,
        ],
    ),
    "hypot": (
        jg.hypot,
        [
            h,
            lambda x, y: x / h(x, y),
            lambda x, y: y / h(x, y),
            lambda x, y: y * y / h(x, y) ** 3,
            lambda x, y: -x * y / h(x, y) ** 3,
        ],
    ),
    "logsumexp": (
        lambda x, y: jg.stack([x, y]).logsumexp(0),
        [
            lambda x, y: max(x, y) + mp.log1p(mp.exp(-abs(x - y))),
            lambda x, y: s(x - y),
            lambda x, y: s(y - x),
            lambda x, y: s(x - y) * s(y - x),
            lambda x, y: -s(x - y) * s(y - x),
        ],
    ),
    "norm": (lambda x, y: jg.stack([x, y]).norm(2, 0), [h, lambda x, y: x / h(x, y), lambda x, y: y / h(x, y)]),
    "norm 3": (
        lambda x, y: jg.stack([x, y]).norm(3, 0),
        [
            lambda x, y: (abs(x) ** 3 + abs(y) ** 3) ** (mp.mpf(1) / 3),
            lambda x, y: mp.sign(x) * (abs(x) / (abs(x) ** 3 + abs(y) ** 3) ** (mp.mpf(1) / 3)) ** 2,
        ],
    ),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_two_numbers(name: str, dtype: str) -> None:
    f, exact = PAIRS[name]
    rng = np.random.default_rng(1)
    e = rng.uniform(-LARGE[dtype], LARGE[dtype], 30) / (100 if name == "logsumexp" else 1)
    x = np.concatenate([10.0**e, rng.uniform(0, 90, 20)]) * rng.choice([-1, 1], 50)
    y = np.concatenate([10.0 ** (e + rng.uniform(-3, 3, 30)), rng.uniform(0, 90, 20)]) * rng.choice([-1, 1], 50)
    xs = [v.clip(-(10.0 ** LARGE[dtype]), 10.0 ** LARGE[dtype]).astype(dtype) for v in (x, y)]
    tensors = [jg.tensor(v) for v in xs]
    d = lambda g, k: jg.grad(lambda *a: g(*a).sum(), k)
    for k, g in enumerate([f, d(f, 0), d(f, 1), d(d(f, 0), 0), d(d(f, 0), 1)][: len(exact)]):
        with mp.workdps(80 if name != "logsumexp" else 400):
            want = [exact[k](mp.mpf(a), mp.mpf(b)) for a, b in zip(*[v.tolist() for v in xs])]
            step = 1 + mp.mpf(10) ** -30
            moved = [exact[k](mp.mpf(a) * step, mp.mpf(b)) for a, b in zip(*[v.tolist() for v in xs])]
            condition = [abs((m - v) / v) * mp.mpf(10) ** 30 if v else 0 for v, m in zip(want, moved)]
            keep = [abs(v) * max(1, 1 / min(abs(a), abs(b))) < np.finfo(dtype).max for v, a, b in zip(want, *xs)]
        for run in (g, jg.jit(g)):
            got = run(*tensors).numpy()
            close(got[keep], *[[v for v, kept in zip(many, keep) if kept] for many in (want, condition)], f"{name} {k} {dtype}")


def bce(x: float, t: float, order: int) -> Any:
    x = mp.mpf(x)
    return [t * mp.log1p(mp.exp(-x)) + (1 - t) * mp.log1p(mp.exp(x)), (1 - t) * s(x) - t * s(-x), s(x) * s(-x)][order]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("target", [0.0, 1.0, 0.25])
def test_losses_of_logits_that_are_sure(target: float, dtype: str) -> None:
    x = np.array([20.0, 100.0, -100.0, -20.0, 0.0, 1.0, 40.0, -700.0, 700.0], dtype)
    for name, (order, f) in ways(lambda x: jg.binary_cross_entropy_with_logits(x, jg.full_like(x, target))).items():
        for run in (f, jg.jit(f)):
            with mp.workdps(400):
                exact = [bce(v, target, order) for v in x.tolist()]
            close(run(jg.tensor(x)).numpy(), exact, [1] * x.size, f"{name} {target}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logsumexp_and_softmax_of_large_numbers(dtype: str) -> None:
    for size in (1e2, 1e6, 1e30):
        x = jg.tensor(np.array([size, size, -size, size], dtype))
        third = [1 / 3, 1 / 3, 0, 1 / 3]
        curved = np.diag(third) - np.outer(third, third)
        lse, first = lambda x: x.logsumexp(0), lambda x: x.log_softmax(0)[0]
        for g, want in (
            (jg.grad(lse), third),
            (jg.jacfwd(lse), third),
            (jg.hessian(lse), curved),
            (jg.jacrev(jg.jacrev(lse)), curved),
            (jg.hessian(first), -curved),
            (jg.jacrev(lambda x: x.softmax(0)), curved),
        ):
            for run in (g, jg.jit(g)):
                np.testing.assert_allclose(run(x).numpy(), want, rtol=1e-5, atol=1e-7)
    assert jg.tensor([0.0, -20.0]).logsumexp(0).item() == pytest.approx(math.log1p(math.exp(-20)), rel=1e-6)


@pytest.mark.parametrize("sweep", SWEEPS)
@pytest.mark.parametrize(("dtype", "scale"), [("float64", 1e200), ("float64", 1e-200), ("float32", 1e30), ("float32", 1e-40)])
def test_norms_and_deviations_are_scaled(dtype: str, scale: float, sweep: str) -> None:
    small = np.array([[3.0, 4.0], [-6.0, 2.5], [0.0, 1.0]])
    x = jg.tensor((small * scale).astype(dtype))
    rtol = {"float64": 1e-13, "float32": 1e-5 if scale > 1 else 1e-3}[dtype]  # so few digits have subnormal numbers
    near = jg.tensor(small)
    functions = [lambda x, p=p, dim=dim: x.norm(p, dim) for p in (1, 2, 2.5, 3, math.inf, -1) for dim in (None, 0, 1)]
    functions += [lambda x, dim=dim: x.std(dim) for dim in (None, 0, 1)]
    for k, f in enumerate(functions):
        slope = jg.grad(lambda x, f=f: f(x).sum())
        with jg.sweep(sweep):
            for run in (lambda g: g, jg.jit):
                np.testing.assert_allclose(run(f)(x).numpy() / dtype_of(dtype, scale), f(near).numpy(), rtol=rtol, err_msg=str(k))
                np.testing.assert_allclose(run(slope)(x).numpy(), slope(near).numpy(), rtol=rtol, atol=rtol, err_msg=str(k))


def dtype_of(dtype: str, scale: float) -> Any:
    return np.dtype(dtype).type(scale)


def test_forward_mode_knows_the_same_zeros() -> None:
    """Where the reverse rule masks, tangents are masked as well: subgradients of least norm."""
    ones, zeros = jg.ones(3), jg.zeros(3)
    cases: list[tuple[Callable, Any]] = [
        (lambda x: x.std(), ones),
        (lambda x: x.std(0, keepdim=True), ones),
        (lambda x: x.norm(), zeros),
        (lambda x: x.norm(3), zeros),
        (lambda x: x.norm(1.5), zeros),
        (lambda x: x.norm(math.inf), zeros),
        (lambda x: x.abs(), zeros),
        (lambda x: x.relu(), zeros),
        (lambda x: x.maximum(0 * x), zeros),
        (lambda x: x.amax(), ones),
        (lambda x: x.clamp(0, 1), zeros),
        (lambda x: x.atan2(x), zeros),
        (lambda x: x**0, zeros),
        (lambda x: x**2, zeros),
        (lambda x: x.pow(jg.full_like(x, 2.0)), zeros),
        (lambda x: x.prod(), zeros),
        (lambda x: x.sign(), zeros),
        (lambda x: jg.tensor([0.0, 2.0, 3.0]).pow(x + 1), zeros),
    ]
    for k, (f, x) in enumerate(cases):
        back = jg.jacrev(f)(x).numpy()
        for run in (jg.jacfwd(f), jg.jit(jg.jacfwd(f)), jg.jit(jg.jacrev(f))):
            np.testing.assert_array_equal(run(x).numpy() + 0.0, back + 0.0, err_msg=str(k))
        assert np.isfinite(back).all(), k
    y = jg.tensor([2.0, 3.0], dtype=jg.float64)  # 0 ** y is 0 for all of these
    power = lambda y: (jg.zeros(2, dtype=jg.float64) ** y).sum()
    for g in (jg.grad(power), jg.hessian(power)):
        np.testing.assert_array_equal(g(y).numpy(), 0 * g(y).numpy())


def test_the_mixed_derivatives_of_powers_do_not_depend_on_the_order() -> None:
    """At y = 0, where the derivative in x is masked, it has a slope in y all the same; and where x is 0 or infinite."""
    values = [0.0, 1e-300, 0.5, 1.0, 2.0, 3.0, -1.0, math.inf]
    x, y = (jg.tensor(v, dtype=jg.float64) for v in zip(*[(a, b) for a in values for b in [*values, -0.5, 0.0] if a >= 0]))
    d = lambda g, k: jg.grad(lambda *a: g(*a).sum(), k)
    ahead = lambda g, k: lambda *a: jg.jvp(lambda v: g(*a[:k], v, *a[k + 1 :]), (a[k],), (jg.ones_like(a[k]),))[1]
    found = [second(first(lambda x, y: x**y, k), 1 - k) for k in (0, 1) for first in (d, ahead) for second in (d, ahead)]
    want = found[0](x, y).numpy()
    for g in found:
        for run in (g, jg.jit(g)):
            np.testing.assert_allclose(run(x, y).numpy(), want, rtol=1e-12)
    usual = (y.numpy() == 0) & (x.numpy() > 0)
    np.testing.assert_allclose(want[usual], 1 / x.numpy()[usual])
    assert not want[x.numpy() == 0][y.numpy()[x.numpy() == 0] >= 0].any()


def test_products_with_zeros() -> None:
    for values in ([0.0, 2.0, 3.0, 4.0], [0.0, 0.0, 3.0, 4.0], [0.0, 0.0, 0.0, 4.0], [1e-200, 1e200, 2.0, 5.0]):
        x = np.array(values)
        others = lambda *out: np.prod([v for k, v in enumerate(values) if k not in out])  # noqa: B023
        first = [others(i) for i in range(4)]
        second = [[0 if i == j else others(i, j) for j in range(4)] for i in range(4)]
        f = lambda x: x.prod()
        for run in (lambda g: g, jg.jit):
            np.testing.assert_allclose(run(jg.grad(f))(x).numpy(), first)
            np.testing.assert_allclose(run(jg.jacfwd(f))(x).numpy(), first)
            np.testing.assert_allclose(run(jg.hessian(f))(x).numpy(), second)


@pytest.mark.parametrize("sweep", ["eager", *SWEEPS])
def test_lgamma_near_its_zeros(sweep):
    """At 1 and 2, to a few units in the last place of the small values there."""
    rng = np.random.default_rng(0)
    steps = rng.choice([-1, 1], 100) * 10 ** rng.uniform(-15, -0.31, 100)
    x = np.concatenate([1 + steps, 2 + steps, [1, 2, 1.5, 2.5]])
    if sweep == "eager":
        found = jg.lgamma(jg.tensor(x)).numpy()
    else:
        with jg.sweep(sweep):
            found = jg.jit(jg.lgamma)(jg.tensor(x)).numpy()
    with mp.workdps(30):
        exact = np.array([float(mp.loggamma(mp.mpf(float(v)))) for v in x])
    np.testing.assert_allclose(found, exact, rtol=8 * 2.3e-16, atol=0)
