"""The command line: what it prints, what it writes, and what it says when it is used wrongly."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jitgrad.cli import main
from jitgrad.cli.measure import largest_difference
from jitgrad.cli.progress import Progress
from jitgrad.cli.table import duration

GOOD = """
import numpy as np
import jitgrad as jg

def loss(x, scale, n):
    return (scale * jg.tanh(x) ** n).mean()

def example_args():
    return np.linspace(-1, 1, 50), 2.0, 2
"""
BAD = """
import jitgrad as jg

def boom(x):
    raise ValueError("the cat is\\n  on the keyboard")

def vector(x):
    return x * 2

def number(x):
    return 3.0

def integer(x):
    return jg.tensor(3)

def branches(x):
    return x.sum() if x.sum() > 0 else -x.sum()

CONSTANT = 3

def example_args():
    return (jg.tensor([1.0, 2.0]),)
"""


@pytest.fixture
def file(tmp_path: Path):
    """Writes a file for a test and gives its path."""

    def write(text: str, name: str = "mine.py") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def sentence(capsys: pytest.CaptureFixture, argv: list[str]) -> str:
    """What wrong use says: one line on stderr, exit code 2."""
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith("jitgrad: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("real", [True, False])
def test_the_main_job(real, capsys, monkeypatch, tmp_path):
    if not real:
        monkeypatch.setitem(sys.modules, "sklearn", None)
        monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    file = tmp_path / "result.json"
    assert main(["compare", "--quick", "--steps", "40", "--json", str(file)]) == 0
    out = capsys.readouterr()
    assert out.err == ""
    assert ("scikit-learn's" in out.out) is real
    assert ("pip install 'jitgrad[demo]'" in out.out) is not real
    assert "float32" in out.out
    lines = [line for line in out.out.splitlines() if "  interpreted  " in line or "  JIT  " in line]
    assert len(lines) == 6
    found = json.loads(file.read_text())
    assert found["dtype"] == "float32"
    assert found["real_data"] is real
    assert found["versions"].keys() >= {"jitgrad", "numpy", "numba", "python"}
    assert found["machine"]["cores"]
    for name in ("sigmoid neuron", "logistic regression", "two-layer network"):
        slow, fast = (r for r in found["results"] if r["model"] == name)
        assert (slow["sweep"], fast["sweep"]) == ("interpreted", "jit")
        assert len(slow["losses"]) == len(fast["losses"]) == 40
        assert fast["losses"][-1] < 0.8 * fast["losses"][0]
        assert fast["largest_gradient_difference"] < 1e-5
        np.testing.assert_allclose(slow["losses"], fast["losses"], rtol=1e-3)
        assert fast["accuracy"] == pytest.approx(slow["accuracy"], abs=0.01)
        assert fast["accuracy"] > 0.7
        assert min(r[k] for r in (slow, fast) for k in ("first_gradient_s", "step_s", "speed_up")) > 0


def test_own_function(file, capsys, tmp_path):
    result = tmp_path / "result.json"
    assert main(["compare", file(GOOD) + ":loss", "--steps", "5", "--json", str(result)]) == 0
    out = capsys.readouterr().out
    value = 2 * np.mean(np.tanh(np.linspace(-1, 1, 50)) ** 2)
    assert f"value: {value:.6f}"[:14] in out
    assert "arguments 0, 1 of (float64, float32, int)" in out
    found = json.loads(result.read_text())
    assert found["results"][1]["loss"] == pytest.approx(value)
    assert found["results"][1]["largest_gradient_difference"] < 1e-6
    assert found["argnums"] == [0, 1]


WRONG = {
    "mine.py": "does not name a function",
    "mine.py:": "does not name a function",
    "nowhere.py:loss": "does not exist",
    "mine.py:lost": "has no function 'lost'; it has boom, vector, number, integer, branches",
    "mine.py:CONSTANT": "is not a function, but a value of type int",
    "mine.py:boom": "boom failed: ValueError: the cat is on the keyboard (line 5 of mine.py)",
    "mine.py:vector": "vector must return a scalar (a tensor without dimensions), not shape [2]",
    "mine.py:number": "number must return a scalar tensor, not float",
    "mine.py:integer": "integer must return a floating scalar",
    "mine.py:branches": "branches failed: TracedValueError",
}


@pytest.mark.parametrize("command", ["compare", "tape"])
@pytest.mark.parametrize("target", WRONG)
def test_wrong_target(target, command, file, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    file(BAD)
    assert WRONG[target] in sentence(capsys, [command, target])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(x): return x.sum()", "has no example_args()"),
        ("def f(x): return x\ndef example_args(): return 1 / 0", "example_args() failed: ZeroDivisionError"),
        ("def f(x): return x\ndef example_args(): return 1.0", "must return a tuple, not float"),
        ("def f(x): return x\ndef example_args(): return (1, 'a')", "no floating argument"),
        ("def f(x): return x\nimport numpy\ndef example_args(): return (numpy.array(['a']),)", "cannot be used"),
        ("def f(x) return x", "could not be loaded: SyntaxError"),
        ("import no_such_module_anywhere", "could not be loaded: ModuleNotFoundError"),
        ("raise SystemExit(3)", "could not be loaded: SystemExit: 3"),
    ],
)
def test_wrong_file(text, message, file, capsys):
    assert message in sentence(capsys, ["compare", file(text) + ":f"])


def test_traceback_on_request(file, capsys):
    assert main(["compare", file(BAD) + ":boom", "--traceback"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_wrong_output_files_are_noticed_before_the_work(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("jitgrad.cli.compare._demo", lambda *_: pytest.fail("worked first"))
    assert "--json" in sentence(capsys, ["compare", "--json", str(tmp_path / "no" / "such.json")])
    assert "cannot be written" in sentence(capsys, ["compare", "--json", str(tmp_path)])
    pytest.importorskip("matplotlib")
    assert "cannot be written" in sentence(capsys, ["compare", "--plot", str(tmp_path / "no" / "such.png")])
    assert ".png" in sentence(capsys, ["compare", "--plot", str(tmp_path / "picture.xyz")])
    assert list(tmp_path.iterdir()) == []


def test_plot_without_matplotlib(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    assert "pip install 'jitgrad[plot]'" in sentence(capsys, ["compare", "--plot", str(tmp_path / "picture.png")])


def test_plot(file, tmp_path):
    pytest.importorskip("matplotlib")
    for argv in (["--quick", "--steps", "3"], [file(GOOD) + ":loss", "--steps", "3"]):
        picture = tmp_path / "picture.png"
        assert main(["compare", *argv, "--plot", str(picture)]) == 0
        assert picture.read_bytes().startswith(b"\x89PNG")
        picture.unlink()


def test_ctrl_c(capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("jitgrad.cli.train.timed", interrupt)
    assert main(["compare", "--quick"]) == 130
    assert capsys.readouterr().err == "jitgrad: interrupted\n"


def test_tape(file, capsys):
    assert main(["tape", file(GOOD) + ":loss"]) == 0
    forward, reverse = capsys.readouterr().out.split("\n\n")
    assert forward.startswith("forward: loss\n%0 = ")
    assert "tanh" in forward
    assert reverse.startswith("with its reverse sweep: value_and_grad(loss, argnums=(0, 1))\n%0 = ")
    assert len(reverse.splitlines()) > len(forward.splitlines())


def test_ops(capsys):
    from jitgrad import ops

    assert main(["ops"]) == 0
    out = capsys.readouterr().out
    assert all(any(line.startswith(op.name + " ") for line in out.splitlines()) for op in ops.rows())
    assert f"{len(list(ops.rows()))} ops: " in out
    assert main(["ops", "--holes"]) == 0
    assert "with a hole" in capsys.readouterr().out


def test_help_and_version(capsys):
    for argv in (["--help"], ["compare", "--help"], ["tape", "--help"], ["ops", "--help"]):
        assert main(argv) == 0
        assert "example" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("jitgrad ")
    assert main([]) == 2
    assert main(["compare", "--steps", "0"]) == 2
    assert "at least 1" in capsys.readouterr().err


def test_closed_pipe():
    code = "import sys; from jitgrad.cli import main; sys.exit(main(['ops']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()
        assert run.stderr.read() == b""
    assert run.returncode == 141


def test_progress_only_on_a_terminal(capsys, monkeypatch):
    for terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda answer=terminal: answer)
        with Progress(4) as progress:
            progress.step("training", 2)
        assert ("50 % training" in capsys.readouterr().err) is terminal


def test_numbers():
    shown = [duration(s) for s in (1.234e-6, 45.67e-6, 999.6e-6, 0.1234, 2.5)]
    assert [s.replace("us", "µs") for s in shown] == ["1.23 µs", "45.7 µs", "1.00 ms", "123 ms", "2.50 s"]
    a = np.array([1.0, math.inf, math.nan])
    assert largest_difference([a], [a]) == 0
    assert largest_difference([a], [a + [0.5, 0, 0]]) == 0.5
    assert largest_difference([a], [np.array([1.0, 1.0, math.nan])]) == math.inf
    assert largest_difference([a], [np.array([1.0, math.inf, 0.0])]) == math.inf
