"""The names of devices: "cpu", "cuda", "cuda:1"."""

from __future__ import annotations

from typing import Any

KINDS = ("cpu", "cuda")


class Device(str):
    """A device. It is a string, so that `x.device == "cpu"` works, and has PyTorch's `type` and `index`.

    >>> import jitgrad
    >>> jitgrad.device("cpu")
    device(type='cpu')
    >>> jitgrad.device("cuda", 1)
    device(type='cuda', index=1)
    """

    __slots__ = ()

    def __new__(cls, type: Any, index: int | None = None) -> Device:
        if isinstance(type, int) and not isinstance(type, bool):
            type, index = "cuda", type
        kind, colon, number = str(type).partition(":")
        numbered = number.isdigit() and index is None and (kind != "cpu" or number == "0")
        if kind not in KINDS or (colon and not numbered):
            raise RuntimeError(f"device {str(type)!r} is not supported: there are 'cpu', 'cuda' and, by number, 'cuda:0'")
        if index is not None:
            number = str(int(index))
        return super().__new__(cls, kind if kind == "cpu" or not number else f"{kind}:{number}")

    @property
    def type(self) -> str:
        """The kind of device: "cpu" or "cuda"."""
        return str(self).partition(":")[0]

    @property
    def index(self) -> int | None:  # type: ignore[override]
        """The number of the device among its kind; None for the CPU, and for the GPU that is in use."""
        number = str(self).partition(":")[2]
        return int(number) if number else None

    def __repr__(self) -> str:
        number = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{number})"


CPU = Device("cpu")
