"""The driver of a GPU, on a stand-in for NVIDIA's library that runs the simulator (`standin.py`)."""

from __future__ import annotations

import os

import pytest

from tests.cuda import standin

pytestmark = pytest.mark.skipif(bool(standin.missing()), reason=f"the stand-in driver needs {standin.missing()}")


@pytest.fixture(autouse=True)
def gpu():
    """The device of the other tests here is of no use: each of these has one in a process of its own."""


@pytest.fixture(scope="module", autouse=True)
def library(tmp_path_factory):
    """The stand-in is built once for all of these."""
    path = standin.build(tmp_path_factory.mktemp("standin"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STANDIN_LIBRARY", str(path))
        patch.setenv("JITGRAD_CACHE_DIR", str(tmp_path_factory.mktemp("cache") / "jitgrad"))
        yield path


ADDING = """
x, y = np.arange(1000, dtype=np.float32), np.full(1000, 2, np.float32)
kernel = Kernel(ADD, ("*float32", "*float32", "*float32", "int32", "float32"), 8)
"""
"""What many of the programs begin with."""


def test_a_device_says_what_it_is():
    out = standin.run("d = Driver(1); print(available(), count(), d.name, d.cc, d.block, d.blocks, d.memory())")
    assert out == f"True 2 Stand-in 1 (9, 0) 256 32 {(1 << 30, 1 << 30)}\n"


def test_there_is_no_device_of_that_number():
    standin.run(
        """
try:
    Driver(2)
except RuntimeError as error:
    assert "there is no GPU 2" in str(error), error
else:
    raise AssertionError
assert driver_of(1) is driver_of(1)
"""
    )


def test_a_driver_without_devices():
    assert standin.run("print(available(), count())", STANDIN_DEVICES="0") == "False 0\n"


@pytest.mark.skipif(os.path.exists("/dev/nvidia0"), reason="there is a GPU")
def test_without_a_driver():
    """Nothing of NVIDIA's is imported."""
    out = standin.run_python(
        "import sys\n"
        "from jitgrad.sweeps.cuda.driver import available, count\n"
        "print(available(), count(), {'cuda.bindings', 'cuda.core', 'numba'} & {*sys.modules})"
    )
    assert out == "False 0 set()\n"


def test_memory_is_copied_in_out_and_within():
    standin.run(
        """
d = driver_of(0)
x = np.arange(100, dtype=np.float64)
b, c = filled(d, x), d.allocate(800)
d.copy(c, 400, b, 0, 400)
d.copy(c, 0, b, 400, 400)
assert b.nbytes == 800 and b.address % 256 == 0
np.testing.assert_array_equal(array(d, c, np.float64), np.roll(x, 50))
part = np.empty(2)
d.download(b, 24, part)
np.testing.assert_array_equal(part, [3, 4])
d.upload(b, 8, np.array([-1.0]))
assert array(d, b, np.float64)[1] == -1
p = d.pinned(800)
p.view(np.float64)[:] = 7
d.upload(b, 0, p)
assert (array(d, b, np.float64) == 7).all()
d.upload(b, 0, np.empty(0))
"""
    )


def test_memory_is_given_back():
    standin.run(
        """
d = driver_of(0)
b = d.allocate(1 << 20)
assert d.memory()[0] == (1 << 30) - (1 << 20)
b.free()
b.free()
assert d.memory()[0] == 1 << 30
d.trim()
try:
    d.upload(b, 0, np.zeros(1))
except RuntimeError as error:
    assert "freed" in str(error)
else:
    raise AssertionError
"""
    )


def test_memory_that_is_full():
    standin.run(
        """
d = driver_of(0)
b = d.allocate(1 << 20)
try:
    d.allocate(1)
except MemoryError as error:
    assert "Stand-in 0, asked for memory of 1 bytes: CUDA_ERROR_OUT_OF_MEMORY" in str(error)
else:
    raise AssertionError
b.free()
d.allocate(1)
""",
        STANDIN_MEMORY=str(1 << 20),
    )


def test_what_is_beyond_a_buffer_and_not_in_order():
    standin.run(
        """
d = driver_of(0)
b = d.allocate(16)
for call, wanted in (
    (lambda: d.upload(b, 9, np.zeros(1)), "bytes 9 to 17 of a buffer that has 16"),
    (lambda: d.upload(b, -8, np.zeros(1)), "bytes -8 to 0"),
    (lambda: d.copy(b, 0, b, 8, 9), "bytes 8 to 17"),
    (lambda: d.download(b, 0, np.zeros(4, np.float32)[::2]), "not in order"),
):
    try:
        call()
    except ValueError as error:
        assert wanted in str(error), error
    else:
        raise AssertionError(wanted)
"""
    )


def test_kernels_compute():
    standin.run(
        ADDING
        + """
d = driver_of(0)
a, b, c = filled(d, x), filled(d, y), d.allocate(4000)
loaded = d.load(kernel)
assert d.load(Kernel(*kernel)) is loaded
d.launch(loaded, 3, [a, b, c, 1000, 0.5])
d.synchronize()
np.testing.assert_array_equal(array(d, c), x + 1)
d.launch(loaded, 3, [(a, 400), (b, 0), (c, 4), np.int32(5), np.float32(2)])
np.testing.assert_array_equal(array(d, c)[:7], [1, 104, 105, 106, 107, 108, 7])
d.launch(loaded, 3, [a, b, c, 1000, 1e300])
assert np.isinf(array(d, c)).all() and not standin.faults
"""
    )


def test_a_kernel_that_goes_wrong_is_told_when_something_waits():
    standin.run(
        ADDING
        + """
d = driver_of(0)
a, b, c = filled(d, x), filled(d, y), d.allocate(400)
d.launch(d.load(kernel), 3, [a, b, c, 1000, 0.5])
try:
    d.synchronize()
except RuntimeError as error:
    assert "CUDA_ERROR_ILLEGAL_ADDRESS on Stand-in 0" in str(error), error
else:
    raise AssertionError
assert "IndexError" in standin.faults[0]
"""
    )


def test_launches_that_cannot_be():
    standin.run(
        ADDING
        + """
d = driver_of(0)
a, loaded = filled(d, x), d.load(kernel)
for grid, arguments, kind, wanted in (
    (0, [a, a, a, 1, 1.0], RuntimeError, "0 blocks"),
    (1, [a, a, a, 1], TypeError, "takes 5 arguments, and was given 4"),
):
    try:
        d.launch(loaded, grid, arguments)
    except kind as error:
        assert wanted in str(error), error
    else:
        raise AssertionError(wanted)
"""
    )


def test_text_that_does_not_compile():
    standin.run(
        """
from jitgrad.errors import NotCompilableError
try:
    driver_of(0).load(Kernel("def kernel(x):\\n    x[0] = nothing(x[0])\\n", ("*float32",), 8))
except NotCompilableError as error:
    assert "sm_90" in str(error) and "nothing" in str(error), error
else:
    raise AssertionError
"""
    )


def test_streams_and_events():
    standin.run(
        ADDING
        + """
d = driver_of(0)
first = d.current()
a, b, c = filled(d, x), filled(d, y), d.allocate(4000)
one, two, start, end = d.stream(), d.stream(priority=-1), d.event(), d.event()
with one:
    assert d.current() is one and d.queue() == one.handle != first.handle
    start.record()
    with two:
        assert d.current() is two
        d.launch(d.load(kernel), 3, [a, b, c, 1000, 0.5])
    assert d.current() is one
    one.wait(two)
    end.record()
assert d.current() is first
end.synchronize()
assert end.query() and one.query() and start.elapsed_time(end) > 0
first.wait(end)
two.record().wait()
two.synchronize()
np.testing.assert_array_equal(array(d, c), x + 1)
import threading
with one:
    found = []
    thread = threading.Thread(target=lambda: found.append((d.current(), array(d, c)[1])))
    thread.start()
    thread.join()
assert found == [(first, 2)]
"""
    )


def test_several_devices():
    standin.run(
        ADDING
        + """
d, e = driver_of(0), driver_of(1)
a, b = filled(d, x), e.allocate(4000)
e.copy(b, 0, a, 0, 4000)
d.load(kernel)
e.launch(e.load(kernel), 2, [b, b, b, 1000, 1.0])
np.testing.assert_array_equal(array(e, b), 2 * x)
assert d.memory()[0] == e.memory()[0] == (1 << 30) - 4096
"""
    )


def test_graphs():
    standin.run(
        ADDING
        + """
d = driver_of(0)
a, b, c, e = filled(d, x), filled(d, y), d.allocate(4000), d.allocate(4000)
loaded = d.load(kernel)
def work(out, factor):
    d.launch(loaded, 3, [a, b, c, 1000, factor])
    d.allocate(64)  # is no part of the graph
    d.copy(out, 0, c, 0, 4000)
before = library.standin_launches()
graph = d.capture(lambda: work(e, 1.0))
assert library.standin_launches() == before
graph.launch()
graph.launch()
assert library.standin_launches() == before + 2
np.testing.assert_array_equal(array(d, e), x + 2)
f = d.allocate(4000)
graph.update(lambda: work(f, 2.0))
graph.launch()
np.testing.assert_array_equal(array(d, f), x + 4)
np.testing.assert_array_equal(array(d, e), x + 2)
for function, kind in ((lambda: d.copy(e, 0, c, 0, 4), RuntimeError), (lambda: 1 / 0, ZeroDivisionError)):
    try:
        graph.update(function)
    except kind:
        pass
    else:
        raise AssertionError(kind)
for function in (lambda: d.download(c, 0, x), lambda: d.upload(c, 0, x)):
    try:
        d.capture(function)
    except RuntimeError as error:
        assert "a graph holds launches and copies within the device" in str(error), error
    else:
        raise AssertionError
d.launch(loaded, 3, [a, b, c, 1000, 3.0])
np.testing.assert_array_equal(array(d, c), x + 6)
"""
    )


def test_a_warm_process_imports_no_compiler():
    code = (
        ADDING
        + """
import sys
d = driver_of(0)
d.load(kernel)
print(sorted({"numba", "llvmlite"} & {name.split(".")[0] for name in sys.modules}))
"""
    )
    assert standin.run(code, STANDIN_CC="80") == "['llvmlite', 'numba']\n"
    assert standin.run(code, STANDIN_CC="80") == "[]\n"


def test_a_forked_process_is_told():
    standin.run(
        """
import os, sys
d = driver_of(0)
b = d.allocate(16)
child = os.fork()
if not child:
    try:
        d.allocate(16)
    except RuntimeError as error:
        b.free()
        os._exit("spawn" not in str(error))
    os._exit(2)
assert os.waitpid(child, 0)[1] == 0
d.allocate(16)
"""
    )
