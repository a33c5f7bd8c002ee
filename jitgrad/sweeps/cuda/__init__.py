"""A plan as `@cuda.jit` kernels: on a GPU, or simulated."""
