"""The examples and the pages in docs/, run in a small form."""

import contextlib
import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import jitgrad as jg

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "examples"))
import hmc  # noqa: E402


def test_the_page_on_native_functions_prints_what_is_shown(tmp_path):
    text = (ROOT / "docs/native.md").read_text(encoding="utf-8")
    names: dict = {"__name__": "page"}
    shown = re.findall(r"```python\n(.*?)```\s+```text\n(.*?)```", text, re.S)
    assert len(shown) == 5
    for i, (code, output) in enumerate(shown):
        (tmp_path / f"page{i}.py").write_text(code)  # Numba caches functions that are in files
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, str(tmp_path / f"page{i}.py"), "exec"), names)
        assert printed.getvalue().strip() == output.strip()


def test_hmc_in_machine_code_draws_what_python_draws():
    random = np.random.default_rng(0)
    x = random.normal(size=(50, 3))
    y = np.sign(x @ [1.0, -2.0, 0.0] + random.normal(size=50))
    gradient = hmc.compiled(x, y)
    native, accepted = hmc.native_sample(gradient, np.zeros(3), 100, 10, 0.1, 7)
    python, _ = hmc.sample(gradient, np.zeros(3), 100, 10, 0.1, 7)
    np.testing.assert_allclose(native, python, rtol=1e-6)
    assert accepted > 0.9
    step = jg.value_and_grad(hmc.potential(jg.tensor(x), jg.tensor(y)))
    np.testing.assert_allclose(gradient(native[-1])[1], step(native[-1])[1].numpy())
    assert (native[20:].mean(0) * [1, -1, 0] > [0.5, 0.5, -1]).all()


def test_the_data_of_hmc():
    pytest.importorskip("sklearn")
    x, y = hmc.data()
    assert x.shape == (569, 31)
    assert set(y) == {-1.0, 1.0}
