"""Every row of the op table with operands for it: what it shall give, and how far that may be missed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

import jitgrad as jg
from jitgrad.ops import Op, rows
from jitgrad.tensors.numpy_protocols import UFUNCS
from tests.helpers import oracles

NOT_DIFFERENTIABLE = {
    "all",
    "any",
    "argmax",
    "argmin",
    "binomial",
    "bitwise_and",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "cummax_places",
    "cummin_places",
    "detach",
    "eq",
    "gcd",
    "ge",
    "gt",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "lcm",
    "le",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lt",
    "ne",
    "permutation",
    "places",
    "poisson",
    "random_below",
    "random_normal",
    "random_uniform",
    "sorted_places",
    "within",
    "zero_pivot",
    "whole_power",
}
"""Rows without a derivative. A row that loses its rule by mistake is not in this list, and fails."""


DTYPES = ("float16", "float32", "float64", "bfloat16", "int32", "int64", "uint8", "bool")


LAYOUTS = ("contiguous", "transposed", "strided", "0-d", "empty", "one", "broadcast")


COMPILED = {
    "float64": LAYOUTS,
    "float32": ("contiguous", "strided", "0-d", "broadcast"),
    "float16": ("contiguous", "0-d", "broadcast"),
    "int64": ("contiguous", "transposed", "0-d", "empty"),
    "int32": ("contiguous", "strided", "broadcast"),
    "uint8": ("contiguous", "one"),
    "bool": ("contiguous", "0-d", "strided"),
}
"""The layouts in which each dtype is compiled: all of both, but not each with each, since loops go through memory as numbers of
that size do, whatever they are."""


ULPS = {"float16": 1e-3, "bfloat16": 1e-2, "float32": 1.2e-7, "float64": 2.3e-16}


SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.5, -3.7, 20.5, 100.0, -100.0, 1e3, -1e3, math.inf, -math.inf, math.nan]


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
        if not op.real:  # see tests/functions/test_complex.py and test_fourier.py
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
    """Whether the result passes cotangents on to all floating operands."""
    return (
        case.op.differentiable
        and not case.op.holes()
        and (not case.op.several or applied(case, tensors(case, requires_grad=True)).requires_grad)
    )


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
    """What a row computes, as its oracle says; `scipy`, `np` and the functions of `oracles` are known there."""
    if not op.oracle:
        return UFUNC[op](*operands, **params)
    many = op.inputs[-1].startswith("*")
    names = dict(zip(op.inputs[:-1] if many else op.inputs, operands)) | params
    if many:
        names[op.inputs[-1][1:]] = tuple(operands[len(op.inputs) - 1 :])
    return eval(op.oracle, vars(oracles) | names)


def expected(case: Case) -> tuple[np.ndarray, np.dtype]:
    """The value in float64 by the oracle, and the dtype that the row's NumPy function gives on operands as promoted."""
    op = case.op
    wide = [x.astype(np.float64) if floating(x) or op.result == "float" else x for x in case.operands]
    given = case.operands
    if op.result == "float" and not floating(given[-1]):
        given = [x.astype(np.float32) for x in given]
    if op.bools == "counted":
        given, wide = ([x.astype(np.int64) if x.dtype == bool else x for x in many] for many in (given, wide))
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
