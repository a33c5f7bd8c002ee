"""What things cost, counted and not timed: work is linear, nothing leaks, nothing heavy is imported early."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import jitgrad as jg
import jitgrad.jitted.jit as jit_module
from jitgrad.tape.row import Row, reachable


def rows_alive() -> int:
    gc.collect()
    return sum(issubclass(type(o), Row) for o in gc.get_objects())


def test_import_brings_in_nothing_heavy():
    heavy = ("numba", "llvmlite", "scipy", "sklearn", "matplotlib", "numpy.random")
    code = f"import sys, jitgrad; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_compiling_does_not_import_numba():
    code = "import sys, jitgrad as jg; f = jg.jit(lambda x: jg.exp(x).sum());f(jg.ones(10)); print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("backward", [True, False])
def test_a_loop_whose_results_are_dropped_leaves_no_rows(backward):
    w = jg.tensor([1.0, 2.0], requires_grad=True)

    def step():
        loss = (jg.exp(w) * w).sum()
        if backward:
            loss.backward()
            w.grad = None

    step()
    gc.collect()
    gc.disable()  # rows must die by reference count alone
    try:
        before = sum(issubclass(type(o), Row) for o in gc.get_objects())
        for _ in range(50):
            step()
        after = sum(issubclass(type(o), Row) for o in gc.get_objects())
    finally:
        gc.enable()
    assert after == before


def test_compiled_calls_leave_nothing():
    f = jg.jit(jg.value_and_grad(lambda x: (x * x).sum()))
    x = jg.ones(1000)
    f(x)
    tracemalloc.start()
    try:
        f(x)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(200):
            f(x)
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()


def test_saved_values_are_what_the_rules_need():
    x = jg.tensor([1.0, 2.0], requires_grad=True)
    c = jg.tensor([3.0, 4.0])
    assert (x + c)._row.saved == ()
    assert (-x)._row.saved == ()
    assert [s is c._value for s in (x * c)._row.saved] == [True]  # dz/dx needs y alone
    y = jg.exp(x)
    assert [s is y._value for s in y._row.saved] == [True]
    assert jg.sum(x)._row.saved == ()


def test_backward_of_n_slices_makes_n_small_steps(monkeypatch):
    from jitgrad.ops import indexing

    touched = []
    add = indexing.add_at
    monkeypatch.setattr(
        indexing, "add_at", lambda out, g, arrays, index: (touched.append(np.size(g)), add(out, g, arrays, index))
    )
    made = []
    zeros = np.zeros
    monkeypatch.setattr(np, "zeros", lambda *a, **k: (made.append(a), zeros(*a, **k))[1])
    n = 500
    x = jg.ones(n, requires_grad=True)
    made.clear()
    total = x[0]
    for i in range(1, n):
        total = total + x[i]
    total.backward()
    assert sum(touched) == n
    assert len(made) <= 2  # one accumulator, not one for each slice
    assert x.grad.sum().item() == n


def test_a_long_chain_needs_no_recursion():
    before = rows_alive()
    x = jg.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y + 1.0
    assert len(reachable([y._row])) >= 20_001
    y.backward()
    assert x.grad.item() == 1
    del y
    assert rows_alive() < before + 10_000


def test_no_entry_is_written_again_and_again_for_arguments_that_require_grad(monkeypatch):
    written = []
    write = jit_module.write_entry
    monkeypatch.setattr(jit_module, "write_entry", lambda *args, **kwargs: written.append(1) or write(*args, **kwargs))
    f, x = jg.jit(lambda x: x * 2), jg.ones(3, requires_grad=True)
    with jg.no_grad():
        for _ in range(3):
            assert f(x).tolist() == [2.0, 2.0, 2.0]
    assert not written
    f(x.detach())
    assert written
