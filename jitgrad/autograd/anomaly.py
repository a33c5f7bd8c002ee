"""`detect_anomaly`: where nan comes up in a reverse sweep, or an error, it says which operation it was and who called that."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np

from jitgrad.autograd.modes import switched
from jitgrad.autograd.nodes import node_of
from jitgrad.ops.table import Op, unary
from jitgrad.record.apply import apply
from jitgrad.record.trace import Watcher, lifting
from jitgrad.tape import origins
from jitgrad.tape.device_array import DeviceArray
from jitgrad.tape.handle import Handle
from jitgrad.tape.row import Row

_watcher = Watcher()


def _apart(sweep: Any, row: Row, g: Any) -> list[Any]:
    """What a row passes on; an error gets a warning that says where the row comes from."""
    try:
        found: list[Any] = sweep.apart(row, g)
    except Exception:
        warnings.warn(f"an error came up in the reverse sweep of {node_of(row).name()}{_where(row)}", stacklevel=2)
        raise
    return found


def _checked(sweep: Any, row: Row, g: Any) -> list[Any]:
    """The same; RuntimeError if there is nan in it."""
    parts = _apart(sweep, row, g)
    for i, part in enumerate(parts):
        said = f"{node_of(row).name()} gives nan for the gradient of its operand {i}{_where(row)}"
        if isinstance(part, Handle) and part._value is None:
            parts[i] = apply(_looking(said), (part,))
        elif part is not None:
            _refuse_nan(said, part._value if isinstance(part, Handle) else part)
    return parts


def _refuse_nan(said: str, value: Any) -> Any:
    found = np.asarray(value.to_host() if isinstance(value, DeviceArray) else value)
    if found.dtype.kind in "fc" and bool(np.isnan(found).any()):
        raise RuntimeError(said)
    return value


def _looking(said: str) -> Op:
    """An operation that does nothing but look for nan, for what has no values yet: `vmap` runs it for all examples."""
    op = unary(None, functools.partial(_refuse_nan, said), vjp=lambda g: g, internal=True, exact=True, on_complex="linear")
    op.name = "look_for_nan"
    return op


def _where(row: Row) -> str:
    lines = origins.of(row)
    return f", which was computed here:\n{lines}" if lines else ": switch detect_anomaly on before it is computed, to see where"


class set_detect_anomaly:
    """Switch the search for anomalies on or off, from here on or until the end of a `with` block; it is that of all threads.

    While it is on, operations note the lines that called them, and a reverse sweep raises `RuntimeError` at the first nan that
    a rule gives (if `check_nan`), with the operation and these lines. Errors that come up in the sweep get a warning with
    them. All is slower meanwhile; functions under `jit` run as they are, as if `jit` were not there.
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = (origins.noting, origins.check, _nan[0])
        nan = switched("detect_anomaly: check_nan", check_nan)
        _set(switched("set_detect_anomaly", mode), (_checked if check_nan else _apart) if mode else None, nan)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        _set(*self._before)


class detect_anomaly:
    """Within the block, search for anomalies: see `set_detect_anomaly`.

    >>> import jitgrad
    >>> x = jitgrad.tensor(0.0, requires_grad=True)
    >>> with jitgrad.autograd.detect_anomaly():
    ...     y = (x.sqrt() * 0).backward()
    Traceback (most recent call last):
        ...
    RuntimeError: SqrtBackward0 gives nan for the gradient of its operand 0, which was computed here:
    ...
    """

    def __init__(self, check_nan: bool = True) -> None:
        self._check_nan = switched("detect_anomaly: check_nan", check_nan)
        self._modes: list[set_detect_anomaly] = []

    def __enter__(self) -> None:
        self._modes.append(set_detect_anomaly(True, self._check_nan))

    def __exit__(self, *_: object) -> None:
        self._modes.pop().__exit__()


def is_anomaly_enabled() -> bool:
    """Whether anomalies are searched for."""
    return origins.noting


def is_anomaly_check_nan_enabled() -> bool:
    """Whether nan is one, when anomalies are searched for."""
    return _nan[0]


_nan = [True]
"""Whether nan is one, as it was set last."""


def _set(noting: bool, check: Any, nan: bool) -> None:
    _nan[0] = nan
    if noting != origins.noting:
        (lifting.append if noting else lifting.remove)(_watcher)
    origins.switch(noting, check)
