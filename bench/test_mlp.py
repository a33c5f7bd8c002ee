"""Training steps of networks and of logistic regression."""

from __future__ import annotations

import pytest

from bench.suite import cases
from bench.workloads import models


@pytest.mark.parametrize(("workload", "contestant"), cases(models()))
def test_mlp(compete, workload, contestant):
    compete(workload, contestant)
