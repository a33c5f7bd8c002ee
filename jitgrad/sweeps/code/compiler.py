"""LLVM text to object code, and object code into memory, by llvmlite: imported when there is something to compile."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import llvmlite.binding as llvm
from llvmlite.binding import orcjit

from jitgrad.base.locks import compiling, held_at_fork, once
from jitgrad.base.signals import undisturbed
from jitgrad.sweeps.code.compile_error import CompileError

held_at_fork(getattr(llvm.ffi.lib, "_lock", None))  # llvmlite's own, which has no public name


class Host(NamedTuple):
    """The machine that code is made for."""

    triple: str
    cpu: str
    features: str


@cache
def host() -> Host:
    """Triple, CPU name and features of this machine, as Numba takes them."""
    return Host(llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())


def object_code(text: str, names: Sequence[str], optimise: bool = True) -> bytes:
    """The object file of a module that defines the functions `names`. CompileError where LLVM does not accept it."""
    with undisturbed(compiling):
        machine = _target_machine(*host())
        # A module is to be gone before its context is, which the garbage collector does not see to; our own context, since
        # the global one only grows, and belongs to Numba.
        with llvm.create_context() as context, _optimised(text, names, machine, optimise, context) as module:
            return machine.emit_object(module)


def assembly(text: str, symbol: str, *, optimise: bool = True, cpu: str = "", features: str = "") -> str:
    """The assembly that ``compile_text`` would make, to read; for another CPU of this architecture if one is named."""
    with undisturbed(compiling):
        triple = host().triple
        machine = _target_machine(triple, cpu, features) if cpu else _target_machine(*host())
        with llvm.create_context() as context, _optimised(text, (symbol,), machine, optimise, context) as module:
            return machine.emit_assembly(module)


@cache
def _target() -> llvm.Target:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_triple(host().triple)


def _target_machine(triple: str, cpu: str, features: str) -> llvm.TargetMachine:
    return _target().create_target_machine(cpu=cpu, features=features, opt=2, jit=True)


def _optimised(
    text: str, names: Sequence[str], machine: llvm.TargetMachine, optimise: bool, context: llvm.ContextRef
) -> llvm.ModuleRef:
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
    module = None
    try:
        module = llvm.parse_assembly(text, context)
        module.triple = machine.triple
        module.data_layout = str(machine.target_data)
        module.verify()
        defined = {f.name for f in module.functions if not f.is_declaration and f.linkage == llvm.Linkage.external}
        if not defined.issuperset(names):
            raise CompileError(f"the text defines no external function {set(names) - defined}, only {defined}")
        _run_passes(module, machine, optimise)
    except RuntimeError as error:
        if module is not None:
            module.close()
        if isinstance(error, CompileError):
            raise
        raise CompileError(f"LLVM does not accept the text of {names[0]}: {error}") from None
    return module


def _run_passes(module: llvm.ModuleRef, machine: llvm.TargetMachine, optimise: bool) -> None:
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


_libraries_made = 0


@once
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


def link(code: bytes, names: Sequence[str], imports: Mapping[str, int]) -> orcjit.ResourceTracker:
    """Object code into memory; CompileError where LLVM cannot."""
    with undisturbed(compiling):
        return _link(code, names, imports)


def _link(code: bytes, names: Sequence[str], imports: Mapping[str, int]) -> orcjit.ResourceTracker:
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
