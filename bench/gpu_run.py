"""The command of bench/gpu.py: the phases, each in a process of its own, and what becomes of what they say."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import IO, Any, NamedTuple

from bench import gpu_report as report
from bench.gpu_measure import Found, Lost, Setting, simulated

SCRIPT = Path(__file__).with_name("gpu.py")
ALL = 590.0
"""Seconds for everything."""
GRACE = 4.0
"""Seconds between the end that a phase is told and the one that is made."""
LEAST = 5.0
"""Seconds that a phase is begun for."""


class Phase(NamedTuple):
    """A generator of results, "module:function"; seconds that it may take; and how its results are shown."""

    title: str
    run: str
    seconds: float
    columns: Sequence[report.Column]


PHASES = {
    "machine": Phase("What is there", "bench.gpu_machine:machine", 45, report.MACHINE),
    "suite": Phase("Checked against float64 on the CPU", "bench.gpu_suite:suite", 170, report.SUITE),
    "sanitizer": Phase("Under compute-sanitizer", "bench.gpu_suite:sanitizer", 90, report.TOOLS),
    "speed": Phase("Value and gradient", "bench.gpu_speed:speed", 180, report.SPEED),
    "host": Phase("Until a call returns", "bench.gpu_speed:host", 45, report.HOST),
    "blocks": Phase("By the size of blocks", "bench.gpu_speed:blocks", 55, report.BLOCKS),
}
INNER = {"part": "bench.gpu_suite:some", "checks": "bench.gpu_suite:checks"}
"""What phases run in further processes: the tools of the third one a part of the suite, and the suite its shares."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, or in a process of its own one phase."""
    options = _parser().parse_args(arguments)
    if options.child:
        return child(options)
    unknown = [name for name in options.phases if name not in PHASES]
    if unknown:
        print(f"no phase is called {unknown[0]!r}; there are: {', '.join(PHASES)}", file=sys.stderr)
        return 2
    why = why_not(options.tiny)
    if why:
        print(why, file=sys.stderr)
        return 2
    return everything(options.phases or list(PHASES), options)


def why_not(tiny: bool) -> str:
    """Why nothing can be measured here; empty if it can."""
    from jitgrad.devices import cuda

    if simulated():
        return (
            ""
            if tiny
            else "the simulated GPU takes years for these sizes: add --tiny, or unset JITGRAD_CUDA on a machine with a GPU"
        )
    if cuda.count():
        return ""
    return (
        "there is no GPU to measure: it takes one of NVIDIA's with its driver, and pip install 'jitgrad[cuda13]' (or cuda12); "
        "JITGRAD_CUDA=simulate with --tiny runs all phases without one"
    )


def everything(names: Sequence[str], options: argparse.Namespace) -> int:
    """Phase after phase; 1 if anything was wrong, failed or was cut off, 130 after Ctrl-C."""
    end, results = time.monotonic() + ALL, {name: list[Found]() for name in names}
    if simulated():
        print(report.MEANINGLESS, flush=True)
    if options.out is not None:
        options.out.write_text("", encoding="utf-8")
    status = 0
    try:
        for name in names:
            for found in run_phase(name, options, end):
                results[name].append(found)
                _say(
                    json.dumps({"phase": name, **found, **({"simulated": True} if simulated() else {})}, ensure_ascii=False),
                    options.out,
                )
                status = 1 if "problem" in found else status
            print(f"\n{report.as_table(PHASES[name].title, PHASES[name].columns, results[name])}\n", flush=True)
            _write_page(results, options.out)
    except KeyboardInterrupt:
        status = 130
    print(_page(results), flush=True)
    _write_page(results, options.out)
    if simulated():
        print(f"\n{report.MEANINGLESS}")
    return status


def _say(line: str, out: Path | None) -> None:
    """A line of JSON, written at once, as a machine may be gone at any time."""
    print(line, flush=True)
    if out is not None:
        with out.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _page(results: dict[str, list[Found]]) -> str:
    head = report.heading(results.get("machine", []), date.today().isoformat(), simulated())
    return "\n\n".join(
        [head, *[report.as_markdown(PHASES[name].title, PHASES[name].columns, of) for name, of in results.items() if of]]
    )


def _write_page(results: dict[str, list[Found]], out: Path | None) -> None:
    if out is not None:
        out.with_name(out.name + ".md").write_text(_page(results) + "\n", encoding="utf-8")


# A phase, from outside.


def run_phase(name: str, options: argparse.Namespace, end: float) -> Iterator[Found]:
    """What a process for the phase says, until its time is up; then it is killed, with all that it started."""
    seconds = min(PHASES[name].seconds, end - time.monotonic())
    if seconds < LEAST:
        yield {"problem": "not begun: the ten minutes are over"}
        return
    command = [sys.executable, str(SCRIPT), "--child", name, "--seed", str(options.seed), "--seconds", str(seconds - GRACE)]
    command += ["--processes", str(options.processes), *["--tiny"] * options.tiny]
    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ, "PYTHONUNBUFFERED": "1"}
    deadline = time.monotonic() + seconds
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8", env=environment, start_new_session=True
        )
        try:
            yield from _said(process, deadline)
            try:
                status = process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                status = None
        finally:
            _end(process)
        if status is None:
            yield {"problem": f"cut off after {seconds:.0f} s"}
        elif status:
            errors.seek(0)
            said = errors.read().strip().splitlines()
            print("\n".join(said[-20:]), file=sys.stderr)
            yield {"problem": f"failed with exit status {status}: {said[-1] if said else 'it said nothing'}"}


def _said(process: subprocess.Popen, end: float) -> Iterator[Found]:
    """Its lines of JSON, as they come; others, of libraries, go to where errors go."""
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=max(0.01, end - time.monotonic()))
        except queue.Empty:
            return
        if line is None:
            return
        try:
            found = json.loads(line)
        except json.JSONDecodeError:
            found = None
        if isinstance(found, dict):
            yield found
        else:
            print(line, end="", file=sys.stderr)


def _read(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    with stream:
        for line in stream:
            lines.put(line)
    lines.put(None)


def _end(process: subprocess.Popen) -> None:
    """Kill a process and what it started, whose session is its own; also what is left behind by one that ended."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except (ProcessLookupError, PermissionError):
        pass
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:  # a driver may hold it for ever
        print(f"process {process.pid} cannot be killed", file=sys.stderr)


# A phase, from inside.


def child(options: argparse.Namespace) -> int:
    """Run one phase here, a line of JSON for each result. Where the GPU is lost to an error a new process goes on behind that."""
    module, _, function = (INNER.get(options.child) or PHASES[options.child].run).partition(":")
    end = time.monotonic() + options.seconds
    setting = Setting(options.tiny, options.seed, end, options.start, options.share, options.processes)
    try:
        for found in getattr(importlib.import_module(module), function)(setting):
            print(json.dumps(found, default=_plain, ensure_ascii=False), flush=True)
    except Lost as lost:
        again = ["--child", options.child, "--seed", str(options.seed), "--seconds", str(setting.left())]
        again += ["--start", "{},{}".format(*lost.start), "--share", "{},{}".format(*setting.share), *["--tiny"] * options.tiny]
        os.execv(sys.executable, [sys.executable, str(SCRIPT), *again])
    return 0


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's."""
    return value.item()


def _pair(text: str) -> tuple[int, int]:
    first, _, second = text.partition(",")
    return int(first), int(second)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python bench/gpu.py", description="Check jitgrad on a GPU, and measure it beside other libraries, in ten minutes."
    )
    add = parser.add_argument
    add("--out", metavar="FILE", type=Path, help="also write the lines of JSON to FILE, and the page in Markdown to FILE.md")
    add("--phases", metavar="a,b", default=[], type=lambda text: text.split(","), help=f"only some of: {', '.join(PHASES)}")
    add("--tiny", action="store_true", help="sizes that mean nothing, to see that everything runs; for the simulated GPU, too")
    add("--seed", type=int, default=secrets.randbits(31), help="of the operands that are checked; another each time unless given")
    most = 1 if simulated() else max(1, min(12, (os.cpu_count() or 1) - 2))
    add("--processes", metavar="N", type=int, default=most, help=f"that check side by side, as most of it is compiling ({most})")
    hidden = (("child", "", str), ("seconds", 3600.0, float), ("start", (0, 0), _pair), ("share", (0, 1), _pair))
    for name, default, kind in hidden:
        add(f"--{name}", default=default, type=kind, help=argparse.SUPPRESS)
    return parser
