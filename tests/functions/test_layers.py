"""Normalisation, layers, tables, distances, dropout and attention."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import special

import jitgrad as jg
from jitgrad.errors import TracedValueError
from jitgrad.nn import functional as f
from tests.helpers.whole import whole

rng = np.random.default_rng(5)
X = rng.normal(size=(3, 4)) * 2
Y = rng.normal(size=(3, 4))
T = jg.tensor


def close(found, want, rtol=1e-12) -> None:
    np.testing.assert_allclose(np.asarray(found.detach().numpy()), want, rtol=rtol, atol=1e-15)


# Normalisation.


def _normal(x, dims, eps=1e-5):
    return (x - x.mean(dims, keepdims=True)) / np.sqrt(x.var(dims, keepdims=True) + eps)


V = rng.normal(size=(2, 4, 3)) * 3 + 1
W, B = rng.normal(size=4), rng.normal(size=4)


def test_normalisation() -> None:
    along = (4, 1)
    w, b = W.reshape(along), B.reshape(along)
    x = T(V)
    close(f.layer_norm(x, (4, 3)), _normal(V, (1, 2)), 1e-11)
    close(f.layer_norm(x, [3], T(W[:3]), T(B[:3]), 0.1), _normal(V, (2,), 0.1) * W[:3] + B[:3], 1e-11)
    close(f.rms_norm(x, (3,), T(W[:3]), 0.1), V / np.sqrt((V**2).mean(2, keepdims=True) + 0.1) * W[:3], 1e-11)
    close(f.group_norm(x, 2, T(W), T(B)), _normal(V.reshape(2, 2, 6), (2,)).reshape(V.shape) * w + b, 1e-11)
    close(f.instance_norm(x, weight=T(W), bias=T(B)), _normal(V, (2,)) * w + b, 1e-11)
    close(f.batch_norm(x, None, None, T(W), T(B), True), _normal(V, (0, 2)) * w + b, 1e-11)
    close(f.normalize(x, 3.0, 1), V / (abs(V) ** 3).sum(1, keepdims=True) ** (1 / 3), 1e-11)
    squares = np.pad(V**2, ((0, 0), (1, 1), (0, 0)))
    means = (squares[:, :-2] + squares[:, 1:-1] + squares[:, 2:]) / 3
    close(f.local_response_norm(x, 3, 0.1, 0.5, 2.0), V / (2 + 0.1 * means) ** 0.5, 1e-11)
    assert f.layer_norm(x.half(), (3,)).dtype is jg.float16


def test_running_statistics() -> None:
    mean, var = jg.zeros(4, dtype=jg.float64), jg.ones(4, dtype=jg.float64)
    f.batch_norm(T(V), mean, var, training=True, momentum=0.25)
    close(mean, 0.25 * V.mean((0, 2)))
    close(var, 0.75 + 0.25 * V.var((0, 2), ddof=1))
    close(
        f.batch_norm(T(V), mean, var, T(W), T(B)),
        (V - mean.numpy()[:, None]) / np.sqrt(var.numpy()[:, None] + 1e-5) * W[:, None] + B[:, None],
        1e-11,
    )
    mean, var = jg.zeros(4, dtype=jg.float64), jg.ones(4, dtype=jg.float64)
    f.instance_norm(T(V).requires_grad_(), mean, var, momentum=0.5)
    close(mean, 0.5 * V.mean(2).mean(0))
    close(var, 0.5 + 0.5 * V.var(2, ddof=1).mean(0))
    assert not mean.requires_grad


def test_normalisation_is_whole() -> None:
    whole(
        {
            "layer": (lambda x, w, b: f.layer_norm(x, (3,), w, b), [V, W[:3], B[:3]]),
            "rms": (lambda x, w: f.rms_norm(x, (3,), w), [V, W[:3]]),
            "group": (lambda x, w, b: f.group_norm(x, 2, w, b), [V, W, B]),
            "instance": (lambda x, w: f.instance_norm(x, weight=w), [V, W]),
            "batch": (lambda x, w, b: f.batch_norm(x, None, None, w, b, True), [V, W, B]),
            "eval": (lambda x, m, v: f.batch_norm(x, m, v), [V, W, B**2 + 1]),
            "unit": (f.normalize, [V]),
            "neighbours": (lambda x: f.local_response_norm(x, 2, 0.1), [V]),
        }
    )


def test_normalisation_of_what_does_not_fit() -> None:
    x = T(V)
    for call, error in (
        (lambda: f.layer_norm(x, (4,)), RuntimeError),
        (lambda: f.layer_norm(x, (3,), T(W)), RuntimeError),
        (lambda: f.layer_norm(x, ()), RuntimeError),
        (lambda: f.group_norm(x, 3), RuntimeError),
        (lambda: f.batch_norm(x, None, None), RuntimeError),
        (lambda: f.batch_norm(x, T(W[:3]), T(W)), RuntimeError),
        (lambda: f.batch_norm(x[:1, :, :1], None, None, training=True), ValueError),
        (lambda: f.instance_norm(x[:, :, :1]), ValueError),
        (lambda: f.local_response_norm(x[0], 2), ValueError),
    ):
        with pytest.raises(error):
            call()


# Layers, tables, distances.

TABLE, PLACES = rng.normal(size=(5, 3)), np.array([[1, 4, 1], [0, 3, 3]])


def test_layers_and_distances_are_whole() -> None:
    whole(
        {
            "linear": (f.linear, [V, rng.normal(size=(2, 3)), B[:2]]),
            "linear of one": (f.linear, [V, W[:3]]),
            "bilinear": (f.bilinear, [X, Y[:, :2], rng.normal(size=(5, 4, 2)), rng.normal(size=5)]),
            "cosine": (f.cosine_similarity, [V, V[::-1] + 1]),
            "distance": (lambda x, y: f.pairwise_distance(x, y, 3.0), [X, Y]),
            "pairs": (f.pdist, [X]),
            "embedding": (lambda i, w: f.embedding(i, w), [PLACES, TABLE]),
            "bags": (lambda i, w: f.embedding_bag(i, w), [PLACES, TABLE]),
            "largest": (lambda i, w: f.embedding_bag(i, w, mode="max"), [PLACES, TABLE]),
        }
    )


def test_layers_and_distances() -> None:
    matrix = rng.normal(size=(5, 4, 2))
    close(f.bilinear(T(X), T(Y[:, :2]), T(matrix)), np.einsum("bi,oij,bj->bo", X, matrix, Y[:, :2]), 1e-11)
    close(f.cosine_similarity(T(X), T(Y)), (X * Y).sum(1) / np.sqrt((X * X).sum(1) * (Y * Y).sum(1)), 1e-11)
    close(f.cosine_similarity(T(X), T(X) * 0), np.zeros(3))
    close(f.pdist(T(X), 1.0), [abs(X[i] - X[j]).sum() for i, j in itertools.combinations(range(3), 2)])
    close(f.pairwise_distance(T(X), T(Y), keepdim=True), np.linalg.norm(X - Y + 1e-6, axis=1, keepdims=True))
    assert f.pdist(T(X[:1])).tolist() == []
    for call in (
        lambda: f.linear(T(X), T(Y[:, :3])),
        lambda: f.bilinear(T(X), T(Y[:2]), T(matrix)),
        lambda: f.pdist(T(X[0])),
        lambda: f.cosine_similarity(T([1, 2]), T([1, 2]), 0),
    ):
        with pytest.raises(RuntimeError):
            call()


def test_one_hot() -> None:
    assert f.one_hot(T([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert jg.jit(lambda x: f.one_hot(x, 3))(T([[2], [1]])).tolist() == [[[0, 0, 1]], [[0, 1, 0]]]
    assert f.one_hot(T(1), 2).dtype is jg.int64
    with pytest.raises(TracedValueError):
        jg.jit(f.one_hot)(T([1]))
    for bad in (
        lambda: f.one_hot(T([3]), 3),
        lambda: f.one_hot(T([-1])),
        lambda: f.one_hot(T([1.0])),
        lambda: f.one_hot(T([1]), 0),
    ):
        with pytest.raises(RuntimeError):
            bad()


def test_gradients_of_tables() -> None:
    def slope(**given):
        return jg.grad(lambda w: f.embedding(T(PLACES), w, **given).sum())(T(TABLE))[:, 0].tolist()

    assert slope() == [1, 2, 0, 2, 1]
    assert slope(padding_idx=-2) == [1, 2, 0, 0, 1]
    assert slope(scale_grad_by_freq=True) == [1, 1, 0, 1, 1]
    weight = T(TABLE * 3).requires_grad_()
    found = f.embedding(T(PLACES), weight, max_norm=1.0)
    assert f.embedding(T([0, 1, 3, 4]), weight).norm(dim=1).max().item() <= 1
    close(found, weight.detach().numpy()[PLACES])
    close(weight[2], TABLE[2] * 3)
    with pytest.raises(IndexError):
        f.embedding(T([5]), weight)
    with pytest.raises(AssertionError):
        f.embedding(T([0]), weight, padding_idx=5)


def test_bags() -> None:
    flat, offsets = PLACES.ravel(), np.array([0, 2, 2])
    bags = [flat[:2], flat[:0], flat[2:]]
    table = T(TABLE)
    for mode, of in (("sum", np.sum), ("mean", np.mean), ("max", np.max)):
        want = [of(TABLE[bag], 0) if bag.size else np.zeros(3) for bag in bags]
        close(f.embedding_bag(T(flat), table, T(offsets), mode=mode), want)
        ended = T(np.append(offsets, 6))
        close(f.embedding_bag(T(flat), table, ended, mode=mode, include_last_offset=True), want)
        close(jg.jit(lambda i, w, o, mode=mode: f.embedding_bag(i, w, o, mode=mode))(T(flat), table, T(offsets)), want)
    factors = rng.normal(size=PLACES.shape)
    found = f.embedding_bag(T(PLACES), table, mode="sum", per_sample_weights=T(factors))
    close(found, np.einsum("nk,nkd->nd", factors, TABLE[PLACES]), 1e-11)
    close(f.embedding_bag(T(PLACES), table, padding_idx=3), [TABLE[[1, 4, 1]].mean(0), TABLE[0]])
    for call, error in (
        (lambda: f.embedding_bag(T(flat), table), ValueError),
        (lambda: f.embedding_bag(T(PLACES), table, T(offsets)), ValueError),
        (lambda: f.embedding_bag(T(PLACES), table, per_sample_weights=T(factors)), NotImplementedError),
        (lambda: f.embedding_bag(T(PLACES), table, mode="most"), ValueError),
    ):
        with pytest.raises(error):
            call()


# Chance.


def test_dropout() -> None:
    jg.manual_seed(1)
    x = jg.ones(200, 50, dtype=jg.float64).requires_grad_()
    out = f.dropout(x, 0.25)
    assert set(out.detach().numpy().ravel()) == {0.0, 1 / 0.75}
    assert out.detach().mean().item() == pytest.approx(1, abs=0.03)
    out.sum().backward()
    assert jg.equal(x.grad, out.detach())
    assert f.dropout(x, 0.25, training=False) is x
    assert f.dropout(x, 0.0).tolist() == x.tolist()
    assert f.dropout(x, 1.0).sum().item() == 0
    channels = f.dropout2d(jg.ones(20, 30, 2, 2), 0.5)
    assert ((channels == channels[:, :, :1, :1]).all()).item()
    assert 0 < (channels == 0).double().mean().item() < 1
    assert tuple(f.dropout1d(jg.ones(3, 4)).shape) == (3, 4)
    assert tuple(f.dropout3d(jg.ones(2, 3, 4, 5)).shape) == (2, 3, 4, 5)
    y = jg.ones(50)
    assert f.dropout(y, 0.5, inplace=True) is y
    assert 0 in y.tolist()


def test_dropout_that_keeps_mean_and_variance() -> None:
    jg.manual_seed(2)
    x = jg.randn(400, 100, dtype=jg.float64)
    for function in (f.alpha_dropout, f.feature_alpha_dropout):
        out = function(x, 0.3, True)
        assert out.mean().item() == pytest.approx(0, abs=0.02)
        assert out.var().item() == pytest.approx(1, abs=0.03)
        assert function(x, 0.3) is x
    out = f.feature_alpha_dropout(x.reshape(400, 50, 2), 0.5, True)
    assert len(np.unique(out.numpy().round(9)[out.numpy()[:, :, 0] == out.numpy()[:, :, 1]])) == 1


def test_where_chance_cannot_be() -> None:
    x = jg.ones(4, 4)
    with pytest.raises(TracedValueError, match="random"):
        jg.jit(f.dropout)(x)
    jg.jit(lambda x: f.dropout(x, 0.5, training=False) + f.dropout(x, 0.0))(x)
    drawn = jg.vmap(f.dropout, randomness="different")(jg.ones(8, 100))
    assert not jg.equal(drawn[0], drawn[1])
    for p in (-0.1, 1.1):
        with pytest.raises(ValueError, match="probability"):
            f.dropout(x, p)
    with pytest.warns(UserWarning, match="dropout2d"):
        f.dropout2d(x)
    with pytest.raises(RuntimeError, match="dropout1d"):
        f.dropout1d(jg.ones(2))


# Attention.

K1, V1 = rng.normal(size=(2, 5, 4)), rng.normal(size=(2, 5, 3))
Q1 = rng.normal(size=(2, 3, 4))


def _attention(q, k, v, mask=None, scale=0.5):
    scores = q @ np.swapaxes(k, -1, -2) * scale
    with np.errstate(all="ignore"):
        shares = special.softmax(scores if mask is None else np.where(mask, scores, -np.inf), -1)
    return np.nan_to_num(shares) @ v


def test_attention() -> None:
    q, k, v = T(Q1), T(K1), T(V1)
    mask = rng.random((3, 5)) > 0.4
    mask[1] = False
    attend = f.scaled_dot_product_attention
    close(attend(q, k, v), _attention(Q1, K1, V1), 1e-11)
    close(attend(q, k, v, T(mask), scale=0.3), _attention(Q1, K1, V1, mask, 0.3), 1e-11)
    close(attend(q, k, v, is_causal=True), _attention(Q1, K1, V1, np.tri(3, 5, dtype=bool)), 1e-11)
    shared = attend(T(np.concatenate([Q1, Q1 + 1])), k, v, enable_gqa=True)
    close(shared, _attention(np.concatenate([Q1, Q1 + 1]), np.repeat(K1, 2, 0), np.repeat(V1, 2, 0)), 1e-11)
    for call in (
        lambda: attend(q, k, v, T(mask), is_causal=True),
        lambda: attend(q, k, v.float()),
        lambda: attend(q, k, v, T(mask).long()),
        lambda: attend(q[:1], k, v, enable_gqa=True),
    ):
        with pytest.raises(RuntimeError):
            call()


def test_attention_of_several_heads() -> None:
    x, weight, bias = rng.normal(size=(3, 2, 4)), rng.normal(size=(12, 4)), rng.normal(size=12)
    out, after = rng.normal(size=(4, 4)), rng.normal(size=4)
    padded = np.array([[False, False, True], [False, True, False]])

    def attend(x, w, b, o, a, **given):
        return f.multi_head_attention_forward(x, x, x, 4, 2, w, b, None, None, False, 0.0, o, a, **given)

    tensors = [T(a) for a in (x, weight, bias, out, after)]
    found, shares = attend(*tensors, key_padding_mask=T(padded))
    q, k, v = np.moveaxis((x @ weight.T + bias).reshape(3, 2, 3, 2, 2), 2, 0)
    q, k, v = (np.moveaxis(a, 0, 2) for a in (q, k, v))
    heads = _attention(q, k, v, ~padded[:, None, None, :], math.sqrt(0.5))
    close(found, np.moveaxis(heads, 2, 0).reshape(3, 2, 4) @ out.T + after, 1e-11)
    assert tuple(shares.shape) == (2, 3, 3)
    close(shares.sum(2), np.ones((2, 3)))
    single, none = attend(tensors[0][:, 0], *tensors[1:], need_weights=False)
    assert none is None
    assert tuple(single.shape) == (3, 4)
    whole(
        {
            "heads": (lambda *given: attend(*given)[0], [x, weight, bias, out, after]),
            "attention": (lambda q, k, v: f.scaled_dot_product_attention(q, k, v, is_causal=True), [Q1, K1, V1]),
        }
    )
    with pytest.raises(AssertionError):
        f.multi_head_attention_forward(*tensors[:1] * 3, 5, 2, *tensors[1:3], None, None, False, 0.0, *tensors[3:])


def test_at_the_top_with_other_arguments() -> None:
    x, mean, var = T(V), jg.zeros(4, dtype=jg.float64), jg.ones(4, dtype=jg.float64)
    close(jg.batch_norm(x, T(W), T(B), mean, var, True, 0.1, 1e-5, False), f.batch_norm(x, None, None, T(W), T(B), True).numpy())
    assert mean.tolist() == pytest.approx((0.1 * V.mean((0, 2))).tolist())
    close(jg.instance_norm(x, T(W), None, None, None, True, 0.1, 1e-5, False), f.instance_norm(x, weight=T(W)).numpy())
    close(jg.embedding(T(TABLE), T(PLACES)), TABLE[PLACES])
    ones = jg.ones(20, 30, 2)
    for function in (jg.dropout, jg.alpha_dropout, jg.feature_dropout, jg.feature_alpha_dropout):
        assert jg.equal(function(ones, 0.5, False), ones)
        assert len(np.unique(function(ones, 0.5, True).numpy().round(5))) == 2
    for function in (jg.dropout_, jg.alpha_dropout_, jg.feature_dropout_, jg.feature_alpha_dropout_):
        y = jg.ones(20, 30)
        assert function(y, 0.5, True) is y
        assert not jg.equal(y, jg.ones(20, 30))


@pytest.mark.parametrize("norm", [f.batch_norm, f.instance_norm])
def test_running_statistics_come_in_pairs(norm) -> None:
    for given in ({"running_mean": jg.zeros(3), "running_var": None}, {"running_mean": None, "running_var": jg.ones(3)}):
        with pytest.raises(ValueError, match="both of running_mean and running_var, or neither"):
            norm(jg.ones(2, 3, 4), **given)
