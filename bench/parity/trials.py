"""PyTorch's samples of an operation, tried on both: what comes out, and its derivatives."""

from __future__ import annotations

import importlib
import signal
import sys
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

import jitgrad as jg
from bench.parity.conversion import converted, leaves_of, ours, sharing, tensors

LATER = (
    *("nn.functional.dropout", "nn.functional.alpha_dropout", "nn.functional.feature_", "nn.functional.fractional_"),
    *("nn.functional.rrelu", "nn.functional.multi_head_attention_forward", "nn.functional.scaled_dot_product_attention"),
    *("bernoulli", "normal", "multinomial", "rand", "uniform", "cauchy", "exponential", "geometric", "log_normal"),
    *("pca_lowrank", "svd_lowrank", "empty", "new_empty"),
)
"""What begins so gives random or arbitrary numbers, which cannot be compared."""
INNER = ("masked.", "sparse.", "_", "to_sparse", "nn.functional._", "native_", "max_pool2d_with_indices_backward")
ALIKE = ("as_strided", "bfloat16", "chalf", "slice")
"""Whole names: PyTorch's own only, or in a precision that has no float64 sample."""
METHODS = ("T", "H", "mT", "mH", "real", "imag")
CONVERSIONS = (
    *("double", "float", "half", "bfloat16", "chalf", "cfloat", "cdouble"),
    *("bool", "int", "long", "short", "byte", "char"),
)
VALUE, FIRST, SECOND, SINGLE = 1e-8, 1e-7, 1e-6, 1e-4
"""How near values and derivatives have to be, absolutely or relatively; where single precision comes in, less so."""


class Outcome(NamedTuple):
    """How the samples of one operation went, and why those that went wrong did."""

    name: str
    there: bool
    good: int
    total: int
    reasons: dict[str, int]

    @property
    def whole(self) -> bool:
        return self.there and 0 < self.total == self.good


def database(only: Sequence[str] | None = None) -> list[Any]:
    """The differentiable operations whose results can be compared."""
    if importlib.util.find_spec("expecttest") is None:  # the database asks for it, and does without
        sys.modules["expecttest"] = types.ModuleType("expecttest")
        sys.modules["expecttest"].TestCase = type("TestCase", (), {})  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = importlib.import_module("torch.testing._internal.common_methods_invocations").op_db
    usable = [op for op in found if op.supports_autograd and torch.float64 in op.dtypes]
    usable = [op for op in usable if op.name not in ALIKE and not op.name.startswith((*LATER, *INNER))]
    return usable if only is None else [op for op in usable if op.name in only]


def together(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Operations that are in the database several times, as one."""
    found: dict[str, Outcome] = {}
    for o in outcomes:
        before = found.get(o.name)
        if before is not None:
            reasons = Counter(before.reasons) + Counter(o.reasons)
            o = Outcome(o.name, o.there, before.good + o.good, before.total + o.total, dict(reasons))
        found[o.name] = o
    return list(found.values())


def function_of(op: Any) -> Callable | None:
    """Our function for an operation; None if there is none."""
    name = op.name
    for known in (f"{name}.{op.variant_test_name}", name):
        if known in SPECIAL:
            return SPECIAL[known]
    found: Any = jg
    for part in name.split("."):
        found = getattr(found, part, None)
        if found is None:
            return getattr(jg.Tensor, name, None)
    return found


_DISTANCE = {"distance_function": jg.nn.functional.pairwise_distance}
SPECIAL: dict[str, Callable] = {
    **{name: lambda x, name=name: getattr(x, name) for name in METHODS},
    **{name: lambda x, *a, name=name, **k: getattr(x, name)(*a, **k) for name in CONVERSIONS},
    "zero_": lambda x: x.clone().zero_(),
    "fill_": lambda x, *a: x.clone().fill_(*a),
    "nn.functional.embedding": lambda w, i, **k: jg.nn.functional.embedding(i, w, **k),
    "nn.functional.embedding_bag": lambda w, i, *a, **k: jg.nn.functional.embedding_bag(i, w, *a, **k),
    "polygamma": lambda x, n, *a: jg.polygamma(n, x),
    "special.polygamma": lambda x, n, *a: jg.special.polygamma(n, x),
    "einsum": lambda ops, text, *a: jg.einsum(text, *ops),
    "where": lambda x, c, *a: jg.where(c, x, *a),
    "__getitem__": lambda x, i: x[i],
    "nn.functional.triplet_margin_with_distance_loss": lambda *a, **k: jg.nn.functional.triplet_margin_with_distance_loss(
        *a, **(k | _DISTANCE if "distance_function" in k else k)
    ),
    "linalg.pinv.singular": lambda a, b: jg.linalg.pinv(a @ b.mT),
    "linalg.lstsq.grad_oriented": lambda a, b, driver: jg.linalg.lstsq(a, b, driver=driver)[:2],
}
"""What the database calls in a way of its own, by name and variant: with arguments in another order, or as no function."""


def tried(op: Any, second: bool, most: int, seconds: int) -> Outcome:
    """All samples of an operation."""
    function, rng = function_of(op), np.random.default_rng(0)
    reasons: Counter[str] = Counter()
    good = total = 0
    torch.manual_seed(0)
    for _, sample in zip(range(most), op.sample_inputs("cpu", torch.float64, requires_grad=True)):
        total += 1
        if function is None:
            continue
        why = _caught(seconds, lambda s=sample: difference(op, function, s, second and op.supports_gradgrad, rng))
        reasons.update([why] if why else [])
        good += not why
    return Outcome(op.name, function is not None, good, total, dict(reasons))


def tried_errors(op: Any, seconds: int) -> Outcome:
    """All inputs that an operation has to refuse, by the type of the error, without those that this PyTorch takes itself."""
    function = function_of(op)
    reasons: Counter[str] = Counter()
    good = total = 0
    for case in op.error_inputs("cpu") if op.error_inputs_func is not None else ():
        sample = case.sample_input
        given = (sample.input, sample.args, sample.kwargs)
        try:
            known = sharing(given)
            mine = [converted(v, [], known) for v in given]
        except (NotImplementedError, AttributeError, ValueError):  # of a sort, a dtype or a size that is not here
            continue
        if _caught(seconds, lambda given=given: _accepted(op.op, *given)) == ACCEPTED:
            continue
        total += 1
        if function is not None:
            why = _caught(seconds, lambda mine=mine: _accepted(function, *mine))
            right = why.partition(":")[0] in {kind.__name__ for kind in _kinds(case.error_type)}
            reasons.update([] if right else [f"{case.error_type.__name__} is expected: {why}"])
            good += right
    return Outcome(op.name, function is not None, good, total, dict(reasons))


ACCEPTED = "nothing was raised"


def _accepted(function: Callable, x: Any, args: Any, kwargs: Any) -> str:
    function(x, *args, **kwargs)
    return ACCEPTED


def _kinds(error: type) -> Iterator[type]:
    """An exception and those that are one of its sort."""
    yield error
    for kind in error.__subclasses__():
        yield from _kinds(kind)


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    def ring(*_: Any) -> None:
        raise TimeoutError(f"it takes more than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _caught(seconds: int, work: Callable[[], str]) -> str:
    """What `work` says, or what it raised, in a line."""
    try:
        with warnings.catch_warnings(), _limited(seconds):
            warnings.simplefilter("ignore")
            return work()
    except Exception as error:
        lines = str(error).splitlines() or [""]
        return f"{type(error).__name__}: {lines[0][:100]}"


def difference(op: Any, function: Callable, sample: Any, second: bool, rng: np.random.Generator) -> str:
    """What differs between PyTorch and jitgrad for a sample; empty if nothing does."""
    leaves: list[tuple[Any, Any]] = []
    x, args, kwargs = (converted(v, leaves) for v in (sample.input, sample.args, sample.kwargs))
    want, got = op.op(sample.input, *sample.args, **sample.kwargs), function(x, *args, **kwargs)
    if sample.output_process_fn_grad is not None:
        want, got = sample.output_process_fn_grad(want), sample.output_process_fn_grad(got)
    wanted, found = tensors(want, torch.Tensor), tensors(got, jg.Tensor)
    if len(wanted) != len(found):
        return f"{len(found)} results for {len(wanted)}"
    for theirs, mine in zip(wanted, found):
        why = _apart(theirs, mine, VALUE)
        if why:
            return why
    pairs = [(theirs, mine) for theirs, mine in zip(wanted, found) if theirs.requires_grad]
    if not pairs or not leaves:
        return ""
    if not all(mine.requires_grad for _, mine in pairs):
        return "a result does not require grad"
    return _derivatives(pairs, leaves, second, rng)


def _apart(theirs: Any, mine: Any, tolerance: float) -> str:
    """How two tensors differ."""
    if str(theirs.dtype).partition(".")[2] != str(mine.dtype).partition(".")[2]:
        return f"dtype {mine.dtype} for {theirs.dtype}"
    a, b = _array(theirs), np.asarray(mine.detach().numpy())
    if a.shape != b.shape:
        return f"shape {list(b.shape)} for {list(a.shape)}"
    near = np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True) if a.dtype.kind in "fc" else np.array_equal(a, b)
    return "" if near else "other values"


def _array(x: Any) -> np.ndarray:
    return np.asarray(x.detach().resolve_conj().resolve_neg().numpy(force=True))


def _derivatives(pairs: list, leaves: list, second: bool, rng: np.random.Generator) -> str:
    cotangents = [_drawn(theirs, rng) for theirs, _ in pairs]
    least = SINGLE if any(leaf.dtype == torch.float32 for leaf in leaves_of(leaves, 0)) else 0
    slopes = _gradients(pairs, leaves, cotangents, second)
    for theirs, mine in slopes:
        why = _gradient_apart(theirs, mine, max(FIRST, least))
        if why:
            return f"gradient: {why}"
    further = [(a, b) for a, b in slopes if a is not None and b is not None and a.requires_grad]
    if not second or not further:
        return ""
    try:
        second_slopes = _gradients(further, leaves, [_drawn(theirs, rng) for theirs, _ in further], False)
    except RuntimeError as error:
        if "is not implemented" in str(error) and "aten::" in str(error):  # PyTorch has none to compare with
            return ""
        raise
    for theirs, mine in second_slopes:
        why = _gradient_apart(theirs, mine, max(SECOND, least))
        if why:
            return f"second derivative: {why}"
    return ""


def _drawn(like: Any, rng: np.random.Generator) -> Any:
    real = rng.standard_normal(tuple(like.shape))
    values = real + 1j * rng.standard_normal(tuple(like.shape)) if like.is_complex() else real
    return torch.from_numpy(np.asarray(values)).to(like.dtype)


def _gradients(pairs: list, leaves: list, cotangents: list, recorded: bool) -> list[tuple[Any, Any]]:
    many = {"allow_unused": True, "create_graph": recorded}
    theirs = torch.autograd.grad([a for a, _ in pairs], leaves_of(leaves, 0), cotangents, **many)
    used = [(b, c) for (_, b), c in zip(pairs, cotangents) if b.requires_grad]  # what depends on nothing has the derivative 0
    mine = [None] * len(leaves)
    if used:
        mine = jg.autograd.grad([b for b, _ in used], leaves_of(leaves, 1), [ours(c) for _, c in used], **many)
    return list(zip(theirs, mine))


def _gradient_apart(theirs: Any, mine: Any, tolerance: float) -> str:
    """A gradient that is not there is as good as zeros."""
    if theirs is None or mine is None:
        there = next((g for g in (theirs, mine) if g is not None), None)
        zeros = there is None or not np.any(_array(there) if isinstance(there, torch.Tensor) else there.detach().numpy())
        return "" if zeros else "it is missing" if mine is None else "PyTorch has none"
    return _apart(theirs, mine, tolerance)
