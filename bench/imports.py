"""How long `import` takes, in processes of their own, and how much of a disk the libraries take."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata, util
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from bench.libraries import why_missing
from bench.measure import Result, Timing, middle

MODULES = ("jitgrad", "numpy", "numba", "torch", "jax", "autograd")
_CODE = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def import_times(repeat: int = 5) -> Result:
    """The seconds of importing each module that is installed, in turns; the first turn is not counted."""
    modules = [name for name in MODULES if why_missing(name) is None]
    times: dict[str, list[float]] = {name: [] for name in modules}
    for _ in range(repeat + (repeat > 1)):
        for name in modules:
            times[name].append(_once(name))
    timings = {}
    for name, (first, *later) in times.items():
        timings[name] = Timing(first, *middle(later or [first]), repeat, 1)
    return Result("import, in fresh processes", "jitgrad", timings)


def _once(module: str) -> float:
    return seconds_printed(["-c", _CODE.format(module)])


def seconds_printed(arguments: list[str], environment: Mapping[str, str] = MappingProxyType({})) -> float:
    """The number that a new Python prints last; raises `CalledProcessError` where it fails.

    It may write bytecode, as an installed library has it: otherwise compiling our sources would be measured.
    """
    given = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | environment
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=given)
    return float(done.stdout.strip().splitlines()[-1])


class Size(NamedTuple):
    """What an installed library takes, in bytes: by itself, and with everything that it needs."""

    alone: int
    together: int


def installed_sizes() -> dict[str, Size]:
    """The size of every library that is installed."""
    names = [name for name in MODULES if why_missing(name) is None]
    return {name: Size(_size(name), sum(map(_size, _needed(name, set())))) for name in names}


def _needed(name: str, seen: set[str]) -> set[str]:
    """A distribution and what it needs, as far as that is installed; what only an extra needs is not counted."""
    try:
        requirements = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return seen
    seen.add(_normal(name))
    for requirement in requirements:
        needed = re.match(r"[\w.-]+", requirement)
        if needed is not None and "extra ==" not in requirement and _normal(needed[0]) not in seen:
            _needed(needed[0], seen)
    return seen


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _size(name: str) -> int:
    listed = [Path(str(f.locate())) for f in metadata.files(name) or ()]
    if not any(f.suffix == ".py" and f.name == "__init__.py" for f in listed):  # installed from a checkout
        listed += _packages(name)
    return sum(f.stat().st_size for f in listed if f.is_file())


def _packages(name: str) -> list[Path]:
    """The files of a package and of its subpackages that lie somewhere else."""
    spec = util.find_spec(name)
    folders = [] if spec is None else [*map(Path, spec.submodule_search_locations or ())]
    if name == "jitgrad":
        kernels = util.find_spec("jitgrad.kernels")
        folders += [] if kernels is None else [*map(Path, kernels.submodule_search_locations or ())]
    return [file for folder in folders for file in folder.rglob("*") if "__pycache__" not in file.parts]
