"""Sorting, searching, counting."""
