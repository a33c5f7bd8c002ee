"""Benchmarks: jitgrad beside NumPy by hand, torch, jax and autograd, in one run on one thread.

`python -m bench` from the root of the repository writes tables, goals and losing cases; `pytest bench --benchmark-only`
runs the same workloads under pytest-benchmark. Nothing here is installed.
"""
