"""The Python array API standard over tensors: `x.__array_namespace__()`, for programs that take arrays of any library.

Source: the standard's version 2024.12 (https://data-apis.org/array-api/2024.12). Its functions mean what NumPy's of the same
names mean, so they are those, given tensors: recorded and differentiated where `np.name(tensor)` is (see
`tensors.numpy_protocols`), under `jit` too, and elsewhere NumPy's own on tensors that do not require grad. They take the
arguments that the standard has, and no others.

Where tensors differ from the standard's arrays they are PyTorch's: there are no uint16, uint32 and uint64; `x.size` is a method;
with operators (not with these functions) a 0-d tensor does not widen the dtype of others of its kind; floats are float32
where no dtype is given (`set_default_dtype`).

>>> import jitgrad
>>> x = jitgrad.tensor([3.0, 1.0, 2.0])
>>> xp = x.__array_namespace__()
>>> xp.sort(xp.square(x), descending=True)
tensor([9., 4., 1.])
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.devices.cuda import count
from jitgrad.devices.device import CPU, Device
from jitgrad.functions import data
from jitgrad.functions.offered import FUNCTIONS
from jitgrad.record.foreign import by_numpy
from jitgrad.tensors.tensor import Tensor

__array_api_version__ = "2024.12"
_LACKING = ("uint16", "uint32", "uint64")
_KINDS = {
    "bool": ("bool",),
    "signed integer": ("int8", "int16", "int32", "int64"),
    "unsigned integer": ("uint8",),
    "real floating": ("float32", "float64"),
    "complex floating": ("complex64", "complex128"),
}
_KINDS["integral"] = _KINDS["signed integer"] + _KINDS["unsigned integer"]
_KINDS["numeric"] = _KINDS["integral"] + _KINDS["real floating"] + _KINDS["complex floating"]

_TABLE = {
    "x, /": (
        "abs acos acosh asin asinh atan atanh bitwise_invert ceil conj cos cosh exp expm1 floor imag isfinite isinf isnan log "
        "log1p log2 log10 logical_not negative positive real reciprocal round sign signbit sin sinh sqrt square tan tanh trunc "
        "nonzero unique_all unique_counts unique_inverse unique_values matrix_transpose linalg.det linalg.eigh linalg.eigvalsh "
        "linalg.inv linalg.matrix_transpose linalg.slogdet linalg.svdvals"
    ),
    "x1, x2, /": (
        "add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign divide equal floor_divide "
        "greater greater_equal hypot less less_equal logaddexp logical_and logical_or logical_xor maximum minimum multiply "
        "nextafter not_equal pow remainder subtract matmul linalg.matmul linalg.outer linalg.solve"
    ),
    "x, /, *, axis=None, keepdims=False": "all any argmax argmin count_nonzero max mean min",
    "x, /, *, axis=None, dtype=None, keepdims=False": "prod sum",
    "x, /, *, axis=None, correction=0.0, keepdims=False": "std var",
    "x, /, *, axis=None, dtype=None, include_initial=False": "cumulative_prod cumulative_sum",
    "x1, x2, /, *, axis=-1": "vecdot linalg.vecdot linalg.cross",
    "x1, x2, /, *, axes=2": "tensordot linalg.tensordot",
    "x, /, min=None, max=None": "clip",
    "arrays, /, *, axis=0": "concat stack",
    "x, /, *, axis=-1, n=1, prepend=None, append=None": "diff",
    "x, /, axis": "squeeze",
    "x, /, axis=0": "expand_dims",
    "x, /, *, axis=0": "unstack",
    "x, /, *, axis=None": "flip",
    "x, source, destination, /": "moveaxis",
    "x, /, axes": "permute_dims",
    "x, repeats, /, *, axis=None": "repeat",
    "x, /, shape, *, copy=None": "reshape",
    "x, /, shift, *, axis=None": "roll",
    "x1, x2, /, *, side='left', sorter=None": "searchsorted",
    "x, indices, /, *, axis=None": "take",
    "x, indices, /, *, axis=-1": "take_along_axis",
    "x, repetitions, /": "tile",
    "x, /, *, k=0": "tril triu",
    "condition, x1, x2, /": "where",
    "*arrays": "broadcast_arrays",
    "*arrays, indexing='xy'": "meshgrid",
    "x, /, shape": "broadcast_to",
    "x, /, *, upper=False": "linalg.cholesky",
    "x, /, *, offset=0": "linalg.diagonal",
    "x, /, *, keepdims=False, ord='fro'": "linalg.matrix_norm",
    "x, n, /": "linalg.matrix_power",
    "x, /, *, rtol=None": "linalg.matrix_rank linalg.pinv",
    "x, /, *, mode='reduced'": "linalg.qr",
    "x, /, *, full_matrices=True": "linalg.svd",
    "x, /, *, offset=0, dtype=None": "linalg.trace",
    "x, /, *, axis=None, keepdims=False, ord=2": "linalg.vector_norm",
    "x, /, *, n=None, axis=-1, norm='backward'": "fft.fft fft.ifft fft.rfft fft.irfft fft.hfft fft.ihfft",
    "x, /, *, s=None, axes=None, norm='backward'": "fft.fftn fft.ifftn fft.rfftn fft.irfftn",
    "x, /, *, axes=None": "fft.fftshift fft.ifftshift",
}
"""The functions of arrays that are NumPy's, by the arguments that the standard gives them."""

linalg, fft = SimpleNamespace(), SimpleNamespace()
pi, e, inf, nan, newaxis = np.pi, np.e, np.inf, np.nan, None


def _tensors(found: Any) -> Any:
    """What a function gave, with tensors for arrays."""
    if isinstance(found, (np.ndarray, np.generic)):
        return data.tensor(found)
    if isinstance(found, (tuple, list)):
        parts = [_tensors(part) for part in found]
        return type(found)(*parts) if hasattr(found, "_fields") else tuple(parts)
    return found


def _of_numpy(name: str, arguments: str) -> Callable[..., Any]:
    """NumPy's function, with the arguments of the standard alone, which gives tensors."""
    given: dict[str, Any] = {}
    exec(f"def signature({arguments}): ...", given)
    signature = inspect.signature(given["signature"])
    paired = slice(names.index("x1"), names.index("x1") + 2) if "x1" in (names := list(signature.parameters)) else None
    home, _, own = name.rpartition(".")
    function = getattr(getattr(np, home) if home else np, own)

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{own}{signature}: {error}") from None
        operands = list(map(by_numpy, bound.args))
        if paired is not None:
            operands[paired] = _widened(operands[paired])
        return _tensors(function(*operands, **bound.kwargs))

    call.__name__ = call.__qualname__ = own
    call.__doc__ = f"`{name}` of the array API standard: NumPy's, of tensors."
    call.__dict__["__signature__"] = signature
    return call


def _widened(operands: list[Any]) -> list[Any]:
    """Tensors in the dtype that they have in common, where one without dimensions counts as any other."""
    found = {x.dtype for x in operands if isinstance(x, Tensor)}
    if len(found) < 2:
        return operands
    dtype = dtypes.promote_types(*found)
    return [x.to(dtype) if isinstance(x, Tensor) else x for x in operands]


def _numpy_dtype(x: Any) -> Any:
    """The dtype of a tensor, or NumPy's of one of ours; a number stays."""
    return x._held.dtype if isinstance(x, Tensor) else x.numpy if isinstance(x, dtypes.DType) else x


def _made(array: np.ndarray, dtype: Any, device: Any) -> Tensor:
    """A new tensor, of the default dtype where it is of floats and none is given."""
    if dtype is None and dtypes.has_gradient(array.dtype):
        dtype = dtypes.default() if array.dtype.kind == "f" else dtypes.complex_of(dtypes.default())
    return data.tensor(array, dtype=dtype, device=device)


# What makes tensors.


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Tensor:
    """The numbers from `start` (0 if there is one alone) up to `stop`, `step` apart."""
    return _made(np.arange(start, step=step) if stop is None else np.arange(start, stop, step), dtype, device)


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: Any = None) -> Tensor:
    """A tensor of numbers or arrays: with `copy=True` always a copy, with `copy=False` never, which may be a ValueError."""
    if copy:
        return (
            obj.clone() if isinstance(obj, Tensor) and dtype is device is None else data.tensor(obj, dtype=dtype, device=device)
        )
    made = data.as_tensor(obj, dtype, device)
    if copy is False and not (made is obj or (isinstance(obj, np.ndarray) and np.shares_memory(obj, made.detach().numpy()))):
        raise ValueError(f"asarray: a tensor of {type(obj).__name__} takes a copy here, and copy=False forbids that")
    return made


def empty(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor with any values."""
    return FUNCTIONS["empty"](shape, dtype=dtype, device=device)


def eye(n_rows: Any, n_cols: Any = None, /, *, k: Any = 0, dtype: Any = None, device: Any = None) -> Tensor:
    """Ones on the k-th diagonal of a matrix, and zeros elsewhere."""
    return _made(np.eye(n_rows, n_cols, k), dtype, device)


def from_dlpack(x: Any, /, *, device: Any = None, copy: Any = None) -> Tensor:
    """A tensor that shares the memory of another library's array; see `jitgrad.from_dlpack`."""
    return data.from_dlpack(x, device=device, copy=copy)


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of one number."""
    return _made(np.full(shape, fill_value), dtype, device)


def linspace(start: Any, stop: Any, /, num: Any, *, dtype: Any = None, device: Any = None, endpoint: Any = True) -> Tensor:
    """`num` numbers from `start` to `stop`, evenly apart."""
    return _made(np.linspace(start, stop, num, endpoint=endpoint), dtype, device)


def ones(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of ones."""
    return FUNCTIONS["ones"](shape, dtype=dtype, device=device)


def zeros(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of zeros."""
    return FUNCTIONS["zeros"](shape, dtype=dtype, device=device)


def empty_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of that shape with any values."""
    return FUNCTIONS["empty_like"](x, dtype=dtype, device=device)


def full_like(x: Any, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of that shape of one number."""
    return FUNCTIONS["full_like"](x, fill_value, dtype=dtype, device=device)


def ones_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of that shape of ones."""
    return FUNCTIONS["ones_like"](x, dtype=dtype, device=device)


def zeros_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of that shape of zeros."""
    return FUNCTIONS["zeros_like"](x, dtype=dtype, device=device)


def _frequencies(name: str) -> Callable[..., Tensor]:
    def call(n: Any, /, *, d: Any = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
        return _made(getattr(np.fft, name)(n, d), dtype, device)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`fft.{name}` of the array API standard."
    return call


# Dtypes.


def astype(x: Any, dtype: Any, /, *, copy: Any = True, device: Any = None) -> Tensor:
    """The tensor in another dtype: with `copy=False` itself if it has that."""
    found = x.to(x.device if device is None else device, dtype)
    return found.clone() if copy and found is x else found


def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether every value of the one dtype, or of that of a tensor, is one of the other."""
    return np.can_cast(_numpy_dtype(from_), _numpy_dtype(to))


def finfo(type: Any, /) -> Any:
    """The limits of a floating dtype, or of that of a tensor."""
    return FUNCTIONS["finfo"](dtypes.of(_numpy_dtype(type)))


def iinfo(type: Any, /) -> Any:
    """The limits of a dtype of integers, or of that of a tensor."""
    return FUNCTIONS["iinfo"](dtypes.of(_numpy_dtype(type)))


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is of a kind, such as "real floating", is another one, or is any of a tuple of such."""
    if isinstance(kind, tuple):
        return True in [isdtype(dtype, one) for one in kind]
    if isinstance(kind, str) and kind not in _KINDS:
        raise ValueError(f"isdtype: there is no kind {kind!r} of dtypes: there are {', '.join(_KINDS)}")
    return dtype.name in _KINDS[kind] if isinstance(kind, str) else dtype == kind


def result_type(*arrays_and_dtypes: Any) -> dtypes.DType:
    """The dtype that tensors, dtypes and numbers have in common."""
    return dtypes.of(np.result_type(*map(_numpy_dtype, arrays_and_dtypes)))


# What NumPy has not, or not so.


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape that tensors of these have in common."""
    return np.broadcast_shapes(*shapes)


def sort(x: Any, /, *, axis: Any = -1, descending: Any = False, stable: Any = True) -> Tensor:
    """The elements in order along an axis."""
    return FUNCTIONS["sort"](x, dim=axis, descending=descending, stable=stable).values


def argsort(x: Any, /, *, axis: Any = -1, descending: Any = False, stable: Any = True) -> Tensor:
    """Where the elements are, in order along an axis."""
    return FUNCTIONS["argsort"](x, dim=axis, descending=descending, stable=stable)


class _Info:
    """What there is, as the standard asks for it."""

    def capabilities(self) -> dict[str, Any]:
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> Device:
        return CPU

    def default_dtypes(self, *, device: Any = None) -> dict[str, dtypes.DType]:
        real = dtypes.of(dtypes.default())
        integer = dtypes.by_name("int64")
        return {"real floating": real, "complex floating": real.to_complex(), "integral": integer, "indexing": integer}

    def devices(self) -> list[Device]:
        return [CPU, *[Device("cuda", k) for k in range(count())]]

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, dtypes.DType]:
        every = {name: dtypes.by_name(name) for name in (*_KINDS["bool"], *_KINDS["numeric"])}
        return {name: dtype for name, dtype in every.items() if kind is None or isdtype(dtype, kind)}


def __array_namespace_info__() -> _Info:
    """What devices and dtypes there are, and which are meant where none is given."""
    return _Info()


def __getattr__(name: str) -> Any:
    if name in _LACKING:
        raise AttributeError(f"jitgrad has no dtype {name}, which the standard asks for: use int64, or uint8", name=name)
    raise AttributeError(f"jitgrad.array_api has no {name}: it is not in the standard's {__array_api_version__}", name=name)


_PLACES = {"": globals(), "linalg": vars(linalg), "fft": vars(fft)}
for _name in ("fftfreq", "rfftfreq"):
    vars(fft)[_name] = _frequencies(_name)
for _arguments, _names in _TABLE.items():
    for _name in _names.split():
        _home, _, _own = _name.rpartition(".")
        _PLACES[_home][_own] = _of_numpy(_name, _arguments)
globals().update(_Info().dtypes())
