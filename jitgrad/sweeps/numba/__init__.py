"""A plan as the text of `@njit` functions."""
