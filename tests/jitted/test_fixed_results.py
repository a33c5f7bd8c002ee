"""Results of a jitted function that are no tensors: what can be changed is the caller's own, what runs later is refused."""

import array
from collections import deque

import numpy as np
import pytest

import jitgrad as jg

MUTABLE = {
    "ndarray": lambda: np.zeros(3),
    "0-d": lambda: np.zeros(()),
    "objects": lambda: np.array([None, 1], object),
    "bytearray": lambda: bytearray(b"ab"),
    "set": lambda: {1, 2},
    "deque": lambda: deque([1]),
    "array": lambda: array.array("d", [1.0]),
}


@pytest.mark.parametrize("name", MUTABLE)
@pytest.mark.parametrize("guard", [False, True])
def test_what_can_be_changed_is_fresh_at_every_call(name, guard):
    make = MUTABLE[name]
    beside = jg.jit(lambda x: (x.sum(), {"hist": make()}), guard=guard)
    alone = jg.jit(lambda x: make(), guard=guard)
    aux = jg.jit(jg.value_and_grad(lambda x: (x.sum(), make()), has_aux=True), guard=guard)
    for call in (lambda x: beside(x)[1]["hist"], alone, lambda x: aux(x)[0][1]):
        found = [call(jg.ones(2)) for _ in range(4)] + [call(jg.ones(2, requires_grad=True)) for _ in range(2)]
        assert len({id(x) for x in found}) == len(found)
        assert all(type(x) is type(make()) for x in found)
        if isinstance(found[0], np.ndarray):
            found[0][...] = 7
            assert not any(np.shares_memory(found[0], x) for x in found[1:])
            assert np.array_equal(call(jg.ones(2)), make())
        else:
            found[0].clear() if hasattr(found[0], "clear") else found[0].pop()
            assert call(jg.ones(2)) == make()


def later(x):
    yield x


LATER = {
    "iter": lambda x: iter([x, x * 2]),
    "generator": later,
    "zip": lambda x: zip([x], [x]),
    "map": lambda x: map(abs, [x]),
    "nested": lambda x: {"a": [x, iter([x])]},
    "reversed": lambda x: reversed([x]),
    "values": lambda x: {"a": x}.values(),
    "numbers": lambda x: iter([1, 2]),
    "enumerate": lambda x: enumerate([x]),
}


@pytest.mark.parametrize("name", LATER)
@pytest.mark.parametrize("transform", [jg.jit, jg.vmap, lambda f: jg.jit(jg.vmap(f)), lambda f: jg.jit(f, guard=True)])
def test_what_computes_later_is_refused(name, transform):
    with pytest.raises(TypeError, match="return a list or a tuple"):
        transform(LATER[name])(jg.ones(2))
