"""What the command does: time jitgrad under `jit` and torch eager in turns; what takes longer is printed, then sorted."""

from __future__ import annotations

import argparse
import math
import time
import timeit
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

import jitgrad as jg
from bench.rows.cases import FAMILIES, SIZES, Case, named

ROUNDS, FEW = 9, 3
"""How many turns each has; and where a turn takes longer than `SLOW`."""
SLOW = 0.05
TURN = 0.003
"""Seconds of a turn, unless one call takes longer."""
BEYOND = 2.0


class Found(NamedTuple):
    """What a case took, in seconds; or why it took nothing."""

    case: str
    ours: float = math.nan
    theirs: float = math.nan
    why: str = ""

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs

    def __str__(self) -> str:
        return f"{self.ratio:8.2f} {self.ours * 1e6:11.1f} µs {self.theirs * 1e6:11.1f} µs  {self.case}{self.why}"


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    jg.set_num_threads(1)
    found: list[Found] = []
    for family in options.families:
        for size in options.sizes:
            for dtype in options.dtypes:
                cases = [c for c in FAMILIES[family](size, dtype) if not options.only or c.function in options.only]
                for one in (one for case in cases for one in _tried(case, f"{dtype} {size:.0e}")):
                    found.append(one)
                    if one.why or one.ratio >= options.beyond:
                        print(one, flush=True)
    print("\nin order")
    found.sort(key=lambda f: (bool(f.why), f.ratio))
    for one in found:
        if one.why or one.ratio >= options.beyond:
            print(one)
    measured = [f for f in found if not f.why]
    print(f"{sum(f.ratio > BEYOND for f in measured)} of {len(measured)} take more than {BEYOND:g} times as long as torch")
    return 0


def _parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m bench.rows", description=__doc__)
    p.add_argument("--only", nargs="*", help="names of functions; all if left out")
    p.add_argument("--families", nargs="*", choices=FAMILIES, default=list(FAMILIES))
    p.add_argument("--dtypes", nargs="*", default=["float32", "float64"])
    p.add_argument("--sizes", nargs="*", type=int, default=list(SIZES))
    p.add_argument("--beyond", type=float, default=BEYOND, help="print what takes so many times as long as torch, or longer")
    return p


def _tried(case: Case, prefix: str) -> list[Found]:
    """Value, then value and gradient; what fails is shown as such, and the others go on."""
    found = []
    for way, work in (("value", _values), ("gradient", _gradients)):
        label = f"{prefix} {case.name} {way}"
        try:
            found.append(work(case, label))
        except Exception as error:
            text = str(error).strip().partition("\n")[0]
            found.append(Found(label, why=f": {type(error).__name__}: {text}"[:120]))
    return [f for f in found if f is not None]


def _values(case: Case, label: str) -> Found | None:
    mine, other = named(jg, case.function), named(torch, case.function)
    if mine is None or other is None:
        return None
    arrays = case.inputs
    return _measured(
        label, jg.jit(case.call(mine)), list(map(jg.tensor, arrays)), case.call(other), list(map(torch.from_numpy, arrays))
    )


def _gradients(case: Case, label: str) -> Found | None:
    """Of the result times an array, summed; None for what has none."""
    mine, other = named(jg, case.function), named(torch, case.function)
    if mine is None or other is None:
        return None
    ours, theirs = case.call(mine), case.call(other)
    ys = [torch.from_numpy(x).clone().requires_grad_(x.dtype.kind == "f") for x in case.inputs]
    wanted = tuple(i for i, y in enumerate(ys) if y.requires_grad)
    result = theirs(*ys)
    if not result.requires_grad:
        return None
    weight = np.random.default_rng(6).uniform(0.5, 1.5, tuple(result.shape)).astype(str(result.dtype).partition(".")[2])
    step = jg.jit(jg.value_and_grad(lambda w, *xs: (ours(*xs) * w).sum(), tuple(i + 1 for i in wanted)))

    def back(v: Any, *ys: Any) -> Any:
        value = (theirs(*ys) * v).sum()
        return value, torch.autograd.grad(value, [ys[i] for i in wanted])

    return _measured(label, step, [jg.tensor(weight), *map(jg.tensor, case.inputs)], back, [torch.from_numpy(weight), *ys])


def _measured(label: str, ours: Callable, xs: list, theirs: Callable, ys: list) -> Found:
    """The least time of many short turns, in which nothing counts that the machine does meanwhile for others."""
    timers = [timeit.Timer(call, timer=time.thread_time) for call in (lambda: ours(*xs), lambda: theirs(*ys))]
    counts = [max(1, int(TURN / min(timer.repeat(3, 1)))) for timer in timers]
    least = [math.inf, math.inf]
    for turn in range(ROUNDS):
        if turn >= FEW and max(least) > SLOW:
            break
        for k, timer in enumerate(timers):
            least[k] = min(least[k], timer.timeit(counts[k]) / counts[k])
    return Found(label, least[0], least[1])
