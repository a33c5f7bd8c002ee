"""`python -m jitgrad.cli.stubs` writes what type checkers are told of functions and methods made from the op table.

The stubs are files of the package, so that they are there without running anything; a test sees that they are what this
writes.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping
from inspect import Parameter
from pathlib import Path
from typing import Any

import jitgrad as jg
from jitgrad import functions, kernels, optim
from jitgrad.functions.face import Face, face_of
from jitgrad.functions.homes import HOMES, OTHERWISE
from jitgrad.kernels import scalar
from jitgrad.ops import rows
from jitgrad.tensors.differentiable import Differentiable
from jitgrad.tensors.results import WRITTEN

HERE = Path(jg.__file__).parent
OFFERS = HERE / "functions" / "offers.py"
_HEAD = '''"""{what} Written by `python -m jitgrad.cli.stubs`."""

from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
from collections.abc import Sequence
from typing import Any

import numpy as np

{imports}

Operand = Tensor | np.ndarray[Any, Any] | np.generic | _float
"""What an operation takes: a tensor, an array, a number."""

'''
_SEQUENCE = "from collections.abc import Sequence"
_RESULTS = "from jitgrad.tensors import return_types as _return_types"
_IMPORTS = f"{_RESULTS}\nfrom jitgrad.tensors.tensor import Tensor"
_IGNORED = {"__eq__": "  # type: ignore[override]", "__ne__": "  # type: ignore[override]", "__ipow__": "  # type: ignore[misc]"}
_SHADOWED = re.compile(r"\b(bool|float|int)\b")  # the face has dtypes of these names
_KNOWN = re.compile(r"(?:\b(?:Any|Callable|Sequence|Tensor|tuple|list|dict|None|str|bool|float|int|bytes)\b|[\[\], .|])*")


def stubs() -> dict[Path, str]:
    """The stubs by their files."""
    return {
        HERE / "__init__.pyi": _face(),
        HERE / "tensors" / "declared.pyi": _methods(),
        HERE / "tensors" / "return_types.pyi": _results(),
        Path(str(kernels.__file__)).with_suffix(".pyi"): _kernels(),
        **{_file(name): _namespace(name, made) for name, made in functions.NAMESPACES.items() if name},
        HERE / "optim" / "__init__.pyi": _optimizers(),
        OFFERS: _offers(),
    }


def _file(namespace: str) -> Path:
    return HERE.joinpath(*namespace.split(".")).with_suffix(".pyi")


def _face() -> str:
    tree = ast.parse((HERE / "__init__.py").read_text(encoding="utf-8"))
    handed = [
        (node.module, alias.name)
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname is None
    ]
    handed += [(module, name) for name, module in vars(jg)["_HOME"].items()]
    imports = [f"from {module} import {name} as {name}" for module, name in handed if not name.startswith("_")]
    imports += [f"from jitgrad import {name} as {name}" for name in vars(jg)["_MODULES"]]
    imports += [_RESULTS, "from jitgrad.dtypes import DType as DType"]
    made = functions.FUNCTIONS
    numbers = [f"{name}: _float" for name in ("inf", "nan", "pi", "e")]
    dtypes = [f"{name}: DType" for name in sorted({*jg.dtypes.names(), "bfloat16"})]
    return "\n".join(
        [
            _HEAD.format(what="What type checkers see of `jitgrad`.", imports="\n".join(sorted(set(imports)))),
            "__version__: str",
            *numbers,
            "",
            *dtypes,
            "",
            *[_function(name, f) for name, f in sorted(made.items())],
            "",
        ]
    )


def _methods() -> str:
    imports = f"{_RESULTS}\nfrom jitgrad.tape.handle import Handle\nfrom jitgrad.tensors.tensor import Tensor"
    head = _HEAD.format(what="The methods of `Tensor` that are made from the op table.", imports=imports)
    lines = [f"    {_function(name, method, True)}" for name, method in sorted(_attached())]
    return "\n".join([head, "class Declared(Handle):", *lines, ""])


_HANDED = {"linalg": "from jitgrad.errors import LinAlgError as LinAlgError"}
"""What a namespace has beside functions."""


def _namespace(name: str, made: Mapping[str, Any]) -> str:
    imports = "\n".join(filter(None, [_HANDED.get(name), _IMPORTS]))
    head = _HEAD.format(what=f"What type checkers see of `jitgrad.{name}`.", imports=imports)
    lines = [*head.split("\n"), *[_function(name, f) for name, f in sorted(made.items())], ""]
    used = {word for line in lines for word in re.findall(r"\w+", line.partition(" import ")[0])}
    unused = {"_bool", "_int", "Sequence", "_return_types"} - used
    if "Callable" in used:
        lines[lines.index(_SEQUENCE)] = f"from collections.abc import {', '.join(sorted({'Callable', 'Sequence'} & used))}"
    return "\n".join([line for line in lines if line.split(" ")[-1] not in unused or not line.startswith("from ")])


def _optimizers() -> str:
    """The classes that take the arguments of a functional form say so; the others are as they are written."""
    names = vars(optim)["__all__"]
    taken = {name: found for name in names if hasattr(found := getattr(optim, name), "functional")}
    lines = ['"""What type checkers see of `jitgrad.optim`. Written by `python -m jitgrad.cli.stubs`."""', ""]
    lines += [
        "from builtins import bool as _bool",
        "from builtins import float as _float",
        "from builtins import int as _int",
        "from typing import Any",
        "",
    ]
    modules = {name: getattr(getattr(optim, name), "__module__", optim.__name__) for name in names if name not in taken}
    lines += sorted([f"from {module} import {name} as {name}" for name, module in modules.items()])
    lines += ["from jitgrad.optim.compiled import Compiled as _Compiled", ""]
    for name, found in taken.items():
        base = found.__mro__[1].__name__
        own = list(inspect.signature(found).parameters.values())[1:]
        keywords = [p for p in own if p.kind is Parameter.KEYWORD_ONLY]
        texts = ["self", "params: Any", *map(_parameter, own[: len(own) - len(keywords)])]
        texts += ["*", *map(_parameter, keywords)] if keywords else []
        lines += [f"class {name}({base if base in taken else f'_{base}'}):"]
        lines += [f"    def __init__({', '.join(texts)}) -> None: ...", ""]
    return "\n".join(lines)


def _offers() -> str:
    """What each module of functions offers, from what they state: names alone where nothing is stated."""
    lines = [
        '"""What the modules of functions offer. Written by `python -m jitgrad.cli.stubs` from what they say of themselves."""'
    ]
    lines += ["", "from jitgrad.functions.face import Face", "", "OFFERS: dict[str, dict[str, Face]] = {"]
    for home, modules in HOMES.items():
        for name in modules:
            module = importlib.import_module(f"jitgrad.functions.{name}")
            faces = {
                own: face_of(found, home, OTHERWISE.get(name, Face()))
                for own, found in vars(module).items()
                if inspect.isfunction(found) and own[0] != "_" and found.__module__ == module.__name__
            }
            usual = face_of(lambda: None, home, OTHERWISE.get(name, Face()))
            plain = " ".join([own for own, face in faces.items() if face == usual])
            lines += [f'    "{name}": dict.fromkeys("{plain}".split(), {_facts(usual)}) | {{']
            lines += [f'        "{own}": {_facts(face)},' for own, face in faces.items() if face != usual]
            lines += ["    },"]
    return "\n".join([*lines, "}", ""])


def _facts(face: Face) -> str:
    given = [f"{name}={value}" for name, value in face._asdict().items() if value != Face._field_defaults[name]]
    return f"Face({', '.join(given)})"


def _results() -> str:
    lines = ['"""The results of rows that have several. Written by `python -m jitgrad.cli.stubs`."""', ""]
    lines += ["from typing import Any, NamedTuple", "", "from jitgrad.tensors.tensor import Tensor", ""]
    lines += ["def type_of(op: Any) -> Any: ...", "def results_of(op: Any, found: Any) -> Any: ..."]
    for op in rows():
        if op.several and op.named and len(op.outputs) > 1:
            lines += ["", f"class {op.name}(NamedTuple):", *[f"    {name}: Tensor" for name in op.outputs]]
    for name, kind in sorted(WRITTEN.items()):
        lines += ["", f"class {name}(NamedTuple):", *[f"    {field}: Tensor" for field in kind._fields]]
    return "\n".join([*lines, ""])


def _kernels() -> str:
    """Numbers in, a number out; under `@njit` Numba finds the types itself."""
    lines = ['"""What type checkers see of `jitgrad.kernels`. Written by `python -m jitgrad.cli.stubs`."""', ""]
    for name in kernels.__all__:
        count = inspect.signature(scalar.KERNELS[name]["f64"]).parameters
        lines.append(f"def {name}({', '.join(f'{x}: float' for x in ('x', 'y')[: len(count)])}, /) -> float: ...")
    return "\n".join([*lines, ""])


def _attached() -> Iterator[tuple[str, Any]]:
    """The methods of `Tensor` that no class says itself, and its properties."""
    for name in dir(jg.Tensor):
        getattr(jg.Tensor, name)  # which makes it
    for name, method in (vars(Differentiable) | vars(jg.Tensor)).items():
        made = inspect.isfunction(method) and method.__qualname__.split(".")[0] not in ("Tensor", "Differentiable", "Values")
        if made or isinstance(method, property):
            yield name, method


def _property(name: str, found: property) -> str:
    result = _type(inspect.signature(found.fget).return_annotation, "Any")  # type: ignore[arg-type]
    setter = f"\n    @{name}.setter\n    def {name}(self, value: Any) -> None: ..." if found.fset else ""
    return f"@property\n    def {name}(self) -> {result}: ...{setter}"


def _stars(parameter: Parameter) -> str:
    return "*" if parameter.kind is Parameter.VAR_POSITIONAL else "**" if parameter.kind is Parameter.VAR_KEYWORD else ""


def _function(name: str, function: Any, method: bool = False) -> str:
    if isinstance(function, property):
        return _property(name, function)
    found = inspect.signature(function)
    parameters = list(found.parameters.values())
    if method:
        parameters = [Parameter("self", Parameter.POSITIONAL_ONLY), *[p for p in parameters[1:] if p.name != "out"]]
    texts, star = [], False
    for i, parameter in enumerate(parameters):
        star |= parameter.kind is Parameter.VAR_POSITIONAL
        if parameter.kind is Parameter.KEYWORD_ONLY and not star:
            texts.append("*")
            star = True
        texts.append("self" if method and not i else _parameter(parameter))
    if not method and function.__dict__.get("takes_out"):
        at = len(texts) - any(p.kind is Parameter.VAR_KEYWORD for p in parameters)
        texts[at:at] = [*([] if star else ["*"]), "out: Any = ..."]
    result = _type(found.return_annotation, "Tensor")
    ignored = _IGNORED.get(name, "")
    return f"def {name}({', '.join(texts)}) -> {result}: ...{ignored}"


def _parameter(parameter: Parameter) -> str:
    before = _stars(parameter)
    operand = parameter.name in ("input", "other", "x", "y") and not before
    default = "" if parameter.default is Parameter.empty else " = ..."
    known = _type(parameter.annotation, "Operand" if operand else "Any")
    return f"{before}{parameter.name}: {'Operand' if operand and known in ('Any', 'Tensor') else known}{default}"


def _type(annotation: Any, otherwise: str) -> str:
    if annotation is Parameter.empty:
        return otherwise
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    if text.startswith("return_types."):
        return f"_{text}"
    return _SHADOWED.sub(r"_\1", text) if _KNOWN.fullmatch(text) else "Any"


if __name__ == "__main__":
    if OFFERS.read_text(encoding="utf-8") != _offers():  # what is imported, and by what names, follows from it
        OFFERS.write_text(_offers(), encoding="utf-8")
        os.execv(sys.executable, [sys.executable, "-m", "jitgrad.cli.stubs"])
    for file, text in stubs().items():
        file.write_text(text, encoding="utf-8")
        print(f"wrote {file}")
