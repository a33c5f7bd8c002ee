"""How far to go along a direction: a step that fulfils the strong conditions of Wolfe.

Nocedal & Wright, "Numerical optimization" (2006), algorithms 3.5 and 3.6, with the safeguards of M. Schmidt's minFunc.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

DECREASE, CURVATURE = 1e-4, 0.9
"""The value must fall by this part of what the slope promises, and the slope to this part of what it was."""
WIDEN = 10
"""A step grows by this factor at most."""
NEAR = 0.1
"""This close to an end of the bracket, as part of its width, a step brings little."""


class Point(NamedTuple):
    """A place along the direction: the step to it, value and gradient there, and the slope along the direction."""

    t: float
    value: float
    gradient: Any
    slope: float


def strong_wolfe(
    at: Callable[[float], Point], start: Point, t: float, most: int, reach: float, tolerance: float
) -> tuple[Point, int]:
    """The point to go to, and how often `at` was called. `t` is the first step to try, and `most` how many may follow;
    a bracket is given up when it is narrower than `tolerance`, times `reach`, the largest element of the direction."""
    before, here = start, at(t)
    for trial in range(most):
        if _too_high(here, start) or (trial > 1 and here.value >= before.value):
            return _zoomed(at, start, before, here, most - trial, reach, tolerance, trial + 1)
        if _is_flat(here, start):
            return here, trial + 1
        if here.slope >= 0:
            return _zoomed(at, start, before, here, most - trial, reach, tolerance, trial + 1)
        further = cubic_minimum(before, here, here.t + 0.01 * (here.t - before.t), WIDEN * here.t)
        before, here = here, at(further)
    return min(start, here, key=lambda point: point.value), most + 1


def _too_high(point: Point, start: Point) -> bool:
    return point.value > start.value + DECREASE * point.t * start.slope


def _is_flat(point: Point, start: Point) -> bool:
    return abs(point.slope) <= -CURVATURE * start.slope


def _zoomed(
    at: Callable[[float], Point], start: Point, a: Point, b: Point, most: int, reach: float, tolerance: float, calls: int
) -> tuple[Point, int]:
    """The point to go to between two that have one between them, found with `most` calls more."""
    low, high = (a, b) if a.value <= b.value else (b, a)
    stuck = False
    for made in range(calls, calls + most):
        first, last = min(low.t, high.t), max(low.t, high.t)
        if (last - first) * reach < tolerance:
            return low, made
        t, stuck = _within(cubic_minimum(low, high, first, last), first, last, stuck)
        here = at(t)
        if _too_high(here, start) or here.value >= low.value:
            low, high = (low, here) if low.value <= here.value else (here, low)
        elif _is_flat(here, start):
            return here, made + 1
        else:
            low, high = here, low if here.slope * (high.t - low.t) >= 0 else high
    return low, calls + most


def _within(t: float, least: float, most: float, stuck: bool) -> tuple[float, bool]:
    """A step that does not come too close to an end of the bracket twice, and whether it comes close."""
    margin = NEAR * (most - least)
    if min(most - t, t - least) >= margin:
        return t, False
    if not stuck and least < t < most:
        return t, True
    return (most - margin if abs(t - most) < abs(t - least) else least + margin), False


def cubic_minimum(a: Point, b: Point, least: float, most: float) -> float:
    """Where the cubic through two values and slopes is smallest, between two bounds."""
    if b.t < a.t:
        a, b = b, a
    mean = a.slope + b.slope - 3 * (a.value - b.value) / (a.t - b.t) if a.t != b.t else math.nan
    square = mean * mean - a.slope * b.slope
    if not square >= 0:
        return (least + most) / 2
    root = math.sqrt(square)
    below = b.slope - a.slope + 2 * root
    found = b.t - (b.t - a.t) * ((b.slope + root - mean) / below) if below else math.nan
    return min(max(found, least), most) if found == found else (least + most) / 2
