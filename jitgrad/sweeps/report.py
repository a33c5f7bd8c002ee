"""What `f.report()` says: which rows of a tape run how, what was compiled, and how long it took."""

from __future__ import annotations

from collections import Counter
from typing import Any

from jitgrad.sweeps.machine.assembly import Numpy
from jitgrad.sweeps.machine.machine import Machine
from jitgrad.sweeps.numba.sweep import Called, Phases, Written
from jitgrad.sweeps.plan.segments import why_not_native
from jitgrad.sweeps.plan.supported import WITHOUT_HALVES
from jitgrad.sweeps.program.steps import Interpreted, Native
from jitgrad.tape.row import ITEM
from jitgrad.tape.tape import short_type

MOST_SHOWN = 8


def describe(name: str, compiled: Any) -> str:
    """A few lines on one compiled tape."""
    kinds = ", ".join(short_type(row) for row in compiled.tape.inputs)
    lines = [f"{name}({kinds}): {len(compiled.tape)} rows recorded in {compiled.trace_seconds * 1e3:.1f} ms"]
    if compiled.captured:
        lines.append(f"  {len(compiled.captured)} tensors captured from outside, read at every call")
    if compiled.outcomes:
        places = {row: i for i, row in enumerate(compiled.tape.rows)}
        guards = [f"%{places[row]} {row.op.name} is {outcome}" for row, outcome in compiled.traced.guards[:MOST_SHOWN]]
        guards += [f"{len(compiled.outcomes) - MOST_SHOWN} more"] * (len(compiled.outcomes) > MOST_SHOWN)
        lines.append(f"  guards, looked at in every call: {', '.join(guards)}")
    if getattr(compiled, "on_device", None) is not None:
        return "\n".join([*lines, *compiled.on_device.report()])
    program, machine = getattr(compiled, "program", None), getattr(compiled, "machine", None)
    phases = vars(compiled).get("phases")
    if program is None and machine is None and phases is None:
        lines.append("  interpreted: one NumPy call a row; nothing was compiled")
        return "\n".join(lines)
    if program is not None:
        simple = len(compiled.simplified())
        lines.append(f"  {simple} rows after simplification, compiled in {compiled.compile_seconds * 1e3:.1f} ms")
        shown = [step for step in program.steps if isinstance(step, Native) or step.row.op is not ITEM]
        lines += [_native(step) if isinstance(step, Native) else _numpy(step) for step in shown]
    if machine is not None:
        lines += _machine(machine, compiled.machine_seconds)
    if phases is not None:
        lines += _phases(phases)
    return "\n".join(lines)


def _machine(machine: Machine, seconds: float) -> list[str]:
    steps = [step for step in machine.steps if not isinstance(step, Numpy)]
    count = sum(len(step) - 1 for step in steps)
    lines = [
        f"  machine: {count} instructions of {len(machine.handlers)} kinds, in {len(steps)} "
        f"run{'s' * (len(steps) != 1)}, made ready in {seconds * 1e3:.1f} ms"
    ]
    others = Counter(f"{s.row.op.name} -> {short_type(s.row)} ({s.why})" for s in machine.steps if isinstance(s, Numpy))
    return lines + [f"  NumPy: {f'{n} times ' if n > 1 else ''}{what}" for what, n in others.items()]


def _phases(phases: Phases) -> list[str]:
    functions = [step for step in phases.steps if isinstance(step, Written)]
    others = [step.row for step in phases.steps if isinstance(step, Called) and step.row.op is not ITEM]
    lines = [f"  Numba: {len(functions)} @njit function{'s' * (len(functions) != 1)}, which source() shows"]
    return lines + [f"  NumPy: {row.op.name} -> {short_type(row)} ({why_not_native(row, WITHOUT_HALVES)})" for row in others]


def _native(step: Native) -> str:
    origin = "from the disk cache" if step.kernel.cached else "compiled"
    return (
        f"  machine code: {step.rows} rows in {step.loops} loop{'s' * (step.loops != 1)}, {origin} in "
        f"{step.kernel.seconds * 1e3:.1f} ms"
    )


def _numpy(step: Interpreted) -> str:
    return f"  NumPy: {step.row.op.name} -> {short_type(step.row)} ({step.why})"
