"""What a row of the op table is.

An `Op` holds everything about one operation: `run` (its meaning, in NumPy), `kernel` (the same as an expression
that the JIT sweep compiles), the derivative, and the dtype and shape rule. All other code loops over rows.

Rules are plain functions whose argument names say what they need: see `rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from jitgrad.errors import HoleError
from jitgrad.ops.rules import NOT_DIFFERENTIABLE, OUTPUT, REST, RESULTS, Fold, Hole, Loops, Needs, Rule, Running, todo  # noqa: F401
from jitgrad.ops.shapes import Spec
from jitgrad.ops.ufuncs import ufunc_of

MOST_NEEDS = 64
TABLE: dict[str, Op] = {}

# What an operation is run on at once; asking these whether they record takes longer than looking here.
_RAW = frozenset(
    {np.ndarray, np.float16, np.float32, np.float64, np.complex64, np.complex128, np.bool_, np.int64, int, float, complex, bool}
)
_COMPUTED = frozenset({"elementwise", "reduction", "matmul", "linalg", "njit", "splitting"})  # kinds that round results
_OF_NUMBERS = frozenset(
    {"elementwise", "reduction", "matmul", "linalg", "scattering", "sorting", "splitting"}
)  # they say which they take
_IN_ORDER = frozenset({"call", "custom", "item", "linalg", "loop", "matmul", "njit", "sorting", "splitting", "switch"})


class Op:
    """One row of the table. Calling it runs it on arrays, or records it if an operand is a tensor."""

    # long: one line for each fact that a row can state
    def __init__(  # noqa: PLR0915
        self,
        run: Callable,
        *,
        kind: str,
        inputs: tuple[str, ...],
        output: str = "out",
        outputs: tuple[str, ...] = (),
        several: bool = False,
        kernel: str | None = None,
        d: tuple[Any, ...] | None = None,
        vjp: tuple[Any, ...] | None = None,
        linear: bool = False,
        real: bool = True,
        on_complex: str = "",
        complex_rules: tuple[Callable | None, ...] = (),
        of_complex: Callable | None = None,
        result: str = "same",
        prepare: Callable | None = None,
        shape: Callable | None = None,
        lower: Callable | None = None,
        numpy: bool = False,
        domain: Any = None,
        label: str | None = None,
        aliases: tuple[str, ...] = (),
        view: bool = False,
        samples: Callable | None = None,
        method: bool = True,
        inplace: bool | None = None,
        internal: bool = False,
        hint: str = "",
        fold: Fold | None = None,
        loops: Loops | None = None,
        running: Running | None = None,
        accumulate: Callable | None = None,
        pullback: Callable | None = None,
        pushforward: Callable | None = None,
        batch: Callable | None = None,
        parts: Callable | None = None,
        checks: Callable = lambda row: (),
        writes: str = "",
        adds: bool = False,
        exact: bool = False,
        jumps: bool = False,
        also: str = "",
        bools: str = "any",
        alone: bool = False,
        cheap: bool = False,
        hot: bool = False,
        named: bool = True,
        namespace: str = "",
        symmetric: bool = False,
        misfit: str = "",
        oracle: str = "",
        doc: str = "",
    ) -> None:
        # What it is called with, and what it gives.
        self.name = ""
        self.kind = kind  # by which passes find their rule for it
        self.inputs = inputs
        self.outputs = outputs or (output,)  # the names of the results
        self.several = several or bool(outputs)  # whether a row has several results, which further rows take from it
        self.run = run
        self.ufunc = ufunc_of(run)
        self.prepare = prepare
        self.shape = shape
        self.result = result
        self.jumps = jumps  # whether a Python number beside half precision is rounded to it first, so that jumps are NumPy's
        self.alone = alone or len(inputs) == 1  # whether Python numbers may be all that it gets, as in PyTorch
        self.bools = bools  # which bool tensors it takes: any, those beside numbers, none; or they are counted, in int64
        # Whether half precision is computed in single precision, and rounded once: not where nothing is rounded (`exact`).
        self.single = kind in _COMPUTED and result not in ("bool", "integer") and not exact
        # Whether results are elements of the operand, or those rounded, or LAPACK's: `out=` must have their dtype then.
        rounds = inputs == ("x",) and exact and not (kind == "elementwise" and prepare)
        extreme = fold is not None and not fold.wide
        self.picks = namespace == "linalg" or (result == "same" and (rounds or extreme or bool(outputs)))
        self.checks = checks  # the inputs of a row for some values of which it raises an error, or never ends
        self.view = view
        # Where users find it.
        self.internal = internal  # used by other rows or functions, and no function of its own
        self.method = method and not internal
        self.inplace = inplace if inplace is not None else kind == "elementwise" and not internal  # whether as `exp_` too
        self.namespace = namespace  # as `linalg`; else it is at the top, and among the methods
        self.label = label
        self.aliases = aliases
        self.named = named  # whether users get several results by name, or as a plain tuple
        self.doc = doc  # a sentence for users, without its full stop
        self.misfit = misfit  # what holds of the shapes of operands that fit
        # What its tests know.
        self.domain = domain
        self.samples = samples
        self.oracle = oracle  # what it computes, said another way; rows that are a ufunc of NumPy's do without
        self.symmetric = symmetric  # whether it is a function of symmetric matrices alone
        self.hint = hint  # an operand that is known to be a function of the others, and only helps to compute
        # What sort of operation it is.
        self.elementwise = kind == "elementwise"
        self.reduces = kind == "reduction"
        self.moves = kind in ("movement", "cat")  # whether each element is one of an operand, or 0
        self.inlined = kind == "composite"  # it never becomes a row: what it is written in does
        self.indexed = kind == "index"  # whether it looks elements up, or writes them, at computed places, which it checks
        self.writes = writes  # the operand that it writes there, by its name
        self.adds = adds  # to what is there
        self.of_user = kind == "njit"  # its errors are the user's, and its results are looked at
        self.holds_tapes = kind in ("loop", "switch")  # among its parameters
        self.in_order = kind in _IN_ORDER  # whether results lie in memory in order, whatever the operands do
        # What becomes of it in machine code.
        self.kernel = kernel
        self.fold: Any = fold
        self.running: Any = running
        self.loops: Any = loops  # how small matrices are done there
        # whether it is computed there; else there is what `lower` says
        self.native = kernel is not None or fold is not None or loops is not None
        self.lower = lower
        self.numpy = numpy  # NumPy is quicker than what it lowers to, which is for where there is no NumPy
        self.also = also  # the kinds of dtypes, by NumPy's letters, that the kernel is right for beside floats
        self.cheap = cheap  # whether it takes about as long as a load
        self.hot = hot  # whether a kernel of its own is worth it where eager code uses it much
        self.hot_run: Callable | None = None  # how it is run there, if otherwise
        self.scalar: Any = None  # the user's `@njit` function of numbers that it is
        self.parts = parts
        self.linear = linear
        self.rules = self._rules(d, vjp)
        self.silent = not (d or vjp)  # whether it says nothing of derivatives
        self.real = real  # whether it takes and gives real numbers
        # What it is of complex numbers: "" where it takes none; "linear" where its rules hold for them, of tangents, too;
        # "holomorphic" where they hold for tangents, and for cotangents by conjugates (see `Rule.conjugated`); "adjoint" where
        # they hold for cotangents alone, which is what `complex_rules` do, unless it is holomorphic.
        self.on_complex = on_complex or ("adjoint" if complex_rules else "" if kind in _OF_NUMBERS else "linear")
        self.of_complex = of_complex  # what it is of them in other rows, where it takes none itself
        # Whether these are looked for first of all; what is elementwise and nothing of them is refused with its other dtypes.
        self.leaves_complex = not self.on_complex and (kind != "elementwise" or of_complex is not None)
        self.complex_rules = self._rules(d and complex_rules, complex_rules) if complex_rules else self.rules
        asked = [rule.cotangents for rule in self.rules if isinstance(rule, Rule)] if self.several else []
        self.passes = frozenset().union(*asked) if asked else None  # the results that pass cotangents on, if not all
        rules = any(rule is not None for rule in self.rules)
        self.composite = lower is not None and not rules and not exact
        self.accumulate = accumulate
        self.pullback = pullback
        self.pushforward = pushforward
        self.batch = batch
        self.differentiable = rules or self.composite or pullback is not None  # whether any input passes a cotangent on
        self.known_needs: dict[tuple[bool, ...], Needs] = {}
        self.complex_needs: dict[tuple[bool, ...], Needs] = {}

    def _rules(self, d: Any, vjp: Any) -> tuple[Rule | Hole | None, ...]:
        given = d or vjp or (None,) * len(self.inputs)
        given = tuple([None if rule is NOT_DIFFERENTIABLE else rule for rule in given])
        self.partials = bool(d)
        return tuple(Rule(rule, self.inputs, self.outputs, not d) if callable(rule) else rule for rule in given)

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __call__(self, *operands: Any, **params: Any) -> Any:
        for operand in operands:
            if operand.__class__ not in _RAW and hasattr(operand, "__record__"):
                return operand.__record__(self, operands, params)
        return self.run(*operands, **params)

    @property
    def grad_name(self) -> str:
        """What `grad_fn` shows: `PowBackward0`."""
        words = (self.label or self.name).split("_")
        return "".join(w.capitalize() for w in words) + "Backward0"

    @property
    def variadic(self) -> bool:
        return self.inputs == ("*xs",)

    def holes(self) -> list[str]:
        """Why the rules that are missing are missing."""
        return [rule.why for rule in self.rules if isinstance(rule, Hole)]

    def needs(self, mask: tuple[bool, ...]) -> Needs:
        """The `Needs` for rows of which just the inputs in `mask` require grad."""
        found = self.known_needs.get(mask)
        if found is None:
            if len(self.known_needs) >= MOST_NEEDS:  # of an op of any number of inputs
                self.known_needs.clear()
            found = self.known_needs[mask] = self._make_needs(mask)
        return found

    def needs_of(self, mask: tuple[bool, ...], dtype: np.dtype, inputs: Sequence[Any]) -> Needs:
        """`needs` for rows with such a result and inputs, of complex numbers if there are any."""
        if self.on_complex == "linear" or not (dtype.kind == "c" or any(x.dtype.kind == "c" for x in inputs)):
            return self.needs(mask)
        found = self.complex_needs.get(mask)
        if found is None:
            if len(self.complex_needs) >= MOST_NEEDS:
                self.complex_needs.clear()
            rules: Any = self.complex_rules
            if self.on_complex == "holomorphic":
                rules = tuple([r.conjugated(TABLE["conj"], self.partials) if isinstance(r, Rule) else r for r in rules])
            found = self.complex_needs[mask] = self._make_needs(mask, rules)
        return found

    def _make_needs(self, mask: tuple[bool, ...], rules: tuple[Rule | Hole | None, ...] | None = None) -> Needs:
        if self.composite or self.pullback is not None:
            return Needs(tuple(range(len(mask))), ())
        rules = self.rules if rules is None else rules
        rules = rules * len(mask) if self.variadic else rules
        wanted = []
        for i, (rule, needed) in enumerate(zip(rules, mask)):
            if isinstance(rule, Hole) and needed:  # what is asked for says so, not what might be
                rule = Rule(_raising(f"{self.name} has no derivative in {self.inputs[i]!r}: {rule.why}"), (), ("",), True)
            if isinstance(rule, Rule) and needed:
                wanted.append((i, rule))
        slots = tuple(sorted({slot for _, rule in wanted for slot in rule.values}))
        calls = tuple((i, rule, tuple(slots.index(s) for s in rule.values)) for i, rule in wanted)
        derived = [n for _, rule in wanted for n in rule.statics if n.endswith(("_shape", "_dtype", "_shapes")) or n == "i"]
        quick = tuple((i, rule.function, picks, -1 if rule.statics else len(picks), rule.statics) for i, rule, picks in calls)
        return Needs(slots, calls, self.accumulate is None and not derived and not self.several, quick)


def _raising(why: str) -> Callable:
    def rule(*_: Any) -> Any:
        raise HoleError(why)

    return rule


def unary(formula: str | None, run: Callable, *, d: Any = None, vjp: Any = None, domain: Any = (-3.0, 3.0), **more: Any) -> Op:
    """An elementwise op of one input `x` with result `y`; `d` is dy/dx."""
    return Op(
        run,
        kind="elementwise",
        inputs=("x",),
        output="y",
        kernel=formula,
        domain=(domain,),
        d=None if d is None else (d,),
        vjp=None if vjp is None else (vjp,),
        linear=_flows(vjp),
        **more,
    )


def _flows(rules: Any) -> bool:
    return rules is not None and rules is not NOT_DIFFERENTIABLE


def binary(formula: str | None, run: Callable, *, d: Any = None, vjp: Any = None, domain: Any = None, **more: Any) -> Op:
    """An elementwise op of `x` and `y` with result `z`; `d` is the pair (dz/dx, dz/dy)."""
    return Op(
        run,
        kind="elementwise",
        inputs=("x", "y"),
        output="z",
        kernel=formula,
        d=(d, d) if d is NOT_DIFFERENTIABLE or isinstance(d, Hole) else d,
        vjp=(vjp, vjp) if vjp is NOT_DIFFERENTIABLE or isinstance(vjp, Hole) else vjp,
        linear=_flows(vjp),
        domain=domain or ((-3.0, 3.0), (-3.0, 3.0)),
        **more,
    )


def predicate(formula: str, run: Callable, *, inputs: tuple[str, ...] = ("x", "y"), **more: Any) -> Op:
    """An elementwise op with a boolean result and no derivative."""
    return Op(
        run,
        kind="elementwise",
        inputs=inputs,
        output="z",
        kernel=formula,
        result="bool",
        domain=((-3.0, 3.0),) * len(inputs),
        **more,
    )


def reduction(run: Callable, *, vjp: Any = None, **more: Any) -> Op:
    """An op over the dimensions `dim` (a tuple of non-negative ints) of `x`, with `keepdim`, result `y`."""
    return Op(run, kind="reduction", inputs=("x",), output="y", vjp=None if vjp is None else (vjp,), **more)


def linear(run: Callable, *, transpose: Any, **more: Any) -> Op:
    """An op that is linear in `x`: `transpose` takes the cotangent of the result to that of `x`."""
    more = {"kind": "movement"} | more
    return Op(run, inputs=("x",), output="y", vjp=(transpose,), linear=True, **more)


def several(run: Callable, *, outputs: tuple[str, ...], vjp: Any = None, **more: Any) -> Op:
    """An op of `x` with several results, by name. Its rule asks for the cotangents that it needs: `g_values`."""

    def in_order(*values: Any, **params: Any) -> tuple[Any, ...]:
        return tuple([np.asarray(found, order="C")[()] for found in run(*values, **params)])

    in_order.__dict__["__wrapped__"] = run  # whose parameters it has
    return Op(in_order, inputs=("x",), outputs=outputs, vjp=None if vjp is None else (vjp,), **more)


def composite(lower: Callable, *, inputs: tuple[str, ...] = ("x",), **more: Any) -> Op:
    """An op that is written in others: it never becomes a row, but they do."""
    return Op(lower, kind="composite", inputs=inputs, lower=lower, **more)


def register(names: dict[str, Any]) -> None:
    """Give every `Op` of a module its name and put it into `TABLE`."""
    for name, op in list(names.items()):
        if isinstance(op, Op) and not op.name:
            op.name = name.rstrip("_")
            TABLE[op.name] = op


def rows() -> Iterator[Op]:
    """All rows of the table, by name."""
    return iter(sorted(TABLE.values(), key=lambda op: op.name))


_dtypes_seen: dict[tuple, np.dtype] = {}


def infer(op: Op, operands: list[Any], params: dict[str, Any]) -> Spec:
    """Shape and dtype of the one result of `op` on operands that have a shape and a dtype.

    Without a rule of its own an op is run on stand-ins that take no memory (one element, repeated by stride 0).
    """
    if op.elementwise:
        key = (op, *(o.dtype for o in operands), *(params.items() if op.name == "cast" else ()))
        found = _dtypes_seen.get(key)
        if found is None:
            found = _dtypes_seen[key] = _quietly(op, [np.ones(1, o.dtype) for o in operands], params).dtype
        return Spec(operands[0].shape, found)
    if op.shape is not None:
        return Spec(*op.shape(*operands, **params))
    out = _quietly(op, [np.broadcast_to(np.zeros((), o.dtype), o.shape) for o in operands], params)
    return Spec(out.shape, out.dtype)


def infer_several(op: Op, operands: list[Any], params: dict[str, Any]) -> tuple[Spec, ...]:
    """Shapes and dtypes of the results of an op that has several."""
    assert op.shape is not None
    return tuple([Spec(*found) for found in op.shape(*operands, **params)])


def _quietly(op: Op, stand_ins: list[np.ndarray], params: dict[str, Any]) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.asarray(op.run(*stand_ins, **params))
