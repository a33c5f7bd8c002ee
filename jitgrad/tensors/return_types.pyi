"""The results of rows that have several. Written by `python -m jitgrad.cli.stubs`."""

from typing import Any, NamedTuple

from jitgrad.tensors.tensor import Tensor

def type_of(op: Any) -> Any: ...
def results_of(op: Any, found: Any) -> Any: ...

class aminmax(NamedTuple):
    min: Tensor
    max: Tensor

class cholesky(NamedTuple):
    L: Tensor
    info: Tensor

class cummax(NamedTuple):
    values: Tensor
    indices: Tensor

class cummin(NamedTuple):
    values: Tensor
    indices: Tensor

class eig(NamedTuple):
    eigenvalues: Tensor
    eigenvectors: Tensor

class eigh(NamedTuple):
    eigenvalues: Tensor
    eigenvectors: Tensor

class frexp(NamedTuple):
    mantissa: Tensor
    exponent: Tensor

class geqrf(NamedTuple):
    a: Tensor
    tau: Tensor

class kthvalue(NamedTuple):
    values: Tensor
    indices: Tensor

class ldl_factor(NamedTuple):
    LD: Tensor
    pivots: Tensor
    info: Tensor

class lu_factor(NamedTuple):
    LU: Tensor
    pivots: Tensor
    info: Tensor

class max_along(NamedTuple):
    values: Tensor
    indices: Tensor

class median_along(NamedTuple):
    values: Tensor
    indices: Tensor

class min_along(NamedTuple):
    values: Tensor
    indices: Tensor

class mode(NamedTuple):
    values: Tensor
    indices: Tensor

class nanmedian_along(NamedTuple):
    values: Tensor
    indices: Tensor

class qr(NamedTuple):
    Q: Tensor
    R: Tensor

class slogdet(NamedTuple):
    sign: Tensor
    logabsdet: Tensor

class sort(NamedTuple):
    values: Tensor
    indices: Tensor

class svd(NamedTuple):
    U: Tensor
    S: Tensor
    Vh: Tensor

class topk(NamedTuple):
    values: Tensor
    indices: Tensor

class histogram(NamedTuple):
    hist: Tensor
    bin_edges: Tensor

class histogramdd(NamedTuple):
    hist: Tensor
    bin_edges: Tensor

class linalg_cholesky_ex(NamedTuple):
    L: Tensor
    info: Tensor

class linalg_inv_ex(NamedTuple):
    inverse: Tensor
    info: Tensor

class linalg_ldl_factor(NamedTuple):
    LD: Tensor
    pivots: Tensor

class linalg_ldl_factor_ex(NamedTuple):
    LD: Tensor
    pivots: Tensor
    info: Tensor

class linalg_lstsq(NamedTuple):
    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor

class linalg_lu(NamedTuple):
    P: Tensor
    L: Tensor
    U: Tensor

class linalg_lu_factor(NamedTuple):
    LU: Tensor
    pivots: Tensor

class linalg_lu_factor_ex(NamedTuple):
    LU: Tensor
    pivots: Tensor
    info: Tensor

class linalg_solve_ex(NamedTuple):
    result: Tensor
    info: Tensor

class lu_unpack(NamedTuple):
    P: Tensor
    L: Tensor
    U: Tensor

class qr_at_top(NamedTuple):
    Q: Tensor
    R: Tensor

class svd_at_top(NamedTuple):
    U: Tensor
    S: Tensor
    V: Tensor

class triangular_solve(NamedTuple):
    solution: Tensor
    cloned_coefficient: Tensor
