"""Checks that are divided among several processes, since what takes the time is compiling, which each does for its own.

They share the GPU, which takes the kernels of one after those of another, and the machine code that is kept on disk.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from bench.gpu_measure import Found, Setting

SOONER = 3.0
"""Seconds that the processes end before the one that waits for them."""
ADDED = ("checks", "failed", "moved", "without")


def shared(name: str, setting: Setting) -> Iterator[Found]:
    """What as many processes say as the setting has: what is wrong as it comes, and at the end a total for each group."""
    lines: queue.Queue[tuple[int, str | None]] = queue.Queue()
    totals: dict[str, Found] = {}
    with ExitStack() as stack:
        errors = [stack.enter_context(tempfile.TemporaryFile("w+", errors="replace")) for _ in range(setting.processes)]
        started = [_started(name, k, setting, errors[k], lines) for k in range(setting.processes)]
        stack.callback(_end, started)
        working = set(range(setting.processes))
        while working:
            try:
                k, line = lines.get(timeout=min(3600.0, max(0.01, setting.left())))
            except queue.Empty:
                break
            if line is None:
                working.discard(k)
                if started[k].wait():
                    yield {"group": f"process {k}", "problem": _why(started[k], errors[k])}
            elif line.startswith("{"):
                found = json.loads(line)
                if "checks" in found:
                    _add(totals, found)
                else:
                    yield found
        for k in sorted(working):
            yield {"group": f"process {k}", "problem": "cut off"}
    yield from totals.values()


def _started(name: str, k: int, setting: Setting, errors: IO[str], lines: queue.Queue) -> subprocess.Popen:
    command = [sys.executable, str(Path(__file__).with_name("gpu.py")), "--child", name, "--seed", str(setting.seed)]
    command += ["--seconds", str(max(0.0, min(3600.0, setting.left()) - SOONER)), "--share", f"{k},{setting.processes}"]
    command += ["--tiny"] * setting.tiny
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8")
    threading.Thread(target=_read, args=(k, process.stdout, lines), daemon=True).start()
    return process


def _read(k: int, stream: IO[str], lines: queue.Queue) -> None:
    with stream:
        for line in stream:
            lines.put((k, line))
    lines.put((k, None))


def _end(processes: list[subprocess.Popen[Any]]) -> None:
    for process in processes:
        process.kill()
        process.wait()


def _why(process: subprocess.Popen, errors: IO[str]) -> str:
    errors.seek(0)
    said = errors.read().strip().splitlines()
    return f"failed with exit status {process.returncode}: {said[-1] if said else 'it said nothing'}"


def _add(totals: dict[str, Found], found: Found) -> None:
    """Take a part into the total of its group."""
    total = totals.setdefault(found["group"], {**found, **dict.fromkeys(ADDED, 0)})
    for key in ADDED:
        total[key] += found[key]
    if found["worst"] > total["worst"]:
        total["worst"], total["case"] = found["worst"], found["case"]
