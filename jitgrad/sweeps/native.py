"""LLVM text to machine code to something Python can call, through llvmlite alone (importing Numba costs 0.2 s).

Every generated function has the C signature ``void f(int64_t *table)``; the table mixes addresses and sizes.

    kernel = compile_text(text, "f")
    call(kernel.address, x, out, x.size)        # arrays become the address of their first element

``call`` is itself generated: a C function for CPython's METH_FASTCALL convention that fills a table on the stack, so a
call costs what its arguments cost (see ``trampolines``) instead of ctypes' microsecond.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import llvmlite
import llvmlite.binding as llvm
import numpy as np
from llvmlite.binding import orcjit

from jitgrad.sweeps import cache as disk

__all__ = ["CompileError", "Kernel", "Trampolines", "assembly", "compile_text", "host", "trampolines"]

# LLVM is entered by one thread at a time. A fork waits for the compilation that runs, or the child would inherit a
# lock that nobody releases and an LLVM in the middle of something.
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)

# Goes into the cache's key: change it together with the passes below.
_PASSES = "always-inline sroa instcombine simplifycfg newgvn dse adce; codegen 2"


class CompileError(RuntimeError):
    """LLVM does not accept the text, the text lacks the function asked for, or it uses a symbol nobody has."""


class Kernel:
    """Machine code. ``address`` (of ``symbol``) is valid as long as this object lives.

    ``seconds`` is what making it took, ``cached`` whether its code came from disk. A kernel called with integers and
    arrays calls the function with a table of them; see ``Trampolines.call``.
    """

    __slots__ = ("__weakref__", "_library", "address", "cached", "seconds", "symbol")

    def __init__(self, symbol: str, library: orcjit.ResourceTracker, seconds: float, cached: bool) -> None:
        self.symbol = symbol
        self.address: int = library[symbol]
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
    text: str, symbol: str, *, optimise: bool = True, symbols: Mapping[str, int] | None = None, store: bool = True
) -> Kernel:
    """Machine code of the LLVM module ``text``, which defines the function ``symbol``; from disk where it has been made.

    The text names no target triple or data layout. Helper functions in it are inlined if marked ``alwaysinline``;
    nothing is vectorised. Declared functions that are not LLVM intrinsics are found in ``symbols`` (name to address),
    in libm and the C library, and, named Py..., in CPython. ``optimise=False`` skips the passes, not the inlining.
    ``store=False`` neither reads nor writes the disk cache. Raises CompileError. Any thread may call this.
    """
    start = time.perf_counter()
    imports = _imports(text, symbols or {})
    key = ""
    if store:
        import jitgrad  # here: jitgrad imports this module

        version = getattr(jitgrad, "__version__", "")
        llvm_version = ".".join(map(str, llvm.llvm_version_info))
        key = disk.key_of(text, symbol, version, llvmlite.__version__, llvm_version, *host(), _PASSES, str(optimise))
    with _lock:
        code = disk.load(key) if store else None
        if code is not None:
            try:
                return Kernel(symbol, _link(code, symbol, imports), time.perf_counter() - start, True)
            except RuntimeError:
                pass  # an object file that this LLVM cannot link is as good as none
        machine = _target_machine(*host())
        code = machine.emit_object(_optimised(text, symbol, machine, optimise))
        try:
            library = _link(code, symbol, imports)
        except RuntimeError as error:
            raise CompileError(f"cannot link {symbol}: {error}") from None
        seconds = time.perf_counter() - start
    if store:
        disk.store(key, code)
    return Kernel(symbol, library, seconds, False)


def assembly(text: str, symbol: str, *, optimise: bool = True, cpu: str = "", features: str = "") -> str:
    """The assembly that ``compile_text`` would make, to read; for another CPU of this architecture if one is named."""
    with _lock:
        triple = host().triple
        machine = _target_machine(triple, cpu, features) if cpu else _target_machine(*host())
        return machine.emit_assembly(_optimised(text, symbol, machine, optimise))


@cache
def _target() -> llvm.Target:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_triple(host().triple)


def _target_machine(triple: str, cpu: str, features: str) -> llvm.TargetMachine:
    return _target().create_target_machine(cpu=cpu, features=features, opt=2, jit=True)


def _optimised(text: str, symbol: str, machine: llvm.TargetMachine, optimise: bool) -> llvm.ModuleRef:
    """The module of the text, verified, for this machine, its functions inlined and its passes run.

    The passes, on loops written with <16 x float>, every 8th row an inlined exp (EPYC Zen 3, LLVM 22; passes + code
    generation in ms, and the loop's ns an element):

        rows   O3 all       O3, O2 without      O1 the same   these        inlining only
               vectorisers  vectorisers
        10     14.7 1.65    10.9 1.33           10.1 1.33      8.5 1.33     7.7 1.4-1.7
        50     20.8 7.83    20.5 7.91           19.8 7.91     16.2 7.91    14.6 7.99
        200    56.3 33.7    54.7 33.7           53.9 33.7     44.8 33.7    40.4 33.7

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
        raise CompileError(f"LLVM does not accept the text of {symbol}: {error}") from None
    defined = [f for f in module.functions if not f.is_declaration]
    if not any(f.name == symbol and f.linkage == llvm.Linkage.external for f in defined):
        raise CompileError(f"the text defines no external function {symbol}, only {[f.name for f in defined]}")
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
        passes.add_new_gvn_pass()
        passes.add_dead_store_elimination_pass()
        passes.add_aggressive_dce_pass()
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


def _link(code: bytes, symbol: str, imports: Mapping[str, int]) -> orcjit.ResourceTracker:
    """Object code into memory; RuntimeError where LLVM cannot. The caller holds the lock."""
    global _libraries_made
    _libraries_made += 1
    # the process itself, for what code generation adds on its own: memset, or fma on a CPU that has none
    builder = orcjit.JITLibraryBuilder().add_object_img(code).add_current_process().export_symbol(symbol)
    for name, address in imports.items():
        builder.import_symbol(name, address)
    return builder.link(_linker(), f"jitgrad{_libraries_made}")


_DECLARED = re.compile(
    r'^\s*(?:declare\b[^@\n]*@(?:"([^"]+)"|([\w.$-]+))|@(?:"([^"]+)"|([\w.$-]+))\s*=\s*external\b)', re.MULTILINE
)


def _imports(text: str, symbols: Mapping[str, int]) -> dict[str, int]:
    """Name to address of everything that the text declares and does not define; CompileError where nobody has it."""
    found = {}
    for groups in _DECLARED.findall(text):
        name = next(filter(None, groups))
        if not name.startswith("llvm."):
            found[name] = symbols[name] if name in symbols else _symbol_address(name)
    return found


@cache
def _symbol_address(name: str) -> int:
    """Address of a function of CPython (Py...), libm or the C library; CompileError where it is in none of them."""
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


# --- calling ---------------------------------------------------------------------------------------------------------


class Trampolines(NamedTuple):
    """Ways from Python into generated code.

    call(address, *arguments): calls ``void f(int64_t *table)`` at ``address`` with the arguments as its table: an int is
        itself (TypeError for anything that is no int, NumPy's integers included; OverflowError beyond 64 bits signed),
        an ndarray the address of its first element, whatever its dtype, layout and flags. Nothing checks that the
        function stays within the arrays. Keeps the GIL.
    call_nogil: the same without the GIL while the function runs; 20 to 40 ns more.
    address_of(array): the address of an ndarray's first element (also of its subclasses); TypeError for anything else.
    generated: whether these are machine code, or ctypes and Python where the interpreter is not CPython with a GIL.
    """

    call: Callable[..., None]
    call_nogil: Callable[..., None]
    address_of: Callable[[np.ndarray], int]
    generated: bool


# A table of up to 128 entries lies on the stack, a longer one on the heap. %type and %data are offsets in PyObject and
# PyArrayObject: the type is the last field of every object's head, an array's data pointer its first own field, which
# NumPy's C ABI fixes (PyArray_DATA is inlined in every extension module).
_CALL = """
declare i64 @PyLong_AsSsize_t(ptr)
declare ptr @PyErr_Occurred()
declare i32 @PyErr_BadArgument()
declare void @Py_IncRef(ptr)
declare ptr @PyMem_Malloc(i64)
declare void @PyMem_Free(ptr)
declare ptr @PyErr_NoMemory()
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare ptr @PyLong_FromSsize_t(i64)
declare i32 @PyType_IsSubtype(ptr, ptr)
@jitgrad_none = external global i8
@jitgrad_ndarray = external global i8

define ptr @{name}(ptr %self, ptr %args, i64 %nargs) {{
entry:
  %stack = alloca [128 x i64], align 16
  %given = icmp sgt i64 %nargs, 0
  br i1 %given, label %function, label %none_given
none_given:
  %bad = call i32 @PyErr_BadArgument()
  ret ptr null
function:
  %first = load ptr, ptr %args
  %address = call i64 @PyLong_AsSsize_t(ptr %first)
  %callee = inttoptr i64 %address to ptr
  %doubtful = icmp slt i64 %address, 1
  br i1 %doubtful, label %check, label %fits
check:
  %why = call ptr @PyErr_Occurred()
  %raised = icmp ne ptr %why, null
  br i1 %raised, label %error, label %none_given
fits:
  %small = icmp sle i64 %nargs, 129
  br i1 %small, label %fill, label %heap
heap:
  %bytes = shl i64 %nargs, 3
  %memory = call ptr @PyMem_Malloc(i64 %bytes)
  %got = icmp ne ptr %memory, null
  br i1 %got, label %fill, label %no_memory
no_memory:
  %unused = call ptr @PyErr_NoMemory()
  ret ptr null
fill:
  %table = phi ptr [%stack, %fits], [%memory, %heap]
  br label %next
next:
  %i = phi i64 [1, %fill], [%i1, %set]
  %more = icmp slt i64 %i, %nargs
  br i1 %more, label %argument, label %ready
argument:
  %slot = getelementptr ptr, ptr %args, i64 %i
  %object = load ptr, ptr %slot
  %type_at = getelementptr i8, ptr %object, i64 {type}
  %type = load ptr, ptr %type_at
  %is_array = icmp eq ptr %type, @jitgrad_ndarray
  br i1 %is_array, label %array, label %integer
array:
  %data_at = getelementptr i8, ptr %object, i64 {data}
  %data = load i64, ptr %data_at
  br label %set
integer:
  %value = call i64 @PyLong_AsSsize_t(ptr %object)
  %odd = icmp eq i64 %value, -1
  br i1 %odd, label %suspect, label %set
suspect:
  %occurred = call ptr @PyErr_Occurred()
  %fine = icmp eq ptr %occurred, null
  br i1 %fine, label %set, label %failed
set:
  %entry_value = phi i64 [%data, %array], [%value, %integer], [-1, %suspect]
  %before = sub i64 %i, 1
  %place = getelementptr i64, ptr %table, i64 %before
  store i64 %entry_value, ptr %place
  %i1 = add i64 %i, 1
  br label %next
ready:
  {save}
  call void %callee(ptr %table)
  {restore}
  call void @Py_IncRef(ptr @jitgrad_none)
  br i1 %small, label %done, label %free
free:
  call void @PyMem_Free(ptr %table)
  br label %done
done:
  ret ptr @jitgrad_none
failed:
  br i1 %small, label %error, label %free_failed
free_failed:
  call void @PyMem_Free(ptr %table)
  br label %error
error:
  ret ptr null
}}
"""

_ADDRESS_OF = """
define ptr @address_of(ptr %self, ptr %object) {{
entry:
  %type_at = getelementptr i8, ptr %object, i64 {type}
  %type = load ptr, ptr %type_at
  %exact = icmp eq ptr %type, @jitgrad_ndarray
  br i1 %exact, label %array, label %ask
ask:
  %answer = call i32 @PyType_IsSubtype(ptr %type, ptr @jitgrad_ndarray)
  %derived = icmp ne i32 %answer, 0
  br i1 %derived, label %array, label %other
array:
  %data_at = getelementptr i8, ptr %object, i64 {data}
  %data = load i64, ptr %data_at
  %result = call ptr @PyLong_FromSsize_t(i64 %data)
  ret ptr %result
other:
  %bad = call i32 @PyErr_BadArgument()
  ret ptr null
}}
"""
