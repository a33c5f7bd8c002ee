"""Kernels that are written by hand: products, running sums, sorting, adding at computed places."""
