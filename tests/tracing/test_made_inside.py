"""Under eager vmap a function may change what it made itself, in whatever way; no value of one call stays for the next."""

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import MutatedArgumentError


def written(b, x):
    b[0] = x[0]
    return b


def accumulated(x):
    acc = jg.tensor(0.0) * 1
    for i in range(2):
        acc += x[i]
    return acc


MADE = {
    "product": lambda x: written(jg.zeros(2) * 1, x),
    "clone": lambda x: written(jg.zeros(2).clone(), x),
    "stack": lambda x: written(jg.stack([jg.tensor(0.0), jg.tensor(0.0)]), x),
    "sum": accumulated,
    "view": lambda x: written((jg.zeros(2, 2) + 0)[1], x),
    "cat": lambda x: written(jg.cat([jg.zeros(1), jg.zeros(1)]), x),
    "exp": lambda x: written(jg.zeros(2).exp() - 1, x),
    "inner": lambda x: written(jg.zeros(2) @ jg.zeros(2, 2), x),
}


@pytest.mark.parametrize("name", MADE)
def test_what_was_made_inside_may_be_changed(name):
    x = jg.tensor([[1.0, 2.0], [3.0, 5.0]])
    f = MADE[name]
    right = jg.stack([f(row) for row in x]).numpy()
    for g in (jg.vmap(f), jg.vmap(jg.jit(f)), jg.jit(jg.vmap(f)), jg.vmap(f, chunk_size=1)):
        assert np.array_equal(g(x).numpy(), right)
    slopes = jg.vmap(jg.grad(lambda row: f(row).sum()))(x).numpy()
    assert np.array_equal(slopes, [[1, 1], [1, 1]] if name == "sum" else [[1, 0], [1, 0]])


def test_what_comes_of_a_shared_argument_may_be_changed_and_keeps_its_gradient():
    def f(x, b0):
        return (written(b0 * 1, x) * 2).sum()

    x, b0 = jg.ones(3, 2), jg.tensor([5.0, 7.0], requires_grad=True)
    assert np.array_equal(jg.vmap(jg.grad(f), (0, None))(x, b0).detach().numpy(), [[2, 0]] * 3)
    jg.vmap(f, (0, None))(x, b0).sum().backward()
    assert np.array_equal(b0.grad.numpy(), [0, 6])


def test_what_the_caller_holds_may_not():
    held = jg.zeros(2)
    for make in (lambda: held, lambda: held[:], lambda: held.reshape(2), lambda: held.view(2), lambda: held.detach()):
        with pytest.raises(MutatedArgumentError):
            jg.vmap(lambda x, make=make: written(make(), x))(jg.ones(2, 2))
    assert held.tolist() == [0.0, 0.0]


def test_no_value_of_an_earlier_call_stays():
    now = [1.0]

    def f(x):
        made = jg.tensor([now[0], 0.0]) * 1
        inner = jg.jit(lambda y: y + made * 2)
        first = inner(x)
        made[1] = x[1]
        return first + jg.jit(lambda y: y * made)(x)

    g = jg.vmap(f)
    for value in (1.0, 2.0, 3.0):
        now[0] = value
        assert np.array_equal(g(jg.ones(2, 2)).numpy(), [[1 + 3 * value, 2.0]] * 2)
