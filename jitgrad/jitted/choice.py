"""Which sweep runs the functions under `jit`."""

from __future__ import annotations

from contextvars import ContextVar

SWEEPS = ("auto", "interpreted", "numba", "machine", "jit")
chosen_sweep: ContextVar[str] = ContextVar("sweep", default="auto")


class sweep:
    """Choose how functions under `jit` run: "interpreted", "numba", "machine", "jit", or "auto" for the better of the last
    two.

    As context manager for a block, or, called as `sweep(name)` alone, from here on in this thread. "interpreted" calls
    NumPy once a row; "jit" compiles the tape; "machine" has an instruction for each row, which is compiled already, so
    that a new tape costs nothing. "auto", the default, compiles, but for long tapes of numbers and for tapes so long
    that compiling would take seconds. "numba" runs the `@njit` functions that `source()` of the function shows, which take
    Numba seconds to compile: it runs where Numba does, and a debugger walks through them with `NUMBA_DISABLE_JIT=1`.

    >>> import jitgrad
    >>> f = jitgrad.jit(lambda x: x * x + 1)
    >>> with jitgrad.sweep("interpreted"):
    ...     f(jitgrad.tensor(2.0))
    tensor(5.)
    """

    def __init__(self, name: str) -> None:
        if name not in SWEEPS:
            raise ValueError(f"sweep must be one of {', '.join(SWEEPS)}, not {name!r}")
        self._before = chosen_sweep.get()
        chosen_sweep.set(SWEEPS[SWEEPS.index(name)])  # that very string: calls compare by identity

    def __enter__(self) -> sweep:
        return self

    def __exit__(self, *_: object) -> None:
        chosen_sweep.set(self._before)
