"""The examples, which can be imported by name after this module, and their small forms."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples"))


@functools.cache
def small_form(name):
    """What an example returns, prints and draws with --quick, run once for all tests: Numba compiles it for seconds."""

    def missing(*_):
        raise ImportError("not here")

    module = importlib.import_module(name)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        for peer in ("over_jax", "over_torch"):  # they take long to import and compile, and are not always there
            patch.setattr(module, peer, missing, raising=False)
        picture = Path(folder) / "picture.png"
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            result = module.main(["--quick", "--plot", str(picture)])
        return result, printed.getvalue(), picture.stat().st_size
