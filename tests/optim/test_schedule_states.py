"""States of schedules have PyTorch's names, so that those of either are taken by the other."""

from __future__ import annotations

import json
import pickle

import pytest

import jitgrad as jg

L = jg.optim.lr_scheduler
COMMON = {"_last_lr", "_step_count", "base_lrs", "last_epoch"}
CYCLIC = {
    "mode",
    "gamma",
    "scale_mode",
    "step_ratio",
    "total_size",
    "max_lrs",
    "cycle_momentum",
    "base_momentums",
    "max_momentums",
}
PLATEAU = {"mode", "factor", "patience", "threshold", "threshold_mode", "cooldown", "eps", "min_lrs", "default_min_lr", "best"}

# The names are those of `state_dict()` in PyTorch 2.13, without two flags of its own that say where in a call it is.
KINDS = {
    "LambdaLR": (lambda o: L.LambdaLR(o, lambda epoch: 0.5**epoch), COMMON | {"lr_lambdas"}),
    "StepLR": (lambda o: L.StepLR(o, 2), COMMON | {"step_size", "gamma"}),
    "CyclicLR": (lambda o: L.CyclicLR(o, 0.01, 0.1, 4), COMMON | CYCLIC | {"use_beta1", "_scale_fn_custom"}),
    "CyclicLR, scale_fn": (
        lambda o: L.CyclicLR(o, 0.01, 0.1, 4, scale_fn=lambda n: 0.5**n),
        COMMON | CYCLIC | {"use_beta1", "_scale_fn_custom"},
    ),
    "OneCycleLR": (
        lambda o: L.OneCycleLR(o, 0.1, total_steps=12, three_phase=True),
        COMMON | {"total_steps", "cycle_momentum", "use_beta1", "_anneal_func_type", "_schedule_phases"},
    ),
    "ReduceLROnPlateau": (
        lambda o: L.ReduceLROnPlateau(o, patience=1),
        PLATEAU | {"_last_lr", "last_epoch", "mode_worse", "num_bad_epochs", "cooldown_counter"},
    ),
    "SWALR": (lambda o: jg.optim.swa_utils.SWALR(o, 0.05), COMMON | {"anneal_epochs", "_anneal_strategy"}),
}


def begun(make, cls=jg.optim.SGD):
    p = jg.ones(2, requires_grad=True)
    p.grad = jg.ones(2)
    optimizer = cls([p], lr=0.1, **{"momentum": 0.9} if cls is jg.optim.SGD else {})
    return optimizer, make(optimizer)


def rates(optimizer, scheduler, steps):
    found = []
    for k in range(steps):
        optimizer.step()
        scheduler.step(*[1.0 + k % 2] * isinstance(scheduler, L.ReduceLROnPlateau))
        found.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0].get("momentum")))
    return found


@pytest.mark.parametrize("cls", [jg.optim.SGD, jg.optim.Adam])
@pytest.mark.parametrize("name", KINDS)
def test_a_schedule_goes_on_from_its_state(name, cls):
    make, keys = KINDS[name]
    optimizer, scheduler = begun(make, cls)
    rates(optimizer, scheduler, 3)
    states = pickle.loads(pickle.dumps((optimizer.state_dict(), scheduler.state_dict())))
    assert states[1].keys() == keys
    other, again = begun(make, cls)
    other.load_state_dict(states[0])
    again.load_state_dict(states[1])
    assert rates(other, again, 6) == rates(optimizer, scheduler, 6)


class Halved:
    def __init__(self, power):
        self.power = power

    def __call__(self, n):
        return self.power**n


def test_a_callable_object_is_kept_by_what_it_holds():
    _, scheduler = begun(lambda o: L.CyclicLR(o, 0.01, 0.1, 4, scale_fn=Halved(0.5)))
    state = scheduler.state_dict()
    assert state["_scale_fn_custom"] == {"power": 0.5}
    _, other = begun(lambda o: L.CyclicLR(o, 0.01, 0.1, 4, scale_fn=Halved(0.9)))
    other.load_state_dict(state)
    assert other._scale_fn_custom.power == 0.5


def test_a_state_of_torch_is_taken():
    """What PyTorch's `OneCycleLR(o, 0.1, total_steps=10, three_phase=True, anneal_strategy="linear")` gave after a step."""
    text = """{"total_steps": 10, "_schedule_phases": [
    {"end_step": 2.0, "start_lr": "initial_lr", "end_lr": "max_lr",
     "start_momentum": "max_momentum", "end_momentum": "base_momentum"},
    {"end_step": 4.0, "start_lr": "max_lr", "end_lr": "initial_lr",
     "start_momentum": "base_momentum", "end_momentum": "max_momentum"},
    {"end_step": 9, "start_lr": "initial_lr", "end_lr": "min_lr",
     "start_momentum": "max_momentum", "end_momentum": "max_momentum"}],
    "_anneal_func_type": "linear", "cycle_momentum": true, "use_beta1": false, "base_lrs": [0.004], "last_epoch": 1,
    "_step_count": 2, "_is_initial": false, "_get_lr_called_within_step": false, "_last_lr": [0.052]}"""
    optimizer, scheduler = begun(lambda o: L.OneCycleLR(o, 0.1, total_steps=10))
    scheduler.load_state_dict(json.loads(text))
    assert [rate for rate, _ in rates(optimizer, scheduler, 4)] == pytest.approx([0.1, 0.052, 0.004, 0.00320008])
