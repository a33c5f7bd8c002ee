"""Where users find the functions that are written by hand: at the top, or in a namespace of PyTorch's."""

from jitgrad.functions.face import Face

HOMES: dict[str, tuple[str, ...]] = {
    "": (
        *(
            "numeric",
            "shaping",
            "indexing",
            "comparing",
            "complexes",
            "elementwise",
            "scans",
            "statistics",
            "joining",
            "diagonals",
        ),
        *("scattering", "searching", "histograms", "products", "factors", "sampling", "turning", "windows", "copies", "spectra"),
        *("creation", "data", "memory", "asking", "signal_windows", "nn.native", "nn.with_statistics"),
    ),
    "linalg": ("linear_algebra.solving", "linear_algebra.factoring", "linear_algebra.norms"),
    "special": ("special",),
    "fft": ("fourier",),
    "nn.functional": (
        *("nn.pieces", "nn.activations", "nn.losses", "nn.classes", "nn.ctc", "nn.distances", "nn.normalization", "nn.layers"),
        *("nn.embeddings", "nn.attention", "nn.dropout", "nn.convolution", "nn.pooling", "nn.adaptive", "nn.resampling"),
        *("nn.grids", "nn.padding"),
    ),
}
"""The modules of `jitgrad.functions` by the namespace that their functions are in, "" for the top. A module is imported when one
of its functions is asked for; which ones it has stands in `offers`, which is written from the modules."""

OTHERWISE = {
    "creation": Face(method=False, bare=True),
    "data": Face(method=False, bare=True),
    "memory": Face(method=False),
    "signal_windows": Face(method=False),
}
"""What holds for the functions of a module where they state nothing: those that make tensors take all as it is given."""
