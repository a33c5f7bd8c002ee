"""Views, joiners, diagonals, scattering: values against NumPy, and whole on every way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from tests.helpers.whole import whole

RNG = np.random.default_rng(7)
CUBE, MATRIX, ROW = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(3, 4)), RNG.normal(size=4)
PLACES = np.array([[0, 2, 2], [1, 0, 2]])
PART = RNG.normal(size=(2, 3))
MASK = RNG.random((3, 4)) > 0.5


def same(got: Any, want: Any) -> None:
    want = np.asarray(want)
    assert tuple(got.shape) == want.shape
    np.testing.assert_array_equal(got.detach().numpy(), want)


def test_values_are_numpys() -> None:
    x, m, r = jg.tensor(CUBE), jg.tensor(MATRIX), jg.tensor(ROW)
    same(x.movedim((0, 1), (2, 0)), np.moveaxis(CUBE, (0, 1), (2, 0)))
    same(x.diagonal(1, 1, 2), np.diagonal(CUBE, 1, 1, 2))
    same(x.diagonal(-2, 2, 0), np.diagonal(CUBE, -2, 2, 0))
    same(x.diagonal(9), np.diagonal(CUBE, 9))
    same(jg.trace(m), np.trace(MATRIX))
    same(jg.diag(r, -1), np.diag(ROW, -1))
    same(jg.diag(m, 2), np.diag(MATRIX, 2))
    same(jg.diagflat(m, 1), np.diagflat(MATRIX, 1))
    for k in (-4, -1, 0, 2, 7):
        same(x.tril(k), np.tril(CUBE, k))
        same(x.triu(k), np.triu(CUBE, k))
        same(jg.tril_indices(3, 4, k), np.tril_indices(3, k, 4))
        same(m.rot90(k), np.rot90(MATRIX, k))
    same(x.rot90(1, (2, 0)), np.rot90(CUBE, 1, (2, 0)))
    same(x.roll((1, -6), (0, 2)), np.roll(CUBE, (1, -6), (0, 2)))
    same(x.roll(5), np.roll(CUBE, 5))
    same(m.fliplr(), np.fliplr(MATRIX))
    same(m.flipud(), np.flipud(MATRIX))
    same(x.unfold(2, 3, 1), np.lib.stride_tricks.sliding_window_view(CUBE, 3, 2))
    same(x.tile(2, 1), np.tile(CUBE, (2, 1)))


def test_joiners_are_numpys() -> None:
    m, r = jg.tensor(MATRIX), jg.tensor(ROW)
    one = jg.tensor(2.0, dtype=jg.float64)
    same(jg.hstack([r, r]), np.hstack([ROW, ROW]))
    same(jg.vstack([r, m]), np.vstack([ROW, MATRIX]))
    same(jg.dstack([m, m]), np.dstack([MATRIX, MATRIX]))
    same(jg.column_stack([r, r]), np.column_stack([ROW, ROW]))
    same(jg.column_stack([one, one]), [[2.0, 2.0]])
    same(jg.block_diag(m, r, one)[:3, :4], MATRIX)
    assert tuple(jg.block_diag(m, r, one).shape) == (5, 9)
    assert tuple(jg.block_diag().shape) == (1, 0)
    for indexing in ("ij", "xy"):
        for got, want in zip(jg.meshgrid(r, one, r[:2], indexing=indexing), np.meshgrid(ROW, 2.0, ROW[:2], indexing=indexing)):
            same(got, want)
    same(jg.cartesian_prod(jg.tensor([1, 2]), jg.tensor([3, 4, 5])), [[a, b] for a in (1, 2) for b in (3, 4, 5)])
    same(jg.combinations(jg.tensor([1, 2, 3])), [[1, 2], [1, 3], [2, 3]])
    same(jg.combinations(jg.tensor([1, 2]), 2, True), [[1, 1], [1, 2], [2, 2]])
    for got, want in zip(m.tensor_split(3, 1), np.array_split(MATRIX, 3, 1)):
        same(got, want)
    for got, want in zip(m.tensor_split((1, 3, 9, -1), 1), np.array_split(MATRIX, (1, 3, 9, -1), 1)):
        same(got, want)
    same(jg.repeat_interleave(jg.tensor([1, 0, 2])), [0, 2, 2])
    same(m.repeat_interleave(jg.tensor([1, 0, 2]), 0), np.repeat(MATRIX, [1, 0, 2], 0))
    same(m.repeat_interleave(2), np.repeat(MATRIX, 2))
    assert jg.broadcast_shapes((2, 1), 3, ()) == (2, 3)
    assert [tuple(x.shape) for x in jg.atleast_3d(one, r, m)] == [(1, 1, 1), (1, 4, 1), (3, 4, 1)]


def test_whole_views_and_joiners() -> None:
    whole(
        {
            "diagonal": (lambda x: x.diagonal(1, 2, 1), [CUBE]),
            "diag_embed": (lambda x: jg.diag_embed(x, -1, 0, 2), [MATRIX]),
            "windows": (lambda x: x.unfold(1, 3, 1) * 2, [MATRIX]),
            "windows apart": (lambda x: x.unfold(2, 2, 2), [CUBE]),
            "triangles": (lambda x: x.tril(1) * x.triu(-1), [MATRIX]),
            "roll": (lambda x: x.roll((1, 2), (0, 1)).rot90(), [MATRIX]),
            "block_diag": (lambda x, y: jg.block_diag(x, y), [MATRIX, ROW]),
            "repeats": (lambda x: x.repeat_interleave(2, 0), [MATRIX]),
            "sum_to_size": (lambda x: x.sum_to_size(3, 1), [CUBE]),
            "as_strided": (lambda x: jg.as_strided(x, (2, 2), (1, 2), 1), [ROW.repeat(2)]),
            "pieces": (lambda x: x.tensor_split(3, 1), [MATRIX]),
            "meshgrid": (lambda x, y: jg.meshgrid(x, y, indexing="xy"), [ROW, ROW[:3]]),
        },
        second=False,
    )


def test_whole_scattering() -> None:
    index = jg.tensor(PLACES)
    whole(
        {
            "scatter": (lambda x, s: x.scatter(1, index, s), [MATRIX, PART]),
            "mean": (lambda x, s: x.scatter_reduce(1, index, s, "mean"), [MATRIX, PART]),
            "mean of sent": (lambda x, s: x.scatter_reduce(0, index, s, "mean", include_self=False), [MATRIX, PART]),
            "amax": (lambda x, s: x.scatter_reduce(1, index, s, "amax"), [MATRIX, PART]),
            "amin of sent": (lambda x, s: x.scatter_reduce(1, index, s, "amin", include_self=False), [MATRIX, PART]),
            "prod": (lambda x, s: x.scatter_reduce(1, index, s, "prod"), [MATRIX, PART]),
            "index_copy": (lambda x, s: x.index_copy(0, jg.tensor([2, 0]), s), [MATRIX, CUBE[0, :2]]),
            "index_reduce": (lambda x, s: x.index_reduce(0, jg.tensor([2, 2]), s, "prod"), [MATRIX, CUBE[0, :2]]),
            "index_fill": (lambda x: x.index_fill(1, jg.tensor([0, -1]), 2.0), [MATRIX]),
            "put": (lambda x, s: x.put(jg.tensor([[0, -1], [5, 5]]), s, True), [MATRIX, CUBE[0, 0]]),
            "take": (lambda x: x.take(jg.tensor([[0, -1], [5, 5]])), [MATRIX]),
            "take_along_dim": (lambda x: x.take_along_dim(jg.tensor([[-1], [0], [2]]), 1), [MATRIX]),
            "masked_scatter": (lambda x, s: x.masked_scatter(jg.tensor(MASK), s), [MATRIX, CUBE]),
            "select_scatter": (lambda x, s: x.select_scatter(s, 0, 1), [MATRIX, ROW]),
            "slice_scatter": (lambda x, s: x.slice_scatter(s, 1, 0, None, 2), [MATRIX, MATRIX[:, :2]]),
            "diagonal_scatter": (lambda x, s: x.diagonal_scatter(s, 1), [MATRIX, ROW[:3]]),
            "as_strided_scatter": (lambda x, s: jg.as_strided_scatter(x, s, (2,), (3,), 1), [MATRIX, ROW[:2]]),
        },
        second=False,
    )


def test_products_with_zeros_have_the_derivatives_of_products() -> None:
    x = np.array([0.0, 2.0, 0.0])
    index = jg.tensor([0, 0, 1, 1, 2])
    src = np.array([0.0, 3.0, 4.0, 5.0, 7.0])
    whole({"prod": (lambda x, s: x.scatter_reduce(0, index, s, "prod"), [x, src])})
    same(jg.tensor([2, 3]).scatter_reduce(0, jg.tensor([0, 0]), jg.tensor([0, 5]), "prod"), [0, 3])


def test_integers_and_bools() -> None:
    x = jg.tensor([-6, -5])
    same(x.scatter_reduce(0, jg.tensor([0, 0]), jg.tensor([-3, -4]), "mean"), [-5, -5])
    same(x.scatter_reduce(0, jg.tensor([1, 1]), jg.tensor([-3, -4]), "amax", include_self=False), [-6, -3])
    same(jg.tensor([[True, True], [True, True]]).tril(), [[True, False], [True, True]])
    same(jg.tensor(3).scatter(0, jg.tensor(0), 5), 5)
    same(jg.fill(jg.tensor([1, 2]), 7.0), [7, 7])


def test_views_are_written_through() -> None:
    def change(x: Any) -> Any:
        y = x * 1
        y.diagonal(1).mul_(3)
        y.unfold(1, 2, 2)[0, 1] = 5
        y.select(0, 2).fill_(-1)
        y.unflatten(1, (2, 2))[1, 0].zero_()
        y.as_strided((3,), (4,), 3).add_(1)
        return y

    want = MATRIX.copy()
    for k in range(3):
        want[k, k + 1] *= 3
    want[0, 2:] = 5
    want[2] = -1
    want[1, :2] = 0
    want[:, 3] += 1
    same(change(jg.tensor(MATRIX)), want)
    same(jg.jit(change)(jg.tensor(MATRIX)), want)
    same(jg.vmap(change)(jg.tensor(MATRIX[None])), want[None])
    gradient = jg.grad(lambda x: (change(x) ** 2).sum())(jg.tensor(MATRIX))
    same(jg.jit(jg.grad(lambda x: (change(x) ** 2).sum()))(jg.tensor(MATRIX)), gradient.numpy())
    assert gradient[0, 2] == 0
    assert gradient[2, 0] == 0
    assert gradient[1, 2] == 18 * MATRIX[1, 2]
    with pytest.raises(RuntimeError, match="clone"):
        jg.tensor(MATRIX).unfold(1, 3, 1).zero_()


def test_in_place_forms() -> None:
    x = jg.tensor(MATRIX)
    row = x[0]
    assert x.t_() is x
    assert tuple(x.shape) == (4, 3)
    x.mul_(2)
    same(row, MATRIX[0] * 2)
    same(x.transpose_(0, 1).unsqueeze_(0).squeeze_(0), MATRIX * 2)
    same(x.tril_(), np.tril(MATRIX * 2))
    same(jg.zeros(4, 2).fill_diagonal_(1.0, wrap=True), [[1, 0], [0, 1], [0, 0], [1, 0]])
    same(jg.zeros(3).index_fill_(0, jg.tensor([-1]), 2.0), [0, 0, 2])
    same(jg.zeros(3).scatter_(0, jg.tensor([1]), 2.0), [0, 2, 0])
    same(jg.zeros(3).index_put_((jg.tensor([True, False, True]),), jg.tensor([1.0, 2.0])), [1, 0, 2])
    same(jg.zeros(3).put_(jg.tensor([1]), jg.tensor([2.0])), [0, 2, 0])

    def turned(x: Any) -> Any:
        y = x * 1
        kept = y[1]
        y.swapaxes_(0, 1)
        y[0].mul_(5)
        return (y**2).sum() + kept.sum()

    same(jg.jit(jg.grad(turned))(jg.tensor(MATRIX)), jg.grad(turned)(jg.tensor(MATRIX)).numpy())
    with pytest.raises(RuntimeError, match="leaf"):
        jg.zeros(2, 3, requires_grad=True).t_()
    with pytest.raises(jg.errors.MutatedArgumentError if hasattr(jg, "errors") else RuntimeError):
        jg.jit(lambda x: x.t_())(jg.tensor(MATRIX))


def test_copies_share_nothing() -> None:
    x = jg.tensor(MATRIX)
    made = [
        *(jg.alias_copy(x), jg.detach_copy(x), jg.view_copy(x, (12,)), jg.expand_copy(x, (2, 3, 4)), jg.permute_copy(x, (1, 0))),
        *(jg.t_copy(x), jg.transpose_copy(x, 0, 1), jg.squeeze_copy(x), jg.unsqueeze_copy(x, 0), jg.narrow_copy(x, 0, 1, 2)),
        *(jg.select_copy(x, 0, 1), jg.slice_copy(x, 1, 0, None, 2), jg.diagonal_copy(x), jg.unfold_copy(x, 1, 2, 1)),
        *(jg.as_strided_copy(x, (2, 2), (1, 2)), *jg.unbind_copy(x), *jg.split_copy(x, 2), *jg.split_with_sizes_copy(x, (1, 2))),
    ]
    for y in made:
        y.zero_()
        assert y.is_contiguous()
    same(x, MATRIX)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda x: x.diagonal(0, 1, 1), RuntimeError),
        (lambda x: x[0, 0].diagonal(), IndexError),
        (lambda x: jg.diag_embed(x[0, 0]), IndexError),
        (lambda x: jg.select_scatter(x[0, 0], x[0, 0], 0, 0), IndexError),
        (lambda x: jg.slice_scatter(x[0, 0], x[0, 0]), IndexError),
        (lambda x: jg.stack([x[0], x], 5), IndexError),
        (lambda x: jg.repeat_interleave(x[0, 0], 2, dim=1), IndexError),
        (lambda x: jg.cartesian_prod(), RuntimeError),
        (lambda x: x.unfold(0, 9, 1), RuntimeError),
        (lambda x: x.unfold(0, 1, 0), RuntimeError),
        (lambda x: jg.as_strided(x, (5, 5), (1, 9)), RuntimeError),
        (lambda x: x.unflatten(0, (2, 2)), RuntimeError),
        (lambda x: x.roll(1, (0, 1)), RuntimeError),
        (lambda x: x.rot90(1, (0, 0)), RuntimeError),
        (lambda x: x.hsplit(3), RuntimeError),
        (lambda x: x.scatter(0, jg.tensor([[9]]), x), RuntimeError),
        (lambda x: x.scatter(0, jg.tensor([[0]]), x.float()), RuntimeError),
        (lambda x: x.scatter_reduce(0, jg.tensor([[0]]), x, "max"), RuntimeError),
        (lambda x: x.index_copy(0, jg.tensor([3]), x[:1]), IndexError),
        (lambda x: x.index_fill(0, jg.tensor([3]), 0.0), IndexError),
        (lambda x: x.take(jg.tensor([12])), IndexError),
        (lambda x: x.put(jg.tensor([1, 2]), x[0]), IndexError),
        (lambda x: x.masked_scatter(x > -9, x[0]), RuntimeError),
        (lambda x: x.select_scatter(x, 0, 1), RuntimeError),
        (lambda x: jg.meshgrid(x), RuntimeError),
        (lambda x: jg.block_diag(x[None]), RuntimeError),
        (lambda x: x.repeat_interleave(-1), RuntimeError),
        (lambda x: x.sum_to_size(2), RuntimeError),
        (lambda x: jg.broadcast_shapes((2,), (3,)), RuntimeError),
        (lambda x: jg.trace(x[0]), RuntimeError),
    ],
)
def test_wrong_arguments(call: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        call(jg.tensor(MATRIX))


def test_nothing_and_numbers() -> None:
    empty = jg.zeros(0, 3)
    same(empty.diagonal(), np.zeros(0))
    same(jg.diag_embed(jg.zeros(2, 0)), np.zeros((2, 0, 0)))
    same(empty.unfold(0, 0, 1), np.zeros((1, 3, 0)))
    same(empty.tril(), np.zeros((0, 3)))
    same(jg.zeros(2, 0).roll(1, 1), np.zeros((2, 0)))
    one = jg.tensor(2.0)
    same(one.unfold(0, 1, 1), [2.0])
    same(one.index_copy(0, jg.tensor([0]), jg.tensor(3.0)), 3.0)
    same(one.scatter_reduce(0, jg.tensor(0), jg.tensor(3.0), "sum"), 5.0)
    same(one.take_along_dim(jg.tensor([0]), None), [2.0])
    same(jg.tensor([np.nan, 1.0]).scatter_reduce(0, jg.tensor([0]), jg.tensor([1.0]), "amax"), [np.nan, 1.0])


def test_repeats_that_come_later() -> None:
    def f(x: Any, counts: Any) -> Any:
        return x.repeat_interleave(counts, 0, output_size=4)

    same(jg.jit(f)(jg.tensor(MATRIX), jg.tensor([1, 0, 3])), np.repeat(MATRIX, [1, 0, 3], 0))


def test_places_of_a_number_known_beforehand() -> None:
    def f(x: Any) -> Any:
        return jg.nonzero_static(x, size=3)

    x = np.array([[0, 2, 0], [3, 0, 4]])
    for some in (x, x * 0, np.ones((2, 3), int)):
        want = np.concatenate([np.argwhere(some), np.full((3, 2), -1)])[:3]
        same(f(jg.tensor(some)), want)
        same(jg.jit(f)(jg.tensor(some)), want)
    same(jg.scalar_tensor(3), 3.0)
    assert jg.logspace(0, 2, 3).tolist() == [1.0, 10.0, 100.0]


X = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    ("call", "want"),
    [
        (lambda x: jg.gather(x, 1, jg.tensor([[2], [0]]), sparse_grad=False), [[2.0], [3.0]]),
        (lambda x: x.gather(dim=1, index=jg.tensor([[2], [0]]), sparse_grad=True), [[2.0], [3.0]]),
        (lambda x: jg.broadcast_to(x[0], size=(2, 3)), [[0.0, 1.0, 2.0]] * 2),
        (lambda x: jg.swapaxes(x, axis0=0, axis1=1), X.T.tolist()),
        (lambda x: x.swapaxes(axis0=-1, axis1=0), X.T.tolist()),
        (lambda x: jg.swapdims(x, dim0=0, dim1=1), X.T.tolist()),
        (lambda x: jg.layer_norm(x * 0, (3,), cudnn_enable=False), [[0.0] * 3] * 2),
        (lambda x: jg.group_norm(x * 0, 1, None, None, 1e-5, False), [[0.0] * 3] * 2),
    ],
)
def test_the_keywords_of_pytorch(call, want) -> None:
    assert call(jg.tensor(X)).tolist() == want


def test_a_dimension_without_elements_is_split_into_as_many_pieces():
    for pieces in (jg.zeros(0, 4).chunk(2), jg.unsafe_chunk(jg.zeros(0, 4), 2), jg.zeros(4, 0).chunk(2, 1)):
        assert [x.numel() for x in pieces] == [0, 0]
    assert [tuple(x.shape) for x in jg.zeros(0, 4).split(0)] == [(0, 4)]
    with pytest.raises(RuntimeError, match="must be positive"):
        jg.zeros(2).split(0)


def test_numbers_are_their_own_transposes_and_have_one_largest():
    x = jg.tensor(2j)
    assert x.mT.item() == 2j
    assert x.mH.item() == -2j
    for k in (0, 1):
        assert jg.vmap(lambda t, k=k: t.topk(k).values)(jg.arange(2.0)).tolist() == [0.0, 1.0]
