"""Memory that is shared by DLPack, of the CPU and of a GPU, and what becomes of gradients."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.devices import foreign
from jitgrad.errors import OverwrittenError, TracedValueError
from tests.cuda.others import Packed, ranged

PLACES = pytest.mark.parametrize("device", ["cpu", "cuda"])
DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "bfloat16")


@pytest.fixture(autouse=True)
def on_its_own(gpu, monkeypatch):
    """Tests of other files find the pool as it was: one that knows of no work but its own."""
    monkeypatch.setattr(gpu.pool, "streams", gpu.pool.streams)


@PLACES
@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_comes_back_without_a_copy(device, name):
    x = jg.tensor([0, 1, 2], device=device).to(getattr(jg, name))
    for versions in (False, True):
        y = jg.from_dlpack(Packed(x, versions))
        assert (y.dtype, y.device, y.tolist()) == (x.dtype, x.device, x.tolist())
        y[0] = 1
        assert x[0].item() == 1
        x[0] = 0
        assert y[0].item() == 0


@PLACES
@pytest.mark.parametrize(
    "part",
    [
        lambda x: x,
        lambda x: x.T,
        lambda x: x[1:, ::2],
        lambda x: x[2],
        lambda x: x[1, 1],
        lambda x: x[:0],
        lambda x: x[:, None, 1:],
    ],
)
def test_parts_share_memory(device, part):
    x = ranged(device, 4, 6)
    given = part(x)
    y = jg.from_dlpack(given)
    assert (y.shape, y.tolist()) == (given.shape, given.tolist())
    if y.numel():
        assert y.stride() == given.stride()
    y.add_(100.0)
    assert y.tolist() == given.tolist()
    assert (x >= 100).sum().item() == y.numel()


@PLACES
def test_numbers_of_no_dimension(device):
    x = jg.tensor(3.0, device=device)
    y = jg.from_dlpack(x)
    assert (y.shape, y.item()) == ((), 3.0)
    x.fill_(4.0)
    assert y.item() == 4.0


def test_numpy_takes_and_gives():
    x = ranged("cpu", 2, 3)
    array = np.from_dlpack(x)
    array[0, 0] = 9.0
    assert x[0, 0].item() == 9.0
    given = np.arange(6.0).reshape(2, 3)[::-1]
    y = jg.from_dlpack(given)
    y[0, 0] = -1.0
    assert given[0, 0] == -1.0
    assert y.dtype is jg.float64
    assert np.from_dlpack(jg.tensor([True, False])).tolist() == [True, False]


def test_torch_takes_and_gives():
    torch = pytest.importorskip("torch")
    for name in DTYPES:
        t = torch.tensor([[0, 1, 2], [3, 4, 5]]).to(getattr(torch, name))[:, ::2]
        x = jg.from_dlpack(t)
        assert (x.dtype, x.tolist(), x.stride()) == (getattr(jg, name), t.tolist(), t.stride())
        t[0, 0] = 1
        assert x[0, 0].item() == 1
        back = torch.from_dlpack(x)
        assert (back.data_ptr(), back.dtype, back.stride()) == (t.data_ptr(), t.dtype, t.stride())
    with pytest.raises(BufferError, match="detach"):
        torch.from_dlpack(jg.ones(2, requires_grad=True))


@PLACES
def test_memory_outlives_who_made_it(device):
    x = ranged(device, 100)
    y = jg.from_dlpack(x)
    capsule = x.__dlpack__()
    del x
    gc.collect()
    assert y.sum().item() == 4950.0
    del y
    assert jg.from_dlpack(capsule).sum().item() == 4950.0


def test_memory_of_the_cpu_is_freed_with_the_last_who_has_it():
    x = jg.zeros(100)
    owner = weakref.ref(x._value if x._value.base is None else x._value.base)
    array, unused = np.from_dlpack(x), x.__dlpack__(max_version=(1, 0))
    del x
    gc.collect()
    assert owner() is not None
    del array, unused
    gc.collect()
    assert owner() is None


def test_memory_of_a_gpu_is_given_back_with_the_last_who_has_it():
    gc.collect()
    before = jg.cuda.memory_allocated()
    x = jg.zeros(1000, device="cuda")
    held = jg.cuda.memory_allocated() - before
    assert held >= 4000
    y, unused = jg.from_dlpack(x), x.__dlpack__()
    view = y[10:]
    del x, y
    gc.collect()
    assert jg.cuda.memory_allocated() - before == held
    del view, unused
    gc.collect()
    assert jg.cuda.memory_allocated() == before


def test_memory_that_was_outside_is_not_given_out_again_before_all_work_is_done(gpu):
    x = jg.zeros(3000, device="cuda")
    address = x.__cuda_array_interface__["data"][0]
    del x
    others = [jg.zeros(3000, device="cuda") for _ in range(4)]
    assert address not in [y._value.address for y in others]
    reserved = jg.cuda.memory_reserved()
    jg.cuda.empty_cache()
    assert jg.cuda.memory_reserved() <= reserved - 12000


def test_much_memory_that_was_outside_is_freed(monkeypatch, gpu):
    monkeypatch.setattr(foreign, "PART", gpu.driver.memory()[1] // 40_000)
    for _ in range(20):
        x = jg.zeros(3000, device="cuda")
        x.__dlpack__()
    del x
    assert jg.cuda.memory_reserved() - jg.cuda.memory_allocated() < 80_000


@PLACES
def test_what_requires_grad_is_not_shared(device):
    x = jg.ones(2, device=device, requires_grad=True)
    with pytest.raises(BufferError, match=r"call detach\(\)"):
        x.__dlpack__()
    with pytest.raises(RuntimeError, match=r"call detach\(\)"):
        jg.from_dlpack(x)
    assert jg.from_dlpack(x.detach()).tolist() == [1.0, 1.0]
    if device == "cuda":
        with pytest.raises(RuntimeError, match=r"call detach\(\)"):
            x.__cuda_array_interface__  # noqa: B018


@PLACES
def test_changes_outside_after_it_was_used_are_an_error(device):
    x = jg.tensor([1.0, 2.0, 3.0], device=device, requires_grad=True)
    loss, other = (x * x).sum(), (x * x).sum()
    outside = jg.from_dlpack(x.detach())
    loss.backward()  # nothing was changed so far
    assert x.grad.tolist() == [2.0, 4.0, 6.0]
    outside.mul_(3.0)
    assert x.tolist() == [3.0, 6.0, 9.0]
    with pytest.raises(OverwrittenError, match="clone"):
        other.backward()


@PLACES
def test_changes_outside_of_what_was_shared_before_it_was_used_do_no_harm(device):
    x = jg.tensor([1.0, 2.0, 3.0], device=device)
    outside = jg.from_dlpack(x)
    x.requires_grad_()
    y = jg.from_dlpack(outside)
    y.requires_grad_()
    loss = (x * x * y.exp().detach() + y * y).sum()
    kept = [x.tolist(), (y.detach().exp() * 2 * x.detach()).tolist()]
    outside.zero_()
    loss.backward()
    assert x.grad.tolist() == pytest.approx(kept[1])
    assert y.grad.tolist() == [2 * v for v in kept[0]]
    assert x.tolist() == [0.0, 0.0, 0.0]


def test_jit_sees_what_was_changed_outside():
    x = jg.from_dlpack(jg.tensor([1.0, 2.0], device="cuda"))
    other, f = jg.from_dlpack(x), jg.jit(lambda v: (v * x).sum())
    ones = jg.ones(2, device="cuda")
    for k in range(4):
        other.fill_(float(k))
        assert f(ones).item() == 2.0 * k
        assert jg.jit(lambda v: v.sum())(x).item() == 2.0 * k


def test_jit_does_not_let_memory_of_a_gpu_out():
    x = jg.ones(2, device="cuda")
    with pytest.raises(TracedValueError):
        jg.jit(lambda v: jg.from_dlpack(v) * 2)(x)
    with pytest.raises(TracedValueError, match="outside of it"):
        jg.jit(lambda v: v * jg.from_dlpack(x))(x)


def test_copies_where_they_are_asked_for():
    x = ranged("cuda", 3)
    for copied in (jg.from_dlpack(x, copy=True), jg.from_dlpack(x.__dlpack__(copy=True)), jg.from_dlpack(x, device="cpu")):
        copied.fill_(5.0)
        assert x.tolist() == [0.0, 1.0, 2.0]
    assert jg.from_dlpack(x, device="cuda", copy=False).is_cuda
    with pytest.raises(ValueError, match="takes a copy"):
        jg.from_dlpack(x, device="cpu", copy=False)
    assert np.from_dlpack(x, device="cpu").tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(BufferError, match="was asked for"):
        x.cpu().__dlpack__(dl_device=(2, 0))
    with pytest.raises(BufferError, match="was asked for"):
        x.__dlpack__(dl_device=(1, 0), copy=False)


@PLACES
def test_what_is_read_only_stays_so(device):
    x = jg.from_dlpack(Packed(ranged(device, 3).expand(2, 3), versions=True))
    with pytest.raises(RuntimeError, match="read-only"):
        x.add_(1.0)
    array = np.arange(3.0)
    array.flags.writeable = False
    with pytest.raises(RuntimeError, match="read-only"):
        jg.from_dlpack(Packed(array, versions=True)).add_(1.0)
