"""Large nests in chunks: the same result for any number of threads, whoever calls, and after a fork."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.sweeps.plan import chunks
from jitgrad.sweeps.program import threads
from jitgrad.sweeps.program.steps import (
    Native,
)
from tests.sweeps.test_segments import NORMALISED, VIEWS, agree, data, flat, program


@pytest.fixture(autouse=True)
def number_of_threads() -> Iterator[None]:
    before = jg.get_num_threads()
    yield
    jg.set_num_threads(before)


@pytest.fixture
def cut_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "LARGE", 1)
    monkeypatch.setattr(chunks, "CHUNKS", 3)
    monkeypatch.setattr(chunks, "LEAST_ROWS", 1)


def cut(f: object) -> list[int]:
    return [step.chunks for step in program(f).steps if isinstance(step, Native) and step.chunks]


@pytest.mark.parametrize("name", NORMALISED)
def test_chunks_give_what_the_whole_gives(name: str, cut_everything: None) -> None:
    f = agree(NORMALISED[name], data(100, 7))
    assert cut(f)


@pytest.mark.parametrize("name", VIEWS)
def test_chunks_of_small_arrays(name: str, cut_everything: None) -> None:
    agree(VIEWS[name], data(4, 6))


def test_sums_do_not_depend_on_the_number_of_threads() -> None:
    def f(x: jg.Tensor, y: jg.Tensor) -> tuple:
        return (x * y).sum(), (x.sin() * y).sum(0), jg.softmax(x, 1), (x - y).amax(), x @ y.T[:, :3]

    x, y = data(2003, 300, dtype=np.float32), data(2003, 300, dtype=np.float32)
    compiled = jg.jit(f)
    found = []
    for count in (1, 2, 3, 7):
        jg.set_num_threads(count)
        found.append([r.tobytes() for r in flat(compiled(x, y))])
    assert cut(compiled)
    assert all(other == found[0] for other in found)
    jg.set_num_threads(2)
    with jg.sweep("interpreted"):
        for a, b in zip(flat(compiled(x, y)), flat(compiled(x, y))):
            np.testing.assert_allclose(a, b, rtol=1e-4)


def test_what_one_phase_leaves_another_finds(cut_everything: None) -> None:
    """A chain of reductions, each of which needs the one before: numbers and arrays cross from phase to phase."""

    def f(x: jg.Tensor) -> jg.Tensor:
        for _ in range(3):
            x = x * (1 + x.mean()) - x.sum(0, keepdim=True) / 100
            x = jg.cat([x[50:], x[:50]], 0)
        return x

    agree(f, data(100, 3), rtol=1e-11)


def test_threads_may_call_at_once() -> None:
    jg.set_num_threads(2)
    x = data(400_000)
    f = jg.jit(lambda x, k: ((x * k).sin() * (x * k).exp()).sum())
    want = [f(x, float(k)).item() for k in range(1, 5)]
    found: dict[int, set] = {}

    def run(k: int) -> None:
        found[k] = {f(x, float(k)).item() for _ in range(10)}

    threads = [threading.Thread(target=run, args=(k,)) for k in range(1, 5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [found[k] for k in range(1, 5)] == [{w} for w in want]


SCRIPT = """
import os, sys
import numpy as np, jitgrad as jg
jg.set_num_threads(2)
x = jg.tensor(np.linspace(0, 1, 500_000))
f = jg.jit(lambda x: (x.sin() * x.exp() + x.cos()).sum())
want = f(x).item()
child = os.fork()
if child == 0:
    os._exit(0 if f(x).item() == want else 1)
_, status = os.waitpid(child, 0)
assert status == 0, status
assert f(x).item() == want
print("the end")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_threads_of_its_own_and_the_process_ends() -> None:
    # Python 3.12 and later warn of any fork in a process with threads; that this one is safe is what is tested.
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT], capture_output=True, text=True, timeout=120)
    assert done.stdout == "the end\n", done.stderr


def test_wrong_numbers_of_threads() -> None:
    with pytest.raises(RuntimeError, match="positive"):
        jg.set_num_threads(0)
    with pytest.raises(TypeError, match="int"):
        jg.set_num_threads(2.0)
    with pytest.raises(TypeError, match="int"):
        jg.set_num_threads(True)


def test_the_environment_sets_the_number() -> None:
    code = "import jitgrad; print(jitgrad.get_num_threads())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | {"JITGRAD_NUM_THREADS": "3"}
    )
    assert done.stdout == "3\n"


@pytest.mark.parametrize("given", ["many", "-1", "²"])
def test_what_is_no_number_in_the_environment_is_ignored(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_count", None)
    monkeypatch.setenv("JITGRAD_NUM_THREADS", given)
    assert jg.get_num_threads() >= 1
