"""What `f.report()` says: which rows of a tape run how, what was compiled, and how long it took."""

from __future__ import annotations

from collections import Counter
from typing import Any

from jitgrad.sweeps.program import Interpreted, Native, Program
from jitgrad.tape import Tape, short_type


def describe(name: str, compiled: Any) -> str:
    """A few lines on one compiled tape."""
    kinds = ", ".join(short_type(row) for row in compiled.tape.inputs)
    lines = [f"{name}({kinds}): {len(compiled.tape)} rows recorded in {compiled.trace_seconds * 1e3:.1f} ms"]
    if compiled.captured:
        lines.append(f"  {len(compiled.captured)} tensors captured from outside, read at every call")
    program = getattr(compiled, "program", None)
    if program is None:
        lines.append("  interpreted: one NumPy call a row; nothing was compiled")
        return "\n".join(lines)
    simple: Tape = compiled.simplified()
    lines.append(f"  {len(simple)} rows after simplification, compiled in {compiled.compile_seconds * 1e3:.1f} ms")
    for step in program.steps:
        lines.append(_native(step) if isinstance(step, Native) else _numpy(step))
    return "\n".join(lines)


def _native(step: Native) -> str:
    origin = "from the disk cache" if step.kernel.cached else "compiled"
    return (f"  machine code: {step.rows} rows in {step.loops} loop{'s' * (step.loops != 1)}, {origin} in "
            f"{step.kernel.seconds * 1e3:.1f} ms")  # fmt: skip


def _numpy(step: Interpreted) -> str:
    return f"  NumPy: {step.row.op.name} -> {short_type(step.row)} ({step.why})"


def counts(program: Program) -> Counter[str]:
    """How many rows of a program run as machine code, and how many by NumPy."""
    found: Counter[str] = Counter()
    for step in program.steps:
        if isinstance(step, Native):
            found["native"] += step.rows
        else:
            found["numpy"] += 1
    return found
