"""No public function and no method answers wrong arguments with an error that was not made for the caller."""

import functools

import numpy as np
import pytest

import jitgrad as jg
from tests.helpers.wrong_arguments import functions, methods, unfit

NAMES = sorted([*functions(), *methods()])
PARTS = 16


@pytest.mark.parametrize("part", range(PARTS))
def test_wrong_arguments_are_told_in_words(part, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chosen = set(NAMES[part::PARTS])
    assert [(call.text, repr(call.error)) for call in unfit(chosen.__contains__)] == []


ALONE = ("maximum", "atan2", "pow", "float_power", "fmod", "eq", "ldexp", "heaviside", "rsub", "clamp_min", "special.xlog1py")


@pytest.mark.parametrize("name", ALONE)
def test_one_of_two_operands_is_a_tensor(name):
    """Numbers alone are refused, by PyTorch's type of error, under `jit` as well; with an array or a tensor they are operands."""
    function = functools.reduce(getattr, name.split("."), jg)
    for call in (function, jg.jit(lambda x, y: function(x, y)), lambda x, y: jg.jit(lambda x: function(x, y))(x)):
        with pytest.raises(TypeError, match="takes a tensor or an array among its operands, and these are numbers alone"):
            call(2.0, 3.0)
    assert function(np.float64(2), 3.0 if name != "heaviside" else np.float64(3)).shape == ()
    assert function(np.array([2.0]), np.array([3.0])).shape == (1,)
    assert function(jg.tensor([2.0]), jg.tensor(3.0)).shape == (1,)


def test_numbers_beside_a_tensor_are_operands():
    """PyTorch asks for tensors alone here; NumPy does not."""
    x = jg.tensor([1.0, 3.0])
    assert jg.maximum(x, 2).tolist() == jg.maximum(2, x).tolist() == np.maximum(x, 2).tolist() == [2, 3]
    assert jg.add(2, 3).item() == 5
    assert jg.jit(lambda k: np.maximum(k, 2.0))(1.0) == 2


def test_a_complex_number_is_not_written_into_real_ones():
    x, mask, i = jg.ones(2), jg.tensor([True, False]), jg.tensor(1j)
    for call in (lambda: x.masked_fill(mask, i), lambda: x.index_fill(0, jg.tensor([0]), i)):
        with pytest.raises(RuntimeError, match="a complex64 number does not fit into a tensor of dtype float32"):
            call()
    assert x.to(jg.complex64).masked_fill(mask, i).tolist() == [1j, 1]
