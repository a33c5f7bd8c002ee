"""`jitgrad tape` and `jitgrad ops`: what there is to look at."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import jitgrad as jg
from jitgrad.cli.table import table
from jitgrad.cli.target import Target, load
from jitgrad.ops.movement import expand

LOOP, LOWERED, INTERPRETED = "(built into loops)", "(as simpler rows)", "(interpreted only)"


def tape(options: argparse.Namespace) -> None:
    """Print the tape of the function, and the tape of its value and gradient."""
    target = load(options.target)
    print(f"forward: {target.name}")
    print(_tape(target, target.function))
    print()
    print(f"with its reverse sweep: value_and_grad({target.name}, argnums={target.argnums})")
    print(_tape(target, target.gradient()))


def _tape(target: Target, function: Callable) -> Any:
    return target.call(jg.jit(function).tape, *target.arguments)


def ops(options: argparse.Namespace) -> None:
    """Print the op table, or only its holes, and how many there are of each sort."""
    rows = list(jg.ops.rows())
    holes = [op for op in rows if op.holes()]
    shown = holes if options.holes else rows
    if shown:
        lines = [(op.name, op.kind, _kernel(op), _derivative(op)) for op in shown]
        print(table(("op", "kind", "kernel expression", "derivative"), lines))
        print()
    yes = sum(op.differentiable and not op.holes() for op in rows)
    kernels = [_kernel(op) for op in rows]
    expressions = sum(op.kernel is not None for op in rows)
    loops, lowered, interpreted = map(kernels.count, (LOOP, LOWERED, INTERPRETED))
    print(
        f"{len(rows)} ops: {expressions} with a kernel expression, {loops} built into loops, "
        f"{lowered} compiled as simpler rows, {interpreted} interpreted only"
    )
    print(f"derivative: {yes} yes, {len(rows) - yes - len(holes)} no (none exists), {len(holes)} with a hole")


def _kernel(op: Any) -> str:
    """How the JIT sweep runs a row."""
    if op.kernel is not None:
        return op.kernel
    if op.fold is not None or op is expand:
        return LOOP
    return INTERPRETED if op.lower is None else LOWERED


def _derivative(op: Any) -> str:
    if op.holes():
        return "hole: " + "; ".join(op.holes())
    return "yes" if op.differentiable else "no"
