"""The sweeps, each of which gives what the others give."""

from __future__ import annotations

from jitgrad.jitted.choice import SWEEPS as CHOICES

SWEEPS = CHOICES[1:]
"""All but "auto", which is one of them."""
