"""Lines that call a row of the op table, or anything public: what stands there, its signature or its samples say what with."""

from __future__ import annotations

import functools
import inspect
import math
import random
import re
from collections.abc import Callable
from inspect import Parameter
from typing import Any

import numpy as np

import jitgrad as jg
from jitgrad.ops import TABLE, Op, rows

NAMESPACES = {"": jg, "linalg.": jg.linalg, "fft.": jg.fft, "special.": jg.special, "nn.functional.": jg.nn.functional}
RANDOM = {"bernoulli", "binomial", "multinomial", "normal", "poisson", "rrelu", "gumbel_softmax", "empty_like"}
RANDOM_PARTS = ("rand", "rng", "fractional", "dropout")
"""What gives something else each time, and what names of such functions have in them."""
OF_VALUES = {
    "nonzero",
    "argwhere",
    "unique",
    "unique_consecutive",
    "masked_select",
    "bincount",
    "equal",
    "allclose",
    "is_nonzero",
}
OF_VALUES |= {"histogramdd"}
"""What has another shape, or is none, for other values: it cannot be recorded."""
FIRST = ("input", "x", "x1", "A", "input1", "tensors", "tensor1", "operands", "query", "anchor", "tensor", "*tensors")


# -- what lines may say beside the names of the library ---------------------------------------------------------------
# They know nothing but what they are given: `jit` looks at what a function reads from outside.


def fit(x: Any, shape: tuple[int, ...]) -> Any:
    """The elements of a tensor in another shape, again and again."""
    n = math.prod(shape)
    return x.reshape(-1).repeat(n // x.numel() + 1)[:n].reshape(shape)


def near(x: Any, wanted: list) -> Any:
    """Given numbers, each a little moved by `x`."""
    made = (x * 1.0).new_tensor(wanted)
    return made + 0.05 * fit(x, tuple(made.shape)).tanh()


def well(x: Any, shape: tuple[int, ...]) -> Any:
    """Matrices far from singular, whose eigenvalues differ."""
    diagonal = [[(j + 1.0) * (i == j) for j in range(shape[-1])] for i in range(shape[-2])]
    return 0.3 * fit(x, shape).tanh() + (x * 1.0).new_tensor(diagonal)


def definite(x: Any, shape: tuple[int, ...]) -> Any:
    """Symmetric ones, positive definite."""
    found = well(x, shape)
    return (found + found.transpose(-1, -2)) / 2


HELPERS: dict[str, Any] = {"fit": fit, "near": near, "well": well, "definite": definite}


def meanings(text: str, library: Any = jg) -> dict[str, Any]:
    """What lines find: the library, NumPy, the functions above, and the rows that are called by a name of theirs.

    `row_windows_1` is a row with the parameters of its second sample; PyTorch has none.
    """
    found: dict[str, Any] = {"jg": library, "np": np, **HELPERS}
    for full, name, sample in re.findall(r"\b(row_(\w+?)_(\d+))\(", text):
        found[full] = functools.partial(TABLE[name], **_sample(TABLE[name], int(sample))[1]) if library is jg else None
    return found


def _sample(op: Op, k: int) -> tuple[list[Any], dict[str, Any]]:
    """Operands, which are arrays or shapes, and parameters."""
    given: Any = op.samples()[k] if op.samples is not None else {}
    if op.elementwise:
        return [None] * len(op.inputs), given
    return (given[0] if isinstance(given[0], list) else [given[0]]), given[1]


# -- rows of the table ------------------------------------------------------------------------------------------------

ROWS = [op for op in rows() if not op.hint and not op.holes() and op.real and not op.internal]


def of_row(rng: random.Random, pick: Callable[[], str], scope: dict[str, Any], op: Op | None = None) -> str:
    """A call of a row, by its public name where it has one."""
    op = op or rng.choice(ROWS)
    at = rng.randrange(len(op.samples()) if op.samples is not None else 1)
    given, params = _sample(op, at)
    if op.elementwise:
        operands = [_within(rng, pick(), bounds) for bounds in op.domain]
        if op.name == "where":
            operands[0] += " > 0.5"
    elif len(op.inputs) == 1 and rng.random() < 0.6 and not isinstance(given[0], np.ndarray):
        operands = [pick()]
        params = _at_other_places(rng, params, len(getattr(scope[operands[0]], "shape", ())))
    else:
        operands = [_operand(pick(), op, wanted) for wanted in given]
    place = f"[{rng.choice(op.outputs and range(len(op.outputs)))}]" if op.several else ""
    if op.internal or (op.prepare is None and params):
        return f"row_{op.name}_{at}({', '.join(operands)}){place}"
    home = f"{op.namespace}." if op.namespace else ""
    further = [f"{k}={v!r}" if v != np.inf else f"{k}=np.inf" for k, v in params.items()]
    return f"jg.{home}{op.name}({', '.join([*operands, *further])}){place}"


def _within(rng: random.Random, text: str, bounds: tuple[float, float]) -> str:
    """An operand as it is, or moved into the domain."""
    low, high = bounds
    return rng.choice([text, text, f"({low} + {high - low:.3g} * {text}.sigmoid())", f"{text}.long()" if low == 0 else text])


def _at_other_places(rng: random.Random, params: dict[str, Any], last: int) -> dict[str, Any]:
    """Parameters for a tensor of so many dimensions."""
    dims = [*range(last)] or [0]
    new: dict[str, Any] = {"keepdim": rng.random() < 0.5}
    if "dim" in params:
        several = isinstance(params["dim"], tuple)
        new["dim"] = tuple(sorted(rng.sample(dims, rng.randint(1, len(dims))))) if several else rng.choice(dims)
    return params | {k: v for k, v in new.items() if k in params}


def _operand(text: str, op: Op, wanted: Any) -> str:
    if not isinstance(wanted, np.ndarray):
        return f"fit({text}, {wanted})"
    if wanted.dtype.kind != "f" or wanted.ndim == 0:
        return f"jg.tensor({wanted.tolist()}, dtype=jg.{wanted.dtype})"
    found = f"near({text}, {wanted.round(3).tolist()})"
    return f"({found} + {found}.mT)" if op.symmetric else found


# -- whatever is public -----------------------------------------------------------------------------------------------


def _functions() -> dict[str, inspect.Signature]:
    """What is called with a tensor first, by full name."""
    found = {}
    for home, namespace in NAMESPACES.items():
        for name in dir(namespace):
            function = getattr(namespace, name)
            if name.startswith("_") or isinstance(function, type) or not callable(function):
                continue
            if name.endswith("_") or name in RANDOM | OF_VALUES or any(part in name for part in RANDOM_PARTS):
                continue
            signature = inspect.signature(function)
            parameters = [*signature.parameters.values()]
            if "size_average" in signature.parameters:  # it and `reduce` are deprecated
                parameters = [p for p in parameters if p.name not in ("size_average", "reduce")]
                signature = signature.replace(parameters=parameters)
            if parameters and ("Tensor" in str(parameters[0].annotation) or parameters[0].name in FIRST):
                found[home + name] = signature
    return found


FUNCTIONS = _functions()
IMAGES = [(1, 2, 5), (2, 4), (1, 2, 4, 4), (2, 2, 2), (2, 2, 2, 2), (2, 1, 3, 3), (1, 1, 3, 3, 3), (2, 3), (3, 2), (4,), (2,)]
MATRICES = [(3, 3), (2, 2), (2, 3, 3), (3, 2), (2, 3)]
SMALL = ["1", "2", "2", "3"]
VALUES: dict[str, list[str]] = {
    "kernel_size": [*SMALL, "(2, 1)", "(1, 2)"],
    "stride": ["1", "2", "(2, 1)"],
    "padding": ["0", "1"],
    "dilation": ["1", "2"],
    "output_size": [*SMALL, "(2, 2)", "(3, 2)"],
    "p": ["1", "2", "2.0", "1.5", "3", "np.inf"],
    "ord": ["1", "2", "np.inf", "'fro'", "'nuc'"],
    "q": ["0.25", "0.5"],
    "reduction": ["'mean'", "'sum'", "'none'"],
    "reduce": ["'sum'", "'prod'", "'mean'", "'amax'", "'amin'"],
    "mode": ["'linear'", "'bilinear'", "'nearest'", "'constant'", "'reflect'", "'replicate'", "'reduced'", "'bicubic'", "'mean'"],
    "norm": ["'ortho'", "'forward'"],
    "size": ["(2, 3)", "(3, 3)", "4", "(2,)"],
    "shape": ["(2, 3)", "(-1,)", "(6,)"],
    "normalized_shape": ["(3,)", "(2,)", "(4,)", "(4, 4)", "(5,)"],
    "pad": ["(1, 1)", "(0, 2)", "(1, 0, 0, 1)", "(-1, 1)"],
    "dims": ["(0,)", "(0, 1)", "(1, 0)", "1"],
    "scale_factor": ["2", "0.5", "1.5"],
    "approximate": ["'tanh'", "'none'"],
    "rounding_mode": ["'floor'", "'trunc'"],
    "indexing": ["'ij'", "'xy'"],
    "upper": ["True", "False"],
    "left": ["True", "False"],
    "hermitian": ["False"],
    "correction": ["0", "1"],
    "sections": ["2", "[1, 2]"],
    "training": ["True", "False"],
    "equation": ["'ij,jk->ik'", "'i,i'", "'ij->j'", "'ii->i'", "'bij,bjk'"],
}
"""Texts for parameters that are no tensors, by name."""
INTEGERS = ("index", "indices", "pivots", "repeats", "input_lengths", "target_lengths", "LU_pivots")
"""Parameters that are tensors of small integers."""
TENSORS = (
    "other",
    "target",
    "weight",
    "source",
    "src",
    "value",
    "bias",
    "B",
    "y",
    "vec",
    "vec2",
    "mat2",
    "theta",
    "grid",
    "values",
)
TENSORS += (
    "running_mean",
    "running_var",
    "attn_mask",
    "mask",
    "end",
    "max",
    "min",
    "var",
    "input2",
    "input3",
    "mat1",
    "vec1",
    "mat",
)
TENSORS += ("x2", "tensor2", "batch1", "batch2", "key", "positive", "negative", "exponent", "boundaries", "elements", "x")
DTYPES = ("dtype", "device", "out", "generator", "requires_grad", "driver", "layout", "memory_format", "names")


def of_function(rng: random.Random, pick: Callable[[], str], scope: dict[str, Any], name: str = "", tries: int = 12) -> str:
    """A call of a public function with arguments that its signature asks for; of several tries the first that runs."""
    name = name or rng.choice([*FUNCTIONS])
    text = ""
    for _ in range(tries):
        text = f"jg.{name}({', '.join(_arguments(rng, pick, scope, name))})"
        try:
            made = eval(text, scope)
        except Exception:  # the next way to call it may do
            continue
        if isinstance(made, tuple | list):
            text += f"[{rng.randrange(len(made) or 1)}]"
        break
    return text


def _arguments(rng: random.Random, pick: Callable[[], str], scope: dict[str, Any], name: str) -> list[str]:
    found: list[str] = []
    style = rng.choice(["linalg"] * 3 if name.startswith("linalg") else ["plain", "plain", "image", "matrix"])
    style = "image" if name.startswith("nn") and rng.random() < 0.6 else style
    shape: list[Any] = []
    for parameter in FUNCTIONS[name].parameters.values():
        needed = parameter.default is Parameter.empty
        if parameter.kind is Parameter.VAR_KEYWORD or parameter.name in DTYPES or not (needed or rng.random() < 0.3):
            continue
        text = _argument(rng, pick, scope, parameter, style, shape)
        if text is None:
            continue
        by_name = not needed or parameter.kind is Parameter.KEYWORD_ONLY
        found.append(f"{parameter.name}={text}" if by_name else text)
    return found


def _argument(
    rng: random.Random, pick: Callable[[], str], scope: dict[str, Any], parameter: Parameter, style: str, shape: list[Any]
) -> str | None:
    """The text of one argument; `shape` is that of the first tensor, once there is one."""
    name, default, said = parameter.name, parameter.default, str(parameter.annotation)
    first = not shape
    tensor = lambda: _tensor(rng, pick(), scope, style, shape)
    if first or name in TENSORS or said in ("Tensor", "Tensor | None"):
        if name == "tensors" or said == "Sequence[Tensor]":
            many = [tensor() for _ in range(rng.randint(1, 3))]
            return ", ".join(many) if parameter.kind is Parameter.VAR_POSITIONAL else f"[{', '.join(many)}]"
        if name in INTEGERS or (name in ("target", "index") and rng.random() < 0.5):
            return f"jg.zeros({shape[0] if shape and rng.random() < 0.5 else (2,)}, dtype=jg.int64)"
        if name in ("boundaries", "sorted_sequence"):
            return f"{tensor()}.sort()[0]"
        return tensor() if not (name == "value" and rng.random() < 0.5) else "0.5"
    if name in INTEGERS:
        return rng.choice(["jg.tensor([0, 1])", "jg.tensor([1, 0, 1])", f"jg.zeros({shape[0]}, dtype=jg.int64)"])
    if name.startswith("dim") or name in ("axis", "source", "destination"):
        last = max(len(shape[0]), 1)
        return str(rng.randint(-last, last - 1))
    if name in VALUES:
        return rng.choice(VALUES[name])
    if isinstance(default, bool) or said == "bool":
        return str(rng.random() < 0.5)
    if isinstance(default, float) or said == "float":
        return rng.choice(["0.5", "1.0", "0.25", "2.0"])
    if isinstance(default, int) or said == "int":
        return rng.choice(["0", *SMALL, "-1"])
    return None if default is not Parameter.empty else rng.choice(["1", "2", "0.5", "(1, 1)", "0", pick()])


def _tensor(rng: random.Random, text: str, scope: dict[str, Any], style: str, shape: list[Any]) -> str:
    """A tensor for a function: as it is, as large as the first one, or of a shape that such functions take."""
    own = tuple(getattr(scope[text], "shape", ()))
    if style == "plain" or rng.random() < 0.1:
        made, size = text, own
        if shape and own != shape[0] and rng.random() < 0.5:
            made, size = f"fit({text}, {shape[0]})", shape[0]
    elif style == "image":
        size = shape[0] if shape and rng.random() < 0.4 else rng.choice(IMAGES)
        made = f"fit({text}, {size})"
    else:
        size = shape[0] if shape and rng.random() < 0.4 else rng.choice(MATRICES)
        square = len(size) > 1 and size[-1] == size[-2]
        made = f"{rng.choice(['well', 'definite'] if square else ['fit'])}({text}, {size})"
    shape.append(size)
    return made
