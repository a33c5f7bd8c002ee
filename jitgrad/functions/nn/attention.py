"""Attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad.functions.bind import bound
from jitgrad.functions.creation import arange
from jitgrad.functions.nn.dropout import dropout
from jitgrad.functions.nn.layers import linear
from jitgrad.functions.numeric import matmul
from jitgrad.functions.operands import in_dtype_of, taken
from jitgrad.functions.shaping import cat, chunk, expand, reshape, transpose, unsqueeze
from jitgrad.ops import TABLE, choosing
from jitgrad.ops.shapes import Spec
from jitgrad.record.apply import apply, zeros
from jitgrad.record.precision import in_single
from jitgrad.tensors.tensor import Tensor

_softmax = bound(TABLE["softmax"])


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(query key^T scale + mask) value, for query (..., L, E), key (..., S, E), value (..., S, Ev).

    A bool mask says which keys count, a floating one is added; `is_causal` masks keys that come after a query. A query of
    which all keys are masked gives 0. `scale` is 1 / sqrt(E) if none is given. With `enable_gqa` each head of keys serves
    several of queries.
    """
    mask = _mask_of(taken(attn_mask), query, is_causal)
    for name, x in (("query", query), ("key", key), ("value", value)):
        if x.ndim < 2 or x.dtype != query.dtype:
            raise RuntimeError(
                f"scaled_dot_product_attention: {name} must have two dimensions or more and the dtype of query, "
                f"{query.dtype.name}, and it is {x.dtype.name} of shape {list(x.shape)}"
            )
    if enable_gqa:
        key, value = (_repeated(query, x) for x in (key, value))
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None and query.shape[-1] else scale
    if is_causal:
        places = [arange(x.shape[-2], device=query.device) for x in (query, key)]
        mask = unsqueeze(places[0], 1) >= places[1]
    return _attended(query, key, value, mask, dropout_p, 1.0 if scale is None else scale)


def _mask_of(mask: Any, query: Tensor, is_causal: bool) -> Any:
    if mask is None:
        return None
    if is_causal:
        raise RuntimeError("scaled_dot_product_attention: is_causal is a mask of its own, and attn_mask must be None then")
    if mask.dtype.name != "bool" and mask.dtype != query.dtype:
        raise RuntimeError(
            f"scaled_dot_product_attention: attn_mask must be bool or {query.dtype.name}, and it is {mask.dtype.name}"
        )
    return mask


def _repeated(query: Tensor, x: Tensor) -> Tensor:
    """As many heads, which are the third dimension from behind, as query has."""
    if query.ndim < 3 or x.ndim < 3 or not x.shape[-3] or query.shape[-3] % x.shape[-3]:
        raise RuntimeError(
            f"scaled_dot_product_attention: the heads of a query of shape {list(query.shape)} are no multiple of those of a "
            f"key or value of shape {list(x.shape)}"
        )
    lead, heads, tail = x.shape[:-3], x.shape[-3], x.shape[-2:]
    times = query.shape[-3] // heads
    wide = expand(unsqueeze(x, -3), *lead, heads, times, *tail)
    return x if times == 1 else reshape(wide, (*lead, heads * times, *tail))


@in_single
def _attended(query: Tensor, key: Tensor, value: Tensor, mask: Any, dropout_p: float, scale: float) -> Tensor:
    shares = _shares(matmul(query * scale, transpose(key, -2, -1)), mask)
    return matmul(dropout(shares, dropout_p) if dropout_p else shares, value)


def _shares(scores: Tensor, mask: Any) -> Tensor:
    """softmax of scores along the last dimension; 0 for all where the mask leaves none."""
    if mask is None:
        return _softmax(scores, -1)
    scores = apply(choosing.where, (mask, scores, -math.inf)) if mask.dtype.name == "bool" else scores + mask
    none = (scores == -math.inf).all(-1, keepdim=True)
    return apply(choosing.where, (none, 0.0, _softmax(apply(choosing.where, (none, 0.0, scores)), -1)))


# long: the arguments are PyTorch's
def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Any,
    in_proj_bias: Any,
    bias_k: Any,
    bias_v: Any,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Any,
    training: bool = True,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Any = None,
    k_proj_weight: Any = None,
    v_proj_weight: Any = None,
    static_k: Any = None,
    static_v: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Any]:
    """Attention of several heads, between projections (Vaswani et al., 2017): the result, and the weights of keys or None.

    `query` has shape (L, n, E) and `key`, `value` (S, n, ...), or (L, E) and (S, ...). Masks that are bool are true where keys
    do not count, floating ones are added: `attn_mask` of shape (L, S) or (n * heads, L, S), `key_padding_mask` (n, S).
    `is_causal` only says what the mask is, which has to be given. Weights have shape (n, L, S), or (n, heads, L, S) if they
    are not averaged.
    """
    batched = query.ndim == 3
    if query.ndim not in (2, 3) or key.ndim != query.ndim or value.ndim != query.ndim:
        raise AssertionError(
            f"multi_head_attention_forward: shapes {[list(x.shape) for x in (query, key, value)]} must have three dimensions "
            "each, or two"
        )
    if is_causal and attn_mask is None:
        raise RuntimeError("multi_head_attention_forward: is_causal says what attn_mask is, which has to be given, too")
    padding = taken(key_padding_mask)
    if not batched:
        query, key, value = (unsqueeze(x, 1) for x in (query, key, value))
        padding = None if padding is None else unsqueeze(padding, 0)
    _check_heads(query, key, value, embed_dim_to_check, num_heads, use_separate_proj_weight)
    weights = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else in_proj_weight
    q, k, v = _projected(query, key, value, weights, taken(in_proj_bias))
    length, count, width = query.shape
    if (bias_k is None) != (bias_v is None):
        raise AssertionError("multi_head_attention_forward: bias_k and bias_v are given both, or none of them")
    more = 0
    if bias_k is not None:
        k, v = (cat([x, expand(taken(b), 1, count, width)], 0) for x, b in ((k, bias_k), (v, bias_v)))
        more += 1
    q, k, v = (_heads(x, num_heads) for x in (q, k, v))
    k, v = (x if s is None else taken(s) for x, s in ((k, static_k), (v, static_v)))
    if add_zero_attn:
        nothing = zeros(Spec((k.shape[0], 1, k.shape[2]), k._held.dtype), (k,))
        k, v, more = cat([k, nothing], 1), cat([v, nothing], 1), more + 1
    mask = _joined(taken(attn_mask), padding, (count, num_heads, length, k.shape[1]), more, q)
    out, shares = _of_heads(q, k, v, mask, dropout_p if training else 0.0)
    out = linear(reshape(transpose(out, 0, 1), (length, count, width)), out_proj_weight, out_proj_bias)
    out = out if batched else out.squeeze(1)
    if not need_weights:
        return out, None
    shares = reshape(shares, (count, num_heads, length, k.shape[1]))
    shares = shares.mean(1) if average_attn_weights else shares
    return out, shares if batched else shares.squeeze(0)


def _check_heads(query: Tensor, key: Tensor, value: Tensor, embed: int, heads: int, separate: bool) -> None:
    what, width = "multi_head_attention_forward", query.shape[-1]
    if width != embed:
        raise AssertionError(f"{what}: query has {width} features, and embed_dim_to_check is {embed}")
    if width % heads:
        raise AssertionError(f"{what}: {width} features are not divided into {heads} heads of one size")
    alike = key.shape[:2] == value.shape[:2] if separate else key.shape == value.shape
    if not alike:
        raise AssertionError(f"{what}: key and value have the shapes {list(key.shape)} and {list(value.shape)}, which do not fit")


def _projected(query: Tensor, key: Tensor, value: Tensor, weights: Any, bias: Any) -> list[Tensor]:
    """Query, key and value times their weights, which may be one matrix that has them below each other."""
    if isinstance(weights, tuple):
        if None in weights:
            raise AssertionError("multi_head_attention_forward: use_separate_proj_weight needs q_, k_ and v_proj_weight")
    else:
        if weights is None:
            raise AssertionError("multi_head_attention_forward: in_proj_weight is needed, but for use_separate_proj_weight")
        weights = chunk(taken(weights), 3, 0)
    biases: Any = (None,) * 3 if bias is None else chunk(bias, 3, 0)
    return [linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases)]


def _heads(x: Tensor, heads: int) -> Tensor:
    """(length, n, features) as (n * heads, length, features of a head)."""
    length, count, width = x.shape
    return transpose(reshape(x, (length, count * heads, width // heads)), 0, 1)


def _joined(mask: Any, padding: Any, shape: tuple[int, int, int, int], more: int, like: Tensor) -> Any:
    """Both masks as one to add, of a shape that broadcasts to (n * heads, L, S), with columns for `more` keys."""
    count, heads, length, size = shape
    what, found = "multi_head_attention_forward", None
    if mask is not None:
        wanted = [[length, size - more], [count * heads, length, size - more]]
        if list(mask.shape) not in wanted:
            raise RuntimeError(f"{what}: attn_mask must have the shape {wanted[0]} or {wanted[1]}, not {list(mask.shape)}")
        found = _additive(mask, like)
        found = found if found.ndim == 3 else unsqueeze(found, 0)
    if padding is not None:
        if list(padding.shape) != [count, size - more]:
            raise AssertionError(
                f"{what}: key_padding_mask must have the shape {[count, size - more]}, not {list(padding.shape)}"
            )
        rows = reshape(_additive(padding, like), (count, 1, 1, size - more))
        rows = reshape(expand(rows, count, heads, 1, size - more), (count * heads, 1, size - more))
        found = rows if found is None else found + rows
    if found is None or not more:
        return found
    return cat([found, zeros(Spec((*found.shape[:2], more), np.dtype(found._held.dtype)), (found,))], 2)


def _additive(mask: Tensor, like: Tensor) -> Tensor:
    """A mask that is added to scores."""
    if mask.dtype.name != "bool":
        return in_dtype_of(like, mask)
    return in_dtype_of(like, apply(choosing.where, (mask, -math.inf, 0.0)))


@in_single
def _of_heads(q: Tensor, k: Tensor, v: Tensor, mask: Any, dropout_p: float) -> tuple[Tensor, Tensor]:
    scores = matmul(q * (1 / math.sqrt(q.shape[-1])), transpose(k, 1, 2))
    shares = _softmax(scores if mask is None else scores + mask, -1)
    shares = dropout(shares, dropout_p) if dropout_p else shares
    return matmul(shares, v), shares
