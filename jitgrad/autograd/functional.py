"""PyTorch's `autograd.functional`: derivatives of functions of tensors, by name. The transforms of `jitgrad.func` can do more."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.autograd.modes import enable_grad
from jitgrad.func.gradients import cotangents
from jitgrad.func.jacobians import blocks, refuse_lost
from jitgrad.func.point import Point, one
from jitgrad.func.tangents import pushed
from jitgrad.functions.creation import zeros_like
from jitgrad.functions.data import tensor
from jitgrad.functions.shaping import stack
from jitgrad.record.trace import in_mode
from jitgrad.tape.handle import requires
from jitgrad.tape.row import reachable
from jitgrad.tensors.tensor import Tensor

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


@enable_grad
def vjp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """`(output, product)`: what `func` gives, and the cotangents of `inputs` for the cotangent `v` of that.

    `inputs` is a tensor or a tuple of tensors, and so is the product; `v` is nested like the output, and may be left out where
    that is one number. With `create_graph` both can be differentiated, and with `strict` an output or a product that does not
    depend on the inputs is a RuntimeError. TypeError for what is no tensor.

    >>> import jitgrad
    >>> jitgrad.autograd.functional.vjp(lambda x: x.exp().sum(), jitgrad.zeros(2))
    (tensor(2.), tensor([1., 1.]))
    """
    call = _Call("vjp", func, inputs, create_graph, strict)
    found = call.pulled(_vectors("v", v, call.point.outputs, call.result))
    return call.finished(call.result), found


@enable_grad
def jvp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """`(output, product)`: what `func` gives, and how that changes along `v`, which is nested like `inputs`; see `vjp`.

    >>> import jitgrad
    >>> jitgrad.autograd.functional.jvp(lambda x: x.exp(), jitgrad.zeros(2), jitgrad.ones(2))
    (tensor([1., 1.]), tensor([1., 1.]))
    """
    call = _Call("jvp", func, inputs, create_graph, strict)
    return call.finished(call.result), call.pushed(_vectors("v", v, call.point.inputs, inputs))


@enable_grad
def vhp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """`(output, product)` of a function of one number: what it gives, and `v` times its Hessian; see `vjp`.

    >>> import jitgrad
    >>> jitgrad.autograd.functional.vhp(lambda x: (x**3).sum(), jitgrad.ones(2), jitgrad.ones(2))
    (tensor(2.), tensor([6., 6.]))
    """
    gradient = _Gradient("vhp", func, inputs, strict)
    call = _Call("vhp", gradient, inputs, create_graph, strict)
    found = call.pulled(_vectors("v", v, call.point.inputs, inputs))
    return call.finished(gradient.value), found


@enable_grad
def hvp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """`(output, product)` of a function of one number: what it gives, and its Hessian times `v`; see `vjp`.

    The Hessian is symmetric, so this is `vhp` by a forward sweep over the reverse one.

    >>> import jitgrad
    >>> jitgrad.autograd.functional.hvp(lambda x: (x**3).sum(), jitgrad.ones(2), jitgrad.ones(2))
    (tensor(2.), tensor([6., 6.]))
    """
    gradient = _Gradient("hvp", func, inputs, strict)
    call = _Call("hvp", gradient, inputs, create_graph, strict)
    found = call.pushed(_vectors("v", v, call.point.inputs, inputs))
    return call.finished(gradient.value), found


@enable_grad
def jacobian(
    func: Callable,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian of `func` at `inputs`: for each output, for each input, a tensor of the shapes of both.

    A tensor for one input and one output, and tuples for tuples of them. Each row is a reverse sweep; with `vectorize` one
    batched sweep serves all, by `strategy="forward-mode"` a forward one. The rest is as in `vjp`.

    >>> import jitgrad
    >>> jitgrad.autograd.functional.jacobian(lambda x: x * x.sum(), jitgrad.tensor([1.0, 2.0]))
    tensor([[4., 1.],
            [2., 5.]])
    """
    if strategy not in ("reverse-mode", "forward-mode"):
        raise ValueError(f"strategy must be 'reverse-mode' or 'forward-mode', not {strategy!r}")
    forward = strategy == "forward-mode"
    if forward and not vectorize:
        raise NotImplementedError("strategy='forward-mode' is batched alone: pass vectorize=True, or use jitgrad.func.jacfwd")
    if strict and vectorize:
        raise RuntimeError("strict=True looks at every row by itself, and with vectorize=True there is none: leave one out")
    if forward and create_graph:
        raise NotImplementedError("strategy='forward-mode' does not take create_graph=True: use jitgrad.func.jacfwd")
    call = _Call("jacobian", func, inputs, create_graph, strict)
    many = vectorize or any(y._value is None for y in call.point.outputs)  # one sweep is recorded and not one a row
    rows = in_mode(create_graph, lambda: blocks(call.point, None, forward) if many else _row_by_row(call.point))
    nested = [call.finished(call.like_inputs(row)) for row in rows]
    return tuple(nested) if isinstance(call.result, tuple) else nested[0]


@enable_grad
def hessian(
    func: Callable,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The Hessian of a function of one number at `inputs`: the Jacobian of its gradient; arguments as in `jacobian`.

    >>> import jitgrad
    >>> jitgrad.autograd.functional.hessian(lambda x: (x**3).sum(), jitgrad.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    if any(x.dtype.is_complex for x in _tensors(inputs, "the inputs of hessian")):
        raise RuntimeError(
            "hessian: an input is complex, and one number for each pair of elements is no second derivative: take view_as_real() "
            "of it"
        )
    gradient = _Gradient("hessian", func, inputs, strict)
    return jacobian(gradient, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)


class _Call:
    """`func` at `inputs`: a `Point` at which sweeps start, whose results keep their history if they are to be differentiated."""

    def __init__(self, name: str, func: Callable, inputs: Any, create_graph: bool, strict: bool) -> None:
        self.name, self.create_graph, self.single = name, create_graph, isinstance(inputs, Tensor)
        given = _tensors(inputs, f"the inputs of {name}")
        for i, x in enumerate(given):
            if not x.dtype.has_gradient:
                raise RuntimeError(f"{name}: input {i} is {x.dtype.name}, and only floating tensors have gradients: convert it")

        def checked(*xs: Any) -> Any:
            self.result = func(*xs)
            _tensors(self.result, f"what the function of {name} returns")
            return self.result

        self.point = Point(checked, [_source(x, create_graph) for x in given], {}, range(len(given)))
        if strict:
            self.refuse_independent()

    def refuse_independent(self) -> None:
        """RuntimeError if an output does not depend on an input."""
        for k, y in enumerate(self.point.outputs):
            behind = set(reachable([y._row], lambda row: not row.requires)) if requires(y) else set()
            for i, x in enumerate(self.point.inputs):
                if x._row not in behind:
                    raise RuntimeError(f"{self.name}: output {k} of the function does not depend on input {i}, and strict=True")

    def pulled(self, vectors: Sequence[Any]) -> Any:
        """The cotangents of the inputs, zeros where there are none."""
        given = cotangents(self.point, tuple(vectors) if isinstance(self.result, tuple) else vectors[0])
        return self.finished(self.like_inputs(in_mode(self.create_graph, lambda: self.point.pull(given))))

    def pushed(self, vectors: Sequence[Any]) -> Any:
        """The tangents of the outputs, nested like these."""
        return self.finished(in_mode(self.create_graph, lambda: pushed(self.point, vectors)))

    def like_inputs(self, found: Sequence[Any]) -> Any:
        return found[0] if self.single else tuple(found)

    def finished(self, tree: Any) -> Any:
        """A result without its history, unless it is to be differentiated."""
        if isinstance(tree, tuple):
            return tuple([self.finished(x) for x in tree])
        return tree if self.create_graph else tree.detach()


class _Gradient:
    """The gradient of a function of one number, as a function of inputs that are nested alike; `value` is what that gave last."""

    value: Any

    def __init__(self, name: str, func: Callable, inputs: Any, strict: bool) -> None:
        self.name, self.func, self.single, self.strict = name, func, isinstance(inputs, Tensor), strict

    def __call__(self, *xs: Any) -> Any:
        call = _Call(self.name, self.func, xs[0] if self.single else xs, True, self.strict)
        self.value = value = call.result
        if not isinstance(value, Tensor) or math.prod(value.shape) != 1:
            raise RuntimeError(f"the function of {self.name} must return a tensor of one element, of which there is a gradient")
        if value.dtype.is_complex:
            raise RuntimeError(
                f"the function of {self.name} returns {value.dtype.name}, and gradients are of real numbers: take its abs(), "
                ".real or .imag"
            )
        return call.pulled([one(value)])


def _source(x: Any, create_graph: bool) -> Any:
    """An input without the history that results are not to have, or with one that begins there."""
    if not create_graph:
        return x.detach()
    return x if x._value is None or requires(x) else x.detach().requires_grad_()


def _row_by_row(point: Point) -> list[list[Any]]:
    """The Jacobian of each output in each input, by a reverse sweep for each element of the outputs."""
    refuse_lost(point, pushing=False)
    return [_rows(point, k) for k in range(len(point.outputs))]


def _rows(point: Point, k: int) -> list[Any]:
    """The Jacobian of one output in each input."""
    out, size = point.outputs[k], math.prod(point.outputs[k].shape)
    shapes = [(*out.shape, *x.shape) for x in point.inputs]
    if not requires(out) or not size:
        return [zeros_like(x).expand(size, *x.shape).reshape(shape) for x, shape in zip(point.inputs, shapes)]
    units = tensor(np.eye(size, dtype=out._held.dtype)).reshape(size, *out.shape)
    others = [None] * (len(point.outputs) - 1)
    rows = [point.pull([*others[:k], unit, *others[k:]]) for unit in units]
    return [stack(list(column)).reshape(shape) for column, shape in zip(zip(*rows), shapes)]


def _tensors(given: Any, what: str) -> list[Any]:
    found = list(given) if isinstance(given, tuple) else [given]
    for x in found:
        if not isinstance(x, Tensor):
            raise TypeError(f"{what} must be a tensor or a tuple of tensors, not {type(x).__name__}")
    return found


def _vectors(name: str, v: Any, like: Sequence[Any], nest: Any) -> list[Any]:
    """A vector for each tensor of some, checked."""
    if v is None:
        if len(like) != 1 or math.prod(like[0].shape) != 1:
            raise RuntimeError(
                f"{name} may be left out for one number alone: give a tensor for each of {len(like)}, of its shape"
            )
        if like[0].dtype.is_complex:
            raise RuntimeError(f"{name} may be left out for a real number alone, and this one is {like[0].dtype.name}: give it")
        return [one(like[0])]
    found = _tensors(v, name)
    if len(found) != len(like) or isinstance(v, tuple) != isinstance(nest, tuple):
        raise RuntimeError(
            f"{name} holds {len(found)} tensors, and there are {len(like)} that it belongs to, nested in the same way"
        )
    for i, (x, y) in enumerate(zip(found, like)):
        if x.shape != y.shape:
            raise RuntimeError(f"{name}: tensor {i} has shape {list(x.shape)}, and what it belongs to has {list(y.shape)}")
    return found
