"""What users ask of devices: names, moving, what is refused, memory, and that nothing goes to the host unasked."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import TracedValueError


def on(data, **more):
    return jg.tensor(data, device="cuda", **more)


def test_names():
    assert repr(jg.device("cuda")) == "device(type='cuda')"
    assert repr(jg.device("cuda:1")) == repr(jg.device("cuda", 1)) == "device(type='cuda', index=1)"
    assert (jg.device("cuda:1").type, jg.device("cuda:1").index, jg.device("cpu").index) == ("cuda", 1, None)
    for bad in ("gpu", "cuda:x", "cpu:1", "cuda:-1", "cuda:"):
        with pytest.raises(RuntimeError, match="is not supported"):
            jg.device(bad)


def test_moving_there_and_back():
    x = jg.tensor([1.0, 2.0])
    y = x.to("cuda")
    assert (str(y.device), y.is_cuda, x.is_cuda) == ("cuda:0", True, False)
    assert y.to("cuda") is y
    assert y.cuda() is y
    assert x.cpu() is x
    assert y.cpu().tolist() == [1.0, 2.0]
    assert y.to(jg.float64).dtype is jg.float64
    assert x.to("cuda", jg.float64).dtype is jg.float64
    assert x.to(y).is_cuda
    assert jg.as_tensor(x, device="cuda").is_cuda
    assert jg.tensor(y).is_cuda
    assert repr(y) == "tensor([1., 2.], device='cuda:0')"
    assert repr(y.double()) == "tensor([1., 2.], device='cuda:0', dtype=jitgrad.float64)"


def test_a_gradient_goes_through_a_move():
    x = jg.tensor([1.0, 2.0], requires_grad=True)
    y = (x.to("cuda") ** 2).sum().cpu()
    assert repr(y) == "tensor(5., grad_fn=<ToCopyBackward0>)"
    y.backward()
    assert x.grad.tolist() == [2.0, 4.0]
    assert not x.grad.is_cuda
    (tangent,) = jg.jvp(lambda x: x.to("cuda").exp().cpu(), (jg.tensor(0.0),), (jg.tensor(2.0),))[1:]
    assert tangent.item() == 2.0


def test_nothing_goes_to_the_host_in_silence():
    x = on([1.0, 2.0])
    for way in (np.asarray, lambda x: x.numpy(), lambda x: np.ones(2) + np.array(x)):
        with pytest.raises(TypeError, match=r"call cpu\(\) on it first"):
            way(x)
    assert (x[0].item(), float(x[1]), x.tolist()) == (1.0, 2.0, [1.0, 2.0])


def test_under_jit_everything_is_on_one_device():
    f = jg.jit(lambda x: x + jg.ones(2, device=x.device) + jg.zeros_like(x))
    assert f(on([1.0, 2.0])).tolist() == [2.0, 3.0]
    assert not f(jg.tensor([1.0, 2.0])).is_cuda
    with pytest.raises(TracedValueError, match="computed on one device"):
        jg.jit(lambda x: x.cpu())(on([1.0]))
    with pytest.raises(TracedValueError, match="computed on one device"):
        jg.jit(lambda x: x + jg.ones(1, device="cuda"))(jg.tensor([1.0]))


def test_an_index_out_of_bounds_is_an_error_when_values_are_asked_for():
    x = on([1.0, 2.0, 3.0])
    places = on([0, 5])
    with pytest.raises(IndexError, match="getitem: index 5 is out of bounds for a dimension of size 3"):
        x[places].tolist()
    jg.jit(lambda x, i: x[i])(x, places)
    with pytest.raises(IndexError, match="index 5 is out of bounds"):
        jg.cuda.synchronize()
    assert x[on([0, -1])].tolist() == [1.0, 3.0]
    with pytest.raises(IndexError, match="gather: index 7 is"):
        x.gather(0, on([7])).tolist()
    x[on([-4])] = 1.0
    with pytest.raises(IndexError, match="index_put: index -4 is"):
        x.tolist()
    with pytest.raises(IndexError, match="index_select: index 3 is"):
        jg.jit(lambda x, i: (x * 2).index_select(0, i) + 1)(x, on([3])).tolist()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_numbers_that_do_not_fit_are_said(device):
    x = jg.tensor([1, 2], dtype=jg.int8, device=device)
    for power in (lambda x: x**300, lambda x: x.clone().pow_(300), jg.jit(lambda x: x**300)):
        with pytest.raises(RuntimeError, match="pow: the exponent 300 does not fit into int8, which holds -128 to 127"):
            power(x)
    with pytest.raises(RuntimeError, match=f"pow: the exponent {2**70} does not fit into int64"):
        x.long() ** 2**70
    assert (x**3).tolist() == [1, 8]
    with pytest.raises(RuntimeError, match="mul cannot compute with float32, int: a number is beyond the dtype"):
        x.float() * 10**400


def test_functions_of_the_users_run_on_the_host():
    numba = pytest.importorskip("numba")
    functions = [
        jg.elementwise(numba.njit(lambda x: x * x)),
        jg.from_njit(numba.njit(lambda x: x * x)),
        jg.from_njit(numba.njit(lambda x: x * x), shape=lambda x: x),
    ]
    for f in functions:
        assert f(jg.tensor([3.0])).tolist() == [9.0]
        for way in (f, jg.jit(f), jg.vmap(f), lambda x: jg.vjp(f, x)):  # noqa: B023  called at once
            with pytest.raises(NotImplementedError, match="<lambda> is not available on cuda:0, since it is @njit code"):
                way(on([[3.0]]))


def test_kernels_are_made_by_one_thread_at_a_time(gpu):
    def work(k):
        x = on([float(k)])
        for n in range(3):
            x = (x + k * 10 + n) * (x - n)
        return (x.sin() if k % 2 else x.cos()).tanh().sum().item()

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(work, range(16)))
    assert found == [work(k) for k in range(16)]


def test_memory_is_counted_and_given_back(gpu):
    gc.collect()
    before = jg.cuda.memory_allocated()
    x = jg.zeros(1000, device="cuda")
    assert jg.cuda.memory_allocated() - before >= 4000
    assert jg.cuda.max_memory_allocated() >= jg.cuda.memory_allocated()
    del x
    assert jg.cuda.memory_allocated() == before
    assert jg.cuda.memory_reserved() >= 4000
    jg.cuda.reset_peak_memory_stats()
    assert jg.cuda.max_memory_allocated() == jg.cuda.memory_allocated()
    free, total = jg.cuda.mem_get_info()
    assert 0 < free <= total
    jg.cuda.empty_cache()
    assert jg.cuda.memory_reserved() == jg.cuda.memory_allocated()


MADE_THERE = {
    "zeros": lambda **how: jg.zeros(2, 3, **how),
    "ones": lambda **how: jg.ones(70, **how),
    "full": lambda **how: jg.full((2, 3), -0.0 if how.get("dtype", jg.float32).is_floating_point else 3, **how),
    "arange": lambda **how: jg.arange(3, 100, 7, **how),
    "arange of floats": lambda **how: jg.arange(1.1, 17.0, 1.3, **how),
    "arange of none": lambda **how: jg.arange(0, **how),
    "arange down": lambda **how: jg.arange(200, 190, -1, **how),
    "linspace": lambda **how: jg.linspace(3, -1.3, 11, **how),
    "linspace of one": lambda **how: jg.linspace(1, 2, 1, **how),
    "eye": lambda **how: jg.eye(3, **how),
    "eye tall": lambda **how: jg.eye(5, 2, **how),
    "eye wide": lambda **how: jg.eye(2, 5, **how),
    "zeros_like": lambda **how: jg.zeros_like(jg.ones(2, 3), **how),
    "full_like": lambda **how: jg.full_like(jg.ones(2, 3), 2, **how),
    "no dimensions": lambda **how: jg.full((), 2, **how),
}


@pytest.mark.parametrize("make", MADE_THERE.values(), ids=MADE_THERE)
def test_what_is_made_there_takes_no_memory_of_the_host(make, gpu, monkeypatch):
    sent = []
    upload = gpu.driver.upload
    monkeypatch.setattr(gpu.driver, "upload", lambda *args: (sent.append(args[-1].nbytes), upload(*args)))
    for how in ({}, {"dtype": jg.float64}, {"dtype": jg.int64}, {"dtype": jg.uint8}, {"dtype": jg.float16}):
        want, got = make(**how), make(**how, device="cuda")
        assert got.is_cuda
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        assert got.cpu().numpy().tobytes() == want.numpy().tobytes()
    assert max(sent, default=0) <= 8
    jg.empty(1000, device="cuda")
    jg.vjp(lambda x, y: x * 1, jg.ones(1000, device="cuda"), jg.ones(1000, device="cuda"))[1](jg.ones(1000, device="cuda"))
    assert max(sent, default=0) <= 8


def test_out_of_memory_says_how_much():
    _, total = jg.cuda.mem_get_info()
    with pytest.raises(MemoryError, match=r"has no .* left: .* in use"):
        jg.zeros(total // 4 + 1_000_000, dtype=jg.float32, device="cuda")
    assert jg.zeros(3, device="cuda").tolist() == [0.0] * 3


def test_the_device_that_is_in_use():
    assert jg.cuda.is_available()
    assert jg.cuda.device_count() >= 1
    assert jg.cuda.current_device() == 0
    jg.cuda.set_device("cuda:0")
    assert isinstance(jg.cuda.get_device_name(), str)
    with pytest.raises(AttributeError, match=r"jitgrad.cuda.get_device_nam is not available: there is get_device_name"):
        jg.cuda.get_device_nam()
    with pytest.raises(RuntimeError, match="there is no cuda:99"):
        jg.cuda.set_device(99)
    with pytest.raises(RuntimeError, match="there is no cuda:99"):
        jg.zeros(1, device="cuda:99")


def test_importing_imports_nothing_of_it():
    ours = ("jitgrad.cuda", "jitgrad.devices.cuda")
    code = f"import sys; old = set(sys.modules); import jitgrad; new = set(sys.modules) - old - set({ours})"
    code += "; assert not [name for name in new if 'cuda' in name], new"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_streams_and_events():
    first = jg.cuda.current_stream()
    assert jg.cuda.default_stream() is first
    other = jg.cuda.Stream()
    start, end = jg.cuda.Event(enable_timing=True), jg.cuda.Event(enable_timing=True)
    x = on([1.0, 2.0])
    other.wait_stream(first)
    with jg.cuda.stream(other):
        assert jg.cuda.current_stream() is other
        start.record()
        y = x * 2
        end.record()
        z = y + 1
        del y
    first.wait_event(other.record_event())
    assert z.tolist() == [3.0, 5.0]
    other.synchronize()
    end.synchronize()
    assert other.query()
    assert start.elapsed_time(end) >= 0
    assert jg.cuda.current_stream() is first


def test_what_is_compiled_can_be_read():
    f = jg.jit(jg.value_and_grad(lambda w, x: (x @ w).tanh().sum()))
    w, x = on([1.0, 2.0]), on([[1.0, 2.0], [3.0, 4.0]])
    value, gradient = f(w, x)
    want = jg.value_and_grad(lambda w, x: (x @ w).tanh().sum())(w.cpu(), x.cpu())
    assert value.item() == pytest.approx(want[0].item())
    assert gradient.tolist() == pytest.approx(want[1].tolist(), rel=1e-5)
    text = f.source(w, x)
    assert "@cuda.jit\ndef kernel(" in text
    assert "tanh(" in text
    assert "matmul: a kernel that was written by hand" in text
    assert "cuda:0: " in f.report()
    assert "matmul -> f32[2,1]" in f.report()
    for _ in range(4):  # the third time as a graph
        assert f(w, x)[1].tolist() == gradient.tolist()


def test_a_number_of_another_sign_is_another_number():
    f = jg.jit(lambda x, c: (x.sum(), x / c))
    x = on([1.0, 2.0])
    for _ in range(4):
        assert [f(x, c)[1].tolist() for c in (0.0, -0.0, 2.0)] == [[np.inf] * 2, [-np.inf] * 2, [0.5, 1.0]]
        assert np.isnan(f(x, float("nan"))[1].tolist()).all()


def test_results_that_are_kept_are_never_written_to_again():
    f = jg.jit(lambda x, k: (x * k, (x * k).sum()))
    x = on([1.0, 2.0, 3.0])
    kept = [f(x, float(k)) for k in (1, 2, 1, 2, 3, 1, 1, 1, 2, 2)]
    assert [total.item() for _, total in kept] == [6.0 * k for k in (1, 2, 1, 2, 3, 1, 1, 1, 2, 2)]
    views = [f(x, float(k))[0][1:] for k in (1, 2, 3, 4, 5)]
    assert [v.tolist() for v in views] == [[2.0 * k, 3.0 * k] for k in (1, 2, 3, 4, 5)]


@pytest.mark.parametrize("n", [1, 2, 5, 8, 9, 16, 17, 40])
def test_rows_short_and_long(n):
    """A thread each, with and without registers, and a block each."""
    x = jg.tensor(np.random.default_rng(0).normal(size=(11, n)))
    for f in (
        lambda x: x.softmax(1),
        lambda x: x.log_softmax(1) * x,
        lambda x: (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, correction=0) + 1e-5).sqrt() * x,
        lambda x: x.softmax(1).sum(0) * x.amax(1, keepdim=True),
        lambda x: x.argmax(1).double() * x.softmax(1).sum(1),
    ):
        g = jg.value_and_grad(lambda x: (f(x) * 1.5).sum())  # noqa: B023  called at once
        want, got = g(x), jg.jit(g)(x.cuda())
        assert got[0].item() == pytest.approx(want[0].item(), rel=1e-9)
        np.testing.assert_allclose(got[1].cpu().numpy(), want[1].numpy(), rtol=1e-9, atol=1e-12)


def test_short_rows_pass_from_stage_to_stage_in_registers():
    assert "cuda.local.array(5, float64)" in jg.jit(lambda x: x.softmax(1)).source(jg.zeros(3, 5, device="cuda").double())


def test_numbers_in_loops_and_results_that_depend_on_nothing_are_where_the_tensors_are():
    x = jg.arange(6.0, device="cuda").reshape(3, 2)
    count, ys = jg.scan(lambda c, r: (c + 1, r * c), 1, x)
    assert count.is_cuda
    assert (count.item(), ys.tolist()) == (4, [[0.0, 1.0], [4.0, 6.0], [12.0, 15.0]])
    assert jg.fori_loop(0, 3, lambda i, c: c + x[i] * i.reshape(1), jg.zeros(2, device="cuda")).tolist() == [10.0, 13.0]
    steps, y = jg.while_loop(lambda c: c[0] < 5, lambda c: (c[0] + 1, c[1] * 2), (0, jg.ones(2, device="cuda")))
    assert (steps.is_cuda, steps.item(), y.tolist()) == (True, 5, [32.0, 32.0])
    filled = jg.vmap(lambda v: v.clone().fill_(3.0))(x)
    assert (filled.is_cuda, filled.tolist()) == (True, [[3.0, 3.0]] * 3)


def test_a_tensor_of_outside_is_changed_under_vmap_at_an_index_on_the_device():
    y = jg.zeros(3, 2, device="cuda")

    def put(v):
        z = y.clone()
        z[jg.tensor([0], device="cuda")] = v
        return z

    got = jg.vmap(put)(jg.ones(2, 2, device="cuda"))
    assert got.tolist() == [[[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]] * 2


def test_shapes_that_do_not_broadcast_are_told_as_on_the_cpu():
    for call in (lambda x, y: x + y, jg.maximum, lambda x, y: jg.where(x > 0, x, y)):
        with pytest.raises(RuntimeError, match=r"shapes .*\[2, 3\] and \[2\] do not broadcast"):
            call(jg.ones(2, 3, device="cuda"), jg.ones(2, device="cuda"))


def test_memory_that_idle_programs_keep_is_let_go(monkeypatch, gpu):
    program = """
import jitgrad as jg
f = jg.jit(lambda w: jg.softmax((w * 2).exp().cumsum(0), 0).cumsum(0))
for n in range(200, 1200, 100):
    assert f(jg.ones(n, device="cuda")).shape == (n,)
    assert jg.ones(n, device="cuda").cumsum(0).exp().sum().shape == ()
jg.cuda.empty_cache()
print(jg.cuda.memory_allocated() < 6000)
"""
    environment = {**os.environ, "JITGRAD_CUDA": "simulate", "JITGRAD_CUDA_MEMORY": "32768"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr
