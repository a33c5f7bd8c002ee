"""The first call in a new process, with empty and with filled disk caches.

`python -m bench.new_process WORKLOAD CONTESTANT` prints the seconds from after the import to the first result.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Collection

from bench.contestants import COMPILED, JAX, JIT, NEEDS, TORCH
from bench.imports import seconds_printed
from bench.libraries import load
from bench.measure import Result, Timing, middle, one_line, takes_part
from bench.threads import caches_in, one_thread
from bench.workloads import everything

WORKLOADS = ("neuron", "elementwise 1e4")
LABELS = (JIT, TORCH, COMPILED, JAX)
JAX_CACHE = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}
"""jax keeps compiled code only where it is told to; this has it keep what was compiled quickly, too."""


def first_calls(name: str, repeat: int, skip: Collection[str] = ()) -> Result:
    """The first value and gradient of a workload after the imports, with caches filled (steady) and empty (first)."""
    timings = {}
    for label in LABELS:
        if label in skip or not takes_part(label):
            continue
        try:
            with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
                empty, *filled = (_in_a_process(name, label, folder) for _ in range(1 + repeat))
        except (subprocess.CalledProcessError, ValueError, IndexError) as error:
            timings[label] = Timing(problem=f"failed: {one_line(error)}")
            continue
        timings[label] = Timing(empty, *middle(filled), repeat, 1)
    title = f"{name}: first value and gradient in a new process, after the imports; disk caches filled (time) or empty"
    return Result(title, JIT, timings)


def _in_a_process(name: str, label: str, folder: str) -> float:
    caches = caches_in(folder) | JAX_CACHE | {"JAX_COMPILATION_CACHE_DIR": folder}
    return seconds_printed(["-m", "bench.new_process", name, label], caches)


def first_call(name: str, label: str) -> float:
    """Seconds from having a library imported to having the value and the gradient."""
    workload = next(w for w in everything() if w.name == name)
    workload.reference()  # makes the arguments, which is not what is timed
    load(NEEDS.get(label, "jitgrad").partition(".")[0])
    start = time.perf_counter()
    contestant = workload.entrants[label]()
    with contestant.context():
        contestant.arrays(contestant.call(*contestant.args))
        return time.perf_counter() - start


if __name__ == "__main__":
    one_thread()
    print(first_call(*sys.argv[1:]))
