"""`backward`, `autograd.grad`, hooks, grad mode, threads, and what a reverse sweep costs."""

import gc
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import FreedTapeError
from jitgrad.functions.data import tensor
from jitgrad.ops.indexing import getitem
from jitgrad.ops.movement import narrow
from jitgrad.tape.row import Row, reachable

quick = pytest.mark.quick


def leaf(*values: float) -> Any:
    return tensor(values, dtype=jg.float32, requires_grad=True)


# backward and grad.


@quick
def test_gradients_accumulate_until_cleared() -> None:
    x = leaf(1, 2)
    for _ in range(2):
        (x * x).sum().backward()
    assert (held := x.grad).tolist() == [4, 8]
    x.grad.zero_()
    (x * x).sum().backward()
    assert x.grad.tolist() == held.tolist() == [2, 4]
    x.grad = None
    x.sum().backward()
    assert x.grad.tolist() == [1, 1]
    assert held.tolist() == [2, 4]
    assert not x.grad.requires_grad
    scalar = tensor(3.0, requires_grad=True)
    for _ in range(3):
        (scalar * scalar).backward()
    assert scalar.grad.item() == 18


@quick
def test_the_gradient_argument() -> None:
    x = leaf(1, 2)
    (x * x).backward(tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2, 40]
    x.grad = None
    (x * x).backward(np.array([1.0, 10.0]))  # converted to the dtype of the output
    assert x.grad.tolist() == [2, 40]
    assert x.grad.dtype is jg.float32
    x.grad = None
    (x * x).sum().backward(tensor(0.5))
    assert x.grad.tolist() == [1, 2]
    (x[:1] * 2).backward()
    given, y = tensor([1.0, 1.0]), leaf(5, 5)
    y.backward(given)
    y.grad.zero_()
    assert given.tolist() == [1, 1]  # the caller's tensor does not become the gradient


@quick
def test_several_outputs_and_inputs() -> None:
    x, w = leaf(1, 2), leaf(3, 4)
    jg.autograd.backward([x.sum(), x * w], [None, tensor([1.0, 1.0])])
    assert (x.grad.tolist(), w.grad.tolist()) == ([4, 5], [1, 2])
    x.grad = w.grad = None
    (x * w).sum().backward(inputs=[w])
    assert (x.grad, w.grad.tolist()) == (None, [1, 2])
    y = x * 2
    (y * y).sum().backward(inputs=y)
    assert y.grad.tolist() == [4, 8]
    assert x.grad is None


@quick
def test_grad_returns_and_does_not_accumulate() -> None:
    x, w, unused = leaf(1, 2), leaf(3, 4), leaf(0)
    y = x * w
    assert [g.tolist() for g in jg.autograd.grad((y * y).sum(), (x, y, x))] == [[18, 64], [6, 16], [18, 64]]
    assert x.grad is None
    (g,) = jg.autograd.grad(x * w, x, grad_outputs=tensor([1.0, 0.0]))
    assert g.tolist() == [3, 0]
    g, nothing = jg.autograd.grad(x.sum(), [x, unused], allow_unused=True)
    assert (g.tolist(), nothing) == ([1, 1], None)
    _, zeros = jg.autograd.grad(x.sum(), [x, unused], materialize_grads=True)
    assert zeros.tolist() == [0]
    with pytest.raises(RuntimeError, match=r"input 1 was not used.*allow_unused=True"):
        jg.autograd.grad(x.sum(), [x, unused])
    (g,) = jg.autograd.grad(x, x, tensor([5.0, 6.0]))
    assert g.tolist() == [5, 6]


@quick
def test_second_and_third_derivatives() -> None:
    x = tensor(2.0, dtype=jg.float64, requires_grad=True)
    y: Any = x**4
    values = []
    for _ in range(4):
        (y,) = jg.autograd.grad(y, x, create_graph=True)
        values.append(y.item())
    assert values == [32, 48, 48, 24]
    v = leaf(1, 2)
    (v**3).sum().backward(create_graph=True)
    first = v.grad
    assert first.requires_grad
    v.grad = None
    first.sum().backward()
    assert v.grad.tolist() == [6, 12]

    # A Hessian, row by row, against the formula.
    a = tensor(np.arange(1.0, 4.0), requires_grad=True)
    (g,) = jg.autograd.grad((a.prod() + a.exp().sum()), a, create_graph=True)
    rows = [jg.autograd.grad(g[i], a, retain_graph=True)[0].tolist() for i in range(3)]
    p = a.detach().numpy()
    wanted = np.prod(p) / np.outer(p, p)
    np.fill_diagonal(wanted, np.exp(p))
    np.testing.assert_allclose(rows, wanted, rtol=1e-12)


@quick
def test_saved_values_are_freed_once() -> None:
    x = leaf(1, 2)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4, 8]
    with pytest.raises(FreedTapeError, match=r"mul.*retain_graph=True"):
        y.backward()
    z = (x + 1).sum()  # nothing is saved, so nothing is missing
    z.backward()
    z.backward()


@quick
def test_detach_clone_and_requires_grad() -> None:
    x = leaf(1, 2)
    y = x * 2
    cut = y.detach()
    assert not cut.requires_grad
    assert cut.is_leaf
    (x.clone() * cut).sum().backward()
    assert x.grad.tolist() == [2, 4]
    assert x.data.requires_grad is False
    assert not y.detach_().requires_grad
    assert y.grad_fn is None
    x.requires_grad_(False)
    assert not (x * 2).requires_grad
    x.requires_grad = True
    assert x.requires_grad
    assert (x > 0).requires_grad is False
    assert x.long().requires_grad is False
    x.data -= 1
    assert x.tolist() == [0, 1]
    x.data = tensor([5.0])
    assert x.shape == (1,)
    assert [t.is_leaf for t in (x, x * 1, tensor(1.0) * 1)] == [True, False, True]


# Hooks.


@quick
def test_hooks() -> None:
    x, seen = leaf(1, 2), []
    y = x * 2
    handle = y.register_hook(lambda g: seen.append(g.tolist()))
    doubled = x.register_hook(lambda g: g * 2)
    x.register_hook(lambda g: g + 1)
    (y * y).sum().backward()
    assert seen == [[4, 8]]
    assert x.grad.tolist() == [17, 33]  # hooks run in order, each on what the last one returned
    handle.remove()
    handle.remove()
    doubled.remove()
    x.grad = None
    (x * 3 + y.detach()).sum().backward()
    assert seen == [[4, 8]]
    assert x.grad.tolist() == [4, 4]


@quick
def test_retained_gradients() -> None:
    x = leaf(1, 2)
    y = x * 2
    with pytest.warns(UserWarning, match="retain_grad"):
        assert y.grad is None
    y.retain_grad()
    assert y.retains_grad
    y.register_hook(lambda g: g + 1)
    for _ in range(2):
        (y * y).sum().backward(retain_graph=True)
    assert y.grad.tolist() == [10, 18]
    assert x.grad.tolist() == [20, 36]


# Grad mode.


@quick
def test_grad_mode() -> None:
    x = leaf(1)
    with jg.no_grad():
        assert not (x * 2).requires_grad
        assert tensor(1.0, requires_grad=True).requires_grad
        with jg.enable_grad():
            assert (x * 2).requires_grad
            with jg.set_grad_enabled(False):
                assert not jg.is_grad_enabled()
        assert not jg.is_grad_enabled()
    assert jg.is_grad_enabled()
    with pytest.raises(ZeroDivisionError), jg.no_grad():
        _ = 1 // 0
    jg.set_grad_enabled(not jg.is_grad_enabled())
    assert not jg.is_grad_enabled()
    jg.set_grad_enabled(True)


@quick
def test_grad_mode_as_decorator() -> None:
    x = leaf(1)

    @jg.no_grad()
    def called() -> bool:
        return (x * 2).requires_grad

    @jg.no_grad
    def bare() -> bool:
        return (x * 2).requires_grad

    @jg.enable_grad()
    def recording(depth: int) -> bool:
        return recording(depth - 1) if depth else (x * 2).requires_grad

    assert (called(), bare(), recording(3)) == (False, False, True)
    with jg.no_grad():
        assert recording(2)
    assert jg.set_grad_enabled(False)(lambda: (x * 2).requires_grad)() is False
    assert jg.is_grad_enabled()
    assert called.__name__ == "called"


@quick
def test_grad_mode_in_generators() -> None:
    x = leaf(1)

    @jg.no_grad()
    def numbers() -> Iterator[bool]:
        yield (x * 2).requires_grad
        yield (x * 2).requires_grad

    for step in numbers():
        assert step is False
        assert jg.is_grad_enabled()  # between the steps, the mode is that of the caller


# Threads.


def together(*functions: Callable[[], None]) -> None:
    """Run functions in a thread each; raise what they raise."""
    errors: list[BaseException] = []

    def run(function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(f,)) for f in functions]
    for step in (threading.Thread.start, threading.Thread.join):
        _ = [step(thread) for thread in threads]
    assert not errors, errors


@quick
def test_grad_mode_belongs_to_the_thread() -> None:
    seen: list[bool] = []
    with jg.no_grad():
        together(lambda: seen.append(jg.is_grad_enabled()))
    assert seen == [True]


@quick
def test_threads_with_own_and_shared_leaves() -> None:
    shared = tensor(np.ones(1000), requires_grad=True)
    rounds = 60

    def work(factor: int) -> None:
        own = leaf(2)
        for _ in range(rounds):
            (own * own * factor).sum().backward()
            (shared * factor).sum().backward()
        assert own.grad.item() == 4 * factor * rounds

    together(lambda: work(1), lambda: work(2), lambda: work(3))
    assert (shared.grad == 6 * rounds).all()


# Cost.


def test_a_chain_of_a_million_rows() -> None:
    x = tensor(1.0, requires_grad=True)
    y: Any = x
    for _ in range(1_000_000):
        y = -y
    row = weakref.ref(y.grad_fn)
    y.backward()
    assert x.grad.item() == 1
    del y
    assert row() is None  # and freeing it did not recurse either


def objects_after(step: Callable[[], Any], rounds: int) -> tuple[int, int]:
    """Rows alive and bytes allocated by `rounds` more calls of `step`, without help from the garbage collector."""
    gc.collect()
    gc.disable()
    for _ in range(1000):  # until the pools of NumPy and Python are filled
        step()
    try:
        tracemalloc.start()
        rows = sum(issubclass(type(o), Row) for o in gc.get_objects())
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(rounds):
            step()
        grown = tracemalloc.get_traced_memory()[0] - before
        return sum(issubclass(type(o), Row) for o in gc.get_objects()) - rows, grown
    finally:
        tracemalloc.stop()
        gc.enable()


@pytest.mark.parametrize("sweep", [False, True])
def test_dropped_results_free_their_memory(sweep: bool) -> None:
    w, x = tensor(np.ones((20, 20)), requires_grad=True), tensor(np.ones(20))

    def step() -> None:
        hidden = w @ x + 1
        hidden[1:].mul_(2)
        loss = (hidden * hidden[0]).sum() + hidden.sin().max()
        loss.register_hook(lambda g: g)
        if sweep:
            loss.backward()
            with jg.no_grad():
                w.sub_(1e-9 * w.grad)

    with jg.config(large_kernels=False):  # what is compiled meanwhile would have rows
        rows, grown = objects_after(step, 300)
    assert rows == 0
    assert grown < 30_000  # a round makes arrays of thousands of bytes
    assert len(x._storage.views) < 50  # of the 300 views that were taken of it


@pytest.mark.parametrize("kind", ["index", "slice", "split"])
def test_slices_of_one_tensor_cost_linear_work(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The elements that the sweep touches are counted: n slices of n elements must not cost n * n."""
    touched = 0

    def counting(out: np.ndarray, g: Any, *rest: Any) -> None:
        nonlocal touched
        touched += np.size(g)
        assert out.size == n
        original(out, g, *rest)

    n = 2000
    op = narrow if kind == "split" else getitem
    original = op.accumulate
    assert original is not None
    monkeypatch.setattr(op, "accumulate", counting)
    x = tensor(np.arange(float(n)), requires_grad=True)
    if kind == "split":
        pieces: Any = x.split(1)
    else:
        pieces = [x[i : i + 1] if kind == "slice" else x[i] for i in range(n)]
    total = pieces[0] * 0
    for piece in pieces:
        total = total + piece * piece
    total.sum().backward()
    assert x.grad.tolist() == (2 * np.arange(float(n))).tolist()
    assert touched == n
    assert len(reachable([total._row])) < 5 * n


@quick
def test_unrequested_parts_are_not_swept() -> None:
    x, w = leaf(1), leaf(2)
    seen: list[str] = []
    a, b = x * 2, w * 3
    a.register_hook(lambda g: seen.append("a"))
    b.register_hook(lambda g: seen.append("b"))
    jg.autograd.grad((a + b).sum(), x)
    assert seen == ["a"]
