"""The libraries that take part, each loaded on first need, and the functions by which losses are written in them."""

from __future__ import annotations

import functools
import importlib.util
import platform
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

DISTRIBUTIONS = ("jitgrad", "numpy", "numba", "llvmlite", "torch", "jax", "autograd")
PEERS = ("torch", "jax", "autograd")
COMPILERS = ("c++", "g++", "clang++")


class Library(NamedTuple):
    """What a loss may use: NumPy's names in `xp`, and what is spelled differently everywhere."""

    name: str
    xp: Any
    array: Callable[[np.ndarray], Any]
    sigmoid: Callable
    clamp: Callable
    softplus: Callable
    cross_entropy: Callable


@functools.cache
def load(name: str) -> Library:
    """Import a library, set to one thread; raises `ImportError` where it is missing."""
    return _LOADERS[name]()


def why_missing(contestant_needs: str) -> str | None:
    """Why something cannot take part ("torch.compile" needs a compiler, too); None if it can."""
    library = contestant_needs.split(".")[0]
    if importlib.util.find_spec(library) is None:
        return "not installed"
    if contestant_needs == "torch.compile" and not any(map(shutil.which, COMPILERS)):
        return "no C++ compiler found"
    return None


def versions() -> dict[str, str | None]:
    """The version of Python and of each library, None for what is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def processor() -> str:
    """The name of the CPU."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _jitgrad() -> Library:
    import jitgrad as jg

    return Library("jitgrad", jg, jg.tensor, jg.sigmoid, jg.clamp, jg.softplus, jg.cross_entropy)


def _torch() -> Library:
    import torch
    from torch.nn import functional

    torch.set_num_threads(1)
    return Library(
        "torch", torch, torch.tensor, torch.sigmoid, torch.clamp, functional.softplus, functional.cross_entropy
    )


def _jax() -> Library:
    import jax
    import jax.numpy as jnp

    # Calls then return when their work is done, without a thread in between: on one core the quicker way.
    jax.config.update("jax_cpu_enable_async_dispatch", False)

    def cross_entropy(scores: Any, classes: Any) -> Any:
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(scores), classes[:, None], axis=1))

    return Library("jax", jnp, jnp.asarray, jax.nn.sigmoid, jnp.clip, jax.nn.softplus, cross_entropy)


def _autograd() -> Library:
    import autograd.numpy as anp

    def cross_entropy(scores: Any, classes: Any) -> Any:
        shifted = scores - anp.max(scores, axis=1, keepdims=True)
        total = anp.log(anp.sum(anp.exp(shifted), axis=1))
        return anp.mean(total - shifted[np.arange(len(classes)), classes])

    def sigmoid(z: Any) -> Any:
        return 1 / (1 + anp.exp(-z))

    return Library("autograd", anp, _plain, sigmoid, anp.clip, lambda z: anp.logaddexp(z, 0), cross_entropy)


def _plain(array: np.ndarray) -> Any:
    return array if np.ndim(array) else array[()]


_LOADERS: dict[str, Callable[[], Library]] = {"jitgrad": _jitgrad, "torch": _torch, "jax": _jax, "autograd": _autograd}
