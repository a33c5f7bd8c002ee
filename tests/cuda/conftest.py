"""The device that these tests compute on: a real GPU where there is one, else one that is simulated."""

from __future__ import annotations

import pytest

from jitgrad.devices import cuda

MADE: dict = {}
"""What computes, for all tests of this folder and no others."""


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    """A device of the name "cuda" is there."""
    if not cuda._real_count():
        monkeypatch.setenv("JITGRAD_CUDA", "simulate")
    monkeypatch.setattr(cuda, "_made", MADE)
    return cuda.compute_of("cuda")
