"""Padding, and windows as columns."""
