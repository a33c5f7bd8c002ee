"""The ways to run a program: eager, compiled behind eager code, each sweep under jit, vmap, native code, PyTorch."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import jitgrad as jg
from jitgrad.eager import background
from jitgrad.eager import backward as structures
from jitgrad.errors import NotCompilableError, OverwrittenError
from jitgrad.sweeps import interpreted
from jitgrad.sweeps.numba.names import namespace
from tests.fuzz.programs import EXPECTED, Program


class Outcome(NamedTuple):
    """Results with their dtypes, gradients by argument (None where the way takes none), and whether arguments were left alone."""

    results: list[tuple[str, np.ndarray]]
    gradients: dict[int, tuple[str, np.ndarray]] | None
    untouched: bool = True


class Raised(NamedTuple):
    """An exception instead."""

    kind: str
    text: str


def torch() -> Any:
    """The module, or None if it is not installed."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    return torch


def plain(value: Any) -> tuple[str, np.ndarray]:
    """Dtype and values of a tensor, an array or a number."""
    if hasattr(value, "detach"):
        dtype = str(value.dtype).split(".")[-1]
        value = value.detach().cpu()
        wide = value.double() if dtype in ("float16", "bfloat16") else value
        return dtype, np.array(wide.numpy())
    array = np.asarray(value)
    return str(array.dtype), array


def is_float(value: Any) -> bool:
    """Whether it has a gradient: floats, and complex numbers."""
    return isinstance(value, float) or any(kind in str(getattr(value, "dtype", "")) for kind in ("float", "complex"))


def weighted(library: Any, results: tuple) -> Any:
    """A number in which every element of every floating result counts differently."""
    total = library.zeros((), dtype=library.float64)
    for result in results:
        if is_float(result):
            n = int(np.prod(tuple(result.shape)))
            weights = library.linspace(0.5, 1.5, n, dtype=library.float64).reshape(tuple(result.shape))
            for part in (result.real, 0.75 * result.imag) if result.is_complex() else (result,):
                total = total + (part.double() * weights).sum()
    return total


def differentiated(values: list[Any]) -> tuple[int, ...]:
    return tuple(i for i, value in enumerate(values) if is_float(value) and not isinstance(value, float))


def tensors(program: Program, library: Any = jg) -> list[Any]:
    """The arguments, arrays as the tensors that the transforms make of them."""
    return [library.from_numpy(v.copy()) if isinstance(v, np.ndarray) else v for v in program.values(library)]


def backward(program: Program, library: Any = jg, rounds: int = 1) -> Outcome:
    """Eager code and `backward()`."""
    f = program.function(library)
    for _ in range(rounds):
        values = tensors(program, library)
        before = [plain(v)[1].tobytes() for v in values]
        leaves = {}
        for i, value in enumerate(values):
            if is_float(value) and hasattr(value, "requires_grad_"):
                leaves[i] = value.requires_grad_()
        results = f(*values)
        total = weighted(library, results)
        gradients: dict[int, Any] | None = {}
        if total.requires_grad:
            total.backward()
        for i, leaf in leaves.items():
            gradients[i] = plain(library.zeros_like(leaf) if leaf.grad is None else leaf.grad)
        untouched = [plain(v)[1].tobytes() for v in values] == before
        if rounds > 1:
            background.wait()
    return Outcome([plain(r) for r in results], gradients, untouched)


def value(program: Program) -> Outcome:
    """Eager code alone."""
    values = tensors(program)
    before = [plain(v)[1].tobytes() for v in values]
    with jg.no_grad():
        results = program.function()(*values)
    return Outcome([plain(r) for r in results], None, [plain(v)[1].tobytes() for v in values] == before)


def gradient_function(program: Program, where: tuple[int, ...]) -> Callable[..., Any]:
    f = program.function()

    def loss(*args: Any) -> tuple[Any, Any]:
        results = f(*args)
        return weighted(jg, results), results

    return jg.value_and_grad(loss, where, has_aux=True)


def _called(function: Callable[..., Any], values: list[Any], where: tuple[int, ...]) -> Outcome:
    before = [plain(v)[1].tobytes() for v in values]
    (_, results), gradients = function(*values)
    untouched = [plain(v)[1].tobytes() for v in values] == before
    return Outcome([plain(r) for r in results], {i: plain(g) for i, g in zip(where, gradients)}, untouched)


def transform(program: Program) -> Outcome:
    """`value_and_grad` in eager code."""
    values = program.values()
    where = differentiated(values)
    return _called(gradient_function(program, where), values, where)


def jitted(program: Program, sweep: str) -> Outcome:
    """`jit(value_and_grad(f))`, run by a sweep."""
    values = program.values()
    where = differentiated(values)
    function = jg.jit(gradient_function(program, where))
    with jg.sweep(sweep):
        first = _called(function, values, where)
        second = _called(function, program.values(), where)
    assert all(a[1].tobytes() == b[1].tobytes() for a, b in zip(first.results, second.results)), "the second call differs"
    return first


def forward(program: Program) -> Outcome:
    """`jit(f)` alone."""
    values = program.values()
    before = [plain(v)[1].tobytes() for v in values]
    results = jg.jit(program.function())(*values)
    return Outcome([plain(r) for r in results], None, [plain(v)[1].tobytes() for v in values] == before)


def native(program: Program) -> Outcome | None:
    """A native function of value and gradient; None where NumPy would have to run a part."""
    values = program.values()
    where = differentiated(values)
    try:
        function = jg.jit(gradient_function(program, where)).compile(*values)
    except NotCompilableError:
        return None
    return _called(function, values, where)


def mapped(program: Program) -> Outcome | None:
    """The first lane of `vmap`, the second being other numbers; None where an argument is not laid out plainly."""
    values = program.values()
    if any(isinstance(v, jg.Tensor) and not v.is_contiguous() for v in values) or any(isinstance(v, np.ndarray) for v in values):
        return None
    where = differentiated(values)
    dims = tuple(0 if isinstance(v, jg.Tensor) else None for v in values)
    others = [v * 0.5 + 0.25 if isinstance(v, jg.Tensor) and is_float(v) else v for v in values]
    stacked = [jg.stack([v, w]) if d == 0 else v for v, w, d in zip(values, others, dims)]
    before = [plain(v)[1].tobytes() for v in stacked]
    function = jg.jit(jg.vmap(gradient_function(program, where), dims))
    (_, results), gradients = function(*stacked)
    untouched = [plain(v)[1].tobytes() for v in stacked] == before
    return Outcome([plain(r[0]) for r in results], {i: plain(g[0]) for i, g in zip(where, gradients)}, untouched)


def on_device(program: Program) -> Outcome | None:
    """`jit(value_and_grad(f))` on a GPU; None where something has no kernel there, or an argument is not laid out plainly, as it
    is where it arrives."""
    given = program.values()
    if any(isinstance(v, jg.Tensor) and not v.is_contiguous() for v in given):
        return None
    values = [jg.as_tensor(v).cuda() if isinstance(v, jg.Tensor | np.ndarray) else v for v in given]
    where = differentiated(values)
    try:
        return _called(jg.jit(gradient_function(program, where)), values, where)
    except NotImplementedError:
        return None


WAYS: dict[str, Callable[[Program], Outcome | None]] = {
    "value": value,
    "transform": transform,
    "recurring": lambda program: backward(program, rounds=4),
    "interpreted": lambda program: jitted(program, "interpreted"),
    "machine": lambda program: jitted(program, "machine"),
    "jit": lambda program: jitted(program, "jit"),
    "numba": lambda program: jitted(program, "numba"),
    "forward": forward,
    "vmap": mapped,
    "native": native,
    "cuda": on_device,
}


def outcome(way: Callable[[Program], Outcome | None], program: Program) -> Outcome | Raised | None:
    """What a way gives; errors of the expected types are `Raised`, others too, and marked by their name."""
    try:
        with np.errstate(all="ignore"):
            return way(program)
    except OverwrittenError:
        return None  # eager code may refuse what the others can do
    except EXPECTED as error:
        return Raised(type(error).__name__, str(error))
    except Exception as error:
        return Raised(f"unexpected {type(error).__name__}", str(error))


class hot:
    """Eager code that recurs is compiled at once, every array counts as large, and there is a GPU, which is simulated."""

    def __enter__(self) -> None:
        self._gpu = os.environ.get("JITGRAD_CUDA")
        os.environ["JITGRAD_CUDA"] = "simulate"
        self._chance, self._large = structures.chance, interpreted.LARGE
        self._njit = namespace()["njit"]
        namespace()["njit"] = lambda **options: lambda function: function  # compiling it takes seconds
        interpreted.LARGE = 16  # more than a scalar, which is no memory to write into
        structures.chance = lambda: 0.0  # type: ignore[assignment]
        self._config = jg.config(hot_after=0, large=4)
        self._config.__enter__()
        structures.forget()

    def __exit__(self, *_: object) -> None:
        os.environ.pop("JITGRAD_CUDA")
        if self._gpu is not None:
            os.environ["JITGRAD_CUDA"] = self._gpu
        background.wait()
        structures.chance = self._chance  # type: ignore[assignment]
        interpreted.LARGE = self._large
        namespace()["njit"] = self._njit
        self._config.__exit__()
        structures.forget()
