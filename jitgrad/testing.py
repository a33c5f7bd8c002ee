"""Checks of derivatives against differences of values: for your own functions, and for jitgrad's own tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitgrad.autograd.gradients import grad
from jitgrad.dtypes import has_gradient, of
from jitgrad.errors import GradcheckError
from jitgrad.func.tangents import jvp as pushed
from jitgrad.func.vectorized import vmap
from jitgrad.functions.complexes import view_as_complex, view_as_real
from jitgrad.functions.data import as_tensor, tensor
from jitgrad.functions.shaping import stack
from jitgrad.record.checking import checked
from jitgrad.tensors.tensor import Tensor

__all__ = ["gradcheck", "gradgradcheck", "jvp"]


@checked
def gradcheck(
    func: Callable,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
    projections: int | None = None,
) -> bool:
    """Compare the gradients of `func` with central differences in float64; True, or a GradcheckError saying where.

    `inputs` is a tensor, array or number, or a sequence of them. If tensors among them require grad, these are differentiated,
    else each floating one. Such must be float64, or complex128, which is taken for its real and imaginary parts, as complex
    results are; the others are handed on. `func` returns a tensor or several. Every element of the Jacobian is compared, or
    only `projections` random combinations of its rows and columns (one in `fast_mode`), which is enough to notice an error
    and takes two calls each. Also checked: inputs are not written to, gradients have their shape and dtype, and a second
    sweep gives the same but for `nondet_tol`.

    `check_forward_ad` compares tangents, too, `check_batched_grad` and `check_batched_forward_grad` what `vmap` makes of both
    sweeps; without `check_backward_ad` the reverse one is left out. Without `raise_exception` an error is False. Outputs are
    differentiated one by one and dtypes compared in any case, so `check_undefined_grad` and `check_grad_dtypes` are accepted
    and make no difference, nor does `masked`.

    Raises `TypeError` for an input that is not float64, or if there is nothing to differentiate.

    >>> import jitgrad.testing
    >>> x = jitgrad.tensor([0.5, -1.5], dtype=jitgrad.float64)
    >>> jitgrad.testing.gradcheck(lambda x: x.exp() * x, x)
    True
    >>> jitgrad.testing.gradcheck(lambda x: x.detach() * x, x)
    Traceback (most recent call last):
        ...
    jitgrad.errors.GradcheckError: gradcheck: the derivative of output 0 [0] in input 0 [0] is 0.5 by the reverse sweep and 1 ...
    """
    function, given = _of_differentiated(func, inputs)
    values, function = _in_parts(_values(given), _computing_there(function, given))
    wanted = [i for i, v in enumerate(values) if has_gradient(v.dtype)]
    for i in wanted:
        if values[i].dtype != np.float64:
            raise TypeError(f"input {i} is {of(values[i].dtype).name}: differences need float64, so convert it first")
    if not wanted:
        raise TypeError("there is no floating input to differentiate")
    tensors, outs = _call(function, values)
    if not outs:
        raise TypeError("there is no floating output to differentiate")
    count = 1 if fast_mode and projections is None else projections
    vectors = _units if count is None else _random(count, np.random.default_rng(0))
    problem = _Problem(function, values, wanted, tensors, outs, (eps, atol, rtol), nondet_tol)
    try:
        _check_unwritten(tensors, values, "function")
        problem.compare_all(
            vectors, [by for by, asked in (("reverse", check_backward_ad), ("forward", check_forward_ad)) if asked]
        )
        if check_batched_grad:
            problem.compare_batched(problem.reverse_batched, "reverse")
        if check_batched_forward_grad:
            problem.compare_batched(problem.forward_batched, "forward")
        _check_unwritten(tensors, values, "reverse sweep")
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


@checked
def gradgradcheck(
    func: Callable,
    inputs: Any,
    grad_outputs: Any = None,
    *,
    gen_non_contig_grad_outputs: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    **options: Any,
) -> bool:
    """`gradcheck` of the gradient of `func`, in its inputs and in the cotangents that the sweep starts from.

    The cotangents are `grad_outputs`, or random, with `gen_non_contig_grad_outputs` such that do not lie in order. By
    `check_rev_over_rev` it is a reverse sweep that is checked, by `check_fwd_over_rev` a forward one. Other options are those of
    `gradcheck`.

    >>> import jitgrad.testing
    >>> jitgrad.testing.gradgradcheck(lambda x: x.tanh(), jitgrad.tensor([0.5, -1.5], dtype=jitgrad.float64))
    True
    """
    function, given = _of_differentiated(func, inputs)
    values, function = _in_parts(_values(given), _computing_there(function, given))
    outs = _call(function, values)[1] if any(has_gradient(v.dtype) for v in values) else []
    if not any(out.requires_grad for out in outs):
        raise GradcheckError("gradgradcheck: no output of the function depends on an input in a differentiable way")
    if grad_outputs is None:
        grad_outputs = [np.random.default_rng(0).uniform(0.5, 1.5, tuple(out.shape)) for out in outs]
    count = len(values)

    def first(*args: Any) -> list[Tensor]:
        xs = [x for x in args[:count] if x.requires_grad]
        outs = _floating(function(*args[:count]))
        given = [_spread(g) if gen_non_contig_grad_outputs else g for g in args[count:]]
        pairs = [(out, g) for out, g in zip(outs, given) if out.requires_grad]
        grads = grad([out for out, _ in pairs], xs, [g for _, g in pairs], create_graph=True, allow_unused=True)
        return [g for g in grads if g is not None]

    ways = {"check_forward_ad": check_fwd_over_rev, "check_backward_ad": check_rev_over_rev}
    return gradcheck(first, [*values, *_values(grad_outputs)], **ways, **options)


def _spread(g: Any) -> Any:
    """The same values, every second place in memory."""
    return g if not g.ndim else stack([g, g], -1)[..., 0]


def jvp(function: Callable, primals: Any, tangents: Any) -> tuple[Any, Any]:
    """The values of `function` at `primals`, and how they change along `tangents`: the Jacobian times a vector.

    Computed in reverse twice: the gradient is linear in its cotangent, and the derivative of that linear map, applied
    to the tangents, is the product. `tangents` matches `primals`; one that is None counts as zero.

    >>> import jitgrad.testing
    >>> value, change = jitgrad.testing.jvp(lambda x: x * x, jitgrad.tensor(3.0), jitgrad.tensor(1.0))
    >>> change
    tensor(6.)
    """
    xs = _leaves(_values(primals))
    given = _several(tangents)
    if len(given) != len(xs):
        raise TypeError(f"{len(xs)} primals and {len(given)} tangents: each primal needs one")
    result = function(*xs)
    outs = _floating(result)
    changes = [tensor(np.zeros(out.shape, out._held.dtype)) for out in outs]
    live = [k for k, out in enumerate(outs) if out.requires_grad]
    moving = [(x, as_tensor(t)) for x, t in zip(xs, given) if t is not None and x.requires_grad]
    if live and moving:
        seeds = [tensor(changes[k], requires_grad=True) for k in live]
        pulled = grad([outs[k] for k in live], [x for x, _ in moving], seeds, create_graph=True, allow_unused=True)
        pairs = [(g, t) for g, (_, t) in zip(pulled, moving) if g is not None and g.requires_grad]
        if pairs:
            found = grad([g for g, _ in pairs], seeds, [t for _, t in pairs], allow_unused=True)
            for k, change in zip(live, found):
                changes[k] = changes[k] if change is None else change
    return (result, changes[0]) if isinstance(result, Tensor) else (tuple(outs), tuple(changes))


@dataclass
class _Problem:
    """One point at which gradients are compared."""

    function: Callable
    values: list[np.ndarray]
    wanted: list[int]
    tensors: list[Tensor]
    outs: list[Tensor]
    bounds: tuple[float, float, float]
    nondet_tol: float = 0.0

    def compare_all(self, vectors: Callable[[tuple], Iterable[tuple[str, np.ndarray]]], ways: Sequence[str]) -> None:
        """Compare u^T J v, for the `vectors` u of the outputs and v of the inputs, with differences along v."""
        steps = [(i, e, v, self.difference(i, v)) for i in self.wanted for e, v in vectors(self.values[i].shape)]
        for k, out in enumerate(self.outs if "reverse" in ways else ()):
            for place, u in vectors(tuple(out.shape)):
                found = self.reverse(k, u.astype(out._held.dtype))
                for i, e, v, rough in steps:
                    self.compare(_dot(v, found[i]), _dot(u, rough[k]), f"output {k} {place} in input {i} {e}", "reverse")
        for i, e, v, rough in steps if "forward" in ways else ():
            for k, change in enumerate(self.forward(i, v)):
                for place, u in vectors(change.shape):
                    self.compare(_dot(u, change), _dot(u, rough[k]), f"output {k} {place} in input {i} {e}", "forward")

    def compare_batched(self, sweep: Callable, which: str) -> None:
        """Compare the results of two sweeps with those of a batched one."""
        for many, each in sweep(np.random.default_rng(0)):
            self.compare(float(np.abs(many - each).max(initial=0.0)) + 1, 1.0, "a batch (the largest difference)", which)

    def reverse_batched(self, rng: np.random.Generator) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """For each output and input what a batched reverse sweep gives, and what two sweeps give."""
        ends = [self.tensors[i] for i in self.wanted]
        for out in self.outs:
            if out.requires_grad:
                us = tensor(rng.standard_normal((2, *out.shape))).to(out.dtype)
                many = grad(out, ends, us, retain_graph=True, is_grads_batched=True, materialize_grads=True)
                each = zip(*[grad(out, ends, u, retain_graph=True, materialize_grads=True) for u in us])
                yield from [(_array(a), np.stack([_array(x) for x in b])) for a, b in zip(many, each)]

    def forward_batched(self, rng: np.random.Generator) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """For each input and output what a batched forward sweep gives, and what two sweeps give."""
        for i in self.wanted:
            vs = tensor(rng.standard_normal((2, *self.values[i].shape)))
            many = vmap(lambda v, i=i: tuple(self.pushed(i, v)))(vs)
            each = zip(*[self.pushed(i, v) for v in vs])
            yield from [(_array(a), np.stack([_array(x) for x in b])) for a, b in zip(many, each)]

    def pushed(self, i: int, v: Tensor) -> list[Tensor]:
        """The tangents of the outputs for the tangent `v` of input `i`."""
        xs = _leaves(self.values)

        def moving(x: Tensor) -> tuple[Tensor, ...]:
            return tuple(_floating(self.function(*[*xs[:i], x, *xs[i + 1 :]])))

        return list(pushed(moving, (xs[i],), (v,))[1])

    def forward(self, i: int, step: np.ndarray) -> list[np.ndarray]:
        """The same as arrays."""
        return [_array(change).astype(np.float64) for change in self.pushed(i, tensor(step))]

    def reverse(self, k: int, cotangent: np.ndarray) -> dict[int, np.ndarray]:
        """The gradients of <cotangent, output k>, after checking what can be said of any gradient."""
        found = {i: np.zeros(self.values[i].shape) for i in self.wanted}
        if not self.outs[k].requires_grad:
            return found
        ends = [self.tensors[i] for i in self.wanted]
        once, again = [grad(self.outs[k], ends, cotangent, retain_graph=True, allow_unused=True) for _ in range(2)]
        for i, g, same in zip(self.wanted, once, again):
            if g is None:
                continue
            value, zero = g.detach().numpy(), found[i]
            if value.shape != zero.shape or value.dtype != zero.dtype:
                have, want = (f"{a.dtype}{list(a.shape)}" for a in (value, zero))
                raise GradcheckError(f"gradcheck: the gradient in input {i} is {have}, the input is {want}")
            other = _array(same)
            if not _same_bits(value, other) and not np.allclose(value, other, 0.0, self.nondet_tol, equal_nan=True):
                raise GradcheckError(f"gradcheck: two sweeps give different gradients in input {i}: {value} and {same}")
            found[i] = np.array(value)
        return found

    def difference(self, i: int, step: np.ndarray) -> list[np.ndarray]:
        """The central difference of every output along `step` in input `i`."""
        eps, sides = self.bounds[0], []
        for change in (eps * step, -eps * step):
            moved = [*self.values[:i], np.asarray(self.values[i] + change), *self.values[i + 1 :]]
            sides.append([out.detach().numpy().astype(np.float64) for out in _call(self.function, moved)[1]])
        return [(high - low) / (2 * eps) for high, low in zip(*sides)]

    def compare(self, exact: float, rough: float, what: str, which: str) -> None:
        """Raise if the two differ by more than is allowed, or one is nan."""
        _, atol, rtol = self.bounds
        if not abs(exact - rough) <= atol + rtol * abs(rough):
            raise GradcheckError(
                f"gradcheck: the derivative of {what} is {exact:.10g} by the {which} sweep and {rough:.10g} by central "
                f"differences, off by {abs(exact - rough):.3g}; allowed are {atol:g} + {rtol:g} of the latter"
            )


def _units(shape: tuple[int, ...]) -> Iterable[tuple[str, np.ndarray]]:
    for place in np.ndindex(shape):
        unit = np.zeros(shape)
        unit[place] = 1
        yield str(list(place)), unit


def _random(count: int, rng: np.random.Generator) -> Callable:
    return lambda shape: [("(randomly combined)", rng.standard_normal(shape)) for _ in range(count)]


def _dot(u: np.ndarray, x: np.ndarray) -> float:
    """The inner product, in which nan counts only where it is asked for."""
    return float(np.sum(np.multiply(u, x, where=u != 0, out=np.zeros(u.shape))))


def _of_differentiated(function: Callable, inputs: Any) -> tuple[Callable, list[Any]]:
    """The function of those inputs that are tensors, arrays or numbers; if some require grad, the other tensors are constants."""
    given = list(_several(inputs))
    some = any(isinstance(x, Tensor) and x.requires_grad for x in given)
    ours = [
        isinstance(x, (Tensor, np.ndarray, np.generic, float, complex))
        and not (some and not (isinstance(x, Tensor) and x.requires_grad))
        for x in given
    ]
    if all(ours):
        return function, given

    def of_ours(*xs: Any) -> Any:
        left = iter(xs)
        return function(*[next(left) if mine else x for x, mine in zip(given, ours)])

    return of_ours, [x for x, mine in zip(given, ours) if mine]


def _array(x: Tensor) -> np.ndarray:
    return x.detach().cpu().numpy()


def _values(inputs: Any) -> list[np.ndarray]:
    """The inputs as arrays of their own."""
    return [np.array(x.detach().cpu()._concrete("gradcheck") if isinstance(x, Tensor) else x) for x in _several(inputs)]


def _computing_there(function: Callable, inputs: Any) -> Callable:
    """The function of tensors on the CPU, which computes where the inputs are."""
    places = [x.device if isinstance(x, Tensor) else "cpu" for x in _several(inputs)]
    if all(place == "cpu" for place in places):
        return function

    def moved(*xs: Tensor) -> list[Any]:
        found = function(*[x.to(place) for x, place in zip(xs, places)])
        return [r.cpu() if isinstance(r, Tensor) else r for r in _several(found)]

    return moved


def _in_parts(values: list[np.ndarray], function: Callable) -> tuple[list[np.ndarray], Callable]:
    """Complex values as pairs of their parts, and the function of these pairs."""
    pairs = [v.dtype.kind == "c" for v in values]
    if not any(pairs):
        return values, function
    apart = [np.stack([v.real, v.imag], -1) if pair else v for v, pair in zip(values, pairs)]
    return apart, lambda *xs: function(*[view_as_complex(x) if pair else x for x, pair in zip(xs, pairs)])


def _leaves(values: Sequence[np.ndarray]) -> list[Tensor]:
    return [tensor(v, requires_grad=has_gradient(v.dtype)) for v in values]


def _call(function: Callable, values: Sequence[np.ndarray]) -> tuple[list[Tensor], list[Tensor]]:
    """Fresh tensors of the values, and the floating results of the function on them."""
    tensors = _leaves(values)
    return tensors, _floating(function(*tensors))


def _floating(result: Any) -> list[Tensor]:
    found = [r for r in _several(result) if isinstance(r, Tensor) and r.dtype.has_gradient]
    return [view_as_real(r) if r.dtype.is_complex else r for r in found]


def _several(x: Any) -> Sequence[Any]:
    return x if isinstance(x, (tuple, list)) else (x,)


def _check_unwritten(tensors: list[Tensor], values: list[np.ndarray], who: str) -> None:
    for i, (x, old) in enumerate(zip(tensors, values)):
        if not _same_bits(x._value, old):
            raise GradcheckError(f"gradcheck: the {who} wrote to input {i}, which holds {x._value} and was {old}")


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()
