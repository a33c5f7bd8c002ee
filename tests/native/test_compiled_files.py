"""Native functions that outlive the process: saved in files, and called from cached `@njit` functions."""

import copy
import pickle
import textwrap

import numba
import numpy as np
import pytest

import jitgrad as jg
from jitgrad.native import artefact
from tests.helpers.native_cases import CASES, run
from tests.native.test_compiled import GRADIENT, agree

# Callers in the disk cache of Numba.

_LOSS = """
    import os
    import numpy as np
    import jitgrad as jg
    scale = float(os.environ["SCALE"])
    gradient = jg.value_and_grad(lambda x: (x * x * scale).sum()).compile(np.zeros(3))
"""
_USER = """
    import numba
    import numpy as np
    from loss import gradient

    @numba.njit(cache=True)
    def step(x):
        value, slope = gradient(x)
        return x - slope

    print(step(np.ones(3)).tolist(), sum(step.stats.cache_hits.values()))
"""


def test_callers_can_be_cached(tmp_path):
    for name, text in (("loss.py", _LOSS), ("user.py", _USER)):
        (tmp_path / name).write_text(textwrap.dedent(text))
    assert run(tmp_path, "user.py", SCALE="1").stdout.split("]") == ["[-1.0, -1.0, -1.0", " 0\n"]
    assert run(tmp_path, "user.py", SCALE="1").stdout.split("]") == ["[-1.0, -1.0, -1.0", " 1\n"]
    # Numba does not see that what the cached function calls has changed; the code of another function must not run.
    assert run(tmp_path, "user.py", SCALE="2").stdout.split("]") == ["[-3.0, -3.0, -3.0", " 0\n"]
    assert run(tmp_path, "user.py", SCALE="2").stdout.split("]") == ["[-3.0, -3.0, -3.0", " 1\n"]


_CLOSURES = """
    import numba
    import numpy as np
    from loss import gradient

    def make(g):
        @numba.njit(cache=True)
        def step(x):
            value, slope = g(x)
            return x - slope
        return step

    @numba.njit(cache=True)
    def values(x):
        for i in range(2):
            yield gradient(i * x)[0]

    step = make(gradient)
    print(step(np.ones(3))[0], list(values(np.ones(3))), sum(step.stats.cache_hits.values()))
"""


def test_closures_and_generators_can_be_cached(tmp_path):
    for name, text in (("loss.py", _LOSS), ("user.py", _CLOSURES)):
        (tmp_path / name).write_text(textwrap.dedent(text))
    seen = [run(tmp_path, "user.py", SCALE=scale).stdout for scale in "11221"]
    assert seen == [
        "-1.0 [0.0, 3.0] 0\n",
        "-1.0 [0.0, 3.0] 1\n",
        "-3.0 [0.0, 6.0] 0\n",
        "-3.0 [0.0, 6.0] 1\n",
        "-1.0 [0.0, 3.0] 1\n",
    ]


# Files.


def test_pickled_functions(tmp_path):
    g = jg.value_and_grad(lambda p: (p["w", 0] * p["w", 0]).sum()).compile({("w", 0): np.zeros(3)})
    g.save(tmp_path / "g")
    x = {("w", 0): np.ones(3)}
    for other in (pickle.loads(pickle.dumps(g)), jg.load_compiled(tmp_path / "g")):
        value, slopes = other(x)
        assert (value.item(), slopes["w", 0].tolist()) == (3.0, [2.0, 2.0, 2.0])
        assert other.address == g.address
    assert copy.copy(g) is copy.deepcopy(g) is g
    loaded = pickle.loads(pickle.dumps(jg.jit(lambda x: x.exp()).compile(np.zeros(2))))

    @numba.njit
    def twice(x):
        return 2 * loaded(x)

    assert twice(np.zeros(2)).tolist() == [2.0, 2.0]


def test_save_and_load(tmp_path):
    for name in ("neuron", "aux", "captured", "large product", "bools", "fixed", "dict and number", "nested"):
        function, args = CASES[{"neuron": "the neuron"}.get(name, name)]
        compiled = jg.jit(function).compile(*args)
        compiled.save(tmp_path / "f.native")
        loaded = jg.load_compiled(str(tmp_path / "f.native"))
        agree(compiled(*args), loaded(*args))
        assert loaded.header() == compiled.header()
        loaded.save(tmp_path / "again.native")
        assert (tmp_path / "again.native").read_bytes() == (tmp_path / "f.native").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.native", "f.native"]


_LOADS = """
    import sys
    import jitgrad as jg
    import jitgrad.tracing.function
    jitgrad.tracing.function.trace = None  # whoever wants to record something fails
    gradient = jg.load_compiled("f.native")
    assert "numba" not in sys.modules
    print(gradient(jg.tensor([1.0, 2.0]))[1].tolist())

    import numba
    import numpy as np

    @numba.njit(cache=True)
    def step(x):
        return x - gradient(x)[1]

    print(step(np.ones(2, np.float32)).tolist())
"""


def test_load_in_another_process_without_tracing(tmp_path):
    weights = jg.tensor([2.0, 3.0])
    jg.value_and_grad(lambda x: (x * x * weights).sum()).compile(jg.zeros(2)).save(tmp_path / "f.native")
    (tmp_path / "loads.py").write_text(textwrap.dedent(_LOADS))
    for _ in range(2):  # the second time, `step` comes from the cache
        done = run(tmp_path, "loads.py")
        assert (done.stdout, done.stderr) == ("[4.0, 12.0]\n[-3.0, -5.0]\n", "")


def test_files_that_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "f.native"
    GRADIENT.save(path)
    content = path.read_bytes()
    for wrong in (content[:-1], content[: len(content) // 2], content[:60], content[:-9] + b"x" + content[-8:]):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match="is damaged or cut short: save it again"):
            jg.load_compiled(path)
    for wrong in (b"", content[:10], b"something else"):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match="is no native function of jitgrad"):
            jg.load_compiled(path)
    with pytest.raises(FileNotFoundError):
        jg.load_compiled(tmp_path / "none")
    path.write_bytes(content)
    monkeypatch.setattr(artefact, "VERSION", "99.0")
    with pytest.raises(RuntimeError, match=r"was saved for jitgrad \S+, and here is jitgrad 99.0: compile and save it here"):
        jg.load_compiled(path)
    monkeypatch.undo()
    here = artefact.host()
    monkeypatch.setattr(artefact, "host", lambda: here._replace(cpu="another"))
    with pytest.raises(RuntimeError, match=r"was saved for cpu \S+, and here is cpu another"):
        jg.load_compiled(path)
    monkeypatch.setattr(artefact, "host", lambda: here._replace(features="+old"))
    with pytest.raises(RuntimeError, match="was saved for a CPU with other features"):
        jg.load_compiled(path)


def test_what_cannot_be_saved(tmp_path):
    compiled = jg.jit(lambda x, d: x.to(d)).compile(jg.ones(2), jg.float64)
    with pytest.raises(TypeError, match="d is fixed at a DType"):
        compiled.save(tmp_path / "f.native")
    with pytest.raises(TypeError, match="has a frozenset as a key"):
        jg.jit(lambda d: d[frozenset()] * 2).compile({frozenset(): jg.ones(2)}).save(tmp_path / "f.native")
    fine = jg.jit(lambda x: x * 2).compile(jg.ones(2))
    with pytest.raises(IsADirectoryError, match="is a folder: name a file in it"):
        fine.save(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*none to write f to"):
        fine.save(tmp_path / "none" / "f")
    assert not list(tmp_path.iterdir())
