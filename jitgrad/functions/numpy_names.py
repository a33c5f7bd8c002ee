"""What NumPy's functions do with tensors: `np.sum(x)`, `np.std(x, axis=0)`.

Arguments mean what they mean to NumPy, which is not always what PyTorch's function of that name means: `np.std` divides
by n, `np.max` with an axis returns values only, `np.split` counts pieces.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from jitgrad.functions import creation, numeric, shaping
from jitgrad.functions.data import as_tensor
from jitgrad.methods import bound
from jitgrad.ops import TABLE
from jitgrad.tensor import Tensor


def _reduction(name: str) -> Callable:
    call = bound(TABLE[name])

    def function(a: Tensor, axis: Any = None, dtype: Any = None, *, keepdims: bool = False) -> Tensor:
        return call(a, axis, keepdims, **({"dtype": dtype} if dtype is not None else {}))

    return function


def _extreme(name: str) -> Callable:
    call = bound(TABLE[name])
    return lambda a, axis=None, *, keepdims=False: call(a, axis, keepdims)


def _spread(name: str) -> Callable:
    call = bound(TABLE[name])
    return lambda a, axis=None, *, ddof=0, keepdims=False: call(a, axis, correction=ddof, keepdim=keepdims)


def _cumsum(a: Tensor, axis: int | None = None) -> Tensor:
    return bound(TABLE["cumsum"])(a if axis is not None else shaping.ravel(a), axis or 0)


def _transpose(a: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    return shaping.permute(a, tuple(reversed(range(a.ndim))) if axes is None else tuple(axes))


def _split(a: Tensor, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    size = a.shape[axis]
    if isinstance(indices_or_sections, int):
        if size % indices_or_sections:
            raise ValueError(f"np.split: {size} elements do not divide into {indices_or_sections} equal pieces")
        return list(shaping.split(a, size // indices_or_sections, axis))
    cuts = [0, *indices_or_sections, size]
    return list(shaping.split(a, [after - before for before, after in itertools.pairwise(cuts)], axis))


def _norm(x: Tensor, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if ord is not None and not (x.ndim == 1 or isinstance(axis, int)):
        return NotImplemented
    return bound(TABLE["norm"])(x, 2 if ord is None else ord, axis, keepdims)


NUMPY: dict[str, Callable] = {
    **{name: _reduction(name) for name in ("sum", "mean", "prod")},
    **{name: _extreme(name) for name in ("any", "all", "argmax", "argmin", "amax", "amin")},
    "max": _extreme("amax"), "min": _extreme("amin"), "std": _spread("std"), "var": _spread("var"), "cumsum": _cumsum,
    "transpose": _transpose, "split": _split, "norm": _norm, "dot": numeric.matmul,
    "reshape": lambda a, shape: shaping.reshape(a, shape), "ravel": shaping.ravel,
    "squeeze": lambda a, axis=None: shaping.squeeze(a, axis), "expand_dims": lambda a, axis: shaping.unsqueeze(a, axis),
    "broadcast_to": shaping.broadcast_to, "moveaxis": shaping.movedim, "swapaxes": shaping.transpose,
    "flip": lambda m, axis=None: bound(TABLE["flip"])(m, tuple(range(m.ndim)) if axis is None else axis),
    "concatenate": lambda arrays, axis=0: shaping.cat(list(map(as_tensor, arrays)), axis),
    "stack": lambda arrays, axis=0: shaping.stack(list(map(as_tensor, arrays)), axis),
    "where": numeric.where, "nonzero": lambda a: numeric.nonzero(a, as_tuple=True),
    "clip": lambda a, a_min=None, a_max=None, *, min=None, max=None: numeric.clamp(
        a, min if a_min is None else a_min, max if a_max is None else a_max),
    "round": lambda a, decimals=0: numeric.round(a, decimals=decimals),
    "allclose": numeric.allclose, "isclose": numeric.isclose,
    "zeros_like": creation.zeros_like, "ones_like": creation.ones_like, "full_like": creation.full_like,
    "shape": lambda a: tuple(a.shape), "ndim": lambda a: a.ndim, "size": lambda a: a.numel(),
}  # fmt: skip
NUMPY["around"] = NUMPY["round"]
