"""Means of parameters over training, and optimizers that keep means in their state."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.optim import swa_utils
from jitgrad.optim.swa_utils import AveragedModel

VALUES = np.array([[1.0, -2.0], [4.0, 0.5], [2.5, 3.0], [-1.0, 8.0]])
EQUAL = VALUES.mean(axis=0)
RECENT = 0.125 * VALUES[0] + 0.125 * VALUES[1] + 0.25 * VALUES[2] + 0.5 * VALUES[3]


class Model:
    """What has parameters and buffers, as PyTorch's modules do."""

    def __init__(self):
        self.w = jg.zeros(2, dtype=jg.float64).requires_grad_()
        self.seen = jg.zeros(2, dtype=jg.float64)

    def parameters(self):
        yield self.w

    def buffers(self):
        yield self.seen

    def __call__(self, x):
        return self.w * x + self.seen

    def set(self, values):
        for x in (self.w, self.seen):
            x.detach().copy_(jg.tensor(values))


def averaged(model, change, **options):
    mean = AveragedModel(model, **options)
    for values in VALUES:
        change(values)
        mean.update_parameters(model)
    return mean


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, EQUAL),
        ({"avg_fn": swa_utils.get_swa_avg_fn()}, EQUAL),
        ({"multi_avg_fn": swa_utils.get_swa_multi_avg_fn()}, EQUAL),
        ({"avg_fn": swa_utils.get_ema_avg_fn(0.5)}, RECENT),
        ({"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.5)}, RECENT),
        ({"avg_fn": lambda mean, current, n: mean + n * current}, VALUES.T @ [1, 1, 2, 3]),
    ],
)
def test_means_of_nested_parameters_and_of_objects(options, wanted):
    params = {"layers": [{"w": jg.zeros(2, dtype=jg.float64)}]}
    mean = averaged(params, lambda values: params["layers"][0]["w"].copy_(jg.tensor(values)), **options)
    np.testing.assert_allclose(mean.module["layers"][0]["w"].numpy(), wanted)
    assert int(mean.n_averaged) == len(VALUES)

    model = Model()
    mean = averaged(model, model.set, **options)
    (w,) = mean.parameters()
    assert w.requires_grad
    assert w is not model.w
    np.testing.assert_allclose(w.detach().numpy(), wanted)
    np.testing.assert_allclose(mean(2.0).detach().numpy(), 2 * wanted + VALUES[-1])
    np.testing.assert_allclose(averaged(model, model.set, use_buffers=True, **options).module.seen.numpy(), wanted)


def test_a_mean_goes_on_from_its_state():
    params = [jg.zeros(2, dtype=jg.float64)]
    first = AveragedModel(params)
    for values in VALUES[:2]:
        params[0].copy_(jg.tensor(values))
        first.update_parameters(params)
    second = AveragedModel(params)
    second.load_state_dict(first.state_dict())
    for values in VALUES[2:]:
        params[0].copy_(jg.tensor(values))
        second.update_parameters(params)
    np.testing.assert_allclose(second.module[0].numpy(), EQUAL)
    np.testing.assert_allclose(first.module[0].numpy(), VALUES[:2].mean(axis=0))


def test_what_is_no_model_or_another_is_refused():
    with pytest.raises(TypeError, match=r"tensors, nested in any way, or of an object with parameters.*given int"):
        AveragedModel({"w": 3})
    with pytest.raises(ValueError, match=r"shapes \[\[2\]\], and the model has \[\[3\]\]"):
        AveragedModel([jg.ones(2)]).update_parameters([jg.ones(3)])
    with pytest.raises(AssertionError, match="both were given"):
        AveragedModel([jg.ones(2)], avg_fn=swa_utils.get_swa_avg_fn(), multi_avg_fn=swa_utils.get_swa_multi_avg_fn())
    with pytest.raises(ValueError, match=r"decay must be in \[0, 1\]"):
        swa_utils.get_ema_avg_fn(1.5)
    optimizer = jg.optim.SGD([jg.ones(2).requires_grad_()])
    with pytest.raises(ValueError, match="'cos' or 'linear', not 'steps'"):
        swa_utils.SWALR(optimizer, 0.1, anneal_strategy="steps")
    with pytest.raises(ValueError, match="an int from 0 on"):
        swa_utils.SWALR(optimizer, 0.1, anneal_epochs=-1)


def test_the_mean_of_averaged_descent_is_of_what_came_after_the_start():
    w = jg.tensor([4.0, 2.0], dtype=jg.float64, requires_grad=True)
    optimizer = jg.optim.ASGD([w], lr=0.1, t0=2)
    seen = []
    for _ in range(6):
        w.grad = w.detach().clone()
        optimizer.step()
        seen.append(w.detach().numpy().copy())
    np.testing.assert_allclose(optimizer.state[w]["ax"].numpy(), np.mean(seen[3:], axis=0), rtol=1e-6)


def test_optimizers_of_matrices_refuse_what_they_cannot_change():
    matrix, vector = jg.ones(2, 3).requires_grad_(), jg.ones(3).requires_grad_()
    number = jg.ones(2, 2, dtype=jg.complex64).requires_grad_()
    for make in (jg.optim.Muon, lambda params: jg.optim.functional.muon().init(params)):
        with pytest.raises(ValueError, match=r"a parameter has shape \[3\]: give vectors"):
            make([matrix, vector])
    for make in (jg.optim.Muon, jg.optim.Adafactor, lambda params: jg.optim.functional.adafactor().init(params)):
        with pytest.raises(RuntimeError, match=r"\[2, 2\] is complex.*view_as_real"):
            make([number])
    with pytest.raises(ValueError, match="'original' or 'match_rms_adamw'"):
        jg.optim.Muon([matrix], adjust_lr_fn="none")
    with pytest.raises(ValueError, match="three numbers"):
        jg.optim.Muon([matrix], ns_coefficients=(1.0, 2.0))
    with pytest.raises(ValueError, match=r"ns_steps must be in \[0, 100\)"):
        jg.optim.Muon([matrix], ns_steps=100)
    with pytest.raises(ValueError, match=r"d must be in \[1, ∞\)"):
        jg.optim.Adafactor([matrix], d=0.5)


def test_a_state_that_lacks_a_hyperparameter_gets_its_default():
    w = jg.ones(2).requires_grad_()
    optimizer = jg.optim.AdamW([w])
    state = optimizer.state_dict()
    state["param_groups"] = [
        {name: value for name, value in group.items() if name != "amsgrad"} for group in state["param_groups"]
    ]
    optimizer.load_state_dict(state)
    w.grad = jg.ones(2)
    optimizer.step()
    assert optimizer.param_groups[0]["amsgrad"] is False
