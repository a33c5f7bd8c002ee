"""Compiling beside the program: threads, forks, interrupts, the end of the program, memory; and the settings."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.eager import background
from jitgrad.eager import backward as structures
from jitgrad.tape.row import Row
from tests.helpers.hot import gradients, interpreted, make_hot, numbers, same

pytestmark = pytest.mark.usefixtures("hot_at_once")


def test_threads():
    f = lambda x, y: jg.mean(jg.tanh(x * y) * jg.exp(-x * x))
    leaves = [[numbers(40, seed=2 * i), numbers(40, seed=2 * i + 1)] for i in range(4)]
    wanted = [interpreted(f, pair) for pair in leaves]
    shared = numbers(40, seed=99)
    failures = []

    def work(pair, want):
        try:
            for _ in range(60):
                same(gradients(f, pair), want)
                (shared * 2).sum().backward()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(p, w)) for p, w in zip(leaves, wanted)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    background.wait()
    assert not failures
    assert structures.entries
    np.testing.assert_allclose(shared.grad.numpy(), np.full(40, 480.0, np.float32))


def test_graphs_and_values_are_not_kept():
    f = lambda x, y: (jg.exp(x) * y).sum()
    x, y = numbers(1000), numbers(1000, seed=1)
    make_hot(f, [x, y])
    h = jg.exp(x)
    watched = weakref.ref(h._value)
    out = (h * y).sum()
    out.backward()
    del h, out
    assert watched() is None
    row = weakref.ref(y._row)
    del x, y
    gc.collect()
    assert row() is None
    before = sum(issubclass(type(o), Row) for o in gc.get_objects())
    x, y = numbers(1000), numbers(1000, seed=1)
    for _ in range(20):
        gradients(f, [x, y])
    del x, y
    gc.collect()
    assert sum(issubclass(type(o), Row) for o in gc.get_objects()) == before


def test_the_cache_is_bounded():
    with jg.config(structures=5):
        x = numbers(30)
        for n in range(1, 25):
            gradients(lambda x, n=n: (x[:n] * x[:n]).sum(), [x])
        assert len(structures.state.known) <= 5
        background.wait()
        assert sum(map(len, structures.entries.values())) <= structures.MOST_ALIKE


def test_switched_off():
    x = numbers(3)
    with jg.config(structure_cache=False):
        for _ in range(5):
            gradients(lambda x: (x * x).sum(), [x])
        assert not structures.entries
        assert not structures.state.known
    background.wait()  # a sum is compiled by itself
    with jg.config(background_compile=False):
        for _ in range(5):
            gradients(lambda x: (x * x).sum(), [x])
        assert background.state.worker is None
        assert not structures.entries


def test_settings_are_checked():
    assert "structure_cache" in repr(jg.config)
    assert "structures" in dir(jg.config)
    with pytest.raises(AttributeError, match="structure_cache"):
        jg.config.nothing = 1
    with pytest.raises(AttributeError, match="structure_cache"):
        _ = jg.config.nothing
    with pytest.raises(AttributeError, match="structure_cache"):
        jg.config(nothing=1)
    for name, bad in [("structure_cache", 1), ("structures", 2.5), ("structures", True), ("hot_after", "soon")]:
        with pytest.raises(TypeError, match=name):
            setattr(jg.config, name, bad)
    for name, bad in [("structures", -1), ("structure_rows", 0), ("hot_after", float("nan"))]:
        with pytest.raises(ValueError, match=name):
            setattr(jg.config, name, bad)
    before = jg.config.hot_after
    with jg.config(hot_after=7) as changed:
        assert changed.hot_after == 7.0
        assert jg.config.hot_after == 7.0
    assert jg.config.hot_after == before


def run_alone(code, **more):
    given = "import numpy as np, jitgrad as jg\nfrom jitgrad.eager import background, backward as structures\n"
    given += "structures.chance = lambda: 0.0\n"
    given += "jg.config.hot_after = 0\nx = jg.tensor([1.0, 2.0], requires_grad=True)\n"
    return subprocess.run([sys.executable, "-c", given + code], capture_output=True, text=True, timeout=60, **more)


def test_the_end_of_the_program_does_not_wait_for_what_was_not_begun():
    done = run_alone("""
import time, threading
begun = []
def slowly(steps, given):
    begun.append(steps)
    time.sleep(0.3)
    raise SystemExit
structures.compiled = slowly
import atexit
atexit.register(lambda: print(len(begun), threading.active_count()))
for n in range(1, 9):
    for _ in range(2):
        sum([x * x] * n).sum().backward()
while not begun:
    time.sleep(0.01)
""")
    assert done.returncode == 0
    assert done.stdout.split() == ["1", "1"]
    assert not done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_while_compiling():
    done = run_alone("""
import os
for k in range(3):
    (jg.exp(x) * x).sum().backward()
    pid = os.fork()
    if pid == 0:
        for _ in range(20):
            x.grad = None
            (jg.exp(x) * x).sum().backward()
        background.wait()
        x.grad = None
        (jg.exp(x) * x).sum().backward()
        good = np.allclose(x.grad.numpy(), np.exp([1, 2]) * [2, 3]) and bool(structures.entries)
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
print("good")
""")
    assert done.stdout.strip() == "good", done.stderr


def test_an_interrupt_while_compiling():
    done = run_alone("""
import os, signal, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
begin = threading.Event()
compiled = structures.compiled
def slowly(steps, given):
    begin.set()
    time.sleep(0.2)
    return compiled(steps, given)
structures.compiled = slowly
try:
    for _ in range(100000):
        (jg.exp(x) * x).sum().backward()
        if begin.is_set():
            os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    background.wait()
    x.grad = None
    (jg.exp(x) * x).sum().backward()
    print(np.allclose(x.grad.numpy(), np.exp([1, 2]) * [2, 3]), bool(structures.entries))
""")
    assert done.stdout.strip() == "True True", done.stderr
    assert done.returncode == 0
