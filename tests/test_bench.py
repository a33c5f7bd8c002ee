"""The benchmarks: everybody who is installed is right, and what is reported can be read. Nothing is timed here."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def bench(name):
    return importlib.import_module(f"bench.{name}")


def measured(workloads):
    """Each workload with the contestants that need no peer, called a few times; Numba would compile for seconds."""
    c, measure = bench("contestants"), bench("measure")
    ours = {c.EAGER, c.JIT, c.INTERPRETED, c.NUMPY, c.FLOOR, c.C}
    effort = measure.Effort(workload=0.0, warm=0.0, turn=0.0, fewest=2, most=2)
    return {w.name: measure.measure(w, effort, only=ours) for w in workloads}


@pytest.fixture(scope="module")
def results():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        return measured(bench("workloads").tiny())


def timing(steady, spread=0.0):
    return bench("measure").Timing(1.0, steady, spread, 1, 1)


def result(base, **timings):
    return bench("measure").Result("something", base, {getattr(bench("contestants"), k): t for k, t in timings.items()})


def test_every_gradient_is_right_and_every_table_renders(results):
    contestants, report = bench("contestants"), bench("report")
    for name, result in results.items():
        timings = result.timings
        assert {label: t.problem for label, t in timings.items() if t.problem} == {}
        assert set(timings) >= {result.base}
        text = report.timings_table(name, result)
        assert result.title in text
        assert all(label in text for label in timings)
        assert all(t.rounds == 2 and t.first > 0 and t.steady > 0 for t in timings.values())
    differentiated = [
        r
        for name, r in results.items()
        if not name.startswith(("overhead", "recording", "new", "njit", "hmc", "model")) and "eager" not in name
    ]
    assert all(set(r.timings) >= {contestants.JIT, contestants.INTERPRETED, contestants.NUMPY} for r in differentiated)


def test_every_operation_is_right_forward_and_backward():
    ops = bench("ops")
    sizes = ops.SIZES
    found = measured(ops.sweep(name, size, way) for name in ops.OPS for size in (1, 100) for way in (ops.FORWARD, ops.GRADIENT))
    assert bench("report").problems_text(found) == ""
    assert len(found) == 4 * len(ops.OPS)
    assert sizes[0] == 1
    assert sizes[-1] == 10**7


def test_the_summary_and_the_file(results, tmp_path):
    goals, report, store = bench("goals"), bench("report"), bench("store")
    slow_import = bench("measure").Result("import", "jitgrad", {"jitgrad": timing(9.0), "jax": timing(1.0)})
    everything = results | {"import": slow_import}
    outcomes = goals.outcomes(everything)
    assert [o.met for o in outcomes] == [None] * (len(goals.GOALS) - 1) + [False]  # no peers at the others
    assert "9.000 ×  MISSED" in report.goals_table(outcomes)
    assert f"{len(goals.GOALS) - 1} more were not measured" in report.goals_table(outcomes)
    lost = goals.losses(everything)
    assert report.losses_table(lost, len(results)).startswith("Where jitgrad loses")
    assert "nothing was compared" in report.losses_table([], 0)

    run = store.Run("some machine", everything, {"numpy": bench("imports").Size(10, 20)})
    store.save(run, {"numpy": "2.1"}, tmp_path / "run.json")
    assert repr(store.read(tmp_path / "run.json")) == repr(run)  # by repr, since nan is not nan
    json.loads((tmp_path / "run.json").read_text(), parse_constant=pytest.fail)
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(ValueError, match="holds no results"):
        store.read(tmp_path / "other.json")


def test_the_page_and_its_plots(results, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    run, store, ops = bench("run"), bench("store"), bench("ops")
    swept = measured(ops.sweep("exp", size, way) for size in (1, 10) for way in (ops.FORWARD, ops.GRADIENT))
    store.save(store.Run("some machine", results | swept, {}), {}, tmp_path / "run.json")
    arguments = ["--reuse", str(tmp_path / "run.json"), "--report", str(tmp_path / "page")]
    assert run.main([*arguments, "--compare", str(tmp_path / "run.json")]) == 0
    assert "nothing changed by more than the noise" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "page").iterdir()}
    assert names == {"report.md", "workloads.png", "elementwise.png", "ops-forward.png", "ops-gradient.png"}
    page = (tmp_path / "page" / "report.md").read_text(encoding="utf-8")
    assert all(f"({name})" in page for name in names - {"report.md"})
    assert "some machine" in page
    assert all(f"| {name} |" in page for name in results)


def test_without_matplotlib_a_report_is_refused_before_anything_is_measured(monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    assert bench("run").main(["--quick", "--report"]) == 2
    assert "matplotlib, which is missing: pip install" in capsys.readouterr().err


def test_a_change_is_measured_against_the_others():
    compare, jit = bench("compare"), bench("contestants").JIT
    old = {
        "slower": result(jit, JIT=timing(1.0), JAX=timing(1.0), TORCH=timing(10.0)),
        "same, machine slower": result(jit, JIT=timing(1.0), JAX=timing(1.0)),
        "faster": result(jit, JIT=timing(2.0), JAX=timing(1.0)),
        "noisy": result(jit, JIT=timing(1.0, 0.4), JAX=timing(1.0)),
        "gone": result(jit, JIT=timing(1.0)),
    }
    new = {
        "slower": result(jit, JIT=timing(4.0), JAX=timing(2.0), TORCH=timing(20.0)),
        "same, machine slower": result(jit, JIT=timing(2.0), JAX=timing(2.0)),
        "faster": result(jit, JIT=timing(1.0), JAX=timing(1.0)),
        "noisy": result(jit, JIT=timing(1.5), JAX=timing(1.0)),
        "new": result(jit, JIT=timing(1.0)),
    }
    found = compare.changes(old, new)
    assert [(c.workload, c.times) for c in found] == [("slower", 2.0), ("faster", 0.5)]
    assert compare.slower(found)
    assert not compare.slower(found[1:])
    assert "slower" in compare.changes_table(found, 4)
    assert compare.changes(old, old) == []


def test_goals_of_every_kind_and_losses_by_given_times():
    c, goals = bench("contestants"), bench("goals")
    given = {
        "neuron": result(c.JIT, JIT=timing(2.0), JAX=timing(1.0)),
        "mlp 32x16-32-1": result(c.JIT, JIT=timing(1.0), JAX=timing(8.0), TORCH=timing(4.0)),
        f"chain {bench('chain').ROWS}": result(c.JIT, JIT=timing(1e-4)),
    }
    found = {o.text: o for o in goals.outcomes(given) if o.measured is not None}
    assert [(o.measured, o.relative, o.met) for o in found.values()] == [
        (2.0, True, False),
        (0.25, True, True),  # beside the better of two
        (pytest.approx(1e-8), False, True),  # seconds an operation
    ]
    assert "10.0 ns" in bench("report").goals_table(list(found.values()))
    assert goals.losses(given) == [goals.Loss("neuron", c.JIT, c.JAX, 2.0)]


def test_every_goal_names_what_a_full_run_measures():
    goals, workloads, new_process = bench("goals"), bench("workloads"), bench("new_process")
    entrants = {w.name: set(w.entrants) for w in workloads.everything()}
    entrants |= {f"new process {name}": set(new_process.LABELS) for name in new_process.WORKLOADS}
    entrants["import"] = set(bench("imports").MODULES)
    assert set(new_process.WORKLOADS) <= entrants.keys()
    assert all({goal.ours, *goal.theirs} <= entrants[goal.workload] for goal in goals.GOALS)


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
    found = measure.measure(workload, measure.Effort(0.0, 0.0, 0.0, 2, 2))
    timings = found.timings
    assert timings["good"].problem is None
    assert timings["bad"].problem == "WRONG: gradient 1 is off by 3.3e-02"
    assert timings["nan"].problem == "WRONG: gradient 1 is off by nan"
    assert timings["misshapen"].problem == "WRONG: gradient 1 has shape (1, 2), not (2,)"
    assert timings["broken"].problem == "failed: ValueError: no such thing"
    assert [label for label, t in timings.items() if t.rounds] == ["good"]
    assert "broken: failed: ValueError: no such thing" in report.timings_table("some", found)
    assert "some, broken: failed" in report.problems_text({"some": found})
    assert bench("run").failed({"some": found})


def test_results_in_float64_must_be_right_in_float64():
    contestants = bench("contestants")
    right = [np.array(1.0)]
    assert contestants.wrong([np.array(1 + 1e-6)], right) is None
    assert contestants.wrong([np.array(1 + 1e-6)], right, contestants.DOUBLE_TOLERANCE) == "value is off by 1.0e-06"
    doubles = [w for w in bench("workloads").everything() if w.tolerance == contestants.DOUBLE_TOLERANCE]
    names = [
        "black-scholes",
        "rosenbrock",
        "bodies",
        "oscillator",
        "hessian",
        "hessian",
        "hmc",
        "hmc",
        "garch",
        "systems",
        "gaussian",
        "model",
        "model",
    ]
    assert [w.name.split()[0] for w in doubles] == names


def test_new_functions_are_new_and_the_same_for_everybody():
    new_functions, load = bench("new_functions"), bench("libraries").load
    given = [a.astype(np.float64) for a in new_functions.arguments()]
    values = [float(new_functions.new_function(seed, load("numpy"))(*given)) for seed in (0, 1, 0)]
    assert values[0] == values[2] != values[1]
    jg = importlib.import_module("jitgrad")
    again = new_functions.new_function(0, load("jitgrad"))(*map(jg.tensor, given))
    assert float(again) == pytest.approx(values[0])


def test_sizes_of_what_is_installed():
    sizes = bench("imports").installed_sizes()
    assert 1e5 < sizes["jitgrad"].alone < sizes["jitgrad"].together
    assert sizes["numpy"].alone > 1e6
    assert sizes["jitgrad"].together > sizes["numpy"].together


def test_what_was_not_timed_is_blank():
    assert bench("report")._time(math.nan) == ""


def test_an_unknown_name_is_one_sentence(capsys):
    assert bench("run").main(["--only", "nothing"]) == 2
    assert "no workload begins with 'nothing'" in capsys.readouterr().err
    assert bench("run").main(["--ops", "nothing"]) == 2
    assert "no operation is called 'nothing'; there are: add" in capsys.readouterr().err
