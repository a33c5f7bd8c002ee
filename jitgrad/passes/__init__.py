"""Tape in, tape out: reverse, forward, many examples at once, simplification."""
