"""Random programs of rows that write: nothing is read before its last writer, nor after somebody else wrote there.

Most programs are only planned, and the plan is walked through in the order in which machine code runs it; some are run.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.passes.simplify import simplify
from jitgrad.sweeps.plan.layouts import Access, is_number, same_elements
from jitgrad.sweeps.plan.plan import Plan, Write
from jitgrad.sweeps.plan.recompute import recompute
from jitgrad.sweeps.plan.segments import make_plan
from jitgrad.tape.row import CONST, LEAF, Row
from jitgrad.tape.tape import Tape, tapes_of
from tests.helpers.sweeps import SWEEPS

STEPS = [
    "jg.stack([{a}])[0]",
    "jg.stack([{a}], -1)[..., 0]",
    "jg.stack([{a} * 2])[0]",
    "jg.stack([{a}, {b}])[1]",
    "jg.stack([{a}, {b}], 1).sum(1)",
    "jg.cat([{a}])",
    "jg.cat([{a}], -1)",
    "jg.cat([{a}, {b}])[:{n}]",
    "jg.cat([{a}[1:], {b}[:1]])",
    "jg.cat([{a}[:0], {b}])",
    "{a}.flip(0)",
    "{a}.flip(-1)",
    "put({a}, 0, {b}[1])",
    "put({a}, slice(1, None), 2.0)",
    "put({a}, slice(None), {b})",
    "put({a}, Ellipsis, {b}.flip(0))",
    "put({a}, 1, {b}.sum(0))",
    "put({a}, [0, 1, 0], {b}[:3])",
    "added({a}, slice(0, 2), {b}[:2])",
    "added({a}, [1, 1], {b}[:2])",
    "{a} * {b}",
    "{a} + 1",
    "{a}.exp()",
    "{a} - {b}",
    "{a}.sum(0).expand({a}.shape)",
    "{a} - {a}.mean()",
    "{a}.amax(-1, keepdim=True) + {b}",
    "{a}.cumsum(0)",
    "mix({a}, {b})",
    "turned({a})",
    "{a}.reshape(-1).flip(0).reshape({a}.shape)",
    "jg.where({a} > {b}, {a}, {b}.flip(0))",
    "{a}.t().clone().t() if {a}.ndim == 2 else {a}",
    "{a}[[1, 0, *range(2, {n})]]",
    "jg.scan(lambda c, s: (c + s, c), {a}[0], {b})[1]",
    "jg.cat([{a}.sum(0, keepdim=True)] * {n})",
    "jg.fori_loop(0, 2, lambda i, c: put(c, 0, {b}[0]), jg.stack([{a}])[0])",
]
SHAPES = [(3,), (4, 4), (3, 2), (5, 3), (3, 3, 2)]


def put(x: Any, index: Any, value: Any) -> Any:
    """A copy of `x` with another value at an index."""
    out = x.clone()
    out[index] = value
    return out


def added(x: Any, index: Any, value: Any) -> Any:
    out = x * 1
    out[index] += value
    return out


def mix(a: Any, b: Any) -> Any:
    return a @ b.mT @ a if a.ndim == 2 else a * b


def turned(a: Any) -> Any:
    """The same elements, moved in memory and back."""
    return jg.cat([a.transpose(0, -1)]).transpose(0, -1)


def program(rng: random.Random) -> tuple[Callable, tuple[int, ...]]:
    """A function of two arrays of one shape, as text, and the shape."""
    shape = rng.choice(SHAPES)
    names, lines = ["x", "y"], []
    for i in range(rng.randint(2, 7)):
        recent = rng.choice([*names, *names[-2:], *names[-1:]])
        lines.append(f"v{i} = " + rng.choice(STEPS).format(a=recent, b=rng.choice([*names, *names[-2:]]), n=shape[0]))
        names.append(f"v{i}")
    lines.append(f"return {names[-1]}, {rng.choice(names)} + 0, {rng.choice(names)}.sum()")
    scope: dict[str, Any] = {"jg": jg, "put": put, "added": added, "mix": mix, "turned": turned}
    exec("def f(x, y):\n    " + "\n    ".join(lines), scope)
    scope["f"].text = "; ".join(lines)
    return scope["f"], shape


def walked(plan: Plan) -> list[tuple[tuple, Any]]:
    """What machine code does, with when: phase, level, part of the level, nest, stage, loop, place in the loop."""
    found: list[tuple[tuple, Any]] = []
    for p, phase in enumerate(plan.phases):
        for n, level in enumerate(phase.ordered()):
            found += [((p, n, 0, k), row) for k, row in enumerate(level.numbers)]
            for k, nest in enumerate(level.nests.values()):
                found += [
                    ((p, n, 1, k, s, at, i), item)
                    for s in sorted(nest.stages)
                    for at, loop in enumerate(nest.stages[s].values())
                    for i, item in enumerate(loop.items)
                ]
            found += [((p, n, 2, k), row) for k, row in enumerate(level.products)]
        found += [((p + 0.5, 0, 0, k), row) for k, row in enumerate(phase.others)]
    return found


def faults(plan: Plan, given: set[Row]) -> list[str]:
    """What is read before it is there, or after its memory was written over."""
    doing = walked(plan)
    written: dict[Row, list[tuple]] = {}
    for when, item in doing:
        written.setdefault(item.row if isinstance(item, Write) else item, []).append(when)
    moved_in: dict[Row, list[tuple]] = {}
    for first in plan.home:
        row = first
        while row in plan.home:
            row = plan.home[row]
            moved_in.setdefault(first, []).extend(written.get(row, []))
    wrong = []
    for when, item in doing:
        row = item.row if isinstance(item, Write) else item
        for a in plan.operands(item) if row in plan.native else [Access(x, 0, ()) for x in item.inputs]:
            why = _clash(plan, given, written, moved_in, when, item, a)
            wrong += [f"{row.op.name} reads {a.source.op.name}: {reason}" for reason in why]
    return wrong


def _clash(plan: Plan, given: set[Row], written: dict, moved_in: dict, when: tuple, item: Any, a: Access) -> list[str]:
    source = a.source
    row = item.row if isinstance(item, Write) else item
    if row is source:
        return []
    found = []
    if any(w <= when for w in moved_in.get(source, [])) and plan.home.get(source) is not row:
        found.append("after it was written over")
    parts, first = {v: k for k, v in plan.home.items()}, source
    while first not in written and first in parts:  # one that is all of its only part is there when that is
        first = parts[first]
    if source in given or first in given or plan.layouts.is_free(source):
        return found
    if first not in written:
        return ["nobody computes it"]
    # What is cheap is computed again in every loop that reads it; parts are written one after the other.
    times = written[first]
    last = max(times) if first.op.parts is not None else next((w for w in times if w[:6] == when[:6]), min(times))
    within = when[:4] == last[:4] and len(when) == 7 and len(last) == 7  # the same nest: tile by tile
    if within and last[4] == when[4]:
        over = item.space if isinstance(item, Write) else None
        if source.op.fold is not None and not is_number(source):
            found.append("in the loop that sums it up")
        elif over is not None and not same_elements(a, over):
            found.append("in a loop that has another element of it")
    if last >= when:
        found.append("before it is written")
    if not within and last[:3] == when[:3] and when[2] == 1:
        found.append("in another nest of the level")
    return found


def planned(tape: Tape, given_up: frozenset[Row] = frozenset()) -> list[str]:
    """The faults in the plan of a tape, and of those of its loops and branches."""
    plan = make_plan(tape, given_up=given_up)
    given = {row for row in tape.rows if row.op in (LEAF, CONST)}.union(tape.inputs)
    found = faults(plan, given)
    recompute(plan)
    found += faults(plan, given)
    for row in tape.rows:
        for inner in tapes_of(row):
            changed = [x for x in inner.inputs if any(out.op.writes and out.inputs[0] is x for out in inner.outputs)]
            found += planned(inner, frozenset(changed if row.op.kind == "loop" else ()))
    return found


def differentiated(f: Callable) -> Callable:
    return jg.value_and_grad(lambda x, y: sum((out * out).sum() for out in f(x, y)), (0, 1))


def test_nothing_is_read_before_it_is_written() -> None:
    rng = random.Random(0)
    for _ in range(200):
        f, shape = program(rng)
        x = jg.zeros(shape, dtype=jg.float64)
        for function in (f, differentiated(f)):
            tape = simplify(jg.jit(function).tape(x, x))
            assert not (found := planned(tape)), f"{f.text}\n{shape}: {found}"  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", range(4))
def test_programs_that_write_give_what_eager_code_gives(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(6):
        f, shape = program(rng)
        values = np.random.default_rng(seed).uniform(-1, 1, (2, *shape))
        args = [jg.tensor(v) for v in values]
        want = [out.numpy() for out in f(*args)]
        for sweep in SWEEPS:
            with jg.sweep(sweep):
                got = [out.numpy() for out in jg.jit(f)(*args)]
            for g, w in zip(got, want):
                np.testing.assert_allclose(g, w, rtol=1e-9, atol=1e-9, err_msg=f"{sweep}: {f.text}")  # type: ignore[attr-defined]
