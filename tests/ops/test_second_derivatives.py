"""First and second derivatives of every elementwise row, from the smallest to the largest numbers, against exact ones.

Exact is the row's own `kernel` in mpmath, and differences of it with a thousand digits. Results that are subnormal may be 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import mpmath as mp
import numpy as np
import pytest

import jitgrad as jg
from jitgrad.ops import Op, rows
from jitgrad.ops.activations import binary_cross_entropy_with_logits
from jitgrad.ops.arithmetic import pow, pow_scalar
from jitgrad.ops.table import Rule
from tests.ops.test_edges import FUNCTIONS, LARGE, TOLERANCE, bessel

ROWS = [op for op in rows() if op.elementwise and op.differentiable and not op.internal and (op.kernel or op.name in ("erfinv",))]
ROWS += [pow_scalar, binary_cross_entropy_with_logits]
DIGITS = {"float32": 200, "float64": 1100}  # from the largest number to the smallest, and some more
EXPONENTS = [{"exponent": e} for e in (2, 3, 4, 5, -1, -2, -3, 0.5, -0.5, 1.5, 1.7, 0, 1, 0.01, 30.0, 100)]

LIMITS: dict[tuple[str, str], tuple[Callable[..., Any], Callable[[float], tuple]]] = {
    ("sigmoid", "x"): (lambda x: x > 0, lambda most: (0.4 * np.log(most**0.4),)),
    ("log_ndtr", "xx"): (lambda x: -45 < x < -1, lambda most: (np.linspace(-42, -20, 399),)),
    ("erfcx", "x"): (lambda x: 1 < x <= 30, lambda most: (np.linspace(20, 30, 99),)),
    ("erfcx", "xx"): (lambda x: 1 < x <= 30, lambda most: (np.linspace(20, 30, 99),)),
    ("pow", "xx"): (lambda x, y: np.isinf(x ** (y - 2)), lambda most: (most**-0.6, most**-0.5)),
}
"""By row and derivative: at which points it need not be the exact one, and one where it is not, by the largest number.
docs/derivatives.md says why."""
BESSEL = ("i0", "i0e", "i1", "i1e")
"""The second derivatives are differences in the middle of their range: see test_edges, too."""


def sigmoid(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def stepped(f: Callable) -> Callable:
    """A function that jumps at whole numbers, and is nan near them."""
    return lambda x: f(x) if abs(x) < 1e9 and abs(x - mp.nint(2 * x) / 2) > 1e-20 * abs(x) else mp.nan


def slope_of_erfinv(x: Any) -> Any:
    return mp.sqrt(mp.pi) / 2 * mp.exp(mp.erfinv(x) ** 2)


def near(x: Any) -> Any:
    """The size of a number, unless functions of that would take for ever."""
    if abs(x) > 1e4:
        raise ValueError(f"{x} is too large")
    return abs(x)


def unscaled(n: int, order: int, x: Any) -> Any:
    """A derivative of I_n, a mean of its neighbours (DLMF 10.29.1)."""
    many = [mp.binomial(order, j) * mp.besseli(abs(n - order + 2 * j), near(x)) for j in range(order + 1)]
    return mp.sign(x) ** (n + order) * mp.fsum(many) / 2**order


def psi(n: int, x: Any) -> Any:
    return mp.psi(n, x if x > 0 else -near(x))


def density(x: Any) -> Any:
    """Of the normal distribution; far out it is beyond numbers."""
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi) if abs(x) < 1e4 else mp.mpf(0)


def gamma_density(x: Any, y: Any) -> Any:
    """The derivatives of igamma in y (DLMF 8.8.13)."""
    if x <= 0 or y <= 0:
        return mp.nan, mp.nan
    density = mp.exp((x - 1) * mp.log(y) - y - mp.loggamma(x))
    return density, density * ((x - 1) / y - 1)


def slope_of_ndtri(x: Any, order: int) -> Any:
    """Where the density is y the inverse has the slope 1 / y, and that changes by x / y^2."""
    z = mp.sqrt(2) * mp.erfinv(2 * x - 1)
    return (1, z)[order - 1] / density(z) ** order


def slope_of_erfcx(x: Any, order: int) -> Any:
    """By the series for large x (DLMF 7.12.1), where the terms of the other form cancel."""
    if x < -1e3:
        return mp.inf * (-1) ** order
    if x > 1e8:
        return (-1 / x**2, 2 / x**3)[order - 1] / mp.sqrt(mp.pi)
    scaled, two = mp.exp(x * x) * mp.erfc(x), 2 / mp.sqrt(mp.pi)
    return 2 * x * scaled - two if order == 1 else (4 * x * x + 2) * scaled - 2 * x * two


def slope_of_log_ndtr(x: Any, order: int) -> Any:
    if x < -1e8:
        return (-x, mp.mpf(-1))[order - 1]
    rate = 2 * density(x) / mp.erfc(-x / mp.sqrt(2)) if x > -1e4 else mills(x)
    return rate if order == 1 else -rate * (x + rate)


def mills(x: Any) -> Any:
    """The density over the distribution function, where both are beyond numbers: a continued fraction (DLMF 7.9.1)."""
    rest = -x
    for k in range(40, 0, -1):
        rest = -x + k / rest
    return rest


floor = stepped(mp.floor)
NAMES: dict[str, Any] = {
    **{
        name: getattr(mp, name)
        for name in (
            "acos",
            "acosh",
            "asin",
            "asinh",
            "atan",
            "atan2",
            "atanh",
            "cos",
            "cosh",
            "exp",
            "expm1",
            "hypot",
            "log",
            "log10",
            "log1p",
            "sign",
            "sin",
            "sinh",
            "sqrt",
            "tan",
            "tanh",
        )
    },
    "cbrt": lambda x: mp.sign(x) * mp.cbrt(abs(x)),
    "exp2": lambda x: mp.mpf(2) ** x,
    "log2": lambda x: mp.log(x, 2),
    "clamp": lambda x, min, max: sorted([x, -mp.inf if min is None else min, mp.inf if max is None else max])[1],
    "pow": mp.power,
    "power": mp.power,
    "sigmoid": sigmoid,
    "select": lambda c, x, y: x if c else y,
    "softplus": lambda x: mp.log1p(mp.exp(x)),
    "trunc": lambda x: mp.sign(x) * floor(abs(x)),
    "rint": stepped(mp.nint),
    "floor": floor,
    "ceil": stepped(mp.ceil),
    "remainder": lambda x, y: x - y * floor(x / y),
    "floor_divide": lambda x, y: floor(x / y),
    "fmod": lambda x, y: x - y * mp.sign(x / y) * floor(abs(x / y)),
    "copysign": lambda x, y: abs(x) if y >= 0 else -abs(x),
    "nextafter": lambda x, y: x if abs(x - y) > abs(x) / 10**20 else mp.nan,  # and a step that is the same nearby
    "erfc": mp.erfc,
    "erfcx": lambda x: mp.exp(x * x) * mp.erfc(x),
    "abs": abs,
    "gamma_density": lambda x, y: gamma_density(x, y)[0],
}
CLOSED: dict[str, Callable[..., Any]] = {  # by how many derivatives are taken: differences would take too long
    **{name: lambda x, order, name=name: FUNCTIONS[name][order](x) for name in ("erf", "erfc")},
    "erfinv": lambda x, order: (0, slope_of_erfinv(x), 2 * mp.erfinv(x) * slope_of_erfinv(x) ** 2)[order],
    "ndtri": lambda x, order: slope_of_ndtri(x, order),
    "erfcx": lambda x, order: slope_of_erfcx(x, order),
    "ndtr": lambda x, order: (1, -x)[order - 1] * density(x),
    "log_ndtr": lambda x, order: slope_of_log_ndtr(x, order),
    "lgamma": lambda x, order: psi(order - 1, x),
    "digamma": lambda x, order: psi(order, x),
    "trigamma": lambda x, order: psi(order + 1, x),
    "polygamma": lambda x, order, n: psi(order + n, x),
    **{f"i{n}": lambda x, order, n=n: unscaled(n, order, x) for n in (0, 1)},
    **{f"i{n}e": lambda x, order, n=n: mp.sign(x) ** (n + order) * bessel(n, order, near(x)) for n in (0, 1)},
    "igamma": lambda x, y, order: gamma_density(x, y)[order - 1],
    "igammac": lambda x, y, order: -gamma_density(x, y)[order - 1],
}


def real(f: Callable) -> Callable:
    """A function of numbers of mpmath, nan where it is not a real number."""

    def found(*at: Any, **params: Any) -> Any:
        try:
            value = f(*at, **params)
        except (ValueError, ZeroDivisionError):
            return mp.nan
        return mp.nan if isinstance(value, mp.mpc) else mp.mpf(value)

    return found


def exact(op: Op, params: dict[str, Any], along: tuple[int, ...], digits: int) -> Callable:
    """The derivative along one input or two, as a function of numbers of mpmath."""
    if op.name in CLOSED:
        return mp.workdps(60)(lambda *at: real(CLOSED[op.name])(*at, order=len(along), **params))
    meaning = compile(op.kernel or "", op.name, "eval")
    f = real(lambda *at: eval(meaning, NAMES, dict(zip(op.inputs, at)) | params))

    def differences(*at: Any) -> Any:
        steps = [mp.mpf(10) ** -30 * min(1, abs(at[k]) or 1) for k in along]
        with mp.workdps(digits - int(mp.log10(mp.fprod(steps)))):
            total = mp.mpf(0)
            for signs in itertools.product((1, -1), repeat=len(along)):
                moved = list(at)
                for k, sign, step in zip(along, signs, steps):
                    moved[k] += sign * step
                total += mp.fprod(signs) * f(*moved)
            return total / mp.fprod([2 * step for step in steps])

    return differences


def points(op: Op, dtype: str) -> list[np.ndarray]:
    rng, large = np.random.default_rng(len(op.name)), LARGE[dtype]
    e = np.concatenate([np.linspace(-large, large, 20), rng.uniform(-3, 3, 10)])
    near = 10.0 ** rng.uniform(np.log10(np.finfo(dtype).eps) + 0.5, -1, 12)
    x = np.concatenate([10.0**e, rng.uniform(0, 110, 12), rng.uniform(0, 16, 12), 1 - near[:6], 1 + near])
    examples = [example(float(np.finfo(dtype).max)) for (name, _), (_, example) in LIMITS.items() if name == op.name]
    if len(op.inputs) == 1:
        return [np.concatenate([x, -x, *map(np.ravel, examples)]).astype(dtype)]
    alike, inverse = e + rng.uniform(-3, 3, e.size), np.log10(large / np.abs(e)) - rng.uniform(-0.3, 2, e.size)
    others = [rng.uniform(-large, large, e.size), alike, rng.uniform(-3, 3, e.size), inverse, -e]
    x = np.concatenate([np.tile(10.0**e, len(others)), 1 + near])
    y = 10.0 ** np.concatenate([*others, rng.uniform(0, 15, near.size)]).clip(-large, large)
    x, y = ((v * rng.choice([-1, 1, 1], v.size)).astype(dtype) for v in (x, y))
    x, y = (np.append(v, [each[k] for each in examples]).astype(dtype) for k, v in enumerate((x, y)))
    if op is pow:  # whole numbers, where the base may be negative; 0 is masked
        y[: e.size] = rng.integers(-3, 4, e.size)
    if op is binary_cross_entropy_with_logits:
        y = rng.uniform(0, 1, y.size).astype(dtype)
    return [x > 0, x, y] if op.name == "where" else [x, y]


def ways(f: Callable, along: tuple[int, ...]) -> dict[str, Callable]:
    """The derivative along inputs, by reverse and forward mode."""

    def slope(g: Callable, k: int) -> Callable:
        return jg.grad(lambda *at: g(*at).sum(), k)

    def ahead(g: Callable, k: int) -> Callable:
        return lambda *at: jg.jvp(lambda v: g(*at[:k], v, *at[k + 1 :]), (at[k],), (jg.ones_like(at[k]),))[1]

    if len(along) == 1:
        return {"reverse": slope(f, *along), "forward": ahead(f, *along)}
    i, j = along
    return {
        "reverse twice": slope(slope(f, i), j),
        "forward over reverse": ahead(slope(f, i), j),
        "reverse over forward": slope(ahead(f, i), j),
        "forward twice": ahead(ahead(f, i), j),
    }


def wrong(got: np.ndarray, want: list, at: list[tuple], again: Callable, tolerance: float) -> Iterator[int]:
    """Where a derivative is not the exact one; `again` tells, where they differ, how much that of a rounded point may."""
    info, rounded = np.finfo(got.dtype), np.array(want, float)
    with np.errstate(all="ignore"):
        plainly = abs(got - rounded) <= 0.9 * tolerance * abs(rounded)  # numbers of mpmath take long to compare
    for k, g, w in ((k, float(got[k]), want[k]) for k in np.flatnonzero(~plainly)):
        bound = tolerance * abs(w) + 4 * float(info.tiny)
        if mp.isnan(w) or abs(w) > info.max / 4 or abs(g - w) <= bound:
            continue
        with mp.workdps(40):
            step = 1 + mp.mpf(10) ** -20
            nearby = [again(*at[k][:m], at[k][m] * step, *at[k][m + 1 :]) for m in range(len(at[k]))]
            condition = mp.fsum([abs(v - w) for v in nearby]) * mp.mpf(10) ** 20
        if not abs(g - w) <= bound + tolerance * condition / 5:
            yield k


@pytest.mark.parametrize("op", ROWS, ids=lambda op: op.name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_derivatives_of_every_elementwise_row(op: Op, dtype: str) -> None:
    xs = points(op, dtype)
    tensors = [jg.tensor(x) for x in xs]
    inputs = [k for k, rule in enumerate(op.rules) if isinstance(rule, Rule)]
    digits, at = DIGITS[dtype], list(zip(*[[mp.mpf(v) for v in x.tolist()] for x in xs]))
    limits, tolerance = {}, TOLERANCE[dtype] * (5 if op.name in BESSEL else 1)
    for params in EXPONENTS if op is pow_scalar else op.samples() if op.samples else [{}]:
        f = lambda *at, params=params: op(*at, **params)
        every = {along: ways(f, along) for n in (1, 2) for along in itertools.product(inputs, repeat=n)}
        taken = lambda *at, every=every: {along: {w: g(*at) for w, g in found.items()} for along, found in every.items()}
        results = [run(*tensors) for run in (taken, jg.jit(taken))]
        known: dict[tuple, list] = {}
        for along, way in ((along, way) for along, found in every.items() for way in found):
            again, same = exact(op, params, along, digits), tuple(sorted(along))
            want = known.setdefault(same, []) or [again(*v) for v in at]
            known[same] = want
            name = (op.name, "".join(op.inputs[k] for k in along))
            for result in results:
                for k in wrong(result[along][way].numpy(), want, at, again, tolerance):
                    point = [x[k] for x in xs]
                    with np.errstate(all="ignore"):
                        allowed = name in LIMITS and LIMITS[name][0](*point)
                    what = f"{params} {name} {way}, of {point}: {result[along][way][k].item()}, exact {mp.nstr(want[k], 17)}"
                    assert allowed, what
                    limits[name] = what
    listed = {name for name in LIMITS if name[0] == op.name}
    assert set(limits) == listed or (dtype == "float64" and set(limits) < listed), (
        "take what is mended out of LIMITS and the docs"
    )
