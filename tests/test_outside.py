"""What functions under jit make of tensors from outside: read at every call, as arrays or as Python numbers."""

from __future__ import annotations

import pytest

import jitgrad as jg
from jitgrad.errors import TracedValueError


def values(tensor):
    return [round(x, 5) for x in tensor.tolist()]


def test_a_branch_on_a_tensor_from_outside_is_an_error():
    w = jg.tensor(1.0)
    with pytest.raises(TracedValueError, match="guard=True"):
        jg.jit(lambda x: x if w * 2 > 1 else -x)(jg.tensor(1.0))


def test_gradients_reach_tensors_from_outside_through_what_is_computed_of_them():
    w = jg.tensor([1.0, 2.0], requires_grad=True)
    f = jg.jit(lambda x: (x * (w * w)).sum())
    for _ in range(3):
        w.grad = None
        f(jg.tensor([3.0, 4.0])).backward()
        assert w.grad.tolist() == pytest.approx([6 * w[0].item(), 8 * w[1].item()])
        with jg.no_grad():
            w -= 0.1


def test_tensors_made_inside_may_be_changed_and_looked_at():
    def f(x):
        total = jg.zeros(2)
        total += 1
        total[0] = 5.0
        mask = jg.arange(2) < 1
        if total[0] > 4 and int(jg.tensor(3)) == 3:
            total = total * 2
        return x * total + x[mask].sum()

    same = jg.jit(f)(jg.tensor([1.0, 2.0]))
    assert values(same) == values(f(jg.tensor([1.0, 2.0]))) == [11.0, 5.0]


READS = {
    "item": lambda w: w.item(),
    "float": float,
    "int": int,
    "tolist": lambda w: w.tolist(),
    "truth": lambda w: 2.0 if w else 3.0,
    "index": lambda w: [0.5, 1.5, 2.5][w.to(jg.int64)] if w.dtype is jg.int64 else float(w),
}


@pytest.mark.parametrize("guard", [False, True])
@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
def test_a_number_that_python_takes_of_a_tensor_from_outside_is_looked_at_again(read, guard):
    for dtype in (jg.float32, jg.int64):
        w = jg.tensor(2, dtype=dtype)

        def f(x):
            return x * x * read(w)  # noqa: B023

        value, slope = jg.jit(f, guard=guard), jg.jit(jg.grad(f), guard=guard)
        for now in (2, 2, 0, 2, 1, 1):
            w.fill_(now)
            assert float(value(jg.tensor(3.0))) == 9 * read(w)
            assert float(slope(jg.tensor(3.0))) == 6 * read(w)
            x = jg.tensor(3.0, requires_grad=True)
            value(x).backward()
            assert float(x.grad) == 6 * read(w)


def test_a_number_taken_in_a_step_of_a_loop_or_under_vmap_is_looked_at_again():
    w = jg.tensor(2.0)
    looped = jg.jit(lambda x: jg.fori_loop(0, 3, lambda i, c: c * w.item(), x))
    mapped = jg.jit(jg.vmap(lambda x: x * float(w)))
    for now in (2.0, 3.0, 3.0, 2.0):
        w.fill_(now)
        assert float(looped(jg.tensor(1.0))) == now**3
        assert mapped(jg.ones(2)).tolist() == [now, now]


def test_a_function_without_branches_may_be_guarded():
    f = jg.jit(lambda x: x * 2, guard=True)
    assert [float(f(jg.tensor(x))) for x in (1.0, 2.0, 3.0)] == [2.0, 4.0, 6.0]
