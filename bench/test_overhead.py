"""What one eager operation costs."""

from __future__ import annotations

import pytest

from bench.suite import cases
from bench.workloads import overheads


@pytest.mark.parametrize(("workload", "contestant"), cases(overheads()))
def test_overhead(compete, workload, contestant):
    compete(workload, contestant)
