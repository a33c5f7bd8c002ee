"""What becomes of a tape: segments, layouts, buffers, what is computed again."""
