"""Machine code for arrays of every small size: what the last, incomplete vector computes beside the array reaches no result.

The programs divide, and take roots and logarithms, of zeros and nan, so that whatever got through would show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg

SIZES = (*range(1, 10), 11, 13, 15, 16, 17, 23, 31, 33, 40)
NATIVE = (jg.float32, jg.float64, jg.int32, jg.int64)


def written(x: Any, y: Any) -> tuple:
    """Zeros into which something is written, divided by zeros."""
    z, d = jg.zeros_like(x), x * x * (y > 0)
    z[()] = y * 0.5
    safe = jg.where(d == 0, 0.0, z / d)
    return safe.sum(), safe, jg.where(d > 0, d.log(), 0.0).sum(), jg.where(y == y, 0.0, (z - z) / (d - d)).sum()


def branches(x: Any, y: Any) -> tuple:
    """Sums of what is picked from quotients, roots and logarithms; extremes and products."""
    a = jg.where(x != 0, y / x, 1.0)
    b = jg.where(y > 0, y.sqrt(), x.abs().sqrt() * 0)
    return a.sum(), b.sum(), a.amax(), b.amin(), jg.where(a > 0, 1 / a, 1.0).prod(), a * b, (x / x).isnan().sum()


def by_dimension(x: Any, y: Any) -> tuple:
    """Sums and extremes of quotients of zeros along the first, and the last dimension."""
    a = jg.where((x == 0) | (y == 0), 0.0, y / x)
    b = jg.where(x.abs().sum(0) > 100, 1.0, (x - x).sum(0) / (y - y).sum(0)).isnan().sum()
    return a.sum(0), a.sum(-1), a.amax(0), a.amin(-1), (a * a).cumsum(0), a.mean(), b


def wholes(x: Any, y: Any) -> tuple:
    """Rounded quotients and remainders."""
    d = jg.where(x == 0, 2, x)
    return (y // d).sum(), (y % d).sum(), jg.where(x == 0, y // d, 0).sum(), y % d


PROGRAMS = (written, branches, by_dimension, wholes)


def arrays(shape: tuple[int, ...], dtype: jg.dtype, plain: bool) -> list[jg.Tensor]:
    """Two arrays with zeros among them, and unless they are `plain` nan and infinity; few values, exact in every dtype."""
    draw = np.random.default_rng(sum(shape))
    values = [draw.choice([0.0, -0.0, 1.0, 2.0, -2.0, 0.5], shape) for _ in range(2)]
    if not plain:
        values[0].flat[0], values[1].flat[-1] = np.nan, np.inf
    return [jg.tensor(v).to(dtype) for v in values]


def same(got: Any, want: Any, what: str) -> None:
    for a, b in zip(got, want, strict=True):
        assert a.dtype is b.dtype, what
        rounded = {2: 2e-2, 4: 2e-5}.get(b.detach().numpy().dtype.itemsize, 1e-12)
        np.testing.assert_allclose(a.detach().double().numpy(), b.detach().double().numpy(), rounded, rounded, err_msg=what)


def check(function: Callable, pairs: list[list[jg.Tensor]], what: str, native: bool = True) -> None:
    """Machine code, for callers in Python and for others, gives what the interpreted sweep gives of each of some arguments."""
    args = [x for pair in pairs for x in pair]

    def every(*xs: jg.Tensor) -> list[jg.Tensor]:
        return [part for k in range(0, len(xs), 2) for part in function(*xs[k : k + 2])]

    with jg.sweep("interpreted"):
        want = jg.jit(every)(*args)
    with jg.sweep("jit"):
        same(jg.jit(every)(*args), want, f"{what} jit")
    if native:
        same(jg.jit(every).compile(*args)(*args), want, f"{what} native")


def gradients(program: Callable) -> Callable:
    """Of the sum of its floating results, in both arguments."""

    def summed(*xs: Any) -> Any:
        return sum(part.sum() for part in program(*xs) if part.dtype.is_floating_point)

    return jg.grad(summed, (0, 1))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_vectors_of_every_size(program: Callable) -> None:
    for plain in (True, False):
        check(program, [arrays((size,), jg.float64, plain) for size in SIZES], f"plain {plain}", native=plain)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_rows_of_odd_sizes(program: Callable) -> None:
    shapes = ((1, 3), (3, 5), (2, 9), (5, 11), (9, 2), (13, 1), (2, 3, 7))
    check(program, [arrays(shape, jg.float64, True) for shape in shapes], "rows")
    check(program, [[x.t() for x in arrays(shape[:2], jg.float32, True)] for shape in shapes], "transposed", native=False)


@pytest.mark.parametrize("dtype", [jg.float32, jg.float16, jg.int32, jg.int64, jg.uint8], ids=repr)
def test_dtypes(dtype: jg.dtype) -> None:
    pairs = [arrays((size,), dtype, True) for size in (1, 2, 3, 5, 7, 9, 12, 21)]
    for program in (wholes,) if not dtype.is_floating_point else PROGRAMS:
        check(program, pairs, program.__name__, native=dtype in NATIVE)


@pytest.mark.parametrize("dtype", [jg.float64, jg.float32, jg.float16], ids=repr)
def test_gradients(dtype: jg.dtype) -> None:
    pairs = [arrays((size,), dtype, True) for size in (1, 3, 5, 7, 8, 13, 19)]
    for program in (written, branches):
        check(gradients(program), pairs, program.__name__, native=dtype in NATIVE)


def test_a_number_beside_a_short_array() -> None:
    def quotients(m: Any, y: Any) -> Any:
        z = jg.zeros_like(y)
        z[()] = y * 0.5
        d = m * m + y * y
        return jg.where(d == 0, 0.0, z / d).sum(), jg.where(d == 0, z / d, d).amax(), (z / d)

    number = jg.tensor(0.7, dtype=jg.float64)
    check(quotients, [[number, arrays((size,), jg.float64, True)[0] + 3] for size in SIZES], "a number")
