"""`load_compiled`: native functions from files, without tracing and without a compiler."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from jitgrad.base.signals import importing

if TYPE_CHECKING:
    from jitgrad.native.function import NativeFunction


def load_compiled(path: str | os.PathLike[str]) -> NativeFunction:
    """The native function that `save` wrote to a file: no tracing, no compiling, about a millisecond.

    The file holds machine code, which is run as it is: load what you, or somebody you trust, has saved. It is no pickle.
    Raises `RuntimeError` if it was saved on another kind of machine or by another version of jitgrad, `DamagedFileError` (a
    `ValueError`) if it is damaged or another file, and `OSError` if it cannot be read.

    >>> import jitgrad, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "cube.native"
    >>> jitgrad.grad(lambda x: x ** 3).compile(jitgrad.tensor(0.0)).save(path)
    >>> jitgrad.load_compiled(path)(jitgrad.tensor(2.0))
    tensor(12.)
    """
    with importing("jitgrad.native.function"):
        from jitgrad.native.function import load

    return load(path)
