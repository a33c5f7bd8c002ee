"""Sorting, searching, counting."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.functions.bind import bound
from jitgrad.functions.data import from_numpy
from jitgrad.functions.face import face
from jitgrad.functions.indexing import gather, index_select, scatter_add
from jitgrad.functions.operands import as_tensors
from jitgrad.functions.shaping import reshape
from jitgrad.ops import TABLE, choosing
from jitgrad.ops.indexing import gather as gather_op
from jitgrad.ops.searching import sorted_places
from jitgrad.ops.shapes import axis
from jitgrad.record.apply import apply
from jitgrad.record.quick import is_operand
from jitgrad.tape.device_array import DeviceArray, placed_like
from jitgrad.tensors.tensor import Tensor, wrap

_sort = bound(TABLE["sort"])
INT32, COUNT = np.dtype(np.int32), np.dtype(np.int64)


def argsort(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Tensor:
    """Where the elements are that stand in order along `dim`; equal ones keep their order, and nan is the largest."""
    return _sort(input, dim, descending)[1]


@face(exact=True)
def msort(input: Tensor) -> Tensor:
    """The values in order along the first dimension."""
    return _sort(input, 0)[0]


@face(method=False, exact=True)
def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Before which element of a sequence, sorted along its last dimension, each value belongs so that it stays sorted.

    The sequence has one dimension, or all but the last are those of the values. Equal elements come after the value, or with
    `right` or `side="right"` before it. `sorter` says where the elements of a sequence stand that is not sorted itself.
    """
    if side not in (None, "left", "right"):
        raise RuntimeError(f"searchsorted: side is 'left' or 'right', not {side!r}")
    if side == "left" and right:
        raise RuntimeError("searchsorted: side='left' and right=True say opposite things")
    if not sorted_sequence.ndim:
        raise RuntimeError("searchsorted: the sorted sequence needs at least one dimension")
    if sorter is not None:
        sorted_sequence = _in_order(sorted_sequence, sorter)
    return _searched("searchsorted", sorted_sequence, input, right or side == "right", out_int32)


@face(method=False, exact=True)
def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """Between which of the sorted 1-d `boundaries` each value lies: i where boundaries[i-1] < v <= boundaries[i].

    With `right` it is i where boundaries[i-1] <= v < boundaries[i].
    """
    if boundaries.ndim != 1:
        raise RuntimeError(f"bucketize: boundaries have one dimension, and the shape is {list(boundaries.shape)}")
    return _searched("bucketize", boundaries, input, right, out_int32)


def _in_order(sequence: Tensor, sorter: Tensor) -> Tensor:
    if tuple(sorter.shape) != tuple(sequence.shape):
        raise RuntimeError(f"searchsorted: the sequence has shape {list(sequence.shape)}, and the sorter {list(sorter.shape)}")
    if sorter.dtype.name != "int64":
        raise RuntimeError(f"searchsorted: sorter must be int64, as argsort gives it, not {sorter.dtype.name}")
    return gather(sequence, -1, sorter)


def _searched(what: str, sequence: Tensor, values: Any, right: bool, out_int32: bool) -> Tensor:
    if not is_operand(values):
        raise TypeError(f"{what}: the values must be a tensor or a number, not {type(values).__name__}")
    sequence, values = as_tensors([sequence, values])
    common = dtypes.promote(sequence._held.dtype, values._held.dtype)
    x, y = (
        v.detach() if v._held.dtype == common else apply(choosing.cast, (v.detach(),), {"dtype": common})
        for v in (sequence, values)
    )
    if sequence.ndim > 1 and tuple(x.shape[:-1]) != tuple(y.shape[:-1] if y.ndim else (0,)):
        raise RuntimeError(
            f"{what}: a sequence of shape {list(x.shape)} and values of shape {list(y.shape)} must agree in all dimensions "
            "but the last, or the sequence have one"
        )
    shape = tuple(y.shape)
    flat = reshape(y, (-1,)) if x.ndim == 1 else y
    found = reshape(apply(sorted_places, (x, flat), {"right": bool(right)}), shape)
    return apply(choosing.cast, (found,), {"dtype": INT32}) if out_int32 else found


@face(method=False, exact=True)
def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Whether each element is among `test_elements`, or with `invert` is not. One of them may be a number."""
    for x in (elements, test_elements):
        if not is_operand(x):
            raise TypeError(f"isin: elements must be tensors or a number, not {type(x).__name__}")
    if not isinstance(elements, (Tensor, np.ndarray)) and not isinstance(test_elements, (Tensor, np.ndarray)):
        raise TypeError("isin: elements or test_elements must be a tensor, and both are numbers")
    x, tests = as_tensors([elements, test_elements])
    if "bool" in (x.dtype.name, tests.dtype.name):
        raise RuntimeError("isin: bools are no elements to be looked for: convert with .int()")
    tests = reshape(tests.detach(), (-1,))
    size = tests.shape[0]
    if not size:
        hit = apply(choosing.logical_and, (apply(choosing.ne, (x, x)), False))
    else:
        tests = _sort(tests)[0]
        at = _searched("isin", tests, x, False, False)
        last = apply(choosing.clamp, (reshape(at, (-1,)),), {"min": None, "max": size - 1})
        hit = apply(choosing.eq, (x, reshape(apply(gather_op, (tests, last), {"dim": 0}), tuple(at.shape))))
    return apply(choosing.logical_not, (hit,)) if invert else hit


def _host(x: Tensor, what: str) -> np.ndarray:
    """The values of a tensor, on which the size of a result depends."""
    value = x._known(what)
    found = np.asarray(value.to_host() if value.__class__ is DeviceArray else value)
    return found.astype(np.float32) if found.dtype.kind == "V" else found  # bfloat16, whose nan NumPy does not put last


def _like(x: Tensor, array: np.ndarray) -> Tensor:
    """An array on the device of a tensor; what was widened for NumPy is in the dtype of the tensor again."""
    if x._held.dtype.kind == "V" and array.dtype == np.float32:
        array = array.astype(x._held.dtype)
    return (
        wrap(placed_like(x._held, np.ascontiguousarray(array))) if x._held.__class__ is DeviceArray else from_numpy(array).clone()
    )


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number from 0 on is in a 1-d tensor of integers, or the sum of the weights of those that are equal to it."""
    if input.dtype.has_gradient or input.dtype.name == "bool":
        raise NotImplementedError(f"bincount counts integers, and this tensor is {input.dtype.name}")
    if minlength < 0:
        raise RuntimeError(f"bincount: minlength must not be negative, and it is {minlength}")
    if weights is not None and (input.ndim != 1 or tuple(weights.shape) != tuple(input.shape)):
        raise RuntimeError(f"bincount: weights have the shape {list(input.shape)} of the 1-d tensor, not {list(weights.shape)}")
    values = _host(input, "bincount()")
    if values.ndim != 1 or (values.size and values.min() < 0):
        raise RuntimeError("bincount: what is counted is one dimension of integers from 0 on")
    size = max(minlength, int(values.max()) + 1 if values.size else 0)
    if weights is None:
        return _like(input, np.bincount(values.astype(np.int64), minlength=size))
    if weights.dtype.name != "float32":
        weights = apply(choosing.cast, (weights,), {"dtype": np.dtype(np.float64)})
    if not size:
        return weights
    zeros = _like(input, np.zeros(size, weights._held.dtype))
    return scatter_add(zeros, 0, apply(choosing.cast, (input,), {"dtype": COUNT}), weights)


def unique(
    input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The different elements in order, or with `dim` the different slices; nan is different from nan.

    With `return_inverse` and `return_counts` a tuple: where among them each element is, and how many are equal to it. A gradient
    goes to the first of equal elements.
    """
    values = _host(input, "unique()")
    d = None if dim is None else _sliced("unique", input, dim)
    if not (return_inverse or return_counts or input.requires_grad) and values.size:
        return _like(input, np.unique(values, axis=d, equal_nan=False))
    _, first, inverse, counts = np.unique(
        values, return_index=True, return_inverse=True, return_counts=True, axis=d, equal_nan=False
    )
    inverse = inverse.reshape(values.shape if d is None else -1)
    return _with_more(input, d, first, inverse if return_inverse else None, counts if return_counts else None)


def _sliced(what: str, input: Tensor, dim: int) -> int:
    if not input.ndim:
        raise IndexError(f"{what}: a 0-d tensor has no dimension dim={dim} of slices")
    d = axis(dim, input.ndim)
    if input.shape[d] and not input.numel():
        raise RuntimeError(f"{what}: the slices along dim={dim} of shape {list(input.shape)} are empty, and all the same")
    return d


def _with_more(input: Tensor, d: int | None, first: Any, inverse: Any, counts: Any) -> Any:
    """The elements at some places, and what else is asked for of the two others."""
    if not input.numel():
        out = reshape(input, (0,)) if d is None else input.clone()
    else:
        x = reshape(input, (-1,)) if d is None else input
        out = index_select(x, d or 0, _like(input, first.astype(np.int64)))
    more = [_like(input, found.astype(np.int64)) for found in (inverse, counts) if found is not None]
    return (out, *more) if more else out


def unique_consecutive(input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
    """The elements, or with `dim` the slices, that differ from the one before; the rest as `unique` has it."""
    values = _host(input, "unique_consecutive()")
    d = None if dim is None else _sliced("unique_consecutive", input, dim)
    lines = values.reshape(-1, 1) if d is None else np.moveaxis(values, d, 0)
    lines = lines.reshape(len(lines), lines[:1].size)
    starts = np.ones(len(lines), bool)
    starts[1:] = (lines[1:] != lines[:-1]).any(1)
    first = np.flatnonzero(starts)
    inverse = (np.cumsum(starts) - 1).reshape(values.shape if d is None else -1)
    counts = np.diff(first, append=len(lines))
    return _with_more(input, d, first, inverse if return_inverse else None, counts if return_counts else None)
