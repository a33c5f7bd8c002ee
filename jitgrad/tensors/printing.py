"""Text of a tensor, character for character as PyTorch prints one.

The choices all follow from the entries shown: one notation (whole numbers, decimals or scientific) and one width for
every entry, rows broken at the line width, and only the edges of an array with more entries than the threshold.

>>> import numpy as np
>>> print(format_tensor(np.array([[1, 2.5], [-3, 4]]), dtype_name="jitgrad.float64", shows_dtype=True, suffixes=()))
tensor([[ 1.0000,  2.5000],
        [-3.0000,  4.0000]], dtype=jitgrad.float64)
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

__all__ = ["format_tensor", "set_printoptions"]

Array: TypeAlias = np.ndarray[Any, Any]


class _Options(NamedTuple):
    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_PROFILES = {
    "default": _Options(),
    "short": _Options(precision=2, edgeitems=2),
    "full": _Options(threshold=math.inf),
}

_current = _PROFILES["default"]


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors are printed from now on; what is left out keeps its setting, except for `sci_mode`.

    precision: digits after the decimal point (4 to begin with).
    threshold: an array with more entries than this prints its edges only (1000; `math.inf` for never).
    edgeitems: how many entries to show at each end of a shortened axis (3).
    linewidth: characters to a line (80).
    profile: "default", "short" (2 digits, 2 edge items) or "full" (never shorten); the other arguments are
        applied on top of it.
    sci_mode: True or False forces scientific notation on or off. None, also when left out, chooses by the entries
        (leaving it out does not keep the earlier setting, as in PyTorch).

    >>> import numpy as np
    >>> set_printoptions(precision=2)
    >>> print(format_tensor(np.array([0.125, 1]), dtype_name="jitgrad.float64", shows_dtype=False, suffixes=()))
    tensor([0.12, 1.00])
    >>> set_printoptions(profile="default")
    """
    global _current
    if sci_mode is not None and not isinstance(sci_mode, (bool, np.bool_)):
        raise TypeError(f"sci_mode must be True, False or None, not {sci_mode!r}")
    options = _current if profile is None else _profile(profile)
    changes: dict[str, Any] = {"sci_mode": sci_mode}
    if precision is not None:
        changes["precision"] = _count("precision", precision)
    if threshold is not None:
        changes["threshold"] = _threshold(threshold)
    if edgeitems is not None:
        changes["edgeitems"] = _count("edgeitems", edgeitems)
    if linewidth is not None:
        changes["linewidth"] = _count("linewidth", linewidth)
    # One assignment at the end: a refused argument leaves every setting as it was.
    _current = options._replace(**changes)


def _profile(name: str) -> _Options:
    if not isinstance(name, str):
        raise TypeError(f"profile must be a string, not {name!r}")
    try:
        return _PROFILES[name]
    except KeyError:
        raise ValueError(f"profile must be one of {', '.join(_PROFILES)}, not {name!r}") from None


def _count(name: str, number: int) -> int:
    try:
        count = operator.index(number)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {number!r}") from None
    if count < 0:
        raise ValueError(f"{name} must not be negative, but it is {count}")
    return count


def _threshold(number: float) -> float:
    if not isinstance(number, (int, float, np.integer, np.floating)):
        raise TypeError(f"threshold must be a number, not {number!r}")
    if math.isnan(number) or number < 0:
        raise ValueError(f"threshold must be zero or more, but it is {number}")
    return number


def format_tensor(
    value: Array,
    *,
    dtype_name: str,
    shows_dtype: bool,
    suffixes: Sequence[str],
    prefix: str = "tensor(",
    device: str = "",
) -> str:
    """Return the text that PyTorch would print for `value`.

    `dtype_name` is printed as `dtype=…` when `shows_dtype`, and always for an empty array of integers, bools or
    complex numbers, whose brackets say nothing about its dtype; before it a `device` that is not the host. `suffixes` follow in
    the order given. Later lines are indented by the length of the last line of `prefix`, which opens the parenthesis that this
    function closes.

    >>> import numpy as np
    >>> grad = ["grad_fn=<PowBackward0>"]
    >>> format_tensor(np.float16([100]), dtype_name="jitgrad.float16", shows_dtype=True, suffixes=grad)
    'tensor([100.], dtype=jitgrad.float16, grad_fn=<PowBackward0>)'
    >>> format_tensor(np.zeros((0, 3)), dtype_name="jitgrad.float64", shows_dtype=True, suffixes=())
    'tensor([], size=(0, 3), dtype=jitgrad.float64)'
    """
    options = _current
    value = np.asarray(value)
    if value.dtype.kind in "OSUMmT" or value.dtype.names is not None:
        raise TypeError(f"cannot print an array of dtype {value.dtype}: its entries are not numbers or bools")
    indent = len(prefix) - (prefix.rfind("\n") + 1)
    notes = [f"device={device!r}"] if device else []
    if _shows_size(value, options):
        notes.append(f"size={value.shape}")
    if shows_dtype or (value.size == 0 and value.dtype.kind in "biuc"):
        notes.append(f"dtype={dtype_name}")
    body = _body(value, indent, options) if value.size else "[]"
    return _with_notes(prefix + body, [*notes, *suffixes], indent, options.linewidth)


def _shows_size(value: Array, options: _Options) -> bool:
    """Whether the brackets leave the shape unknown: an empty array of rank other than 1, or one without edges."""
    if value.size == 0:
        return value.ndim != 1
    return options.edgeitems == 0


def _with_notes(text: str, notes: Sequence[str], indent: int, linewidth: int) -> str:
    """`text` with the notes behind it, each on a new line when the line it is on would get too long."""
    # PyTorch's count is two too many on the line where the entries end and leaves out the last parenthesis everywhere,
    # so that line ends one short of the line width, and a line of notes alone may end one beyond it.
    used = len(text) - (text.rfind("\n") + 1) + 2
    parts = [text]
    for note in notes:
        if used + len(note) + 2 > linewidth:
            parts.append(",\n" + " " * indent + note)
            used = indent + len(note)
        else:
            parts.append(", " + note)
            used += len(note) + 2
    return "".join(parts) + ")"


def _body(value: Array, indent: int, options: _Options) -> str:
    edge = options.edgeitems
    shortens = value.size > options.threshold
    if shortens and edge == 0 and value.ndim > 0:
        return "[...]"
    cut = [shortens and length > 2 * edge for length in value.shape]
    # The notation and the width are chosen from the entries that are shown, so the hidden ones go first.
    shown = _numbers(_edges(value, cut, edge))
    return _Writer(_column(shown, options), edge, options.linewidth).block(shown.tolist(), cut, indent)


def _edges(value: Array, cut: Sequence[bool], edge: int) -> Array:
    for axis, shortened in enumerate(cut):
        if shortened:
            length = value.shape[axis]
            value = value.take([*range(edge), *range(length - edge, length)], axis=axis)
    return value


def _numbers(value: Array) -> Array:
    """The same entries in a dtype whose `tolist` gives Python numbers: every real float becomes float64."""
    if value.dtype.kind in "biuc":
        return value
    with np.errstate(invalid="ignore"):  # casting a NaN may raise NumPy's warning about invalid values
        return value.astype(np.float64)


class _Column(NamedTuple):
    """How to write one entry without padding, and the width that a row's line breaks are counted by."""

    write: Callable[[Any], str]
    width: int
    pads: bool = True

    def __call__(self, entry: Any) -> str:
        return self.write(entry).rjust(self.width if self.pads else 0)


def _column(shown: Array, options: _Options) -> _Column:
    kind = shown.dtype.kind
    if kind == "c":
        return _complex_column(_float_column(shown.real, options), _float_column(shown.imag, options))
    if kind == "f":
        return _float_column(shown, options)
    return _Column(str, max(len(str(entry)) for entry in shown.ravel().tolist()))


def _float_column(shown: Array, options: _Options) -> _Column:
    # Zeros, NaNs and infinities fit into any notation, so they have no say in its choice, nor in the width.
    telling = shown[np.isfinite(shown) & (shown != 0)].astype(np.float64)
    if telling.size == 0:
        return _Column(_write_whole, 1)
    whole = bool((telling == np.ceil(telling)).all())
    sci_mode = _needs_exponent(np.abs(telling), whole) if options.sci_mode is None else options.sci_mode
    if sci_mode:
        write = _writer_of(f".{options.precision}e")
    elif whole:
        write = _write_whole
    else:
        write = _writer_of(f".{options.precision}f")
    return _Column(write, max(len(write(entry)) for entry in telling.tolist()))


def _needs_exponent(sizes: Array, whole: bool) -> bool:
    least, most = float(sizes.min()), float(sizes.max())
    return most / least > 1000 or most > 1e8 or (not whole and least < 1e-4)


def _write_whole(entry: float) -> str:
    return f"{entry:.0f}." if math.isfinite(entry) else f"{entry:.0f}"


def _writer_of(spec: str) -> Callable[[float], str]:
    return lambda entry: format(entry, spec)


def _complex_column(real: _Column, imag: _Column) -> _Column:
    def write(entry: complex) -> str:
        imaginary = imag.write(entry.imag)
        return real(entry.real) + ("" if imaginary.startswith("-") else "+") + imaginary + "j"

    # Only the real parts are padded: a short imaginary part leaves its entry short.
    return _Column(write, real.width + imag.width + 1, pads=False)


class _Writer(NamedTuple):
    """Writes nested lists of entries in brackets; `cut` says for each axis whether its middle was left out."""

    column: _Column
    edge: int
    linewidth: int

    def block(self, entries: Any, cut: Sequence[bool], indent: int) -> str:
        if not cut:
            return self.column(entries)
        if len(cut) == 1:
            return self.row(entries, cut[0], indent)
        blocks = [self.block(inner, cut[1:], indent + 1) for inner in entries]
        if cut[0]:
            blocks.insert(self.edge, "...")
        # Rows go on lines below each other, matrices have a blank line between, and so on up the ranks.
        return "[" + ("," + "\n" * (len(cut) - 1) + " " * (indent + 1)).join(blocks) + "]"

    def row(self, entries: Sequence[Any], cut: bool, indent: int) -> str:
        words = [self.column(entry) for entry in entries]
        if cut:
            words.insert(self.edge, " ...")
        count = max(1, (self.linewidth - indent) // (self.column.width + 2))
        lines = [", ".join(words[start : start + count]) for start in range(0, len(words), count)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
