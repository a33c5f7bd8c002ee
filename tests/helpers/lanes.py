"""Functions of lanes compiled by themselves."""

from __future__ import annotations

import numpy as np

from jitgrad.sweeps.code.compile import compile_text
from jitgrad.sweeps.llvm.blocks import Block
from jitgrad.sweeps.plan.machine_types import DTYPES

NAMES = {type: name for name, type in DTYPES.items()}


WIDTHS = {"f32": 16, "f64": 8}


def compiled(function, types, result, lanes=8):
    """A NumPy function: `function` traced over arrays of these types, the last vector under a mask."""
    declares = set()
    slots = [f"a{k}" for k in range(len(types))] + ["o"]

    def body(prefix, at, left):
        block = Block(lanes, prefix, declares)
        mask = block.mask(block.value(left, "i64")) if left else None
        at = block.value(at, "i64")
        arguments = [block.load(block.address(f"%a{k}", at, t), t, mask=mask) for k, t in enumerate(types)]
        value = function(*arguments)
        assert value.type == result
        block.store(value.splat(lanes), block.address("%o", at, result), mask)
        return str(block)

    entry = [
        f"  %{s}_at = getelementptr i64, ptr %table, i64 {k}\n  %{s} = load {'i64' if s == 'n' else 'ptr'}, ptr %{s}_at"
        for k, s in enumerate([*slots, "n"])
    ]
    text = "\n".join(
        [
            "define void @loop(ptr %table) {",
            *entry,
            f"  %whole = and i64 %n, {-lanes}",
            "  br label %test",
            "test:",
            "  %i = phi i64 [0, %0], [%next, %each]",
            "  %more = icmp ult i64 %i, %whole",
            "  br i1 %more, label %each, label %after",
            "each:",
            body("b", "%i", None),
            f"  %next = add i64 %i, {lanes}",
            "  br label %test",
            "after:",
            "  %left = sub i64 %n, %whole",
            "  %some = icmp ne i64 %left, 0",
            "  br i1 %some, label %rest, label %end",
            "rest:",
            body("r", "%whole", "%left") if lanes > 1 else "",
            "  br label %end",
            "end:",
            "  ret void",
            "}",
            *sorted(declares),
        ]
    )
    kernel = compile_text(text, "loop", optimise=lanes > 1, store=False)

    def run(*arrays):
        arrays = [np.ascontiguousarray(a, NAMES[t]) for a, t in zip(arrays, types)]
        out = np.empty(arrays[0].shape, NAMES[result])
        kernel(*arrays, out, out.size)
        return out

    return run
