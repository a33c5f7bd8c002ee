"""Changes in place of what rows look at: results whose rows saved operands, and what a change itself is computed from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import jitgrad as jg

quick = pytest.mark.quick

SELF = {
    "addcdiv_": lambda a, b: a.addcdiv_(b, a),
    "addcmul_": lambda a, b: a.addcmul_(a, a),
    "addmm_": lambda a, b: a.addmm_(b, a),
    "ldexp_": lambda a, b: a.ldexp_(a),
    "renorm_": lambda a, b: a.renorm_(2, 0, 0.5),
    "float_power_": lambda a, b: a.float_power_(a),
    "a view": lambda a, b: a.t().renorm_(2, 0, 0.5).t(),
}


def start() -> tuple[Any, Any]:
    w = jg.tensor([[1.0, 0.5], [2.0, 3.0]], dtype=jg.float64, requires_grad=True)
    return w, jg.tensor([[0.4, 0.2], [0.8, 0.5]], dtype=jg.float64, requires_grad=True)


class _OutOfPlace:
    """A tensor whose methods in place are those that give another."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __getattr__(self, name: str) -> Callable:
        def call(*args: Any) -> Any:
            found = getattr(self.x, name.rstrip("_"))(*[x.x if isinstance(x, _OutOfPlace) else x for x in args])
            return _OutOfPlace(found)

        return call


@quick
@pytest.mark.parametrize("name", SELF)
def test_what_a_change_is_computed_from_is_kept(name):
    w, v = start()
    want = SELF[name](_OutOfPlace(w * 1), v).x
    got = SELF[name](w * 1, v)
    assert got.tolist() == want.tolist()
    for one, other in zip(*[jg.autograd.grad((y * y).sum(), [w, v], allow_unused=True) for y in (got, want)]):
        assert (one is None and other is None) or jg.allclose(one, other)


@quick
@pytest.mark.parametrize(
    "f", [lambda a, b: a / b, lambda a, b: 2 / b, lambda a, b: (b / 2).erfinv(), lambda a, b: a / (1 + b.abs())]
)
def test_results_whose_rows_save_operands_may_be_changed(f):
    w, v = start()
    want = jg.autograd.grad((f(w, v) * 3 + w).sum(), [w, v])
    y = f(w * 1, v * 1)
    y.mul_(3).add_(w)
    for one, other in zip(jg.autograd.grad(y.sum(), [w, v]), want):
        assert jg.allclose(one, other)
    u = w * 3
    u.div_(v.sin()).add_(w)
    assert jg.allclose(jg.autograd.grad(u.sum(), w)[0], 3 / v.sin() + 1)


NOTHING_MOVED = {
    "roll": lambda a: a.roll(4),
    "roll, dims": lambda a: a.roll(2, 0),
    "channel_shuffle": lambda a: jg.nn.functional.channel_shuffle(a[None], 1),
    "pixel_shuffle": lambda a: jg.nn.functional.pixel_shuffle(a[None], 1),
    "pixel_unshuffle": lambda a: jg.nn.functional.pixel_unshuffle(a[None], 1),
    "unfold": lambda a: jg.nn.functional.unfold(a[None], 1),
    "interpolate": lambda a: jg.nn.functional.interpolate(a[None], size=2),
    "upsample": lambda a: jg.nn.functional.upsample(a[None], 2),
    "max_pool2d": lambda a: jg.nn.functional.max_pool2d(a[None], 1),
    "adaptive_max_pool2d": lambda a: jg.nn.functional.adaptive_max_pool2d(a[None], 2),
    "adaptive_max_pool1d": lambda a: jg.nn.functional.adaptive_max_pool1d(a, 2, True)[0],
}


@quick
@pytest.mark.filterwarnings("ignore:.*upsample")
@pytest.mark.parametrize("name", NOTHING_MOVED)
def test_functions_that_copy_do_so_where_nothing_is_moved(name):
    def f(w):
        a = w * 1
        found = NOTHING_MOVED[name](a)
        a.mul_(3)
        return (found * found).sum()

    x = jg.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=jg.float64)
    for g in (f, jg.jit(f)):
        assert g(x).item() == 30
        assert jg.grad(g)(x).tolist() == (2 * x).tolist()


@quick
def test_a_diagonal_of_linalg_is_a_view():
    a = jg.zeros(2, 3)
    jg.linalg.diagonal(a, offset=1).fill_(2)
    assert a.tolist() == [[0, 2, 0], [0, 0, 2]]
    with pytest.raises(RuntimeError, match="dim1=1 and dim2=-1"):
        jg.linalg.diagonal(a, dim1=1)


@quick
def test_views_of_what_begins_to_require_grad_do_so_too():
    a = jg.ones(4, dtype=jg.float64)
    part, rows, apart, own = a[:2], a.view(2, 2), a.detach(), a[2:].requires_grad_()
    second = part[1:]
    with jg.no_grad():
        a.requires_grad_()
    assert [x.requires_grad for x in (part, rows, second, apart, own)] == [True, True, True, False, True]
    assert own.is_leaf
    (part * jg.tensor([2.0, 3.0], dtype=jg.float64)).sum().backward()
    (rows * rows).sum().backward()
    second.sum().backward()
    assert a.grad.tolist() == [4, 6, 2, 2]
    with pytest.raises(RuntimeError, match="a view of a leaf"):
        part.mul_(2)
    with jg.no_grad():
        part.mul_(2)
    assert a.tolist() == [2, 2, 1, 1]
    a.requires_grad_(False)
    assert not part.requires_grad
    part.mul_(2)
    assert a.tolist() == [4, 4, 1, 1]
