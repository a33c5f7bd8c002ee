"""The second phase, every operation on the device against float64 on the CPU, and the third, a part of it under NVIDIA's tools.

Memory that is given out holds nan before a kernel writes there, and every check is run again with the same operands: as
results follow from the operands alone, one that moves was computed in a race.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bench.gpu_checks import Arrays, Check, Group, groups, has_no_kernel, part
from bench.gpu_measure import Found, Lost, Setting, device, poisoned, simulated
from bench.gpu_shares import shared
from bench.measure import one_line

EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
VALUE, GRADIENT = 64, 256
"""Units in the last place (of 1, for results below) by which values and gradients may differ. Rounding makes some ten."""
BESIDE_CPU = 4
"""A result is wrong beyond these only if it is so many times as far off as what the CPU gives in the same dtype."""
LOST = re.compile(
    "CUDA_ERROR_(ILLEGAL_ADDRESS|ILLEGAL_INSTRUCTION|MISALIGNED_ADDRESS|INVALID_ADDRESS_SPACE|INVALID_PC|HARDWARE_STACK_ERROR|"
    "LAUNCH_FAILED|LAUNCH_TIMEOUT|ASSERT|ECC_UNCORRECTABLE|CONTEXT_IS_DESTROYED|EXTERNAL_DEVICE|UNKNOWN)"
)
"""Errors after which a process gets nothing but errors (as NVIDIA's documentation of CUresult has it, and what follows them)."""
SHOWN = 10
"""Checks of a group that are shown if they fail."""


def suite(setting: Setting) -> Iterator[Found]:
    """A line for each group, after one for each check in it that failed."""
    return shared("checks", setting) if setting.processes > 1 else checks(setting)


def checks(setting: Setting) -> Iterator[Found]:
    """The same here, in this process."""
    return checked(groups(setting), setting)


def some(setting: Setting) -> Iterator[Found]:
    """A part of the suite, with memory that is not rounded up, so that a tool sees an access that is out of an array."""
    from jitgrad.sweeps.cuda import memory

    memory.rounded = lambda nbytes: max(nbytes, 1)
    return checked(part(setting), setting)


def checked(all_groups: Sequence[Group], setting: Setting) -> Iterator[Found]:
    """Run the checks of groups, as long as there is time. `Lost` if one leaves a GPU that answers with errors to everything."""
    first_group, first_check = setting.start
    with poisoned(device()):
        for i in range(first_group, len(all_groups)):
            tally = Tally(all_groups[i][0])
            for k, check in enumerate(all_groups[i][1]()):
                if (i == first_group and k < first_check) or k % setting.share[1] != setting.share[0]:
                    continue
                if setting.left() < 1:
                    yield from tally.lines()
                    left = ", ".join(name for name, _ in all_groups[i:])
                    yield {"group": tally.name, "problem": f"no time was left to check all of: {left}"}
                    return
                try:
                    tally.take(check)
                except RuntimeError as error:  # see `Tally.take`
                    tally.problems.insert(0, (check.name, f"the GPU was lost: {one_line(error)}"))
                    yield from tally.lines()
                    raise Lost((i, k + 1), check.name) from error
            yield from tally.lines()


class Tally:
    """What the checks of a group came to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.checks = self.without = 0
        self.worst, self.worst_at = 0.0, ""
        self.problems: list[tuple[str, str]] = []
        self.notes: list[tuple[str, str]] = []  # of what loses digits on the CPU as well
        self.moved = 0

    def take(self, check: Check) -> None:
        """Run a check. Any error is a problem of it, but for those that a GPU is lost to, which are a `RuntimeError`."""
        self.checks += 1
        try:
            want = check.reference()
            found = [check.device(k) for k in range(check.times)]
        except Exception as error:
            if has_no_kernel(error):
                self.without += 1
                return
            if LOST.search(str(error)):
                raise RuntimeError(str(error)) from error
            self.problems.append((check.name, f"failed: {one_line(error)}"))
            return
        self._compare(check, want, found)

    def _compare(self, check: Check, want: Arrays, found: list[Arrays]) -> None:
        name = check.name
        if any(not same_bits(found[0], other) for other in found[1:]):
            self.moved += 1
            self.problems.append((name, f"moves: results differ between {len(found)} runs with the same operands"))
        if len(found[0]) < len(want):
            self.without += 1  # the gradient has no kernel
        for arrays in found:
            for k, (a, b) in enumerate(zip(arrays, want)):
                error, at = distance(a, b, check.sums)
                if error > (GRADIENT if k else VALUE):
                    what = f"{f'gradient {k}' if k else 'value'} {at}, {error:.3g} units in the last place"
                    there = distance(check.same()[k], b, check.sums)[0]
                    if error > BESIDE_CPU * there:
                        self.problems.append((name, f"wrong: {what}"))
                    else:
                        self.notes.append((name, f"{what}; on the CPU, in the same dtype, it is {there:.3g}"))
                    return
                if error > self.worst:
                    self.worst, self.worst_at = error, name

    def lines(self) -> Iterator[Found]:
        """What failed, and how many."""
        for name, problem in self.problems[:SHOWN]:
            yield {"group": self.name, "case": name, "problem": problem}
        for name, note in self.notes[:SHOWN]:
            yield {"group": self.name, "case": name, "note": note}
        yield {
            "group": self.name,
            "checks": self.checks,
            "failed": len(self.problems),
            "moved": self.moved,
            "without": self.without,
            "worst": self.worst,
            "case": self.worst_at,
        }


def same_bits(some: Arrays, others: Arrays) -> bool:
    """Whether two results are the same, nan included."""
    return len(some) == len(others) and all(a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in zip(some, others))


def distance(got: np.ndarray, want: np.ndarray, sums: bool = False) -> tuple[float, str]:
    """How far a result is off, in units in the last place of its dtype, and where; whole numbers are right, or infinitely far."""
    if got.shape != want.shape:
        return np.inf, f"has shape {got.shape}, not {want.shape}"
    if not got.size:
        return 0.0, ""
    if got.dtype.name not in EPSILON:
        off = np.where(got == want, 0.0, np.inf)
    else:
        with np.errstate(all="ignore"):
            a, b = got.astype(np.float64), want.astype(got.dtype).astype(np.float64)
            size = np.max(np.abs(b), where=np.isfinite(b), initial=1.0) if sums else np.maximum(np.abs(b), 1.0)
            off = np.abs(a - b) / (EPSILON[got.dtype.name] * size)
        off = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.where(np.isnan(off), np.inf, off))
    at = np.unravel_index(int(np.argmax(off)), off.shape)
    return float(off[at]), f"is {got[at]} at {tuple(map(int, at))}, where {want[at]} is right"


# NVIDIA's tools.

TOOLS = ("memcheck", "racecheck")
SUMMARY = re.compile(r"(?:ERROR|RACECHECK) SUMMARY: (\d+) (?:errors?|hazards? displayed.*)")
FAILED = 86
PLACES = ("/usr/local/cuda/bin", "/opt/cuda/bin")


def sanitizer(setting: Setting) -> Iterator[Found]:
    """memcheck and racecheck on a part of the suite; a simulated GPU looks for the same by itself."""
    if simulated():
        checks = failed = 0
        for found in some(setting):
            if "problem" in found:
                yield found
            checks, failed = checks + found.get("checks", 0), failed + found.get("failed", 0)
        yield {"tool": "the simulator, which checks bounds and races itself", "checks": checks, "errors": failed}
        return
    tool = shutil.which("compute-sanitizer") or next(
        filter(None, (shutil.which("compute-sanitizer", path=p) for p in PLACES)), None
    )
    if tool is None:
        yield {"tool": "compute-sanitizer", "note": "not checked: it is not on the PATH (it comes with the CUDA toolkit)"}
        return
    for k, name in enumerate(TOOLS):
        yield _under(tool, name, setting, max(5.0, (setting.left() - 5) / (len(TOOLS) - k)))


def _under(tool: str, name: str, setting: Setting, seconds: float) -> Found:
    """What one of the tools says of a part of the suite."""
    script = str(Path(__file__).with_name("gpu.py"))
    own = [sys.executable, script, "--child", "part", "--seed", str(setting.seed), "--seconds", str(seconds - 3)]
    own += ["--tiny"] * setting.tiny
    with tempfile.TemporaryDirectory(prefix="bench-gpu-") as folder:
        log, said = Path(folder) / "log", Path(folder) / "said"
        options = ["--tool", name, "--error-exitcode", str(FAILED), "--log-file", str(log)]
        with said.open("w") as out:  # a file, as a pipe would be waited for until the last process has let go of it
            try:
                status = subprocess.run([tool, *options, *own], stdout=out, stderr=out, timeout=seconds, check=False).returncode
            except subprocess.TimeoutExpired:
                status = None
        text = log.read_text(errors="replace") if log.exists() else ""
        return _judged(name, status, text, said.read_text(errors="replace"))


def _judged(name: str, status: int | None, log: str, said: str) -> Found:
    """The number of errors, and the first of them."""
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    found: Found = {"tool": name, "checks": sum(line.get("checks", 0) for line in lines)}
    summary = SUMMARY.search(log)
    if summary is not None:
        found["errors"] = int(summary[1])
    wrong = [line["problem"] for line in lines if "problem" in line]
    if status is None:
        found["problem"] = "cut off"
    elif summary is None or (status and not found["errors"] and not wrong):
        found["problem"] = f"exit status {status}: {(said.strip() or log.strip()).splitlines()[-1:]}"
    elif found["errors"]:
        first = [line.lstrip("= ") for line in log.splitlines() if line.lstrip("= ") and "COMPUTE-SANITIZER" not in line]
        found["problem"] = " / ".join(first[:4])
    elif wrong:
        found["problem"] = f"{len(wrong)} checks: {wrong[0]}"
    return found
