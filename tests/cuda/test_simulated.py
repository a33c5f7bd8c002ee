"""The driver of a simulated GPU behaves as that of a real one, and notices what a real one would suffer from."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from jitgrad.sweeps.cuda import simulated
from jitgrad.sweeps.cuda.kernel import Kernel


@pytest.fixture
def driver(monkeypatch):
    monkeypatch.setenv("JITGRAD_CUDA_MEMORY", "10000")
    return simulated.Driver()


ADD = Kernel(
    """def kernel(x, y, n):
    i = i32(i32(cuda.blockIdx.x) * i32(cuda.blockDim.x) + i32(cuda.threadIdx.x))
    while i < n:
        y[i] = x[i] + float32(1)
        i = i32(i + i32(cuda.gridDim.x) * i32(cuda.blockDim.x))
""",
    ("*float32", "*float32", "int32"),
    8,
)


def filled(driver, array):
    buffer = driver.allocate(array.nbytes)
    driver.upload(buffer, 0, array)
    return buffer


def array(driver, buffer, dtype=np.float32):
    out = np.empty(buffer.nbytes // np.dtype(dtype).itemsize, dtype)
    driver.download(buffer, 0, out)
    return out


def test_memory(driver, monkeypatch):
    a, b = driver.allocate(100), driver.allocate(0)
    assert a.address % 256 == b.address % 256 == 0
    assert a.address != b.address
    assert driver.memory() == (9900, 10000)
    assert np.isnan(array(driver, a)).all()
    with pytest.raises(MemoryError, match="9900 of 10000 are free"):
        driver.allocate(9901)
    a.free()
    assert driver.memory() == (10000, 10000)
    assert driver.allocate(10000).address > a.address
    monkeypatch.setenv("JITGRAD_CUDA_BLOCK", "16")
    monkeypatch.setenv("JITGRAD_CUDA_BLOCKS", "5")
    other = simulated.Driver(1)
    assert (other.block, other.blocks, driver.block, driver.blocks) == (16, 5, 8, 3)


def test_copies(driver):
    x = np.arange(8, dtype=np.float32)
    a, b = filled(driver, x), driver.allocate(32)
    driver.copy(b, 0, a, 16, 16)
    driver.copy(b, 16, a, 0, 16)
    np.testing.assert_array_equal(array(driver, b), np.roll(x, 4))
    part = np.empty(1, np.float32)
    driver.download(a, 12, part)
    assert part[0] == 3
    for do in (lambda: driver.copy(b, 0, a, 20, 16), lambda: driver.upload(a, 4, x), lambda: driver.download(a, -4, part)):
        with pytest.raises(ValueError, match="of a buffer that has 32"):
            do()
    with pytest.raises(ValueError, match="not in order"):
        driver.upload(a, 0, x[::2])


def test_launches(driver):
    x = np.arange(100, dtype=np.float32)
    a, b = filled(driver, x), driver.allocate(400)
    driver.launch(driver.load(ADD), 3, [a, b, 100])
    np.testing.assert_array_equal(array(driver, b), x + 1)
    driver.launch(driver.load(ADD), 1, [(a, 200), (b, 0), 50])
    np.testing.assert_array_equal(array(driver, b), np.r_[x[50:] + 1, x[50:] + 1])
    assert driver.launches == 2
    with pytest.raises(IndexError, match="reads element 50 of `x`, which has 50"):
        driver.launch(driver.load(ADD), 1, [(a, 200), b, 51])
    a.used = 40
    with pytest.raises(IndexError, match="reads element 10 of `x`, which has 10"):
        driver.launch(driver.load(ADD), 1, [a, b, 11])
    with pytest.raises(ValueError, match="multiple of 4"):
        driver.launch(driver.load(ADD), 1, [(a, 2), b, 1])
    with pytest.raises(TypeError, match="takes memory"):
        driver.launch(driver.load(ADD), 1, [a, 7, 1])
    with pytest.raises(TypeError, match="takes 3 arguments, and was given 2"):
        driver.launch(driver.load(ADD), 1, [a, b])
    with pytest.raises(RuntimeError, match="at least one"):
        driver.launch(driver.load(ADD), 0, [a, b, 1])


def test_use_after_free(driver):
    a, b = driver.allocate(40), driver.allocate(40)
    a.free()
    uses = [
        lambda: driver.launch(driver.load(ADD), 1, [a, b, 1]),
        lambda: driver.launch(driver.load(ADD), 1, [b, (a, 0), 1]),
        lambda: driver.upload(a, 0, np.zeros(1, np.float32)),
        lambda: driver.download(a, 0, np.zeros(1, np.float32)),
        lambda: driver.copy(b, 0, a, 0, 4),
        lambda: driver.copy(a, 0, b, 0, 4),
        a.free,
    ]
    for use in uses:
        with pytest.raises(RuntimeError, match="was freed"):
            use()


def test_streams_and_events(driver):
    first, other = driver.current(), driver.stream()
    with other:
        assert driver.current() is other
        assert driver.queue() == other.handle != first.handle
        seen = []
        thread = threading.Thread(target=lambda: seen.append(driver.current()))
        thread.start()
        thread.join()
        assert seen == [first]
    assert driver.current() is first
    start, end = other.record(), driver.event()
    end.record()
    end.wait(other)
    other.wait(first)
    other.synchronize()
    end.synchronize()
    assert end.query()
    assert other.query()
    assert start.elapsed_time(end) == 0.0


def test_graphs(driver):
    a, b = filled(driver, np.zeros(4, np.float32)), filled(driver, np.zeros(4, np.float32))
    add = driver.load(ADD)

    def work():
        driver.launch(add, 1, [a, b, 4])
        driver.copy(a, 0, b, 0, 16)

    graph = driver.capture(work)
    assert driver.launches == 0
    graph.launch()
    graph.launch()
    assert array(driver, a).tolist() == [2] * 4
    assert driver.launches == 2
    graph.update(lambda: (driver.launch(add, 1, [b, a, 2]), driver.copy(b, 0, a, 0, 8)))
    graph.launch()
    assert array(driver, b).tolist() == [3, 3, 2, 2]
    with pytest.raises(RuntimeError, match="other things"):
        graph.update(lambda: driver.launch(add, 1, [b, a, 2]))
    with pytest.raises(RuntimeError, match="a graph holds launches and copies within the device"):
        driver.capture(lambda: array(driver, a))
    with pytest.raises(RuntimeError, match="while a graph is captured"):
        driver.capture(driver.synchronize)
    driver.synchronize()
    driver.trim()
    b.free()
    with pytest.raises(RuntimeError, match="was freed"):
        graph.launch()
