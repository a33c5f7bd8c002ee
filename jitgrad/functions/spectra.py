"""Spectra of the parts of a signal, and the signal from these."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.functions.complexes import view_as_complex, view_as_real
from jitgrad.functions.fourier import fft, ifft, irfft, rfft
from jitgrad.functions.shaping import reshape, transpose
from jitgrad.ops.choosing import cast
from jitgrad.ops.indexing import Slot, getitem, index_add
from jitgrad.ops.movement import narrow, pad
from jitgrad.ops.shapes import Spec
from jitgrad.record.apply import apply, zeros
from jitgrad.tensors.tensor import Tensor, wrap

_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
"""How a signal goes on beyond its ends, by NumPy's names."""
LEAST = 1e-11
"""Windows whose squares add up to less say nothing of the signal there."""


def stft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
) -> Tensor:
    """The Fourier transforms of `n_fft` elements of a signal at a time, `hop_length` apart (a quarter of it), times a window.

    Signals are the last dimension of `input`, of one or two; the result has shape (…, frequencies, parts). With `center` the
    first part is centred on the first element, and the signal goes on beyond its ends by `pad_mode`. Frequencies of real signals
    are `onesided`, as those of `rfft`. Without `return_complex` real and imaginary parts stand along a last dimension.
    RuntimeError for lengths that do not fit, and where it is not said whether the result is to be complex.
    """
    hop, wide = _lengths("stft", n_fft, hop_length, win_length, window)
    complex_ = input.dtype.is_complex or (window is not None and window.dtype.is_complex)
    if return_complex is None:
        if not complex_:
            raise RuntimeError("stft: say return_complex=True, or False for real and imaginary parts along a last dimension")
        return_complex = True
    if input.ndim not in (1, 2):
        raise RuntimeError(f"stft: a signal has one dimension, several have two, and this tensor has shape {list(input.shape)}")
    if onesided and complex_:
        raise RuntimeError("stft: the spectrum of a complex signal has two sides: onesided must be False")
    parts = _parts(input, n_fft, hop, center, pad_mode)
    if window is not None or wide < n_fft:
        parts = parts * _whole_window(window, wide, n_fft, input)
    norm = "ortho" if normalized else None
    one = not complex_ if onesided is None else onesided
    found = transpose(rfft(parts, norm=norm) if one else fft(parts, norm=norm), -1, -2)
    return found if return_complex else view_as_real(found)


def istft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """The signal whose `stft` is nearest to `input`, of `length` elements if that is given.

    RuntimeError for lengths that do not fit, and where the windows leave elements of the signal out.
    """
    hop, wide = _lengths("istft", n_fft, hop_length, win_length, window)
    if not input.dtype.is_complex:
        if input.ndim not in (3, 4) or input.shape[-1] != 2:
            raise RuntimeError(f"istft takes a complex spectrum, and this tensor is {input.dtype.name} of {list(input.shape)}")
        input = view_as_complex(input)
    if input.ndim not in (2, 3) or not input.numel():
        raise RuntimeError(f"istft: a spectrum has shape (…, frequencies, parts), and this one {list(input.shape)}")
    frequencies, count = input.shape[-2:]
    one = frequencies != n_fft if onesided is None else onesided
    if frequencies != (n_fft // 2 + 1 if one else n_fft):
        raise RuntimeError(f"istft: a spectrum of {frequencies} frequencies does not fit n_fft={n_fft}, onesided={one}")
    if one and return_complex:
        raise RuntimeError("istft: a onesided spectrum is that of a real signal: return_complex must be False")
    spectra, norm = transpose(input, -1, -2), "ortho" if normalized else None
    if not one and not return_complex:  # the rest is taken for the conjugates
        spectra = _cut(spectra, 0, n_fft // 2 + 1)
    parts = ifft(spectra, norm=norm) if return_complex else irfft(spectra, n_fft, norm=norm)
    whole = _whole_window(window, wide, n_fft, parts)
    total, places = n_fft + hop * (count - 1), np.arange(count)[:, None] * hop + np.arange(n_fft)
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else total - start
    signal = _cut(_added_up(parts * whole, places, total), start, min(end, total))
    weight = _cut(_added_up((whole * whole).expand(count, n_fft), places, total), start, min(end, total))
    if weight._value is not None and not weight.is_cuda and not np.all(np.abs(weight.detach().numpy(force=True)) > LEAST):
        raise RuntimeError("istft: there are elements of the signal that no window says anything of: make hop_length smaller")
    signal = signal / weight
    short = end - min(end, total)
    return apply(pad, (signal,), {"dim": signal.ndim - 1, "start": 0, "size": end - start}) if short else signal


def _lengths(what: str, n_fft: int, hop_length: Any, win_length: Any, window: Any) -> tuple[int, int]:
    hop = n_fft // 4 if hop_length is None else hop_length
    wide = n_fft if win_length is None else win_length
    if n_fft <= 0 or hop <= 0 or not 0 < wide <= n_fft:
        raise RuntimeError(
            f"{what}: n_fft={n_fft}, hop_length={hop}, win_length={wide} must be positive, and the last no more than n_fft"
        )
    if window is not None and (window.ndim != 1 or window.shape[0] != wide):
        raise RuntimeError(
            f"{what}: the window must have one dimension of win_length={wide}, and its shape is {list(window.shape)}"
        )
    return hop, wide


def _whole_window(window: Tensor | None, wide: int, n_fft: int, like: Tensor) -> Tensor:
    """The window in the middle of `n_fft` elements, of ones if there is none."""
    if window is None:
        window = wrap(np.ones(wide, dtypes.real_of(like._held.dtype)))
    return apply(pad, (window,), {"dim": 0, "start": (n_fft - wide) // 2, "size": n_fft}) if wide < n_fft else window


def _parts(x: Tensor, n_fft: int, hop: int, center: bool, mode: str) -> Tensor:
    """The parts of signals, along a dimension before the last."""
    dtype = x._held.dtype
    x = x if dtypes.has_gradient(dtype) else apply(cast, (x,), {"dtype": dtypes.default()})
    d, beyond = x.ndim - 1, n_fft // 2 if center else 0
    n = x.shape[d]
    places = np.arange(n)
    if beyond and mode == "constant":
        x, places = apply(pad, (x,), {"dim": d, "start": beyond, "size": n + 2 * beyond}), np.arange(n + 2 * beyond)
    elif beyond:
        if mode not in _MODES:
            raise NotImplementedError(f"stft: pad_mode must be 'constant', 'reflect', 'replicate' or 'circular', not {mode!r}")
        if beyond >= n + (mode == "circular") and mode != "replicate":
            raise RuntimeError(f"stft: a signal of {n} elements is too short to go on by {beyond} beyond its ends ({mode})")
        places = np.pad(places, beyond, mode=_MODES[mode])  # type: ignore[call-overload]
    if not n or n_fft > places.size:
        raise RuntimeError(f"stft: a signal of {places.size} elements has no part of n_fft={n_fft}")
    starts = np.arange(0, places.size - n_fft + 1, hop)
    picked = places[starts[:, None] + np.arange(n_fft)]
    return apply(getitem, (x, wrap(picked)), {"index": (*(slice(None),) * d, Slot(0))})


def _added_up(parts: Tensor, places: np.ndarray, total: int) -> Tensor:
    """Parts added up to the signals that they are parts of."""
    lead = tuple(parts.shape[:-2])
    nothing = zeros(Spec((*lead, total), parts._held.dtype), [parts])
    flat = reshape(parts, (*lead, places.size))
    return apply(index_add, (nothing, flat, wrap(places.reshape(-1))), {"index": (*(slice(None),) * len(lead), Slot(0))})


def _cut(x: Tensor, start: int, end: int) -> Tensor:
    return apply(narrow, (x,), {"dim": x.ndim - 1, "start": start, "length": end - start})
