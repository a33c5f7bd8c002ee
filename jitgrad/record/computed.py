"""What an operation gives for values: computed by NumPy, on a device, or by whoever takes their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from jitgrad.base.quiet import again, quiet
from jitgrad.ops.broadcasting import shape_error
from jitgrad.ops.table import Op
from jitgrad.record.checking import is_meant
from jitgrad.record.promotion import _no_operand
from jitgrad.tape.device_array import ARRAYS, DeviceArray, refuse_mixed

computing: ContextVar[Callable[[Op, list[Any], Callable[[], Any]], Any] | None] = ContextVar("computing", default=None)
"""`compute(op, values, run)` gives what `op` gives for values, by `run()` or otherwise; asked while there is a `Watcher`."""


def computed_there(op: Op, operands: Sequence[Any], values: list[Any], params: dict[str, Any]) -> Any:
    """What the op gives for values on a device, or by whom it is computed otherwise."""
    compute = computing.get()
    if compute is not None:
        return compute(op, values, lambda: _computed_by(op, operands, values, params))
    return _computed_by(op, operands, values, params)


def _computed_by(op: Op, operands: Sequence[Any], values: list[Any], params: dict[str, Any]) -> Any:
    if DeviceArray not in [v.__class__ for v in values]:
        return computed(op, values, params)
    if not all(v.__class__ is DeviceArray for v in values):  # of these the devices are compared where they compute
        refuse_mixed(op.name, operands)
    try:
        return op(*values, **params)
    except OverflowError as error:
        raise _not_computed(op, values) from error


def computed(op: Op, values: list[Any], params: dict[str, Any]) -> Any:
    """What the op gives for values, by NumPy without its warnings."""
    try:
        return quiet.run(op.run if op.kernel or op.hot_run is None else op.hot_run, *values, **params)
    except ValueError as error:
        if op.of_user or isinstance(error, np.linalg.LinAlgError):  # the user's own, or about values
            raise
        raise shape_error(op, values, error) from error
    except RuntimeError:
        return again(op.run, *values, **params)
    except (TypeError, OverflowError, AttributeError) as error:
        if is_meant(error) or op.of_user:
            raise
        raise _not_computed(op, values) from error


def _not_computed(op: Op, values: Sequence[Any]) -> Exception:
    """What to say of operands that NumPy does not compute with."""
    strange = next((v for v in values if not isinstance(v, (*ARRAYS, np.generic, bool, int, float))), None)
    if strange is not None:
        return _no_operand(strange)
    shown = ", ".join(v.dtype.name if isinstance(v, ARRAYS) else type(v).__name__ for v in values)
    return RuntimeError(f"{op.name} cannot compute with {shown}: a number is beyond the dtype, or is none")
