"""Memory of a GPU, and memory of the host that a GPU reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jitgrad.sweeps.cuda.driver import Driver

__all__ = ["Buffer", "Pinned", "address_of"]


class Buffer:
    """Memory of a device, aligned to 256 bytes. `free` gives it back when the work that was put into its stream by then is done.

    `queue` and `used` are for whoever keeps buffers: the stream whose work may use it next, and how many bytes hold something.
    """

    __slots__ = ("_raw", "address", "driver", "nbytes", "queue", "used")

    def __init__(self, driver: Driver, raw: Any, nbytes: int) -> None:
        self.driver, self._raw, self.nbytes = driver, raw, nbytes
        self.address = int(raw.handle)
        self.queue: Any = None
        self.used = nbytes

    def free(self) -> None:
        """Once; afterwards the buffer is of no use."""
        raw, self._raw, self.address = self._raw, None, 0
        if raw is not None and self.driver.is_mine():
            self.driver.enter()
            raw.close(self.driver.current().for_memory)

    def __repr__(self) -> str:
        return f"<Buffer of {self.nbytes} bytes at {self.address:#x} of {self.driver.name}>"


class Pinned:
    """Memory of the host; an array of it holds this."""

    def __init__(self, driver: Driver, address: int, nbytes: int) -> None:
        self._driver, self._address = driver, address
        self.__array_interface__ = {"shape": (nbytes,), "typestr": "|u1", "data": (address, False), "version": 3}

    def __del__(self) -> None:
        if self._driver.is_mine():
            self._driver.call("cuMemFreeHost", self._address)


def address_of(array: np.ndarray) -> int:
    """Where the elements of an array begin, which must be in order."""
    if not array.flags.c_contiguous:
        raise ValueError("the elements of the array are not in order: use np.ascontiguousarray(array)")
    return array.__array_interface__["data"][0]
