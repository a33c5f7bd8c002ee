"""One thread for everybody, and disk caches of its own: to be set before anything that computes is imported."""

from __future__ import annotations

import os
import sys

COUNTS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "TORCHINDUCTOR_COMPILE_THREADS",
)
XLA = ("--xla_cpu_multi_thread_eigen=false", "intra_op_parallelism_threads=1")


def one_thread() -> None:
    """Ask every library for one thread, and pin the process to one core where the system can."""
    os.environ.update(dict.fromkeys(COUNTS, "1"))
    given = [flag for flag in os.environ.get("XLA_FLAGS", "").split() if flag not in XLA]
    os.environ["XLA_FLAGS"] = " ".join([*given, *XLA])
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def caches_in(folder: str) -> dict[str, str]:
    """The environment that has every library that keeps compiled code keep it in `folder`."""
    variables = ("JITGRAD_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "NUMBA_CACHE_DIR")
    return {name: os.path.join(folder, name.partition("_")[0].lower()) for name in variables}


def describe() -> list[str]:
    """What is in force now, a line each."""
    set_to_one = [name for name in COUNTS[:3] if os.environ.get(name) == "1"]
    lines = [f"{', '.join(set_to_one) or 'no thread count'} = 1; XLA_FLAGS={os.environ.get('XLA_FLAGS', '')}"]
    torch = sys.modules.get("torch")
    if torch is not None:
        lines.append(f"torch.get_num_threads() = {torch.get_num_threads()}")
    if hasattr(os, "sched_getaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        lines.append(f"pinned to core {cores[0]}" if len(cores) == 1 else f"not pinned: cores {cores}")
    else:
        lines.append("not pinned: this system has no affinity call")
    return lines
