"""Data types and how they are promoted.

A `DType` is what `tensor.dtype` shows (`jitgrad.float32`); inside the library NumPy's own dtypes are used, and
the two are the same thing under two names: `DType.numpy` and `of(numpy_dtype)`.

Promotion is PyTorch's: a category (bool < integer < floating < complex) decides first, and inside one category a tensor
with dimensions outranks a 0-d tensor, which outranks a Python number.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

BOOL, INTEGER, FLOATING, COMPLEX = 0, 1, 2, 3


class DType:
    """A data type: `name` ("float32"), `numpy` (the NumPy dtype), `itemsize` in bytes, `is_floating_point`.

    >>> import jitgrad
    >>> jitgrad.float32, jitgrad.float32.itemsize
    (jitgrad.float32, 4)
    """

    __slots__ = (
        "aliases",
        "c",
        "category",
        "has_gradient",
        "is_complex",
        "is_floating_point",
        "is_signed",
        "itemsize",
        "machine",
        "name",
        "numpy",
        "short",
    )

    def __init__(self, name: str, numpy: np.dtype, category: int, short: str, machine: str, c: str, aliases: tuple[str, ...]):
        self.name = name
        self.numpy = numpy
        self.category = category
        self.itemsize = numpy.itemsize
        self.is_floating_point = category == FLOATING
        self.has_gradient = category >= FLOATING
        self.is_complex = category == COMPLEX
        self.is_signed = category >= FLOATING or numpy.kind == "i"
        self.short = short  # on printed tapes
        self.machine = machine  # in machine code, which computes with it; "" where NumPy does
        self.c = c  # in C functions; "" where these do not take it
        self.aliases = aliases  # PyTorch's other names, which are also those of the methods that convert

    @property
    def dtype(self) -> np.dtype:
        """The NumPy dtype, which NumPy looks for here: `np.zeros(3, dtype=tensor.dtype)`."""
        return self.numpy

    def to_real(self) -> DType:
        """The dtype of the parts of numbers of this dtype: `complex64` has parts in `float32`."""
        return of(real_of(self.numpy))

    def to_complex(self) -> DType:
        """The complex dtype with parts of this dtype."""
        return of(complex_of(self.numpy))

    def __repr__(self) -> str:
        return f"jitgrad.{self.name}"

    def __reduce__(self) -> tuple:
        return by_name, (self.name,)


def _bfloat16() -> Any:
    try:
        import ml_dtypes
    except ImportError:
        return None
    return ml_dtypes.bfloat16


_TABLE: tuple[Any, ...] = (
    # name, by NumPy, category, on tapes, in machine code, in C, aliases
    ("bool", np.bool_, BOOL, "b", "i1", "bool", ()),
    ("uint8", np.uint8, INTEGER, "u8", "", "", ("byte",)),
    ("int8", np.int8, INTEGER, "i8", "", "", ("char",)),
    ("int16", np.int16, INTEGER, "i16", "", "", ("short",)),
    ("int32", np.int32, INTEGER, "i32", "i32", "int32_t", ("int",)),
    ("int64", np.int64, INTEGER, "i64", "i64", "int64_t", ("long",)),
    ("float16", np.float16, FLOATING, "f16", "f16", "", ("half",)),
    ("float32", np.float32, FLOATING, "f32", "f32", "float", ("float",)),
    ("float64", np.float64, FLOATING, "f64", "f64", "double", ("double",)),
    ("bfloat16", _bfloat16(), FLOATING, "bf16", "", "", ()),
    ("complex64", np.complex64, COMPLEX, "c64", "", "", ("cfloat",)),
    ("complex128", np.complex128, COMPLEX, "c128", "", "", ("cdouble",)),
)
"""All that is known of each dtype; one whose package is not installed has nothing by NumPy, and is left out."""

ALL = {name: DType(name, np.dtype(kind), *facts) for name, kind, *facts in _TABLE if kind is not None}

HALF = frozenset(d.numpy for d in ALL.values() if d.is_floating_point and d.itemsize == 2)
"""Half precision: what is computed of it is computed in single precision, and rounded once."""
EXPORTED = tuple(d.name for d in ALL.values() if d.c)
"""The dtypes of arguments and results of C functions."""

_BY_NUMPY = {d.numpy: d for d in ALL.values()}
_ALIASES = {alias: d.name for d in ALL.values() for alias in d.aliases}
_PYTHON = {bool: "bool", int: "int64", float: "float64", complex: "complex128"}

settings = {"default dtype": ALL["float32"]}


def by_name(name: str) -> DType:
    """The dtype of that name; `AttributeError` if there is none."""
    try:
        return ALL[_ALIASES.get(name, name)]
    except KeyError:
        hint = " (bfloat16 needs the package ml_dtypes: pip install 'jitgrad[bfloat16]')" if name == "bfloat16" else ""
        raise AttributeError(f"jitgrad has no dtype {name!r}{hint}") from None


def names() -> list[str]:
    """The names under which `jitgrad` exports its dtypes, aliases such as `double` included."""
    return [*ALL, *(alias for alias in _ALIASES if alias not in ("byte", "char"))]


def of(numpy_dtype: np.dtype) -> DType:
    """The `DType` of a NumPy dtype; `TypeError` where jitgrad has none."""
    found = _BY_NUMPY.get(numpy_dtype)
    if found is None:
        raise TypeError(f"jitgrad has no dtype for NumPy's {numpy_dtype}; there are {', '.join(ALL)}: convert with .astype first")
    return found


def is_known(numpy_dtype: np.dtype) -> bool:
    """Whether there is a `DType` of a NumPy dtype."""
    return numpy_dtype in _BY_NUMPY


def to_numpy(dtype: Any) -> np.dtype:
    """The NumPy dtype that `dtype` means: a `DType`, a NumPy dtype or scalar type, or Python's bool, int, float, complex."""
    if isinstance(dtype, DType):
        return dtype.numpy
    try:
        return ALL[_PYTHON[dtype]].numpy if dtype in _PYTHON else of(np.dtype(dtype)).numpy
    except (TypeError, ValueError) as error:
        raise TypeError(f"dtype must be a jitgrad dtype such as jitgrad.float32, not {dtype!r}") from error


def default() -> np.dtype:
    """The dtype of floating results that come from integers and of new tensors of Python floats."""
    return settings["default dtype"].numpy


def default_complex() -> np.dtype:
    """The dtype of new tensors of Python's complex numbers: its parts are as exact as new tensors of floats, but not halves."""
    return complex_of(default())


def complex_of(dtype: np.dtype) -> np.dtype:
    """The complex dtype whose parts are as exact as numbers of a dtype; of half precision, complex64."""
    wide = dtype.itemsize >= 8 and dtype.kind != "c"
    return dtype if dtype.kind == "c" else ALL["complex128" if wide else "complex64"].numpy


def real_of(dtype: np.dtype) -> np.dtype:
    """The dtype of the parts of numbers of a dtype, which real ones are themselves."""
    return ALL["float32" if dtype.itemsize == 8 else "float64"].numpy if dtype.kind == "c" else dtype


def get_default_dtype() -> DType:
    """The current default floating dtype, `jitgrad.float32` unless set otherwise."""
    return settings["default dtype"]


def set_default_dtype(dtype: DType) -> None:
    """Set the default floating dtype; `TypeError` for one that is not floating."""
    if not isinstance(dtype, DType) or not dtype.is_floating_point:
        raise TypeError(f"the default dtype must be a floating one such as jitgrad.float64, not {dtype!r}")
    settings["default dtype"] = dtype


def is_floating(dtype: np.dtype) -> bool:
    """Whether a NumPy dtype is floating (bfloat16 included, which NumPy itself does not count as such)."""
    return _BY_NUMPY[dtype].category == FLOATING


def is_complex(dtype: np.dtype) -> bool:
    """Whether a NumPy dtype is complex."""
    return dtype.kind == "c"


def has_gradient(dtype: np.dtype) -> bool:
    """Whether values of a NumPy dtype can have a cotangent: those that are no whole numbers, floating or complex."""
    return _BY_NUMPY[dtype].has_gradient


def promote(a: np.dtype, b: np.dtype) -> np.dtype:
    """The dtype of a result of tensors of dtypes `a` and `b`, both with dimensions or both without."""
    if a == b:
        return a
    first, second = sorted((of(a), of(b)), key=lambda d: d.category)
    if second.category == COMPLEX:
        parts = promote(real_of(first.numpy), real_of(second.numpy)) if first.category >= FLOATING else second.numpy
        return complex_of(parts)
    if first.category != second.category:
        return second.numpy
    if first.category == FLOATING:
        if first.itemsize == second.itemsize:  # float16 with bfloat16
            return ALL["float32"].numpy
        return max(first, second, key=lambda d: d.itemsize).numpy
    return np.promote_types(a, b)


def weak(kind: type) -> np.dtype:
    """The dtype that a number of some type, by Python or NumPy, adds to the promotion of tensors: bool, int64, the default
    float, or the complex dtype with such parts."""
    if kind is float:
        return default()
    if issubclass(kind, (complex, np.complexfloating)):
        return default_complex()
    if issubclass(kind, (bool, np.bool_)):
        return ALL["bool"].numpy
    return ALL["int64"].numpy if issubclass(kind, (int, np.integer)) else default()


def of_number(number: Any) -> np.dtype:
    """The dtype of a number where a function gets no tensor beside it: as exact as the number is."""
    if isinstance(number, np.generic):
        return of(number.dtype).numpy
    return ALL[_PYTHON[next(kind for kind in _PYTHON if isinstance(number, kind))]].numpy


def of_python(number: bool | int | float | complex) -> np.dtype:
    """The dtype of a new tensor of a Python number: bool, int64, the default float or the complex dtype with such parts."""
    return weak(type(number))


def of_kind(kind: type) -> np.dtype:
    """The dtype of new tensors of Python's `bool`, `int`, `float` or `complex`."""
    return default() if kind is float else default_complex() if kind is complex else ALL[_PYTHON[kind]].numpy


def cast_numbers(array: np.ndarray, wanted: np.dtype) -> np.ndarray:
    """Python's numbers in the dtype asked for; `RuntimeError` for those that it cannot hold."""
    if array.dtype.kind == "c" and wanted.kind not in "cb":
        if np.any(array.imag):
            raise RuntimeError(
                f"complex numbers do not fit into {of(wanted).name}: take their real part, abs() or view_as_real()"
            )
        array = array.real
    if wanted.kind in "iu" and array.dtype.kind != "b":
        limits = np.iinfo(wanted)
        lowest = limits.min if wanted.kind == "i" else -limits.max  # negative ones wrap around, as in PyTorch
        low, high = (array.min(), array.max()) if array.size else (0, 0)
        if not (low > lowest - 1 and high < limits.max + 1):  # not for nan, either
            bad = high if not high < limits.max + 1 else low
            raise RuntimeError(f"{bad} does not fit into {of(wanted).name}, which holds {limits.min} to {limits.max}")
        if wanted.kind == "u" and array.dtype.kind == "f":
            array = array.astype(np.int64)
    with np.errstate(all="ignore"):
        return array.astype(wanted, copy=False)


def number(value: Any, wanted: np.dtype) -> Any:
    """A number as one by NumPy of the dtype of the tensors beside it. In an integer dtype it wraps around, as in PyTorch;
    `RuntimeError` for an int that is beyond int64, or beyond every float."""
    try:
        with np.errstate(all="ignore"):
            if wanted.kind not in "iu":
                return wanted.type(value)
            return (value if isinstance(value, np.generic) else np.int64(value)).astype(wanted)
    except OverflowError:
        beyond = "int64" if wanted.kind in "iu" else "float64"
        raise RuntimeError(
            f"an int of {value.bit_length()} bits is beyond {beyond}, and cannot stand beside a tensor of dtype {of(wanted).name}"
        ) from None


def promote_types(type1: DType, type2: DType) -> DType:
    """The smallest dtype that results of both dtypes fit into, as PyTorch promotes them.

    >>> import jitgrad
    >>> jitgrad.promote_types(jitgrad.int64, jitgrad.float16)
    jitgrad.float16
    """
    return of(promote(to_numpy(type1), to_numpy(type2)))


class FloatInfo(NamedTuple):
    """What there is to know of a floating dtype: Python floats, and the number of `bits`."""

    bits: int
    eps: float
    max: float
    min: float
    tiny: float
    smallest_normal: float
    resolution: float
    dtype: str


def finfo(dtype: DType | None = None) -> FloatInfo:
    """`eps`, `max`, `min`, `tiny`, `bits` of a floating dtype, the default one if none is given; of a complex one, of its parts.

    >>> import jitgrad
    >>> jitgrad.finfo(jitgrad.float32).eps
    1.1920928955078125e-07
    """
    wanted = default() if dtype is None else to_numpy(dtype)
    wanted = real_of(wanted)
    if of(wanted).category != FLOATING:
        raise TypeError(f"finfo is about floating dtypes, and {of(wanted).name} is none: use iinfo")
    if wanted.kind == "f":
        found: Any = np.finfo(wanted)
    else:
        import ml_dtypes

        found = ml_dtypes.finfo(wanted)
    numbers = {name: float(getattr(found, name)) for name in ("eps", "max", "min", "tiny", "smallest_normal")}
    return FloatInfo(bits=found.bits, resolution=float(str(found.resolution)), dtype=of(wanted).name, **numbers)


def iinfo(dtype: DType) -> np.iinfo:
    """`max`, `min` and `bits` of an integer dtype, as `numpy.iinfo` gives them."""
    wanted = to_numpy(dtype)
    if wanted.kind not in "iu":
        raise TypeError(f"iinfo is about integer dtypes, and {of(wanted).name} is none: use finfo")
    return np.iinfo(wanted)


def result_type(operands: Iterable[tuple[np.dtype, int]]) -> np.dtype:
    """The common dtype of operands given as `(dtype, rank)`, rank 0 of a 0-d tensor and -1 of a Python number.

    Source: PyTorch's documentation of type promotion; the highest category wins, and among the operands of that
    category those with dimensions decide, or else the 0-d ones, or else the numbers.
    """
    by_priority: dict[tuple[int, int], np.dtype] = {}
    for dtype, rank in operands:
        key = (of(dtype).category, min(rank, 1))
        by_priority[key] = promote(by_priority[key], dtype) if key in by_priority else dtype
    category, priority = max(by_priority)
    found = by_priority[category, priority]
    if category == COMPLEX:  # beside floats of no fewer dimensions, the parts are as exact as these
        rank = max([rank for kind, rank in by_priority if kind == FLOATING], default=-2)
        if rank >= priority:
            parts = by_priority[FLOATING, rank]
            return promote(parts, found) if rank == priority else complex_of(parts)
    return found
