"""How much of PyTorch's differentiable part is here: its own database of operations, and its public names, against ours."""
