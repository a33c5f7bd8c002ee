"""The printed text of arrays, against strings that PyTorch printed for the same values."""

import doctest
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from jitgrad.tensors import printing
from jitgrad.tensors.printing import format_tensor, set_printoptions

pytestmark = pytest.mark.quick

NAN, INF = math.nan, math.inf
F16, F32, F64 = np.float16, np.float32, np.float64


@pytest.fixture(autouse=True)
def default_options() -> Iterator[None]:
    set_printoptions(profile="default")
    yield
    set_printoptions(profile="default")


def text(value: Any, dtype: Any = F32, *suffixes: str) -> str:
    array = np.array(value, dtype)
    name = str(array.dtype)
    shows = name not in ("float32", "int64", "bool", "complex64")
    return format_tensor(array, dtype_name=f"jitgrad.{name}", shows_dtype=shows, suffixes=suffixes)


ONE_LINE = [
    # Scalars.
    (1.0, F32, "tensor(1.)"),
    (-0.0, F32, "tensor(-0.)"),
    (100.5, F32, "tensor(100.5000)"),
    (1e9, F32, "tensor(1.0000e+09)"),
    (0.1, F16, "tensor(0.1000, dtype=jitgrad.float16)"),
    (1e-5, F16, "tensor(1.0014e-05, dtype=jitgrad.float16)"),
    (1, np.int64, "tensor(1)"),
    (5, np.int8, "tensor(5, dtype=jitgrad.int8)"),
    (-(2**63), np.int64, "tensor(-9223372036854775808)"),
    # Whole numbers, decimals, scientific: at the limits of each.
    ([1.0, 2.0], F64, "tensor([1., 2.], dtype=jitgrad.float64)"),
    ([0.0, 0.0], F32, "tensor([0., 0.])"),
    ([-0.0, 1.0], F32, "tensor([-0., 1.])"),
    ([-1.0, 1.5], F32, "tensor([-1.0000,  1.5000])"),
    ([1.0, 1000.0], F32, "tensor([   1., 1000.])"),
    ([1.0, 1001.0], F32, "tensor([1.0000e+00, 1.0010e+03])"),
    ([100000000.0], F32, "tensor([100000000.])"),
    ([100000008.0], F32, "tensor([1.0000e+08])"),
    ([1e-4], F64, "tensor([0.0001], dtype=jitgrad.float64)"),
    ([9.9e-5], F64, "tensor([9.9000e-05], dtype=jitgrad.float64)"),
    ([1e-4], F32, "tensor([1.0000e-04])"),  # the nearest float32 is below 1e-4
    # NaN and infinity have no say in the notation or the width.
    ([NAN, INF, -INF], F32, "tensor([nan, inf, -inf])"),
    ([1.0, INF], F32, "tensor([1., inf])"),
    ([1.5, -INF, NAN], F32, "tensor([1.5000,   -inf,    nan])"),
    ([1e10, NAN], F32, "tensor([1.0000e+10,        nan])"),
    # Integers, bools and complex numbers.
    ([1, 0, 1], np.int32, "tensor([1, 0, 1], dtype=jitgrad.int32)"),
    ([True, False, True], np.bool_, "tensor([ True, False,  True])"),
    ([1 + 2j, -3.5j], np.complex64, "tensor([1.+2.0000j, -0.-3.5000j])"),
    ([1 + 10j, 100 - 2j], np.complex64, "tensor([  1.+10.j, 100.-2.j])"),
    ([complex(1.5, NAN), complex(NAN, -100.5)], np.complex64, "tensor([1.5000+nanj,    nan-100.5000j])"),
    # Nothing to print.
    ([], F32, "tensor([])"),
    ([], np.int64, "tensor([], dtype=jitgrad.int64)"),
    ([], np.complex64, "tensor([], dtype=jitgrad.complex64)"),
    (np.zeros((0, 3)), F32, "tensor([], size=(0, 3))"),
    (np.zeros((0, 3)), F64, "tensor([], size=(0, 3), dtype=jitgrad.float64)"),
]


@pytest.mark.parametrize(("value", "dtype", "expected"), ONE_LINE)
def test_one_line(value: Any, dtype: Any, expected: str) -> None:
    assert text(value, dtype) == expected


MANY_LINES = [
    ([[100, 1], [-1, 1]], np.int64, "tensor([[100,   1],\n        [ -1,   1]])"),
    (
        np.arange(12.0).reshape(2, 3, 2) * 0.5 - 1,
        F32,
        "tensor([[[-1.0000, -0.5000],\n         [ 0.0000,  0.5000],\n         [ 1.0000,  1.5000]],\n\n"
        "        [[ 2.0000,  2.5000],\n         [ 3.0000,  3.5000],\n         [ 4.0000,  4.5000]]])",
    ),
    (np.zeros((2, 1, 1, 2)), np.int64, "tensor([[[[0, 0]]],\n\n\n        [[[0, 0]]]])"),
    (
        np.arange(-5, 25),
        np.int64,
        "tensor([-5, -4, -3, -2, -1,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12,\n"
        "        13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24])",
    ),
    # Zeros alone count as one character each, so the row is broken late.
    (np.zeros(26), F32, "tensor([" + "0., " * 23 + "0.,\n        0., 0.])"),
    # Summarised: the notation comes from the entries shown, and a hidden one has no say in it.
    (np.where(np.arange(1001) == 500, 0.5, 0), F32, "tensor([0., 0., 0.,  ..., 0., 0., 0.])"),
    (np.arange(1001), np.int64, "tensor([   0,    1,    2,  ...,  998,  999, 1000])"),
    (np.zeros((2, 600)), F32, "tensor([[0., 0., 0.,  ..., 0., 0., 0.],\n        [0., 0., 0.,  ..., 0., 0., 0.]])"),
    (
        np.zeros((1001, 1)),
        F32,
        "tensor([" + "[0.],\n        " * 3 + "...,\n        " + "[0.],\n        " * 2 + "[0.]])",
    ),
    ([-1.5 - 2j] * 6, np.complex64, "tensor([" + "-1.5000-2.j, " * 4 + "-1.5000-2.j,\n        -1.5000-2.j])"),
]


@pytest.mark.parametrize(("value", "dtype", "expected"), MANY_LINES)
def test_many_lines(value: Any, dtype: Any, expected: str) -> None:
    assert text(value, dtype) == expected


def test_bfloat16() -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    assert text([0.1, 3], bfloat16) == "tensor([0.1001, 3.0000], dtype=jitgrad.bfloat16)"
    assert text(1e9, bfloat16) == "tensor(9.9824e+08, dtype=jitgrad.bfloat16)"
    assert text([1.5, NAN, -INF], bfloat16) == "tensor([1.5000,    nan,   -inf], dtype=jitgrad.bfloat16)"


def test_suffixes_wrap() -> None:
    grad, leaf = "grad_fn=<AddBackward0>", "requires_grad=True"
    assert text([1, 2], F64, leaf) == f"tensor([1., 2.], dtype=jitgrad.float64, {leaf})"
    assert text(100, F16, "grad_fn=<PowBackward0>") == "tensor(100., dtype=jitgrad.float16, grad_fn=<PowBackward0>)"
    assert text([1] * 15, F32, grad) == "tensor([" + "1., " * 14 + f"1.],\n       {grad})"
    # The line that the entries end on stops one short of the width; a line of notes alone may be one over.
    set_printoptions(linewidth=43)
    assert text([0, 0], F32, "grad_fn=<AsinhBackward0>") == "tensor([0., 0.], grad_fn=<AsinhBackward0>)"
    set_printoptions(linewidth=42)
    assert text([0, 0], F32, "grad_fn=<AsinhBackward0>") == "tensor([0., 0.],\n       grad_fn=<AsinhBackward0>)"
    set_printoptions(linewidth=40, precision=8, edgeitems=0)
    alone = "tensor([0.25000000, 0.50000000],\n       size=(2,), grad_fn=<MulBackward0>)"
    assert text([0.25, 0.5], F32, "grad_fn=<MulBackward0>") == alone


def test_prefix_sets_the_indent() -> None:
    def with_prefix(prefix: str) -> str:
        return format_tensor(np.eye(2, dtype=F32), dtype_name="", shows_dtype=False, suffixes=(), prefix=prefix)

    assert with_prefix("P(") == "P([[1., 0.],\n   [0., 1.]])"
    assert with_prefix("Parameter:\ntensor(") == "Parameter:\ntensor([[1., 0.],\n        [0., 1.]])"


def test_profiles() -> None:
    set_printoptions(profile="short")
    assert text([1 / 3, 2 / 3]) == "tensor([0.33, 0.67])"
    assert text(np.arange(1001), np.int64) == "tensor([   0,    1,  ...,  999, 1000])"
    set_printoptions(profile="full")
    assert "..." not in text(np.zeros(1001))
    set_printoptions(profile="default", precision=7)
    assert text([1 / 3, 0.5]) == "tensor([0.3333333, 0.5000000])"


def test_scientific_mode() -> None:
    set_printoptions(sci_mode=True)
    assert text([1, 20]) == "tensor([1.0000e+00, 2.0000e+01])"
    assert text([0, NAN]) == "tensor([0., nan])"
    set_printoptions(sci_mode=False)
    assert text([1e9, 1.5]) == "tensor([1000000000.0000,          1.5000])"
    set_printoptions(precision=0)  # and so the choice of notation is left to the entries again
    assert text([0.4, 1.6]) == "tensor([0, 2])"
    assert text([1 / 3, 1000.5, 2e-5]) == "tensor([3e-01, 1e+03, 2e-05])"


def test_narrow_and_summarised() -> None:
    set_printoptions(linewidth=30, threshold=8, edgeitems=2)
    assert text(np.arange(9) / 3) == "tensor([0.0000, 0.3333,\n         ..., 2.3333,\n        2.6667])"
    set_printoptions(edgeitems=0)
    assert text(np.arange(9), np.int64) == "tensor([...], size=(9,))"
    assert text(np.arange(3), np.int64) == "tensor([0, 1, 2], size=(3,))"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"profile": "long"}, ValueError),
        ({"precision": "a"}, TypeError),
        ({"precision": -1}, ValueError),
        ({"threshold": NAN}, ValueError),
        ({"edgeitems": 1.5}, TypeError),
        ({"sci_mode": "x"}, TypeError),
    ],
)
def test_bad_options_change_nothing(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(options))):
        set_printoptions(**({"precision": 2} | options))
    assert text(1 / 3) == "tensor(0.3333)"


def test_what_is_not_numbers_is_refused() -> None:
    with pytest.raises(TypeError, match="not numbers or bools"):
        text("a", np.str_)


def test_docstrings() -> None:
    assert doctest.testmod(printing).failed == 0
