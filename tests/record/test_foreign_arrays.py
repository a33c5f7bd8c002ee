"""Columns of pandas, and other arrays that have `__array__`, are operands and arguments as arrays by NumPy are."""

from __future__ import annotations

import operator
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jitgrad as jg

pytestmark = pytest.mark.quick

FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0], "n": [4, 5, 6], "text": ["x", "y", "z"]})
A = FRAME["a"]
BETWEEN = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.floordiv, operator.mod]
BETWEEN += [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


def w() -> Any:
    return jg.tensor([3.0, 1.0, 2.0], requires_grad=True)


def same(found: Any, wanted: Any) -> None:
    assert isinstance(found, jg.Tensor)
    assert (found.dtype, found.tolist(), found.requires_grad) == (wanted.dtype, wanted.tolist(), wanted.requires_grad)


@pytest.mark.parametrize("column", ["a", "n"])
@pytest.mark.parametrize("op", BETWEEN, ids=lambda op: op.__name__)
def test_operators_in_either_order(op, column):
    series = FRAME[column]
    array = series.to_numpy()
    same(op(w(), series), op(w(), array))
    same(op(series, w()), op(array, w()))
    same(op(w().detach(), series), op(w().detach(), array))


def test_frames_and_indices():
    numbers = FRAME[["a", "n"]]
    same(numbers.T * w(), numbers.to_numpy().T * w())
    same(w()[:, None] - numbers, w()[:, None] - numbers.to_numpy())
    same(FRAME.index * w(), np.arange(3) * w())


CALLS = {
    "sin": lambda x: jg.sin(x),
    "sum": lambda x: jg.sum(x, dim=0),
    "add": lambda x: jg.add(w(), x),
    "add, first": lambda x: jg.add(x, w()),
    "where": lambda x: jg.where(x > 1, w(), x),
    "stack": lambda x: jg.stack([x, w().double()]),
    "matmul": lambda x: w().double() @ x,
    "mse_loss": lambda x: jg.mse_loss(w().double(), x),
    "np.add": lambda x: np.add(w(), x),
    "np.add, first": lambda x: np.add(x, w()),
    "np.maximum": lambda x: np.maximum(x, w()),
    "an index": lambda x: w()[x - 1] if x.dtype.kind == "i" else w()[x > 1],
    "in place": lambda x: w().detach().mul_(x),
    "written": lambda x: jg.zeros(3).copy_(x),
    "tensor": lambda x: jg.tensor(x),
    "as_tensor": lambda x: jg.as_tensor(x),
}


@pytest.mark.parametrize("name", CALLS)
def test_functions(name):
    same(CALLS[name](A), CALLS[name](A.to_numpy()))


def test_indices_of_ints():
    same(w()[FRAME["n"] - 4], w())


def test_gradients_go_through():
    x = w()
    (A * x * x).sum().backward()
    assert x.grad.tolist() == [6.0, 4.0, 12.0]


def test_arguments_of_transforms():
    def f(x: Any, column: Any) -> Any:
        return (x * column * x).sum() + column[0]

    wanted = [6.0, 4.0, 12.0]
    x = w().detach()
    for sweep in ("interpreted", "numba", "machine", "jit"):
        with jg.sweep(sweep):
            g = jg.jit(jg.grad(f))
            for _ in range(3):
                assert g(x, A).tolist() == wanted
            assert g(x, A + 1).tolist() == (jg.tensor(wanted) + 2 * x).tolist()
            assert g(x, A.to_numpy()).tolist() == wanted
    assert jg.grad(f)(x, A).tolist() == wanted
    assert jg.grad(f, 1)(x, A).dtype is jg.float64
    assert jg.vmap(lambda c: c * 2)(A).tolist() == [2.0, 4.0, 6.0]
    assert jg.jit(lambda d: d["a"] + d["n"])({"a": A, "n": FRAME["n"]}).tolist() == [5.0, 7.0, 9.0]


def test_what_is_no_array_of_numbers():
    for make in (jg.tensor, jg.as_tensor, lambda x: w() * x, lambda x: x * w()):
        with pytest.raises(TypeError, match=r"object|str"):
            make(FRAME["text"])
    with pytest.raises(TypeError, match="datetime64"):
        jg.tensor(pd.Series(pd.to_datetime(["2020-01-01"])))
    assert jg.tensor(pd.Series([1, 2], dtype="Int64")).dtype is jg.int64


def test_a_product_of_pandas_own_says_that_no_gradient_goes():
    assert A @ jg.ones(3) == 6
    with pytest.raises(RuntimeError, match="no gradient"):
        A @ w()


def test_pandas_changes_nothing_in_place_by_a_tensor():
    for x in (jg.ones(3), w()):
        for make in (lambda: A.copy(), lambda: FRAME[["a", "a", "a"]].copy()):
            for change in (operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow, operator.imod):
                mine = make()
                with pytest.raises(TypeError, match=r"in place by a tensor: write column = column \+ tensor"):
                    change(mine, x)
                assert mine.equals(make())
    mine = A.copy()
    mine += jg.ones(3).numpy()
    assert mine.tolist() == (A + 1).tolist()


class Foreign:
    """An array of a library that defers to tensors, or does not."""

    def __init__(self, **facts: Any) -> None:
        self.__dict__.update(facts)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array([1.0, 2.0, 3.0])

    def __rmul__(self, other: Any) -> str:
        return "its own"


def test_the_rule_of_numpy_says_who_computes():
    same(w() * Foreign(), w() * np.array([1.0, 2.0, 3.0]))
    assert w() * Foreign(__array_ufunc__=None) == "its own"
    assert w() * Foreign(__array_priority__=1e6) == "its own"


def test_columns_of_tensors():
    x = jg.tensor([1.0, 2.0, 3.0])
    assert FRAME.assign(z=x)["z"].tolist() == pd.Series(x).tolist() == x.tolist()
    assert pickle.loads(pickle.dumps(pd.Series(x))).tolist() == x.tolist()
