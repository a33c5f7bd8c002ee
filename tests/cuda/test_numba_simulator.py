"""A few kernels in Numba's own simulator, which has threads that really wait for each other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cuda import standin

PROGRAM = """
import sys
sys.setswitchinterval(1e-4)
import threading
import numpy as np
from numba import cuda
from numba.cuda.simulator.kernelapi import FakeCUDAModule
from jitgrad.sweeps.cuda import simulated_names
from jitgrad.sweeps.cuda.simulator import run
from jitgrad.sweeps.cuda.library import product, running, sorting
import jitgrad as jg
from jitgrad.devices.compute import Compute
from jitgrad.sweeps.cuda.simulated import Driver

# It knows nothing of warps: those wait for each other here.

class Warp:
    def __init__(self, n):
        self.barrier, self.values = threading.Barrier(n), [None] * n

    @staticmethod
    def of_this_thread(mask):
        thread, n = threading.current_thread(), mask.bit_length()
        with lock:
            warps = thread._manager.__dict__.setdefault("warps", {})
            return warps.setdefault((thread.thread_id // n, n), Warp(n)), thread.thread_id % n

def passed(mask, value, source):
    warp, lane = Warp.of_this_thread(mask)
    warp.values[lane] = value
    warp.barrier.wait(60)
    found = warp.values[source(lane)] if source(lane) < len(warp.values) else value
    warp.barrier.wait(60)
    return found

lock = threading.Lock()
FakeCUDAModule.syncwarp = lambda self, mask: passed(mask, None, lambda lane: lane)
FakeCUDAModule.shfl_sync = lambda self, mask, value, source: passed(mask, value, lambda lane: source)
FakeCUDAModule.shfl_down_sync = lambda self, mask, value, by: passed(mask, value, lambda lane: lane + by)

names = {k: v for k, v in simulated_names.namespace().items() if k != "cuda"}
done = []

def both(kernel, grid, arguments, check=True):
    '''Ours, and Numba's on copies of the same memory.'''
    copied = {a.ctypes.data: a.copy() for a in arguments if isinstance(a, np.ndarray)}  # one, where two are the same memory
    copies = [copied[a.ctypes.data] if isinstance(a, np.ndarray) else a for a in arguments]
    run(kernel, grid, arguments, check)
    scope = dict(names, cuda=cuda)
    exec(kernel.text, scope)
    with np.errstate(all="ignore"):
        cuda.jit(scope["kernel"])[grid, kernel.block](*copies)
    for ours, theirs in zip(arguments, copies):
        if isinstance(ours, np.ndarray):
            np.testing.assert_array_equal(ours, theirs)
    done.append(kernel)

import jitgrad.sweeps.cuda.simulated as simulated
simulated.run = both
jg.manual_seed(0)
x = jg.randn(5, 40, device="cuda")
(x * 2).exp().sum().item()
x.sum(0).tolist()
jg.jit(jg.value_and_grad(lambda x: (x.softmax(1).log() * x).sum()))(x)[0].item()
(x @ x.T).tolist()
x.cumsum(1).tolist()
x.sort(1).values.tolist()
x[jg.tensor([0, 0, 4], device="cuda")].tolist()
print(len(set(done)), sum("shfl" in kernel.text for kernel in set(done)))
"""


@pytest.mark.skipif(not standin._is_there("numba_cuda"), reason="numba-cuda is not installed")
def test_numbas_simulator_gives_the_same():
    paths = [str(Path(__file__).parents[2]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    more = {"NUMBA_ENABLE_CUDASIM": "1", "JITGRAD_CUDA": "simulate", "PYTHONPATH": os.pathsep.join(paths)}
    found = subprocess.run([sys.executable, "-c", PROGRAM], env={**os.environ, **more}, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    kernels, of_warps = map(int, found.stdout.split())
    assert kernels >= 10
    assert of_warps >= 1
