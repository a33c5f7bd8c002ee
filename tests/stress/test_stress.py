"""Threads, forks, signals, interrupts, asyncio, processes, the end of the program: nothing crashes, hangs or computes wrongly."""

from __future__ import annotations

import os
import signal

import pytest

from tests.stress.alone import LONGER, alone

pytestmark = [pytest.mark.stress, pytest.mark.usefixtures("no_kernels_on_disk")]
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
timers = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers")
SECONDS = 3 * LONGER


@pytest.fixture
def no_kernels_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JITGRAD_CACHE_DIR", "")


CROWD = """
import sys, threading, time
import work, jitgrad as jg
seed, seconds = int(sys.argv[1]), float(sys.argv[2])
work.at_once(seed)
sys.setswitchinterval(1e-5)
end, start = time.time() + seconds, threading.Barrier(6)
shared, added, failures = jg.ones(40, requires_grad=True), [0] * 6, []

def loop(i):
    random = work.at_once(100 * seed + i)
    start.wait()
    while time.time() < end or not added[i]:
        try:
            random.choice(work.WORK)()
            (shared * 2).sum().backward()
            added[i] += 1
        except BaseException as error:
            failures.append(error)
            raise

threads = [threading.Thread(target=loop, args=(i,)) for i in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
work.everything()
work.close(shared.grad, [2.0 * sum(added)] * 40)
assert not failures
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_threads(seed: int) -> None:
    alone(CROWD, seed, SECONDS)


FIRST_CALLS = """
import threading
import numpy as np, jitgrad as jg
X = np.random.default_rng(0).random((7, 3))
functions = [jg.jit(jg.value_and_grad(lambda w, k=k: ((X @ w * k) ** 2).mean())) for k in range(1, 4)]
start, found = threading.Barrier(6), []

def calls(i):
    start.wait()
    found.append(all(f(np.ones(3))[0].item() > 0 for f in functions for _ in range(20)))

threads = [threading.Thread(target=calls, args=(i,)) for i in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert found == [True] * 6
"""


def test_first_calls_of_products_in_several_threads() -> None:
    for _ in range(max(2, int(2 * LONGER))):
        alone(FIRST_CALLS)


FORKS = """
import os, sys, threading, time
import work
seed, seconds = int(sys.argv[1]), float(sys.argv[2])
random, stop, failures, bad = work.at_once(seed), [], [], []

def loop(i):
    random = work.at_once(100 * seed + i)
    while not stop:
        try:
            random.choice(work.WORK)()
        except BaseException as error:
            failures.append(error)
            raise

def child():
    import faulthandler
    faulthandler.dump_traceback_later(20)
    try:
        for each in random.sample(work.WORK, 4):
            each()
        work.background.wait()
        work.backward()
        work.healthy()
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
    os._exit(0)

def fork():
    pid = os.fork()
    if not pid:
        child()
    end = time.time() + 40
    while time.time() < end:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            bad.extend([status] * bool(status))
            return
        time.sleep(0.005)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    bad.append("hangs")

threads = [threading.Thread(target=loop, args=(i,)) for i in range(2)]
for thread in threads: thread.start()
end = time.time() + seconds
while time.time() < end:
    fork()
    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()
stop.append(1)
for thread in threads: thread.join()
work.everything()
assert not bad and not failures, (bad, failures)
"""


@forks
@pytest.mark.parametrize("seed", [1, 2])
def test_forks_of_the_main_thread_and_of_others(seed: int) -> None:
    alone(FORKS, seed, SECONDS)


HANDLERS = """
import signal, sys, time
import work
seed, seconds = int(sys.argv[1]), float(sys.argv[2])
random, others, inside, called = work.at_once(seed), work.at_once(seed + 1), [], []

def handler(*_):
    if len(inside) < 2:  # a handler may be interrupted by itself
        inside.append(1)
        try:
            others.choice(work.WORK)()
            called.append(1)
        finally:
            inside.pop()

signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.004, 0.004)
end = time.time() + seconds
while time.time() < end:
    random.choice(work.WORK)()
    work.healthy()
signal.setitimer(signal.ITIMER_REAL, 0)
assert signal.getsignal(signal.SIGALRM) is handler and len(called) > 20
work.everything()
"""


@timers
@pytest.mark.parametrize("seed", [1, 2])
def test_signal_handlers_may_do_everything(seed: int) -> None:
    alone(HANDLERS, seed, SECONDS)


INTERRUPTS = """
import os, random as randomly, signal, sys, threading, time
sys.unraisablehook = lambda _: None  # an interrupt in a finalizer, which Python says and drops
import work
seed, seconds = int(sys.argv[1]), float(sys.argv[2])
random = work.at_once(seed)
signal.signal(signal.SIGINT, signal.default_int_handler)
armed, interrupts = threading.Event(), 0

def shoot():
    random = randomly.Random(seed)
    while True:
        armed.wait()
        time.sleep(random.choice([1e-4, 1e-3, 5e-3, 2e-2]) * random.random())
        if armed.is_set():
            armed.clear()
            os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=shoot, daemon=True).start()
end = time.time() + seconds
while time.time() < end:
    try:
        armed.set()
        random.choice(work.WORK)()
        armed.clear()
        time.sleep(1e-3)
    except KeyboardInterrupt:
        interrupts += 1
    work.healthy()
armed.clear()
time.sleep(0.05)
work.everything()
done = []
other = threading.Thread(target=lambda: done.append(work.everything()), daemon=True)
other.start()
other.join(60)
assert done == [None] and interrupts > 20, (done, interrupts)
"""


@timers
@pytest.mark.parametrize("seed", [1, 2])
def test_interrupts_at_any_point(seed: int) -> None:
    alone(INTERRUPTS, seed, SECONDS)


ASYNC = """
import asyncio, contextlib
import jitgrad as jg

async def task(k):
    w = jg.ones(3, requires_grad=True)
    for _ in range(10):
        with jg.no_grad():
            await asyncio.sleep(0)
            assert not (w * 2).requires_grad
        await asyncio.sleep(0)
        assert (w * 2).requires_grad
        with jg.sweep("machine" if k % 2 else "jit"):
            await asyncio.sleep(0)
            assert jg.jit(lambda x: (x * k).sum())(jg.ones(2)).item() == 2 * k
    (w * k).sum().backward()
    assert w.grad.tolist() == [k] * 3

@jg.no_grad()
async def decorated(w):
    await asyncio.sleep(0)
    return (w * 2).requires_grad

shared = jg.no_grad()

async def with_shared(seconds, w):
    with shared:
        await asyncio.sleep(seconds)
        assert not (w * 2).requires_grad
    assert (w * 2).requires_grad

async def main():
    w = jg.ones(3, requires_grad=True)
    await asyncio.gather(*[task(k) for k in range(1, 6)])
    assert await asyncio.gather(decorated(w), decorated(w)) == [False, False]
    await asyncio.gather(*[with_shared(s, w) for s in (0.01, 0.02, 0.005)])
    await asyncio.gather(*[asyncio.to_thread(lambda: jg.jit(lambda x: x * 2)(jg.ones(2))) for _ in range(4)])
    assert (w * 2).requires_grad

asyncio.run(main())
try:
    @jg.no_grad()
    async def steps():
        yield 1
    raise AssertionError
except TypeError as error:
    assert "async generator" in str(error)
"""


def test_tasks_have_modes_of_their_own() -> None:
    alone(ASYNC)


PROCESSES = """
import multiprocessing, sys
import work

if __name__ == "__main__":
    work.at_once(0)
    for _ in range(3):
        work.backward()  # something is compiled in the background while processes start
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        for result in [pool.apply_async(each) for each in work.WORK]:
            assert result.get(60) is None
    work.everything()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"] if hasattr(os, "fork") else ["spawn"])
def test_processes(method: str) -> None:
    alone(PROCESSES, method)


ENDS = """
import atexit, sys
import work
work.at_once(0)
atexit.register(work.backward)
atexit.register(work.shared_out)
work.jg.set_num_threads(3)
work.shared_out()
for k in range(1, 5):
    w = work.jg.ones(20, requires_grad=True)
    sum([w * w] * k).sum().backward()
print("the end")
"""


def test_the_program_ends_while_something_is_compiled() -> None:
    for _ in range(3):
        assert alone(ENDS) == "the end\n"


FINALIZERS = """
import gc
import work, jitgrad as jg

class Mean:
    means = []
    def __init__(self, x): self.x, self.self = x, self
    def __del__(self): Mean.means.append((self.x * 2).mean())

gc.set_threshold(5)
for k in range(300):
    Mean(jg.tensor([1.0 * k, 3.0 * k]))
    work.WORK[k % len(work.WORK)]()
gc.collect()
assert len(Mean.means) == 300
work.everything()
"""


def test_finalizers() -> None:
    alone(FINALIZERS)
