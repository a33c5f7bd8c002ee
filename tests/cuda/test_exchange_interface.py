"""Memory of a GPU that is shared by `__cuda_array_interface__`, pinned memory of the host, and both on the driver."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import OverwrittenError
from tests.cuda import standin
from tests.cuda.others import Interface, Packed, ranged


@pytest.fixture(autouse=True)
def on_its_own(gpu, monkeypatch):
    """Tests of other files find the pool as it was: one that knows of no work but its own."""
    monkeypatch.setattr(gpu.pool, "streams", gpu.pool.streams)


def test_an_owner_is_kept_as_long_as_its_memory_is_used():
    other = Interface(ranged("cuda", 5))
    owner = weakref.ref(other)
    x = jg.as_tensor(other)
    view = x[2:]
    del other, x
    gc.collect()
    assert owner() is not None
    assert view.tolist() == [2.0, 3.0, 4.0]
    del view
    gc.collect()
    assert owner() is None


def test_changes_by_an_interface_of_cuda():
    x = jg.tensor([1.0, 2.0], device="cuda", requires_grad=True)
    loss = (x * x).sum()
    jg.as_tensor(Interface(x.detach())).fill_(7.0)
    with pytest.raises(OverwrittenError):
        loss.backward()
    shared = jg.as_tensor(Interface(x.detach())).requires_grad_()
    loss = (shared * shared).sum()
    x.detach().fill_(1.0)
    loss.backward()
    assert shared.grad.tolist() == [14.0, 14.0]


def test_the_interface_of_cuda():
    x = ranged("cuda", 2, 3)
    said = x.__cuda_array_interface__
    assert (said["version"], said["shape"], said["typestr"], said["strides"]) == (3, (2, 3), "<f4", None)
    part = x.T[1:].__cuda_array_interface__
    assert (part["strides"], part["data"]) == ((4, 12), (said["data"][0] + 4, False))
    assert x.expand(2, 2, 3).__cuda_array_interface__["data"][1]
    assert x[:0].__cuda_array_interface__["data"] == (0, False)
    assert jg.ones(1, device="cuda", dtype=jg.bool).__cuda_array_interface__["typestr"] == "|b1"
    with pytest.raises(TypeError, match="bfloat16 has no typestr"):
        x.to(jg.bfloat16).__cuda_array_interface__  # noqa: B018
    assert not hasattr(x.cpu(), "__cuda_array_interface__")


def test_as_tensor_shares_and_tensor_copies():
    x = ranged("cuda", 2, 3)
    shared, copy = jg.as_tensor(Interface(x.T)), jg.tensor(Interface(x))
    x.add_(1.0)
    assert shared.tolist() == x.T.tolist()
    assert (copy.tolist(), copy.device) == ((x - 1.0).tolist(), x.device)
    assert jg.as_tensor(Interface(x), dtype=jg.float64).dtype is jg.float64
    assert not jg.as_tensor(Interface(x), device="cpu").is_cuda
    made = jg.tensor(Interface(x), dtype=jg.float64, requires_grad=True)
    assert (made.dtype, made.requires_grad, made.is_leaf) == (jg.float64, True, True)
    with pytest.raises(RuntimeError, match="read-only"):
        jg.as_tensor(Interface(x, data=(x.__cuda_array_interface__["data"][0], True))).add_(1.0)
    assert jg.as_tensor(Interface(x[:0])).shape == (0, 3)


def test_what_cannot_be_shared_says_why():
    x = ranged("cuda", 4)
    address = x.__cuda_array_interface__["data"][0]
    for other, error, match in (
        ({"mask": x}, TypeError, "no masks"),
        ({"typestr": "<M8[s]"}, TypeError, "no dtype"),
        ({"data": (address + 2, False)}, BufferError, "multiples of the 4 bytes"),
        ({"strides": (6,), "shape": (2,)}, BufferError, "multiples of the 4 bytes"),
    ):
        with pytest.raises(error, match=match):
            jg.as_tensor(Interface(x, **other))
    with pytest.raises(TypeError, match=r"use tensor\(\)"):
        jg.from_dlpack([1.0, 2.0])
    with pytest.raises(TypeError, match="no dtype 'uint32'"):
        jg.from_dlpack(Packed(np.zeros(2, np.uint32)))
    used = x.__dlpack__()
    jg.from_dlpack(used)
    with pytest.raises(RuntimeError, match="can be used once"):
        jg.from_dlpack(used)
    for stream, kind in ((0, BufferError), (-3, BufferError), ("a", TypeError)):
        with pytest.raises(kind, match="stream"):
            x.__dlpack__(stream=stream)


def test_pinned_memory():
    x = jg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = x.pin_memory()
    assert (y.is_pinned(), y[1:].is_pinned(), x.is_pinned(), y.clone().is_pinned()) == (True, True, False, False)
    assert y.pin_memory() is y
    assert y.tolist() == x.tolist()
    there = y.to("cuda", non_blocking=True)
    assert there.tolist() == x.tolist()
    (there * there).sum().backward()
    assert x.grad.tolist() == [[2.0, 4.0], [6.0, 8.0]]
    assert y.cuda(non_blocking=True).tolist() == y.to("cuda").tolist() == x.tolist()
    assert (jg.tensor(1.5).pin_memory().item(), jg.zeros(0, 2).pin_memory().shape) == (1.5, (0, 2))
    assert not there.is_pinned()
    with pytest.raises(RuntimeError, match="only memory of the CPU can be pinned"):
        there.pin_memory()


def test_pinned_memory_needs_a_gpu(monkeypatch):
    from jitgrad.devices import cuda

    monkeypatch.setattr(cuda, "_made", {})
    monkeypatch.setattr(cuda, "count", lambda: 0)
    with pytest.raises(RuntimeError, match="there is no GPU"):
        jg.zeros(2).pin_memory()


ON_STANDIN = """
Driver.block = 8
import ctypes, gc, jitgrad as jg
from jitgrad.devices.cuda import compute_of
x = jg.arange(6.0, device="cuda").reshape(2, 3)
said = x.__cuda_array_interface__
memory = np.ctypeslib.as_array((ctypes.c_float * 6).from_address(said["data"][0]))
assert said["stream"] == compute_of('cuda').driver.current().handle
memory[0] = 9.0
assert x[0, 0].item() == 9.0
y = jg.from_dlpack(x)
y.add_(1.0)
assert memory.tolist() == [10.0, 2.0, 3.0, 4.0, 5.0, 6.0]
for stream in (None, 1, 2, -1):
    assert jg.from_dlpack(x.__dlpack__(stream=stream)).tolist() == x.tolist()
class Other:
    __cuda_array_interface__ = {**x[:, ::-2].__cuda_array_interface__}
for changed in ({}, {"stream": 1}, {"stream": None}, {"version": 2, "stream": None}):
    Other.__cuda_array_interface__.update(changed)
    assert jg.as_tensor(Other).tolist() == [[3.0, 10.0], [6.0, 4.0]], changed
jg.as_tensor(Other).mul_(2.0)
assert memory.tolist() == [20.0, 2.0, 6.0, 8.0, 5.0, 12.0]
p = jg.arange(4.0).pin_memory()
assert p.is_pinned() and p.to("cuda", non_blocking=True).tolist() == p.cuda().tolist() == [0.0, 1.0, 2.0, 3.0]
before = jg.cuda.memory_allocated()
del x, y
gc.collect()
assert jg.cuda.memory_allocated() < before
jg.cuda.empty_cache()
assert not standin.faults, standin.faults
print("done")
"""


@pytest.mark.skipif(bool(standin.missing()), reason=f"the stand-in driver needs {standin.missing()}")
def test_on_the_driver(tmp_path):
    """Addresses are real ones there."""
    assert standin.run(ON_STANDIN, JITGRAD_CUDA="", STANDIN_DEVICES="1", JITGRAD_CACHE_DIR=str(tmp_path)) == "done\n"
