"""Optimizers as objects: groups, states, hooks, memory, and what is refused."""

from __future__ import annotations

import copy
import functools
import pickle
import warnings

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import MutatedArgumentError, OverwrittenError, TracedValueError
from jitgrad.optim.compiled import TOGETHER, _at_once
from jitgrad.optim.rule import step_of
from tests.helpers.optimizers import OPTIONS, advanced, flat, start, taken

SGD, Adam = jg.optim.SGD, jg.optim.Adam


def leaf(*values, dtype=jg.float64):
    return jg.tensor(values, dtype=dtype, requires_grad=True)


def stepped(optimizer, *params):
    optimizer.zero_grad()
    sum([(p * p).sum() for p in params]).backward()
    optimizer.step()


# Parameters and their memory.


def test_a_step_is_in_place_for_arrays_and_views_of_the_memory():
    p = leaf(1.0, 2.0)
    array, view = p.detach().numpy(), p.detach()[1:]
    stepped(SGD([p], lr=0.25), p)
    assert (p.tolist(), array.tolist(), view.tolist()) == ([0.5, 1.0], [0.5, 1.0], [1.0])


def test_what_a_graph_saved_is_guarded_against_a_step():
    p = leaf(1.0, 2.0)
    optimizer = SGD([p], lr=0.25)
    loss = (p * p).sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(OverwrittenError, match="changed in place"):
        loss.backward()


def test_parameters_that_are_transposed_or_numbers_or_empty_are_changed():
    p = jg.ones(2, 3).t().requires_grad_()
    q, empty = jg.tensor(2.0, requires_grad=True), jg.zeros(0, requires_grad=True)
    for optimizer in (SGD, Adam):
        stepped(optimizer([p, q, empty], lr=0.25), p, q, empty)
    assert (p.shape, p.dtype, q.dtype) == ((3, 2), jg.float32, jg.float32)
    assert (p.detach() == p.detach()[0, 0]).all()
    np.testing.assert_allclose([p[0, 0].item(), q.item()], [0.25, 0.75], rtol=1e-6)


@pytest.mark.parametrize("dtype", [jg.float16, jg.bfloat16])
@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "LBFGS"])
def test_half_precision_stays_so(name, dtype):
    p = leaf(1.0, -2.0, dtype=dtype)
    p = p if name != "Muon" else p.detach().unsqueeze(0).requires_grad_()
    optimizer = getattr(jg.optim, name)([p])
    stepped(optimizer, p)
    assert p.dtype is dtype
    assert {x.dtype for x in optimizer.state[p].values() if x.ndim} <= {dtype}
    assert abs(p.flatten()[0].item()) <= 1
    assert p.flatten()[1].item() > -2.01


def test_parameters_without_a_gradient_stay_and_get_no_state():
    p, q = leaf(1.0), leaf(1.0)
    optimizer = Adam([p, q])
    stepped(optimizer, p)
    assert q.tolist() == [1.0]
    assert q not in optimizer.state


def test_zero_grad():
    p = leaf(1.0, 2.0)
    optimizer = SGD([p])
    (p * p).sum().backward(create_graph=True)
    held = p.grad
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is held
    assert (p.grad.tolist(), p.grad.requires_grad) == ([0.0, 0.0], False)
    optimizer.zero_grad()
    assert p.grad is None


# Steps.


def test_the_closure_is_run_with_gradients_and_its_loss_returned():
    p = leaf(3.0)
    optimizer = SGD([p], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with jg.no_grad():
        assert optimizer.step(closure).item() == 9
    assert p.tolist() == [0.0]


def test_groups_have_hyperparameters_of_their_own():
    p, q = leaf(1.0), leaf(1.0)
    optimizer = SGD([{"params": [p], "lr": 0.25}, {"params": q, "maximize": True}], lr=0.125)
    stepped(optimizer, p, q)
    assert (p.tolist(), q.tolist()) == ([0.5], [1.25])
    optimizer.add_param_group({"params": [r := leaf(1.0)], "lr": 0.5})
    optimizer.param_groups[0]["lr"] = 0.0
    stepped(optimizer, p, q, r)
    assert (p.tolist(), r.tolist()) == ([0.5], [0.0])


def test_another_rate_needs_no_other_tape():
    p = leaf(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
    optimizer = jg.optim.Adamax([p])
    stepped(optimizer, p)
    tapes = len(step_of(optimizer.made.rule)._compiled.tapes())
    for optimizer.param_groups[0]["lr"] in (0.5, 0.0, 0.25):
        stepped(optimizer, p)
    assert len(step_of(optimizer.made.rule)._compiled.tapes()) == tapes


@pytest.mark.parametrize("name", ["NAdam", "Muon"])  # the rules of most rows
def test_many_parameters_are_changed_by_the_machine_code_of_a_few(name):
    shape = (3, 5)
    params = [jg.full(shape, 1.0 + i).requires_grad_() for i in range(3 * TOGETHER + 1)]
    optimizer = getattr(jg.optim, name)(params, lr=0.1)
    before = len(step_of(optimizer.made.rule)._compiled.tapes())
    for p in params:
        p.grad = p.detach().clone()
    optimizer.step()
    assert len(step_of(optimizer.made.rule)._compiled.tapes()) <= before + 2
    assert "machine:" not in str(step_of(optimizer.made.rule).report()).rpartition("rows recorded")[2]
    for p in params[:: TOGETHER + 1]:
        alone = p.grad.clone().requires_grad_()
        alone.grad = p.grad
        getattr(jg.optim, name)([alone], lr=0.1).step()
        np.testing.assert_allclose(p.detach(), alone.detach(), rtol=1e-5)


def test_the_rate_may_be_a_tensor():
    p = leaf(1.0)
    optimizer = SGD([p], lr=jg.tensor(0.25))
    stepped(optimizer, p)
    optimizer.param_groups[0]["lr"].fill_(0.5)
    stepped(optimizer, p)
    assert p.tolist() == [0.0]


def test_hooks_around_steps():
    p, seen = leaf(1.0), []
    optimizer = SGD([p])
    before = optimizer.register_step_pre_hook(lambda *given: seen.append(("before", given)))
    optimizer.register_step_post_hook(lambda *given: seen.append(("after", given)))
    optimizer.step()
    before.remove()
    optimizer.step()
    assert seen == [(when, (optimizer, (optimizer,), {})) for when in ("before", "after", "after")]
    changing = optimizer.register_step_pre_hook(lambda optimizer, args, kwargs: ((optimizer, lambda: 7), {}))
    assert optimizer.step() == 7
    changing.remove()
    optimizer.register_step_pre_hook(lambda *_: 3)
    with pytest.raises(RuntimeError, match="returns None or"):
        optimizer.step()


def test_an_optimizer_of_ones_own():
    class Signs(jg.optim.Optimizer):
        def __init__(self, params, lr=0.5):
            super().__init__(params, {"lr": lr})

        @jg.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.sub_(group["lr"] * p.grad.sign())

    p = leaf(3.0, -1.0)
    optimizer = Signs([p])
    scheduler = jg.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    for _ in range(2):
        stepped(optimizer, p)
        scheduler.step()
    assert p.tolist() == [2.25, -0.25]
    with pytest.raises(NotImplementedError, match="derive"):
        jg.optim.Optimizer([p], {}).step()


@pytest.mark.parametrize("make", [lambda p: p, lambda p: p.detach().requires_grad_()])
def test_what_is_there_twice_is_changed_twice(make):
    p, q = leaf(1.0, 2.0), leaf(3.0)
    again = make(p)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="a group of parameters has one of them twice")
        optimizer = SGD([p, q, again], lr=0.25)
    p.grad, again.grad, q.grad = p.detach() * 0 + 1, p.detach() * 0 + 1, q.detach() * 0 + 2
    optimizer.step()
    assert (p.tolist(), q.tolist()) == ([0.5, 1.5], [2.5])


def test_parts_of_one_vector_are_changed_by_one_call():
    flat = jg.ones(40, dtype=jg.float64)
    parts = [flat[2 * i : 2 * i + 2].detach().requires_grad_() for i in range(20)]
    optimizer = SGD(parts, lr=0.25)
    for p in parts:
        p.grad = p.detach() * 2
    optimizer.step()
    assert flat.tolist() == [0.5] * 40
    assert len(_at_once(parts)[0]) == TOGETHER


# States.


@pytest.mark.parametrize("name", OPTIONS)
def test_an_optimizer_goes_on_from_its_state(name):
    options = OPTIONS[name][1]

    run = functools.partial(advanced, jg)

    def begun():
        params = [jg.tensor(a).requires_grad_() for a in start("float64")]
        return params, getattr(jg.optim, name)(taken(name, params), **options)

    whole = flat(run(*begun(), 6)[0])
    params, optimizer = run(*begun(), 3)
    others = [p.detach().clone().requires_grad_() for p in params]
    again = getattr(jg.optim, name)(taken(name, others))  # with other options, which the state has
    again.load_state_dict(pickle.loads(pickle.dumps(optimizer.state_dict())))
    both = copy.deepcopy((params, optimizer))
    for pair in ((params, optimizer), (others, again), both):
        np.testing.assert_allclose(flat(run(*pair, 3)[0]), whole, rtol=1e-12)


def test_hooks_stay_with_their_optimizer():
    p = leaf(1.0)
    optimizer = SGD([p], lr=0.25)
    optimizer.register_step_pre_hook(lambda *_: pytest.fail("a copy has no hooks"))
    for other in (pickle.loads(pickle.dumps(optimizer)), copy.deepcopy(optimizer)):
        (q,) = other.param_groups[0]["params"]
        stepped(other, q)
        assert q.tolist() == [0.5]


def test_a_state_of_torch_is_taken():
    """The dict is what PyTorch's `state_dict()` gave, its tensors turned into arrays."""
    exact = {"step": np.array(2.0, np.float32), "exp_avg": np.array([0.38, 0.76]), "exp_avg_sq": np.array([0.0079, 0.0319])}
    group = {"lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-08, "weight_decay": 0, "amsgrad": False, "maximize": False}
    group |= {"foreach": None, "capturable": False, "differentiable": False, "fused": None, "decoupled_weight_decay": False}
    given = {"state": {0: exact}, "param_groups": [group | {"params": [0]}]}
    p = leaf(1.0, 2.0, dtype=jg.float32)
    optimizer = Adam([p])
    assert optimizer.state_dict()["param_groups"][0].keys() == given["param_groups"][0].keys()
    optimizer.load_state_dict(given)
    state = optimizer.state[p]
    assert (state["step"].dtype, state["exp_avg"].dtype, state["step"].item()) == (jg.float32, jg.float32, 2)
    assert optimizer.param_groups[0]["lr"] == 0.1
    stepped(optimizer, p)
    assert optimizer.state[p]["step"].item() == 3


def test_a_state_that_does_not_fit_is_refused():
    p, q = leaf(1.0), leaf(2.0)
    for others in ([p, q], [{"params": p}, {"params": q}]):
        with pytest.raises(ValueError, match=r"groups of \["):
            SGD([p]).load_state_dict(SGD(others).state_dict())


def test_what_remembers_nothing_has_no_state():
    p = leaf(1.0)
    optimizer = SGD([p], lr=0.25)
    stepped(optimizer, p)
    assert optimizer.state_dict()["state"] == {}
    assert p not in optimizer.state
    optimizer.param_groups[0]["momentum"] = 0.5
    stepped(optimizer, p)
    assert list(optimizer.state_dict()["state"][0]) == ["momentum_buffer"]


def test_names_and_text():
    p = leaf(1.0)
    optimizer = SGD([("weight", p)], lr=0.5)
    assert optimizer.param_groups[0]["param_names"] == ["weight"]
    assert repr(SGD([p], lr=0.5)).splitlines()[:4] == [
        "SGD (",
        "Parameter Group 0",
        "    dampening: 0",
        "    differentiable: False",
    ]
    assert repr(jg.optim.functional.sgd(0.5)).startswith("sgd(lr=0.5, momentum=0")


# What is refused.


def test_bad_parameters_are_refused():
    p = leaf(1.0)
    for params, error, text in (
        (p, TypeError, r"write \[tensor\]"),
        ([], ValueError, "no parameters"),
        ([1.0], TypeError, "was given float"),
        ([np.ones(2)], TypeError, "was given ndarray"),
        ([p * 2], ValueError, "result of mul"),
        ([{"params": {p}}], TypeError, "not a set"),
        ([{"params": [p]}, {"params": [p]}], ValueError, "more than one group"),
        ([("w", p), leaf(2.0)], ValueError, "pairs of name"),
        ([{"params": [p]}, [p]], TypeError, "is a dict"),
    ):
        with pytest.raises(error, match=text):
            SGD(params)
    with pytest.warns(UserWarning, match="twice"):
        SGD([p, p])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda p: SGD(p, lr=-1), r"lr must be in \[0, ∞\), and it is -1"),
        (lambda p: SGD(p, momentum=-1), "momentum"),
        (lambda p: SGD(p, nesterov=True), "nesterov needs momentum"),
        (lambda p: SGD([{"params": p, "weight_decay": -1.0}]), "weight_decay"),
        (lambda p: Adam(p, betas=(0.9, 1.0)), r"betas must be in \[0, 1\)"),
        (lambda p: Adam(p, betas=(0.9,)), "two numbers"),
        (lambda p: Adam(p, lr=float("nan")), "lr"),
        (lambda p: jg.optim.Adadelta(p, rho=1.5), "rho"),
        (lambda p: jg.optim.Rprop(p, etas=(1.2, 0.5)), "etas"),
        (lambda p: Adam(p, lr=jg.tensor([0.1, 0.2])), r"lr must be one number for a group, .* shape \[2\]"),
        (lambda p: SGD(p, lr=jg.tensor(-0.1)), "lr must be in"),
        (lambda p: SGD([{"params": p, "momentum": jg.ones(3)}]), "momentum must be one number"),
        (lambda p: jg.optim.LBFGS(p, lr=jg.ones(2)), "lr must be one number"),
        (lambda p: jg.optim.LBFGS([{"params": p}, {"params": [leaf(1.0)]}]), "one group"),
    ],
)
def test_bad_hyperparameters_are_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make([leaf(1.0)])


def test_what_cannot_be_is_said():
    p = leaf(1.0)
    with pytest.raises(NotImplementedError, match=r"functional\.adam"):
        Adam([p], differentiable=True)
    with pytest.raises(TypeError, match="closure"):
        jg.optim.LBFGS([p]).step()
    with pytest.raises(RuntimeError, match="strong_wolfe"):
        jg.optim.LBFGS([p], line_search_fn="golden").step(lambda: p.sum())
    with pytest.raises(TypeError, match="rate"):
        Adam([p], rate=1)
    with pytest.raises(TypeError, match=r"lr must be a number in .*, not str"):
        Adam([p], lr="fast")
    with pytest.raises(RuntimeError, match="fused and foreach"):
        Adam([p], fused=True, foreach=True)
    for other, name in ((SGD, "capturable"), (jg.optim.Adamax, "fused"), (jg.optim.Muon, "foreach")):
        with pytest.raises(TypeError, match=name):
            other([p], **{name: True})
    p.grad = jg.ones(1, dtype=jg.float64)
    optimizer = SGD([p])
    with pytest.raises(MutatedArgumentError):
        jg.jit(lambda x: optimizer.step() or x)(p.detach())
    for transform in (jg.jit, jg.vmap):
        with pytest.raises(TracedValueError, match=r"functional\.sgd"):
            transform(_stepped_inside)(jg.ones(2, 3))


def _stepped_inside(g):
    p = jg.zeros(*g.shape, requires_grad=True)
    p.grad = g * 2
    SGD([p]).step()
    return p


def test_a_schedule_before_any_step_warns():
    optimizer = SGD([leaf(1.0)])
    scheduler = jg.optim.lr_scheduler.StepLR(optimizer, 1)
    with pytest.warns(UserWarning, match=r"optimizer.step\(\) first"):
        scheduler.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step()
        scheduler.step()
