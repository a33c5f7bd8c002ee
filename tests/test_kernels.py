"""Lanes (arithmetic that writes LLVM text), and the scalar kernels against exact values and against Numba."""

import functools
import math
import operator
import subprocess
import sys

import numpy as np
import pytest

from jitgrad.kernels import primitives, scalar
from jitgrad.sweeps.lanes import DTYPES, Block, Lane, literal
from jitgrad.sweeps.native import compile_text

NAMES = {type: name for name, type in DTYPES.items()}
WIDTHS = {"f32": 16, "f64": 8}


def compiled(function, types, result, lanes=8):
    """A NumPy function: `function` traced over arrays of these types, the last vector under a mask."""
    declares = set()
    slots = [f"a{k}" for k in range(len(types))] + ["o"]

    def body(prefix, at, left):
        block = Block(lanes, prefix, declares)
        mask = block.mask(block.value(left, "i64")) if left else None
        at = block.value(at, "i64")
        arguments = [block.load(block.address(f"%a{k}", at, t), t, mask=mask) for k, t in enumerate(types)]
        value = function(*arguments)
        assert value.type == result
        block.store(value.splat(lanes), block.address("%o", at, result), mask)
        return str(block)

    entry = [f"  %{s}_at = getelementptr i64, ptr %table, i64 {k}\n  %{s} = load {'i64' if s == 'n' else 'ptr'}, "
             f"ptr %{s}_at" for k, s in enumerate([*slots, "n"])]  # fmt: skip
    text = "\n".join([
        "define void @loop(ptr %table) {", *entry, f"  %whole = and i64 %n, {-lanes}", "  br label %test",
        "test:", "  %i = phi i64 [0, %0], [%next, %each]", "  %more = icmp ult i64 %i, %whole",
        "  br i1 %more, label %each, label %after", "each:", body("b", "%i", None),
        f"  %next = add i64 %i, {lanes}", "  br label %test",
        "after:", "  %left = sub i64 %n, %whole", "  %some = icmp ne i64 %left, 0",
        "  br i1 %some, label %rest, label %end", "rest:", body("r", "%whole", "%left") if lanes > 1 else "",
        "  br label %end", "end:", "  ret void", "}", *sorted(declares),
    ])  # fmt: skip
    kernel = compile_text(text, "loop", optimise=lanes > 1, store=False)

    def run(*arrays):
        arrays = [np.ascontiguousarray(a, NAMES[t]) for a, t in zip(arrays, types)]
        out = np.empty(arrays[0].shape, NAMES[result])
        kernel(*arrays, out, out.size)
        return out

    return run


@functools.cache
def kernel(name, type, lanes):
    return compiled(scalar.KERNELS[name][type], [type], type, lanes)


@functools.cache
def points(type):
    """Numbers of every size, more of them where functions do something, and the special ones."""
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 1 << int(type[1:]), 20000, np.uint64).astype(f"u{int(type[1:]) // 8}")
    halves = np.arange(-60, 60) * 0.5
    x = np.concatenate([
        rng.uniform(-1, 1, 5000), rng.uniform(-20, 20, 5000), rng.uniform(-110, 110, 3000), rng.uniform(-760, 720, 999),
        1 + rng.standard_normal(3000) * 10.0 ** rng.uniform(-9, -0.5, 3000), halves * math.log(2), halves * math.pi,
        np.rint(rng.uniform(-1e5, 1e5, 2000)) * math.pi / 2, [0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 1e30, -1e30],
    ])  # fmt: skip
    tiny = np.finfo(NAMES[type]).smallest_subnormal * np.array([1, -1, 5, 1e6], NAMES[type])
    return np.concatenate([bits.view(NAMES[type]), x.astype(NAMES[type]), tiny])


def logistic(x):
    z = np.exp(-abs(x))
    return np.where(x < 0, z, 1) / (1 + z)


EXACT = {
    "sigmoid": logistic,
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-abs(x))),
    "erf": np.frompyfunc(math.erf, 1, 1),  # double only: its own error counts for float64
}
BOUNDS = {"sigmoid": 2.5, "softplus": 2.0, "erf": 2.0}


@pytest.mark.parametrize("type", ["f32", "f64"])
@pytest.mark.parametrize("name", scalar.KERNELS)
def test_error_in_units_of_the_last_place(name, type):
    wide = np.float64 if type == "f32" or name == "erf" else np.longdouble
    if type == "f64" and wide is np.longdouble and np.finfo(wide).nmant < 60:
        pytest.skip("no wider float to compare with")
    x = points(type)
    got = kernel(name, type, WIDTHS[type])(x)
    with np.errstate(all="ignore"):
        exact = np.asarray(EXACT.get(name, getattr(np, name, None))(x.astype(wide)), dtype=wide)
        nearest = exact.astype(x.dtype)
        error = abs(got.astype(wide) - exact) / np.spacing(np.minimum(abs(nearest), np.finfo(x.dtype).max)).astype(wide)
    special = ~np.isfinite(nearest) | (nearest == 0)
    np.testing.assert_array_equal(got[special], nearest[special])
    signed = special & ~np.isnan(nearest)
    np.testing.assert_array_equal(np.signbit(got[signed]), np.signbit(nearest[signed]))
    worst = np.argmax(np.where(special, 0, error))
    assert error[worst] <= BOUNDS.get(name, 1.5), (x[worst], got[worst], exact[worst])


@pytest.mark.parametrize("type", ["f32", "f64"])
@pytest.mark.parametrize("name", scalar.KERNELS)
def test_one_lane_gives_the_bits_of_many(name, type):
    x = points(type)
    one, many = kernel(name, type, 1)(x), kernel(name, type, WIDTHS[type])(x)
    np.testing.assert_array_equal(one, many)
    np.testing.assert_array_equal(np.signbit(one)[one == 0], np.signbit(many)[many == 0])


@pytest.mark.parametrize("type", ["f32", "f64"])
def test_numba_gives_the_same_bits(type):
    import numba

    from jitgrad.kernels.launch import njit_namespace

    names = [*scalar.KERNELS, "erfc", "atan2"]
    calls = "\n".join(f"        o[{k}, i] = {n}(x[i])" for k, n in enumerate(names[:-1]))
    source = f"def every(x, o):\n    for i in range(x.size):\n{calls}\n        o[-1, i] = atan2(x[i], x[0])\n"
    exec(source, names_of := njit_namespace())
    x = points(type)[::7]
    out = np.empty((len(names), x.size), x.dtype)
    numba.njit(names_of["every"])(x, out)
    for name, got in zip(scalar.KERNELS, out):
        np.testing.assert_array_equal(got, kernel(name, type, WIDTHS[type])(x), err_msg=name)
    np.testing.assert_array_equal(out[-2], compiled(scalar.erfc, [type], type)(x))
    np.testing.assert_array_equal(out[-1], compiled(lambda v: scalar.atan2(v, x[0]), [type], type)(x))


def test_powers_have_exact_logarithms():
    k = np.arange(-300, 300)
    np.testing.assert_array_equal(kernel("log10", "f64", 8)(np.array([float(f"1e{i}") for i in k])), k)
    np.testing.assert_array_equal(kernel("log2", "f64", 8)(np.ldexp(1.0, k)), k)


def test_kernels_import_no_compiler():
    code = "import sys, jitgrad.kernels.scalar; sys.exit(any(m in sys.modules for m in ('numba', 'llvmlite.binding')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# -- lanes -----------------------------------------------------------------------------------------------------------


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
    operators = [operator.add, operator.sub, operator.mul, *([operator.truediv] if type[0] == "f" else [
        operator.floordiv, operator.mod, operator.and_, operator.or_, operator.xor])]  # fmt: skip
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
    assert (compiled(lambda v: v.reduce_sum(), ["f32"], "f32")(x) == tree).all()
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
    wrong = [lambda: x + i, lambda: i / 2, lambda: i + 0.5, lambda: c + c, lambda: x & x, lambda: x // x,
             lambda: x.select(x, x), lambda: i.sqrt(), lambda: bool(c)]  # fmt: skip
    for f in wrong:
        with pytest.raises(TypeError):
            f()
    with pytest.raises(OverflowError):
        i + 2**31
