"""Numbers in the first carry of a loop: what dtype they start in, and that every way to run agrees on it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.base.tree import flatten

F32, F64, I64 = jg.float32, jg.float64, jg.int64

STEPS = {
    "of numbers": lambda v, t: v * 1.5 + 1,
    "one more": lambda v, t: v + 1,
    "tensor method": lambda v, t: v.sum() * 1.25,
    "function": lambda v, t: jg.exp(v * 0.1),
    "with a tensor": lambda v, t: v * 0.5 + t,
    "tensor alone": lambda v, t: t * 2,
    "number alone": lambda v, t: 2.5,
    "in place": lambda v, t: v.mul_(2),
}
LOOPS = {
    "while_loop": lambda s, c, t, n: jg.while_loop(lambda k: k[0] < n, lambda k: (k[0] + 1, s(k[1], t)), (0, c))[1],
    "bounded": lambda s, c, t, n: jg.while_loop(lambda k: k[0] < n, lambda k: (k[0] + 1, s(k[1], t)), (0, c), max_steps=4)[1],
    "fori_loop": lambda s, c, t, n: jg.fori_loop(0, n, lambda i, v: s(v, t), c),
    "counted": lambda s, c, t, n: jg.fori_loop(0, jg.tensor(n), lambda i, v: s(v, t), c),
    "scan": lambda s, c, t, n: jg.scan(lambda v, _: (s(v, t), (v, v * 2)), c, length=n),
    "blocks": lambda s, c, t, n: jg.scan(lambda v, x: (s(v, x), v), c, t.expand(n), checkpoint=2),
    "written out": lambda s, c, t, n: jg.scan(lambda v, x: (s(v, x), v), c, t.expand(n), unroll=2, reverse=True),
    "nested": lambda s, c, t, n: jg.fori_loop(0, n, lambda i, v: jg.fori_loop(0, 2, lambda j, w: s(w, t), v), c),
}
WAYS = {
    "jit": lambda f, c, t: jg.jit(f)(c, t),
    "jit, a constant": lambda f, c, t: jg.jit(lambda t: f(c, t))(t),
    "jit, in a list": lambda f, c, t: jg.jit(lambda cs, t: f(cs[0], t))([c], t),
    "vmap": lambda f, c, t: first(jg.vmap(f, (None, 0))(c, t[None])),
    "vmap of jit": lambda f, c, t: first(jg.vmap(jg.jit(f), (None, 0))(c, t[None])),
}
OTHER_SWEEPS = {
    "machine": lambda f, c, t: swept("machine", f, c, t),
    "numba": lambda f, c, t: swept("numba", f, c, t),
    "compiled": lambda f, c, t: swept("jit", f, c, t),
    "native": lambda f, c, t: jg.jit(f).compile(c, t)(c, t),
}
every_loop = pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
every_step = pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)


def leaves_of(tree):
    leaves = []
    flatten(tree, leaves)
    return [leaf for leaf in leaves if leaf is not None]


def first(tree):
    return [leaf[0] for leaf in leaves_of(tree)]


def swept(sweep, f, c, t):
    with jg.sweep(sweep):
        return jg.jit(f)(c, t)


def shown(call, *args):
    """Dtypes and values of what a call gives, or the kind of error."""
    try:
        found = [np.asarray(leaf) for leaf in leaves_of(call(*args))]
    except TypeError as error:
        return type(error)
    return [(x.dtype, x.shape, x.tolist()) for x in found]


def agree(found, wanted):
    if isinstance(found, type) or isinstance(wanted, type):
        return found == wanted
    return len(found) == len(wanted) and all(
        a[:2] == b[:2] and np.allclose(a[2], b[2], rtol=1e-6 if a[0] == np.float32 else 1e-13, atol=0)
        for a, b in zip(found, wanted)
    )


@every_loop
@every_step
def test_every_way_to_run_gives_the_value_and_the_dtype_of_eager_code(loop, step):
    for c, dtype, n in itertools.product([0.1, 2, np.float32(0.1)], (F32, F64), (0, 1, 3)):
        t, f = jg.tensor(2.0, dtype=dtype), lambda c, t, n=n: loop(step, c, t, n)
        wanted = shown(f, c, t)
        with jg.sweep("interpreted"):
            for name, way in WAYS.items():
                assert agree(shown(way, f, c, t), wanted), (name, c, dtype, n)


@every_loop
@pytest.mark.parametrize("step", ["of numbers", "with a tensor"])
def test_every_sweep_gives_the_value_and_the_dtype_of_eager_code(loop, step):
    for dtype, n in itertools.product((F32, F64), (0, 3)):
        t, f = jg.tensor(2.0, dtype=dtype), lambda c, t, n=n: loop(STEPS[step], c, t, n)
        for name, way in OTHER_SWEEPS.items():
            assert agree(shown(way, f, 0.1, t), shown(f, 0.1, t)), (name, dtype, n)


@pytest.mark.quick
@pytest.mark.parametrize("n", [0, 2])
@pytest.mark.parametrize("loop", ["while_loop", "bounded", "fori_loop", "counted", "scan"])
def test_numbers_start_in_the_default_dtype_or_in_that_which_the_steps_return(loop, n):
    for c, step, dtype in (
        (0.1, "of numbers", F32),
        (2, "one more", I64),
        (2, "of numbers", F32),
        (np.float64(0.1), "of numbers", F64),
        (jg.tensor(0.1, dtype=F64), "of numbers", F64),
        (0.1, "with a tensor", F64),
        (2, "with a tensor", F64),
    ):
        found = leaves_of(LOOPS[loop](STEPS[step], c, jg.tensor(2.0, dtype=F64), n))
        assert found[0].dtype is dtype, (c, step)


@every_loop
@pytest.mark.parametrize("step", ["of numbers", "tensor method", "function", "with a tensor"])
def test_a_number_in_which_one_differentiates_is_a_float64_tensor(loop, step):
    t, bounded = jg.tensor(2.0, dtype=F32), loop not in (LOOPS["while_loop"], LOOPS["counted"])  # as reverse mode needs under jit
    for n in (0, 1, 3):
        f = lambda c, n=n: sum(x.sum() for x in leaves_of(loop(STEPS[step], c, t, n)))
        pushed = lambda c, f=f: jg.jvp(f, (c,), (1.0,))
        wanted = shown(jg.value_and_grad(f), jg.tensor(0.1, dtype=F64))
        assert [dtype for dtype, _, _ in wanted] == [np.float64] * 2
        with jg.sweep("interpreted"):
            for way in [jg.value_and_grad(f), pushed, jg.jit(pushed), *([jg.jit(jg.value_and_grad(f))] if bounded else [])]:
                assert agree(shown(way, 0.1), wanted), n


@pytest.mark.quick
def test_a_loop_within_gets_a_tensor_which_does_not_adapt():
    t = jg.tensor(2.0, dtype=F64)
    f = lambda c: LOOPS["nested"](STEPS["with a tensor"], c, t, 1)
    for run in (f, jg.jit(f)):
        with pytest.raises(TypeError, match=r"is float32\[\], and the function returned float64\[\]"):
            run(0.1)
        assert run(np.float64(0.1)).dtype is F64


@pytest.mark.quick
def test_numbers_adapt_to_each_other():
    t = jg.tensor([2.0, 3.0], dtype=F64)
    f = lambda a, b, t: jg.scan(lambda c, x: ((c[0] * 1.5 + c[1], c[1] * x), None), (a, b), t)[0]
    for run in (f, jg.jit(f)):
        assert agree(shown(run, 1, 0.5, t), shown(f, jg.tensor(1.0, dtype=F64), jg.tensor(0.5, dtype=F64), t))


@pytest.mark.quick
def test_steps_that_return_another_dtype_each_time_are_an_error():
    other = lambda c, _: (c.to(F64 if c.dtype is F32 else F32), None)
    f = lambda c: jg.scan(other, c, length=2)
    for run in (f, jg.jit(f)):
        with pytest.raises(TypeError, match="a step must keep shapes and dtypes"):
            run(0.5)


@pytest.mark.quick
def test_a_loop_that_takes_no_step_may_have_steps_that_go_by_values():
    def step(c):
        return c * 2 if c > 0 else c - 1

    for start, end in ((8.0, 8.0), (1.0, 8.0)):
        found = jg.while_loop(lambda c: c < 5, step, start)
        assert found.dtype is F32
        assert float(found) == end


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "bfloat16"])
def test_loops_that_only_hand_on_what_machine_code_does_not_know(dtype):
    """A step without a row has nothing that NumPy must run, and yet it is no machine code."""
    xs = jg.tensor(np.arange(6.0).reshape(3, 2)).to(getattr(jg, dtype))
    last = lambda xs: jg.scan(lambda c, x: (x, c), xs[0] * 2, xs)
    for way in ("jit", "machine", "numba", "interpreted"):
        with jg.sweep(way):
            for got, want in zip(jg.jit(last)(xs), last(xs)):
                np.testing.assert_array_equal(got.numpy(), want.numpy())
                assert got.dtype is want.dtype
