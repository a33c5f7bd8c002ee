"""Where values are computed: this version knows the CPU."""

from __future__ import annotations

from typing import Any


class Device(str):
    """A device. It is a string, so that `x.device == "cpu"` works, and has PyTorch's `type` and `index`.

    >>> import jitgrad
    >>> jitgrad.device("cpu")
    device(type='cpu')
    """

    __slots__ = ()

    def __new__(cls, type: Any) -> Device:
        if str(type) != "cpu":
            raise RuntimeError(f"device {str(type)!r} is not supported: this version computes on the cpu")
        return super().__new__(cls, type)

    @property
    def type(self) -> str:
        """The kind of device: "cpu"."""
        return str(self)

    @property
    def index(self) -> None:  # type: ignore[override]
        """The number of the device among its kind, which the CPU has none of."""
        return None

    def __repr__(self) -> str:
        return f"device(type={str(self)!r})"


CPU = Device("cpu")


def only_cpu(device: Any) -> None:
    """`RuntimeError` for a device that this version does not compute on."""
    if device is not None:
        Device(device)
