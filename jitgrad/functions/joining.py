"""Tensors put together and taken apart: stacks, tiles, grids."""
