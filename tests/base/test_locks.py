"""What must hold for threads, forks and signal handlers, piece by piece; `tests/stress` has all of it at once."""

from __future__ import annotations

import contextvars
import gc
import signal
import threading
import weakref

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.base import locks, signals
from jitgrad.base.quiet import quiet, quietly
from jitgrad.eager import background
from jitgrad.record import trace as tracing
from jitgrad.sweeps.code import compile as native
from jitgrad.sweeps.llvm import products

pytestmark = pytest.mark.quick


def in_threads(work, count=8):
    start, found = threading.Barrier(count), []

    def run():
        start.wait()
        found.append(work())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_once_gives_everybody_the_same():
    made = []

    @locks.once
    def make(what):
        made.append(what)
        return object()

    assert len(set(in_threads(lambda: make(1)))) == 1
    assert len(set(in_threads(lambda: make(2)))) == 1
    assert made == [1, 2]

    @locks.once
    def again(depth):
        return again(depth) if len(made) < 4 and not made.append(depth) else object()  # as a signal handler may

    assert again(3) is again(3)


def test_lazily_gives_what_was_stored_first():
    class Holder:
        @locks.lazily
        def value(self):
            """Documented."""
            return object()

    holder = Holder()
    assert len(set(in_threads(lambda: holder.value))) == 1
    assert Holder.value.__doc__ == "Documented."


def test_all_locks_are_reentrant_and_held_at_a_fork():
    names = [name for name, value in vars(locks).items() if type(value) is type(threading.RLock())]
    assert sorted(names) == ["compiling", "disk", "gradients", "imports", "jobs", "paths", "streams", "structures", "workers"]
    locks._before_fork()
    free = [getattr(locks, name).acquire(blocking=False) for name in names]
    others = in_threads(lambda: [getattr(locks, name).acquire(blocking=False) for name in names], 1)
    for name in names:
        getattr(locks, name).release()
    locks._after_fork()
    assert free == [True] * 9
    assert others == [[False] * 9]
    assert in_threads(lambda: [getattr(locks, n).acquire(blocking=False) and getattr(locks, n).release() for n in names], 1)


def test_code_keeps_what_it_refers_to():
    text = "declare void @other(ptr)\ndefine void @f(ptr %t) {\n  call void @other(ptr %t)\n  ret void\n}"
    other = native.compile_text("define void @g(ptr %t) {\n  ret void\n}", "g", store=False)
    gone = weakref.ref(other)
    kernel = native.compile_text(text, "f", symbols={"other": other}, store=False)
    del other
    gc.collect()
    assert gone() is not None
    kernel()
    del kernel
    gc.collect()
    assert gone() is None
    assert len({id(k) for k in in_threads(lambda: products._kernel("f32"))}) == 1


def test_arrays_of_other_classes_are_told_apart_while_recording():
    class Other(np.ndarray):
        pass

    rows = np.arange(40.0).reshape(20, 2)
    f = jg.jit(lambda x: sum((x + row.view(Other) for row in rows), x))
    np.testing.assert_array_equal(f(jg.zeros(2, dtype=jg.float64)).numpy(), rows.sum(0))


def test_operations_inside_of_operations():
    """As those of signal handlers and finalizers: the prepared context cannot be entered twice."""
    w = jg.tensor([0.5, 2.0], requires_grad=True)

    def everything():
        x = (w * w + 1).exp().clamp(max=3.0) / 2 - w @ w + (2 - w).sum() + jg.sigmoid(w).mean() + (w > 1).to(jg.float32).sum()
        return [x.tolist(), jg.grad(lambda w: (w.softmax(0) * w).sum())(w).tolist(), jg.jit(lambda w: w.argmax())(w).item()]

    assert quiet.run(everything) == quietly(everything) == everything()
    with pytest.raises(RuntimeError, match="of its own"):
        quietly(lambda: (_ for _ in ()).throw(RuntimeError("of its own")))
    assert quietly(lambda: np.float32(1) / np.float32(0)) == np.inf


def test_hooks_and_rules_of_users_run_without_grad_and_sweeps_leave_the_mode():
    seen = []
    w = jg.ones(3, requires_grad=True)
    y = w * 2
    y.register_hook(lambda g: seen.append(jg.is_grad_enabled()))
    y.sum().backward(retain_graph=True)
    y.sum().backward(create_graph=True)
    assert seen == [False, True]
    assert jg.is_grad_enabled()


@pytest.mark.skipif(not hasattr(signal, "raise_signal") or not hasattr(signal, "SIGUSR1"), reason="not on this system")
def test_handlers_are_apart_from_recordings_and_wait_where_they_must():
    seen = []
    variable = contextvars.ContextVar("of the user", default=0)

    def handler(*_):
        w = jg.ones(2, requires_grad=True)
        (w * w).sum().backward()
        f = jg.jit(lambda x: (signal.raise_signal(signal.SIGUSR2), x * 2)[1])
        seen.append((tracing.current_trace.get(), w.grad.tolist(), f(jg.ones(2)).tolist(), variable.get()))

    inner = []
    before = signal.signal(signal.SIGUSR1, handler), signal.signal(signal.SIGUSR2, lambda *_: inner.append(jg.ones(1) + 1))
    try:
        variable.set(1)

        def f(x):
            signal.raise_signal(signal.SIGUSR1)
            y = x * 3
            signal.raise_signal(signal.SIGUSR1)
            return y if y.sum() > 0 else x

        jitted = jg.jit(f, guard=True)
        assert jitted(jg.ones(2)).tolist() == [3, 3]
        assert [row.op.name for row in jitted.tape(jg.ones(2)).rows].count("mul") == 1
        assert seen[:2] == [(None, [2, 2], [2, 2], 1)] * 2
        assert len(inner) >= 2
        assert all(x._value is not None for x in inner)
        assert jg.vmap(lambda x: (signal.raise_signal(signal.SIGUSR1), x * 3)[1])(jg.ones(2)).tolist() == [3, 3]
        del seen[:]
        with signals.undisturbed(locks.imports):
            signal.raise_signal(signal.SIGUSR1)
            assert not seen
        assert len(seen) == 1
        assert signal.getsignal(signal.SIGUSR1) is handler
    finally:
        signal.signal(signal.SIGUSR1, before[0])
        signal.signal(signal.SIGUSR2, before[1])


def test_an_interrupt_waits_while_something_is_imported_or_compiled():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    reached = []
    try:

        def interrupted():
            with signals.undisturbed(locks.compiling):
                signal.raise_signal(signal.SIGINT)
                reached.append(1)

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert reached == [1]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_eager_code_goes_on_without_a_thread_in_the_background(hot_at_once, monkeypatch):
    background.wait()

    def start(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    for _ in range(4):
        w = jg.ones(3, requires_grad=True)
        (w * w).sum().backward()
        assert w.grad.tolist() == [2, 2, 2]
    assert background.state.worker is None
    monkeypatch.undo()
    assert background.submit("nothing", lambda: None)
    background.wait()


def test_settings_are_as_before_where_an_interrupt_comes_while_they_are_changed():
    before = jg.config.structures

    def interrupt():
        if jg.config.structures == before + 1 and not seen:
            seen.append(1)
            raise KeyboardInterrupt

    seen: list[int] = []
    jg.config.watch(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt), jg.config(structures=before + 1):
            raise AssertionError
    finally:
        jg.config._watchers.remove(interrupt)
    assert jg.config.structures == before
