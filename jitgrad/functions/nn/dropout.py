"""Dropout: parts that are set to zero by chance."""
