"""The names in the texts of kernels, as the simulator knows them: against NumPy, ml_dtypes and compiled functions."""

from __future__ import annotations

import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

from jitgrad.kernels import primitives, scalar
from jitgrad.ops import adjugates, elimination
from jitgrad.ops.table import TABLE
from jitgrad.sweeps.cuda.simulated_names import namespace
from jitgrad.sweeps.numba import names as numba_names

PATTERNS = np.arange(65536, dtype=np.uint16)


def value(expression):
    """What an expression is in a text."""
    return eval(expression, dict(namespace()))


def test_indices_have_to_fit():
    for name, bits in (("i32", 32), ("i64", 64)):
        assert value(f"{name}({2 ** (bits - 1) - 1})") == 2 ** (bits - 1) - 1
        assert value(f"{name}(uint{bits}({2**bits - 1}))") == -1
        with pytest.raises(OverflowError, match=f"beyond {bits} bits"):
            value(f"{name}({2 ** (bits - 1)})")


def test_words_wrap_around():
    """A round of Philox, as the texts say it, and as NumPy computes it."""
    a, b = 0xD2511F53, 0xFFFFFFF1
    assert value(f"u32(u32({a}) + u32({b}))") == (a + b) % 2**32
    assert value(f"u32(u64(u64({a}) * u64({b})) >> u64(32))") == a * b >> 32
    assert value(f"u32(u64({a}) * u64({b}))") == int(np.uint32(np.uint64(a) * np.uint64(b) & np.uint64(0xFFFFFFFF)))
    assert value("u64(u64(18446744073709551615) + u64(2))") == 1
    assert value("u64(-1)") == 2**64 - 1
    assert value("u32(int32(-1))") == 2**32 - 1


def test_whole_numbers_are_those_of_their_type():
    for name, given, wanted in [("int8", 200, -56), ("uint8", -1, 255), ("int32", 2**31, -(2**31)), ("uint64", -1, 2**64 - 1)]:
        found = value(f"{name}({given})")
        assert (found, found.dtype) == (wanted, np.dtype(name))
    assert value("int8(int32(200))") == -56
    assert value("boolean(float32(2))") is np.True_


def test_half_precision():
    """Every float16 and bfloat16 comes back as it was, and every second float32 between two is rounded as by others."""
    halves, brains = PATTERNS.view(np.float16), PATTERNS.view(ml_dtypes.bfloat16)
    names = namespace()
    with np.errstate(all="ignore"):
        found = np.array([names["half"](names["float32"](x)) for x in halves])
        np.testing.assert_array_equal(found, halves)
        wide = np.array([names["from_bf16"](x) for x in PATTERNS])
        assert wide.dtype == np.float32
        np.testing.assert_array_equal(wide.view(np.uint32), brains.astype(np.float32).view(np.uint32))
        back = np.array([names["to_bf16"](x) for x in wide])
        same = np.where(np.isnan(wide), PATTERNS | 0x40, PATTERNS)
        assert back.dtype == np.uint16
        np.testing.assert_array_equal(back, same)
        for low in (0x7FFF, 0x8000, 0x8001):
            between = (PATTERNS.astype(np.uint32) << 16 | low).view(np.float32)
            between = between[~np.isnan(between)]
            rounded = np.array([names["bfloat16"](x) for x in between])
            np.testing.assert_array_equal(rounded, between.astype(ml_dtypes.bfloat16).astype(np.float32))
            singles = np.array([names["float16"](x) for x in between[::7]])
            np.testing.assert_array_equal(singles, between[::7].astype(np.float16).astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_mathematics_is_the_op_table_s(dtype):
    """One number at a time, of the type of the argument, and near what the kernels give."""
    names = namespace()
    for name in [name for name, kernels in scalar.KERNELS.items() if "f32" in kernels]:
        two = scalar.KERNELS[name]["f32"].__code__.co_argcount == 2
        for at in [1.25] if name == "acosh" else [0.25, 0.75]:
            xs = [dtype(at), dtype(1.5)] if two else [dtype(at)]
            found = names[name](*xs)
            assert found.dtype == dtype, name
            np.testing.assert_allclose(found, TABLE[name].run(*[np.array([x]) for x in xs])[0], rtol=2e-6, err_msg=name)
            np.testing.assert_allclose(
                found, scalar.GENERIC[name](*xs), rtol=1e-5 if dtype is np.float32 else 1e-13, err_msg=name
            )


def test_names_are_those_of_compiled_functions():
    ours, theirs = namespace(), numba_names.namespace()
    of_matrices = {
        name
        for module in (elimination, adjugates)
        for name, kind in vars(module).items()
        if getattr(kind, "__module__", "") == module.__name__
    }
    assert set(theirs) - set(ours) - of_matrices == {"njit", "at", "below", "primitive", "span", "LinAlgError"}
    assert not {name for name, kind in vars(primitives).items() if hasattr(kind, "__wrapped__")} - set(ours)


@pytest.mark.parametrize("name", ["remainder", "floor_divide"])
def test_remainders_of_floats(name):
    kernel, ours = scalar.GENERIC[name], namespace()[name]
    numbers = [np.float64(x) for x in (-7.5, -2.0, -0.0, 0.0, 1.0, 2.5, 7.0, np.inf, -np.inf, np.nan)]
    with np.errstate(all="ignore"):
        for x in numbers:
            for y in numbers:
                a, b = kernel(x, y), ours(x, y)
                np.testing.assert_equal(b, a, err_msg=f"{x} {y}")
                assert np.isnan(a) or np.signbit(a) == np.signbit(b), (x, y)


@pytest.mark.parametrize("name", ["whole_remainder", "whole_quotient"])
def test_remainders_of_whole_numbers(name):
    compiled, ours = getattr(numba_names, name), namespace()[name]
    numbers = [np.int32(x) for x in (-(2**31), -7, -1, 0, 1, 2, 7, 2**31 - 1)]
    with np.errstate(all="ignore"):
        for x in numbers:
            for y in numbers:
                assert compiled.py_func(x, y) == ours(x, y), (x, y)


def test_floats_towards_zero():
    names = namespace()
    with np.errstate(all="ignore"):
        for bits in (32, 64):
            compiled = getattr(numba_names, f"towards_zero_{bits}").py_func
            for x in (-1.5, 1.5, 2.0**31, -(2.0**63), 1e30, np.nan, np.inf, -np.inf):
                for dtype in (np.float32, np.float64):
                    assert compiled(dtype(x)) == names[f"towards_zero_{bits}"](dtype(x))


def test_numba_is_not_imported():
    code = (
        "import sys\n"
        "from jitgrad.sweeps.cuda.simulated import Driver\n"
        "from jitgrad.sweeps.cuda.simulated_names import namespace\n"
        "Driver(), namespace()\n"
        "print('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
