"""Eigenvalues and eigenvectors of square matrices that need not be symmetric; complex, of real matrices too.

Derivatives exist where the eigenvalues are all different. A function of eigenvectors must not depend on the factor of absolute
value 1 that each vector happens to have. Formula: C. Boeddeker et al., "On the computation of complex-valued gradients with
application to statistically optimum beamforming", 2017.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.dtypes import complex_of
from jitgrad.ops.choosing import cast, conj, is_complex, real_part, where
from jitgrad.ops.lapack import by_numpy
from jitgrad.ops.linalg import adjoint, matmul, solve
from jitgrad.ops.movement import expand, reshape
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import composite, register, several


def _square(x: Any) -> dict[str, Any]:
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise RuntimeError(f"eigenvalues are those of square matrices, and this tensor has shape {list(x.shape)}")
    return {}


def _eig(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, vectors = by_numpy("eig")(x)
    wanted = complex_of(x.dtype)
    return values.astype(wanted, copy=False), vectors.astype(wanted, copy=False)


def _matrices(v: Any, rows: bool) -> Any:
    """Vectors repeated as the rows, or the columns, of square matrices."""
    n = v.shape[-1]
    return expand(reshape(v, shape=(*v.shape[:-1], 1, n) if rows else (*v.shape, 1)), shape=(*v.shape, n))


def _eig_vjp(g_eigenvalues: Any, g_eigenvectors: Any, x: Any, eigenvalues: Any, eigenvectors: Any) -> Any:
    if g_eigenvalues is None and g_eigenvectors is None:
        return None
    unit, back, inner = np.eye(x.shape[-1], dtype=bool), adjoint(eigenvectors), None
    if g_eigenvalues is not None:
        inner = where(unit, _matrices(g_eigenvalues, True), 0)
    if g_eigenvectors is not None:
        along = matmul(back, g_eigenvectors)
        length = cast(where(unit, real_part(along), 0), dtype=getattr(along, "_held", along).dtype)
        along = along - matmul(matmul(back, eigenvectors), length)  # vectors keep length 1
        gaps = conj(_matrices(eigenvalues, True) - _matrices(eigenvalues, False))
        turned = where(unit, 0, along / where(unit, 1, gaps))
        inner = turned if inner is None else inner + turned
    found = solve(back, matmul(inner, back))
    return found if is_complex(x) else real_part(found)


eig = several(
    _eig,
    kind="linalg",
    namespace="linalg",
    doc="Eigenvalues and eigenvectors of square matrices, complex ones, of real matrices too",
    outputs=("eigenvalues", "eigenvectors"),
    prepare=_square,
    result="floating",
    real=False,
    on_complex="adjoint",
    checks=lambda row: row.inputs,
    shape=lambda x: [Spec(x.shape[:-1], complex_of(x.dtype)), Spec(x.shape, complex_of(x.dtype))],
    vjp=_eig_vjp,
    samples=list,
)
eigvals = composite(
    lambda x: eig(x)[0],
    namespace="linalg",
    doc="Eigenvalues of square matrices, complex ones, of real matrices too",
    prepare=_square,
    result="floating",
    real=False,
    samples=list,
)

register(globals())
