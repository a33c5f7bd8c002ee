"""Whether the ways agree, up to rounding; and a smaller program that still shows a disagreement."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

import jitgrad as jg
from tests.fuzz.programs import EXPECTED, Program
from tests.fuzz.ways import WAYS, Outcome, Raised, backward, outcome, tensors, torch

REPEATS = re.compile(r"\[[^=]*(\[|jg\.tensor|np\.array)[^=]*\] [+*]?= ")
"""Assignments that may name a place twice: PyTorch then gives a cotangent to writers that were overwritten."""

KNOWN = ("detach", "'int' object has no attribute", "'float' object has no attribute", "an integer cannot be divided by 0")
KNOWN += ("has no derivative in",)
"""Errors that are right: of a change through a detached view, which the tape would not see, and of branches that eager code
does not take; of what is 0 in machine code, as the README says; and of the holes that `jitgrad ops --holes` names."""

NO_SLOPE = re.compile(r"jg\.special\.(airy|bessel|modified|scaled_modified|spherical)")
"""What PyTorch has no derivative of; it then passes nothing on, and says nothing."""

EPS = {
    "float64": 2.0**-52,
    "float32": 2.0**-23,
    "float16": 2.0**-10,
    "bfloat16": 2.0**-7,
    "complex128": 2.0**-52,
    "complex64": 2.0**-23,
}


class Disagreement(NamedTuple):
    """Which way differs in what."""

    way: str
    what: str
    text: str

    @property
    def key(self) -> tuple[str, str]:
        return self.way, self.what


def compare(program: Program, ways: tuple[str, ...] = (*WAYS, "torch")) -> list[Disagreement]:
    """All disagreements with eager code."""
    wanted = outcome(backward, program)
    refused = wanted is None  # by eager code: compare the others among each other
    if refused:
        wanted = outcome(WAYS["interpreted"], program)
    found = []
    spread: list[Any] = []
    for name in ways:
        if name == "torch":
            if torch() is None or program.loops or program.raises or REPEATS.search(program.text):
                continue
            if NO_SLOPE.search(program.text):
                continue
            if "atan2" in program.text and "uint8" in str(program):
                continue  # PyTorch negates in uint8 there, and its derivative is that of another number
            if not all("(" in text for text in program.arguments):
                continue  # functions of Python's numbers alone give float64 here, and PyTorch's default there
            got = outcome(lambda p: backward(p, torch()), program)
            if isinstance(got, Raised):  # where PyTorch refuses, jitgrad may not
                continue
        else:
            got = outcome(WAYS[name], program)
        if got is None or wanted is None:
            continue
        if isinstance(got, Raised) or isinstance(wanted, Raised):
            if isinstance(got, Raised) and isinstance(wanted, Raised) and not got.kind.startswith("unexpected"):
                continue
            on_tape = got if not refused or isinstance(got, Raised) else wanted
            if program.loops and isinstance(on_tape, Raised) and on_tape.kind in ("TypeError", "RuntimeError"):
                continue  # on the tape both branches must fit, and a carry keeps its shape and dtype
            if any(isinstance(o, Raised) and any(part in o.text for part in KNOWN) for o in (got, wanted)):
                continue
            text = [str(o) if isinstance(o, Raised) else "runs" for o in (got, wanted)]
            found.append(Disagreement(name, "error", f"{text[0]}, eager: {text[1]}"))
            continue
        if not spread:
            spread.append(_spread(program))
        found += _differences(name, got, wanted, spread[0], program)
    return found


def _differences(way: str, got: Outcome, wanted: Outcome, spread: Outcome | None, program: Program) -> list[Disagreement]:
    out = []
    if not got.untouched:
        out.append(Disagreement(way, "arguments", "an argument was written to"))
    pairs = [(f"result {k}", g, w, spread and spread.results[k]) for k, (g, w) in enumerate(zip(got.results, wanted.results))]
    if got.gradients is not None and wanted.gradients is not None:
        pairs += [
            (f"gradient {i}", g, wanted.gradients[i], spread and spread.gradients and spread.gradients.get(i))
            for i, g in got.gradients.items()
            if i in wanted.gradients
        ]
    for what, (dtype, value), (right_dtype, right), around in pairs:
        if dtype != right_dtype:
            out.append(Disagreement(way, what, f"dtype {dtype}, eager {right_dtype}"))
        elif value.shape != right.shape:
            out.append(Disagreement(way, what, f"shape {value.shape}, eager {right.shape}"))
        else:
            known = _but_for_nan(value, right) if program.loops or way == "torch" else value
            bounds = around[1] if around else None
            if not _close(known, right, bounds, _eps(program, dtype)) and not _close(known, right, bounds, _eps_inside(program)):
                out.append(Disagreement(way, what, f"{value.tolist()}, eager {right.tolist()}"))
    return out


def _but_for_nan(value: np.ndarray, right: np.ndarray) -> np.ndarray:
    """A loop, and PyTorch, compute 0 * inf where eager code knows what is not used and computes nothing."""
    return np.where(np.isnan(value) & ((right == 0) | ~np.isfinite(right).all()), right, value)


def _eps(program: Program, dtype: str) -> float:
    """The coarsest rounding that can have touched a result."""
    text = str(program).replace(".half()", "float16").replace(".float()", "float32")
    return max([EPS.get(dtype, 0.0), *[EPS[name] for name in EPS if name in text]])


def _eps_inside(program: Program) -> float:
    """The coarsest rounding of any row: functions of integers are computed in float32."""
    try:
        tape = str(jg.jit(program.function()).tape(*tensors(program)))
    except EXPECTED:
        return 0.0
    return max([EPS[name] for name in EPS if f" {name.replace('bfloat', 'bf').replace('float', 'f')}[" in tape], default=0.0)


def _close(got: np.ndarray, want: np.ndarray, around: np.ndarray | None, eps: float) -> bool:
    if got.dtype.kind in "biu":
        if np.array_equal(got, want):
            return True
        return around is not None and around.any() and bool(np.all((got == want) | (around > 0)))
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    if same.all():
        return True
    with np.errstate(all="ignore"):
        finite = np.isfinite(want)
        scale = np.max(np.abs(want[finite]), initial=1e-30)
        allowed = 64 * eps * np.maximum(scale, 1.0 if eps < 1e-4 else 0.1) + (100 * around if around is not None else 0)
        return bool(np.all(same | (np.abs(got - want) <= allowed) | (np.isnan(around) if around is not None else False)))


def _spread(program: Program) -> Outcome | None:
    """How far results and gradients of eager code move when the arguments are rounded otherwise: what lies within is rounding."""
    base = outcome(backward, program)
    if not isinstance(base, Outcome):
        return None
    size = {
        "float64": "1e-13",
        "float32": "3e-7",
        "float16": "2e-3",
        "bfloat16": "1e-2",
        "complex64": "3e-7",
        "complex128": "1e-13",
    }
    floating = re.compile(r"^(jg\.tensor\(.*dtype=jg\.(float\d+|bfloat16|complex\d+)\).*)$")
    worst: Outcome | None = None
    for sign in "+-":
        scaled = lambda m, sign=sign: f"({m[1]} * (1 {sign} {size[m[2]]})).to(jg.{m[2]})"
        moved = [floating.sub(scaled, text) for text in program.arguments]
        other = outcome(backward, program._replace(arguments=tuple(moved)))
        if not isinstance(other, Outcome) or [r[1].shape for r in other.results] != [r[1].shape for r in base.results]:
            return None
        with np.errstate(all="ignore"):
            gap = lambda a, b: (a[0], np.abs(np.multiply(a[1], 1.0) - np.multiply(b[1], 1.0)))
            results = [gap(a, b) for a, b in zip(base.results, other.results)]
            gradients = {i: gap(g, other.gradients[i]) for i, g in (base.gradients or {}).items()}  # type: ignore[index]
            if worst is not None:
                results = [(a[0], np.fmax(a[1], b[1])) for a, b in zip(results, worst.results)]
                gradients = {i: (g[0], np.fmax(g[1], worst.gradients[i][1])) for i, g in gradients.items()}  # type: ignore[index]
        worst = Outcome(results, gradients)
    return worst


def shrunk(program: Program, wrong: Disagreement, tries: int = 200) -> Program:
    """A program of fewer lines and results that goes wrong in the same way."""
    for _ in range(10):
        smaller = [
            program._replace(lines=program.lines[:i] + program.lines[i + 1 :]) for i in reversed(range(len(program.lines)))
        ]
        smaller += [program._replace(results=program.results[:i] + program.results[i + 1 :]) for i in range(len(program.results))]
        for other in smaller:
            tries -= 1
            if tries < 0:
                return program
            if _still(other, wrong):
                program = other
                break
        else:
            return program
    return program


def _still(program: Program, wrong: Disagreement) -> bool:
    if not program.results and not program.raises:
        return False
    try:
        with np.errstate(all="ignore"):
            program.function()(*program.values())
            if program.raises:
                return False
    except EXPECTED:
        if not program.raises:
            return False
    except Exception:
        return False
    return any(d.way == wrong.way and d.what.split()[0] == wrong.what.split()[0] for d in compare(program, (wrong.way,)))
