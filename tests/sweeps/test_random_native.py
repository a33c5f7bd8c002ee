"""Random programs as native functions agree with the naive engine, values and gradients."""

from typing import Any

import numpy as np
from hypothesis import given, settings

import jitgrad as jg
from tests.helpers import naive
from tests.sweeps.test_random_tapes import COMMON, computed, programs, same

REFUSED: list[str] = []


def compare(leaves: list[np.ndarray], program: list) -> None:
    value = naive.run(leaves, program)[-1]
    weights = np.linspace(0.5, 1.5, value.size).reshape(value.shape)
    wanted = naive.gradients(leaves, program, weights)
    if not all(np.all(np.abs(v) < 1e8) for v in (value, *wanted)):
        return

    def loss(*xs: jg.Tensor) -> Any:
        out = computed(list(xs), program)
        return (out * weights).sum(), out

    function = jg.value_and_grad(loss, tuple(range(len(leaves))), has_aux=True)
    try:
        native = jg.jit(function).compile(*leaves)
    except jg.errors.NotCompilableError as error:
        REFUSED.append(str(error))
        return
    before = [x.tobytes() for x in leaves]
    (_, out), slopes = native(*leaves)
    same(out, value, "value")
    for i, (slope, want) in enumerate(zip(slopes, wanted)):
        same(slope, want, f"gradient {i}")
    assert [x.tobytes() for x in leaves] == before, "an input was written to"


@settings(max_examples=200, **COMMON)
@given(programs())
def test_native_functions_agree_with_the_naive_engine(program: tuple) -> None:
    compare(*program)


def test_few_programs_were_refused():
    REFUSED.clear()
    settings(max_examples=40, **COMMON)(given(programs())(lambda program: compare(*program)))()
    assert len(REFUSED) < 10, REFUSED[0]
