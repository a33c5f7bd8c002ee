"""LLVM text to machine code to something Python can call, without Numba, whose import takes 0.2 s.

Every generated function has the C signature ``void f(int64_t *table)``; the table mixes addresses and sizes.

    kernel = compile_text(text, "f")
    call(kernel.address, x, out, x.size)        # arrays become the address of their first element

``call`` is itself generated: a C function for CPython's METH_FASTCALL convention that fills a table on the stack, so a
call costs what its arguments cost (see ``trampolines.py``) instead of ctypes' microsecond.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import platform
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import llvmlite
import numpy as np

from jitgrad.base.locks import compiling, once
from jitgrad.base.signals import importing, undisturbed
from jitgrad.base.version import VERSION
from jitgrad.sweeps.code import cache as disk
from jitgrad.sweeps.code import elf, scipys
from jitgrad.sweeps.code.compile_error import CompileError
from jitgrad.sweeps.code.trampolines import Trampolines, make_trampolines

__all__ = ["CompileError", "Kernel", "Trampolines", "compile_text", "publish", "trampolines"]

# Goes into the cache's key: change it together with the passes below.
_PASSES = "always-inline sroa instcombine simplifycfg; codegen 2"


class Kernel:
    """Machine code. ``address`` (of ``symbol``) is valid as long as this object lives, and so are those in ``also``.

    ``kept`` are other kernels and arrays whose addresses are in the code: they live as long. ``seconds`` is what making it
    took, ``cached`` whether its code came from disk. A kernel called with integers and arrays calls the function with a
    table of them; see ``Trampolines.call``.
    """

    __slots__ = ("__weakref__", "_library", "address", "also", "cached", "kept", "seconds", "symbol", "text")

    def __init__(self, names: Sequence[str], library: Any, seconds: float, cached: bool, kept: Iterable[object] = ()) -> None:
        self.symbol = names[0]
        self.address: int = library[names[0]]
        self.also: dict[str, int] = {name: library[name] for name in names[1:]}
        self.seconds = seconds
        self.cached = cached
        self.kept = tuple(kept)
        self.text = ""  # where programs look for one by its text
        self._library = library

    def __call__(self, *arguments: int | np.ndarray) -> None:
        trampolines().call(self.address, *arguments)

    def __repr__(self) -> str:
        origin = "from disk" if self.cached else "compiled"
        return f"<Kernel {self.symbol} at {self.address:#x}, {origin} in {self.seconds * 1e3:.1f} ms>"


Symbols = Mapping[str, "int | Kernel | np.ndarray"]


def compile_text(
    text: str,
    symbol: str,
    *,
    also: Sequence[str] = (),
    optimise: bool = True,
    symbols: Symbols | None = None,
    store: bool = True,
) -> Kernel:
    """Machine code of the LLVM module ``text``, which defines the function ``symbol`` and those named in ``also``.

    It comes from disk where it has been made before, unless ``store=False``, which neither reads nor writes there. The
    text names no target triple or data layout. Helper functions in it are inlined if marked ``alwaysinline``; nothing
    is vectorised. Functions (and ``external global``s) that it declares and that are no LLVM intrinsics are found in
    ``symbols``, in libm and the C library, and, if named Py..., in CPython; ``symbols`` gives addresses, or the kernels and
    arrays that are there, which then live as long as the code. ``optimise=False`` skips the passes, not the inlining.
    Raises CompileError. Any thread may call this.
    """
    start = time.perf_counter()
    names, symbols = (symbol, *also), symbols or {}
    imports = _addresses(imports_of(text), symbols)
    key = ""
    if store:
        key = disk.key_of(text, *names, VERSION, llvmlite.__version__, *_machine(), f"{_PASSES}; {optimise=}")
    with compiling:
        code = disk.load(key) if store else None
        if code is not None:
            try:
                return Kernel(names, _loaded(code, names, imports), time.perf_counter() - start, True, _owners(symbols))
            except CompileError:
                pass  # an object file that this LLVM cannot link is as good as none
        with importing("jitgrad.sweeps.code.compiler"):
            from jitgrad.sweeps.code.compiler import object_code

        code = object_code(text, names, optimise)
        library = _loaded(code, names, imports)
        seconds = time.perf_counter() - start
    if store:
        disk.store(key, code)
    return Kernel(names, library, seconds, False, _owners(symbols))


def link_object(code: bytes, symbol: str, imports: Sequence[str], symbols: Symbols) -> Kernel:
    """The kernel of an object file; `imports` are found as in `compile_text`. CompileError where LLVM cannot link it."""
    start = time.perf_counter()
    found = _addresses(imports, symbols)
    with compiling:
        return Kernel((symbol,), _loaded(code, (symbol,), found), time.perf_counter() - start, True, _owners(symbols))


def _loaded(code: bytes, names: Sequence[str], imports: Mapping[str, int]) -> Any:
    """Object code in memory: the addresses of `names`, as long as it lives. CompileError where nobody can load it."""
    found = elf.load(code, names, imports)
    if found is not None:
        return found
    with importing("jitgrad.sweeps.code.compiler"):
        from jitgrad.sweeps.code.compiler import link

    return link(code, names, imports)


@cache
def _machine() -> tuple[str, ...]:
    """What tells this machine from others that would need other code; without LLVM, whose import takes 30 ms, if possible."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        lines = [line.split(":", 1)[1] for line in itertools.takewhile(str.strip, file) if line.startswith(_CPU_LINES)]
        if len(lines) == len(_CPU_LINES):
            return (platform.machine(), *lines)
    with importing("jitgrad.sweeps.code.compiler"):
        from jitgrad.sweeps.code.compiler import host

    return host()


_CPU_LINES = ("vendor_id", "cpu family", "model\t", "model name", "stepping", "flags")


FIND = "jitgrad_find"
"""Symbol of a C function that gives the address of a published one, by name, or null."""

_published: dict[str, tuple] = {}


def publish(kernel: Kernel, *kept: object) -> tuple:
    """Let other machine code of this process find a kernel by its symbol, for good; `kept` lives as long.

    Returns the kernel of that symbol, with what it keeps, that was published first: only that one is never unloaded.
    """
    with undisturbed(compiling):
        if kernel.symbol not in _published:
            import llvmlite.binding as llvm

            find = llvm.ffi.lib.LLVMPY_SearchAddressOfSymbol._cfn
            llvm.add_symbol(FIND, ctypes.cast(find, ctypes.c_void_p).value)
            llvm.add_symbol(kernel.symbol, kernel.address)
            _published[kernel.symbol] = (kernel, *kept)
        return _published[kernel.symbol]


def is_published(symbol: str) -> bool:
    """Whether `publish` was called for a kernel of that symbol."""
    return symbol in _published


@once
def trampolines() -> Trampolines:
    """``call``, ``call_nogil`` and ``address_of``, made at the first call: in 25 ms, or 1 where they are on disk."""
    return make_trampolines(compile_text)


# The first begins with its literal text, which makes the search several times quicker than an anchor does.
_DECLARE = re.compile(r'declare [^@\n]*@(?:"([^"]+)"|([^"\s(]+))')
_EXTERNAL = re.compile(r'^\s*@(?:"([^"]+)"|([^"\s=]+))\s*=\s*external\b', re.MULTILINE)


def imports_of(text: str) -> list[str]:
    """The names that a module declares and does not define, LLVM's own left out."""
    found = []
    for match in _DECLARE.finditer(text):
        name, start = match[1] or match[2], match.start()
        if not name.startswith("llvm.") and not text[text.rfind("\n", 0, start) + 1 : start].strip():
            found.append(name)
    if "external" in text:
        found += [match[1] or match[2] for match in _EXTERNAL.finditer(text)]
    return found


def _addresses(names: Iterable[str], symbols: Symbols) -> dict[str, int]:
    return {name: _address(symbols[name]) if name in symbols else _symbol_address(name) for name in names}


def _address(of: int | Kernel | np.ndarray) -> int:
    if isinstance(of, np.ndarray):
        return of.ctypes.data
    return of.address if isinstance(of, Kernel) else of


def _owners(symbols: Symbols) -> list[object]:
    """The kernels and arrays whose addresses are taken."""
    return [of for of in symbols.values() if not isinstance(of, int)]


@cache
def _symbol_address(name: str) -> int:
    """Address of a function of CPython (Py...), libm, the C library, or one of the user's (jitgrad_user...); or CompileError."""
    if name.startswith("jitgrad_user"):
        with undisturbed(compiling):
            import llvmlite.binding as llvm

            if found := llvm.address_of_symbol(name):
                return found
    if name.startswith(scipys.PREFIX):
        if found := scipys.address_of(name):
            return found
        raise CompileError(f"the text calls {name} of SciPy's LAPACK, and there is no SciPy here: pip install 'jitgrad[scipy]'")
    for library in (ctypes.pythonapi,) if name.startswith(("Py", "_Py")) else _c_libraries():
        try:
            return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
        except AttributeError:
            continue
    raise CompileError(f"the text declares the function {name}, which neither the C library nor CPython has here")


@cache
def _c_libraries() -> tuple[ctypes.CDLL, ...]:
    """libm and libc, by name: ctypes.util.find_library starts a compiler to look for them."""
    names: tuple[str | None, ...] = (None,)
    if sys.platform == "win32":
        names = ("ucrtbase", "msvcrt")
    elif sys.platform.startswith("linux"):
        names = ("libm.so.6", None)  # musl has no separate libm
    libraries = []
    for name in names:
        try:
            libraries.append(ctypes.CDLL(name))
        except OSError:
            continue
    return tuple(libraries)
