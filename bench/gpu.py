"""What a GPU does, for one that is there for ten minutes: `python bench/gpu.py [--out FILE] [--phases a,b] [--tiny]`.

Each phase runs in a process of its own, with a time limit, and gives a line of JSON for each result and a table after it; the
last thing is all of it in Markdown, for docs/performance.md. The phases are in `bench/gpu_run.py`. The exit status is 1 if
something was wrong, failed or was cut off, and 2 without a GPU; `JITGRAD_CUDA=simulate` with `--tiny` runs all without one, to
see that it runs: its numbers mean nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def start() -> int:
    """Find `bench` and `tests` from wherever this is started, not the files beside this one, and run the command."""
    here = str(Path(__file__).resolve().parent)
    sys.path[:] = [str(ROOT), *[path for path in sys.path if path not in (here, str(ROOT))]]
    from bench.gpu_run import main

    return main()


if __name__ == "__main__":
    sys.exit(start())
