"""`jitgrad.array_api` has what the standard has, with its arguments, and gives what the standard's strict library gives."""

from __future__ import annotations

import inspect
from typing import Any

import array_api_strict as strict
import numpy as np
import pytest

import jitgrad as jg
from jitgrad.testing import gradcheck

quick = pytest.mark.quick
pytestmark = quick
xp = jg.array_api

NOT_YET = {"isin", "broadcast_shapes"}  # of the version after the one that is meant
OTHERS = {"uint16", "uint32", "uint64", "Device", "ModuleType", "ArrayAPIStrictFlags"}
OTHERS |= {name for name in dir(strict) if name.endswith("_array_api_strict_flags")}
NAMES = [name for name in dir(strict) if name[0] != "_" and name not in OTHERS | NOT_YET]
NAMES += [f"{home}.{name}" for home in ("linalg", "fft") for name in getattr(strict, home).__all__]


def found_in(space: Any, name: str) -> Any:
    for part in name.split("."):
        space = getattr(space, part)
    return space


def parameters(function: Any) -> list[tuple[str, Any]]:
    return [(p.name, p.kind) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there_with_its_arguments(name):
    theirs, ours = found_in(strict, name), found_in(xp, name)
    if inspect.isfunction(theirs):
        assert parameters(ours) == parameters(theirs)
        assert ours.__doc__


def test_names_that_are_not_there_are_said_to_be_missing():
    for name in ("uint16", "uint64"):
        with pytest.raises(AttributeError, match=f"no dtype {name}"):
            getattr(xp, name)
    with pytest.raises(AttributeError, match="no softmax"):
        _ = xp.softmax
    with pytest.raises(TypeError, match=r"sum\(x, /, \*, axis=None.*unexpected keyword argument 'where'"):
        xp.sum(jg.ones(2), where=True)
    with pytest.raises(TypeError, match="too many positional"):
        xp.std(jg.ones(2), 0)


X = np.array([[0.5, -1.5, 2.0], [3.0, 0.25, -0.75]])
Y = np.array([[1.5, 2.0, -0.5], [0.5, 4.0, 1.25]])
P = np.abs(X) + 0.1
U = X / 4
I, J = np.array([[3, 1, 2], [0, 5, 4]]), np.array([[1, 2, 2], [3, 1, 2]])
B = X > 0
M = np.array([[4.0, 1.0], [1.0, 3.0]])
C = X + 1j * Y

OF_ONE = (
    "acos asin atanh abs asinh atan ceil cos cosh exp expm1 floor isfinite isinf isnan negative positive round sign signbit sin"
)
OF_ONE += " sinh square tan tanh trunc"
OF_TWO = (
    "add atan2 copysign divide equal floor_divide greater greater_equal hypot less less_equal logaddexp maximum minimum multiply"
)
OF_TWO += " nextafter not_equal remainder subtract"
OF_POSITIVE = "log log1p log2 log10 sqrt reciprocal"
REDUCTIONS = "all any argmax argmin count_nonzero max mean min prod sum std var"
OF_MATRICES = "cholesky det diagonal eigvalsh inv matrix_norm matrix_rank matrix_transpose pinv svdvals trace vector_norm"
TRANSFORMS = "fft ifft fftn ifftn fftshift ifftshift"
CALLS: dict[str, Any] = {
    **{name: (lambda xp, x, name=name: getattr(xp, name)(x), U) for name in OF_ONE.split()},
    **{name: (lambda xp, x, name=name: getattr(xp, name)(x), P) for name in OF_POSITIVE.split()},
    "acosh": (lambda xp, x: xp.acosh(x), P + 1),
    **{name: (lambda xp, x, y, name=name: getattr(xp, name)(x, y), X, Y) for name in OF_TWO.split()},
    "pow": (lambda xp, x, y: xp.pow(x, y), P, Y),
    **{
        f"bitwise_{name}": (lambda xp, x, y, name=name: getattr(xp, f"bitwise_{name}")(x, y), I, J)
        for name in ("and", "or", "xor", "left_shift", "right_shift")
    },
    "bitwise_invert": (lambda xp, x: xp.bitwise_invert(x), I),
    **{f"logical_{n}": (lambda xp, x, y, n=n: getattr(xp, f"logical_{n}")(x, y), B, ~B) for n in ("and", "or", "xor")},
    "logical_not": (lambda xp, x: xp.logical_not(x), B),
    **{name: (lambda xp, x, name=name: getattr(xp, name)(x), C) for name in ("real", "imag", "conj")},
    **{
        f"{name} {axis} {keep}": (
            lambda xp, x, name=name, axis=axis, keep=keep: getattr(xp, name)(x, axis=axis, keepdims=keep),
            X,
        )
        for name in REDUCTIONS.split()
        for axis, keep in ((None, False), (1, True), (-2, False))
    },
    "sum of ints": (lambda xp, x: xp.sum(x, axis=(0, 1)), I.astype(np.int32)),
    "sum in a dtype": (lambda xp, x: xp.sum(x, dtype=xp.float64), X.astype(np.float32)),
    "std corrected": (lambda xp, x: xp.std(x, axis=0, correction=1), X),
    "cumulative_sum": (lambda xp, x: xp.cumulative_sum(x, axis=1, include_initial=True), X),
    "cumulative_prod": (lambda xp, x: xp.cumulative_prod(x, axis=0), X),
    "vecdot": (lambda xp, x, y: xp.vecdot(x, y, axis=-2), X, Y),
    "tensordot": (lambda xp, x, y: xp.tensordot(x, y, axes=((1,), (1,))), X, Y),
    "matmul": (lambda xp, x, y: xp.matmul(x, xp.matrix_transpose(y)), X, Y),
    "clip": (lambda xp, x: xp.clip(x, -1.0, max=1.0), X),
    "concat": (lambda xp, x, y: xp.concat([x, y], axis=None), X, Y),
    "stack": (lambda xp, x, y: xp.stack((x, y), axis=-1), X, Y),
    "diff": (lambda xp, x: xp.diff(x, n=2), X),
    "squeeze": (lambda xp, x: xp.squeeze(x[:1, ...], 0), X),
    "expand_dims": (lambda xp, x: xp.expand_dims(x, axis=1), X),
    "unstack": (lambda xp, x: xp.unstack(x, axis=1), X),
    "flip": (lambda xp, x: xp.flip(x, axis=1), X),
    "moveaxis": (lambda xp, x: xp.moveaxis(x, 0, 1), X),
    "permute_dims": (lambda xp, x: xp.permute_dims(x, (1, 0)), X),
    "repeat": (lambda xp, x: xp.repeat(x, 2, axis=1), X),
    "reshape": (lambda xp, x: xp.reshape(x, (3, -1), copy=True), X),
    "roll": (lambda xp, x: xp.roll(x, 1, axis=1), X),
    "searchsorted": (lambda xp, x, y: xp.searchsorted(xp.sort(x), y, side="right"), X[0], Y[0]),
    "take": (lambda xp, x, i: xp.take(x, i, axis=1), X, np.array([2, 0])),
    "take_along_axis": (lambda xp, x: xp.take_along_axis(x, xp.argsort(x)), X),
    "tile": (lambda xp, x: xp.tile(x, (2, 1)), X),
    "tril": (lambda xp, x: xp.tril(x, k=1), X),
    "triu": (lambda xp, x: xp.triu(x, k=-1), X),
    "where": (lambda xp, b, x, y: xp.where(b, x, y), B, X, Y),
    "broadcast_arrays": (lambda xp, x, y: xp.broadcast_arrays(x, y[0, ...]), X, Y),
    "broadcast_to": (lambda xp, x: xp.broadcast_to(x, (2, 2, 3)), X),
    "meshgrid": (lambda xp, x, y: xp.meshgrid(x, y, indexing="ij"), X[0], Y[1]),
    "nonzero": (lambda xp, x: xp.nonzero(x > 0), X),
    "sort": (lambda xp, x: xp.sort(x, axis=0, descending=True), X),
    "argsort": (lambda xp, x: xp.argsort(x, descending=True, stable=True), X),
    "unique_values": (lambda xp, x: xp.sort(xp.unique_values(x)), J),
    "unique_all": (lambda xp, x: tuple(xp.unique_all(x)), J),
    "unique_counts": (lambda xp, x: xp.unique_counts(x).counts, J),
    "unique_inverse": (lambda xp, x: xp.unique_inverse(x).inverse_indices, J),
    **{f"linalg.{name}": (lambda xp, x, name=name: getattr(xp.linalg, name)(x), M) for name in OF_MATRICES.split()},
    "linalg.eigh": (lambda xp, x: xp.linalg.eigh(x).eigenvalues, M),
    "linalg.slogdet": (lambda xp, x: tuple(xp.linalg.slogdet(x)), M),
    "linalg.qr": (lambda xp, x: xp.abs(xp.linalg.qr(x, mode="reduced").R), M),
    "linalg.svd": (lambda xp, x: xp.linalg.svd(x, full_matrices=False).S, X),
    "linalg.solve": (lambda xp, x: xp.linalg.solve(x, x[0, :]), M),
    "linalg.matrix_power": (lambda xp, x: xp.linalg.matrix_power(x, 3), M),
    "linalg.outer": (lambda xp, x: xp.linalg.outer(x[0, :], x[1, :]), M),
    "linalg.cross": (lambda xp, x, y: xp.linalg.cross(x, y), X, Y),
    "linalg.cholesky, upper": (lambda xp, x: xp.linalg.cholesky(x, upper=True), M),
    "linalg.vector_norm along": (lambda xp, x: xp.linalg.vector_norm(x, axis=1, ord=1), X),
    **{f"fft.{n}": (lambda xp, x, n=n: getattr(xp.fft, n)(x), C) for n in TRANSFORMS.split()},
    "fft.rfft": (lambda xp, x: xp.fft.rfft(x, n=4, norm="ortho"), X),
    "fft.irfft": (lambda xp, x: xp.fft.irfft(xp.fft.rfft(x)), X),
    "fft.fftfreq": (lambda xp: xp.fft.fftfreq(5, d=0.5, dtype=xp.float64),),
    "fft.rfftfreq": (lambda xp: xp.fft.rfftfreq(6, dtype=xp.float64),),
    "repeat by counts": (lambda xp, x: xp.repeat(x, xp.asarray([1, 0, 2]), axis=1), X),
    "squeeze of several": (lambda xp, x: xp.squeeze(x[:1, :1, ...], (0, 1)), X),
    "diff between ends": (lambda xp, x: xp.diff(x, axis=0, prepend=x[:1, ...], append=x[:1, ...]), X),
    "roll of several": (lambda xp, x: xp.roll(x, (1, 2), axis=(0, 1)), X),
    "clip by arrays": (lambda xp, x, y: xp.clip(x, xp.minimum(x, y), y), X, Y),
    **{f"linalg.matrix_norm {o}": (lambda xp, x, o=o: xp.linalg.matrix_norm(x, ord=o), X) for o in (1, -1, 2, -2, np.inf, "nuc")},
    **{f"linalg.vector_norm {o}": (lambda xp, x, o=o: xp.linalg.vector_norm(x, ord=o), X) for o in (0, 1, 3, np.inf, -np.inf)},
    "arange": (lambda xp: xp.arange(2, 9, 3),),
    "arange downwards": (lambda xp: xp.arange(5, 0, -2),),
    "linspace of complex": (lambda xp: xp.linspace(0, 1j, 3, dtype=xp.complex128),),
    "arange of floats": (lambda xp: xp.arange(3.0, dtype=xp.float64),),
    "eye": (lambda xp: xp.eye(2, 3, k=1, dtype=xp.float32),),
    "full": (lambda xp: xp.full((2,), 7),),
    "linspace": (lambda xp: xp.linspace(0, 1, 4, endpoint=False, dtype=xp.float64),),
    "ones": (lambda xp: xp.ones((2, 1), dtype=xp.int8),),
    "zeros": (lambda xp: xp.zeros(3, dtype=xp.bool),),
    "full_like": (lambda xp, x: xp.full_like(x, 2, dtype=xp.int32), X),
    "ones_like": (lambda xp, x: xp.ones_like(x), I),
    "zeros_like": (lambda xp, x: xp.zeros_like(x), X),
    "astype": (lambda xp, x: xp.astype(x, xp.float32), I),
    "asarray": (lambda xp: xp.asarray([[1, 2], [3, 4]], dtype=xp.float64),),
}


def flat(found: Any) -> list[Any]:
    return [part for each in found for part in flat(each)] if isinstance(found, (tuple, list)) else [found]


@pytest.mark.parametrize("name", CALLS)
def test_values_are_those_of_the_strict_library(name):
    call, *arrays = CALLS[name]
    ours = flat(call(xp, *map(jg.tensor, arrays)))
    theirs = flat(call(strict, *map(strict.asarray, arrays)))
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        assert isinstance(a, jg.Tensor)
        wanted = np.asarray(b._array)
        assert (a.dtype.name, tuple(a.shape)) == (wanted.dtype.name, wanted.shape)
        np.testing.assert_allclose(a.numpy(), wanted, rtol=1e-12, atol=1e-12)


def test_gradients_and_jit():
    def loss(x: Any) -> Any:
        xp = x.__array_namespace__()
        y = xp.concat([xp.sort(x, axis=1, descending=True), xp.tanh(x)], axis=0)
        return xp.sum(xp.linalg.vector_norm(xp.permute_dims(y, (1, 0)), axis=1)) + xp.std(x, correction=1)

    x = jg.tensor(X)
    assert gradcheck(loss, x)
    assert jg.allclose(jg.jit(jg.grad(loss))(x), jg.grad(loss)(x))


def test_the_namespace_of_a_tensor():
    x = jg.ones(2)
    assert x.__array_namespace__() is x.__array_namespace__(api_version="2024.12") is xp
    with pytest.raises(ValueError, match=r"2024.12 of the array API standard, not '2019.01'"):
        x.__array_namespace__(api_version="2019.01")


def test_arrays_have_what_the_standard_has():
    theirs = {name for name in dir(type(strict.ones(1))) if name.startswith("__") or not name.startswith("_")}
    assert theirs - set(dir(jg.Tensor)) <= {"__buffer__", "__imatmul__"}  # `x @= y` is `x = x @ y`
    x = jg.ones(2)
    assert x.to_device(x.device) is x
    with pytest.raises(ValueError, match="stream must be None"):
        x.to_device("cpu", stream=1)


def test_dtypes():
    assert xp.result_type(xp.int8, xp.uint8) is jg.int16
    assert xp.result_type(jg.ones(2), 1.0) is jg.float32
    assert xp.can_cast(xp.float32, xp.float64)
    assert not xp.can_cast(jg.ones(2), xp.int64)
    assert xp.isdtype(jg.float32, ("integral", "real floating"))
    assert xp.isdtype(jg.uint8, "numeric")
    assert not xp.isdtype(jg.bool, "numeric")
    assert xp.isdtype(jg.bool, jg.bool)
    with pytest.raises(ValueError, match="no kind 'float'"):
        xp.isdtype(jg.bool, "float")
    assert xp.finfo(jg.ones(2)).eps == np.finfo(np.float32).eps
    assert xp.iinfo(xp.int8).max == 127


def test_what_there_is():
    info = xp.__array_namespace_info__()
    assert info.default_dtypes()["real floating"] is jg.float32
    assert info.dtypes(kind="complex floating") == {"complex64": jg.complex64, "complex128": jg.complex128}
    assert {"bool", "int64", "float64"} <= info.dtypes().keys()
    assert info.devices()[0] == info.default_device() == "cpu"
    assert info.capabilities()["max dimensions"] == 64
    np.zeros((1,) * 64)


def test_copies():
    x, array = jg.ones(2), np.ones(2)
    assert xp.asarray(x) is xp.asarray(x, copy=False) is xp.astype(x, xp.float32, copy=False) is x
    assert xp.asarray(x, copy=True) is not x
    xp.asarray(array, copy=False)[0] = 5
    xp.asarray(array, copy=True)[1] = 7
    assert array.tolist() == [5.0, 1.0]
    for given, dtype in (([1, 2], None), (x, xp.float64)):
        with pytest.raises(ValueError, match="takes a copy"):
            xp.asarray(given, dtype=dtype, copy=False)
    assert xp.astype(x, xp.float32) is not x
    xp.from_dlpack(array)[0] = 3
    assert array[0] == 3
    assert xp.add(array, array).dtype is jg.float64
