"""The text of a kernel made into a function that the simulator can run and watch.

A barrier becomes a `yield`, so that a thread is a generator, which goes on to the next barrier in its turn; without barriers it
is a plain function. What the threads of a warp pass to each other is such a barrier too, of the warp alone. `x[i]` becomes
`x[x_reads(k := i) or k]`, where `x_reads` appends to a list, which costs less than a call of Python's.
"""

from __future__ import annotations

import ast
import itertools
import linecache
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from jitgrad.base.locks import compiling
from jitgrad.sweeps.cuda.kernel import Kernel
from jitgrad.sweeps.cuda.simulated_names import namespace

UNORDERED = "# in any order"
"""Ends a line that several threads may run on the same memory, since whichever value stays will do: only bounds are checked."""
_PLACES = {"threadIdx": "_thread", "blockIdx": "_block", "blockDim": "_threads", "gridDim": "_blocks"}
_EXTRA = (*_PLACES.values(), "_shared", "_local")
_OF_WARPS = ("cuda.syncwarp", "cuda.shfl_sync", "cuda.shfl_down_sync")
_numbers = itertools.count()


class Made(NamedTuple):
    """A text as a function of its parameters, of what notes reads and writes of each array among them, of where the thread is,
    and of what makes shared and local arrays. It `waits` if there are barriers; `warp` is how many threads wait for each other
    where not all of a block do, 0 if that is nowhere."""

    function: Callable[..., Any]
    pointers: list[str]
    waits: bool
    warp: int
    where: str
    lines: list[str]


class Passed(NamedTuple):
    """What a thread of a warp waits for: that all get to a line, and for the value that another one has there."""

    line: int
    value: Any = None
    way: str = ""
    where: int = 0


class _Rewriter(ast.NodeTransformer):
    """Makes a text what the simulator runs."""

    def __init__(self, arrays: set[str], lines: list[str], check: bool) -> None:
        self.arrays, self.lines, self.check = arrays, lines, check
        self.waits = False
        self.warp = 0
        self.made = 0

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        text = ast.unparse(node)
        for name, place in _PLACES.items():
            if text == f"cuda.{name}.x":
                return ast.Name(place, ast.Load())
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if ast.unparse(node) != "cuda.syncthreads()":
            return self.generic_visit(node)
        self.waits = True
        return ast.Expr(ast.Yield(ast.Constant(node.lineno)))

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """What is for a warp; its first argument is a mask of all its threads."""
        name = ast.unparse(node.func)
        if name not in _OF_WARPS:
            return self.generic_visit(node)
        mask, *given = node.args
        self.waits, self.warp = True, ast.literal_eval(mask).bit_length()
        value, where = [self.visit(x) for x in given] if given else (ast.Constant(None), ast.Constant(0))
        told = [ast.Constant(node.lineno), value, ast.Constant(name), where]
        return ast.Yield(ast.Call(ast.Name("_Passed", ast.Load()), told, []))

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        kind = _new_array(node)
        if kind is None:
            return self.generic_visit(node)
        assert isinstance(node.targets[0], ast.Name)
        assert isinstance(node.value, ast.Call)
        name = node.targets[0].id
        targets: list[ast.expr] = [ast.Name(x, ast.Store()) for x in (name, *_noted(name))]
        given = [ast.Constant(self.made), ast.Constant(name), *node.value.args]
        self.made += 1
        return ast.Assign([ast.Tuple(targets, ast.Store())], ast.Call(ast.Name(f"_{kind}", ast.Load()), given, []))

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        if isinstance(node.target, ast.Subscript):
            node.value = self.visit(node.value)
            node.target = self._noting(node.target, True, True)
            return node
        return self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        stores = isinstance(node.ctx, ast.Store)
        return self._noting(node, not stores, stores)

    def _noting(self, node: ast.Subscript, reads: bool, writes: bool) -> ast.Subscript:
        self.generic_visit(node)
        if not self.check or not isinstance(node.value, ast.Name) or node.value.id not in self.arrays:
            return node
        name, index = node.value.id, ast.unparse(node.slice)
        if self.lines[node.lineno - 1].rstrip().endswith(UNORDERED):
            node.slice = _parsed(f"_within({index}, {name})", node)
            return node
        noted = [x for x, wanted in zip(_noted(name), (reads, writes)) if wanted]
        node.slice = _parsed(" or ".join([f"{noted[0]}(_k := {index})", *[f"{x}(_k)" for x in noted[1:]], "_k"]), node)
        return node


def _parsed(text: str, like: ast.expr) -> ast.expr:
    """An expression, said to be on the line of another one."""
    made = ast.parse(text, mode="eval").body
    for node in ast.walk(made):
        if isinstance(node, ast.expr):
            ast.copy_location(node, like)
    return made


def _noted(name: str) -> tuple[str, str]:
    """What notes reads and writes of an array."""
    return f"_{name}_reads", f"_{name}_writes"


def _new_array(node: ast.AST) -> str | None:
    """Whether a statement makes an array, "shared" or "local"."""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and isinstance(node.targets[0], ast.Name):
        return {"cuda.shared.array": "shared", "cuda.local.array": "local"}.get(ast.unparse(node.value.func))
    return None


def _within(index: int, array: np.ndarray) -> int:
    if not 0 <= index < len(array):
        raise IndexError(f"index {index} of an array of {len(array)} elements, on a line that ends with {UNORDERED!r}")
    return index


@lru_cache(4096)
def made(kernel: Kernel, check: bool) -> Made:
    """The function of a text, compiled once. By one thread at a time: in Python 3.11 those that parse at once disturb each
    other's count of how deep they are, which is a `SystemError`."""
    with compiling:
        return _made(kernel, check)


def _made(kernel: Kernel, check: bool) -> Made:
    where = f"<kernel {next(_numbers)}>"
    lines = kernel.text.splitlines()
    linecache.cache[where] = (len(kernel.text), None, [line + "\n" for line in lines], where)  # for tracebacks
    tree = ast.parse(kernel.text, where)
    (function,) = tree.body
    assert isinstance(function, ast.FunctionDef)
    parameters = [x.arg for x in function.args.args]
    if len(parameters) != len(kernel.types):
        raise TypeError(f"{lines[0]} has {len(parameters)} parameters, and {len(kernel.types)} types")
    pointers = [name for name, type in zip(parameters, kernel.types) if type[0] == "*"]
    arrays = {*pointers, *[node.targets[0].id for node in ast.walk(function) if _new_array(node)]}  # type: ignore[attr-defined]
    rewriter = _Rewriter(arrays, lines, check)
    function.body = [rewriter.visit(node) for node in function.body]
    notes = [x for name in pointers if check for x in _noted(name)]
    function.args.args += [ast.arg(x) for x in (*notes, *_EXTRA)]
    scope = {**namespace(), "_within": _within, "_Passed": Passed}
    exec(compile(ast.fix_missing_locations(tree), where, "exec"), scope)
    return Made(scope["kernel"], pointers, rewriter.waits, rewriter.warp, where, lines)
