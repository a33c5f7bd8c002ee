"""Norms, ranks and functions of matrices."""
