"""Arrays of other libraries, which have their memory from a tensor."""

from __future__ import annotations

import numpy as np

import jitgrad as jg


class Interface:
    """An array of another library, which says where it is as CuPy's and Numba's do."""

    def __init__(self, x, **other):
        self.kept = x
        self.__cuda_array_interface__ = x.__cuda_array_interface__ | other


class Packed:
    """An array of another library that has DLPack, of a version before 1 unless `versions`."""

    def __init__(self, x, versions=False):
        self.x, self.versions = x, versions

    def __dlpack_device__(self):
        return self.x.__dlpack_device__()

    def __dlpack__(self, **given):
        if given.pop("max_version", None) and not self.versions:
            raise TypeError("__dlpack__() got an unexpected keyword argument 'max_version'")
        return self.x.__dlpack__(**given, max_version=(1, 0) if self.versions else None)


def ranged(device, *shape):
    """A tensor of 0, 1, 2, ..."""
    return jg.arange(float(np.prod(shape)), device=device).reshape(shape)
