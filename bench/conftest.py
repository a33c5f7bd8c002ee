"""One thread before anything is imported, and a fixture that runs a contestant under pytest-benchmark."""

from __future__ import annotations

from bench.threads import one_thread

one_thread()

from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import pytest  # noqa: E402

from bench.contestants import Workload, wrong  # noqa: E402


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let `--benchmark-only` win over the `--benchmark-disable` that the project's own options have."""
    if getattr(config.option, "benchmark_only", False):
        config.option.benchmark_disable = False


@pytest.fixture
def compete(benchmark: Any) -> Callable[[Workload, str], None]:
    """Check what a contestant gives, then time it."""

    def run(workload: Workload, label: str) -> None:
        benchmark.group = workload.name
        contestant = workload.entrants[label]()
        with contestant.context():
            result = contestant.call(*contestant.args)
            assert wrong(contestant.arrays(result), workload.reference(), workload.tolerance) is None
            benchmark(contestant.call, *contestant.args)

    return run
