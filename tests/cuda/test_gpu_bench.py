"""bench/gpu.py on the simulated GPU: every phase gives its results, and what is wrong, fails or hangs is said."""

from __future__ import annotations

import json
import os
import sys
import time

import numpy as np
import pytest

from bench import gpu_checks, gpu_run, gpu_shares, gpu_suite
from bench.gpu_measure import Lost, Setting, device, poisoned
from jitgrad.devices import cuda
from jitgrad.errors import NotCompilableError


@pytest.fixture(autouse=True)
def simulated(gpu, monkeypatch):
    """Also where there is a real one."""
    monkeypatch.setenv("JITGRAD_CUDA", "simulate")


@pytest.mark.parametrize("phase", gpu_run.PHASES)
def test_every_phase_gives_json_a_table_and_a_page(phase, capfd, tmp_path):
    out = tmp_path / "found.json"
    assert gpu_run.main(["--tiny", "--seed", "1", "--phases", phase, "--out", str(out)]) == 0
    said = capfd.readouterr().out
    results = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert results == [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert results
    assert all(found["phase"] == phase and found["simulated"] for found in results)
    assert not [found for found in results if "problem" in found]
    page = (tmp_path / "found.json.md").read_text(encoding="utf-8")
    assert f"### {gpu_run.PHASES[phase].title}\n" in page
    assert "SIMULATED" in page
    assert gpu_run.PHASES[phase].title in said


def test_what_cannot_be_measured_is_one_line_and_2(capfd, monkeypatch):
    assert gpu_run.main([]) == 2
    assert "add --tiny" in capfd.readouterr().err
    assert gpu_run.main(["--tiny", "--phases", "machine,speeed"]) == 2
    assert "no phase is called 'speeed'; there are: machine, suite" in capfd.readouterr().err
    monkeypatch.delenv("JITGRAD_CUDA")
    monkeypatch.setattr(cuda, "_real_count", lambda: 0)
    assert gpu_run.main(["--tiny"]) == 2
    out, err = capfd.readouterr()
    assert not out
    assert err.startswith("there is no GPU to measure")
    assert err.count("\n") == 1


PHASES_THAT_FAIL = """
import sys, time
name = sys.argv[sys.argv.index("--child") + 1]
print('{"what": "begun", "value": 1}', flush=True)
if name == "machine":
    time.sleep(600)
if name == "host":
    print("a library says something")
    raise ValueError("it does not work")
"""


def test_a_phase_that_hangs_or_fails_is_named_and_the_next_goes_on(capfd, monkeypatch, tmp_path):
    script = tmp_path / "phases.py"
    script.write_text(PHASES_THAT_FAIL)
    monkeypatch.setattr(gpu_run, "SCRIPT", script)
    monkeypatch.setattr(gpu_run, "LEAST", 0.0)
    monkeypatch.setitem(gpu_run.PHASES, "machine", gpu_run.PHASES["machine"]._replace(seconds=2.0))
    assert gpu_run.main(["--tiny", "--phases", "machine,host,blocks"]) == 1
    out, err = capfd.readouterr()
    results = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert [(found["phase"], found.get("problem")) for found in results] == [
        ("machine", None),
        ("machine", "cut off after 2 s"),
        ("host", None),
        ("host", "failed with exit status 1: ValueError: it does not work"),
        ("blocks", None),
    ]
    assert "a library says something" in err


def test_no_phase_begins_when_the_time_is_over(capfd, monkeypatch):
    monkeypatch.setattr(gpu_run, "ALL", 0.0)
    assert gpu_run.main(["--tiny", "--phases", "machine"]) == 1
    assert "not begun" in capfd.readouterr().out


# What the suite finds.


def check(found, want=1.0, same=None, times=2, sums=False):
    """A check whose device gives `found`, one array after the other, or raises it."""

    def on_device(k):
        value = found[k % len(found)] if isinstance(found, list) else found
        if isinstance(value, Exception):
            raise value
        return [np.asarray(value, np.float32)]

    same = want if same is None else same
    return gpu_checks.Check("it", on_device, lambda: [np.float64(want)], lambda: [np.float32(same)], times, sums)


def tallied(*checks):
    tally = gpu_suite.Tally("some")
    for each in checks:
        tally.take(each)
    *shown, total = tally.lines()
    return shown, total


@pytest.mark.parametrize(
    ("one", "problem"),
    [
        (check(1.1), "wrong: value is 1.1"),
        (check(np.nan), "wrong: value is nan"),
        (check([1.0, 1.0000001]), "moves: results differ between 2 runs"),
        (check([1.0, np.nan]), "moves"),
        (check([[1.0, 1.0]]), "wrong: value has shape (2,), not ()"),
        (check(ValueError("odd")), "failed: ValueError: odd"),
        (check(NotImplementedError("odd")), "failed: NotImplementedError: odd"),
        (check(NotCompilableError("numba-cuda does not compile it")), "failed: NotCompilableError: numba-cuda does not"),
        (check(1.1, same=1.001), "wrong"),
    ],
)
def test_what_is_wrong_is_a_problem(one, problem):
    shown, total = tallied(check(1.0), one)
    assert shown[0]["problem"].startswith(problem)
    assert (total["checks"], total["failed"] > 0) == (2, True)


def test_what_is_right_is_none():
    shown, total = tallied(check(1.0), check(1.0000004), check(np.nan, want=np.nan), check(np.inf, want=np.inf))
    assert not shown
    assert (total["checks"], total["failed"], total["moved"]) == (4, 0, 0)


def test_what_has_no_kernel_is_counted():
    shown, total = tallied(check(NotImplementedError("qr is not available on cuda:0: compute it on the CPU")))
    assert not shown
    assert (total["without"], total["failed"]) == (1, 0)


def test_what_is_as_far_off_on_the_cpu_is_noted_and_no_problem():
    shown, total = tallied(check(1.1, same=1.09))
    assert "on the CPU, in the same dtype" in shown[0]["note"]
    assert total["failed"] == 0


def test_memory_is_poisoned_before_it_is_written():
    compute = device()
    compute.pool.empty()
    compute.pool.allocate(4000).raw.array[:] = 0  # goes back to the pool at once
    copied = []
    usual = compute.driver.copy
    with pytest.MonkeyPatch.context() as patch, poisoned(compute):
        patch.setattr(compute.driver, "copy", lambda *given: (copied.append(given), usual(*given)))
        memory = compute.pool.allocate(4000)
        assert (memory.raw.array[:4000] == 0xFF).all()
    assert [(target, nbytes) for target, _, _, _, nbytes in copied] == [(memory.raw, 4000)]
    assert "allocate" not in vars(compute.pool)


def test_a_kernel_that_leaves_an_element_out_is_found():
    compute = device()

    def left_out(_):
        array = compute.empty((3,), np.dtype(np.float32))
        compute.driver.upload(array.buffer.raw, 0, np.ones(2, np.float32))
        return [compute.to_host(array)]

    one = gpu_checks.Check("it", left_out, lambda: [np.ones(3)], lambda: [np.ones(3, np.float32)])
    shown = list(gpu_suite.checked([("some", lambda: iter([one]))], Setting()))
    assert "wrong: value is nan at (2,)" in shown[0]["problem"]


def test_after_an_error_that_the_gpu_is_lost_to_the_next_process_goes_on_behind_it():
    why = "CUDA_ERROR_ILLEGAL_ADDRESS on a GPU"
    patch = pytest.MonkeyPatch()

    def lost_to(*_):
        patch.setattr(device().driver, "synchronize", lost_to)  # from now on
        raise RuntimeError(why)

    gone = check(1.0)._replace(device=lost_to)
    groups = [("some", lambda: iter([check(1.0), gone, check(1.1)]))]
    found = []
    try:
        with pytest.raises(Lost) as lost:
            found.extend(gpu_suite.checked(groups, Setting()))  # as far as it comes
    finally:
        patch.undo()
    assert lost.value.start == (0, 2)
    first, total = found
    assert first["problem"] == f"the GPU was lost: RuntimeError: {why}"
    assert (total["checks"], total["failed"]) == (2, 1)
    *_, total = gpu_suite.checked(groups, Setting(start=lost.value.start))
    assert (total["checks"], total["failed"]) == (1, 1)


def test_an_error_of_the_driver_that_it_gets_over_is_one_of_the_check():
    shown, total = tallied(check(RuntimeError("CUDA_ERROR_NO_BINARY_FOR_GPU on a GPU")), check(1.0))
    assert shown[0]["problem"].startswith("failed: RuntimeError: CUDA_ERROR_NO_BINARY")
    assert (total["checks"], total["failed"]) == (2, 1)


def test_a_process_that_lost_the_gpu_becomes_the_next_one(monkeypatch):
    def losing(setting):
        raise Lost((3, 14), "it")
        yield

    monkeypatch.setattr(gpu_suite, "suite", losing)
    became = []
    monkeypatch.setattr(os, "execv", lambda *given: became.append(given))
    gpu_run.main(["--child", "suite", "--seed", "5", "--tiny", "--seconds", "100", "--share", "2,8"])
    ((program, arguments),) = became
    assert program == sys.executable
    assert "--child suite --seed 5" in " ".join(arguments)
    assert "--start 3,14 --share 2,8 --tiny" in " ".join(arguments)


def test_checks_divided_among_processes_are_the_same():
    keys = ("group", "checks", "failed", "without")
    alone = [tuple(found[key] for key in keys) for found in gpu_suite.checks(Setting(tiny=True, seed=1))]
    divided = [tuple(found[key] for key in keys) for found in gpu_suite.suite(Setting(tiny=True, seed=1, processes=2))]
    assert divided == alone
    assert all(checks > 1 for _, checks, _, _ in alone)


def test_what_one_of_several_processes_does_not_finish_is_a_problem(monkeypatch, tmp_path):
    script = tmp_path / "gpu.py"
    script.write_text(SHARE_THAT_FAILS)
    monkeypatch.setattr(gpu_shares, "__file__", str(tmp_path / "gpu_shares.py"))
    found = list(gpu_shares.shared("checks", Setting(end=time.monotonic() + 2, processes=3)))
    problems = sorted((each["group"], each["problem"]) for each in found if "problem" in each)
    assert problems == [("process 1", "failed with exit status 1: no GPU here"), ("process 2", "cut off")]
    assert found[-1] == {"group": "some", "checks": 6, "failed": 0, "moved": 0, "without": 3, "worst": 2.0, "case": "c1"}


SHARE_THAT_FAILS = """
import sys, time, json
k = int(sys.argv[sys.argv.index("--share") + 1][0])
print(json.dumps(dict(group="some", checks=2, failed=0, moved=0, without=1, worst=[1.0, 2.0, 0.5][k], case=f"c{k}")), flush=True)
time.sleep(600 if k == 2 else 0)
sys.exit("no GPU here" if k == 1 else 0)
"""


def test_what_there_was_no_time_for_is_a_problem():
    groups = [("one", lambda: iter([check(1.0)])), ("other", lambda: iter([check(1.0)]))]
    *_, last = gpu_suite.checked(groups, Setting(end=time.monotonic()))
    assert last["problem"] == "no time was left to check all of: one, other"


# NVIDIA's tools.

TOOL = """#!{python}
import subprocess, sys
log = sys.argv[sys.argv.index("--log-file") + 1]
status = subprocess.run(sys.argv[sys.argv.index("--log-file") + 2 :]).returncode
open(log, "w").write({log!r})
sys.exit({status} or status)
"""
RIGHT = "========= COMPUTE-SANITIZER\n========= ERROR SUMMARY: 0 errors\n"
WRONG = "========= COMPUTE-SANITIZER\n========= Invalid __global__ write of size 4 bytes\n========= ERROR SUMMARY: 3 errors\n"
HAZARD = "========= Race reported\n========= RACECHECK SUMMARY: 2 hazards displayed (2 errors, 0 warnings)\n"


def test_a_tool_runs_a_part_of_the_suite(tmp_path):
    tool = tmp_path / "compute-sanitizer"
    tool.write_text(TOOL.format(python=sys.executable, log=RIGHT, status=0))
    tool.chmod(0o755)
    found = gpu_suite._under(str(tool), "memcheck", Setting(tiny=True, seed=1), 100.0)
    assert (found["tool"], found["errors"], found["checks"] > 5) == ("memcheck", 0, True)
    assert "problem" not in found


@pytest.mark.parametrize(
    ("given", "errors", "problem"),
    [
        ((0, RIGHT, '{"checks": 3}'), 0, None),
        ((86, WRONG, '{"checks": 3}'), 3, "Invalid __global__ write of size 4 bytes / ERROR SUMMARY: 3 errors"),
        ((86, HAZARD, ""), 2, "Race reported / RACECHECK SUMMARY: 2 hazards"),
        ((None, "", '{"checks": 3}'), None, "cut off"),
        ((1, "", "no such device"), None, "exit status 1: ['no such device']"),
        ((0, RIGHT, '{"problem": "wrong: it"}'), 0, "1 checks: wrong: it"),
    ],
)
def test_what_a_tool_says(given, errors, problem):
    found = gpu_suite._judged("memcheck", *given)
    assert found.get("errors") == errors
    assert found.get("problem", "").startswith(problem or "")
    assert ("problem" in found) == (problem is not None)
