"""Results of loops that nobody uses have no cotangent, on the tape as in eager code: nothing infinite meets a 0."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg

A = jg.tensor([0.5, -1.0], dtype=jg.float64)
NAN, INF = float("nan"), float("inf")

LOOPS = {
    "ys": lambda a, xs, back: jg.scan(lambda c, s: (c.tanh() * 2 + s, (c, c * s)), a, xs, reverse=back)[1][0],
    "other ys": lambda a, xs, back: jg.scan(lambda c, s: (c.tanh() * 2 + s, (c, c * s)), a, xs, reverse=back)[1][1],
    "carry": lambda a, xs, back: jg.scan(lambda c, s: (c.tanh() * 2 + s, c), a, xs, reverse=back)[0],
    "two": lambda a, xs, back: jg.scan(lambda c, s: ((c[0].sin() * s, c[1] + c[0]), c[1]), (a, a * 2), xs, reverse=back)[1],
    "swapped": lambda a, xs, back: jg.scan(lambda c, s: ((c[1] * s, c[0].exp()), c[0]), (a, a * 2), xs, reverse=back)[0][0],
    "swapped ys": lambda a, xs, back: jg.scan(lambda c, s: ((c[1] * s, c[0].exp()), c[0]), (a, a * 2), xs, reverse=back)[1],
    "reset": lambda a, xs, back: jg.scan(lambda c, s: (s * 3 + c * 0, c * s), a, xs, reverse=back)[1],
    "captured": lambda a, xs, back: jg.scan(lambda c, s: (c * a + s, c), a * 0 + 1, xs, reverse=back)[1],
    "counted": lambda a, xs, back: jg.fori_loop(0, len(xs), lambda i, c: (c[0] * 1.5, c[0] * c[1]), (a, a))[0],
}


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize(
    "values", [[], [1.5], [NAN], [1.5, NAN], [NAN, 1.5], [1.0, 2.0, INF, 3.0], [1.0, 2.0, 3.0, 4.0, 5.0]], ids=str
)
@pytest.mark.parametrize("loop", LOOPS)
def test_loops_on_the_tape_give_the_gradients_of_eager_code(loop, values, back):
    xs = jg.tensor(values, dtype=jg.float64)

    def pulled(a, xs):
        out, pull = jg.vjp(lambda a, xs: LOOPS[loop](a, xs, back), a, xs)
        return pull(jg.ones_like(out))

    wanted = pulled(A, xs)
    compiled = jg.jit(pulled)
    for sweep in ("auto", "jit", "interpreted", "machine"):
        with jg.sweep(sweep):
            for got, want in zip(compiled(A, xs), wanted):
                assert (got is None) == (want is None)
                np.testing.assert_allclose(got.tolist(), want.tolist(), rtol=1e-12)


@pytest.mark.parametrize("loop", ["ys", "two", "swapped", "captured"])
def test_second_derivatives(loop):
    xs = jg.tensor([1.0, 2.0, -0.5], dtype=jg.float64)
    hessian = jg.hessian(lambda a: (LOOPS[loop](a, xs, False) ** 2).sum())
    np.testing.assert_allclose(jg.jit(hessian)(A).tolist(), hessian(A).tolist(), rtol=1e-12)
