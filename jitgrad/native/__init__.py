"""Functions for callers that are not Python: C, SciPy, Numba, and files."""
