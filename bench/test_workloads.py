"""Every contestant that is installed at every workload; without torch.compile, which compiles for long."""

from __future__ import annotations

import pytest

from bench.contestants import COMPILED
from bench.measure import takes_part
from bench.workloads import everything

CASES = [
    pytest.param(workload, label, id=f"{workload.name}-{label}".replace(" ", "_"))
    for workload in everything()
    for label in workload.entrants
    if label != COMPILED and takes_part(label)
]


@pytest.mark.parametrize(("workload", "contestant"), CASES)
def test_workload(compete, workload, contestant):
    compete(workload, contestant)
