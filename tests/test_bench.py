"""The benchmarks: every contestant that needs no peer is right, and the report can be read. Nothing is timed here."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def bench(name):
    return importlib.import_module(f"bench.{name}")


@pytest.fixture
def results():
    """Workloads of every kind with the contestants that are always there, each called a few times."""
    contestants, measure = bench("contestants"), bench("measure")
    ours = {contestants.EAGER, contestants.JIT, contestants.INTERPRETED, contestants.NUMPY, contestants.FLOOR}
    effort = measure.Effort(workload=0.0, turn=0.0, fewest=2, most=2)
    return [(w, measure.measure(w, effort, only=ours)) for w in bench("workloads").tiny()]


def test_every_gradient_is_right_and_every_table_renders(results):
    contestants, report = bench("contestants"), bench("report")
    for workload, timings in results:
        assert {label: t.problem for label, t in timings.items() if t.problem} == {}
        wanted = {contestants.JIT, contestants.INTERPRETED, contestants.NUMPY}
        assert set(timings) >= (wanted if workload.base == contestants.JIT else {contestants.EAGER})
        text = report.timings_table(workload, timings)
        assert workload.title in text
        assert all(label in text for label in timings)
        assert all(t.rounds == 2 and t.first > 0 and t.steady > 0 for t in timings.values())


def test_the_summary_and_json(results):
    goals, report = bench("goals"), bench("report")
    measured = {w.name: timings for w, timings in results}
    outcomes = goals.outcomes(measured, {"jitgrad": 9.0})
    assert [o.met for o in outcomes] == [None] * len(goals.GOALS) + [False]  # no peers; and a slow import
    assert "not measured" in report.goals_table(outcomes)
    assert "MISSED" in report.goals_table(outcomes)
    assert "import jitgrad" in report.imports_table({"jitgrad": 9.0})
    lost = goals.losses(measured, {w.name: w.base for w, _ in results})
    assert report.losses_table(lost, len(measured)).startswith("Where jitgrad loses")
    assert "nothing was compared" in report.losses_table([], 0)
    json.dumps(report.as_json(measured, {}, outcomes, lost), allow_nan=False)


def test_goals_and_losses_by_given_times():
    contestants, goals, timing = bench("contestants"), bench("goals"), bench("measure").Timing
    ours, theirs = contestants.JIT, contestants.JAX
    given = {"neuron": {ours: timing(1.0, 2.0, 0.0, 1, 1), theirs: timing(1.0, 1.0, 0.0, 1, 1)}}
    first = goals.outcomes(given, {})[0]
    assert (first.measured, first.met) == (2.0, False)
    assert goals.losses(given, {"neuron": ours}) == [goals.Loss("neuron", ours, theirs, 2.0)]


def test_every_goal_names_a_workload_that_is_run_quickly():
    goals, workloads = bench("goals"), bench("workloads")
    entrants = {w.name: set(w.entrants) for w in workloads.everything(quick=True)}
    assert all({goal.ours, goal.theirs} <= entrants[goal.workload] for goal in goals.GOALS)


def test_a_wrong_gradient_and_a_failure_are_shown_and_not_timed():
    contestants, measure, report = bench("contestants"), bench("measure"), bench("report")
    right = [np.array(1.0), np.array([2.0, 3.0])]

    def entrant(gradient):
        return lambda: contestants.Contestant(lambda: (1.0, gradient), (), contestants.flat)

    def broken():
        raise ValueError("no such thing\nas it happens")

    entrants = {
        "good": entrant(np.array([2.0, 3.0])),
        "bad": entrant(np.array([2.0, 3.1])),
        "nan": entrant(np.array([2.0, np.nan])),
        "misshapen": entrant(np.array([[2.0, 3.0]])),
        "broken": broken,
    }
    workload = contestants.Workload("some", "something", "good", entrants, lambda: right)
    timings = measure.measure(workload, measure.Effort(0.0, 0.0, 2, 2))
    assert timings["good"].problem is None
    assert timings["bad"].problem == "WRONG: gradient 1 is off by 3.3e-02"
    assert timings["nan"].problem == "WRONG: gradient 1 is off by nan"
    assert timings["misshapen"].problem == "WRONG: gradient 1 has shape (1, 2), not (2,)"
    assert timings["broken"].problem == "failed: ValueError: no such thing"
    assert [label for label, t in timings.items() if t.rounds] == ["good"]
    assert "broken: failed: ValueError: no such thing" in report.timings_table(workload, timings)
    assert "some, broken: failed" in report.problems_text({"some": timings})
    assert bench("run").failed({"some": timings})


def test_an_unknown_name_is_one_sentence(capsys):
    assert bench("run").main(["--only", "nothing"]) == 2
    assert "no workload begins with 'nothing'" in capsys.readouterr().err
