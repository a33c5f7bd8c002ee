"""Losses, by brute force and by formulas."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
from scipy import special

import jitgrad as jg
from jitgrad.nn import functional as f
from jitgrad.testing import gradcheck
from tests.helpers.whole import whole

rng = np.random.default_rng(5)
X = rng.normal(size=(3, 4)) * 2
T = jg.tensor


def close(found, want, rtol=1e-12) -> None:
    np.testing.assert_allclose(np.asarray(found.detach().numpy()), want, rtol=rtol, atol=1e-15)


# Losses.

Y = rng.normal(size=(3, 4))
P, Q = special.softmax(X, 1), special.softmax(Y, 1)
CLASSES, SIGNS = np.array([2, 0, 3]), np.array([1.0, -1.0, 1.0])
LOSSES = {
    "l1": (f.l1_loss, [X, Y], lambda x, y: abs(x - y)),
    "mse": (f.mse_loss, [X, Y], lambda x, y: (x - y) ** 2),
    "smooth l1": (
        lambda x, y, **k: f.smooth_l1_loss(x, y, beta=0.5, **k),
        [X, Y],
        lambda x, y: np.where(abs(x - y) < 0.5, (x - y) ** 2, abs(x - y) - 0.25),
    ),
    "huber": (
        lambda x, y, **k: f.huber_loss(x, y, delta=0.5, **k),
        [X, Y],
        lambda x, y: np.where(abs(x - y) < 0.5, (x - y) ** 2 / 2, 0.5 * (abs(x - y) - 0.25)),
    ),
    "cross entropy of bits": (f.binary_cross_entropy, [P, Q], lambda p, q: -q * np.log(p) - (1 - q) * np.log1p(-p)),
    "logits": (
        lambda x, q, **k: f.binary_cross_entropy_with_logits(x, q, pos_weight=T([2.0, 1.0, 0.5, 3.0], dtype=jg.float64), **k),
        [X, Q],
        lambda x, q: -q * np.array([2.0, 1.0, 0.5, 3.0]) * special.log_expit(x) - (1 - q) * special.log_expit(-x),
    ),
    "divergence": (f.kl_div, [np.log(P), Q], lambda x, q: q * (np.log(q) - x)),
    "divergence of logarithms": (
        lambda x, y, **k: f.kl_div(x, y, log_target=True, **k),
        [np.log(P), np.log(Q)],
        lambda x, y: np.exp(y) * (y - x),
    ),
    "poisson": (f.poisson_nll_loss, [X, Q], lambda x, t: np.exp(x) - t * x),
    "poisson of rates": (
        lambda x, t, **k: f.poisson_nll_loss(x, t, log_input=False, full=True, **k),
        [P, Q * 5],
        lambda x, t: x - t * np.log(x + 1e-8) + np.where(t > 1, t * np.log(t) - t + 0.5 * np.log(2 * math.pi * t), 0),
    ),
    "gaussian": (
        lambda x, t, v, **k: f.gaussian_nll_loss(x, t, v, full=True, **k),
        [X, Y, P],
        lambda x, t, v: 0.5 * (np.log(2 * math.pi * v) + (x - t) ** 2 / v),
    ),
    "soft margin": (f.soft_margin_loss, [X[:, 0], SIGNS], lambda x, t: np.logaddexp(0, -t * x)),
    "hinge": (f.hinge_embedding_loss, [X[:, 0], SIGNS], lambda x, t: np.where(t == 1, x, np.maximum(0, 1 - x))),
    "ranking": (
        lambda x, y, t, **k: f.margin_ranking_loss(x, y, t, margin=0.5, **k),
        [X[:, 0], Y[:, 0], SIGNS],
        lambda x, y, t: np.maximum(0, 0.5 - t * (x - y)),
    ),
    "angles": (
        lambda x, y, t, **k: f.cosine_embedding_loss(x, y, t, margin=0.1, **k),
        [X, Y, SIGNS],
        lambda x, y, t: np.where(t == 1, 1 - _cosines(x, y), np.maximum(0, _cosines(x, y) - 0.1)),
    ),
    "triplets": (
        lambda x, y, z, **k: f.triplet_margin_loss(x, y, z, swap=True, **k),
        [X, Y, X[::-1] - 1],
        lambda x, y, z: np.maximum(0, 1 + _apart(x, y) - np.minimum(_apart(x, z), _apart(y, z))),
    ),
    "margins": (
        lambda x, t, **k: f.multi_margin_loss(x, t, p=2, weight=T([1.0, 2.0, 0.5, 3.0], dtype=jg.float64), **k),
        [X, CLASSES],
        lambda x, t: np.array(
            [
                sum(max(0, 1 - x[n, t[n]] + x[n, j]) ** 2 for j in range(4) if j != t[n]) * [1.0, 2.0, 0.5, 3.0][t[n]] / 4
                for n in range(3)
            ]
        ),
    ),
    "labels": (
        f.multilabel_soft_margin_loss,
        [X, Q],
        lambda x, t: -(t * special.log_expit(x) + (1 - t) * special.log_expit(-x)).mean(1),
    ),
}


def _cosines(x, y):
    return (x * y).sum(1) / np.sqrt((x * x).sum(1) * (y * y).sum(1))


def _apart(x, y):
    return np.sqrt(((x - y + 1e-6) ** 2).sum(1))


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name) -> None:
    loss, arrays, oracle = LOSSES[name]
    tensors, want = [T(a) for a in arrays], oracle(*arrays)
    close(loss(*tensors, reduction="none"), want, 1e-10)
    close(loss(*tensors, reduction="sum"), want.sum(), 1e-10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        close(loss(*tensors), want.mean(), 1e-10)
        if name not in ("huber", "gaussian"):
            close(loss(*tensors, size_average=False), want.sum(), 1e-10)
            close(loss(*tensors, reduce=False), want, 1e-10)
    with pytest.raises(ValueError, match="reduction"):
        loss(*tensors, reduction="most")


def test_losses_are_whole() -> None:
    whole({name: (lambda *x, loss=loss: loss(*x, reduction="sum"), arrays) for name, (loss, arrays, _) in LOSSES.items()})


def _entropies(x, target, weight, ignored, smoothing):
    """Losses and weights of samples, one by one."""
    logs, count, found, weights = special.log_softmax(x, 1), x.shape[1], [], []
    for n, c in enumerate(target):
        share = np.full(count, smoothing / count)
        share[c] += 1 - smoothing
        found.append(-(weight * share * logs[n]).sum() if c != ignored else 0.0)
        weights.append(weight[c] if c != ignored else 0.0)
    return np.array(found), sum(weights)


@pytest.mark.parametrize(("weighed", "ignored", "smoothing"), [*itertools.product([False, True], [-100, 2], [0.0, 0.3])])
def test_cross_entropy(weighed, ignored, smoothing) -> None:
    weight = np.array([0.5, 1.5, 2.0, 1.0]) if weighed else np.ones(4)
    want, total = _entropies(X, CLASSES, weight, ignored, smoothing)
    given = {"weight": T(weight) if weighed else None, "ignore_index": ignored, "label_smoothing": smoothing}
    x, classes = T(X), T(CLASSES)
    close(f.cross_entropy(x, classes, reduction="none", **given), want)
    close(f.cross_entropy(x, classes, reduction="sum", **given), want.sum())
    close(f.cross_entropy(x, classes, **given), want.sum() / total)
    pictures = f.cross_entropy(x.reshape(1, 3, 4).mT, classes[None], **given)
    close(pictures, want.sum() / total)
    if not smoothing:
        given.pop("label_smoothing")
        close(f.nll_loss(f.log_softmax(x, 1), classes, **given), want.sum() / total)
    whole(
        {
            "loss": (
                lambda x, c: f.cross_entropy(x, c, weight=T(weight), ignore_index=ignored, label_smoothing=smoothing),
                [X, CLASSES],
            )
        }
    )


def test_cross_entropy_of_probabilities() -> None:
    weight = np.array([0.5, 1.5, 2.0, 1.0])
    share = Q * 0.8 + 0.2 / 4
    want = -(weight * share * special.log_softmax(X, 1)).sum(1)
    given = {"weight": T(weight), "label_smoothing": 0.2}
    close(f.cross_entropy(T(X), T(Q), reduction="none", **given), want)
    close(f.cross_entropy(T(X), T(Q), **given), want.mean())
    close(f.linear_cross_entropy(T(Y), T(X[:, :4]), T(CLASSES % 3)), f.cross_entropy(T(Y @ X[:, :4].T), T(CLASSES % 3)).item())
    with pytest.raises(RuntimeError, match="floats"):
        f.cross_entropy(T(X), T(X).long())
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        f.cross_entropy(T(X), T(CLASSES), label_smoothing=1.5)
    with pytest.raises(RuntimeError, match="weight has a number"):
        f.nll_loss(T(X), T(CLASSES), T([1.0], dtype=jg.float64))
    assert math.isnan(f.nll_loss(T(X), T([2, 2, 2]), ignore_index=2).item())


def test_labels_up_to_the_first_that_is_negative() -> None:
    labels = np.array([[3, 0, -1, 1], [1, -1, -1, -1], [-1, 0, 1, 2]])
    want = []
    for x, row in zip(X, labels):
        named = list(itertools.takewhile(lambda c: c >= 0, row))
        want.append(sum(max(0, 1 - x[c] + x[j]) for c in named for j in range(4) if j not in named) / 4)
    close(f.multilabel_margin_loss(T(X), T(labels), reduction="none"), want)
    whole({"labels": (f.multilabel_margin_loss, [X, labels])})


def test_old_arguments_and_shapes_that_differ_warn() -> None:
    x, y = T(X), T(Y)
    with pytest.warns(UserWarning, match="reduction='sum'"):
        f.l1_loss(x, y, size_average=False)
    with pytest.warns(UserWarning, match="broadcast"):
        close(f.mse_loss(x, y[:, :1]), ((X - Y[:, :1]) ** 2).mean())
    with pytest.warns(UserWarning, match="batchmean"):
        f.kl_div(x, y)
    close(f.kl_div(T(np.log(P)), T(Q), reduction="batchmean"), (Q * np.log(Q / P)).sum() / 3)
    weight = T(P)
    close(f.mse_loss(x, y, weight=weight), (P * (X - Y) ** 2).sum() / P.sum())
    for call in (
        lambda: f.huber_loss(x, y, delta=0.0),
        lambda: f.smooth_l1_loss(x, y, beta=-1.0),
        lambda: f.margin_ranking_loss(x, y, x[0]),
        lambda: f.cosine_embedding_loss(x, y, x),
        lambda: f.multilabel_margin_loss(x, T(CLASSES)),
    ):
        with pytest.raises(RuntimeError):
            call()
    for call in (
        lambda: f.triplet_margin_loss(x, y, y, margin=0.0),
        lambda: f.gaussian_nll_loss(x, y, -x.abs()),
        lambda: f.multi_margin_loss(x, T(CLASSES), p=3),
        lambda: f.mse_loss(x, y, weight=x[0]),
    ):
        with pytest.raises(ValueError, match="_loss: "):
            call()


# Sequences.


def _collapsed(path, blank):
    return tuple(c for c, _ in itertools.groupby(path) if c != blank)


def test_ctc_loss() -> None:
    logs = special.log_softmax(rng.normal(size=(4, 3, 3)), 2)
    targets, spans, sizes = np.array([[1, 2], [1, 1], [2, 0]]), (4, 3, 2), (2, 2, 1)
    want = []
    for n in range(3):
        goal = tuple(targets[n, : sizes[n]])
        paths = [p for p in itertools.product(range(3), repeat=spans[n]) if _collapsed(p, 0) == goal]
        want.append(-special.logsumexp([sum(logs[t, n, c] for t, c in enumerate(p)) for p in paths]))
    close(f.ctc_loss(T(logs), T(targets), spans, sizes, reduction="none"), want)
    close(f.ctc_loss(T(logs), T(np.array([1, 2, 1, 1, 2])), T(spans), T(sizes), reduction="sum"), sum(want))
    close(f.ctc_loss(T(logs), T(targets), spans, sizes), np.mean(np.array(want) / sizes))
    never = f.ctc_loss(T(logs), T(targets), (2, 2, 2), sizes, reduction="none")
    assert never.isinf().tolist() == [False, True, False]
    x = T(logs).requires_grad_()
    f.ctc_loss(x, T(targets), (2, 2, 2), sizes, zero_infinity=True).backward()
    assert (x.grad[:, 1] == 0).all()
    loss = lambda x, targets: f.ctc_loss(x.log_softmax(2), targets, spans, sizes)
    whole({"ctc": (loss, [logs[:, :, :], targets])}, mapped=False)
    with pytest.raises(RuntimeError, match="target_lengths has 2"):
        f.ctc_loss(T(logs), T(targets), spans, (1, 2))


@pytest.mark.parametrize(
    ("targets", "sizes", "said"),
    [
        ([1, 2, 1, 2], (4, 4), "add up to 8"),
        ([1, 2, 1, 2], (2, 3), "add up to 5"),
        ([1, 2, 1, 2], (2, 1), "add up to 3"),
        ([[1, 2], [2, 1]], (3, 1), "at most 2"),
        ([[1, 2]], (2, 1), "a row for each of 2"),
        ([[[1, 2]]], (2, 1), "one dimension"),
    ],
)
def test_targets_of_ctc_loss_are_as_many_as_their_lengths_say(targets, sizes, said) -> None:
    logs = T(rng.normal(size=(9, 2, 3))).log_softmax(2)
    loss = lambda x: f.ctc_loss(x, T(targets), (9, 9), sizes)
    for call in (loss, jg.jit(loss)):
        with pytest.raises(RuntimeError, match=said):
            call(logs)


def test_lengths_that_jit_learns_later_name_no_label_beyond_the_last() -> None:
    loss = jg.jit(lambda x, targets, sizes: f.ctc_loss(x, targets, (9, 9), sizes))
    logs, targets = T(rng.normal(size=(9, 2, 3))).log_softmax(2), T([1, 2, 1, 2])
    close(loss(logs, targets, T([3, 1])), f.ctc_loss(logs, targets, (9, 9), (3, 1)).numpy())
    with pytest.raises(IndexError, match="out of"):
        loss(logs, targets, T([4, 4]))


def test_gradients_pass_bounds_as_in_pytorch() -> None:
    var = T([0.0, 2.0], dtype=jg.float64)
    slopes = jg.grad(lambda v: f.gaussian_nll_loss(jg.zeros(2), jg.zeros(2), v, eps=0.5, reduction="sum"))(var)
    close(slopes, [1.0, 0.25])
    gradcheck(lambda x: f.cosine_similarity(x, T(Y)), T(X))


def test_losses_at_the_top_take_reductions_as_numbers() -> None:
    x, y, signs = T(X[:, 0]), T(Y[:, 0]), T(SIGNS)
    close(jg.hinge_embedding_loss(x, signs, 0.5, 2), f.hinge_embedding_loss(x, signs, 0.5, reduction="sum").item())
    close(jg.margin_ranking_loss(x, y, signs, reduction=1), f.margin_ranking_loss(x, y, signs).item())
    assert jg.margin_ranking_loss(T(X), x[:, None], signs[:, None]).shape == X.shape
    close(jg.cosine_embedding_loss(T(X), T(Y), signs, 0.1, 0), f.cosine_embedding_loss(T(X), T(Y), signs, 0.1, reduction="none"))
    close(
        jg.triplet_margin_loss(T(X), T(Y), T(Y) + 1, reduction=2),
        f.triplet_margin_loss(T(X), T(Y), T(Y) + 1, reduction="sum").item(),
    )
    close(jg.poisson_nll_loss(x, y.abs(), True, True, 1e-8, 1), f.poisson_nll_loss(x, y.abs(), full=True).item())
    close(jg.kl_div(T(np.log(P)), T(Q)), Q * np.log(Q / P))
    logits = f.binary_cross_entropy_with_logits(x, y.sigmoid(), pos_weight=T(np.array(2.0)))
    close(jg.binary_cross_entropy_with_logits(x, y.sigmoid(), None, T(np.array(2.0)), 1), logits.item())
    logs = T(special.log_softmax(rng.normal(size=(4, 1, 3)), 2))
    close(jg.ctc_loss(logs, T([[1, 2]]), (4,), (2,), 0, 2), f.ctc_loss(logs, T([[1, 2]]), (4,), (2,), reduction="sum").item())
    with pytest.raises(ValueError, match="0 for none"):
        jg.kl_div(x, y, 3)
