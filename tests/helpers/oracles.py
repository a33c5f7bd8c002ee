"""What rows compute, said another way: the functions that their oracles name, beside NumPy's and SciPy's."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.special
import scipy.stats
from scipy.special import iv, ive  # noqa: F401  oracles name these

from jitgrad.ops.indexing import filled


def _sign(x: Any) -> Any:
    return x if np.asarray(x).dtype == np.bool_ else np.sign(x)


def _put(x: Any, value: Any, *arrays: Any, index: tuple) -> Any:
    x[filled(index, arrays)] = value
    return x


def _scattered(x: Any, index: Any, src: Any, dim: int) -> Any:
    for place in np.ndindex(index.shape):
        x[(*place[:dim], index[place], *place[dim + 1 :])] += src[place]
    return x


def _sorted(x: Any, dim: int, descending: bool) -> Any:
    order = np.argsort(-x.astype(float) if descending else x, dim, kind="stable")
    return np.take_along_axis(x, order, dim), order


def _overlapped(x: Any, length: int, dim: int, step: int, dilation: int) -> Any:
    """Each element of each window, one at a time."""
    out = np.zeros((*x.shape[:dim], length, *x.shape[dim + 1 : -1]), x.dtype)
    for i in range(x.shape[dim]):
        for k in range(x.shape[-1]):
            out[(slice(None),) * dim + (i * step + k * dilation,)] += x[(slice(None),) * dim + (i, ..., k)]
    return out


def _kept(place: int, keepdim: bool) -> Any:
    return [place] if keepdim else place


def _kth(x: Any, k: int, dim: int, keepdim: bool) -> Any:
    """The k-th in order, and the first place of it."""
    value = np.take(np.sort(x, dim), [k - 1], dim)
    found = value, np.argmax(x == value, dim, keepdims=True)
    return found if keepdim else tuple([np.squeeze(part, dim) for part in found])


def _modes(x: Any, dim: int, keepdim: bool) -> Any:
    """The most frequent elements, the smallest of several, and their last places."""
    lines = np.moveaxis(x, dim, -1)
    counts = (lines[..., None] == lines[..., None, :]).sum(-1)
    best = np.where(counts == counts.max(-1, keepdims=True), lines.astype(float), np.inf).min(-1, keepdims=True)
    places = np.where(lines.astype(float) == best, np.arange(lines.shape[-1]), -1).max(-1, keepdims=True)
    found = [np.moveaxis(v, -1, dim) for v in (best.astype(x.dtype), places)]
    return found if keepdim else [v.squeeze(dim) for v in found]


def _pulled_back(x: Any, y: Any) -> Any:
    """The symmetric cotangent of what has the Cholesky factor x with the cotangent y, by inverses."""
    inverse, inner = np.linalg.inv(np.tril(x)), np.swapaxes(np.tril(x), -1, -2) @ np.tril(y)
    half = np.tril(inner) - np.tril(np.triu(inner)) / 2
    found = np.swapaxes(inverse, -1, -2) @ half @ inverse
    return (found + np.swapaxes(found, -1, -2)) / 2


def _running_places(extreme: Any, x: Any, dim: int) -> Any:
    """Where the extremes of the first ones are, the last of equal ones."""
    lines = np.moveaxis(x, dim, -1)
    found = np.zeros(lines.shape, int)
    for p in np.ndindex(lines.shape):
        first = lines[p[:-1]][: p[-1] + 1]
        found[p] = np.flatnonzero(first == extreme(first))[-1]
    return np.moveaxis(found, -1, dim)


def _terms(x_shape: Any, w_shape: Any, how: Any) -> Iterator[tuple[Any, Any, Any]]:
    """The places in results, filters and images whose elements are multiplied in a convolution, all samples at once."""
    counts = how.places(x_shape[2:], w_shape[2:])
    for f, c, *rest in np.ndindex(*w_shape[:2], *counts, *w_shape[2:]):
        at, k = rest[: len(counts)], rest[len(counts) :]
        channel = f // (w_shape[0] // how.groups) * w_shape[1] + c
        place = [i * s + j * d - b for i, s, j, d, (b, _) in zip(at, how.step, k, how.dilation, how.border)]
        if all(0 <= i < n for i, n in zip(place, x_shape[2:])):
            yield (slice(None), f, *at), (f, c, *k), (slice(None), channel, *place)


def _correlated(x: Any, w: Any, how: Any) -> Any:
    y = np.zeros((x.shape[0], w.shape[0], *how.places(x.shape[2:], w.shape[2:])), x.dtype)
    for at, k, place in _terms(x.shape, w.shape, how):
        y[at] += w[k] * x[place]
    return y


def _correlated_back(y: Any, w: Any, lengths: Any, how: Any) -> Any:
    x = np.zeros((y.shape[0], w.shape[1] * how.groups, *lengths), y.dtype)
    for at, k, place in _terms(x.shape, w.shape, how):
        x[place] += w[k] * y[at]
    return x


def _correlated_weights(y: Any, x: Any, sizes: Any, how: Any) -> Any:
    w = np.zeros((y.shape[1], x.shape[1] // how.groups, *sizes), x.dtype)
    for at, k, place in _terms(x.shape, w.shape, how):
        w[k] += (y[at] * x[place]).sum()
    return w


def _padded(x: Any, dim: int, start: int, size: int) -> Any:
    return np.pad(x, [(start, size - start - n) if d == dim else (0, 0) for d, n in enumerate(x.shape)])


def philox(key: int, counter: int) -> list[int]:
    """The four words of Philox4x32-10 that belong to a counter, with Python's ints."""
    words, keys = [counter % 2**32, counter >> 32 & 0xFFFFFFFF, 0, 0], [key % 2**32, key >> 32 & 0xFFFFFFFF]
    for _ in range(10):
        first, second = words[0] * 0xD2511F53, words[2] * 0xCD9E8D57
        words = [second >> 32 ^ words[1] ^ keys[0], second % 2**32, first >> 32 ^ words[3] ^ keys[1], first % 2**32]
        keys = [(keys[0] + 0x9E3779B9) % 2**32, (keys[1] + 0xBB67AE85) % 2**32]
    return words


def _uniform(key: int, counter: int) -> float:
    a, b, _, _ = philox(key, counter)
    return (a << 32 | b) // 2**11 / 2**53


def _normal(key: int, counter: int) -> float:
    """Of a radius and an angle: the cosine of any angle is as the sine of one between -pi/2 and pi/2."""
    a, b, c, d = philox(key, counter)
    u, v = (((high << 32 | low) // 2**12 + 0.5) / 2**52 for high, low in ((a, b), (c, d)))
    return math.sqrt(-2 * math.log(u)) * math.sin(math.pi * (v - 2**-53 - 0.5))


def _below(key: int, counter: int, span: int) -> int:
    a, b, _, _ = philox(key, counter)
    found = (a << 32 | b) * (span % 2**64 or 2**64) >> 64
    return found - 2**64 * (found >= 2**63)


def of_ints(function: Any, *operands: Any) -> Any:
    """A function of Python's ints, of each element."""
    return np.vectorize(lambda *given: function(*map(int, given)), otypes=[float if function is not _below else int])(*operands)


def of_key(u: Any) -> Any:
    """The first of the uniform numbers whose key is one."""
    return of_ints(_uniform, np.asarray(u, np.float64) * 2.0**53, np.zeros(np.shape(u)))


def binomial_of(u: Any, count: Any, p: Any) -> Any:
    """The quantile, of failures where these are rarer."""
    rare = scipy.stats.binom.ppf(u, count, np.minimum(p, 1 - p))
    return np.where(p > 0.5, count - rare, rare)
