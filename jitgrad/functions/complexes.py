"""Complex tensors: their parts, conjugates and directions, and how they are made of real ones."""

from __future__ import annotations

from typing import Any

from jitgrad.functions.face import face
from jitgrad.functions.operands import taken
from jitgrad.ops import choosing, complexes
from jitgrad.ops.linalg import adjoint as adjoint_of
from jitgrad.record.apply import apply
from jitgrad.record.checking import floating
from jitgrad.tensors.tensor import Tensor


def _is_complex(x: Tensor) -> bool:
    return x._held.dtype.kind == "c"


@face(method=False)
def real(input: Tensor) -> Tensor:
    """The real part, which shares memory with `input`; a real tensor is its own."""
    return view_as_real(input)[..., 0] if _is_complex(input) else input


@face(method=False)
def imag(input: Tensor) -> Tensor:
    """The imaginary part, which shares memory with `input`. RuntimeError for a real tensor."""
    if not _is_complex(input):
        raise RuntimeError(f"only complex tensors have an imaginary part, and this one is {input.dtype.name}")
    return view_as_real(input)[..., 1]


def conj(input: Tensor) -> Tensor:
    """The complex conjugate; a real tensor is its own."""
    return apply(choosing.conj, (input,)) if _is_complex(input) else input


@face(inplace=True)
def conj_physical(input: Tensor) -> Tensor:
    """The complex conjugate; a real tensor is its own."""
    return conj(input)


def resolve_conj(input: Tensor) -> Tensor:
    """`input`: conjugates are computed where they are asked for."""
    return input


def resolve_neg(input: Tensor) -> Tensor:
    """`input`: negatives are computed where they are asked for."""
    return input


def is_conj(input: Tensor) -> bool:
    """Whether a conjugate is still to be computed: no."""
    return False


def is_neg(input: Tensor) -> bool:
    """Whether a negative is still to be computed: no."""
    return False


def is_complex(input: Tensor) -> bool:
    """Whether the dtype of a tensor is a complex one."""
    return input.dtype.is_complex


def isreal(input: Tensor) -> Tensor:
    """Whether the imaginary part of each element is 0."""
    part = imag(input) if _is_complex(input) else apply(choosing.zeros_like, (input,))
    return apply(choosing.eq, (part, 0))


def _parts(what: str, x: Any, y: Any) -> tuple[Tensor, Tensor]:
    x, y = taken(x), taken(y)
    for part in (x, y):
        if not isinstance(part, Tensor):
            raise TypeError(f"{what} takes two tensors, not {type(part).__name__}")
        floating(what, part, error=RuntimeError)
    if x._held.dtype != y._held.dtype:
        raise RuntimeError(f"{what}: {x.dtype.name} and {y.dtype.name}: both must have one dtype, convert one with .to(dtype)")
    return x, y


@face(exact=True, method=False)
def complex(real: Any, imag: Any) -> Tensor:
    """The complex numbers with these real and imaginary parts, floating tensors of one dtype."""
    return apply(complexes.complex_, _parts("complex", real, imag))


@face(exact=True, method=False)
def polar(abs: Any, angle: Any) -> Tensor:
    """The complex numbers of these absolute values and angles: `abs * (cos(angle) + 1j * sin(angle))`."""
    size, turn = _parts("polar", abs, angle)
    return apply(complexes.complex_, (size * turn.cos(), size * turn.sin()))


@face(method=False)
def view_as_real(input: Tensor) -> Tensor:
    """Real and imaginary parts along a new last dimension, in the memory of a complex tensor."""
    if not _is_complex(input):
        raise RuntimeError(f"view_as_real is for complex tensors, and this one is {input.dtype.name}")
    return apply(complexes.view_as_real, (input,))


@face(method=False)
def view_as_complex(input: Tensor) -> Tensor:
    """The complex numbers whose parts stand along the last dimension, of size 2, in the memory of a floating tensor."""
    if input.dtype.name not in ("float32", "float64"):
        raise RuntimeError(f"view_as_complex is for tensors of float32 and float64, and this one is {input.dtype.name}")
    if not input.ndim or input.shape[-1] != 2:
        raise RuntimeError(f"view_as_complex: the last dimension must have size 2, and the shape is {list(input.shape)}")
    return apply(complexes.view_as_complex, (input,))


def adjoint(input: Tensor) -> Tensor:
    """The conjugate transpose of matrices, which are the last two dimensions."""
    if input.ndim < 2 and input.ndim:
        raise RuntimeError(f"the adjoint is one of matrices, and a tensor of shape {list(input.shape)} has none")
    return adjoint_of(input) if input.ndim else conj(input)


def _hermitian(self: Tensor) -> Tensor:
    """The conjugate transpose of a matrix."""
    if self.ndim not in (0, 2):
        raise RuntimeError(f"H is the adjoint of one matrix, and this tensor has shape {list(self.shape)}: use mH")
    return adjoint(self)


def _adjoints(self: Tensor) -> Tensor:
    """The conjugate transpose of matrices, which are the last two dimensions."""
    if self.ndim == 1:
        raise RuntimeError("mH needs at least 2 dimensions, and this tensor has 1")
    return adjoint(self)


def _part(which: Any) -> property:
    def put(self: Tensor, value: Any) -> None:
        which(self).copy_(value)

    return property(lambda self: which(self), put, doc=which.__doc__)


ATTRIBUTES = {"real": _part(real), "imag": _part(imag), "H": property(_hermitian), "mH": property(_adjoints)}
"""What tensors have without a call."""
