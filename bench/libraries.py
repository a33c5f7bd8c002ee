"""The libraries that take part, each loaded on first need, and the functions by which losses are written in them."""

from __future__ import annotations

import functools
import importlib.util
import math
import os
import platform
import shutil
from collections.abc import Callable
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np

DISTRIBUTIONS = ("jitgrad", "numpy", "numba", "llvmlite", "scipy", "torch", "jax", "autograd")
PEERS = ("torch", "torch.compile", "jax", "autograd", "numba", "cc")
COMPILERS = {"torch.compile": ("c++", "g++", "clang++"), "cc": ("cc", "gcc", "clang")}
JAX_ASYNC = "BENCH_JAX_ASYNC"
"""Set in the environment: jax as it comes, dispatching asynchronously, with every result waited for."""


class Library(NamedTuple):
    """What a loss may use: NumPy's names in `xp`, and what is spelled differently everywhere."""

    name: str
    xp: Any
    array: Callable[[np.ndarray], Any]
    sigmoid: Callable
    clamp: Callable
    softplus: Callable
    erf: Callable
    softmax: Callable  # over the last axis
    cross_entropy: Callable
    layer_norm: Callable  # of x, weight and bias, over the last axis
    scan: Callable  # of step, first carry, xs or None, and length


@functools.cache
def load(name: str) -> Library:
    """Import a library, set to one thread; raises `ImportError` where it is missing."""
    return _LOADERS[name]()


def why_missing(contestant_needs: str) -> str | None:
    """Why something cannot take part (a library, a C compiler "cc", or both for "torch.compile"); None if it can."""
    library = contestant_needs.split(".")[0]
    if library != "cc" and importlib.util.find_spec(library) is None:
        return "not installed"
    if contestant_needs in COMPILERS and compiler(contestant_needs) is None:
        return "no compiler found"
    return None


def compiler(contestant_needs: str) -> str | None:
    """Where the compiler is that a contestant needs."""
    return next(filter(None, map(shutil.which, COMPILERS[contestant_needs])), None)


def versions() -> dict[str, str | None]:
    """The version of Python and of each library, None for what is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def _layer_norm(xp: Any) -> Callable:
    """Normalisation over the last axis, for libraries that have no function of that name."""

    def layer_norm(x: Any, weight: Any, bias: Any) -> Any:
        centred = x - xp.mean(x, -1, keepdims=True)
        return centred / xp.sqrt(xp.mean(centred * centred, -1, keepdims=True) + 1e-5) * weight + bias

    return layer_norm


def _scan(step: Callable, carry: Any, xs: Any, length: int) -> tuple[Any, list]:
    """The loop, for libraries that have none of their own."""
    ys = []
    for i in range(length):
        carry, y = step(carry, None if xs is None else xs[i])
        ys.append(y)
    return carry, ys


def _jitgrad() -> Library:
    import jitgrad as jg

    names = jg.sigmoid, jg.clamp, jg.softplus, jg.erf, lambda x: jg.softmax(x, -1), jg.cross_entropy
    return Library("jitgrad", jg, jg.tensor, *names, _layer_norm(jg), jg.scan)


def _torch() -> Library:
    import torch
    from torch.nn import functional

    torch.set_num_threads(1)

    def layer_norm(x: Any, weight: Any, bias: Any) -> Any:
        return functional.layer_norm(x, weight.shape, weight, bias)

    f = functional
    names = torch.sigmoid, torch.clamp, f.softplus, torch.erf, lambda x: torch.softmax(x, -1), f.cross_entropy
    return Library("torch", torch, torch.tensor, *names, layer_norm, _scan)


def _jax() -> Library:
    import jax
    import jax.numpy as jnp

    # Calls then return when their work is done, without a thread in between: on one core the quicker way.
    jax.config.update("jax_cpu_enable_async_dispatch", JAX_ASYNC in os.environ)

    def cross_entropy(scores: Any, classes: Any) -> Any:
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(scores), classes[:, None], axis=1))

    nn = jax.nn
    names = nn.sigmoid, jnp.clip, nn.softplus, jax.lax.erf, nn.softmax, cross_entropy
    return Library("jax", jnp, jnp.asarray, *names, _layer_norm(jnp), jax.lax.scan)


def _numpy() -> Library:
    return _like_numpy("numpy", np, numpy_erf())


def _autograd() -> Library:
    import autograd.numpy as anp

    def erf(z: Any) -> Any:
        from autograd.scipy.special import erf  # needs SciPy, which autograd itself does not

        return erf(z)

    return _like_numpy("autograd", anp, erf)


def _like_numpy(name: str, xp: Any, erf: Callable) -> Library:
    def plain(array: np.ndarray) -> Any:
        return array if np.ndim(array) else array[()]

    def sigmoid(z: Any) -> Any:
        return 1 / (1 + xp.exp(-z))

    def softplus(z: Any) -> Any:
        return xp.logaddexp(z, 0)

    def cross_entropy(scores: Any, classes: Any) -> Any:
        shifted = scores - xp.max(scores, axis=1, keepdims=True)
        total = xp.log(xp.sum(xp.exp(shifted), axis=1))
        return xp.mean(total - shifted[np.arange(len(classes)), classes])

    def softmax(x: Any) -> Any:
        powers = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
        return powers / xp.sum(powers, axis=-1, keepdims=True)

    return Library(name, xp, plain, sigmoid, xp.clip, softplus, erf, softmax, cross_entropy, _layer_norm(xp), _scan)


def numpy_erf() -> Callable:
    """SciPy's erf where SciPy is there, otherwise Python's, element by element."""
    if importlib.util.find_spec("scipy") is None:
        return np.vectorize(math.erf, otypes=[np.float64])
    from scipy.special import erf

    return erf


_LOADERS: dict[str, Callable[[], Library]] = {
    "jitgrad": _jitgrad,
    "numpy": _numpy,
    "torch": _torch,
    "jax": _jax,
    "autograd": _autograd,
}
