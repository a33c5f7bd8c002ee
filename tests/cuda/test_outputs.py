"""The memory of what a program hands out: used again once nobody refers to it, and never before."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.sweeps.cuda.outputs import SPARE_ARRAYS, Fresh
from jitgrad.tape.row import Leaf


@pytest.fixture(autouse=True)
def one_stream(gpu, monkeypatch):
    """Other tests may have used several."""
    monkeypatch.setattr(gpu.pool, "streams", 1)


def fresh(compute, *shapes):
    return Fresh(compute, [Leaf(shape, np.dtype(np.float32), False) for shape in shapes])


def ids(arrays):
    return [id(a) for a in arrays]


def test_arrays_come_back_when_all_or_some_are_let_go_of(gpu):
    outputs = fresh(gpu, (2, 3), (4,))
    first = outputs.arrays()
    assert [a.shape for a in first] == [(2, 3), (4,)]
    second = outputs.arrays()
    assert not {*ids(first)} & {*ids(second)}
    known, others = ids(first), ids(second)
    del first
    assert ids(outputs.arrays()) == known
    del second[0]
    held = outputs.arrays()
    assert ids(held) == known
    assert id(outputs.arrays()[0]) == others[0]  # the other one of this set is still in use
    view = held[1].reshape(2, 2)
    del held
    assert id(outputs.arrays()[1]) != known[1]
    del view
    assert ids(outputs.arrays()) == known


def test_what_is_held_of_one_output_keeps_no_memory_of_the_others(gpu):
    outputs, large = fresh(gpu, (), (1 << 12,)), 4 << 12
    before = gpu.pool.in_use
    held = [outputs.arrays()[0] for _ in range(4 * SPARE_ARRAYS)]
    assert len({*ids(held)}) == len(held)
    assert gpu.pool.in_use - before < 2 * large
    held.clear()
    outputs.release()
    assert gpu.pool.in_use == before


def test_nothing_comes_back_where_there_are_several_streams(gpu, monkeypatch):
    outputs = fresh(gpu, (3,))
    known = outputs.arrays()[0].address
    monkeypatch.setattr(gpu.pool, "streams", 2)
    assert not {id(a) for a in outputs.arrays()} & {id(kept[0]) for kept in outputs._sets}
    monkeypatch.setattr(gpu.pool, "streams", 1)
    assert outputs.arrays()[0].address == known


def test_threads_share_no_array(gpu):
    outputs, taken, clashes = fresh(gpu, (2,), (3,)), set(), []

    def run():
        for _ in range(300):
            arrays = outputs.arrays()
            mine = {*ids(arrays)}
            if mine & taken:
                clashes.append(mine)
            taken.update(mine)
            taken.difference_update(mine)
            del arrays

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(usual)
    assert not clashes


def test_results_of_a_replayed_step_stay_as_they_were(gpu):
    step = jg.jit(jg.value_and_grad(lambda x: (x.sin() * x).sum()))
    x = jg.tensor([1.0, 2.0, 3.0], device="cuda")
    results = []
    for _ in range(5):
        results.append(step(x))
        x = x + results[-1][1] * 0  # elsewhere in memory
        step(x)
    for value, gradient in results:
        np.testing.assert_array_equal(value.cpu().numpy(), results[0][0].cpu().numpy())
        np.testing.assert_array_equal(gradient.cpu().numpy(), results[0][1].cpu().numpy())
    assert len({value._value.address for value, _ in results}) == 5
