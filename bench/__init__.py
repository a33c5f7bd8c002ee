"""Benchmarks: jitgrad beside code by hand (NumPy, Numba, C), torch, jax and autograd, in one run on one thread.

`python -m bench` from the root of the repository writes tables, goals and losing cases, `python -m bench --help` says what
else there is; `pytest bench --benchmark-only` runs the same workloads under pytest-benchmark. Nothing here is installed.
"""
