"""NumPy's functions of tensors mean what they mean to NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.functions.data import tensor
from jitgrad.ops import TABLE


@pytest.mark.quick
def test_numpy_functions_mean_what_they_mean_to_numpy() -> None:
    data = np.array([[1.0, 5.0, 2.0], [4.0, 3.0, 6.0]])
    x = tensor(data, requires_grad=True)
    same: list[Any] = [
        np.sin,
        np.exp,
        np.negative,
        np.square,
        np.sum,
        np.mean,
        np.std,
        np.var,
        np.max,
        np.min,
        np.ravel,
        np.transpose,
        np.linalg.norm,
        np.argmax,
        np.cumsum,
        np.isnan,
        np.shape,
        np.ndim,
        np.size,
        np.prod,
        lambda a: np.max(a, axis=0),
        lambda a: np.std(a, axis=1, ddof=1),
        lambda a: np.sum(a, axis=(0, 1), keepdims=True),
        lambda a: np.split(a, 3, axis=1)[1],
        lambda a: np.split(a, [1], axis=1)[1],
        lambda a: np.clip(a, 2, 4),
        lambda a: np.concatenate([a, a], axis=1),
        lambda a: np.stack([a, a]),
        lambda a: np.where(a > 2, a, 0),
        lambda a: np.add(a, 1),
        lambda a: np.maximum(a, 3.0),
        lambda a: np.matmul(a, a.T),
        lambda a: np.dot(a, a.T),
        lambda a: np.moveaxis(a, 0, 1),
        lambda a: np.expand_dims(a, 1),
        lambda a: np.flip(a),
        lambda a: np.round(a / 3, 1),
        lambda a: np.power(a, 2),
        lambda a: np.nonzero(a > 2)[1],
        lambda a: np.squeeze(a[None]),
        lambda a: data * a,
        lambda a: data[0] @ a.T,
        lambda a: np.float64(2) - a,
        lambda a: np.reshape(a, (3, 2)),
        lambda a: np.any(a > 5),
        lambda a: np.cumsum(a, axis=1),
        lambda a: np.linalg.norm(a, axis=1),
        lambda a: np.zeros_like(a),
    ]
    for function in same:
        wanted, got = function(data), function(x)
        if isinstance(got, jg.Tensor):
            np.testing.assert_allclose(got.detach().numpy(), wanted)
        else:
            assert got == wanted
    assert np.sin(x).requires_grad
    for name, op in TABLE.items():
        ufunc = getattr(np, name, None)
        if op.elementwise and isinstance(ufunc, np.ufunc) and ufunc.nin == 1 and name != "bitwise_not":
            assert isinstance(ufunc(x), jg.Tensor)
