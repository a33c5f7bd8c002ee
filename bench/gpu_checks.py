"""What the suite on a GPU checks: rows of the op table with fresh operands, and programs at sizes of many blocks.

Each check is what the device gives for some operands, and what the CPU gives for the same ones widened to float64.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from bench.gpu_measure import Setting

Arrays = list[np.ndarray]


class Check(NamedTuple):
    """`device(k)` is run `times` times, numbered, and must come near to `reference()` each time, with the same bits.

    `same()` is what the CPU gives in the dtypes of the device. With `sums` an error is one of the largest number of a result:
    where many numbers are added up, the small results among others are what is left of large ones.
    """

    name: str
    device: Callable[[int], Arrays]
    reference: Callable[[], Arrays]
    same: Callable[[], Arrays]
    times: int = 2
    sums: bool = False


def has_no_kernel(error: Exception) -> bool:
    """Whether an operation says that it is not there on a device. One whose kernel does not compile is not such a one."""
    return isinstance(error, NotImplementedError) and "is not available on" in str(error)


Group = tuple[str, Callable[[], Iterator[Check]]]
"""A name, and the checks, made on need."""

LAYOUTS = ("strided", "transposed", "broadcast", "empty", "one", "0-d")
DTYPES = ("float64", "float16", "bfloat16", "int32", "int64", "uint8", "bool")
LARGE = (300, 257)


def groups(setting: Setting) -> list[Group]:
    """All of them, those first that matter most, in case the time does not suffice."""
    if setting.tiny:
        return [
            ("float32 contiguous", lambda: rows("float32", "contiguous", setting, every=40)),
            ("int32 strided", lambda: rows("int32", "strided", setting, every=60)),
            ("programs", lambda: programs(setting, every=4)),
            ("float32 jit", lambda: rows("float32", "contiguous", setting, every=60, jit=True)),
        ]
    return [
        ("float32 contiguous", lambda: rows("float32", "contiguous", setting)),
        ("programs", lambda: programs(setting)),
        ("float32 jit", lambda: rows("float32", "contiguous", setting, jit=True)),
        ("float32 large", lambda: rows("float32", "large", setting)),
        *[(f"{dtype} contiguous", lambda dtype=dtype: rows(dtype, "contiguous", setting)) for dtype in DTYPES],
        *[(f"float32 {layout}", lambda layout=layout: rows("float32", layout, setting)) for layout in LAYOUTS],
        ("float64 large", lambda: rows("float64", "large", setting)),
        ("float16 jit", lambda: rows("float16", "contiguous", setting, jit=True)),
        ("float64 jit", lambda: rows("float64", "contiguous", setting, jit=True)),
    ]


def part(setting: Setting) -> list[Group]:
    """Some hundred checks, for tools that slow everything down."""
    few = setting.tiny
    return [
        ("programs", lambda: programs(setting._replace(tiny=True), every=6 if few else 1)),
        ("float32 contiguous", lambda: rows("float32", "contiguous", setting, every=90 if few else 8)),
        ("float32 jit", lambda: rows("float32", "contiguous", setting, every=150 if few else 40, jit=True)),
    ]


def random_of(setting: Setting, name: str) -> np.random.Generator:
    """Random numbers of one check, whichever were run before it."""
    return np.random.default_rng([setting.seed, zlib.crc32(name.encode())])


# Rows of the op table.


def rows(dtype: str, layout: str, setting: Setting, every: int = 1, jit: bool = False) -> Iterator[Check]:
    """The cases of the tests, with operands that are drawn anew, eager or under jit; perhaps only some of them."""
    from tests.helpers.cases import legal

    for case in _cases(dtype, layout)[::every]:
        name = f"{case!r} {dtype} {layout}{' jit' * jit}"
        rng = random_of(setting, name)
        case = case._replace(operands=[_fresh(case, k, x, rng) for k, x in enumerate(case.operands)])
        if legal(case):
            yield _row_check(name, case, layout, rng, jit)


def _cases(dtype: str, layout: str) -> list[Any]:
    from tests.helpers import cases

    if layout != "large":
        return cases.prepared(dtype, layout if layout in cases.SHAPES else "contiguous")
    found = cases.cases([LARGE], "elementwise")
    return [case._replace(operands=[cases.converted(x, dtype) for x in case.operands]) for case in found]


def _fresh(case: Any, k: int, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An operand with other values: of an elementwise row any of its domain; of others each times a number near 1.

    Whole numbers of others may be indices, and stay as they are.
    """
    op = case.op
    if not op.elementwise:
        return (x * rng.uniform(0.5, 1.5, x.shape)).astype(x.dtype) if x.dtype.kind == "f" or x.dtype.name == "bfloat16" else x
    drawn = rng.uniform(*(op.domain[k] if op.domain else (-3.0, 3.0)), x.shape)
    if x.dtype == np.bool_:
        return np.asarray(drawn > 0)
    if x.dtype.kind in "iu":
        drawn = np.abs(np.rint(drawn)) + 1  # powers and quotients of them must exist
    return np.asarray(drawn).astype(x.dtype)


def _row_check(name: str, case: Any, layout: str, rng: np.random.Generator, jit: bool) -> Check:
    from tests.helpers.cases import applied

    def run(xs: Sequence[Any]) -> Any:
        return applied(case, list(xs))

    return _check(name, run, case.operands, rng, layout, jit)


# Programs.


def programs(setting: Setting, every: int = 1) -> Iterator[Check]:
    """Reductions, products, sorting and the like at sizes that take many blocks, eager and under jit."""
    from bench.gpu_programs import PROGRAMS

    for program in PROGRAMS[::every]:
        for dtype in ("float32",) if setting.tiny else ("float32", "float64"):
            name = f"{program.name} {dtype}"
            rng = random_of(setting, name)
            given = program.operands(rng, 1 if setting.tiny else program.scale)
            operands = [x.astype(dtype) if x.dtype.kind == "f" else x for x in given]
            for way in ("eager", "jit"):
                run = lambda xs, run=program.run: run(*xs)
                yield _check(f"{name} {way}", run, operands, rng, jit=way == "jit", sums=True)


# What both have in common.


def _check(
    name: str,
    run: Callable[[Sequence[Any]], Any],
    operands: Sequence[np.ndarray],
    rng: np.random.Generator,
    laid: str = "contiguous",
    jit: bool = False,
    sums: bool = False,
) -> Check:
    """The value of a function, and its gradients for a cotangent that is drawn."""
    import jitgrad as jg

    made: list[Any] = []  # operands and function, by the first to come, so that all calls have the same addresses
    cotangents: list[np.ndarray] = []

    def cotangent(like: Any) -> np.ndarray:
        if not cotangents:
            dtype = next((x.dtype for x in operands if jg.dtypes.is_floating(x.dtype)), np.dtype(np.float32))
            cotangents.append(rng.normal(size=tuple(like.shape)).astype(dtype))
        return cotangents[0]

    def on_cpu(wide: bool) -> Arrays:
        xs = [jg.tensor(x.astype(np.float64) if wide and jg.dtypes.is_floating(x.dtype) else x) for x in operands]
        with np.errstate(all="ignore"):
            return _value_and_gradients(run, xs, lambda out: jg.tensor(cotangent(out), dtype=out.dtype))

    def device(_: int) -> Arrays:
        if not made:
            made.extend([[_laid_out(x, laid) for x in operands], _under_jit() if jit else _value_and_gradients])
        xs, call = made
        return call(run, xs, lambda out: jg.tensor(cotangent(out), dtype=out.dtype, device="cuda"))

    return Check(name, device, lambda: on_cpu(True), lambda: on_cpu(False), 4 if jit else 2, sums)


def _value_and_gradients(run: Callable, xs: Sequence[Any], cotangent: Callable[[Any], Any]) -> Arrays:
    """The value, and the gradients in all operands that have one; without them where the device has no kernel for them."""
    import jitgrad as jg

    leaves = [x.detach().requires_grad_() if x.dtype.is_floating_point else x for x in xs]
    out = run(leaves)
    found = [out.detach()]
    if out.requires_grad:
        wanted = [x for x in leaves if x.requires_grad]
        found += _if_there(lambda: jg.autograd.grad(out, wanted, cotangent(out), materialize_grads=True))
    return [x.cpu().numpy() for x in found]


def _under_jit() -> Callable:
    """The same as compiled functions, which are made at the first call and used at all."""
    import jitgrad as jg

    made: list[Any] = []

    def call(run: Callable, xs: Sequence[Any], cotangent: Callable[[Any], Any]) -> Arrays:
        if not made:
            floating = tuple(k for k, x in enumerate(xs) if x.dtype.is_floating_point)
            out = run([x.detach().requires_grad_() if k in floating else x for k, x in enumerate(xs)])
            g = cotangent(out) if out.requires_grad else None
            places = tuple(k + 1 for k in floating)
            made.extend([g, jg.jit(lambda *xs: run(xs)), jg.jit(jg.grad(lambda g, *xs: (run(xs) * g).sum(), argnums=places))])
        g, value, gradient = made
        found = [value(*xs)]
        if g is not None:
            found += _if_there(lambda: gradient(g, *xs))
        return [x.cpu().numpy() for x in found]

    return call


def _if_there(gradients: Callable[[], Sequence[Any]]) -> Sequence[Any]:
    """Gradients, or none where an operation of theirs is not there on the device, or has none in an operand anywhere."""
    from jitgrad.errors import HoleError

    try:
        return gradients()
    except HoleError:
        return ()
    except NotImplementedError as error:
        if has_no_kernel(error):
            return ()
        raise


def _laid_out(x: np.ndarray, layout: str) -> Any:
    """A tensor of the device whose memory lies in one way or another."""
    import jitgrad as jg

    if not x.ndim or layout not in ("strided", "transposed"):
        return jg.tensor(x, device="cuda")
    if layout == "transposed":
        order = tuple(reversed(range(x.ndim)))
        return jg.tensor(np.ascontiguousarray(x.transpose(order)), device="cuda").permute(*order)
    wide = np.zeros(tuple(2 * n for n in x.shape), x.dtype)
    every = tuple(slice(None, None, 2) for _ in x.shape)
    wide[every] = x
    return jg.tensor(wide, device="cuda")[every]
