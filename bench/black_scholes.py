"""European calls after Black and Scholes (Journal of Political Economy 81, 1973): prices and all first Greeks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.by_hand import by_c
from bench.contestants import C, Contestant, Problem, Workload, differentiated, flat
from bench.elementwise import power
from bench.libraries import Library, numpy_erf

SIZE = 1_000_000


def loss(library: Library) -> Callable:
    """The sum of the prices: its gradient in all inputs holds delta, theta, rho and vega of each option."""
    xp, erf = library.xp, library.erf

    def normal(x: Any) -> Any:
        return 0.5 * (1 + erf(x * math.sqrt(0.5)))

    def prices(spot: Any, strike: Any, time: Any, rate: Any, volatility: Any) -> Any:
        spread = volatility * xp.sqrt(time)
        d1 = (xp.log(spot / strike) + (rate + 0.5 * volatility * volatility) * time) / spread
        return xp.sum(spot * normal(d1) - strike * xp.exp(-rate * time) * normal(d1 - spread))

    return prices


def by_hand(spot: Any, strike: Any, time: Any, rate: Any, volatility: Any) -> Any:
    """The closed forms of prices and Greeks; erf is SciPy's where SciPy is there."""
    erf = numpy_erf()
    root = np.sqrt(time)
    d1 = (np.log(spot / strike) + (rate + 0.5 * volatility * volatility) * time) / (volatility * root)
    first = 0.5 * (1 + erf(d1 * math.sqrt(0.5)))
    second = 0.5 * (1 + erf((d1 - volatility * root) * math.sqrt(0.5)))
    vega = spot * np.exp(-0.5 * d1 * d1) / math.sqrt(2 * math.pi) * root
    discounted = np.exp(-rate * time) * second
    later = strike * discounted
    theta = 0.5 * vega * volatility / time + rate * later
    return np.sum(spot * first - later), (first, -discounted, theta, time * later, vega)


def black_scholes(size: int = SIZE) -> Workload:
    """Value and gradient of the summed prices in all five inputs, float64."""

    def arguments() -> tuple:
        random = np.random.default_rng(5)
        bounds = ((80, 120), (80, 120), (0.1, 2), (0.0, 0.05), (0.1, 0.5))
        return tuple(random.uniform(low, high, size) for low, high in bounds)

    def c() -> Contestant:
        function = by_c("black_scholes", "n" + 10 * "*", returns="d")

        def call(*given: np.ndarray) -> Any:
            greeks = tuple(np.empty_like(x) for x in given)
            return function(size, *[array.ctypes.data for array in (*given, *greeks)]), greeks

        return Contestant(call, arguments(), flat)

    title = f"Black–Scholes, prices and the gradient in all five inputs, float64, {size:,} options"
    problem = Problem(f"black-scholes {power(size)}", title, loss, arguments, 5, by_hand, double=True)
    return differentiated(problem, {C: c})
