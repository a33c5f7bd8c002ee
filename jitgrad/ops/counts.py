"""How many events there are: numbers of Poisson's and of the binomial distribution, each from a uniform number of its own.

That is the key of a stream. Where few events are expected a number of the stream is looked up in the distribution function; else
there are trials of two, until one is accepted: W. Hörmann, "The transformed rejection method for generating Poisson random
variables" (1993), algorithm PTRS, and "The generation of binomial random variates" (1993), algorithm BTRS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.ops.random import random_uniform
from jitgrad.ops.table import Op, register

FEW = 10.0
"""Events; what is expected below it is looked up."""

PIECE = 8192
"""So many are drawn at a time, for which what is computed on the way stays in cache."""


def _log_factorial(k: Any) -> Any:
    """By Stirling's series, DLMF 5.11.1, of a number that is large enough for it."""
    y, steps = k + 9, np.prod([k + i for i in range(1, 9)], axis=0)
    w = 1 / (y * y)
    series = (1 / 12 - w * (1 / 360 - w * (1 / 1260 - w / 1680))) / y
    return (y - 0.5) * np.log(y) - y + 0.5 * np.log(2 * np.pi) + series - np.log(steps)


def _looked_up(first: Any, ratio: Callable[[int], Any], key: Any) -> Any:
    """The smallest k with a sum of probabilities from 0 to k above a uniform number: by the first of them, and by what times each
    is more than the one before."""
    left, p, found = random_uniform.run(key, 0), first, np.zeros(first.shape)
    active = left >= p
    k = 0
    while active.any() and k < 200:
        k += 1
        left, p = left - p, p * ratio(k)
        found += active
        active &= left >= p
    return found


def _tried(key: Any, spread: tuple[Any, Any, Any, Any], possible: Callable, below: Callable) -> Any:
    """What the first trial gives that is accepted: numbers of a given spread (two factors, the middle, and how many are accepted
    without a further look), at places where they are `possible`, and `below` the density, which takes logarithms."""
    a, b, middle, surely = spread
    found, places, count = np.zeros(key.size), np.arange(key.size), 1
    while places.size:
        u, v = random_uniform.run(key[places], np.array([[count], [count + 1]]))
        u -= 0.5
        s = 0.5 - abs(u)
        k = np.floor((2 * a[places] / s + b[places]) * u + middle[places])
        fits = possible(places, k, s, v)
        accepted = fits & (s >= 0.07) & (v <= surely[places])
        rest = np.flatnonzero(fits & ~accepted)
        at, s = places[rest], s[rest]
        accepted[rest] = below(at, k[rest], v[rest], a[at] / (s * s) + b[at])
        found[places[accepted]] = k[accepted]
        places, count = places[~accepted], count + 2
    return found


def _poisson(key: Any, rate: Any) -> Any:
    found, few, many = np.full(rate.shape, np.nan), (rate >= 0) & (rate < FEW), (rate >= FEW) & (rate < np.inf)
    r = rate[few]
    found[few] = _looked_up(np.exp(-r), lambda k: r / k, key[few])
    r = rate[many]
    b = 0.931 + 2.53 * np.sqrt(r)
    a = 0.02483 * b - 0.059
    scale, log = np.log(1.1239 + 1.1328 / (b - 3.4)), np.log(r)

    def possible(at: Any, k: Any, s: Any, v: Any) -> Any:
        return (k >= 0) & ((s >= 0.013) | (v <= s))

    def below(at: Any, k: Any, v: Any, density: Any) -> Any:
        return np.log(v) + scale[at] - np.log(density) <= k * log[at] - r[at] - _log_factorial(k)

    found[many] = _tried(key[many], (a, b, r + 0.43, 0.9277 - 3.6224 / (b - 2)), possible, below)
    return found


def _binomial(key: Any, count: Any, p: Any) -> Any:
    """Of failures where these are rarer."""
    count = np.floor(count)
    legal = (count >= 0) & (count < np.inf) & (p >= 0) & (p <= 1)
    rare = np.where(legal, np.minimum(p, 1 - p), 0)
    found, few, many = np.full(count.shape, np.nan), legal & (count * rare < FEW), legal & (count * rare >= FEW)
    n, q = count[few], rare[few]
    found[few] = _looked_up(np.exp(n * np.log1p(-q)), lambda k: np.maximum(n - k + 1, 0) / k * (q / (1 - q)), key[few])
    n, q = count[many], rare[many]
    spread = np.sqrt(n * q * (1 - q))
    b = 1.15 + 2.53 * spread
    a = 0.0248 * b + 0.01 * q - 0.0873
    scale, odds, mode = (2.83 + 5.1 / b) * spread, np.log(q / (1 - q)), np.floor((n + 1) * q)

    def possible(at: Any, k: Any, s: Any, v: Any) -> Any:
        return (k >= 0) & (k <= n[at])

    def below(at: Any, k: Any, v: Any, density: Any) -> Any:
        top = _log_factorial(mode[at]) + _log_factorial(n[at] - mode[at])
        ways = top - _log_factorial(k) - _log_factorial(n[at] - k)
        return np.log(v * scale[at] / density) <= ways + (k - mode[at]) * odds[at]

    found[many] = _tried(key[many], (a, b, n * q + 0.5, 0.92 - 4.2 / b), possible, below)
    return np.where(legal & (p > 0.5), count - found, found)


def _counted(draw: Callable, *inputs: str, **more: Any) -> Op:
    """A row of floats, of which the first is the uniform number."""

    def run(*given: Any) -> Any:
        u, *operands = np.broadcast_arrays(*[np.asarray(x, np.float64) for x in given])
        flat = [(u * 2.0**53).astype(np.int64).ravel(), *[x.ravel() for x in operands]]
        found = np.empty(u.size)
        with np.errstate(all="ignore"):
            for start in range(0, u.size, PIECE):
                found[start : start + PIECE] = draw(*[x[start : start + PIECE] for x in flat])
        return found.reshape(u.shape).astype(np.asarray(given[0]).dtype)[()]

    domain = ((0.0, 1.0), *((0.0, 8.0), (0.0, 1.0))[: len(inputs)])
    return Op(run, kind="elementwise", inputs=("u", *inputs), output="k", result="float", internal=True, domain=domain, **more)


poisson = _counted(
    _poisson,
    "rate",
    doc="How many events there are where a rate is expected",
    oracle="scipy.stats.poisson.ppf(of_key(u), rate)",
)
binomial = _counted(
    _binomial,
    "count",
    "p",
    doc="How many of count trials succeed with probability p",
    oracle="binomial_of(of_key(u), np.floor(count), p)",
)


register(globals())
