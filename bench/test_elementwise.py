"""One expression with its gradient, from 1e2 to 1e7 elements."""

from __future__ import annotations

import pytest

from bench.suite import cases
from bench.workloads import elementwises


@pytest.mark.parametrize(("workload", "contestant"), cases(elementwises()))
def test_elementwise(compete, workload, contestant):
    compete(workload, contestant)
