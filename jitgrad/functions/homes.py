"""Where users find the functions that are written by hand: at the top, or in a namespace of PyTorch's."""

from __future__ import annotations

from types import ModuleType

from jitgrad.functions import (
    comparing,
    diagonals,
    elementwise,
    fourier,
    indexing,
    joining,
    numeric,
    parts,
    products,
    sampling,
    scans,
    scattering,
    searching,
    shaping,
    special,
    statistics,
)
from jitgrad.functions.linear_algebra import factoring, norms, solving
from jitgrad.functions.nn import (
    activations,
    attention,
    classes,
    convolution,
    ctc,
    distances,
    dropout,
    embeddings,
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
        *(numeric, shaping, indexing, comparing, elementwise, scans, statistics, joining, diagonals, scattering),
        *(searching, products, parts, sampling, native),
    ),
    "linalg": (solving, factoring, norms),
    "special": (special,),
    "fft": (fourier,),
    "nn.functional": (
        *(activations, losses, classes, ctc, distances, normalization, layers, embeddings, attention, dropout),
        *(convolution, pooling, resampling, padding),
    ),
}
"""The modules by the namespace that their functions are in, "" for the top."""
