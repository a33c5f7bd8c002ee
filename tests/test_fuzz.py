"""A few hundred programs of the fuzzer; `python -m tests.fuzz` tries as many as one has time for."""

from __future__ import annotations

import random
import warnings

import pytest

import jitgrad as jg
from tests.fuzz import calls, programs, transforms
from tests.fuzz.__main__ import tried
from tests.fuzz.comparing import compare
from tests.fuzz.ways import hot


@pytest.mark.parametrize("seed", range(6))
def test_random_programs(seed: int) -> None:
    with warnings.catch_warnings(), hot():
        warnings.simplefilter("ignore")  # a program may divide by zero
        found = [text for k in range(25) for text in tried("programs", f"{seed}:{k}")]
    assert not found, "\n".join(found)


INSIDE = "jg.tensor([[0.15, 0.8, 0.35], [0.6, 0.45, 0.9], [0.25, 0.7, 0.55]], dtype=jg.float64)"
"""In the domain of nearly all functions: a nan would hide the other gradients."""


def one_of_each(names: list[str]) -> programs.Program:
    """A program with a line for each row and public function."""
    scope = calls.meanings("") | {"a0": eval(INSIDE, {"jg": jg})}
    lines: list[str] = []
    for name in names:
        rng, new = random.Random(name), f"v{len(lines)}"
        row = jg.ops.TABLE[name[4:]] if name.startswith("row ") else None
        draw = calls.of_row(rng, lambda: "a0", scope, row) if row else calls.of_function(rng, lambda: "a0", scope, name, 40)
        text = f"{new} = {draw}"
        try:
            exec(text, scope | calls.meanings(text), scope)
        except Exception:  # a function that asks for other operands: it comes up in random programs
            continue
        made = scope[new]
        if isinstance(made, jg.Tensor) and not made.is_complex() and bool(jg.isfinite(made).all()):
            lines.append(text)
    return programs.Program((INSIDE,), tuple(lines), tuple(f"v{k}" for k in range(len(lines))))


@pytest.mark.parametrize("part", range(8))
def test_one_of_each(part: int) -> None:
    names = [*calls.FUNCTIONS, *(f"row {op.name}" for op in calls.ROWS)][part::8]
    with warnings.catch_warnings(), hot():
        warnings.simplefilter("ignore")
        together = [one_of_each(names[k : k + 10]) for k in range(0, len(names), 10)]
        found = [f"{program}    {d}" for program in together for d in compare(program, ("jit", "vmap"))]
    assert sum(len(program.lines) for program in together) > 0.75 * len(names)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("seed", range(4))
def test_random_transforms(seed: int) -> None:
    found = [text for k in range(12) for text in tried("transforms", f"{seed}:{k}")]
    assert not found, "\n".join(found)


def test_what_programs_are_made_of() -> None:
    """Every kind of line and of argument comes up, and seeds repeat."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some functions are used as they should not be
        text = "\n".join(str(programs.generate(f"seen:{k}")) for k in range(800))
    wanted = [
        "[..., ::2]",
        ".transpose(-1, -2)",
        ".expand(",
        "np.array(",
        "bfloat16",
        "float16",
        "int32",
        "jg.scan(",
        "jg.while_loop(",
        "jg.cond(",
        "jg.switch(",
        "jg.stack([",
        "jg.cat([",
        " @ ",
        "_(",
        "] = ",
        "] += ",
        "[[",
        "> 0).sum() % ",
        "complex128",
        "jg.linalg.",
        "jg.nn.functional.",
        "jg.fft.",
        "row_",
        "fit(",
        "near(",
        "well(",
        "# raises",
    ]
    assert not [part for part in wanted if part not in text]
    assert programs.generate("seen:3") == programs.generate("seen:3")
    assert len({transforms.generate(f"seen:{k}") for k in range(100)}) > 60


def test_a_disagreement_is_found() -> None:
    """The comparison itself, on a function that means another thing in every way."""
    line = "v0 = a0 * (1.0 if jg.is_grad_enabled() else 1.001)"
    program = programs.Program(("jg.tensor([1.0, 2.0], dtype=jg.float64)",), (line,), ("v0",))
    assert [d.key for d in compare(program, ("value", "transform"))] == [("value", "result 0")]
