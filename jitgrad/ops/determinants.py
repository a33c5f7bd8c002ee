"""Rows of determinants and their derivatives, which singular matrices have as well."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.ops import adjugates
from jitgrad.ops.arithmetic import exp2, log2
from jitgrad.ops.choosing import abs, conj, detach, floor, gt, is_complex, round, where
from jitgrad.ops.decompositions import column_of, diagonals, eye, row_of, svd
from jitgrad.ops.linalg import WELL_CONDITIONED, adjoint, matmul, nan_throughout, transposed
from jitgrad.ops.movement import expand, narrow, pad, reshape, sum
from jitgrad.ops.reductions import cumsum, prod
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import Loops, Op, register


def _scalars(v: Any) -> Any:
    """Numbers as matrices of one element."""
    return reshape(v, shape=(*v.shape, 1, 1))


det = Op(
    np.linalg.det,
    kind="linalg",
    inputs=("x",),
    output="y",
    internal=True,
    result="floating",
    loops=Loops(adjugates.det, adjugates.det_room),
    on_complex="holomorphic",
    vjp=(lambda g, x: expand(_scalars(g), shape=tuple(x.shape)) * cofactors(x),),
    shape=lambda x: Spec(x.shape[:-2], x.dtype),
    samples=lambda: [([WELL_CONDITIONED], {}), ([np.stack([WELL_CONDITIONED, -2 * WELL_CONDITIONED])], {})],
    oracle="np.prod(np.linalg.eigvals(x), -1).real",
)


def _balanced(s: Any) -> tuple[Any, Any]:
    """Numbers without powers of two, and these powers, by which all products of those side by side are near 1: so products are
    neither too large nor too small on the way, whatever they are in the end."""
    size = abs(detach(s))
    logs = log2(where(gt(size, 0), size, 1))
    upto = round(cumsum(logs, dim=s.ndim - 1))
    before = narrow(pad(upto, dim=s.ndim - 1, start=1, size=s.shape[-1] + 1), dim=s.ndim - 1, start=0, length=s.shape[-1])
    return _scaled(s, before - upto), upto - before


def _scaled(x: Any, powers: Any) -> Any:
    """By powers of two, in two steps, as one may be more than a float can say where the result is not."""
    half = floor(powers / 2)
    return x * exp2(half) * exp2(powers - half)


def _but_some(s: Any, count: int) -> Any:
    """Of vectors the products of all elements but so many, for each choice of these; 0 where one is chosen twice."""
    n = s.shape[-1]
    s, powers = _balanced(s)
    lead, many = tuple(s.shape[:-1]), (n,) * count
    chosen = [np.eye(n, dtype=bool).reshape(*(n if d == k else 1 for d in range(count)), n) for k in range(count)]
    wide = expand(reshape(s, shape=(*lead, *(1,) * count, n)), shape=(*lead, *many, n))
    found = prod(where(np.any(np.broadcast_arrays(*chosen), 0), 1, wide), dim=(len(lead) + count,), keepdim=False)
    left = reshape(sum(powers, dim=(s.ndim - 1,), keepdim=True), shape=(*lead, *(1,) * count))
    for k in range(count):
        left = left - reshape(powers, shape=(*lead, *(n if d == k else 1 for d in range(count))))
    return where(np.sum(np.broadcast_arrays(*chosen), 0).max(-1) > 1, 0, _scaled(found, left))


class _Eliminated:
    """Matrices as L D U with exchanged rows and columns, as of `adjugates.eliminate_wholly`."""

    def __init__(self, x: np.ndarray) -> None:
        n, a = x.shape[-1], np.array(x.reshape(-1, *x.shape[-2:]))
        self.at = np.arange(len(a))
        self.moves, self.sign = [], np.ones((len(a), 1), x.real.dtype)
        for k in range(n):
            place = abs(a[:, k:, k:]).reshape(len(a), (n - k) ** 2).argmax(1)
            move = k, k + place // (n - k), k + place % (n - k)
            self.moves.append(move)
            self.sign[(move[1] == k) != (move[2] == k)] *= -1
            self._exchange(a, *move)
            pivot = np.where(a[:, k, k] == 0, 1, a[:, k, k])[:, None]
            a[:, k, k + 1 :] /= pivot
            a[:, k + 1 :, k + 1 :] -= a[:, k + 1 :, k, None] * a[:, k, None, k + 1 :]
            a[:, k + 1 :, k] /= pivot
        unit = np.broadcast_to(np.eye(n, dtype=x.dtype), a.shape)
        self.pivots = np.diagonal(a, 0, 1, 2)
        self.below, self.above = np.linalg.inv(np.tril(a, -1) + unit), np.linalg.inv(np.triu(a, 1) + unit)

    def _exchange(self, a: np.ndarray, k: int, row: np.ndarray, column: np.ndarray) -> None:
        a[self.at, k], a[self.at, row] = a[self.at, row], a[self.at, k]
        a[self.at, :, k], a[self.at, :, column] = a[self.at, :, column], a[self.at, :, k]

    def into(self, y: np.ndarray) -> np.ndarray:
        """Of changes of the matrices those of D."""
        y = np.array(y)
        for move in self.moves:
            self._exchange(y, *move)
        return self.below @ y @ self.above

    def back(self, y: np.ndarray) -> np.ndarray:
        """The transpose of `into`, with the sign of the exchanges."""
        y = transposed(self.below) @ (self.sign[..., None] * y) @ transposed(self.above)
        for move in reversed(self.moves):
            self._exchange(y, *move)
        return y


def _cofactors(x: np.ndarray) -> np.ndarray:
    """det(x) times the inverse transposed; by pivots, which need no inverse, where that would not be exact."""
    det = np.linalg.det(x)
    try:
        inverse = np.linalg.inv(x)
        condition = np.linalg.norm(x, axis=(-2, -1)) * np.linalg.norm(inverse, axis=(-2, -1))
        sure = (condition < np.finfo(x.dtype).eps ** -0.25) & (abs(det) > np.finfo(x.dtype).smallest_normal) & np.isfinite(det)
        if sure.all():
            return det[..., None, None] * transposed(inverse)
    except np.linalg.LinAlgError:
        pass
    parts = _Eliminated(x)
    return parts.back(_but_some(parts.pivots, 1)[..., None] * np.eye(x.shape[-1], dtype=x.dtype)).reshape(x.shape)


def _cofactors_pullback(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    parts = _Eliminated(x)
    return parts.back(_of_pairs(_but_some(parts.pivots, 2), parts.into(y.reshape(-1, *y.shape[-2:])))).reshape(x.shape)


def _diagonal(x: Any) -> Any:
    return sum(where(eye(x.shape[-1]), x, 0), dim=(x.ndim - 1,), keepdim=False)


def _of_pairs(pairs: Any, inner: Any) -> Any:
    """Of diagonal matrices, by the products of all elements but two."""
    along = matmul(pairs, column_of(_diagonal(inner)))
    return diagonals(reshape(along, shape=tuple(inner.shape[:-1])), inner) - pairs * transposed(inner)


def _third_vjp(g: Any, x: Any, y: Any) -> Any:
    """The third derivative of the determinant, in the basis of the singular vectors, where it is a sum over all triples."""
    u, s, vh = svd(x, full_matrices=False)
    sign = det(u) * det(vh)
    sign = sign if is_complex(x) else detach(sign)  # which is 1 or -1
    n, lead, triples = s.shape[-1], tuple(s.shape[:-1]), _but_some(s, 3)
    a, b = (matmul(matmul(adjoint(u), v), adjoint(vh)) for v in (g, y))
    across = found = 0
    for v, w in ((a, b), (b, a)):
        inner, turned = (reshape(z, shape=(*lead, *shape, n)) for z, shape in ((v, (1, n)), (transposed(w), (n, 1))))
        across = across + sum(triples * inner * turned, dim=(x.ndim,), keepdim=False)
        by = sum(triples * reshape(_diagonal(w), shape=(*lead, 1, 1, n)), dim=(x.ndim,), keepdim=False)
        found = found - transposed(v) * by
    along = sum(by * row_of(_diagonal(b)), dim=(x.ndim - 1,), keepdim=False)  # with `by` of the diagonal of a, the last one
    pairs = reshape(a * transposed(b), shape=(*lead, 1, n, n))
    along = along - sum(triples * pairs, dim=(x.ndim - 1, x.ndim), keepdim=False)
    found = diagonals(along, u) + where(eye(n), 0, found + across)
    return expand(_scalars(sign), shape=tuple(x.shape)) * matmul(matmul(conj(u), found), conj(vh))


cofactors = Op(
    nan_throughout(_cofactors, np.isfinite),
    kind="linalg",
    inputs=("x",),
    output="y",
    internal=True,
    result="floating",
    loops=Loops(adjugates.cofactors, adjugates.cofactors_room),
    on_complex="holomorphic",
    vjp=(lambda g, x: cofactors_pullback(x, g),),
    shape=lambda x: Spec(x.shape, x.dtype),
    samples=lambda: [([WELL_CONDITIONED], {}), ([np.stack([WELL_CONDITIONED, -2 * WELL_CONDITIONED])], {})],
    oracle="np.linalg.det(x)[..., None, None] * np.swapaxes(np.linalg.inv(x), -1, -2)",
)
"""The derivative of the determinant, which singular matrices have as well."""

cofactors_pullback = Op(
    nan_throughout(_cofactors_pullback, np.isfinite),
    kind="linalg",
    inputs=("x", "y"),
    output="z",
    internal=True,
    result="floating",
    vjp=(_third_vjp, lambda g, x: cofactors_pullback(x, g)),
    loops=Loops(adjugates.cofactors_pullback, lambda x, y: [*adjugates.cofactors_room(x), (x.shape[-2:], x.dtype)]),
    on_complex="holomorphic",
    shape=lambda x, y: Spec(x.shape, x.dtype),
    samples=lambda: [
        ([WELL_CONDITIONED, (3, 3)], {}),
        ([np.stack([WELL_CONDITIONED, -2 * WELL_CONDITIONED]), (2, 3, 3)], {}),
    ],
    oracle=(
        "(lambda c, d: (c * np.sum(c * y, (-2, -1), keepdims=True) - c @ np.swapaxes(y, -1, -2) @ c) / d[..., None, None])"
        "(np.linalg.det(x)[..., None, None] * np.swapaxes(np.linalg.inv(x), -1, -2), np.linalg.det(x))"
    ),
)
"""The cotangent of a matrix for that of its cofactors. A determinant is linear in each row, so this is a polynomial too: no
division, in a basis in which the matrix is diagonal."""

register(globals())
