"""Workloads as parameters of pytest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from bench.contestants import COMPILED, NEEDS, Workload
from bench.libraries import why_missing


def cases(workloads: Iterable[Workload]) -> list[Any]:
    """Every contestant that is installed at every workload; without torch.compile, which compiles for long."""
    return [
        pytest.param(workload, label, id=f"{workload.name}-{label}".replace(" ", "_"))
        for workload in workloads
        for label in workload.entrants
        if label != COMPILED and (label not in NEEDS or why_missing(NEEDS[label]) is None)
    ]
