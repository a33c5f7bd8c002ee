"""Factorisations of matrices, eigenvalues and singular values."""
