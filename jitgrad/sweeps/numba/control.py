"""Loops, switches and what is indexed, as readable Python: the part of `source` that is for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.ops.indexing import within
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import infer_several
from jitgrad.sweeps.numba.expressions import converted, expression, number
from jitgrad.sweeps.plan.folds import carried_as, neutral
from jitgrad.sweeps.plan.indexing import Picked, value_of
from jitgrad.sweeps.plan.layouts import contiguous, is_number, place
from jitgrad.sweeps.plan.machine_types import NUMPY, kind_of
from jitgrad.sweeps.plan.segments import whole_plan
from jitgrad.tape.row import CONST, Row
from jitgrad.tape.tape import Tape, short_type


def operand(w: Any, x: Row) -> str:
    """An expression for the value of a row in its natural shape; what is repeated or strided is copied first."""
    source, part = w.plan.layouts.view(x)
    if is_number(source):
        number = w._number(source)
        return number if x.shape == () else f"np.full({x.shape}, {number}, np.{_name(x)})"
    offset, _ = place(part)
    name = w._array(source)
    if x.shape == w.plan.owner(source).shape and part.strides == contiguous(x.shape) and not offset:
        return name
    if not x.shape:
        return w._element(source, offset, (), ())
    w.copies += 1
    copy = f"copy{w.copies}"
    w.lines.append(f"    {copy} = np.empty({x.shape}, np.{_name(x)})")
    w._open(x.shape)
    index = ", ".join(f"d{d}" for d in range(x.ndim))
    strides = tuple(0 if n == 1 else s for n, s in zip(x.shape, part.strides))
    w.lines.append(f"{'    ' * (x.ndim + 1)}{copy}[{index}] = {w._element(source, offset, strides, x.shape)}")
    return copy


def write_running(w: Any, row: Row) -> None:
    """Running results along a dimension, inside of the loops over all others."""
    along, running, held = row.params["dim"], row.op.running, [NUMPY[type] for type in carried_as(row)]
    sources, result = [operand(w, x) for x in row.inputs], w._array(row)
    others = [d for d in range(row.ndim) if d != along]
    w.lines += [f"{'    ' * (i + 1)}for d{d} in range({row.shape[d]}):" for i, d in enumerate(others)]
    pad, index = "    " * (len(others) + 1), ", ".join(f"d{d}" for d in range(row.ndim))
    carried = [f"carried{j}" for j in range(len(held))]
    values = [*carried, *[converted(f"{source}[{index}]", held[0]) for source in sources], f"d{along}"]
    steps = [expression(Row(step, (), {}, (), dtype, False), values) for step, dtype in zip(running.steps, held)]
    starts = [converted(number(neutral(start, kind_of(dtype)), dtype), dtype) for start, dtype in zip(running.start, held)]
    w.lines += [
        *[f"{pad}{name} = {start}" for name, start in zip(carried, starts)],
        f"{pad}for d{along} in range({row.shape[along]}):",
        f"{pad}    {', '.join(carried)} = {', '.join(steps)}",
        f"{pad}    {result}[{index}] = {converted(carried[-1], row.dtype)}  # {row.op.name}  {short_type(row)}",
    ]


def write_matrices(w: Any, row: Row) -> None:
    """The call of what becomes of a matrix (`ops/elimination`), for one after the other."""
    loops, several = row.op.loops, row.op.several
    specs = infer_several(row.op, list(row.inputs), row.params) if several else (Spec(row.shape, row.dtype),)
    items = {x.params["k"]: x for x in w.phase.native_rows() if x.inputs[:1] == (row,)} if several else {0: row}
    room = loops.room(*row.inputs, **row.params)
    given, rank, me = [operand(w, x) for x in row.inputs], row.inputs[0].ndim - 2, w.names[row]
    batch = row.inputs[0].shape[:rank]
    made = [f"{me}_{k}" if k not in items or is_number(items[k]) else w._array(items[k]) for k in range(len(specs))]
    for name, (shape, dtype) in [*zip(made, specs), *((f"{me}_room{i}", spec) for i, spec in enumerate(room))]:
        if name.startswith(f"{me}_"):
            w.lines.append(f"    {name} = np.empty({shape or (1,)}, np.{dtype.name})")
    w._open(batch)
    here, pad = f"[{''.join(f'd{d}, ' for d in range(rank))}...]" if rank else "", "    " * (rank + 1)
    parts = [f"{name}{here}" for name in given]
    for name, spec in zip(made, specs):  # a number for each matrix is an array of one element
        parts.append(f"{name if spec.shape != batch else f'{name}.reshape({(*batch, 1)})'}{here}")
    params = [f"{name}={value}" for name, value in row.params.items()]
    call = f"{loops.run.__name__}({', '.join([*parts, *[f'{me}_room{i}' for i in range(len(room))], *params])})"
    checked = loops.fault is not None and row.op.checks(row)
    w.lines.append(f"{pad}{'wrong = ' if checked else ''}{call}  # {short_type(row.inputs[0])}")
    if checked:
        number = " + ".join(["0", *[f"d{d} * {s}" for d, s in enumerate(contiguous(batch))]])
        text = loops.fault.text.format(f'" + str({number}) + "', '" + str(wrong) + "')
        w.lines += [f"{pad}if wrong != 0:", f'{pad}    raise {loops.fault.error.__name__}("{text}")']
    for k, item in items.items():
        if is_number(item):
            w.lines.append(f"    {w.names[item]} = {made[k]}.reshape(-1)[0]")


def write_indexed(w: Any, row: Row) -> None:
    """The loops of a row with index arrays."""
    if row.op is within:
        _write_within(w, row)
        return
    picked = Picked(row)
    whole = operand(w, row.inputs[0])
    arrays = [operand(w, a) for _, a in picked.slots]
    value = operand(w, value_of(row)) if row.op.writes else None
    result = w.names[row] if is_number(row) else w._array(row)
    if row.op.writes and result != whole:
        w.lines.append(f"    {result}[...] = {whole}")
        whole = result
    w._open(picked.shape)
    here = [f"d{d}" for d in range(len(picked.shape))]
    inside: list[str] = [""] * row.inputs[0].ndim
    for d, k in (*picked.kept, *picked.walked):
        inside[d] = here[k]
    for (d, a), name in zip(picked.slots, arrays):
        block = here[picked.block_at[0] : picked.block_at[0] + len(picked.block)] if picked.block else []
        own = ["0" if n == 1 else i for n, i in zip(a.shape, block[len(block) - a.ndim :])]
        index = f"{name}[{', '.join(own)}]" if own else name
        inside[d] = f"at({index}, {row.inputs[0].shape[d]})"
    element, there = f"{whole}[{', '.join(inside)}]", f"[{', '.join(here)}]" if here else ""
    pad, note = "    " * (1 + len(here)), f"  # {row.op.name}  {short_type(row)}"
    if not row.op.writes:
        line = f"{result}{'' if is_number(row) else there} = {element}"
    else:
        line = f"{element} {'+=' if row.op.adds else '='} {value}{there}"
    w.lines.append(pad + line + note)


def _write_within(w: Any, row: Row) -> None:
    whole = operand(w, row.inputs[0])
    w._open(row.shape)
    here = f"[{', '.join(f'd{d}' for d in range(row.ndim))}]" if row.shape else ""
    result = w.names[row] if is_number(row) else w._array(row) + here
    pad, note = "    " * (1 + row.ndim), f"  # within  {short_type(row)}"
    w.lines.append(f"{pad}{result} = np.int32(below({whole}{here}, {row.params['size']})){note}")


def write_control(w: Any, row: Row) -> None:
    """A loop or a switch, and before the function those of its tapes."""
    items = {x.params["k"]: x for x in w.phase.native_rows() if x.inputs[:1] == (row,)}
    operands = [operand(w, x) for x in row.inputs]
    w.lines.append(f"    # {row.op.name}")
    {"loop": _write_loop, "switch": _write_switch}[row.op.kind](w, row, items, operands)


def _write_switch(w: Any, row: Row, items: dict[int, Row], operands: list[str]) -> None:
    branches = row.params["branches"]
    for k, tape in enumerate(branches):
        last = k == len(branches) - 1
        test = "else:" if last and k else f"{'el' if k else ''}if {operands[0]} <= {k}:" if not last else "if True:"
        w.lines.append(f"    {test}")
        outs = _call(w, f"{w.names[row]}_branch{k}", tape, operands[1:], 2)
        for j, item in items.items():
            _assign(w, item, outs[j], 2)
        if not items:
            w.lines.append("        pass")


def _write_loop(w: Any, row: Row, items: dict[int, Row], operands: list[str]) -> None:
    p, me = row.params, w.names[row]
    layout, n, outputs = p["layout"], p["layout"].carry, len(p["body"].outputs)
    consts, asked, init, xs, count = layout.split(operands)
    carry = [f"{me}_carry{j}" for j in range(n)]
    for name, start, out in zip(carry, init, p["body"].outputs):
        w.lines.append(f"    {name} = {start}{'.copy()' if out.shape else ''}")
    stacked = {k: _stack(w, item, f"{me}_stack{k}") for k, item in items.items() if n <= k < len(p["results"]) - 1}
    most = "" if p["length"] is None else f"{p['length']}" if count is None else f"min(max({count}, 0), {p['length']})"
    w.lines += [f"    {me}_steps = 0", f"    while {f'{me}_steps < {most}' if most else 'True'}:"]
    pad = " " * 8
    if p["cond"] is not None:
        (go,) = _call(w, f"{me}_cond", p["cond"], [*asked, *carry], 2)
        w.lines += [f"{pad}if not {go}:", f"{pad}    break"]
    w.lines.append(f"{pad}{me}_at = " + (f"{most} - 1 - {me}_steps" if p["reverse"] else f"{me}_steps"))
    for j, name in enumerate(carry):
        if outputs + j in items and p["length"] is not None:
            w.lines.append(f"{pad}{stacked[outputs + j]}[{me}_at] = {name}")
    outs = _call(w, f"{me}_body", p["body"], [*consts, *carry, *[f"{x}[{me}_at]" for x in xs]], 2)
    for k in range(n, outputs):
        if k in items:
            w.lines.append(f"{pad}{stacked[k]}[{me}_at] = {outs[k]}")
    for name, out in zip(carry, outs):
        w.lines.append(f"{pad}{name}_next = {out}")
    w.lines += [f"{pad}{name} = {name}_next" for name in carry]
    w.lines.append(f"{pad}{me}_steps += 1")
    for k, item in items.items():
        if k < n:
            _assign(w, item, carry[k], 1)
        elif k == len(p["results"]) - 1:
            _assign(w, item, f"{me}_steps", 1)
        elif is_number(item):
            _assign(w, item, stacked[k], 1)


def _stack(w: Any, item: Row, name: str) -> str:
    """Where what the steps give is stacked up: one number, too, which is taken out afterwards."""
    if is_number(item):
        w.lines.append(f"    {name} = np.zeros({item.shape}, np.{_name(item)})")
        return name
    w.lines.append(f"    {w._array(item)}[...] = 0")
    return w._array(item)


def _assign(w: Any, item: Row, value: str, depth: int) -> None:
    if is_number(item):
        w.lines.append(f"{'    ' * depth}{w.names[item]} = {value if item.shape == () else f'{value}.reshape(-1)[0]'}")
    else:
        w.lines.append(f"{'    ' * depth}{w._array(item)}[...] = {value}")


def _call(w: Any, name: str, tape: Tape, operands: list[str], depth: int) -> list[str]:
    """The call of the function of a tape, which is put before this one; expressions for its outputs."""
    shapes = [out.shape for out in tape.outputs]
    tape, plan = whole_plan(tape, w.plan.target)
    given = dict(zip(tape.inputs, operands))
    phases = [phase for phase in plan.phases if phase.levels]
    pad, found, inner = "    " * depth, {}, None
    if phases:
        inner = type(w)(phases[0], plan, tape.rows, w.scalars)
        w.functions.append(inner.text(f"{w.name}_{name}"))
        arguments = []
        for row in (*inner.numbers, *inner.arrays):
            if row not in given:
                found[row] = f"{name}_{inner.names[row]}"
                w.lines.append(f"{pad}{found[row]} = np.empty({row.shape}, np.{_name(row)})")
            expression = given.get(row, found.get(row))
            arguments.append(f"{expression}.reshape(-1)[0]" if row in inner.numbers and row.shape else str(expression))
        for row in inner.returned:
            found[row] = f"{name}_{inner.names[row]}"
        targets = "".join(f"{found[row]}, " for row in inner.returned)
        w.lines.append(f"{pad}{f'{targets}= ' if targets else ''}{w.name}_{name}({', '.join(arguments)})")
    outs = []
    for out, shape in zip(tape.outputs, shapes):
        source = plan.results.get(out, out)
        if source.op is CONST:
            text = type(w)(w.phase, plan, tape.rows, w.scalars)._number(source)
            text = text if out.shape == () else f"np.full({out.shape}, {text}, np.{_name(out)})"
        elif source in given:
            text = given[source]
        elif is_number(source):
            text = found[source] if out.shape == () else f"np.full({out.shape}, {found[source]}, np.{_name(out)})"
        else:
            text = found[source] if source.shape == out.shape else f"{found[source]}.reshape({out.shape})"
        if out.shape != shape:  # a number, of which there was a view
            text = f"{text}.reshape(-1)[0]" if out.shape else text
            text = f"np.full({shape}, {text}, np.{_name(out)})" if shape else text
        outs.append(text)
    return outs


def _name(row: Row) -> str:
    name: Any = np.dtype(row.dtype).name
    return "bool_" if name == "bool" else name
