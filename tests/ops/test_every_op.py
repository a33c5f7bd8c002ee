"""What holds of every row of the op table. Adding a row adds its tests; a row that lacks something fails here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.special  # noqa: F401
from scipy.special import iv, ive  # noqa: F401  oracles name these

import jitgrad as jg
from jitgrad.ops import Op, rows
from jitgrad.ops.indexing import filled
from jitgrad.tensors.numpy_protocols import UFUNCS
from jitgrad.testing import gradcheck, gradgradcheck, jvp
from tests.helpers.sweeps import SWEEPS

NOT_DIFFERENTIABLE = {
    "all",
    "any",
    "argmax",
    "argmin",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "detach",
    "eq",
    "ge",
    "gt",
    "isfinite",
    "isinf",
    "isnan",
    "le",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lt",
    "ne",
    "places",
    "within",
}
"""Rows without a derivative. A row that loses its rule by mistake is not in this list, and fails."""

HOLES: set[str] = set()
"""Rows with a rule that is still to be written."""

DTYPES = ("float16", "float32", "float64", "bfloat16", "int32", "int64", "uint8", "bool")
COMPILED_DTYPES = tuple(d for d in DTYPES if d != "bfloat16")
LAYOUTS = ("contiguous", "transposed", "strided", "0-d", "empty", "one", "broadcast")
ULPS = {"float16": 1e-3, "bfloat16": 1e-2, "float32": 1.2e-7, "float64": 2.3e-16}
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.5, -3.7, 20.5, 100.0, -100.0, 1e3, -1e3, math.inf, -math.inf, math.nan]


def _put(x: Any, value: Any, *arrays: Any, index: tuple) -> Any:
    x[filled(index, arrays)] = value
    return x


def _scattered(x: Any, index: Any, src: Any, dim: int) -> Any:
    for place in np.ndindex(index.shape):
        x[(*place[:dim], index[place], *place[dim + 1 :])] += src[place]
    return x


def _sorted(x: Any, dim: int, descending: bool) -> Any:
    order = np.argsort(-x.astype(float) if descending else x, dim, kind="stable")
    return np.take_along_axis(x, order, dim), order


def _padded(x: Any, dim: int, start: int, size: int) -> Any:
    return np.pad(x, [(start, size - start - n) if d == dim else (0, 0) for d, n in enumerate(x.shape)])


VECTORS = {("eigh", 1), ("svd", 0), ("svd", 2)}
"""Results whose signs are arbitrary."""

UFUNC = {op: ufunc for ufunc, op in UFUNCS.items()}


class Case(NamedTuple):
    """A row with parameters and operands: float64 arrays inside the domain, or the index arrays of the sample."""

    op: Op
    params: dict[str, Any]
    operands: list[np.ndarray]
    result: int = 0  # which of several

    def __repr__(self) -> str:
        name = f"{self.op.name}[{self.result}]" if self.op.several else self.op.name
        return "-".join([name, *(f"{k}={v}" for k, v in self.params.items())]).replace(" ", "")


def cases(shapes: list[tuple[int, ...]], *kinds: str) -> Iterator[Case]:
    """All rows, the elementwise ones on operands of the given shapes (repeated as needed)."""
    rng = np.random.default_rng(0)
    for op in rows():
        if op.hint or (kinds and op.kind not in kinds):  # with a hint it is no function of free operands: see test_edges.py
            continue
        for sample in op.samples() if op.samples is not None else [{}]:
            if op.elementwise:
                params, operands = sample, [shapes[i % len(shapes)] for i in range(len(op.inputs))]
            else:
                given, params = sample
                operands = given if isinstance(given, list) else [given]
            bounds = op.domain or ((-3.0, 3.0),) * len(operands)
            arrays = [o if isinstance(o, np.ndarray) else rng.uniform(*b, o) for o, b in zip(operands, bounds)]
            if op.name == "where":
                arrays[0] = arrays[0] > 0.5
            arrays = [np.asarray(a) for a in arrays]
            for k in range(len(op(*map(jg.tensor, arrays), **params)) if op.several else 1):
                yield Case(op, params, arrays, k)


CASES = list(cases([(2, 3)]))


def smooth(case: Case) -> bool:
    """Whether the result passes cotangents on."""
    return case.op.differentiable and (not case.op.several or applied(case, tensors(case, requires_grad=True)).requires_grad)


def converted(x: np.ndarray, dtype: str) -> np.ndarray:
    """An operand in another dtype; integers are positive, since powers and quotients of them must exist."""
    if x.dtype != np.float64:
        return x
    if dtype == "bool":
        return x > 0
    return (np.abs(np.rint(x)) + 1 if "int" in dtype else x).astype(jg.dtypes.by_name(dtype).numpy)


def floating(x: np.ndarray) -> bool:
    return jg.dtypes.is_floating(x.dtype)


def laid_out(x: np.ndarray, layout: str) -> np.ndarray:
    """The same numbers in memory of another layout."""
    if layout == "transposed":
        return np.array(x.T, order="C").T
    if layout == "strided":
        wide = np.zeros(tuple(2 * n for n in x.shape), x.dtype)
        wide[tuple(slice(None, None, 2) for _ in x.shape)] = x
        return wide[tuple(slice(None, None, 2) for _ in x.shape)][(slice(None, None, -1),) * x.ndim]
    return x


SHAPES: dict[str, list[tuple[int, ...]]] = {
    "0-d": [()],
    "empty": [(0, 3)],
    "one": [(1, 1)],
    "broadcast": [(2, 1, 3), (4, 1)],
}


def prepared(dtype: str, layout: str) -> list[Case]:
    """The cases that a dtype and a layout make; rows of fixed operands take part where the layout is one of memory."""
    kinds = ("elementwise",) if layout in SHAPES else ()
    found = []
    for case in cases(SHAPES.get(layout, [(2, 3)]), *kinds):
        kind = "int64" if case.op.result == "sum" and ("int" in dtype or dtype == "bool") else dtype  # as functions do
        operands = [laid_out(converted(x, kind), layout if x.dtype == np.float64 else "") for x in case.operands]
        found.append(case._replace(operands=operands))
    return found


def tensors(case: Case, requires_grad: bool = False) -> list[jg.Tensor]:
    """The operands as tensors, in their memory unless they are numbers."""
    made = [jg.from_numpy(x) if x.ndim else jg.tensor(x) for x in case.operands]
    return [x.detach().requires_grad_() if requires_grad and x.dtype.is_floating_point else x for x in made]


def applied(case: Case, xs: Any) -> jg.Tensor:
    if case.op.symmetric:
        xs = [(x + x.transpose(-1, -2)) / 2 for x in xs]
    found = case.op(*xs, **case.params)
    return found[case.result] if case.op.several else found


SMOOTH = [case for case in CASES if smooth(case)]


def legal(case: Case) -> bool:
    """Whether NumPy has a loop for these dtypes (it has none for the negative of a bool, say)."""
    dtypes = {x.dtype for x in case.operands}
    if (
        not all(floating(x) for x in case.operands)
        and case.op.name != "where"
        and (case.op.result == "floating" or any(isinstance(v, float) for v in case.params.values()))
    ):
        return False  # public functions refuse these, or convert first
    if case.op.name in ("index_add", "scatter_add") and np.dtype(bool) in dtypes:
        return False  # there is no sum of bools that is a bool
    try:
        applied(case, tensors(case))
    except (TypeError, RuntimeError, OverflowError):
        return False
    return True


def by_oracle(op: Op, operands: list[np.ndarray], params: dict[str, Any]) -> Any:
    """What a row computes, as its oracle says; `scipy`, `np` and the functions of this file are known there."""
    if not op.oracle:
        return UFUNC[op](*operands, **params)
    many = op.inputs[-1].startswith("*")
    names = dict(zip(op.inputs[:-1] if many else op.inputs, operands)) | params
    if many:
        names[op.inputs[-1][1:]] = tuple(operands[len(op.inputs) - 1 :])
    return eval(op.oracle, globals() | names)


def expected(case: Case) -> tuple[np.ndarray, np.dtype]:
    """The value in float64 by the oracle, and the dtype that the row's NumPy function gives on operands as promoted."""
    op = case.op
    wide = [x.astype(np.float64) if floating(x) or op.result == "float" else x for x in case.operands]
    given = case.operands
    if op.result == "float" and not floating(given[-1]):
        given = [x.astype(np.float32) for x in given]
    with np.errstate(all="ignore"):
        value = by_oracle(op, [np.array(x) for x in wide], case.params)
        half = given[-1].dtype if op.single and given[-1].dtype in jg.dtypes.HALF else None
        if op.inlined:
            found = [x.numpy() for x in op(*map(jg.from_numpy, given), **case.params)]
        else:
            found = op.run(*given if half is None else [x.astype(np.float32) for x in given], **case.params)
        value, found = (value[case.result], found[case.result]) if op.several else (value, found)
        value, dtype = np.asarray(value), np.asarray(found).dtype
        return value, half if half is not None and dtype == np.float32 else dtype


def close(got: Any, want: Any, ulps: float, what: str, floor: float = 0.0) -> None:
    """Equal up to `ulps` of the coarser dtype, nan where nan is; integers and bools equal."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}"
    rtol = ulps * ULPS.get(str(got.dtype), 0)
    tiny = float(np.finfo(got.dtype).tiny) if got.dtype.kind == "f" else 0.0  # subnormal results may be flushed to 0
    bound = floor * rtol + tiny
    fine = np.isclose(got.astype(np.float64), want.astype(np.float64), rtol=rtol, atol=bound, equal_nan=True)
    if not fine.all():
        at = tuple(np.argwhere(~fine)[0].tolist())
        raise AssertionError(f"{what} at {at}: {got[at]!r}, expected {want[at]!r} ({(~fine).sum()} differ)")


# What every row must have.


@pytest.mark.quick
@pytest.mark.parametrize("op", list(rows()), ids=lambda op: op.name)
def test_row_is_complete(op: Op) -> None:
    assert op.differentiable == (op.name not in NOT_DIFFERENTIABLE)
    assert bool(op.holes()) == (op.name in HOLES)
    if op.elementwise:
        assert len(op.domain) == len(op.inputs)
        assert op.prepare is None or op.samples is not None
    else:
        assert op.samples is not None
    assert op.oracle or op in UFUNC or op.hint, "say what it computes: oracle="
    assert op.kind in (
        "elementwise",
        "reduction",
        "movement",
        "matmul",
        "cat",
        "index",
        "linalg",
        "sorting",
        "splitting",
        "composite",
    )
    assert any(case.op is op for case in CASES) or op.hint


# Values.


@pytest.mark.quick
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_value_is_numpys(dtype: str, layout: str) -> None:
    seen = 0
    for case in prepared(dtype, layout):
        if not legal(case):
            continue
        before = [np.array(x) for x in case.operands]
        out = applied(case, tensors(case))
        value, result_dtype = expected(case)
        what = f"{case} {dtype} {layout}"
        assert out.dtype.numpy == result_dtype, what
        if out.dtype.is_floating_point and floating(case.operands[-1]) and case.op.name != "cast":
            assert result_dtype == case.operands[-1].dtype, what
        assert tuple(out.shape) == value.shape, what
        got = out.numpy()
        if (case.op.name, case.result) in VECTORS:
            got, value = abs(got), abs(value)
        close(got, value, 16, what, floor=4)
        for x, old in zip(case.operands, before):
            assert x.tobytes() == old.tobytes(), f"{what} wrote to an input"
        seen += 1
    assert seen > {"bool": 20}.get(dtype, 40)


# Derivatives.


@pytest.mark.parametrize("case", SMOOTH, ids=repr)
def test_gradient_is_the_limit_of_differences(case: Case) -> None:
    gradcheck(lambda *xs: applied(case, xs), case.operands)


@pytest.mark.parametrize("case", SMOOTH, ids=repr)
def test_second_derivative_is_the_limit_of_differences(case: Case) -> None:
    gradgradcheck(lambda *xs: applied(case, xs), case.operands)


@pytest.mark.quick
@pytest.mark.parametrize("layout", ["strided", "0-d", "empty", "one", "broadcast"])
def test_gradients_in_every_layout(layout: str) -> None:
    for case in prepared("float64", layout):
        if smooth(case):
            gradcheck(lambda *xs: applied(case, xs), case.operands, projections=2)  # noqa: B023 - called at once


@pytest.mark.parametrize("case", SMOOTH, ids=repr)
def test_gradient_is_the_transpose_of_the_jvp(case: Case) -> None:
    rng = np.random.default_rng(1)
    tangents = [rng.standard_normal(x.shape) if x.dtype == np.float64 else None for x in case.operands]
    out, change = jvp(lambda *xs: applied(case, xs), case.operands, tangents)
    g = rng.standard_normal(tuple(out.shape)).astype(out.dtype.numpy)
    xs = tensors(case, requires_grad=True)
    grads = jg.autograd.grad(applied(case, xs), [x for x in xs if x.requires_grad], g)
    pulled = sum(float((a.numpy() * t).sum()) for a, t in zip(grads, [t for t in tangents if t is not None]))
    assert pulled == pytest.approx(float((g * change.detach().numpy()).sum()), rel=1e-12, abs=1e-12)
    high, low = (
        [x if t is None else np.asarray(x + step * t) for x, t in zip(case.operands, tangents)] for step in (1e-6, -1e-6)
    )
    above, below = (applied(case, tensors(case._replace(operands=side))).numpy() for side in (high, low))
    np.testing.assert_allclose(change.detach().numpy(), (above - below) / 2e-6, rtol=1e-4, atol=1e-6)


# Every sweep.


def derivatives(case: Case, xs: list[jg.Tensor], order: int) -> list[jg.Tensor]:
    """The value, then the gradients of a weighted sum of it, then those of a weighted sum of the gradients."""
    where = tuple(i for i, x in enumerate(case.operands) if floating(x))
    if not where or not order or not smooth(case):
        return [applied(case, xs)]
    parts: list[jg.Tensor] = []

    def first(*xs: jg.Tensor) -> jg.Tensor:
        out = applied(case, xs)
        parts[:] = [out]
        return (out * 1.5).sum()

    def second(*xs: jg.Tensor) -> jg.Tensor:
        grads = jg.grad(first, where)(*xs)
        return sum((g * (k + 0.5)).sum() for k, g in enumerate(grads))

    return [applied(case, xs), *jg.grad(first, where)(*xs), *(jg.grad(second, where)(*xs) if order > 1 else ())]


def batched(many: list[Case], order: int) -> Callable:
    """All cases as one function of all operands: compiling is what costs."""

    def everything(*flat: jg.Tensor) -> list[list[jg.Tensor]]:
        given = iter(flat)
        return [derivatives(case, [next(given) for _ in case.operands], order) for case in many]

    return everything


def compare_sweeps(many: list[Case], order: int, what: str, ulps: float, floor: float, relative: bool = False) -> None:
    """Eager results are the definition; `jit` interpreted gives them again, machine code comes as close as said."""
    flat = [x for case in many for x in tensors(case)]
    before = [np.array(x.numpy()) for x in flat]
    eager = batched(many, order)(*flat)
    compiled = jg.jit(batched(many, order))
    for name in SWEEPS:
        with jg.sweep(name):
            results = compiled(*flat)
        for case, got, want in zip(many, results, eager):
            for k, (a, b) in enumerate(zip(got, want)):
                label = f"{case} {what}, {name}, {['value', *['derivative'] * 9][k]} {k}"
                assert a.dtype == b.dtype, label
                allowed = 8 if name == "interpreted" else ulps
                close(a.numpy(), b.numpy(), allowed, label, floor if k or not relative else 0)
                if relative and a.dtype.is_floating_point:
                    zero = (a.numpy() == 0) & (b.numpy() == 0)
                    assert np.array_equal(np.signbit(a.numpy()[zero]), np.signbit(b.numpy()[zero])), f"{label}: -0.0"
    for x, old in zip(flat, before):
        assert np.array_equal(x.numpy(), old, equal_nan=x.dtype.is_floating_point)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
def test_sweeps_agree(dtype: str, layout: str) -> None:
    many = [case for case in prepared(dtype, layout) if legal(case)]
    what = f"{dtype} {layout}"
    if dtype == "float16" and layout not in SHAPES:  # these derivatives are compiled for "broadcast" as well
        compare_sweeps([case for case in many if case.op.elementwise], 0, what, 32, 8)
        many = list({case.op: case for case in many if not case.op.elementwise}.values())
    compare_sweeps(many, 1 if "float" in dtype else 0, what, 32, 8)


def test_sweeps_agree_on_second_derivatives() -> None:
    compare_sweeps(SMOOTH, 2, "float64", 256, 8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sweeps_agree_on_special_values(dtype: str) -> None:
    info = np.finfo(dtype)
    values = np.array([*SPECIAL, info.tiny, info.smallest_subnormal, -info.max, 1e-6], dtype)
    pairs = [np.array(a).ravel() for a in np.meshgrid(values, values)]
    many = []
    for case in cases([(1,)], "elementwise"):
        if legal(Case(case.op, case.params, [converted(x, dtype) for x in case.operands])):
            operands = [values] if len(case.operands) == 1 else pairs
            many.append(Case(case.op, case.params, [pairs[0] > 0, *pairs] if case.op.name == "where" else operands))
    compare_sweeps(many, 1, f"{dtype} special", 64, 1, relative=True)
