"""Modules and names where PyTorch has them: `autograd.gradcheck`, `utils.dlpack`, and the name of a leaf's node."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck
from jitgrad.utils import dlpack

pytestmark = pytest.mark.quick


def test_gradcheck_is_a_function_and_a_module():
    x = jg.tensor([0.5, 1.0], dtype=jg.float64)
    assert gradcheck is jg.testing.gradcheck
    assert gradgradcheck is jg.testing.gradgradcheck
    assert jg.autograd.gradcheck(jg.sin, x)
    assert inspect.signature(jg.autograd.gradcheck) == inspect.signature(gradcheck)
    with pytest.raises(jg.autograd.gradcheck.GradcheckError):
        jg.autograd.gradcheck(lambda x: x.detach() * x, x)
    assert issubclass(GradcheckError, RuntimeError)


def test_capsules_of_dlpack_share_memory():
    x = jg.arange(4.0)
    y = dlpack.from_dlpack(dlpack.to_dlpack(x[1:]))
    x.mul_(2)
    assert y.tolist() == [2, 4, 6]
    array = np.arange(3.0)
    assert np.shares_memory(dlpack.from_dlpack(array).numpy(), array)
    capsule = dlpack.to_dlpack(x)
    dlpack.from_dlpack(capsule)
    with pytest.raises((TypeError, RuntimeError, ValueError)):
        dlpack.from_dlpack(capsule)
    with pytest.raises(TypeError, match="takes a tensor, not ndarray"):
        dlpack.to_dlpack(array)
    with pytest.raises((RuntimeError, BufferError), match="detach"):
        dlpack.to_dlpack(jg.ones(2, requires_grad=True))


def test_the_node_of_a_leaf_has_the_name_that_it_has_in_torch():
    w = jg.ones(2, requires_grad=True)
    node = (w * 2).grad_fn.next_functions[0][0]
    assert (node.name(), type(node).__name__, repr(node)) == (
        "torch::autograd::AccumulateGrad",
        "AccumulateGrad",
        "<AccumulateGrad>",
    )
