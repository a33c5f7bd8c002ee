"""A call becomes a row: promotion, numbers, indices, the quick ways, and the trace that `jit` and `vmap` record on."""
