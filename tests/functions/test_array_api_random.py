"""What the standard's strict library computes of any dtype and shape `jitgrad.array_api` computes too, in the same dtype."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

import jitgrad as jg
from tests.functions.test_array_api import NAMES, flat, found_in

BOOL, INTS, REALS, COMPLEX = ("bool",), ("int8", "int32", "int64", "uint8"), ("float32", "float64"), ("complex64", "complex128")
FLOATS, REAL, NUMERIC = REALS + COMPLEX, INTS + REALS, INTS + REALS + COMPLEX
ALL = BOOL + NUMERIC
SUMMED = tuple([dtype for dtype in NUMERIC if dtype != "uint8"])  # whose sums the standard has in uint64
KINDS = {dtype: "floats" if dtype in FLOATS else "ints" if dtype in INTS else dtype for dtype in ALL}
"""What the standard promotes to each other."""

AXIS, FLAG, FEW, OFFSET = st.integers(-3, 2), st.booleans(), st.integers(0, 2), st.integers(-3, 3)
AXES = st.none() | AXIS | st.tuples(AXIS, AXIS)
SHAPES = st.sampled_from([(), (0,), (-1,), (2, -1), (-1, 1), (1, -1), (2, 1, 3), (1, 2)])
LENGTH = st.none() | st.integers(1, 4)
BOUND = st.none() | st.integers(-1, 2)


class Calls(NamedTuple):
    """Arrays of some dtypes, and what else is given by position and by name."""

    dtypes: tuple[str, ...]
    arrays: int
    names: str
    positional: tuple = ()
    named: Mapping[str, Any] = MappingProxyType({})
    least: int = 0
    """Dimensions, and sizes of them, at least."""


TABLE = [
    Calls(NUMERIC, 1, "abs negative positive sign square round isfinite isinf isnan"),
    Calls(
        FLOATS, 1, "acos acosh asin asinh atan atanh cos cosh exp expm1 log log1p log2 log10 sin sinh sqrt tan tanh reciprocal"
    ),
    Calls(COMPLEX, 1, "real imag conj"),
    Calls(REAL, 1, "ceil floor trunc"),
    Calls(REALS, 1, "signbit"),
    Calls(ALL, 2, "where", (), {"condition": st.booleans()}),
    Calls(ALL, 2, "concat stack", (), {"axis": AXIS}),
    Calls(BOOL + INTS, 1, "bitwise_invert"),
    Calls(BOOL, 1, "logical_not"),
    Calls(ALL, 1, "nonzero unique_all unique_counts unique_inverse unique_values matrix_transpose zeros_like ones_like"),
    Calls(ALL, 1, "linalg.matrix_transpose broadcast_arrays meshgrid"),
    Calls(NUMERIC, 2, "add subtract multiply pow matmul linalg.outer linalg.matmul"),
    Calls(ALL, 2, "equal not_equal"),
    Calls(FLOATS, 2, "divide"),
    Calls(REAL, 2, "floor_divide remainder greater greater_equal less less_equal maximum minimum"),
    Calls(REALS, 2, "atan2 copysign hypot logaddexp nextafter"),
    Calls(BOOL + INTS, 2, "bitwise_and bitwise_or bitwise_xor"),
    Calls(INTS, 2, "bitwise_left_shift bitwise_right_shift"),
    Calls(BOOL, 2, "logical_and logical_or logical_xor"),
    Calls(NUMERIC, 2, "vecdot linalg.vecdot linalg.cross", (), {"axis": st.just(-1)}, 1),
    Calls(NUMERIC, 2, "tensordot linalg.tensordot", (), {"axes": FEW}),
    Calls(REAL, 2, "searchsorted", (), {"side": st.sampled_from(["left", "right"])}, 1),
    Calls(ALL, 1, "all any count_nonzero", (), {"axis": AXES, "keepdims": FLAG}),
    Calls(SUMMED, 1, "prod sum", (), {"axis": AXES, "keepdims": FLAG}),
    Calls(FLOATS, 1, "mean linalg.vector_norm", (), {"axis": AXES, "keepdims": FLAG}),
    Calls(REALS, 1, "std var", (), {"axis": AXES, "keepdims": FLAG, "correction": FEW}),
    Calls(REAL, 1, "max min", (), {"axis": AXES, "keepdims": FLAG}),
    Calls(REAL, 1, "argmax argmin", (), {"axis": st.none() | AXIS, "keepdims": FLAG}),
    Calls(REAL, 1, "sort argsort", (), {"axis": AXIS, "descending": FLAG}, 1),
    Calls(SUMMED, 1, "cumulative_sum cumulative_prod", (), {"axis": st.none() | AXIS, "include_initial": FLAG}),
    Calls(NUMERIC, 1, "diff", (), {"axis": AXIS, "n": st.integers(1, 2)}, 1),
    Calls(REAL, 1, "clip", (BOUND, BOUND)),
    Calls(ALL, 1, "expand_dims unstack flip", (), {"axis": AXIS}),
    Calls(ALL, 1, "squeeze", (AXIS,)),
    Calls(ALL, 1, "moveaxis", (AXIS, AXIS)),
    Calls(ALL, 1, "permute_dims", (st.permutations(range(2)) | st.permutations(range(3)),)),
    Calls(ALL, 1, "repeat roll", (FEW,), {"axis": st.none() | AXIS}),
    Calls(ALL, 1, "reshape broadcast_to", (SHAPES,)),
    Calls(ALL, 1, "tile", (st.sampled_from([(), (0,), (2,), (1, 2), (2, 1, 3)]),)),
    Calls(ALL, 1, "tril triu", (), {"k": OFFSET}),
    Calls(ALL, 1, "linalg.diagonal", (), {"offset": OFFSET}),
    Calls(SUMMED, 1, "linalg.trace", (), {"offset": OFFSET}),
    Calls(FLOATS, 1, "linalg.matrix_norm", (), {"keepdims": FLAG}),
    Calls(ALL, 1, "full_like", (FEW,)),
    Calls(COMPLEX, 1, "fft.fft fft.ifft fft.hfft fft.irfft", (), {"axis": AXIS, "n": LENGTH}, 1),
    Calls(REALS, 1, "fft.rfft fft.ihfft", (), {"axis": AXIS, "n": LENGTH}, 1),
    Calls(COMPLEX, 1, "fft.fftn fft.ifftn fft.irfftn", (), {}, 1),
    Calls(REALS, 1, "fft.rfftn", (), {}, 1),
    Calls(FLOATS, 1, "fft.fftshift fft.ifftshift", (), {"axes": AXES}),
]
BY_NAME = {name: calls for calls in TABLE for name in calls.names.split()}
OF_SQUARES = ("cholesky", "det", "eigh", "eigvalsh", "inv", "matrix_rank", "pinv", "qr", "slogdet", "svd", "svdvals")
MADE = "arange eye full linspace ones zeros empty empty_like asarray from_dlpack fft.fftfreq fft.rfftfreq"
OF_DTYPES = "astype can_cast finfo iinfo isdtype result_type"
ELSEWHERE = [*MADE.split(), *OF_DTYPES.split(), "take", "take_along_axis", *[f"linalg.{name}" for name in OF_SQUARES]]
ELSEWHERE += ["linalg.solve", "linalg.matrix_power"]


def elements(dtype: str) -> st.SearchStrategy[Any]:
    """Numbers of which each kind of trouble has one."""
    if dtype == "bool":
        return st.booleans()
    if "int" in dtype:
        return st.sampled_from([0, 1, 2, 3, 100] + [-1, -2] * (dtype != "uint8"))
    reals = st.sampled_from([0.0, -0.0, 0.5, -1.5, 2.0, 3.0, 1e6, float("inf"), -float("inf"), float("nan")])
    return (
        reals
        if dtype in REALS
        else st.builds(complex, st.sampled_from([0.0, 0.5, -1.5, 2.0]), st.sampled_from([0.0, -2.0, 0.25]))
    )


@st.composite
def given_arrays(draw: Any, calls: Calls) -> list[np.ndarray]:
    least = {"min_dims": calls.least, "min_side": calls.least, "max_dims": 3, "max_side": 3}
    shapes = draw(of_numpy.mutually_broadcastable_shapes(num_shapes=calls.arrays, **least)).input_shapes
    first = draw(st.sampled_from(calls.dtypes))
    alike = [dtype for dtype in calls.dtypes if KINDS[dtype] == KINDS[first] or dtype == first]
    dtypes = [first, *[draw(st.sampled_from(alike)) for _ in shapes[1:]]]
    return [draw(of_numpy.arrays(dtype, shape, elements=elements(dtype))) for dtype, shape in zip(dtypes, shapes)]


def tidied(name: str, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Arrays for which the standard says what comes out."""
    if name in ("floor_divide", "remainder", "pow", "bitwise_left_shift", "bitwise_right_shift") and arrays[1].dtype.kind in "iu":
        arrays[1] = np.clip(arrays[1], 1, 3)
    return [np.sort(arrays[0]), *arrays[1:]] if name == "searchsorted" else arrays


@pytest.fixture(autouse=True)
def _doubles() -> Any:
    jg.set_default_dtype(jg.float64)
    yield
    jg.set_default_dtype(jg.float32)


def test_every_function_of_arrays_is_compared():
    assert sorted(BY_NAME) == sorted(name for name in NAMES if callable(found_in(strict, name)) and name not in ELSEWHERE)


@pytest.mark.parametrize("name", BY_NAME)
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_values_and_dtypes(name: str, data: Any) -> None:
    calls = BY_NAME[name]
    arrays = tidied(name, data.draw(given_arrays(calls)))
    positional = [data.draw(each) for each in calls.positional]
    named = {key: data.draw(each) for key, each in calls.named.items()}
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = flat(called(strict, name, map(strict.asarray, arrays), positional, named))
    except (TypeError, ValueError, IndexError):
        return  # the standard does not say what that is
    assert_alike(flat(called(jg.array_api, name, map(jg.tensor, arrays), positional, named)), theirs)


@pytest.mark.parametrize("shape", [(2, 2), (3, 1, 2, 2), (0, 2, 2), (1, 1)])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", [*OF_SQUARES, "solve", "matrix_power"])
def test_functions_of_square_matrices(name: str, dtype: str, shape: tuple[int, ...]) -> None:
    root = np.random.default_rng(0).normal(size=(2, *shape))
    root = (root[0] + (1j * root[1] if dtype in COMPLEX else 0)).astype(dtype)
    matrix = (root @ root.conj().swapaxes(-1, -2) + np.eye(shape[-1])).astype(dtype)
    more = {"solve": [root], "matrix_power": [3]}.get(name, [])

    def found(space: Any, make: Any) -> Any:
        given = [make(x) if isinstance(x, np.ndarray) else x for x in (matrix, *more)]
        result = getattr(space.linalg, name)(*given)
        return [result[0] @ result[1]] if name == "qr" else flat(result)[: 1 if name == "eigh" else 3]

    ours, theirs = found(jg.array_api, jg.tensor), found(strict, strict.asarray)
    assert_alike(*(([x[1]] if name == "svd" else x) for x in (ours, theirs)))


def called(space: Any, name: str, arrays: Iterable[Any], positional: list[Any], named: dict[str, Any]) -> Any:
    given = list(arrays)
    if name == "where":
        condition = np.full(given[0].shape, named["condition"])
        return space.where(space.asarray(condition), *given)
    return found_in(space, name)(*([given] if name in ("concat", "stack") else given), *positional, **named)


def assert_alike(ours: list[Any], theirs: list[Any]) -> None:
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        wanted = np.asarray(b._array)
        assert isinstance(a, jg.Tensor)
        assert (a.dtype.name, tuple(a.shape)) == (wanted.dtype.name, wanted.shape)
        tolerance = 1e-5 if wanted.dtype.name in ("float32", "complex64") else 1e-12
        np.testing.assert_allclose(a.numpy(), wanted, rtol=tolerance, atol=tolerance)
