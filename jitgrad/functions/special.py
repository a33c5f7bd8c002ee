"""Special functions, by the names of `torch.special`."""
