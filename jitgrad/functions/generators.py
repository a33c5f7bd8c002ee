"""Where random numbers come from: a seed, and how many were drawn of it before. Every device has a generator that all share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from jitgrad.base import locks
from jitgrad.devices.device import CPU, Device
from jitgrad.devices.moving import place_of
from jitgrad.errors import LEAKED, LeakedTraceError, TracedValueError
from jitgrad.ops.choosing import cast
from jitgrad.record.apply import apply
from jitgrad.record.trace import current_trace, made_here
from jitgrad.tape.handle import Handle
from jitgrad.tensors.tensor import Tensor, wrap

_ALL = 2**64


_noting: ContextVar[tuple[dict[Generator, tuple[Any, Any]], ...]] = ContextVar("noting", default=())


@contextmanager
def states_noted() -> Iterator[dict[Generator, tuple[Any, Any]]]:
    """Within the block, all generators that draw or are set, each with the state that it had before."""
    found: dict[Generator, tuple[Any, Any]] = {}
    token = _noting.set((*_noting.get(), found))
    try:
        yield found
    finally:
        _noting.reset(token)


def signed(n: int) -> int:
    """The int of 64 bits with a sign that has the bits of one without."""
    return (n + 2**63) % _ALL - 2**63


class Generator:
    """Random numbers of one's own, for `generator=`. Number n is a function of the seed and of n (Philox4x32-10, Salmon et al.,
    2011), the same eagerly and compiled, on every device.

    It may be an argument of a function under `jit`, which advances it as the function itself would; and inside of such functions
    one may be made of a seed that is an argument: `Generator().manual_seed(seed)`. Without a seed it starts from a number that
    nobody can foretell. `device` is what `generator.device` says; any generator draws for any device.

    >>> import jitgrad
    >>> generator = jitgrad.Generator().manual_seed(7)
    >>> draw = jitgrad.jit(lambda x, generator: x + jitgrad.rand(2, generator=generator))
    >>> draw(jitgrad.zeros(2), generator).tolist() == jitgrad.rand(2, generator=jitgrad.Generator().manual_seed(7)).tolist()
    True
    """

    def __init__(self, device: Any = "cpu") -> None:
        self.device = Device(device)
        self._trace = current_trace.get()
        self._state: tuple[Any, Any] | None = None  # seed and count: ints, or tensors while a function is recorded

    def manual_seed(self, seed: int | Tensor) -> Generator:
        """Start anew from `seed`, an int of 64 bits with or without a sign, or a tensor that holds one integer.

        Raises `TypeError` for what is no number, `ValueError` for one that is not finite or out of range.
        """
        self._refuse_outside()
        started = _checked(seed)
        self._note()
        self._state = (started, 0)
        return self

    def seed(self) -> int:
        """Start anew from a number that nobody can foretell; that number."""
        self._refuse_outside()
        if self._trace is not None:
            raise TracedValueError(
                "a generator without a seed in a function that is recorded would draw the same numbers at every call: "
                "pass a generator as an argument, or a seed, as in Generator().manual_seed(seed)"
            )
        self._note()
        self._state = (int.from_bytes(os.urandom(8), "little") >> 1, 0)
        return self._state[0]

    def initial_seed(self) -> int:
        """What it was started from."""
        return self._started()[0]

    def get_state(self) -> Tensor:
        """Where it has got to, as 16 bytes: the seed, and how many numbers were drawn of it."""
        if any(isinstance(x, Handle) for x in self._started()):
            raise TracedValueError("the state of a generator in a function that is recorded is not known: ask for it outside")
        return wrap(np.array(self._started(), np.uint64).view(np.uint8))

    def set_state(self, new_state: Tensor) -> Generator:
        """Go on from where a generator was that gave `get_state()`; `RuntimeError` if none did."""
        self._refuse_outside()
        held = new_state._value if isinstance(new_state, Handle) else new_state
        if getattr(held, "shape", None) != (16,) or held.dtype != np.uint8:
            raise RuntimeError("set_state: this is no state of a generator: use what get_state() or get_rng_state() gave")
        self._note()
        self._state = tuple(int(n) for n in np.array(wrap(held).cpu().numpy()).view(np.uint64))  # type: ignore[assignment]
        return self

    def clone_state(self) -> Generator:
        """Another generator, which draws what this one will."""
        other = Generator(self.device)
        other._state = self._started()
        return other

    @classmethod
    def at(cls, state: tuple[Any, Any]) -> Generator:
        """A generator of the function that is recorded, whose seed and count are tensors."""
        return cls().go_on(state)

    @property
    def state(self) -> tuple[Any, Any]:
        """The seed, and how many numbers were drawn of it: ints of 64 bits without a sign, or what stands for them on a tape."""
        return self._started()

    def operands(self) -> tuple[Tensor, Tensor]:
        """The state as tensors."""
        self._refuse_outside()
        seed, count = self._started()
        return _operand(seed), _operand(count)

    def go_on(self, state: tuple[Any, Any]) -> Generator:
        """Go on from a state of ints or tensors."""
        seed, count = (int(x._value) % _ALL if isinstance(x, Handle) and x._value is not None else x for x in state)
        self._note()
        self._state = (seed, count)
        return self

    def _started(self) -> tuple[Any, Any]:
        if self._state is None:
            self.seed()
        self._note()
        return self._state  # type: ignore[return-value]

    def _note(self) -> None:
        if self._state is not None:
            for found in _noting.get():
                found.setdefault(self, self._state)

    def _refuse_outside(self) -> None:
        if self._trace is not current_trace.get():
            raise TracedValueError(
                "a generator from outside would go on, or start anew, once while a function is recorded, and not at every call "
                "or for every example: pass it as an argument, or make one of a seed inside: Generator().manual_seed(seed)"
            )

    def ahead(self, count: int) -> tuple[Any, Any]:
        """The seed, and what was drawn before, of the next numbers, which are `count`."""
        with locks.streams:
            seed, start = self._started()
            self._state = (seed, (start + count) % _ALL if isinstance(start, int) else start + count)
        return seed, start


def _operand(n: Any) -> Tensor:
    return made_here(wrap(np.int64(signed(n)))) if isinstance(n, int) else n


_shared: dict[str, Generator] = {}
"""What draws on each device unless a generator is given."""
_seeds: list[int] = []
"""What `manual_seed` was called with last."""


def _checked(seed: Any) -> Any:
    if isinstance(seed, Handle):
        if seed._held.dtype.kind not in "iu" or seed._held.shape:
            raise TypeError(
                f"manual_seed takes an int or a tensor of one integer, not {seed.dtype.name}{list(seed.shape)}"  # type: ignore[attr-defined]
            )
        return apply(cast, (seed,), {"dtype": np.dtype(np.int64)}) if seed._value is None else int(seed._value) % _ALL
    if not isinstance(seed, (int, float, np.number)) or isinstance(seed, np.complexfloating):
        raise TypeError(f"manual_seed takes an int, not {type(seed).__name__}")
    if seed != seed or seed in (np.inf, -np.inf):
        raise ValueError(f"manual_seed takes an int, not {seed}")
    if not -(2**63) <= seed < _ALL:
        raise ValueError(f"manual_seed takes an int of 64 bits, from -2**63 to 2**64 - 1, and not {seed}")
    return int(seed) % _ALL


def manual_seed(seed: int) -> Generator:
    """Start the random numbers anew from `seed`, on all devices; returns the generator that all share on the CPU.

    They are functions of the seed and of how many were drawn before, the same on the CPU and on a GPU, and not the ones that
    PyTorch draws. Errors are those of `Generator.manual_seed`.

    >>> import jitgrad
    >>> jitgrad.manual_seed(0).initial_seed()
    0
    """
    started = shared().manual_seed(seed)
    for generator in _shared.values():
        generator.manual_seed(seed)
    _seeds[:] = [started.initial_seed()]
    return started


def seed() -> int:
    """Start the random numbers anew, on all devices, from a number that nobody can foretell; that number."""
    started = shared().seed()
    manual_seed(started)
    return started


def initial_seed() -> int:
    """What the random numbers of the CPU were started from, by `manual_seed` or by themselves."""
    return shared().initial_seed()


def get_rng_state() -> Tensor:
    """Where the random numbers of the CPU have got to, as bytes."""
    return shared().get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Go on from where the random numbers were when `get_rng_state()` gave this."""
    try:
        shared().set_state(new_state)
    except RuntimeError as error:
        raise RuntimeError(str(error).replace("set_state", "set_rng_state", 1)) from None


def shared(device: Any = CPU) -> Generator:
    """The generator of a device."""
    place = CPU if device is None else place_of(device)
    found = _shared.get(place)
    if found is None:
        found = Generator(place)
        found._trace = None  # whoever asks first
        found._state = (_seeds[0], 0) if _seeds else None
        found = _shared.setdefault(place, found)
    return found


def drawing_of(generator: Any, device: Any) -> Generator:
    """The generator that is given, or that of the device."""
    if generator is None:
        return shared(device)
    if not isinstance(generator, Generator):
        kind = type(generator).__name__
        raise TypeError(
            f"generator must be a jitgrad.Generator, not {'one of another library' if kind == 'Generator' else kind}: make one "
            "of a seed, as in jitgrad.Generator().manual_seed(seed)"
        )
    if generator._trace is not None and current_trace.get() is None:
        raise LeakedTraceError(f"a generator that was made in {LEAKED}")
    return generator
