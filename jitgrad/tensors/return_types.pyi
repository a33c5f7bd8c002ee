"""The results of rows that have several. Written by `python -m jitgrad.cli.stubs`."""

from typing import Any, NamedTuple

from jitgrad.tensors.tensor import Tensor

def type_of(op: Any) -> Any: ...
def results_of(op: Any, found: Any) -> Any: ...

class aminmax(NamedTuple):
    min: Tensor
    max: Tensor

class eig(NamedTuple):
    eigenvalues: Tensor
    eigenvectors: Tensor

class eigh(NamedTuple):
    eigenvalues: Tensor
    eigenvectors: Tensor

class frexp(NamedTuple):
    mantissa: Tensor
    exponent: Tensor

class max_along(NamedTuple):
    values: Tensor
    indices: Tensor

class min_along(NamedTuple):
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
