"""`x[index]` and `x[index] = value`: against NumPy where the two agree, and against what PyTorch does where not."""

import itertools
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.functions.data import tensor

pytestmark = pytest.mark.quick

DATA = np.arange(24.0).reshape(2, 3, 4)

BASIC: list[Any] = [
    0,
    -1,
    slice(1, None),
    slice(None, None, 2),
    slice(5, 9),
    slice(-2, -1),
    None,
    ...,
    np.int64(1),
    (0, 1),
    (0, 1, -1),
    (slice(None), 1),
    (..., 0),
    (..., None),
    (0, ..., 1),
    (None, 0, None),
    (slice(1), slice(1, 3), slice(None, None, 3)),
    (),
    (1, None, ..., slice(0, 0)),
    slice(None, None, -1),
]
MASK = DATA % 5 > 2
ARRAYS: list[Any] = [
    [0, 1, 1],
    [[0, 1], [1, 0]],
    np.array([1, -1]),
    ([0, 1], [2, 0]),
    ([[0], [1]], [0, 2]),
    MASK,
    MASK[:, :, 0],
    np.array([True, False]),
    (slice(None), [0, 2]),
    (slice(None), slice(None), [3, 0, 0]),
    (..., [1, 2]),
    (None, [0, 1]),
    ([0, 1], slice(1, None)),
    (slice(None), MASK[0]),
    [],
    ([1, 0], slice(None), [2, 3]),
    True,
    False,
    [True, False],
    (slice(0, 1), np.array([2, 1]), slice(None, None, 2)),
    ([0], [1], [2]),
]


def as_tensors(index: Any) -> Any:
    """The same index with tensors for arrays and lists."""
    if isinstance(index, tuple):
        return tuple(as_tensors(i) for i in index)
    return tensor(index, dtype=None if len(index) else jg.int64) if isinstance(index, (list, np.ndarray)) else index


def numpys(index: Any) -> Any:
    """The same index for NumPy, which takes an empty list for one of floats."""
    return np.array(index, np.int64) if isinstance(index, list) and not index else index


@pytest.mark.parametrize("index", BASIC + ARRAYS, ids=str)
def test_agrees_with_numpy(index: Any) -> None:
    x = tensor(DATA, requires_grad=True)
    wanted = DATA[numpys(index)]
    for way in (index, as_tensors(index)):
        got = x[way]
        assert got.shape == wanted.shape
        np.testing.assert_array_equal(got.detach().numpy(), wanted)

    # The gradient counts how often each element was read.
    (got * got).sum().backward()
    counts = np.zeros_like(DATA)
    np.add.at(counts, numpys(index), 1)
    np.testing.assert_array_equal(x.grad.numpy(), 2 * DATA * counts)


@pytest.mark.parametrize("index", BASIC + ARRAYS, ids=str)
def test_assignment_agrees_with_numpy(index: Any) -> None:
    place = numpys(index)
    wanted = DATA.copy()
    wanted[place] = -1
    x = tensor(DATA)
    x[as_tensors(index)] = -1
    np.testing.assert_array_equal(x.numpy(), wanted)

    # Recorded, with a value that broadcasts: gradients reach the value and what was not overwritten.
    w, value = tensor(DATA, requires_grad=True), tensor(-1.0, dtype=jg.float64, requires_grad=True)
    x = w * 1
    x[index] = value
    np.testing.assert_array_equal(x.detach().numpy(), wanted)
    (x * x).sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), np.where(wanted == -1, 0, 2 * DATA))
    assert value.grad.shape == ()
    assert value.grad.item() == -2 * (wanted == -1).sum()  # a place named twice keeps what was written last


def test_ints_are_looked_up_before_arrays() -> None:
    x, index = tensor(DATA), tensor([0, 1, 1])
    assert x[0, :, index].shape == (3, 3)  # NumPy gives the same two sizes the other way round
    np.testing.assert_array_equal(x[0, :, index].numpy(), DATA[0][:, [0, 1, 1]])
    assert x[1, 0:2, index[:2]].shape == (2, 2)
    assert x[:, 0, index].shape == (2, 3)
    assert x[index[:1], :, 2].shape == (1, 3)
    assert x[0, tensor([True, False, True])].shape == (2, 4)
    assert x[:, -1, False].shape == (2, 0, 4)
    x[0, :, index] = -5
    assert (x[0, :, :2] == -5).all()
    assert (x[1] >= 0).all()


def test_every_pair_of_items() -> None:
    """All pairs of kinds of items: the shape is that of indexing first by ints and slices, then by arrays."""
    items: list[Any] = [0, slice(1, None), None, [1, 0], True, slice(0, 0)]
    for a, b, c in itertools.product(items, repeat=3):
        x = tensor(DATA)
        got = x[as_tensors((a, b, c))]
        step, rest = [], []
        for item in (a, b, c):
            if item is True:
                step.append(None)
                rest.append(np.zeros(1, np.int64))
            elif isinstance(item, list):
                step.append(slice(None))
                rest.append(np.array(item))
            else:
                step.append(item)
                rest += [] if isinstance(item, int) else [slice(None)]
        wanted = DATA[tuple(step)]
        if any(isinstance(r, np.ndarray) for r in rest):
            try:
                wanted = wanted[tuple(rest)]
            except IndexError:  # e.g. no element of an empty dimension
                continue
        np.testing.assert_array_equal(got.numpy(), wanted)


def test_views_and_copies() -> None:
    x = tensor(DATA)
    x[0][1][2:] = 100
    x[1].mul_(0)
    assert x[0, 1].tolist() == [4, 5, 100, 100]
    assert x[1].sum().item() == 0
    x[[0]].mul_(0)  # arrays copy
    assert x[0, 1, 2].item() == 100
    first = x[0, 0, 0]
    first.add_(7)
    assert x[0, 0, 0].item() == 7
    rows = x.unbind(0)
    rows[0].zero_()
    assert x.sum().item() == 0


def test_values_of_other_dtypes_and_shapes() -> None:
    x = jg.zeros(2, 3)
    x[0] = [1, 2, 3]
    x[1] = np.array([4.0, 5.0, 6.0])
    assert x.tolist() == [[1, 2, 3], [4, 5, 6]]
    x[:, 0] = tensor([7, 8])
    x[0] = jg.ones(1, 1, 3)  # leading dimensions of size 1 are left out
    assert x.tolist() == [[1, 1, 1], [8, 5, 6]]
    y = tensor([1, 2, 3])
    y[0] = 2.9
    assert y.tolist() == [2, 2, 3]
    z = jg.arange(4.0)
    z[1:] = z[:-1]
    assert z.tolist() == [0, 0, 1, 2]
    z[[0, 0]] += 1
    z[z > 1] *= 2
    assert z.tolist() == [1, 0, 1, 4]


def test_index_select_gather_and_scatter() -> None:
    x = tensor(DATA[0], requires_grad=True)
    index = tensor([[0, 2], [1, 1], [3, 0]])
    assert x.gather(1, index).tolist() == [[0, 2], [5, 5], [11, 8]]
    assert x.gather(1, index.int()).dtype is jg.float64
    assert x.index_select(0, tensor([2, 0])).tolist() == DATA[0][[2, 0]].tolist()
    assert x.index_select(1, tensor(1)).shape == (3, 1)
    out = jg.zeros(3, 4, dtype=jg.float64).scatter_add(1, index, x)
    assert out.tolist() == [[0, 0, 1, 0], [0, 9, 0, 0], [9, 0, 0, 8]]
    assert x.detach().index_add(0, tensor([0, 0]), x.detach()[:2], alpha=2)[0].tolist() == [8, 13, 18, 23]
    assert x.masked_fill(x > 3, -1).max().item() == 3
    assert x.masked_select(x > 9).tolist() == [10, 11]
    assert tensor([1, 2]).masked_fill(tensor([True, False]), 1.7).tolist() == [1, 2]
    (x.gather(1, index) * out.sum()).sum().backward()
    assert x.grad.shape == (3, 4)


@pytest.mark.parametrize("index", [[], slice(0, 0), np.array([], int)], ids=["list", "slice", "array"])
@pytest.mark.parametrize("compiled", [False, True])
def test_an_empty_value_of_another_shape_does_not_fit_a_place(index, compiled):
    def put(x):
        x = x.clone()
        x[index] = jg.zeros(2, 0)
        return x

    with pytest.raises(RuntimeError, match=r"shape \[2, 0\] does not broadcast"):
        (jg.jit(put) if compiled else put)(jg.zeros(3))
