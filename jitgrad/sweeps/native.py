"""LLVM text to machine code to something Python can call, through llvmlite alone (importing Numba costs 0.2 s).

Every generated function has the C signature ``void f(int64_t *table)``; the table mixes addresses and sizes.

    kernel = compile_text(text, "f")
    call(kernel.address, x, out, x.size)        # arrays become the address of their first element

``call`` is itself generated: a C function for CPython's METH_FASTCALL convention that fills a table on the stack, so a
call costs what its arguments cost (see ``calls.py``) instead of ctypes' microsecond.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import NamedTuple

import llvmlite
import llvmlite.binding as llvm
import numpy as np
from llvmlite.binding import orcjit

from jitgrad.sweeps import cache as disk
from jitgrad.sweeps.calls import Trampolines, make_trampolines

__all__ = ["CompileError", "Kernel", "Trampolines", "assembly", "compile_text", "host", "publish", "trampolines"]

# One compilation at a time. A fork waits for the one that runs, and for whoever else is inside LLVM (Numba, or a kernel
# being released), or the child would wait for ever for a lock held by a thread that it does not have. llvmlite's own
# lock is taken after ours, as in a compilation, and has no public name.
_lock = threading.RLock()


def _before_fork() -> None:
    _lock.acquire()
    _llvmlite_lock.__enter__()


def _after_fork() -> None:
    _llvmlite_lock.__exit__(None, None, None)
    _lock.release()


_llvmlite_lock: AbstractContextManager[object] = getattr(llvm.ffi.lib, "_lock", None) or nullcontext()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)

# Goes into the cache's key: change it together with the passes below.
_PASSES = "always-inline sroa instcombine simplifycfg; codegen 2"


class CompileError(RuntimeError):
    """LLVM does not accept the text, the text lacks the function asked for, or it uses a symbol nobody has."""


class Kernel:
    """Machine code. ``address`` (of ``symbol``) is valid as long as this object lives, and so are those in ``also``.

    ``seconds`` is what making it took, ``cached`` whether its code came from disk. A kernel called with integers and
    arrays calls the function with a table of them; see ``Trampolines.call``.
    """

    __slots__ = ("__weakref__", "_library", "address", "also", "cached", "seconds", "symbol")

    def __init__(self, names: Sequence[str], library: orcjit.ResourceTracker, seconds: float, cached: bool) -> None:
        self.symbol = names[0]
        self.address: int = library[names[0]]
        self.also: dict[str, int] = {name: library[name] for name in names[1:]}
        self.seconds = seconds
        self.cached = cached
        self._library = library

    def __call__(self, *arguments: int | np.ndarray) -> None:
        trampolines().call(self.address, *arguments)

    def __repr__(self) -> str:
        origin = "from disk" if self.cached else "compiled"
        return f"<Kernel {self.symbol} at {self.address:#x}, {origin} in {self.seconds * 1e3:.1f} ms>"


class Host(NamedTuple):
    """The machine that code is made for."""

    triple: str
    cpu: str
    features: str


@cache
def host() -> Host:
    """Triple, CPU name and features of this machine, as Numba takes them."""
    return Host(llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())


def compile_text(
    text: str,
    symbol: str,
    *,
    also: Sequence[str] = (),
    optimise: bool = True,
    symbols: Mapping[str, int] | None = None,
    store: bool = True,
) -> Kernel:
    """Machine code of the LLVM module ``text``, which defines the function ``symbol`` and those named in ``also``.

    It comes from disk where it has been made before, unless ``store=False``, which neither reads nor writes there. The
    text names no target triple or data layout. Helper functions in it are inlined if marked ``alwaysinline``; nothing
    is vectorised. Functions (and ``external global``s) that it declares and that are no LLVM intrinsics are found in
    ``symbols`` (name to address), in libm and the C library, and, if named Py..., in CPython. ``optimise=False`` skips
    the passes, not the inlining. Raises CompileError. Any thread may call this.
    """
    start = time.perf_counter()
    names = (symbol, *also)
    imports = _addresses(imports_of(text), symbols or {})
    key = ""
    if store:
        import jitgrad  # here: jitgrad imports this module

        version = getattr(jitgrad, "__version__", "")
        llvm_version = ".".join(map(str, llvm.llvm_version_info))
        options = f"{_PASSES}; {optimise=}"
        key = disk.key_of(text, *names, version, llvmlite.__version__, llvm_version, *host(), options)
    with _lock:
        code = disk.load(key) if store else None
        if code is not None:
            try:
                return Kernel(names, _link(code, names, imports), time.perf_counter() - start, True)
            except CompileError:
                pass  # an object file that this LLVM cannot link is as good as none
        machine = _target_machine(*host())
        code = machine.emit_object(_optimised(text, names, machine, optimise))
        library = _link(code, names, imports)
        seconds = time.perf_counter() - start
    if store:
        disk.store(key, code)
    return Kernel(names, library, seconds, False)


def object_code(text: str, symbol: str) -> bytes:
    """The object file of a module, for `link_object` in another process on the same kind of machine."""
    with _lock:
        machine = _target_machine(*host())
        return machine.emit_object(_optimised(text, (symbol,), machine, True))


def link_object(code: bytes, symbol: str, imports: Sequence[str], symbols: Mapping[str, int]) -> Kernel:
    """The kernel of an object file; `imports` are found as in `compile_text`. CompileError where LLVM cannot link it."""
    start = time.perf_counter()
    found = _addresses(imports, symbols)
    with _lock:
        return Kernel((symbol,), _link(code, (symbol,), found), time.perf_counter() - start, True)


FIND = "jitgrad_find"
"""Symbol of a C function that gives the address of a published one, by name, or null."""

_published: dict[str, tuple] = {}


def publish(kernel: Kernel, *kept: object) -> tuple:
    """Let other machine code of this process find a kernel by its symbol, for good; `kept` lives as long.

    Returns the kernel of that symbol, with what it keeps, that was published first: only that one is never unloaded.
    """
    with _lock:
        if kernel.symbol not in _published:
            find = llvm.ffi.lib.LLVMPY_SearchAddressOfSymbol._cfn
            llvm.add_symbol(FIND, ctypes.cast(find, ctypes.c_void_p).value)
            llvm.add_symbol(kernel.symbol, kernel.address)
            _published[kernel.symbol] = (kernel, *kept)
        return _published[kernel.symbol]


def is_published(symbol: str) -> bool:
    """Whether `publish` was called for a kernel of that symbol."""
    return symbol in _published


@cache
def trampolines() -> Trampolines:
    """``call``, ``call_nogil`` and ``address_of``, made at the first call: in 25 ms, or 1 where they are on disk."""
    return make_trampolines(compile_text)


def assembly(text: str, symbol: str, *, optimise: bool = True, cpu: str = "", features: str = "") -> str:
    """The assembly that ``compile_text`` would make, to read; for another CPU of this architecture if one is named."""
    with _lock:
        triple = host().triple
        machine = _target_machine(triple, cpu, features) if cpu else _target_machine(*host())
        return machine.emit_assembly(_optimised(text, (symbol,), machine, optimise))


@cache
def _target() -> llvm.Target:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_triple(host().triple)


def _target_machine(triple: str, cpu: str, features: str) -> llvm.TargetMachine:
    return _target().create_target_machine(cpu=cpu, features=features, opt=2, jit=True)


def _optimised(text: str, names: Sequence[str], machine: llvm.TargetMachine, optimise: bool) -> llvm.ModuleRef:
    """The module of the text, verified, for this machine, its functions inlined and its passes run.

    The passes, on loops written with <16 x float>, every 8th row an inlined exp (EPYC Zen 3, LLVM 22; passes + code
    generation in ms, and the loop's ns an element):

        rows   O3 all       O3, O2 without      O1 the same   these        inlining only
               vectorisers  vectorisers
        10     14.7 1.65    10.9 1.33           10.1 1.33      8.5 1.33     7.7 1.4-1.7
        50     20.8 7.83    20.5 7.91           19.8 7.91     16.2 7.91    14.6 7.99
        200    56.3 33.7    54.7 33.7           53.9 33.7     44.8 33.7    40.4 33.7

    ("These" were then followed by newgvn, dse and adce: 2 to 8% of the time, and no loop measured was faster for it.)
    Code generation is most of it (12 ms of 16 at 50 rows); its level 1 takes 7% less and makes loops up to 5% slower,
    level 3 is the same as 2. What the short list lacks is LICM for the text's own invariants: code generation hoists
    constants and addresses, the writer of the text puts the rest before the loop. No function attribute sets a vector
    width: without "min-legal-vector-width" LLVM takes 512-bit registers for <16 x float> on every AVX-512 CPU.
    """
    context = llvm.create_context()  # our own: the global one only grows, and belongs to Numba
    try:
        module = llvm.parse_assembly(text, context)
        module.triple = machine.triple
        module.data_layout = str(machine.target_data)
        module.verify()
    except RuntimeError as error:
        raise CompileError(f"LLVM does not accept the text of {names[0]}: {error}") from None
    defined = {f.name for f in module.functions if not f.is_declaration and f.linkage == llvm.Linkage.external}
    if not defined.issuperset(names):
        raise CompileError(f"the text defines no external function {set(names) - defined}, only {defined}")
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=1))
    whole = llvm.create_new_module_pass_manager()
    whole.add_always_inliner_pass()
    whole.add_global_dead_code_eliminate_pass()
    whole.run(module, builder)
    if optimise:
        passes = llvm.create_new_function_pass_manager()
        passes.add_sroa_pass()
        passes.add_instruction_combine_pass()
        passes.add_simplify_cfg_pass()
        for function in module.functions:
            if not function.is_declaration:
                passes.run(function, builder)
    return module


# --- linking ---------------------------------------------------------------------------------------------------------

_libraries_made = 0


@cache
def _linker() -> orcjit.LLJIT:
    """The one ORC JIT of the process. Against an MCJIT engine a kernel: 0.16 instead of 1.35 ms to load an object file,
    14 instead of 70 kB of memory held, and a missing symbol is an exception instead of a jump to nowhere.
    """
    # JITLink where RuntimeDyld's small address ranges are a known trouble; elsewhere they measure the same
    arm = platform.machine().lower() in ("arm64", "aarch64")
    linker = orcjit.create_lljit_compiler(_target_machine(*host()), use_jit_link=arm, suppress_errors=True)
    # Never disposed of: at interpreter shutdown libraries may be released after it, and code may still be running.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(linker))
    return linker


def _link(code: bytes, names: Sequence[str], imports: Mapping[str, int]) -> orcjit.ResourceTracker:
    """Object code into memory; CompileError where LLVM cannot. The caller holds the lock."""
    global _libraries_made
    _libraries_made += 1
    # the process itself, for what code generation adds on its own: memset, or fma on a CPU that has none
    builder = orcjit.JITLibraryBuilder().add_object_img(code).add_current_process()
    for name in names:
        builder.export_symbol(name)
    for name, address in imports.items():
        builder.import_symbol(name, address)
    try:
        return builder.link(_linker(), f"jitgrad{_libraries_made}")
    except RuntimeError as error:
        raise CompileError(f"cannot link {names[0]}: {error}") from None


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


def _addresses(names: Iterable[str], symbols: Mapping[str, int]) -> dict[str, int]:
    return {name: symbols.get(name) or _symbol_address(name) for name in names}


@cache
def _symbol_address(name: str) -> int:
    """Address of a function of CPython (Py...), libm, the C library, or one of the user's (jitgrad_user...); or CompileError."""
    if name.startswith("jitgrad_user") and (found := llvm.address_of_symbol(name)):
        return found
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
