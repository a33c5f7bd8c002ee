"""The neuron: a whole eager step, and value and gradient under jit."""

from __future__ import annotations

import pytest

from bench.suite import cases
from bench.workloads import neurons


@pytest.mark.parametrize(("workload", "contestant"), cases(neurons()))
def test_neuron(compete, workload, contestant):
    compete(workload, contestant)
