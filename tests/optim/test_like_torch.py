"""Optimizers with every option end where PyTorch's do, and schedules give its rates: its outcomes are in `recorded.json`."""

from __future__ import annotations

import json

import numpy as np
import pytest

import jitgrad as jg
from tests.helpers.optimizers import CASES, OPTIONS, RECORDED, SCHEDULE_CASES, flat, minimized, rates, scheduled

TORCH = json.loads(RECORDED.read_text(encoding="utf-8"))


LOOSE = {"Muon": 2e-3}  # where PyTorch rounds to bfloat16


@pytest.mark.parametrize(("name", "i", "dtype"), CASES)
def test_steps_are_those_of_torch(name, i, dtype):
    params, _ = minimized(jg, name, OPTIONS[name][i], dtype)
    tolerance = LOOSE.get(name, 1e-5 if dtype == "float32" else 1e-10)
    tolerance = 1e-3 if (name, dtype) == ("LBFGS", "float32") else tolerance  # which ends where rounding decides
    np.testing.assert_allclose(flat(params), TORCH["optimizers"][f"{name} {i} {dtype}"], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "i"), SCHEDULE_CASES)
def test_rates_are_those_of_torch(name, i):
    np.testing.assert_allclose(rates(*scheduled(jg, name, i)), TORCH["schedules"][f"{name} {i}"], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("name", "i"), SCHEDULE_CASES)
def test_a_schedule_goes_on_from_its_state(name, i):
    optimizer, scheduler = scheduled(jg, name, i)
    whole = rates(optimizer, scheduler)
    optimizer, scheduler = scheduled(jg, name, i)
    rates(optimizer, scheduler, 5)
    other, again = scheduled(jg, name, i)
    other.load_state_dict(optimizer.state_dict())
    again.load_state_dict(scheduler.state_dict())
    assert again.get_last_lr() == scheduler.get_last_lr()
    if name != "ReduceLROnPlateau":  # whose measurements would be those of the first epochs
        np.testing.assert_allclose(rates(other, again, 9), whole[5:], rtol=1e-12)
