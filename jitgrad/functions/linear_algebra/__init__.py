"""Linear algebra, by the names of `torch.linalg`."""
