"""How long `import` takes, in processes of their own."""

from __future__ import annotations

import statistics
import subprocess
import sys

from bench.libraries import why_missing

MODULES = ("jitgrad", "numpy", "torch", "jax")
_CODE = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def import_times(repeat: int = 5) -> dict[str, float]:
    """The median seconds of importing each module that is installed, in turns; the first turn is not counted."""
    modules = [name for name in MODULES if why_missing(name) is None]
    times: dict[str, list[float]] = {name: [] for name in modules}
    for _ in range(repeat + (repeat > 1)):
        for name in modules:
            times[name].append(_once(name))
    return {name: statistics.median(taken[1:] or taken) for name, taken in times.items()}


def _once(module: str) -> float:
    done = subprocess.run([sys.executable, "-c", _CODE.format(module)], capture_output=True, text=True, check=True)
    return float(done.stdout.strip().splitlines()[-1])
