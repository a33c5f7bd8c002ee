"""A few hundred programs of the fuzzer; `python -m tests.fuzz` tries as many as one has time for."""

from __future__ import annotations

import warnings

import pytest

from tests.fuzz import programs, transforms
from tests.fuzz.__main__ import tried
from tests.fuzz.comparing import compare
from tests.fuzz.ways import hot


@pytest.mark.parametrize("seed", range(10))
def test_random_programs(seed: int) -> None:
    with warnings.catch_warnings(), hot():
        warnings.simplefilter("ignore")  # a program may divide by zero
        found = [text for k in range(25) for text in tried("programs", f"{seed}:{k}")]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("seed", range(4))
def test_random_transforms(seed: int) -> None:
    found = [text for k in range(12) for text in tried("transforms", f"{seed}:{k}")]
    assert not found, "\n".join(found)


def test_what_programs_are_made_of() -> None:
    """Every kind of line and of argument comes up, and seeds repeat."""
    text = "\n".join(str(programs.generate(f"seen:{k}")) for k in range(400))
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
