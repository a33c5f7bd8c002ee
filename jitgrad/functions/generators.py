"""Where random numbers come from: the generator that all share, and those of users."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.base.signals import importing
from jitgrad.devices.cuda import seed_all
from jitgrad.devices.device import CPU
from jitgrad.record.apply import current_trace
from jitgrad.tensors.tensor import Tensor, wrap


class Generator:
    """Random numbers of one's own, for `generator=`: NumPy's PCG64. So is any `numpy.random.Generator`.

    >>> import jitgrad
    >>> generator = jitgrad.Generator().manual_seed(7)
    >>> jitgrad.rand(2, generator=generator).shape
    jitgrad.Size([2])
    """

    def __init__(self, device: Any = "cpu") -> None:
        if str(device) != "cpu":
            raise RuntimeError(f"a generator on {device}: GPUs have one each, which manual_seed starts; generators are the CPU's")
        self.device = CPU
        self.seed()

    def manual_seed(self, seed: int) -> Generator:
        """Start anew from `seed`."""
        self._seed = checked_seed(seed)
        self.numpy = made_of(self._seed)
        return self

    def seed(self) -> int:
        """Start anew from a number that nobody can foretell; that number."""
        self._seed = int(made_of().bit_generator.random_raw() >> 1)
        self.numpy = made_of(self._seed)
        return self._seed

    def initial_seed(self) -> int:
        """What it was started from."""
        return self._seed

    def get_state(self) -> Tensor:
        """Where it has got to, as bytes."""
        return _bytes_of(self.numpy)

    def set_state(self, new_state: Tensor) -> Generator:
        """Go on from where a generator was that gave `get_state()`."""
        _go_on(self.numpy, new_state, "set_state")
        return self


_shared: list[Generator] = []
"""What draws since `manual_seed` was called, if it was."""
_unseeded = functools.cache(Generator)


def checked_seed(seed: Any) -> int:
    if not isinstance(seed, (int, float, np.number)):
        raise TypeError(f"manual_seed takes an int, not {type(seed).__name__}")
    if seed != seed or seed in (np.inf, -np.inf):
        raise ValueError(f"manual_seed takes an int, not {seed}")
    return int(seed) % 2**64


def manual_seed(seed: int) -> np.random.Generator:
    """Start the random numbers anew from `seed`, those of GPUs too. They are NumPy's PCG64 and not the ones that PyTorch draws; a
    GPU has numbers of its own (Philox), which are the same on every GPU."""
    _shared[:] = [Generator().manual_seed(seed)]
    seed_all(int(seed))
    return _shared[0].numpy


def seed() -> int:
    """Start the random numbers anew from a number that nobody can foretell; that number."""
    found = Generator().seed()
    manual_seed(found)
    return found


def initial_seed() -> int:
    """What the random numbers were started from."""
    return _in_use().initial_seed()


def get_rng_state() -> Tensor:
    """Where the random numbers of the CPU have got to, as bytes."""
    return _bytes_of(in_use(None))


def set_rng_state(new_state: Tensor) -> None:
    """Go on from where the random numbers were when `get_rng_state()` gave this."""
    _go_on(in_use(None), new_state, "set_rng_state")


def made_of(*seed: int) -> np.random.Generator:
    """NumPy's generator."""
    with importing("numpy.random"):  # here, since it takes as long as a quarter of all the rest
        return np.random.default_rng(*seed)


def _in_use() -> Generator:
    return _shared[0] if _shared else _unseeded()


def in_use(generator: Generator | np.random.Generator | None) -> np.random.Generator:
    """What draws: the generator that is given, or the shared one."""
    if generator is not None:
        return generator.numpy if isinstance(generator, Generator) else generator
    return _in_use().numpy


def drawing(function: Callable) -> Callable:
    """A function that draws random numbers; while a trace records, the trace says what comes of that."""

    @functools.wraps(function)
    def draws(*args: Any, **kwargs: Any) -> Any:
        trace = current_trace.get()
        return function(*args, **kwargs) if trace is None else trace.draw(lambda: draws(*args, **kwargs))

    return draws


def _bytes_of(generator: np.random.Generator) -> Tensor:
    return wrap(np.frombuffer(pickle.dumps(generator.bit_generator.state), np.uint8).copy())


def _go_on(generator: np.random.Generator, state: Any, what: str) -> None:
    try:
        generator.bit_generator.state = pickle.loads(np.asarray(state.detach().numpy(), np.uint8).tobytes())
    except Exception:
        raise RuntimeError(f"{what}: this is no state of a generator: use what get_state() or get_rng_state() gave") from None
