"""What type checkers, editors and `help` are told of functions that are made from the op table."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import jitgrad as jg
from jitgrad.cli.stubs import stubs

quick = pytest.mark.quick


@quick
@pytest.mark.parametrize("path", stubs(), ids=lambda path: path.name)
def test_the_stubs_are_what_the_table_says(path):
    assert path.read_text(encoding="utf-8") == stubs()[path], "write them anew: python -m jitgrad.cli.stubs"


@quick
def test_signatures_name_the_parameters():
    assert list(inspect.signature(jg.sum).parameters) == ["input", "dim", "keepdim", "dtype", "out"]
    assert list(inspect.signature(jg.Tensor.sum).parameters)[1:] == ["dim", "keepdim", "dtype", "out"]
    assert list(inspect.signature(jg.sin).parameters) == ["input", "out"]
    assert "axis" in inspect.getdoc(jg.sum)
    anonymous = [
        name
        for name in jg.__all__
        if inspect.isfunction(f := getattr(jg, name))
        and [p.kind for p in inspect.signature(f).parameters.values()][:1] == [inspect.Parameter.VAR_POSITIONAL]
        and inspect.signature(f).parameters.keys() == {"args", "kwargs"}
    ]
    assert not anonymous


@quick
def test_dir_is_what_users_may_use():
    assert set(dir(jg)) == {*jg.__all__, "__version__"}
    assert not {"times", "in_dtype_of", "sweeps", "record", "tape", "base", "VERSION"} & set(dir(jg))
    for name in set(jg.__all__) - {"bfloat16"}:
        assert getattr(jg, name) is not None


@quick
def test_a_missing_name_is_said_to_be_missing_with_what_is_near():
    with pytest.raises(AttributeError, match=r"jitgrad.softmaxx is not available: there is (.*, )?softmax"):
        _ = jg.softmaxx
    with pytest.raises(ImportError):
        exec("from jitgrad import nonsense_of_no_kind")


USES = """
import numpy as np
import jitgrad as jg

x = jg.tensor([1.0, 2.0], requires_grad=True)
a: jg.Tensor = jg.sin(x)
places: jg.Tensor = jg.sort(x, descending=True).indices
largest: jg.Tensor = x.topk(1).values
singular: jg.Tensor = jg.linalg.svd(x, full_matrices=False).S
b: jg.Tensor = x.sum(dim=0, keepdim=True)
c: jg.Tensor = jg.cat([x, x], dim=0)
d: jg.Tensor = x.exp().log().mean()
e: jg.Tensor = 2 * x + np.ones(2) - x / 3
f: jg.Tensor = x @ x
g: jg.Tensor = jg.zeros(2, 3, dtype=jg.float64)
h: jg.Tensor = x.reshape(2, 1).permute(1, 0)
i: jg.Tensor = jg.where(x > 0, x, -x)
j: float = x.sum().item()
k: np.ndarray = x.detach().numpy()
l: jg.Tensor = jg.grad(lambda t: (t * t).sum())(x)
m = jg.jit(lambda t: t * 2)(x)
n: jg.Tensor = jg.softmax(x, dim=0)
o: jg.Tensor = x.clamp(min=0.0)
p: jg.Tensor = jg.mse_loss(x, x)
q: jg.Tensor = jg.arange(3)
r = jg.vmap(jg.sin)(x)
s: tuple[int, ...] = tuple(x.shape)
x.backward(jg.ones_like(x))
with jg.no_grad():
    x += 1
t = jg.autograd.grad(jg.sin(x).sum(), x)
u: jg.Tensor | None = x.grad
v: jg.Tensor = x[0] + x[..., None].detach()


@jg.jit(guard=True)
def w(x: jg.Tensor) -> jg.Tensor:
    return x * 2
"""


CHECKERS = {
    "mypy": ["--strict"],
    "basedpyright": ["--level", "error", "--pythonpath", sys.executable],
}


@pytest.mark.parametrize("checker", CHECKERS)
def test_type_checkers_check_what_users_write(tmp_path, checker):
    """mypy, and pyright (as its distribution on the package index is called)."""
    pytest.importorskip(checker)  # continuous integration runs this again with what the extra `lint` installs
    file = tmp_path / "uses.py"
    for text, good in (
        (USES, True),
        (USES + "jg.nonsense(3)\n", False),
        (USES + "x.nonsense()\n", False),
        (USES + "jg.sin()\n", False),
        (USES + "jg.grad()(3)\n", False),
        (USES + "y: str = jg.sin(x)\n", False),
    ):
        file.write_text(text)
        command = [sys.executable, "-m", checker, *CHECKERS[checker], str(file)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert (done.returncode == 0) == good, done.stdout + done.stderr
