"""Linear and bilinear layers."""

from __future__ import annotations

from typing import Any

from jitgrad.functions.face import face
from jitgrad.functions.nn.reducing import of_one_dtype
from jitgrad.functions.numeric import matmul
from jitgrad.functions.operands import taken
from jitgrad.functions.shaping import permute, reshape, unsqueeze
from jitgrad.record.precision import in_single
from jitgrad.tensors.tensor import Tensor


def linear(input: Tensor, weight: Tensor, bias: Any = None) -> Tensor:
    """x weight^T + bias for x of shape (..., in) and weights of shape (out, in), or (in) for one number each."""
    weight, bias = taken(weight), taken(bias)
    if weight.ndim not in (1, 2) or not input.ndim or input.shape[-1] != weight.shape[-1]:
        raise RuntimeError(
            f"linear: input of shape {list(input.shape)} and weight of shape {list(weight.shape)} do not fit: (..., in) and "
            "(out, in) are needed"
        )
    of_one_dtype("linear", input, weight=weight, bias=bias)
    return _linear(input, weight, bias)


@in_single
def _linear(x: Tensor, weight: Tensor, bias: Any) -> Tensor:
    out = matmul(x, weight.mT if weight.ndim == 2 else weight)
    return out if bias is None else out + bias


@face(top=True)
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Any = None) -> Tensor:
    """For each of the matrices of `weight` (out, in1, in2) the product x1 W x2, plus `bias`."""
    weight, bias = taken(weight), taken(bias)
    if weight.ndim != 3 or not input1.ndim or tuple(input1.shape[:-1]) != tuple(input2.shape[:-1]):
        raise RuntimeError(
            f"bilinear: inputs (..., in1) and (..., in2) and weight (out, in1, in2) are needed, not {list(input1.shape)}, "
            f"{list(input2.shape)} and {list(weight.shape)}"
        )
    if (input1.shape[-1], input2.shape[-1]) != tuple(weight.shape[1:]):
        raise RuntimeError(
            f"bilinear: inputs with {input1.shape[-1]} and {input2.shape[-1]} features do not fit weight of shape "
            f"{list(weight.shape)}"
        )
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise RuntimeError(f"bilinear: bias must have shape {[weight.shape[0]]}, and it is {list(bias.shape)}")
    return _bilinear(input1, input2, weight, bias)


@in_single
def _bilinear(x: Tensor, y: Tensor, weight: Tensor, bias: Any) -> Tensor:
    count, first, second = weight.shape
    lead = tuple(x.shape[:-1])
    side = reshape(permute(weight, (1, 0, 2)), (first, count * second))
    left = reshape(matmul(x, side), (*lead, count, second))
    out = (left * unsqueeze(y, -2)).sum(-1)
    return out if bias is None else out + bias
