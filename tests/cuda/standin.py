"""A GPU that is none: `libcuda.so.1` is built from `standin.c`, and its launches run the simulator on the same memory.

`install()` must come before anything else loads the driver, so tests that use it run in processes of their own (`run`).
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
NAME = "libcuda.so.1"
ILLEGAL_ADDRESS = 700
STORED = {"boolean": "uint8"}
Launched = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint, ctypes.POINTER(ctypes.c_void_p))
kernels: dict[bytes, Any] = {}
"""Those that were loaded, by their name on the device."""
faults: list[str] = []
"""What the simulator found wrong."""


def missing() -> str:
    """What the stand-in needs and is not there; empty if it can be used."""
    needed = [name for name in ("numba_cuda", "cuda.core", "cuda.bindings") if not _is_there(name)]
    if not sys.platform.startswith("linux"):
        needed.append("Linux")
    return ", ".join(needed + ([] if shutil.which("gcc") else ["gcc"]))


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


def build(folder: str | Path) -> Path:
    """The library, in a folder."""
    target = Path(folder) / NAME
    flags = ["-O1", "-Wall", "-Werror", "-shared", "-fPIC", f"-Wl,-soname,{NAME}"]
    subprocess.run(["gcc", *flags, "-o", target, *sorted(HERE.glob("standin*.c")), "-lm", "-lpthread"], check=True)
    return target


def install() -> ctypes.CDLL:
    """Make the stand-in the driver of this process: who asks for `libcuda.so.1` later gets what is loaded under that name."""
    with tempfile.TemporaryDirectory() as folder:
        built = os.environ.get("STANDIN_LIBRARY") or build(folder)
        library = ctypes.CDLL(str(built), ctypes.RTLD_GLOBAL)
    library.standin_end.restype = ctypes.c_uint64
    library.standin_end.argtypes = [ctypes.c_uint64]
    return library


def connect(library: ctypes.CDLL) -> None:
    """Let launches run the simulator. Kernels are known to it by what the driver loads."""
    from jitgrad.sweeps.cuda import compile, driver

    made = driver.cubin

    def cubin(kernel: Any, cc: tuple[int, int]) -> tuple[bytes, str]:
        code, symbol = made(kernel, cc)
        kernels[symbol.encode()] = kernel
        sizes = [8 if t[0] == "*" else np.dtype(t).itemsize for t in kernel.types]
        library.standin_declare(symbol.encode(), len(sizes), (ctypes.c_size_t * len(sizes))(*sizes))
        return code, symbol

    assert made is compile.cubin
    driver.cubin = cubin

    @Launched
    def launched(name: bytes, grid: int, block: int, parameters: Any) -> int:
        from jitgrad.sweeps.cuda import simulator

        kernel = kernels[name]
        try:
            assert block == kernel.block
            given = [_argument(library, t, parameters[i]) for i, t in enumerate(kernel.types)]
            simulator.run(kernel, grid, given)
        except BaseException:
            faults.append(traceback.format_exc())
            return ILLEGAL_ADDRESS
        return 0

    library.kept = launched  # type: ignore[attr-defined]
    library.standin_on_launch(launched)


def _argument(library: ctypes.CDLL, kind: str, at: int) -> Any:
    """What lies at the address of a parameter: a number, or where an array begins."""
    if kind[0] != "*":
        dtype = np.dtype(kind)
        return np.frombuffer(ctypes.string_at(at, dtype.itemsize), dtype)[0]
    address = ctypes.c_uint64.from_address(at).value
    dtype = np.dtype(STORED.get(kind[1:], kind[1:]))
    nbytes = (library.standin_end(address) - address) // dtype.itemsize * dtype.itemsize
    return np.frombuffer((ctypes.c_char * nbytes).from_address(address), dtype)


PROLOGUE = """
import numpy as np
from tests.cuda import standin
library = standin.install()
standin.connect(library)
from jitgrad.sweeps.cuda.driver import Driver, available, count, driver_of
from jitgrad.sweeps.cuda.kernel import Kernel
from tests.cuda.standin import ADD, array, filled
"""


def run(code: str, **environment: str) -> str:
    """What a program prints that begins with the stand-in, in a process of its own."""
    return run_python(PROLOGUE + code, **environment)


def run_python(code: str, **environment: str) -> str:
    """What a program prints."""
    paths = [HERE.parents[1], *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), **environment}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=surroundings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


ADD = """def kernel(x, y, z, n, factor):
    i = i32(i32(cuda.blockIdx.x) * i32(cuda.blockDim.x) + i32(cuda.threadIdx.x))
    while i < n:
        z[i] = x[i] + factor * y[i]
        i = i32(i + i32(cuda.gridDim.x) * i32(cuda.blockDim.x))
"""
"""A kernel: z = x + factor y."""


def filled(driver: Any, array: np.ndarray) -> Any:
    """A buffer with what an array holds."""
    buffer = driver.allocate(array.nbytes)
    driver.upload(buffer, 0, array)
    return buffer


def array(driver: Any, buffer: Any, dtype: Any = np.float32) -> np.ndarray:
    """What a buffer holds."""
    out = np.empty(buffer.nbytes // np.dtype(dtype).itemsize, dtype)
    driver.download(buffer, 0, out)
    return out


def main() -> int:
    """Pytest on the stand-in, where kernels are compiled too: `python -m tests.cuda.standin tests/cuda/test_ops.py`."""
    from tests.cuda import standin  # whose tables others see, not those of `__main__`

    library = standin.install()
    standin.connect(library)
    from jitgrad.sweeps.cuda import cublas, driver

    blas = cublas.declared(library)  # NVIDIA's wants a real GPU
    cublas.library = lambda: blas

    driver.Driver.block, driver.Driver.warp, driver.WAVES = 8, 4, 1  # the simulator takes its time
    import pytest

    return int(pytest.main(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
