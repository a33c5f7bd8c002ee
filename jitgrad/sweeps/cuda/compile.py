"""The text of a kernel to machine code of a GPU: numba-cuda makes PTX of it, and nvJitLink a cubin of that, with no GPU needed.

A cubin rather than PTX, as a driver translates only the PTX that it knows, and the compilers are often newer. Cubins are kept on
disk beside the machine code of the CPU (`jitgrad.sweeps.code.cache`). A process that finds them there imports no compiler.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path
from types import FunctionType
from typing import Any

from jitgrad.base.locks import compiling
from jitgrad.base.signals import importing
from jitgrad.base.version import VERSION
from jitgrad.errors import NotCompilableError
from jitgrad.kernels import scalar
from jitgrad.sweeps.code import cache as disk
from jitgrad.sweeps.cuda.kernel import Kernel

__all__ = ["cubin", "machine_code", "symbol_of"]

CC = tuple[int, int]
COMPILERS = (
    "numba-cuda",
    "numba",
    *("nvidia-nvvm", "nvidia-cuda-nvcc-cu12"),  # where libNVVM is, in the packages of CUDA 13 and 12
    *("nvidia-nvjitlink", "nvidia-nvjitlink-cu12"),
)
_ENTRY = re.compile(r"\.visible \.entry (\S+?)\(")
_SHARED = ("whole_remainder", "whole_quotient", "towards_zero_32", "towards_zero_64")


def symbol_of(kernel: Kernel) -> str:
    """What the function of a kernel is called in its cubin. Numba's own name for it may be too long for other tools."""
    return "kernel_" + _key(kernel)[:16]


def cubin(kernel: Kernel, cc: CC) -> tuple[bytes, str]:
    """Machine code for a compute capability, as (9, 0), and the name of the function in it.

    `NotCompilableError` says what a compiler has against the text. Any thread may call this.
    """
    symbol, key = symbol_of(kernel), _key(kernel, f"sm_{cc[0]}{cc[1]}", VERSION, *_compilers(), _sources())
    with compiling:
        code = disk.load(key)
        if code is None:
            code, _ = machine_code(kernel, cc)
            disk.store(key, code)
    return code, symbol


def machine_code(kernel: Kernel, cc: CC) -> tuple[bytes, str]:
    """A cubin, compiled in any case, and what the assembler says of it: registers, and what they had no room for."""
    with compiling:
        return _linked(_ptx(kernel, cc, symbol_of(kernel)), cc, kernel)


def _key(kernel: Kernel, *parts: str) -> str:
    return disk.key_of("cuda", kernel.text, *kernel.types, str(kernel.block), *parts)


@cache
def _compilers() -> tuple[str, ...]:
    """The versions of what compiles; as the packages state them, since asking the libraries would load them."""
    found = []
    for name in COMPILERS:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(name)
    return tuple(found)


@cache
def _sources() -> str:
    """What the names in a text mean is part of the machine code, and is in these files."""
    kernels = sorted(Path(scalar.__file__).parent.glob("*.py"))
    digest = hashlib.sha256()
    for path in (*kernels, Path(__file__).parents[1] / "numba" / "names.py", Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def _names() -> dict[str, Any]:
    """The global names of all texts."""
    with importing("jitgrad.kernels.cuda"):
        from jitgrad.kernels import cuda
        from jitgrad.sweeps.numba import names

        shared: dict[str, Callable] = {name: getattr(names, name).py_func for name in _SHARED}
        return {**cuda.namespace(), **{name: cuda.device(function) for name, function in shared.items()}}


def _ptx(kernel: Kernel, cc: CC, symbol: str) -> str:
    scope = dict(_names())
    from jitgrad.kernels.cuda import compile_ptx

    try:
        exec(compile(kernel.text, f"<{symbol}>", "exec"), scope)
        function: FunctionType = scope["kernel"]
        text = compile_ptx(function, kernel.types, cc, kernel.block)
    except Exception as error:  # of Numba's typing, its lowering, or libNVVM
        raise _refused(kernel, cc, "numba-cuda", error) from error
    found = _ENTRY.search(text)
    assert found is not None
    return text.replace(found[1], symbol)


def _linked(ptx: str, cc: CC, kernel: Kernel) -> tuple[bytes, str]:
    with importing("cuda.core"):
        from cuda.core import Linker, LinkerOptions, ObjectCode

    try:
        options = LinkerOptions(arch=f"sm_{cc[0]}{cc[1]}", ptxas_options="-v")
        linker = Linker(ObjectCode.from_ptx(ptx.encode()), options=options)
        return bytes(linker.link("cubin").code), linker.get_info_log()
    except Exception as error:
        raise _refused(kernel, cc, "nvJitLink", error) from error


def _refused(kernel: Kernel, cc: CC, by: str, error: Exception) -> NotCompilableError:
    return NotCompilableError(
        f"{by} does not compile {symbol_of(kernel)} for sm_{cc[0]}{cc[1]}: {error}\n{kernel.text}"
        f"with the parameters {', '.join(kernel.types)}: compute this on the CPU, and report it"
    )
