"""Where users find the functions that are written by hand: at the top, or in a namespace of PyTorch's."""

from __future__ import annotations

from types import ModuleType

from jitgrad.functions import (
    comparing,
    complexes,
    copies,
    diagonals,
    elementwise,
    factors,
    fourier,
    histograms,
    indexing,
    joining,
    numeric,
    products,
    sampling,
    scans,
    scattering,
    searching,
    shaping,
    special,
    spectra,
    statistics,
    turning,
    windows,
)
from jitgrad.functions.linear_algebra import factoring, norms, solving
from jitgrad.functions.nn import (
    activations,
    adaptive,
    attention,
    classes,
    convolution,
    ctc,
    distances,
    dropout,
    embeddings,
    grids,
    layers,
    losses,
    native,
    normalization,
    padding,
    pooling,
    resampling,
)

HOMES: dict[str, tuple[ModuleType, ...]] = {
    "": (
        *(numeric, shaping, indexing, comparing, complexes, elementwise, scans, statistics, joining, diagonals, scattering),
        *(searching, histograms, products, factors, sampling, turning, windows, copies, spectra, native),
    ),
    "linalg": (solving, factoring, norms),
    "special": (special,),
    "fft": (fourier,),
    "nn.functional": (
        *(activations, losses, classes, ctc, distances, normalization, layers, embeddings, attention, dropout),
        *(convolution, pooling, adaptive, resampling, grids, padding),
    ),
}
"""The modules by the namespace that their functions are in, "" for the top."""
