"""Large matrices: what LAPACK and BLAS do of `ops/elimination`, called from native functions through SciPy's C interface.

A matrix in C order is to LAPACK its transpose: a lower triangle is an upper one, and the system is on the other side. Only what
finds pivots needs the matrix as it is, turned in its place.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

from jitgrad.base.locks import once
from jitgrad.kernels.primitives import select, span
from jitgrad.ops import adjugates, elimination
from jitgrad.sweeps.code.scipys import PREFIX
from jitgrad.sweeps.llvm.function import Function
from jitgrad.sweeps.llvm.written import Matrix, Value, lane_of


def eliminate(a: Any, pivots: Any, info: Any, best: Any) -> None:
    """Not every LAPACK takes nan for a pivot, which is none that is 0."""
    turn(a)
    n = a.shape[0]
    best[0] = 0.0
    note_nan(a, best, 0)
    _call("getrf", n, n, a, n, pivots, info)
    info[0] = select(best[0] == 0, info[0], 0)
    turn(a)


def factor(z: Any, info: Any) -> None:
    n = z.shape[0]
    _call("potrf", "U", n, z, n, info)
    for j in span(0, n):  # not every LAPACK says so of nan
        info[0] = select(info[0] == 0, select(z[j, j] > 0, 0, j + 1), info[0])


def substitute(x: Any, z: Any, upper: bool, unit: bool) -> None:
    _multiply("trsm", "R", "L" if upper else "U", "N", "U" if unit else "N", x, z)


def substitute_back(x: Any, z: Any) -> None:
    _multiply("trsm", "R", "U", "T", "N", x, z)


def solve_eliminated(a: Any, pivots: Any, z: Any) -> None:
    """As `nan_throughout` in `ops/linalg` says; of factors that are solved with, the first element is free."""
    n = a.shape[0]
    for k in span(0, n):
        elimination.exchange(z, k, pivots[k] - 1)
    substitute(a, z, False, True)
    substitute(a, z, True, False)
    note_nan(a, a, (0, 0))
    for i in span(0, n):
        for c in span(0, z.shape[1]):
            z[i, c] = select(a[0, 0] == a[0, 0], z[i, c], a[0, 0])


def cholesky_pullback(x: Any, y: Any, z: Any) -> Any:
    """As `_cholesky_pullback` in `ops/solving`."""
    n = x.shape[0]
    elimination.copy(y, z)
    _multiply("trmm", "R", "U", "T", "N", x, z)
    for i in span(0, n):
        z[i, i] = z[i, i] / 2.0
        for j in span(i + 1, n):
            z[i, j] = 0.0
    _multiply("trsm", "R", "U", "T", "N", x, z)
    _multiply("trsm", "L", "U", "N", "N", x, z)
    for i in span(0, n):
        for j in span(0, i + 1):
            half = (z[i, j] + z[j, i]) / 2.0
            z[i, j] = half
            z[j, i] = half
    return 0


def note_nan(a: Any, kept: Any, at: Any) -> None:
    """Put nan at a place if there is one in a matrix."""
    for i in span(0, a.shape[0]):
        for j in span(0, a.shape[1]):
            kept[at] = select(a[i, j] == a[i, j], kept[at], a[i, j])


def turn(a: Any) -> None:
    """Transpose a square matrix in its place."""
    for i in span(0, a.shape[0]):
        for j in span(0, i):
            above, below = a[j, i], a[i, j]
            a[j, i] = below
            a[i, j] = above


@once
def with_lapack(name: str) -> Any:
    """The function of `elimination` or `adjugates`, in which these functions here stand for those of the same name."""
    scope = {**vars(elimination), **vars(adjugates)}
    for word, function in dict(scope).items():
        if isinstance(function, FunctionType) and function.__module__ in (elimination.__name__, adjugates.__name__):
            scope[word] = FunctionType(function.__code__, scope, word, function.__defaults__)
    scope |= {f.__name__: f for f in (eliminate, factor, substitute, substitute_back, solve_eliminated, cholesky_pullback)}
    return scope[name]


def _multiply(name: str, side: str, triangle: str, turned: str, diagonal: str, x: Any, z: Any) -> None:
    """A product, or a quotient, of z and a triangle."""
    _call(name, side, triangle, turned, diagonal, z.shape[1], z.shape[0], 1.0, x, x.shape[1], z, z.shape[1])


def _call(name: str, *given: Any) -> None:
    """The call of a routine, which takes everything by reference: letters, integers of 32 bits, numbers."""
    matrix = next(x for x in given if isinstance(x, Matrix))
    f, symbol = matrix.f, f"{PREFIX}{'s' if matrix.kind == 'f32' else 'd'}{name}"
    pointers = ", ".join([f"ptr {_reference(f, x, matrix.kind)}" for x in given])
    f.block.declares.add(f"declare void @{symbol}({', '.join(['ptr'] * len(given))})")
    f.block.lines.append(f"  call void @{symbol}({pointers})")


def _reference(f: Function, x: Any, kind: str) -> str:
    if isinstance(x, Matrix):
        return f.block.address(x.pointer, lane_of(f, x.start), x.kind)
    f.count += 1
    name = f"%by{f.count}"
    if isinstance(x, str):
        f.allocas.append(f"  {name} = alloca i8")
        f.block.lines.append(f"  store i8 {ord(x)}, ptr {name}")
        return name
    kind = "i32" if isinstance(x, Value) else kind
    f.register(name, kind, 1)
    f.block.store(lane_of(f, x).to(kind) if isinstance(x, Value) else f.block.const(x, kind, 1), name)
    return name
