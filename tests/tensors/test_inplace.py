"""In-place operations, views, and memory that NumPy shares: right, or an error, never a silently wrong gradient."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import OverwrittenError
from jitgrad.functions.data import tensor
from jitgrad.ops import TABLE

quick = pytest.mark.quick


def leaf(*values: float) -> Any:
    return tensor(values, dtype=jg.float64, requires_grad=True)


# What PyTorch users write.


@quick
def test_a_step_of_gradient_descent() -> None:
    w = leaf(1, 2)
    before = id(w)
    for _ in range(3):
        (w * w).sum().backward()
        with jg.no_grad():
            w -= 0.25 * w.grad
        w.grad.zero_()
    assert w.tolist() == [0.125, 0.25]
    assert w.is_leaf
    assert w.requires_grad
    assert id(w) == before
    with jg.no_grad():
        w.add_(w, alpha=-1)
    assert w.tolist() == [0, 0]


@quick
def test_in_place_methods_return_the_tensor_and_keep_its_dtype() -> None:
    x = tensor([1.0, 4.0])
    assert x.mul_(2).add_(1).sqrt_() is x
    assert x.tolist() == [np.float32(np.sqrt(3)), 3]
    assert x.add_(tensor([1.0, 1.0], dtype=jg.float64)).dtype is jg.float32
    assert x.fill_(7).tolist() == [7, 7]
    assert x.copy_(np.array([1, 2])).tolist() == [1, 2]
    assert x.zero_().tolist() == [0, 0]
    assert tensor([1, 2]).fill_(3.7).tolist() == [3, 3]
    y = tensor([7, 8])
    y //= 2
    y **= 2
    y %= 5
    y -= 1
    y *= 3
    assert y.tolist() == [9, 0]
    y &= 8
    y |= 1
    y ^= 3
    assert y.tolist() == [10, 2]
    z = tensor(1.0)
    z += 1
    z /= 4
    assert z.item() == 0.5


IN_PLACE = [op for op in TABLE.values() if op.elementwise and hasattr(jg.Tensor, op.name + "_")]


@pytest.mark.parametrize("op", IN_PLACE, ids=lambda op: op.name)
def test_every_row_in_place_is_the_row(op: Any) -> None:
    floating = op.result != "integer"
    data = np.array([0.25, 0.5, 0.75]) if floating else np.array([1, 2, 3])
    rest = [tensor(data + 1) for _ in op.inputs[1:]]
    more: dict[str, Any] = {"min": 0.4} if op.name == "clamp" else {}
    if op.name == "polygamma":
        return
    wanted = getattr(jg, op.name)(tensor(data), *rest, **more)
    x = tensor(data)
    view = x[:]
    assert getattr(x, op.name + "_")(*rest, **more) is x
    np.testing.assert_array_equal(x.numpy(), wanted.numpy())
    np.testing.assert_array_equal(view.numpy(), wanted.numpy())
    if op.differentiable and floating and not op.holes():
        u, v = leaf(*data), leaf(*data)
        getattr(u * 1, op.name + "_")(*rest, **more).sum().backward()
        getattr(jg, op.name)(v, *rest, **more).sum().backward()
        np.testing.assert_array_equal(u.grad.numpy(), v.grad.numpy())


# Views.


@quick
def test_writes_to_views_reach_the_base_and_other_views() -> None:
    x = jg.arange(6.0)
    matrix, tail, flat = x.view(2, 3), x[1:], x.reshape(-1)
    tail.mul_(2)
    matrix.t()[0] = -1
    matrix.unsqueeze(0).squeeze(0)[1, 2:].zero_()
    assert x.tolist() == flat.tolist() == [-1, 2, 4, -1, 8, 0]
    first, second = x.split(3)
    first.add_(second)
    x.expand(6).add_(1)
    assert x.tolist() == [-1, 11, 5, 0, 9, 1]
    assert x.detach().fill_(3) is not x
    assert x.tolist() == [3] * 6
    for copy in (x.clone(), x[[0, 1]], x[x > 0], +x.t().contiguous() + 0, jg.cat([x]), x.flip(0), x.double(), x.relu()):
        copy.zero_()
    assert x.tolist() == [3] * 6


VIEWS: list[tuple[str, Callable[[Any], Any]]] = [
    ("slice", lambda x: x[1:]),
    ("int", lambda x: x[1]),
    ("column", lambda x: x[:, 1]),
    ("step", lambda x: x[:, ::2]),
    ("t", lambda x: x.t()),
    ("view", lambda x: x.view(-1)),
    ("reshape", lambda x: x.reshape(3, 2)),
    ("unsqueeze", lambda x: x.unsqueeze(1)),
    ("None", lambda x: x[:, None]),
    ("narrow", lambda x: x.narrow(0, 0, 1)),
    ("split", lambda x: x.split(1)[1]),
    ("unbind", lambda x: x.unbind(1)[0]),
    ("flatten", lambda x: x.flatten()),
    ("chain", lambda x: x.t()[1:].unsqueeze(0)[..., 0]),
    ("deep", lambda x: x[0:2][1:][0][1:]),
    ("all", lambda x: x[...]),
    ("movedim", lambda x: x.movedim(0, 1)),
    ("select", lambda x: x.select(1, 2)),
    ("self", lambda x: x),
]
WRITES: list[tuple[str, Callable[[Any, Any], Any]]] = [
    ("mul_", lambda v, w: v.mul_(3)),
    ("mul_ w", lambda v, w: v.mul_(w)),
    ("add_", lambda v, w: v.add_(w)),
    ("set", lambda v, w: v.__setitem__(..., w)),
    ("zero_", lambda v, w: v.zero_()),
    ("fill_", lambda v, w: v.fill_(w)),
    ("exp_", lambda v, w: v.exp_()),
    ("copy_", lambda v, w: v.copy_(w)),
    ("const", lambda v, w: v.fill_(2)),
]


def functional(x: Any, view: Callable[[Any], Any], write: Callable[[Any, Any], Any], w: Any) -> Any:
    """The same without writing: the new values of the viewed elements put into a copy by their positions."""
    places = view(jg.arange(6).reshape(2, 3)).reshape(-1)
    part = view(x).clone()
    write(part, w)
    flat = x.reshape(-1).clone()
    flat[places] = part.reshape(-1)
    return flat.reshape(2, 3)


@pytest.mark.parametrize(("view", "write"), [*itertools.product(VIEWS, WRITES)], ids=lambda p: p[0])
def test_gradients_through_writes_to_views(view: Any, write: Any) -> None:
    grads = []
    for in_place in (True, False):
        x, w = tensor(np.linspace(0.2, 1.2, 6).reshape(2, 3), requires_grad=True), leaf(0.7).reshape(())
        w = w.detach().requires_grad_()
        base = x * 1
        early = base * 2  # saved nothing of base, so it is not disturbed
        if in_place:
            other, seen = base.t(), view[1](base)
            write[1](seen, w)
            late = other.t() * other.t() + (view[1](base) * seen).sum()
        else:
            base = functional(base, view[1], write[1], w)
            late = base * base + (view[1](base) * view[1](base)).sum()
        (late * early).sum().backward()
        grads.append((late.detach().numpy(), x.grad.numpy(), None if w.grad is None else w.grad.numpy()))
    for got, wanted in zip(*grads):
        if wanted is None or got is None:
            assert got is None or not got.any()
        else:
            np.testing.assert_allclose(got, wanted, rtol=1e-12)


@quick
def test_a_plain_buffer_that_takes_recorded_values() -> None:
    x, out = leaf(1, 2, 3), jg.zeros(3, dtype=jg.float64)
    early = out[1:]
    for i in range(3):
        out[i] = x[i] ** 2
    assert out.requires_grad
    assert early.requires_grad
    (out[0] + early.sum() * 2).backward()
    assert x.grad.tolist() == [2, 8, 12]
    zeroed = x * 1
    zeroed.zero_()
    assert zeroed.requires_grad  # and passes zeros on
    (g,) = jg.autograd.grad(zeroed.sum(), x)
    assert g.tolist() == [0, 0, 0]


@quick
def test_second_derivatives_through_in_place() -> None:
    x = leaf(0.5, 1.5)
    y = x * 1
    y[1:].mul_(x[0])
    y.mul_(y.detach() * 0 + x)
    (g,) = jg.autograd.grad(y.sum(), x, create_graph=True)  # y = [x0 x0, x0 x1 x1]
    np.testing.assert_allclose(g.tolist(), [2 * 0.5 + 1.5**2, 2 * 0.5 * 1.5])
    (h,) = jg.autograd.grad(g[0] * 2 + g[1] * 3, x)
    np.testing.assert_allclose(h.tolist(), [2 * 2 + 3 * 2 * 1.5, 2 * 2 * 1.5 + 3 * 2 * 0.5])
    z = x * 1
    (g,) = jg.autograd.grad((z * z * z).sum(), x, create_graph=True)
    z.add_(1)
    with pytest.raises(OverwrittenError):
        g.sum().backward()


# Overwritten values.

SAVED: list[tuple[str, Callable[[Any], Any]]] = [
    ("square", lambda y: y * y),
    ("exp out", lambda y: y.exp()),
    ("sin", lambda y: y.sin()),
    ("div", lambda y: 1 / y),
    ("matmul", lambda y: y @ y),
    ("prod", lambda y: y.prod()),
    ("max", lambda y: y.amax()),
    ("pow", lambda y: y**3),
    ("std", lambda y: y.std()),
    ("relu out", lambda y: y.relu()),
    ("norm", lambda y: y.norm()),
    ("softmax out", lambda y: y.softmax(0)),
    ("view", lambda y: y.view(1, 2) * y.view(1, 2)),
    ("slice", lambda y: y[1:].log()),
]


@quick
@pytest.mark.parametrize("saves", SAVED, ids=lambda p: p[0])
def test_overwriting_a_saved_value_is_an_error(saves: Any) -> None:
    def changes(y: Any, z: Any) -> list[Callable[[], Any]]:
        out = z if saves[0].endswith("out") else y
        return [
            lambda: out.add_(1),
            lambda: out.view(-1)[1:].zero_(),
            lambda: out.__setitem__(-1, 5.0),
            lambda: out.detach().mul_(2),
            lambda: out.data.fill_(3),
        ]

    for k in range(5):
        x = leaf(0.5, 1.5)
        y = x * 1
        z = saves[1](y)
        total = z.sum()
        changes(y, z)[k]()
        with pytest.raises(OverwrittenError, match=r"changed in place after.*clone\(\)"):
            total.backward()
    x = leaf(0.5, 1.5)
    y = x * 1
    saves[1](y.clone()).sum().backward()
    assert x.grad is not None


@quick
def test_results_that_a_tensor_took_over_are_guarded() -> None:
    """`exp_` keeps its result for the sweep, and the tensor takes that very array as its own."""
    for change in (lambda y: y[1:].add_(1), lambda y: y.mul_(y.detach()), lambda y: y.detach().numpy().fill(0)):
        y = (leaf(0.5, 1.5) * 1).exp_()
        change(y)
        with pytest.raises(OverwrittenError):
            y.sum().backward()


@quick
def test_what_is_not_saved_may_be_overwritten() -> None:
    x = leaf(1, 2)
    y = x * 2
    z = y + y
    y.add_(1)
    z.sum().backward()
    assert x.grad.tolist() == [4, 4]
    x.grad = None
    y = x * 2
    y.mul_(y)  # the old value that the product needs is kept before it is overwritten
    y.sum().backward()
    assert x.grad.tolist() == [8, 16]


# Errors.


@quick
def test_leaves_that_require_grad() -> None:
    for change in (lambda x: x.add_(1), lambda x: x.zero_(), lambda x: x.__setitem__(0, 1.0), lambda x: x.fill_(2)):
        x = leaf(1, 2)
        with pytest.raises(RuntimeError, match=r"leaf that requires grad.*no_grad"):
            change(x)
        with pytest.raises(RuntimeError, match=r"view of a leaf"):
            change(x[:])
        with jg.no_grad():
            change(x)
        assert x.is_leaf
        change(x.detach())


@quick
def test_expanded_and_read_only_memory() -> None:
    x = tensor([[1.0], [2.0]])
    for change in (lambda v: v.add_(1), lambda v: v.__setitem__(0, 1.0)):
        with pytest.raises(RuntimeError, match=r"one place in memory.*clone"):
            change(x.expand(2, 3))
    fixed = np.ones(2)
    fixed.flags.writeable = False
    with pytest.raises(RuntimeError, match="read-only"):
        jg.from_numpy(fixed).add_(1)
    assert x.expand(2, 3).clone().add_(1).sum().item() == 15


# Memory shared with NumPy.


@quick
def test_an_array_changed_before_the_sweep() -> None:
    """`from_numpy` and `.numpy()` before saving: the sweep keeps copies, so the gradient is that of the old values."""
    array = np.array([1.0, 2.0])
    w = leaf(1, 1)
    shared = jg.from_numpy(array)
    for make in (lambda: shared, lambda: shared[:], lambda: shared.view(2, 1).reshape(2), lambda: jg.as_tensor(array)):
        array[:] = [1, 2]
        y = (w * make()).sum() + (w * array).sum()
        array[:] = 100
        w.grad = None
        y.backward()
        assert w.grad.tolist() == [2, 4]

    x = tensor([1.0, 2.0], dtype=jg.float64)
    seen = x.numpy()
    y = (w * x).sum()
    seen[0] = 50
    w.grad = None
    y.backward()
    assert w.grad.tolist() == [1, 2]


@quick
def test_an_array_taken_after_saving_and_changed() -> None:
    """The tensor handed its memory out when the sweep had already kept it: a change is noticed by its checksum."""
    for take in (lambda t: t.numpy(), lambda t: np.asarray(t), lambda t: t[:].numpy(), lambda t: t.detach().numpy()):
        w, x = leaf(1, 1), tensor([1.0, 2.0], dtype=jg.float64)
        y = (w * x).sum()
        array = take(x)
        y.backward(retain_graph=True)
        assert w.grad.tolist() == [1, 2]
        array[1] = 7
        with pytest.raises(OverwrittenError, match="NumPy array that shares its memory"):
            y.backward()


@quick
def test_a_parameter_changed_through_its_array() -> None:
    w = leaf(2, 3)
    y = (w * w).sum()
    w.detach().numpy()[0] = 10
    with pytest.raises(OverwrittenError):
        y.backward()
    z = (w * w).sum()
    w.detach().numpy()[0] = 20
    z.backward()
    assert w.grad.tolist() == [20, 6]


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
@pytest.mark.parametrize("dtype", [jg.bfloat16, jg.float16, jg.int8, jg.bool])
def test_zero_of_every_shape(shape, dtype):
    x = jg.ones(shape).to(dtype)
    assert x.zero_() is x
    assert x.dtype is dtype
    assert not x.any()


@pytest.mark.parametrize("change", [lambda v: v.mul_(2), lambda v: v.zero_(), lambda v: v.__setitem__(0, 5.0)])
def test_a_view_made_under_no_grad_is_not_changed_outside_of_it(change):
    x = jg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    for whole in (x, y):
        with jg.no_grad():
            view = whole[:1]
        with pytest.raises(RuntimeError, match="under no_grad"):
            change(view)
    with jg.no_grad():
        change(view)
