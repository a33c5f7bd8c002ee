"""What the names in the texts of kernels mean on a GPU, as far as that can be told without one."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from jitgrad.kernels import cuda
from tests.cuda import standin


@pytest.fixture(autouse=True)
def gpu():
    """No device is needed."""


def test_every_bfloat16_is_read():
    words = np.arange(1 << 16, dtype=np.uint16)
    got = np.array([cuda.from_bf16(w) for w in words], np.float32)
    np.testing.assert_array_equal(got.view(np.uint32), words.view(ml_dtypes.bfloat16).astype(np.float32).view(np.uint32))


def test_floats_are_rounded_to_bfloat16():
    """To nearest, to even halfway between two, and nan to nan."""
    halfway = (np.arange(1 << 16, dtype=np.uint32) << 16)[::37] | 0x8000
    anything = np.random.default_rng(0).integers(0, 1 << 32, 5000, dtype=np.uint32)
    x = np.concatenate([halfway, halfway - 1, halfway + 1, anything]).view(np.float32)
    with np.errstate(all="ignore"):
        got, want = np.array([cuda.to_bf16(v) for v in x]), x.astype(ml_dtypes.bfloat16)
        np.testing.assert_array_equal(
            got.view(ml_dtypes.bfloat16)[~np.isnan(x)].view(np.uint16), want[~np.isnan(x)].view(np.uint16)
        )
    assert np.isnan(got[np.isnan(x)].view(ml_dtypes.bfloat16).astype(np.float32)).all()


@pytest.mark.skipif(bool(standin.missing()), reason=f"it needs {standin.missing()}")
def test_a_gpu_and_the_simulator_know_the_same_names():
    """`cuda` itself is part of the simulator's texts, not of its names."""
    out = standin.run_python(
        "from jitgrad.sweeps.cuda import compile, simulated_names\n"
        "print(sorted({*compile._names()} ^ {*simulated_names.namespace()}))"
    )
    assert out == "['cuda']\n"
