"""`register`: a row from outside the package, which is an operation like any other."""

from __future__ import annotations

import ast
import difflib
import inspect
import keyword
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jitgrad.functions.bind import bound
from jitgrad.functions.offered import FUNCTIONS
from jitgrad.functions.operands import accepting_arrays
from jitgrad.ops.rules import Rule
from jitgrad.ops.table import TABLE, Op
from jitgrad.passes.batch import RULES
from jitgrad.tape.device_array import DeviceArray
from jitgrad.tape.handle import Handle
from jitgrad.tensors.numpy_protocols import UFUNCS
from jitgrad.tensors.tensor import Tensor, wrap

REGISTERED: dict[str, tuple[Op, Callable[..., Any]]] = {}
"""The rows from outside, and their functions, by name."""

_VALUES = (np.ndarray, np.generic, DeviceArray)
_EXPRESSIONS = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.Name, ast.Constant)
_LOGIC = (ast.And, ast.Or, ast.Not, ast.In, ast.NotIn, ast.Is, ast.IsNot)
_OURS = ("hot", "loops", "namespace", "aliases", "internal")
"""What rows of the package state for places that a row from outside has no part in."""


def register(name: str, row: Op, *, method: bool = False) -> Callable[..., Any]:
    """An operation of yours from one row, made by `jitgrad.ops.unary`, `binary`, `reduction`, `composite` or `several`.

    The function that it returns takes tensors, arrays and numbers as jitgrad's own do; gradients of every order, forward mode,
    `vmap`, `jit` in every sweep and the printed tape follow from the row, and native functions if it has a kernel or is made of
    what has one. With `method=True` tensors have it as a method as well. Rules are written in functions of jitgrad's, or in rows
    of `jitgrad.ops`. A name that was registered before stands for the new row from then on, with a warning; functions that were
    made of the old one keep it. See docs/own-operations.md.

    Raises `TypeError` for what is no row, and `ValueError` for a name that jitgrad has, a kernel that is no expression of what
    there is, a rule that asks for what the row does not have, parameters that nothing prepares, or a row of floating numbers that
    says nothing of its derivative.

    >>> import jitgrad, numpy
    >>> bump = jitgrad.register("bump", jitgrad.ops.unary(
    ...     "exp(-x * x)", lambda x: numpy.exp(-x * x), d=lambda x, y: -2 * x * y, result="float"))
    >>> jitgrad.jit(jitgrad.value_and_grad(lambda x: bump(x).sum()))(jitgrad.tensor([0.0, 1.0]))
    (tensor(1.3679), tensor([-0.0000, -0.7358]))
    """
    if not isinstance(row, Op):
        raise TypeError(f"register takes a row, which jitgrad.ops.unary(...) and its like make, not {type(row).__name__}")
    _check_name(name, row, method)
    for what in _problems(row):
        raise ValueError(f"register: the row of {name} {what}")
    for rule in {id(rule): rule for rule in (*row.rules, *row.complex_rules) if isinstance(rule, Rule)}.values():
        rule.function = rule.of_tangents = _of_tensors(rule.function)
    row.name = name
    function = bound(row, accepting_arrays)
    if name in REGISTERED:
        warnings.warn(f"register: {name} was registered before, and is the new row from now on", stacklevel=2)
        forget(name)
    TABLE[name], REGISTERED[name] = row, (row, function)
    if row.elementwise and row.ufunc is not None:
        UFUNCS.setdefault(row.ufunc, row)
    if method:
        setattr(Tensor, name, function)
    return function


def forget(name: str) -> None:
    """Take away what was registered by that name; functions made of it stay as they are."""
    row, function = REGISTERED.pop(name)
    del TABLE[name]
    if UFUNCS.get(row.ufunc) is row:
        del UFUNCS[row.ufunc]
    if vars(Tensor).get(name) is function:
        delattr(Tensor, name)


def _check_name(name: Any, row: Op, method: bool) -> None:
    if not isinstance(name, str):
        raise TypeError(f"register: the name of a row is a string, not {type(name).__name__}")
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"register: {name!r} is no name of a function: it must be an identifier of Python's")
    if row.name:
        raise ValueError(f"register: the row is that of {row.name} already: make another one")
    ours = name not in REGISTERED
    if ours and (name in TABLE or name in FUNCTIONS):
        raise ValueError(f"register: jitgrad has an operation {name}: choose another name, such as my_{name}")
    if method and ours and hasattr(Tensor, name):
        raise ValueError(f"register: tensors have an attribute {name}, so that cannot be a method: choose another name")


def _problems(row: Op) -> Iterator[str]:
    """What is wrong with a row, the first thing first."""
    params = _parameters(row)
    yield from [f"states {fact}=, which is for rows of jitgrad's own: leave it out" for fact in _OURS if getattr(row, fact)]
    if row.batch is None and not row.inlined and row.kind not in RULES:
        yield f"is of kind {row.kind!r}, which nothing knows: there are {', '.join(RULES)}"
    asked = [name for name, default in (params or {}).items() if default is inspect.Parameter.empty]
    if asked and row.prepare is None:
        yield (
            f"is computed by a function with the parameters {', '.join(asked)}, and prepare= does not say what they are made of "
            "(of a reduction's dim and keepdim, jitgrad.ops.over_dims does)"
        )
    if row.reduces and params is not None and "dim" not in params:
        yield "is of a reduction whose function has no parameter dim: it takes x, dim and, mostly, keepdim"
    if row.several and row.shape is None and not row.inlined:
        yield f"has several results, {', '.join(row.outputs)}, and shape= does not say their shapes and dtypes"
    for rules in (row.rules, row.complex_rules):
        if len(rules) != len(row.inputs):
            yield f"has {len(rules)} rules for {len(row.inputs)} inputs, {', '.join(row.inputs)}: each needs one, or None"
        for rule in [rule for rule in rules if isinstance(rule, Rule)]:
            yield from _unknown(rule, row, params)
    yield from _kernel_problems(row, params or {})
    other = row.inlined or row.lower is not None or row.pullback is not None or row.result in ("bool", "integer")
    if row.silent and not other:
        yield (
            "says nothing of its derivative, which would be 0: give d= or vjp=, or say there jitgrad.ops.NOT_DIFFERENTIABLE, or "
            "jitgrad.ops.todo('why'), which is an error where it is asked for; of integers alone say result='integer'"
        )


def _parameters(row: Op) -> dict[str, Any] | None:
    """The parameters that a row is run with beside its operands, and their defaults; None if that is not known."""
    if row.ufunc is not None:
        return {}
    try:
        found = list(inspect.signature(row.run).parameters.values())
    except (TypeError, ValueError):  # C code that does not say
        return None
    if any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in found):
        return None
    return {p.name: p.default for p in found[len(row.inputs) :]}


def _unknown(rule: Rule, row: Op, params: dict[str, Any] | None) -> Iterator[str]:
    """What a rule asks for and no row of this kind has."""
    names = [name.lstrip("*") for name in row.inputs]
    known = [f"{name}_{what}" for name in names for what in ("shape", "dtype")] + ["i", "xs_shapes"] * row.variadic
    unknown = [name for name in rule.statics if name not in known and params is not None and name not in params]
    if unknown:
        cotangents = [f"g_{name}" for name in row.outputs] if len(row.outputs) > 1 else ["g"] * (not row.partials)
        there = [*cotangents, *names, *row.outputs, *(params or ()), *known]
        yield f"has a rule that asks for {', '.join(unknown)}: by name there are {', '.join(there)}"


def _kernel_problems(row: Op, params: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the kernel expression of a row."""
    if row.kernel is None:
        return
    from jitgrad.sweeps.llvm.expressions import NAMES

    try:
        tree = ast.parse(row.kernel, mode="eval")
    except SyntaxError as error:
        yield f"has the kernel {row.kernel!r}, which is no expression: {error.msg}"
        return
    known = {*NAMES, *row.inputs, *params}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in known:
            near = difflib.get_close_matches(node.id, known, 3) or sorted(NAMES)
            yield f"has the kernel {row.kernel!r}, in which {node.id} is unknown: there is {', '.join(near)}"
        bad = isinstance(node, ast.expr) and not isinstance(node, _EXPRESSIONS)
        if bad or isinstance(node, _LOGIC) or (isinstance(node, ast.Compare) and len(node.ops) > 1):
            yield (
                f"has the kernel {row.kernel!r}, with {type(node).__name__}: it is made of numbers, inputs, operators and calls "
                "alone; write select(condition, a, b) for a choice, & and | for logic"
            )


def _of_tensors(rule: Callable) -> Callable:
    """A rule that may be written in public functions, which make tensors of arrays, as one that gives arrays for arrays."""

    def call(*given: Any) -> Any:
        arrays = [isinstance(x, _VALUES) for x in given]
        if not any(arrays) or any(isinstance(x, Handle) for x in given):
            return rule(*given)
        found = rule(*[wrap(x) if is_array else x for x, is_array in zip(given, arrays)])
        return found if not isinstance(found, Handle) or found._value is None else found._value

    return call
