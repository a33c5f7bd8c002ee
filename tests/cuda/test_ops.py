"""Every row of the op table on a device against the CPU: values, gradients and second derivatives, eager and under jit."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.ops import Op, rows
from jitgrad.ops.table import TABLE
from tests.helpers.cases import SMOOTH, Case, applied, close, legal, prepared, tensors

NONE = {"cholesky_pullback", "frexp", "polygamma", "eig"}


def has_none(op: Op) -> bool:
    """Whether NumPy or SciPy alone can run a row."""
    left = op.kernel is None if op.elementwise else op.kind in ("linalg", "scattering") and not op.hint
    of_a_degree = op.inputs[-1] == "n"  # polynomials, which are made of other rows where it is one number
    return op.name in NONE or (left and (op.lower is None or of_a_degree))


HOLES = {op.name for op in rows() if has_none(op)}
"""Rows that have no kernel on a device."""
HARD = {
    "log_softmax",
    "logcumsumexp",
    "recurrence",
    "correlate",
    "spread",
    "weigh",
    "erfcx_slope",
    "lgamma",
    "digamma",
    "trigamma",
    "sum",
    "mean",
    "std",
    "norm",
    "var",
    "std_mean",
    "var_mean",
    "logsumexp",
    "cumsum",
}
"""Of which other ways to compute them differ by more than a few units in the last place."""
LAYOUTS = [
    *[("float32", layout) for layout in ("contiguous", "strided", "transposed", "0-d", "empty", "one", "broadcast")],
    *[(dtype, "contiguous") for dtype in ("float64", "float16", "bfloat16", "int32", "int64", "uint8", "bool")],
]


def on_device(case: Case) -> bool:
    whole = case.op.name in ("pow", "power_slope", "fmod") and case.operands[0].dtype.kind != "f"  # a tensor of whole exponents
    half = case.op.name == "nextafter" and case.operands[0].dtype.itemsize == 2  # the next number of half precision is NumPy's
    return case.op.name not in HOLES and not whole and not half and legal(case)


def same(got: jg.Tensor, want: jg.Tensor, case: Case, ulps: int = 8, floor: float = 0.0) -> None:
    """The same value, dtype and shape, and the first on the device."""
    assert got.device.type == "cuda"
    assert got.dtype is want.dtype
    if case.op.name in HARD:
        ulps, floor = 16 * ulps, max(floor, 1.0)
    close(got.detach().cpu().numpy(), want.detach().numpy(), ulps, repr(case), floor)


def cotangent(like: jg.Tensor) -> jg.Tensor:
    return jg.tensor(np.random.default_rng(0).normal(size=tuple(like.shape)), dtype=like.dtype)


@pytest.mark.parametrize(("dtype", "layout"), LAYOUTS)
def test_values_and_gradients_as_on_the_cpu(dtype, layout):
    for case in filter(on_device, prepared(dtype, layout)):
        here = tensors(case, requires_grad=not case.op.holes())
        there = [x.detach().to("cuda").requires_grad_(x.requires_grad) for x in here]
        want, got = applied(case, here), applied(case, there)
        same(got, want, case)
        if want.requires_grad and case.op.name != "trigamma":
            g = cotangent(want)
            want.backward(g)
            got.backward(g.to("cuda"))
            for x, y in zip(here, there):
                assert (x.grad is None) == (y.grad is None)
                if x.grad is not None:
                    same(y.grad, x.grad, case, 64, floor=1.0)


@pytest.mark.parametrize(("dtype", "layout"), [LAYOUTS[k] for k in (0, 1, 3, 4, 7, 8, 10)])
def test_jit_as_on_the_cpu(dtype, layout):
    for case in filter(on_device, prepared(dtype, layout)):
        here = tensors(case)
        there = [x.to("cuda") for x in here]
        want = applied(case, here)
        same(jg.jit(lambda *xs: applied(case, xs))(*there), want, case)  # noqa: B023  called at once


def test_second_derivatives_as_on_the_cpu():
    for case in SMOOTH:
        if not on_device(case) or case.op.name in ("trigamma", "digamma"):  # polygamma has no kernel
            continue
        here = tensors(case, requires_grad=True)
        there = [x.detach().to("cuda").requires_grad_(x.requires_grad) for x in here]
        found = []
        for xs in (here, there):
            out = applied(case, xs)
            wanted = [x for x in xs if x.requires_grad]
            g = cotangent(out).to(out.device)
            first = jg.autograd.grad(out, wanted, g, create_graph=True, materialize_grads=True)
            total = sum((f * f).sum() for f in first)
            second = jg.autograd.grad(total, wanted, materialize_grads=True) if total.requires_grad else first
            found.append(second)
        for x, y in zip(*found):
            same(y, x, case, 256, floor=10.0)


@pytest.mark.parametrize("name", sorted(HOLES))
def test_what_has_no_kernel_says_so(name):
    case = next(
        (
            case
            for case in SMOOTH + [c for t in ("float32", "int64") for c in prepared(t, "contiguous") if legal(c)]
            if case.op is TABLE[name]
        ),
        None,
    )
    if case is None:  # it takes complex numbers alone
        return
    with pytest.raises(NotImplementedError, match=f"{name} is not available on cuda:0"):
        applied(case, [x.to("cuda") for x in tensors(case)])
