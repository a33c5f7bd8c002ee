"""Elementwise functions that are written in others."""
