"""The pieces that random programs are made of: the text of arguments, and of lines over what there is so far."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.fuzz import calls

HALVES = ("float16", "bfloat16")
FLOATS = ("float64", "float64", "float64", "float32", "float32", *HALVES)
COMPLEX = ("complex128", "complex64")
INTEGERS = ("int64", "int32", "uint8")
SHAPES = [
    (),
    (1,),
    (2,),
    (3,),
    (5,),
    (2, 3),
    (3, 2),
    (3, 3),
    (1, 3),
    (3, 1),
    (2, 1, 3),
    (2, 2, 2),
    (0,),
    (0, 3),
    (9,),
    (17,),
    (4, 7),
]


# -- arguments --------------------------------------------------------------------------------------------------------


def numbers(rng: random.Random, shape: tuple[int, ...], dtype: str) -> str:
    """Nested lists of few different numbers, ties and zeros among them."""
    if dtype == "bool":
        pick: Callable[[], Any] = lambda: rng.random() < 0.5
    elif dtype.startswith("float") or dtype == "bfloat16":
        pick = lambda: rng.choice([0.0, 1.0, -1.0, 0.5, rng.randint(-40, 40) / 16, rng.randint(1, 30) / 8])
    elif dtype in COMPLEX:
        pick = lambda: complex(rng.randint(-40, 40) / 16, rng.choice([0.0, rng.randint(-40, 40) / 16]))
    else:
        pick = lambda: rng.randint(0 if dtype == "uint8" else -3, 4)

    def nested(sizes: Sequence[int]) -> Any:
        return pick() if not sizes else [nested(sizes[1:]) for _ in range(sizes[0])]

    return str(nested(shape))


def argument(rng: random.Random) -> str:
    """The text of one argument: mostly tensors, of all dtypes and layouts."""
    kind = rng.choices(["tensor", "integers", "array", "float", "int", "complex"], [70, 12, 8, 6, 4, 4])[0]
    if kind == "float":
        return rng.choice(["0.75", "-1.5", "2.0", "1e-3"])
    if kind == "int":
        return str(rng.randint(-2, 4))
    shape = rng.choice(SHAPES)
    if kind == "array":
        dtype = rng.choice(["float64", "float64", "float32", "int64"])
        text = f"np.array({numbers(rng, shape, dtype)}, dtype=np.{dtype}).reshape({shape})"
        return text + rng.choice(["", "", ".T", "[::2]" if shape else "", "[..., ::-1].copy()" if shape else ""])
    dtype = rng.choice({"tensor": FLOATS, "complex": COMPLEX}.get(kind, (*INTEGERS, "bool")))
    made = lambda shape: f"jg.tensor({numbers(rng, shape, dtype)}, dtype=jg.{dtype}).reshape({shape})"
    layout = rng.choices(["plain", "turned", "stepped", "moved", "spread"], [60, 15, 10, 10, 5])[0]
    if layout == "turned" and len(shape) > 1:
        return made((*shape[:-2], shape[-1], shape[-2])) + ".transpose(-1, -2)"
    if layout == "stepped" and shape:
        return made((*shape[:-1], 2 * shape[-1])) + "[..., ::2]"
    if layout == "moved" and shape:
        return made((shape[0] + 1, *shape[1:])) + "[1:]"
    if layout == "spread" and shape:
        return made((1, *shape[1:])) + f".expand({shape})"
    return made(shape)


# -- lines ------------------------------------------------------------------------------------------------------------

BINARY = [
    "{a} + {b}",
    "{a} - {b}",
    "{a} * {b}",
    "{a} * {b}",
    "{a} / (1 + {b} * {b})",
    "jg.maximum({a}, {b})",
    "{a} / {b}",
    "jg.minimum({a}, {b})",
    "jg.where({a} > {b}, {a}, {b})",
    "jg.where({b} > 0, {a}, {n})",
    "jg.atan2({a}, {b})",
    "{a} ** 2 + {b}",
    "{a} > {b}",
    "{a} == {b}",
    "jg.hypot({a}, {b})",
    "jg.add({a}, {b}, alpha={n})",
    "{a}.masked_fill({b} > 0, {n})",
    "{a} // {b}",
    "{a} % {b}",
]
SCALED = [
    "{a} * {n}",
    "{a} + {n}",
    "{n} - {a}",
    "{n} / (2 + {a} * {a})",
    "{a} ** 2",
    "{a} ** 3",
    "{a} ** 0.5",
    "{a}.clamp(-1, {n})",
    "{a} * True",
    "-{a}",
    "{a} > {n}",
    "{a} ** -1",
    "{n} ** {a}",
]
CASTS = [".double()", ".float()", ".half()", ".to(jg.bfloat16)", ".long()", ".int()", ".bool()", ".to({a}.dtype)"]
IN_PLACE = [
    "{a}.mul_({n})",
    "{a}.add_({b})",
    "{a}.mul_({b})",
    "{a}.exp_()",
    "{a}.zero_()",
    "{a} += {b}",
    "{a} *= {b}",
    "{a}.copy_({b})",
    "{a}.fill_({n})",
    "{a}.neg_()",
    "{a}.div_(2)",
    "{a}.sub_({b}, alpha={n})",
    "{a}.clamp_(-1, 1)",
    "{a}.sigmoid_()",
    "{a}.pow_(2)",
    "{a}.masked_fill_({b} > 0, {n})",
    "{a} -= {n}",
]
COMPLEX_LINES = [
    "jg.complex({a}, {b})",
    "{a}.real",
    "jg.view_as_real({a} * 1j)",
    "{a}.conj()",
    "{a} * 1j + {b}",
    "jg.polar({a}, {b})",
    "{a}.imag",
    "jg.view_as_complex(fit({a}, (2, 3, 2)))",
    "jg.linalg.eigvals(well({a}, (3, 3)))",
    "{a}.abs()",
    "{a}.angle()",
    "{a}.sgn()",
]
LOOPS = [
    "jg.fori_loop(0, {k}, lambda i, c: c.sin() + i * 0.5, {a})",
    "jg.fori_loop(0, {k}, lambda i, c: c * {b}, {a})",
    "jg.fori_loop({k}, 0, lambda i, c: c * 2, {a})",
    "jg.scan(lambda c, s: (c * 0.5 + s, c * s), {a}[0], {a})[1]",
    "jg.scan(lambda c, s: (c * 0.5 + s, c), {b}, {a})[0]",
    "jg.scan(lambda c, s: (c + s, c), {a}, jg.stack([{b} * 2]))[0]",
    "jg.scan(lambda c, s: (c.tanh() * {n} + s.sum(), (c, s * 2)), {a}, {b}, reverse=True)[1][0]",
    "jg.while_loop(lambda c: c.abs().sum() < 6, lambda c: c * 2 + 0.125, {a}, max_steps=5)",
    "jg.cond({a}.sum() > 0, lambda x: x * 2, lambda x: x, {b})",
    "jg.cond({b}.sum() > {n}, lambda x, y: x * y, lambda x, y: x - y, {a}, {b})",
    "jg.switch({k}, [lambda x: x.sin(), lambda x: x, lambda x: x * x], {a})",
    "jg.fori_loop(0, 3, lambda i, c: filled(c, i), {a})",
    "jg.fori_loop(0, 2, lambda i, c: jg.cond(c.sum() > 0, lambda x: x * {b}.sum(), lambda x: x + 1, c), {a})",
]
FILLED = """def filled(c, i):
    c = c * 1
    c[i] = c[i - 1] * {n}
    c[0] += i
    return c"""


def index(rng: random.Random, shape: tuple[int, ...], other: str) -> str:
    """What may stand between brackets for this shape: places, slices, repeats, negatives, masks, None, an ellipsis, and a place
    that is computed of another tensor."""

    def one(size: int) -> str:
        places = [rng.randint(-size, size - 1) if size else 0 for _ in range(rng.randint(1, 3))]
        return rng.choice(
            [
                str(places[0]),
                ":",
                "1:",
                "::2",
                ":-1",
                "-2:",
                str(places),
                f"jg.tensor({places})",
                f"{places[0]}:",
                "None",
                f"np.array({places})",
                "..., 0",
                str([places[0], places[0]]),
                str([size - 1, -1]),
                str([rng.random() < 0.5 for _ in range(size)]),
                *[f"(({other}.reshape(-1)[:1] > 0).sum() % {size or 1})"] * 3,
            ]
        )

    return ", ".join([one(size) for size in shape[: rng.randint(1, max(1, len(shape)))]]) or rng.choice(["...", "None", "()"])


def movement(rng: random.Random, shape: tuple[int, ...]) -> str:
    """A method that moves elements."""
    size, last = int(np.prod(shape)), len(shape)
    dim = rng.randint(-last, last - 1) if shape else 0
    other = rng.randint(-last, last - 1) if shape else 0
    order = list(range(last))
    rng.shuffle(order)
    return rng.choice(
        [
            ".t()",
            f".transpose({dim}, {other})",
            f".permute({tuple(order)})",
            ".reshape(-1)",
            f".reshape({shape[::-1]})",
            f".reshape({(size, 1)})",
            f".view({(1, size)})",
            ".view(-1)",
            ".flatten()",
            ".ravel()",
            ".contiguous()",
            ".mT",
            ".squeeze()",
            f".unsqueeze({dim})",
            f".expand({(2, *shape)})",
            f".flip({dim})",
            f".repeat({(1,) * max(1, last)})",
            f".repeat({(2, *(1,) * last)})",
            f".narrow({dim}, 0, 1)",
            f".split(1, {dim})[0]",
            f".unbind({dim})[0]",
            f".chunk(2, {dim})[-1]",
            f".select({dim}, -1)",
            f".movedim({dim}, {other})",
            ".view_as({b})",
            ".expand_as({b})",
            f".squeeze({dim})",
            ".detach()",
        ]
    )


LINES = {
    "row": 22,
    "function": 22,
    "binary": 12,
    "scaled": 7,
    "cast": 4,
    "move": 10,
    "index": 8,
    "set": 12,
    "in_place": 9,
    "join": 6,
    "matmul": 4,
    "loop": 7,
    "made": 3,
    "complex": 3,
}
"""The kinds of lines, and how often they come."""
MADE_OF = {"binary": BINARY, "scaled": SCALED, "cast": ["{a}" + c for c in CASTS], "complex": COMPLEX_LINES}


def line(rng: random.Random, scope: dict[str, Any], names: list[str], new: str) -> str:
    """One line that may or may not run."""
    weights = [len(names) + 2 * i for i in range(len(names))]
    some = lambda: rng.choices(names, weights)[0]
    a, b = some(), some()
    shape = tuple(getattr(scope[a], "shape", ()))
    dim = rng.choice([*range(-len(shape), len(shape)), 0])
    fill = {"a": a, "b": b, "n": rng.choice(["0.5", "2", "-1.0", "1.5", "3"]), "k": rng.randint(0, 3)}
    kind = rng.choices([*LINES], [*LINES.values()])[0]
    if kind == "row":
        text = f"{new} = {calls.of_row(rng, some, scope)}"
    elif kind == "function":
        text = f"{new} = {calls.of_function(rng, some, scope)}"
    elif kind == "move":
        text = f"{new} = {a}{movement(rng, shape)}"
    elif kind == "index":
        text = f"{new} = {a}[{index(rng, shape, b)}]"
    elif kind == "set":
        value = rng.choice(["{n}", "{b}", "{b}", "{b} * 2", "{b}.sum()", "{b}[0]"])
        text = f"{{a}}[{index(rng, shape, b).replace('{', '{{')}] {rng.choice(['=', '=', '=', '+=', '*='])} {value}"
    elif kind == "join":
        text = (
            new
            + " = "
            + rng.choice(
                [
                    "jg.stack([{a}])",
                    "jg.stack([{a}, {b}])",
                    "jg.cat([{a}])",
                    f"jg.cat([{{a}}, {{b}}], {dim})",
                    f"jg.stack([{{a}}, {{a}}], {dim})",
                    "jg.cat([{a}, {b}, {a}])",
                    f"jg.index_select({{a}}, {dim}, jg.tensor([0, 0]))",
                    "jg.outer({a}, {b})",
                ]
            )
        )
    elif kind == "matmul":
        text = new + " = " + rng.choice(["{a} @ {b}", "{a} @ {b}", "{a} @ {b}.mT", "jg.dot({a}, {b})", "{a}.mT @ {b}"])
    elif kind == "made":
        text = (
            new
            + " = "
            + rng.choice(
                [
                    "jg.zeros({s}, dtype={a}.dtype)",
                    "jg.ones_like({a})",
                    "jg.zeros({s})",
                    "jg.full({s}, {n}, dtype=jg.float64)",
                    "jg.arange(3)",
                ]
            )
        )
        fill["s"] = rng.choice(SHAPES)
    elif kind == "in_place":
        text = rng.choice(IN_PLACE)
    elif kind == "loop":
        text = f"{new} = {rng.choice(LOOPS)}"
        text = f"{FILLED}\n{text}" if "filled(" in text else text
    else:
        text = f"{new} = " + rng.choice(MADE_OF[kind])
    return text.format(**fill) if kind not in ("index", "row", "function") else text
