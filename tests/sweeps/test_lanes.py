"""Lanes: conversions, operators and reductions are those of NumPy, whatever the number of lanes."""

from __future__ import annotations

import operator

import numpy as np
import pytest

from jitgrad.kernels import primitives
from jitgrad.sweeps.llvm.blocks import Block
from jitgrad.sweeps.llvm.lanes import Lane
from jitgrad.sweeps.plan.machine_types import literal
from tests.helpers.lanes import NAMES, compiled


def numbers(type, n=37):
    rng = np.random.default_rng(len(type) + n)
    if type == "i1":
        return rng.integers(0, 2, n).astype(bool)
    if type[0] == "f":
        return np.clip(rng.standard_normal(n) * 40, -100, 100).astype(NAMES[type])
    info = np.iinfo(NAMES[type])
    x = rng.integers(info.min, info.max, n, NAMES[type], endpoint=True)
    x[:4] = 0, info.max, info.min, 1
    return x


@pytest.mark.parametrize("old", NAMES)
def test_conversions_are_numpys(old):
    for new in NAMES:
        x = abs(numbers(old)) if old[0] == "f" and new[0] == "u" else numbers(old)
        with np.errstate(over="ignore"):  # large integers are infinite as half
            expected = x.astype(NAMES[new])
        np.testing.assert_array_equal(compiled(operator.methodcaller("to", new), [old], new)(x), expected, err_msg=new)


def test_double_to_half_rounds_once():
    ties = np.ldexp(1 + (2 * np.arange(200) + 1) / 2048, -5)
    others = [65519.99999, 65520, 1e300, -0.0, np.nan, 2**-25]
    x = np.concatenate([ties, np.nextafter(ties, 0), np.nextafter(ties, 1), others])
    with np.errstate(over="ignore", under="ignore"):
        np.testing.assert_array_equal(compiled(lambda v: v.to("f16"), ["f64"], "f16")(x), x.astype("f2"))


def after_3(f):
    return lambda v: f(3, v)


@pytest.mark.parametrize("type", ["f16", "f32", "f64", "i8", "i32", "i64", "u16", "u64"])
def test_operators_are_numpys(type):
    x, y = numbers(type), numbers(type, 38)[1:]
    y[[7, 11]] = 0
    x[5] = y[5]
    operators = [
        operator.add,
        operator.sub,
        operator.mul,
        *([operator.truediv] if type[0] == "f" else [operator.floordiv, operator.mod, operator.and_, operator.or_, operator.xor]),
    ]
    if type[0] == "i":
        x[9], y[9] = np.iinfo(x.dtype).min, -1
    three = x.dtype.type(3)
    for f in operators:
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(compiled(f, [type, type], type)(x, y), f(x, y), err_msg=f.__name__)
            np.testing.assert_array_equal(compiled(after_3(f), [type], type)(y), f(three, y), err_msg=f.__name__)
    for f in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne):
        np.testing.assert_array_equal(compiled(f, [type, type], "i1")(x, y), f(x, y), err_msg=f.__name__)
        np.testing.assert_array_equal(compiled(after_3(f), [type], "i1")(x), f(3, x), err_msg=f.__name__)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(compiled(abs, [type], type)(x), abs(x))


def test_comparisons_with_nan():
    x = np.array([np.nan, 1.0])
    for f in (operator.lt, operator.ge, operator.eq, operator.ne):
        np.testing.assert_array_equal(compiled(f, ["f64", "f64"], "i1")(x, x), f(x, x))
    np.testing.assert_array_equal(compiled(primitives.isnan, ["f64"], "i1")(x), np.isnan(x))


def test_reductions_go_by_halves():
    x = np.random.default_rng(0).standard_normal(8).astype("f4")
    tree = ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]))
    assert (compiled(lambda v: v.reduce(lambda a, b: a + b), ["f32"], "f32")(x) == tree).all()
    largest = compiled(lambda v: v.reduce(lambda a, b: (a > b).select(a, b)), ["f32"], "f32")
    assert (largest(x) == x.max()).all()


def test_text_is_short_and_exact():
    assert literal(np.float32(0.1), "f32") == "0x3FB99999A0000000"
    assert literal(1e300, "f32") == literal(float("inf"), "f32")
    block = Block(16)
    x, s = block.value("%x", "f32", 16), block.value("%s", "f32")
    assert isinstance(np.float32(2) * x, Lane)
    assert (x * s).name == (x * s).name  # neither the product nor the splat is written twice
    assert [line.split()[2] for line in block.lines] == ["fmul", "insertelement", "shufflevector", "fmul"]
    younger = Block(16, "y")
    assert (x + younger.value("%z", "f32")).block is younger


def test_types_do_not_mix():
    block = Block()
    x, i, c = block.value("%x", "f32"), block.value("%i", "i32"), block.value("%c", "i1")
    wrong = [
        lambda: x + i,
        lambda: i / 2,
        lambda: i + 0.5,
        lambda: c + c,
        lambda: x & x,
        lambda: x // x,
        lambda: x.select(x, x),
        lambda: i.sqrt(),
        lambda: bool(c),
    ]
    for f in wrong:
        with pytest.raises(TypeError):
            f()
    with pytest.raises(OverflowError):
        i + 2**31
