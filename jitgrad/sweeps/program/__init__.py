"""A plan that can be called: kernels, NumPy calls and buffers."""
