"""The command line: what it prints, what it writes, and what it says when it is used wrongly."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from jitgrad.cli import main
from jitgrad.cli.measure import largest_difference
from jitgrad.cli.progress import Progress
from jitgrad.cli.table import duration

MINE = """
import numpy as np
import jitgrad as jg

def boom(*_):
    raise ValueError("the cat is\\n  on the keyboard")

CONSTANT = 3
def loss(x, scale, n): return (scale * jg.tanh(x) ** n).mean()
def vector(x, *_): return x * 2
def number(*_): return 3.0
def integer(*_): return jg.tensor(3)
def branches(x, *_): return x.sum() if x.sum() > 0 else -x.sum()
def example_args(): return np.linspace(-1, 1, 50), 2.0, 2
"""


@pytest.fixture(autouse=True)
def mine(monkeypatch, tmp_path: Path) -> None:
    """The file `mine.py` in the folder where a test runs."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(MINE)


def sentence(capsys: pytest.CaptureFixture, argv: list[str]) -> str:
    """What wrong use says: one line on stderr, exit code 2."""
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert (err[:9], err.count("\n")) == ("jitgrad: ", 1)
    return err


@pytest.mark.parametrize("real", [True, False])
def test_the_main_job(real, capsys, monkeypatch, compiled_by_numba):
    if not real:
        monkeypatch.setitem(sys.modules, "sklearn", None)
        monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert main(["compare", "--quick", "--steps", "40", "--json", "result.json"]) == 0
    out = capsys.readouterr()
    assert out.err == ""
    assert ("pip install 'jitgrad[demo]'" not in out.out) is real
    assert "float32" in out.out
    assert [out.out.count(f"  {sweep}  ") for sweep in ("interpreted", "Numba", "machine", "JIT")] == [3, 3, 3, 3]
    found = json.loads(Path("result.json").read_text())
    assert (found["dtype"], found["real_data"]) == ("float32", real)
    for name in ("sigmoid neuron", "logistic regression", "two-layer network"):
        slow, *others = (r for r in found["results"] if r["model"] == name)
        assert [r["sweep"] for r in (slow, *others)] == ["interpreted", "numba", "machine", "jit"]
        for fast in others:
            assert len(fast["losses"]) == 40
            assert fast["losses"][-1] < 0.8 * fast["losses"][0]
            assert fast["largest_gradient_difference"] < 1e-5
            np.testing.assert_allclose(slow["losses"], fast["losses"], rtol=1e-3)
            assert 0.7 < fast["accuracy"] == pytest.approx(slow["accuracy"], abs=0.01)
            assert min(r[k] for r in (slow, fast) for k in ("first_gradient_s", "step_s", "speed_up")) > 0


def test_own_function(capsys):
    assert main(["compare", "mine.py:loss", "--steps", "5", "--json", "result.json"]) == 0
    value = 2 * np.mean(np.tanh(np.linspace(-1, 1, 50)) ** 2)
    assert "differentiated in arguments 0, 1 of (float64, float32, int)" in capsys.readouterr().out
    found = json.loads(Path("result.json").read_text())
    assert (found["results"][1]["loss"], found["argnums"]) == (pytest.approx(value), [0, 1])
    assert found["results"][1]["largest_gradient_difference"] < 1e-6


WRONG = {
    "mine.py": "does not name a function",
    "nowhere.py:loss": "does not exist",
    "mine.py:lost": "has no function 'lost'; it has boom, loss, vector, number, integer, branches",
    "mine.py:CONSTANT": "is not a function, but a value of type int",
    "mine.py:boom": "boom failed: ValueError: the cat is on the keyboard (line 6 of mine.py)",
    "mine.py:vector": "vector must return a scalar (a tensor without dimensions), not shape [50]",
    "mine.py:number": "number must return a scalar tensor, not float",
    "mine.py:integer": "integer must return a floating scalar",
    "mine.py:branches": "branches failed: TracedValueError",
}


@pytest.mark.parametrize("command", ["compare", "tape"])
@pytest.mark.parametrize("target", WRONG)
def test_wrong_target(target, command, capsys):
    assert WRONG[target] in sentence(capsys, [command, target])
    if "failed" in WRONG[target]:
        assert main([command, target, "--traceback"]) == 2
        assert "Traceback" in capsys.readouterr().err


WRONG_FILES = {
    "def f(x): return x.sum()": "has no example_args()",
    "def f(x): return x\ndef example_args(): return 1 / 0": "failed: ZeroDivisionError: division by zero (line 2",
    "def f(x): return x\ndef example_args(): return 1.0": "must return a tuple, not float",
    "def f(x): return x\ndef example_args(): return (1, 'a')": "no floating argument",
    "def f(x): return x\nimport numpy\ndef example_args(): return [numpy.array(['a'])]": "cannot be used",
    "def f(x) return x": "could not be loaded: SyntaxError",
    "import no_such_module_anywhere": "could not be loaded: ModuleNotFoundError",
    "raise SystemExit(3)": "could not be loaded: SystemExit: 3",
}


@pytest.mark.parametrize("text", WRONG_FILES)
def test_wrong_file(text, capsys):
    Path("mine.py").write_text(text)
    assert WRONG_FILES[text] in sentence(capsys, ["compare", "mine.py:f"])


def test_wrong_output_files_are_noticed_before_the_work(capsys, monkeypatch):
    monkeypatch.setattr("jitgrad.cli.compare._demo", lambda *_: pytest.fail("worked first"))
    assert "--json" in sentence(capsys, ["compare", "--json", "no/such.json"])
    assert "cannot be written" in sentence(capsys, ["compare", "--json", "."])
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
        assert "pip install 'jitgrad[plot]'" in sentence(capsys, ["compare", "--plot", "picture.png"])
    pytest.importorskip("matplotlib")
    assert "cannot be written" in sentence(capsys, ["compare", "--plot", "no/such.png"])
    assert ".png" in sentence(capsys, ["compare", "--plot", "picture.xyz"])
    assert [path.name for path in Path().iterdir()] == ["mine.py"]


@pytest.mark.parametrize("more", ["--quick", "mine.py:loss"])
def test_plot(more):
    pytest.importorskip("matplotlib")
    assert main(["compare", more, "--steps", "3", "--plot", "picture.png"]) == 0
    assert Path("picture.png").read_bytes().startswith(b"\x89PNG")


def test_ctrl_c(capsys, monkeypatch):
    monkeypatch.setattr("jitgrad.cli.train.timed", Mock(side_effect=KeyboardInterrupt))
    assert main(["compare", "--quick"]) == 130
    assert capsys.readouterr().err == "jitgrad: interrupted\n"


def test_tape(capsys):
    assert main(["tape", "mine.py:loss"]) == 0
    forward, reverse = capsys.readouterr().out.split("\n\n")
    assert forward.startswith("forward: loss\n%0 = ")
    assert reverse.startswith("with its reverse sweep: value_and_grad(loss, argnums=(0, 1))\n%0 = ")
    assert len(reverse.splitlines()) > len(forward.splitlines())


def test_ops(capsys):
    from jitgrad import ops

    assert main(["ops"]) == 0
    out = capsys.readouterr().out
    assert all(any(line.startswith(op.name + " ") for line in out.splitlines()) for op in ops.rows())
    assert f"{len(list(ops.rows()))} ops: " in out
    assert main(["ops", "--holes"]) == 0


def test_help_and_version(capsys):
    for argv in (["--help"], ["compare", "--help"], ["tape", "--help"], ["ops", "--help"]):
        assert main(argv) == 0
        assert "example" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert main([]) == main(["compare", "--steps", "0"]) == 2
    assert "at least 1" in capsys.readouterr().err


def test_closed_pipe():
    code = "import sys; from jitgrad.cli import main; sys.exit(main(['ops']))"
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    run.stdout.close()
    with run.stderr:
        assert run.stderr.read() == b""
    assert run.wait() == 141


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_only_on_a_terminal(terminal, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with Progress(4) as progress:
        progress.step("training", 2)
    assert ("50 % training" in capsys.readouterr().err) is terminal


def test_numbers():
    shown = " ".join(duration(s) for s in (1.234e-6, 45.67e-6, 999.6e-6, 0.1234, 2.5))
    assert shown.replace("us", "µs") == "1.23 µs 45.7 µs 1.00 ms 123 ms 2.50 s"
    a = np.array([1.0, math.inf, math.nan])
    others = (a, a + [0.5, 0, 0], np.array([1.0, 1.0, math.nan]), np.array([1.0, math.inf, 0.0]))
    assert [largest_difference([a], [b]) for b in others] == [0, 0.5, math.inf, math.inf]
