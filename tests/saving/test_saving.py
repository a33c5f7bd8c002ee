"""`save` and `load`: what is in a file comes back as it was, and what cannot be in one is said."""

from __future__ import annotations

import io
import json
import math
import pickle
import subprocess
import sys
import zipfile
from collections import Counter, OrderedDict
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import jitgrad as jg
from jitgrad import dtypes
from jitgrad.errors import DamagedFileError, TracedValueError

quick = pytest.mark.quick


def through(tree: Any, **more: Any) -> Any:
    file = io.BytesIO()
    jg.save(tree, file)
    file.seek(0)
    return jg.load(file, **more)


def same(a: Any, b: Any) -> None:
    """Assert that two trees are of the same types and values, to the bit."""
    assert type(a) is type(b)
    if isinstance(a, jg.Tensor):
        assert (a.requires_grad, a.is_leaf, a.device) == (b.requires_grad, True, b.device)
        a, b = np.asarray(a.detach().numpy()), np.asarray(b.detach().numpy())
    if isinstance(a, (np.ndarray, np.generic)):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    elif isinstance(a, dict):
        assert [*a] == [*b]
        for key, other in zip(a, b):
            same(key, other)
            same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            same(x, y)
    else:
        assert repr(a) == repr(b)


TREES = {
    "numbers": [
        1,
        -(2**80),
        True,
        None,
        0.1,
        -0.0,
        math.inf,
        -math.inf,
        math.nan,
        1 + 2j,
        complex(math.nan, -0.0),
        complex(-0.0, math.inf),
        "text \ud800 é",
    ],
    "containers": {"a": (), "b": [], "c": {}, "d": ((1,), [2, (3,)]), "e": OrderedDict(z=1, a=2), "f": Counter([1, 1, 2])},
    "keys": {1: "int", "1": "str", True + 1.5: "float", None: 0, (1, "x"): "tuple", "": {"": jg.ones(1)}},
    "what begins as the marks of nesting do": {"tuple": [1], "dict": {"tensor": "x"}, "tensor": jg.ones(2)},
    "names that meet": {"a.b": jg.zeros(1), "a": {"b": jg.ones(1)}, "__metadata__": jg.ones(2), "a.b#2": jg.ones(3)},
    "objects of jitgrad": [jg.float32, jg.bfloat16, jg.device("cpu"), jg.ones(2, 3).shape],
    "arrays": [np.arange(6.0).reshape(2, 3).T, np.float32(2), np.bool_(True), np.array(1 + 2j), np.arange(3, dtype="uint16")],
    "a tensor": jg.tensor(3.0, requires_grad=True),
    "views": [jg.arange(6.0)[::2], jg.ones(2, 3).t(), jg.ones(1).expand(4), jg.arange(3.0).flip(0)],
    "no elements": [jg.zeros(0, 3), jg.zeros(2, 0, dtype=jg.complex64), np.zeros((0,), bool)],
}


@quick
@pytest.mark.parametrize("name", TREES)
def test_trees_come_back(name):
    same(TREES[name], through(TREES[name]))


@quick
@pytest.mark.parametrize("dtype", dtypes.ALL.values(), ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_dtypes_come_back(dtype, shape):
    x = jg.ones(shape, dtype=dtype)
    same(x, through(x))
    if dtype.has_gradient:
        same(x.requires_grad_(), through(x))
    same(x.detach().numpy(), through(x.detach().numpy()))


@quick
def test_arrays_in_another_order_of_bytes():
    assert through(np.arange(3, dtype=">i4")).tolist() == [0, 1, 2]


@quick
def test_one_tensor_in_several_places_is_one_when_loaded():
    x = jg.ones(2, requires_grad=True)
    a, b = through([x, {"again": x}])
    assert a is b["again"]


@quick
def test_what_is_loaded_can_be_changed_and_differentiated():
    x = through({"x": jg.tensor([1.0, 2.0], requires_grad=True), "y": np.zeros(2)})
    x["y"][0] = 3
    (x["x"] ** 2).sum().backward()
    assert x["x"].grad.tolist() == [2.0, 4.0]
    with jg.no_grad():
        x["x"][0] = 5
    assert x["x"].tolist() == [5.0, 2.0]


@quick
def test_of_a_history_the_values_are_saved():
    y = jg.ones(2, requires_grad=True) * 2
    loaded = through(y)
    assert loaded.is_leaf
    assert loaded.requires_grad
    assert loaded.tolist() == [2.0, 2.0]


@quick
def test_paths_and_files(tmp_path):
    for path in (tmp_path / "a.safetensors", str(tmp_path / "b")):
        jg.save([jg.ones(2)], path)
        same([jg.ones(2)], jg.load(path))
        with open(path, "rb") as file:
            same([jg.ones(2)], jg.load(file))
    with pytest.raises(FileNotFoundError):
        jg.load(tmp_path / "nothing")
    with pytest.raises(TypeError, match="'rb'"):
        jg.load(io.StringIO("text"))
    with pytest.raises(TypeError):
        jg.load(3.5)


@pytest.mark.parametrize("name", ["SGD", "Adam", "LBFGS"])
def test_training_goes_on_where_it_was_saved(name, tmp_path):
    def train(w: Any, optimizer: Any, steps: int) -> None:
        def closure() -> Any:
            optimizer.zero_grad()
            loss = ((w - 3) ** 2).sum()
            loss.backward()
            return loss

        for _ in range(steps):
            optimizer.step(closure)

    def started(w: Any) -> Any:
        return getattr(jg.optim, name)([w], lr=0.1, **({"momentum": 0.9} if name == "SGD" else {}))

    w = jg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = started(w)
    schedule = jg.optim.lr_scheduler.MultiStepLR(optimizer, [2, 2, 5])
    train(w, optimizer, 3)
    jg.save({"w": w, "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}, tmp_path / "state")
    found = jg.load(tmp_path / "state")
    other = started(found["w"])
    other.load_state_dict(found["optimizer"])
    again = jg.optim.lr_scheduler.MultiStepLR(other, [1])
    again.load_state_dict(found["schedule"])
    train(w, optimizer, 3)
    train(found["w"], other, 3)
    assert found["w"].tolist() == w.tolist()
    assert again.milestones == schedule.milestones


class Thing:
    pass


@quick
@pytest.mark.parametrize(
    ("tree", "kind", "said"),
    [
        ({"state": [{"lr_lambda": len}]}, TypeError, r"obj\['state'\]\[0\]\['lr_lambda'\] is builtin_function_or_method len"),
        ([1, Thing()], TypeError, r"obj\[1\] is an object of .*Thing"),
        ({1, 2}, TypeError, r"obj is an object of builtins.set"),
        ([b"bytes"], TypeError, r"obj\[0\] is an object of builtins.bytes"),
        ({jg.ones(1): 1}, TypeError, r"obj has a key that is an object of .*Tensor"),
        ([{len: 1}], TypeError, r"obj\[0\] has a key that is builtin_function_or_method len"),
        ([np.array(["text"])], TypeError, r"obj\[0\] is an array of dtype <U4"),
        ([np.array([None])], TypeError, r"obj\[0\] is an array of dtype object"),
        ([np.ma.masked_array([1.0], [True])], TypeError, "mask"),
    ],
)
def test_what_cannot_be_saved_is_said_with_its_place(tree, kind, said):
    file = io.BytesIO()
    with pytest.raises(kind, match=said):
        jg.save(tree, file)
    assert not file.getvalue()


@quick
def test_what_contains_itself():
    tree: Any = {"a": []}
    tree["a"].append(tree)
    with pytest.raises(ValueError, match=r"obj\['a'\]\[0\] contains itself"):
        jg.save(tree, io.BytesIO())
    twice = [1.0]
    assert through([twice, twice]) == [[1.0], [1.0]]


@quick
def test_tensors_without_a_value_and_under_a_derivative():
    with pytest.raises(TracedValueError, match="save"):
        jg.jit(lambda x: jg.save(x, io.BytesIO()))(jg.ones(2))

    def loss(x: Any) -> Any:
        jg.save([x], io.BytesIO())
        return x.sum()

    with pytest.raises(RuntimeError, match=r"obj\[0\] .*detach"):
        jg.grad(loss)(jg.ones(2))


@quick
def test_others_read_a_dict_of_tensors_and_it_reads_theirs(tmp_path):
    path = tmp_path / "model.safetensors"
    jg.save({"layer.weight": jg.ones(2, 3), "layer.bias": jg.zeros(3, dtype=jg.bfloat16)}, path)
    with safetensors.safe_open(path, "np") as file:
        assert sorted(file.keys()) == ["layer.bias", "layer.weight"]
        assert file.get_tensor("layer.weight").tolist() == [[1.0] * 3] * 2
    arrays = {"b": np.arange(3, dtype=np.int8), "a": np.ones((2, 1), np.float16), "c": np.array([1 + 2j], np.complex64)}
    safetensors.numpy.save_file(arrays, path, {"format": "np"})
    found = jg.load(path)
    assert type(found) is dict
    same({name: jg.tensor(arrays[name]) for name in sorted(arrays)}, found)
    safetensors.numpy.save_file({"x": np.ones(2, np.uint32)}, path)
    with pytest.raises(TypeError, match="uint32"):
        jg.load(path)


def _archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", "")
    return file.getvalue()


def _array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones(2))
    return file.getvalue()


@quick
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (_archive(), r"by torch.save or numpy.savez"),
        (pickle.dumps({"a": 1}), "by pickle"),
        (_array(), "by numpy.load"),
        (b"", "damaged"),
        (b"anything else", "damaged"),
    ],
)
def test_files_of_others_are_refused(content, said):
    with pytest.raises(DamagedFileError, match=said):
        jg.load(io.BytesIO(content))


@quick
def test_damaged_files_are_refused():
    file = io.BytesIO()
    jg.save({"a": jg.ones(3), "b": (1, 2)}, file)
    content = file.getvalue()
    for length in range(len(content)):
        with pytest.raises(DamagedFileError):
            jg.load(io.BytesIO(content[:length]))


@quick
@pytest.mark.parametrize(
    "text",
    ["{", "{}", '{"tensor": "missing"}', '{"dict": [1]}', '{"tensor": ["x"]}', '{"dtype": "float3"}', "[" * 99999]
    + ['{"dict": [[{"dict": []}, 1]]}', '{"tuple": 3}', '{"complex": "x"}', '{"float": "x"}'],
)
def test_files_with_a_wrong_text_are_refused(text):
    content = safetensors.numpy.save({"x": np.ones(2)}, {"jitgrad": text})
    with pytest.raises(DamagedFileError):
        jg.load(io.BytesIO(content))


@quick
def test_the_text_is_json_that_everybody_reads():
    file = io.BytesIO()
    jg.save({"x": [jg.ones(2)], "y": math.nan}, file)
    content = file.getvalue()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    found = json.loads(header["__metadata__"]["jitgrad"], parse_constant=pytest.fail)
    assert found == {"dict": [["x", [{"tensor": "x.0"}]], ["y", {"float": "nan"}]]}


@quick
def test_devices():
    same(jg.ones(2), through(jg.ones(2), map_location="cpu"))
    with pytest.raises(RuntimeError, match="meta"):
        through(jg.ones(2), map_location="meta")
    text = '{"tensor":"x","on":"cuda:77"}'
    content = safetensors.numpy.save({"x": np.ones(2)}, {"jitgrad": text})
    assert jg.load(io.BytesIO(content), map_location="cpu").tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match=r"'x' was on a GPU: .*map_location='cpu'"):
        jg.load(io.BytesIO(content))


def test_without_the_package_it_is_said_what_to_install():
    code = """
import sys
sys.modules["safetensors"] = None
import jitgrad
for call in (lambda: jitgrad.save(1, "x"), lambda: jitgrad.load("x")):
    try:
        call()
    except ImportError as error:
        assert "pip install 'jitgrad[safetensors]'" in str(error)
    else:
        raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code], check=True)
