"""`jitgrad.testing` itself: it must notice what it is there to notice."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

import jitgrad as jg
from jitgrad import testing
from jitgrad.testing import gradcheck, gradgradcheck, jvp

pytestmark = pytest.mark.quick


def test_examples_run() -> None:
    assert doctest.testmod(testing, optionflags=doctest.ELLIPSIS).failed == 0


@pytest.mark.parametrize("projections", [None, 2])
def test_a_wrong_gradient_is_named(projections: int | None) -> None:
    def wrong(x: jg.Tensor, y: jg.Tensor) -> jg.Tensor:
        return x * y.detach() + y

    with pytest.raises(AssertionError, match=r"output 0 .* in input 1"):
        gradcheck(wrong, [np.array([2.0, 3.0]), np.array([5.0, 7.0])], projections=projections)


def test_a_wrong_second_derivative_is_noticed() -> None:
    def wrong(x: jg.Tensor) -> jg.Tensor:
        return x * x.detach() * 2 - x.detach() * x.detach()  # value x^2, first derivative 2x, second 0

    gradcheck(wrong, 3.0)
    with pytest.raises(AssertionError, match="is 0 by the reverse sweep and 2"):
        gradgradcheck(wrong, 3.0)


def test_an_input_written_to_is_named() -> None:
    def writes(x: jg.Tensor, index: jg.Tensor) -> jg.Tensor:
        index += 1
        return x.sum()

    with pytest.raises(AssertionError, match="the function wrote to input 1"):
        gradcheck(writes, [np.ones(2), np.array([0, 1])])


def test_nan_is_not_agreement() -> None:
    with pytest.raises(AssertionError, match="nan"):
        gradcheck(lambda x: x.log(), -1.0)


def test_what_cannot_be_checked_is_refused() -> None:
    with pytest.raises(TypeError, match="input 0 is float32"):
        gradcheck(lambda x: x, np.ones(2, np.float32))
    with pytest.raises(TypeError, match="no floating input"):
        gradcheck(lambda x: x, np.array([1, 2]))
    with pytest.raises(TypeError, match="no floating output"):
        gradcheck(lambda x: x > 0, 1.0)
    with pytest.raises(AssertionError, match="no output"):
        gradgradcheck(lambda x: x.detach(), 1.0)
    with pytest.raises(TypeError, match="2 primals and 1 tangents"):
        jvp(lambda x, y: x * y, [1.0, 2.0], [1.0])


def test_compiled_functions_integers_and_several_results() -> None:
    @jg.jit
    def f(x: jg.Tensor, index: jg.Tensor) -> tuple[jg.Tensor, jg.Tensor]:
        return x[index].exp(), (x * x).sum()

    inputs = [np.array([0.5, -1.0, 2.0]), np.array([2, 0, 0])]
    assert gradcheck(f, inputs)
    assert gradgradcheck(f, inputs)
    (value, total), (change, slope) = jvp(f, inputs, [np.array([1.0, 0.0, 2.0]), None])
    np.testing.assert_allclose(change.numpy(), np.array([2.0, 1.0, 1.0]) * value.detach().numpy())
    assert slope.item() == pytest.approx(2 * (0.5 + 4.0))
    assert total.item() == pytest.approx(5.25)


def test_outputs_that_do_not_move() -> None:
    (_, fixed), (change, zero) = jvp(lambda x, y: (x * 2, y.detach()), [1.0, 3.0], [1.0, 1.0])
    assert (change.item(), zero.item(), fixed.item()) == (2.0, 0.0, 3.0)
    assert gradcheck(lambda x: (x.to(jg.float32) * 4).sum(), np.array([0.5, 0.25]), eps=2.0**-10)
