"""Dtypes of results, as PyTorch promotes them, written out here once more: a table of what it says, and loops over it."""

import itertools

import numpy as np
import pytest

import jitgrad as jg

ORDER = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]
CATEGORY = {name: 0 if name == "bool" else 2 if "float" in name else 1 for name in ORDER}
NUMBERS = {
    True: "bool",
    3: "int64",
    2.5: "float32",
    np.float64(2.5): "float32",
    np.float32(2.5): "float32",
    np.int64(3): "int64",
    np.int8(3): "int64",
}
ARITHMETIC = {
    "+": lambda a, b: a + b,
    "*": lambda a, b: a * b,
    "add": jg.add,
    "mul": jg.mul,
    "maximum": jg.maximum,
    "alpha": lambda a, b: jg.add(a, b, alpha=1) if isinstance(a, jg.Tensor) else a + b,
    "where": lambda a, b: jg.where(jg.tensor(True), a, b),
}
QUOTIENTS = {"/": lambda a, b: a / b, "atan2": lambda a, b: jg.atan2(a, b), "xlogy": lambda a, b: jg.xlogy(a, b)}
COMPARISONS = {"<": lambda a, b: a < b, "==": lambda a, b: a == b}


def joined(one, other):
    """The dtype that two of one category have together."""
    if {one, other} == {"float16", "bfloat16"}:
        return "float32"
    if {one, other} == {"uint8", "int8"}:
        return "int16"
    return max(one, other, key=ORDER.index)


def expected(one, other):
    """The dtype for two operands as (dtype, rank): rank 2 of tensors with dimensions, 1 of those without, 0 of numbers."""
    keys = [(CATEGORY[dtype], rank) for dtype, rank in (one, other)]
    if keys[0] == keys[1]:
        return joined(one[0], other[0])
    return (one if keys[0] > keys[1] else other)[0]


def operands():
    """(operand, dtype, rank) of all kinds."""
    for name, shape in itertools.product(ORDER, [(2,), ()]):
        yield jg.ones(*shape).to(getattr(jg, name)) if shape else jg.tensor(1).to(getattr(jg, name)), name, 2 if shape else 1
    for number, name in NUMBERS.items():
        yield number, name, 0


def results(function, a, b):
    """What it gives in eager code, under jit, and under vmap for each of two."""
    yield function(a, b)
    with jg.sweep("interpreted"):
        yield jg.jit(function)(a, b)
    dims = [0 if isinstance(x, jg.Tensor) else None for x in (a, b)]
    yield jg.vmap(function, tuple(dims))(*[x if d is None else jg.stack([x, x]) for x, d in zip((a, b), dims)])


@pytest.mark.parametrize("name", [*ARITHMETIC, *QUOTIENTS, *COMPARISONS])
def test_every_pair_of_operands(name):
    function = (ARITHMETIC | QUOTIENTS | COMPARISONS)[name]
    for (a, da, ra), (b, db, rb) in itertools.product(operands(), operands()):
        if not ra and not rb:
            continue
        want = expected((da, ra), (db, rb))
        if name in COMPARISONS:
            want = "bool"
        elif name in QUOTIENTS and CATEGORY[want] < 2:
            want = "float32"
        for out in results(function, a, b):
            assert out.dtype.name == want, (name, da, ra, db, rb)


@pytest.mark.quick
def test_alpha_multiplies_in_the_dtype_of_the_sum():
    def t(values, dtype):
        return jg.tensor(values, dtype=getattr(jg, dtype))

    for a, b, alpha, want in (
        (t([0], "int64"), t([100], "int8"), 100, [10000]),
        (t([1], "int8"), t([3], "int64"), 100, [301]),
        (t([0.0], "float64"), t([3], "uint8"), 100.5, [301.5]),
        (t([1], "int64"), 2.5, 2, [6.0]),
        (t([1], "int64"), 2.5, 2.5, [7.25]),
        (t([True], "bool"), t([True], "bool"), 2, [True]),
        (t([0.0], "float64"), t(0.1, "float32"), 3, [float(np.float32(0.1)) * 3]),
        (t([1.0], "float32"), t([300], "int16"), 200, [60001.0]),
    ):
        for call in (
            lambda a, b, alpha=alpha: jg.add(a, b, alpha=alpha),
            lambda a, b, alpha=alpha: a.add(b, alpha=alpha),
            lambda a, b, alpha=alpha: -(-a).sub(b, alpha=alpha) if a.dtype is not jg.bool else a.add(b, alpha=alpha),
        ):
            out, compiled = call(a, b), jg.jit(call)(a, b)
            assert out.tolist() == compiled.tolist() == want
            assert out.dtype is compiled.dtype is jg.result_type(a, b)
    x = t([1.0, 2.0], "float64")
    x.add_(t([1, 1], "int8"), alpha=300)
    assert x.tolist() == [301, 302]
    for a, b, alpha, what in (
        (t([1], "int64"), t([1], "int8"), 0.5, "fractions"),
        (t([1.0], "float32"), t([1], "int8"), True, "bool alpha"),
        (t([1], "int8"), t([1], "int8"), 1000, "does not fit"),
    ):
        with pytest.raises(RuntimeError, match=what):
            jg.add(a, b, alpha=alpha)


@pytest.mark.quick
def test_truth_of_nothing_to_reduce_and_of_uint8():
    for dtype in ("bool", "uint8", "int8", "float32"):
        x = jg.tensor([[0, 1], [2, 3]]).to(getattr(jg, dtype))
        kind = "uint8" if dtype == "uint8" else "bool"
        for name in ("any", "all"):
            reduce, method = getattr(np, name), getattr(jg.Tensor, name)
            for call in (getattr(jg, name), jg.jit(getattr(jg, name)), method):
                for dim in ((), 0, (0, 1), None):
                    want = x.numpy() != 0 if dim == () else reduce(x.numpy() != 0, axis=dim)
                    out = call(x, dim)
                    assert out.dtype.name == kind
                    assert out.numpy().astype(bool).tolist() == np.asarray(want).tolist()


@pytest.mark.quick
def test_cat_takes_empty_tensors_with_their_gradients():
    for shapes in ([(0,), (2,)], [(0,), (2, 3)], [(2, 3), (0,), (1, 3)], [(0,), (0,)], [(0,), (2, 0)]):
        given = [jg.ones(*shape, requires_grad=True) for shape in shapes]
        out = jg.cat(given)
        found = jg.autograd.grad(out.sum(), given)
        compiled = jg.jit(jg.grad(lambda *xs: jg.cat(xs).sum(), tuple(range(len(given)))))(*[x.detach() for x in given])
        for g, c, shape in zip(found, compiled, shapes):
            assert tuple(g.shape) == tuple(c.shape) == shape
        assert tuple(out.shape) == tuple(jg.jit(lambda *xs: jg.cat(xs))(*[x.detach() for x in given]).shape)
    assert jg.cat([jg.zeros(0, dtype=jg.float64), jg.ones(2)]).dtype is jg.float64


@pytest.mark.quick
def test_materialised_gradients_can_be_differentiated_again():
    x, z = jg.tensor([1.0, 2.0], requires_grad=True), jg.tensor([[3.0]], requires_grad=True)
    for create in (True, False):
        g, zero = jg.autograd.grad((x * x).sum(), (x, z), create_graph=create, materialize_grads=True)
        assert (zero.tolist(), zero.requires_grad, g.requires_grad) == ([[0.0]], create, create)
    (second,) = jg.autograd.grad(
        jg.autograd.grad((x * x).sum(), (x, z), create_graph=True, materialize_grads=True)[1].sum(), x, materialize_grads=True
    )
    assert second.tolist() == [0, 0]
