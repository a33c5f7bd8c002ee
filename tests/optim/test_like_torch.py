"""Ten steps of every optimizer with every option end where PyTorch's do: its outcomes are in `recorded.json`."""

from __future__ import annotations

import json

import numpy as np
import pytest

import jitgrad as jg
from tests.helpers.optimizers import CASES, OPTIONS, RECORDED, flat, minimized

TORCH = json.loads(RECORDED.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("name", "i", "dtype"), CASES)
def test_steps_are_those_of_torch(name, i, dtype):
    params, _ = minimized(jg, name, OPTIONS[name][i], dtype)
    tolerance = 1e-5 if dtype == "float32" else 1e-10
    np.testing.assert_allclose(flat(params), TORCH["optimizers"][f"{name} {i} {dtype}"], rtol=tolerance, atol=tolerance)
