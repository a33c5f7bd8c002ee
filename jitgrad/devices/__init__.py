"""Where values are computed: the CPU, GPUs, and a GPU that is simulated."""
