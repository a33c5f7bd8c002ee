"""The public functions: one for each row of the op table, and those that are written by hand, by namespace and name.

None is made before it is asked for: see `base.namespaces`.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import itertools
from collections.abc import Callable
from typing import Any

from jitgrad.base.namespaces import Later, Namespace
from jitgrad.base.signals import importing
from jitgrad.functions import converting, generators
from jitgrad.functions.bind import bound
from jitgrad.functions.face import Face, face_of
from jitgrad.functions.homes import HOMES
from jitgrad.functions.offers import OFFERS
from jitgrad.functions.operands import accepting_arrays, taken
from jitgrad.ops import TABLE
from jitgrad.record.checking import RAW, is_meant, told
from jitgrad.record.weak import refuse_numbers
from jitgrad.tensors.numpy_protocols import FUNCTIONS, TABLE_OF_NUMPY
from jitgrad.tensors.out import into
from jitgrad.tensors.tensor import Tensor

NAMESPACES: dict[str, Namespace] = {"": FUNCTIONS} | {home: Namespace() for home in HOMES if home}
"""The functions by namespace, "" for the top, and name."""

METHODS: dict[str, Callable[[], Any]] = {}
"""Those that tensors have."""

WRITTEN: dict[str, Face] = {}
"""What is stated of those at the top, or methods, that are written by hand."""


def offer(name: str, make: Callable[[], Any]) -> None:
    """Put a function where users find it; the name may begin with a namespace."""
    home, _, own = name.rpartition(".")
    NAMESPACES[home].offered[own] = make


def at_top(names: tuple[str, ...]) -> list[str]:
    """Those of the names that are in no namespace."""
    return [name for name in names if "." not in name]


_NUMPYS = {"axis": "dim", "keepdims": "keepdim"}
_OPERANDS = ("input", "A")
"""What PyTorch calls the first operand: its documents and its functions do not always agree."""


def public(function: Callable, home: str = "") -> Callable:
    """The function, with NumPy's `axis` and `keepdims` accepted if it has a `dim`, arrays and numbers where it takes tensors
    (under `jit` they are tensors, so they are here), and errors told as `told` tells them."""
    code, kinds = function.__code__, function.__annotations__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    exact = face_of(function).exact
    count = len(list(itertools.takewhile(lambda name: kinds.get(name) == "Tensor", names[: function.__code__.co_argcount])))
    renames = (_NUMPYS if "dim" in names else {}) | {name: names[0] for name in _OPERANDS if count and name not in names}

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            if "out" in kwargs and "out" not in names:
                out = kwargs.pop("out")
                found = call(*args, **kwargs)
                asked = exact or ("dtype" in names and kwargs.get("dtype") is not None)
                return found if out is None else into(out, found, function.__name__, asked)
            if renames:
                kwargs = {renames.get(name, name): value for name, value in kwargs.items()}
        try:
            for x in args[:count]:
                if x.__class__ is not Tensor or (x._value is None and count > 1):
                    if count > 1:
                        refuse_numbers(function.__name__, args[:count])
                    args = (*[taken(given, args[:count]) for given in args[:count]], *args[count:])
                    break
            return function(*args, **kwargs)
        except RAW as error:
            raise told(function, error, args, kwargs) from (None if is_meant(error) else error)

    call.__dict__["takes_out"] = "out" not in names and home != "nn.functional"
    return call


def _written(home: str, module: str, name: str, bare: bool) -> Any:
    function = getattr(_imported(module), name)
    return function if bare else public(function, home)


def _offer_written(home: str, module: str, name: str, fact: Face) -> None:
    make = Later(functools.partial(_written, home, module, name, fact.bare))
    for each in [*([f"{home}.{name}"] if home else []), *([name] if fact.top else []), *fact.aliases]:
        offer(each, make)
    for each in {name, *at_top(fact.aliases)}:
        if fact.top or fact.method:
            WRITTEN[each] = fact
        if fact.method:
            METHODS[each] = make


def _imported(name: str) -> Any:
    with importing(whole := f"jitgrad.functions.{name}"):
        return importlib.import_module(whole)


def _as_it_is(function: Any) -> Any:
    return function


for _op in TABLE.values():
    if not _op.internal and not _op.variadic:
        _make = Later(functools.partial(bound, _op, accepting_arrays))
        for _name in (f"{_op.namespace}.{_op.name}".lstrip("."), *_op.aliases):
            offer(_name, _make)
_ROWS = dict(FUNCTIONS.offered)
for _home, _modules in HOMES.items():
    for _module in _modules:
        for _name, _fact in OFFERS.get(_module, {}).items():
            _offer_written(_home, _module, _name, _fact)
TABLE_OF_NUMPY.make = functools.partial(_imported, "for_numpy")
METHODS |= {name: make for name, make in _ROWS.items() if name not in WRITTEN}
for _name, _made in converting.FUNCTIONS.items():
    offer(_name, Later(functools.partial(public if inspect.isfunction(_made) else _as_it_is, _made)))
for _name in ("Generator", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"):
    offer(_name, functools.partial(getattr, generators, _name))
