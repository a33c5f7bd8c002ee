"""Anomalies and where they come from, hooks of saved tensors, nodes and their memory, parameters that are arguments."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.autograd.graph import saved_tensors_hooks
from jitgrad.errors import OverwrittenError
from jitgrad.record.trace import lifting


def _root(x: Any) -> Any:
    return x.sqrt()  # the line that is to be named


def test_an_anomaly_names_the_operation_and_the_lines() -> None:
    x = jg.zeros(2, requires_grad=True)
    with jg.autograd.detect_anomaly():
        y = (_root(x) * 0).sum()
        with pytest.raises(
            RuntimeError, match=r"(?s)SqrtBackward0.*_root\(x\) \* 0.*x\.sqrt\(\)  # the line that is to be named"
        ) as error:
            y.backward()
    assert "jitgrad/record" not in str(error.value)
    assert not lifting
    before = (_root(x) * 0).sum()
    with jg.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="switch detect_anomaly on before"):
        before.backward()


def test_an_error_in_a_sweep_warns() -> None:
    class Bad(jg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            raise ZeroDivisionError

    x = jg.ones(2, requires_grad=True)
    with (
        jg.autograd.detect_anomaly(check_nan=False),
        pytest.raises(ZeroDivisionError),
        pytest.warns(UserWarning, match=r"(?s)BadBackward.*Bad\.apply\(x\)\.sum"),
    ):
        Bad.apply(x).sum().backward()


OPERATIONS = {
    "elementwise": lambda x: x.exp() * x,
    "product": lambda x: x @ x,
    "reduction": lambda x: x.prod() + x.logsumexp(0).sum(),
    "indexing": lambda x: x[0] * x[:, jg.tensor([0, 1])].max(),
    "several": lambda x: x.sort(1)[0] * jg.linalg.qr(x)[0],
    "number": lambda x: 2.0**x / 3,
}


@pytest.mark.parametrize("function", OPERATIONS.values(), ids=OPERATIONS)
def test_what_is_packed_is_what_is_used(function: Any) -> None:
    """Values that go through hooks, as copies in another place, give the same gradients, of second order as well."""
    x = jg.tensor([[0.5, 1.5], [2.5, -0.5]], dtype=jg.float64, requires_grad=True)

    def gradients() -> list[Any]:
        y = function(x).sum()
        (g,) = jg.autograd.grad(y, x, create_graph=True)
        (h,) = jg.autograd.grad((g * g).sum(), x)
        return [g.detach(), h]

    plain, packed = gradients(), []
    with saved_tensors_hooks(lambda t: packed.append(t) or (t.shape, t.numpy().dtype, t.numpy().tobytes()), _unpacked):
        found = gradients()
    for a, b in zip(found, plain):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)
    assert packed
    assert not lifting


def _unpacked(packed: Any) -> Any:
    shape, dtype, data = packed
    return jg.from_numpy(np.frombuffer(data, dtype).reshape(shape).copy())


def test_an_identity_is_still_guarded() -> None:
    x = jg.ones(2, requires_grad=True) * 1
    with saved_tensors_hooks(lambda t: t, lambda t: t):
        y = (x * x).sum()
    x.add_(1)
    with pytest.raises(jg.errors.OverwrittenError):
        y.backward()


def test_nodes_hold_no_more_than_their_rows() -> None:
    x = jg.ones(2, requires_grad=True)
    y = (x * 2).exp()
    node = weakref.ref(y.grad_fn)
    assert node() is None  # nobody holds it
    kept = y.grad_fn
    assert kept is y.grad_fn
    row = weakref.ref(y._row)
    gc.disable()
    try:
        del y, kept
        assert row() is None
    finally:
        gc.enable()


def test_a_removed_hook_leaves_nothing() -> None:
    x = jg.ones(2, requires_grad=True)
    handle = x.register_hook(lambda g: g)
    assert x._row.extra
    handle.remove()
    assert x._row.extra is None


class Layer:
    """Holds parameters by names, an index and a key."""

    def __init__(self) -> None:
        self.weight = jg.tensor([1.0, 2.0])
        self.rest = [jg.tensor(3.0), {"bias": jg.tensor(4.0)}]

    def __call__(self, x: Any) -> Any:
        return (self.weight * x).sum() * self.rest[0] + self.rest[1]["bias"]


def test_functional_call() -> None:
    layer, x = Layer(), jg.tensor([5.0, 6.0])
    params = {"weight": jg.tensor([2.0, 1.0]), "rest.0": jg.tensor(1.0), "rest.1.bias": jg.tensor(7.0)}
    call = lambda params, x: jg.func.functional_call(layer, params, (x,))
    assert call(params, x).item() == 23
    assert layer(x).item() == 55  # they are put back
    for f in (jg.grad(call), jg.jit(jg.grad(call))):
        assert {name: g.tolist() for name, g in f(params, x).items()} == {"weight": [5, 6], "rest.0": 16, "rest.1.bias": 1}
    many = {name: jg.stack([p, 2 * p]) for name, p in params.items()}
    assert jg.vmap(call, (0, None))(many, x).tolist() == [23, 78]
    with pytest.raises(RuntimeError, match=r"there is no rest\.5"):
        call({"rest.5": x}, x)
    with pytest.raises(ValueError, match="weight is in two mappings"):
        jg.func.functional_call(layer, [params, {"weight": x}], (x,))
    assert layer(x).item() == 55
    with pytest.raises(AttributeError, match=r"modules.*vmap\(functional_call"):
        _ = jg.func.stack_module_state


def test_what_was_packed_and_changed_since() -> None:
    x = jg.tensor([1.0, 2.0], requires_grad=True)
    kept: list[Any] = []

    def pack(t: Any) -> int:
        kept.append(t)
        return len(kept) - 1

    for hooks in ((pack, lambda i: kept[i].detach()), (lambda t: t.numpy(), jg.from_numpy)):
        with jg.autograd.graph.saved_tensors_hooks(*hooks):
            y = x.exp()
        y.mul_(2)
        with pytest.raises(OverwrittenError, match="was changed in place"):
            y.sum().backward()


def test_anomalies_under_jit_and_vmap() -> None:
    f = lambda z: (z.sqrt() * 0).sum()
    compiled, zeros = jg.jit(jg.grad(f)), jg.zeros(2)
    for _ in range(3):
        assert np.isnan(compiled(zeros).numpy()).all()
    nested = jg.vmap(jg.vmap(jg.grad(f)))
    loop = jg.jit(jg.grad(lambda z: jg.fori_loop(0, 3, lambda i, c: (c * 0).sqrt() * 0 + 1, z).sum()))
    calls = [
        (compiled, zeros),
        (compiled, np.zeros(2, np.float32)),
        (jg.vmap(jg.grad(f)), zeros[None]),
        (jg.jit(nested), zeros[None, None]),
        (jg.jacrev(lambda z: z.sqrt() * 0), zeros),
        (jg.jit(jg.hessian(f)), zeros),
        (loop, zeros),
    ]
    for g, x in calls:
        with jg.autograd.detect_anomaly(), pytest.raises(RuntimeError, match=r"SqrtBackward0 gives nan[\s\S]*test_modes"):
            g(x)
    with jg.autograd.detect_anomaly():
        assert jg.jit(jg.hessian(lambda z: (z**3).sum()))(zeros + 1).tolist() == [[6, 0], [0, 6]]
        assert jg.vmap(jg.grad(lambda z: (z**3).sum()))(zeros[None] + 1).tolist() == [[3, 3]]
    assert np.isnan(compiled(zeros).numpy()).all()  # compiled again


@pytest.mark.parametrize("value", ["on", 1, None, []])
def test_modes_are_true_or_false(value):
    ours = jg.autograd
    modes = [
        jg.set_grad_enabled,
        jg.inference_mode,
        ours.set_multithreading_enabled,
        ours.set_detect_anomaly,
        ours.detect_anomaly,
    ]
    for mode in modes:
        with pytest.raises(TypeError, match="takes True or False, not"):
            mode(value)
    assert jg.is_grad_enabled()
    x = jg.ones(1)
    with pytest.raises(RuntimeError, match="must be True or False"):
        x.requires_grad = value
    with pytest.raises(TypeError, match="must be True or False"):
        x.requires_grad_(value)
    with jg.set_grad_enabled(np.False_):
        assert not jg.is_grad_enabled()


def test_what_shares_memory_with_what_was_packed() -> None:
    x = jg.tensor([1.0, 2.0], requires_grad=True)
    with jg.autograd.graph.saved_tensors_hooks(lambda t: t.numpy(), jg.from_numpy):
        y = x * 2
        y.copy_(y * x)
    y.sum().backward()
    assert x.grad.tolist() == [4, 8]
