"""PyTorch's `autograd.functional`: derivatives of functions of tensors, by name. The transforms of `jitgrad.func` can do more."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.autograd.gradients import grad
from jitgrad.autograd.modes import enable_grad
from jitgrad.func.jacobians import jacfwd
from jitgrad.func.tangents import jvp as pushed
from jitgrad.functions.creation import zeros_like
from jitgrad.functions.data import tensor
from jitgrad.functions.shaping import stack
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
    found = call.pulled(_vectors("v", v, call.outs, call.result), create_graph, strict)
    return call.finished(call.result), call.finished(call.like_inputs(found))


@enable_grad
def jvp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """`(output, product)`: what `func` gives, and how that changes along `v`, which is nested like `inputs`; see `vjp`.

    >>> import jitgrad
    >>> jitgrad.autograd.functional.jvp(lambda x: x.exp(), jitgrad.zeros(2), jitgrad.ones(2))
    (tensor([1., 1.]), tensor([1., 1.]))
    """
    call = _Call("jvp", func, inputs, create_graph, strict)
    vectors = _vectors("v", v, call.xs, inputs)
    _, change = pushed(lambda *xs: func(*xs), tuple(call.xs), tuple(vectors))
    return call.finished(call.result), call.finished(change)


@enable_grad
def vhp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """`(output, product)` of a function of one number: what it gives, and `v` times its Hessian; see `vjp`.

    >>> import jitgrad
    >>> jitgrad.autograd.functional.vhp(lambda x: (x**3).sum(), jitgrad.ones(2), jitgrad.ones(2))
    (tensor(2.), tensor([6., 6.]))
    """
    call = _Call("vhp", func, inputs, create_graph, strict, scalar=True)
    vectors = _vectors("v", v, call.xs, inputs)
    first = call.pulled([None], True, strict)
    found = _pulled(first, call.xs, vectors, create_graph, "the gradient" if strict else "")
    return call.finished(call.result), call.finished(call.like_inputs(found))


@enable_grad
def hvp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """`(output, product)` of a function of one number: what it gives, and its Hessian times `v`; see `vjp`.

    The Hessian is symmetric, so this is `vhp` by a forward sweep over the reverse one.

    >>> import jitgrad
    >>> jitgrad.autograd.functional.hvp(lambda x: (x**3).sum(), jitgrad.ones(2), jitgrad.ones(2))
    (tensor(2.), tensor([6., 6.]))
    """
    call = _Call("hvp", func, inputs, create_graph, strict, scalar=True)
    vectors = _vectors("v", v, call.xs, inputs)
    if strict:
        _pulled(call.pulled([None], True, True), call.xs, vectors, False, "the gradient")

    def gradient(*xs: Any) -> tuple[Any, ...]:
        found = grad(func(*xs), xs, create_graph=True, allow_unused=True, materialize_grads=True)
        return tuple(found)

    _, change = pushed(gradient, tuple(call.xs), tuple(vectors))
    return call.finished(call.result), call.finished(call.like_inputs(change))


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
    rows = (
        _by_columns(call, func) if forward else [_rows(call, k, create_graph, strict, vectorize) for k in range(len(call.outs))]
    )
    nested = [call.like_inputs(row) for row in rows]
    return call.finished(tuple(nested) if isinstance(call.result, tuple) else nested[0])


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
    single = isinstance(inputs, Tensor)

    def gradient(*xs: Any) -> Any:
        call = _Call("hessian", func, xs, True, strict, scalar=True)
        found = call.pulled([None], True, strict)
        return found[0] if single else tuple(found)

    return jacobian(gradient, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)


class _Call:
    """`func` at `inputs`, as tensors of its own that require grad, and its outputs."""

    def __init__(self, name: str, func: Callable, inputs: Any, create_graph: bool, strict: bool, scalar: bool = False) -> None:
        self.name, self.create_graph, self.single = name, create_graph, isinstance(inputs, Tensor)
        given = _tensors(inputs, f"the inputs of {name}")
        kept = [x.view_as(x) if create_graph and x.requires_grad else x.detach().requires_grad_() for x in given]
        self.xs: list[Any] = kept
        self.result = func(*kept)
        self.outs = _tensors(self.result, f"what the function of {name} returns")
        if scalar and (len(self.outs) != 1 or not isinstance(self.result, Tensor) or math.prod(self.outs[0].shape) != 1):
            raise RuntimeError(f"the function of {name} must return a tensor of one element, of which there is a gradient")
        if strict:
            self.refuse_independent()

    def refuse_independent(self) -> None:
        """RuntimeError if an output does not depend on an input."""
        for k, out in enumerate(self.outs):
            behind = {row for row in reachable([out._row]) if row.requires} if out.requires_grad else set()
            for i, x in enumerate(self.xs):
                if x._row not in behind:
                    raise RuntimeError(f"{self.name}: output {k} of the function does not depend on input {i}, and strict=True")

    def pulled(self, vectors: Sequence[Any], create_graph: bool, strict: bool) -> list[Any]:
        """The cotangents of the inputs, zeros where there are none."""
        return _pulled(self.outs, self.xs, vectors, create_graph, "an output" if strict else "")

    def like_inputs(self, found: Sequence[Any]) -> Any:
        return found[0] if self.single else tuple(found)

    def finished(self, tree: Any) -> Any:
        """A result without its history, unless it is to be differentiated."""
        if isinstance(tree, tuple):
            return tuple([self.finished(x) for x in tree])
        return tree if self.create_graph else tree.detach()


def _pulled(outs: Sequence[Any], xs: Sequence[Any], vectors: Sequence[Any], create_graph: bool, strictly: str) -> list[Any]:
    pairs = [(out, v) for out, v in zip(outs, vectors) if out.requires_grad]
    found: Sequence[Any] = [None] * len(xs)
    if pairs:
        kept, given = zip(*pairs)
        found = grad(kept, xs, given, retain_graph=True, create_graph=create_graph, allow_unused=True)
    if strictly and any(g is None for g in found):
        raise RuntimeError(f"{strictly} of the function does not depend on an input, and strict=True")
    return [zeros_like(x) if g is None else g for g, x in zip(found, xs)]


def _rows(call: _Call, k: int, create_graph: bool, strict: bool, vectorize: bool) -> list[Any]:
    """The Jacobian of one output in each input."""
    out, size = call.outs[k], math.prod(call.outs[k].shape)
    shapes = [(*out.shape, *x.shape) for x in call.xs]
    if not out.requires_grad or not size:
        return [zeros_like(x).expand(size, *x.shape).reshape(shape) for x, shape in zip(call.xs, shapes)]
    units = tensor(np.eye(size, dtype=out._held.dtype)).reshape(size, *out.shape)
    if vectorize:
        options = {"retain_graph": True, "create_graph": create_graph, "allow_unused": True, "is_grads_batched": True}
        many = grad(out, call.xs, units, **options)
        return [(zeros_like(x).expand(size, *x.shape) if g is None else g).reshape(s) for g, x, s in zip(many, call.xs, shapes)]
    rows = [_pulled([out], call.xs, [unit], create_graph, "an output" if strict else "") for unit in units]
    return [stack(list(column)).reshape(shape) for column, shape in zip(zip(*rows), shapes)]


def _by_columns(call: _Call, func: Callable) -> list[list[Any]]:
    """The Jacobian of each output in each input, by a forward sweep for all elements of the inputs."""
    found = jacfwd(func, tuple(range(len(call.xs))))(*call.xs)
    return [list(row) for row in (found if isinstance(call.result, tuple) else (found,))]


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
        return [zeros_like(like[0]) + 1]
    found = _tensors(v, name)
    if len(found) != len(like) or isinstance(v, tuple) != isinstance(nest, tuple):
        raise RuntimeError(
            f"{name} holds {len(found)} tensors, and there are {len(like)} that it belongs to, nested in the same way"
        )
    for i, (x, y) in enumerate(zip(found, like)):
        if x.shape != y.shape:
            raise RuntimeError(f"{name}: tensor {i} has shape {list(x.shape)}, and what it belongs to has {list(y.shape)}")
    return found
