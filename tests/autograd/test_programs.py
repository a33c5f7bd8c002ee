"""Short programs by topic: jitgrad prints and raises what PyTorch does, or what is written down where it is meant to differ."""

import importlib
import importlib.util
from typing import Any

import pytest

import jitgrad as jg
from tests.helpers.programs import Program, alike, outcome, programs, recorded

PROGRAMS = programs()
OUTCOMES = recorded()
torch: Any = importlib.import_module("torch") if importlib.util.find_spec("torch") else None
if torch is not None:
    importlib.import_module("torch.utils.checkpoint")
each = pytest.mark.parametrize("program", PROGRAMS, ids=[f"{p.topic}: {p.name}" for p in PROGRAMS])


def test_there_are_enough_and_all_are_recorded() -> None:
    names = [f"{p.topic}: {p.name}" for p in PROGRAMS]
    assert len(set(names)) == len(names) >= 250
    assert set(names) == set(OUTCOMES)


@each
def test_program(program: Program) -> None:
    known = OUTCOMES[f"{program.topic}: {program.name}"]
    if torch is not None:
        assert alike(outcome(program, torch), known["torch"])
    found, wanted = outcome(program, jg), known["jitgrad" if program.reason else "torch"]
    assert alike(found, wanted), f"{program.code}\nPyTorch and jitgrad:\n{wanted}\n{found}"
