"""`save` and `load`: nested tensors, arrays and numbers in one file of safetensors, with nothing in it that could run.

The format is that of https://github.com/huggingface/safetensors: tensors by name, and texts beside them. The names are the places
in the tree, so those of a plain dict of tensors are its keys, as everybody else expects them. How the tree is nested, and what is
no tensor, is JSON in the text `jitgrad`; of a file without it the tensors are loaded into a dict.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.devices.cuda import placed
from jitgrad.devices.device import Device
from jitgrad.devices.moving import place_of
from jitgrad.dtypes import DType
from jitgrad.errors import DamagedFileError
from jitgrad.record.leaving import is_taken, refuse_masked
from jitgrad.tape.device_array import DeviceArray
from jitgrad.tensors.size import Size
from jitgrad.tensors.tensor import Tensor, wrap

_TEXT = "jitgrad"
"""The text in a file that says how the tree is nested."""
_KINDS = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8")
_CODES: dict[str, np.dtype] = {f"{name[0].upper()}{np.dtype(name).itemsize * 8}": np.dtype(name) for name in _KINDS}
_CODES |= {"BOOL": np.dtype(bool), "C64": np.dtype(np.complex64)}
_CODES |= {"BF16": dtypes.ALL["bfloat16"].numpy} if "bfloat16" in dtypes.ALL else {}
"""The dtypes in files. Complex numbers are written as pairs of floats, since there is no complex128, and JSON says so."""
_PLAIN = (type(None), bool, int, str)
_NAMED = {float: "float", complex: "complex", DType: "dtype", Device: "device"}
_LEAVES: dict[str, Callable[[Any], Any]] = {"float": float, "complex": complex, "dtype": dtypes.by_name, "device": Device}
"""What is a text: floats that are not finite, and what JSON has no place for."""
_SEQUENCES: dict[str, Any] = {"tuple": tuple, "Size": Size}
_MAPPINGS: dict[str, Any] = {"dict": dict, "OrderedDict": OrderedDict, "Counter": Counter}
_FOREIGN = {
    b"PK\x03\x04": "by torch.save or numpy.savez, as an archive: load it there, and save a dict of its tensors by jitgrad.save",
    b"\x80": "by pickle, which can run anything, so it is not read: load it where it was saved, and save it by jitgrad.save",
    b"\x93NUMPY": "by numpy.save: load it by numpy.load",
}
"""How files of others begin, and what to do with them."""


def save(obj: Any, file: Any) -> None:
    """Write tensors, arrays, numbers, strings and None, nested in dicts, lists and tuples, into a file of safetensors.

    That is what a `state_dict()` is. `file` is a path, or an object with `write`. Of a tensor dtype, shape, device and whether it
    requires grad are kept; one that stands in several places is written once, and views are written each on their own. Of a
    tensor with a history the values are written, which is a leaf when loaded. Complex tensors are written as pairs of numbers.
    A plain dict of tensors can be read by every program that reads safetensors, and nothing in such a file can run.

    Raises `TypeError` for what has no place in it, a function or an object, and says where that stands; `ValueError` for what
    contains itself; `ImportError` without the package safetensors (`pip install 'jitgrad[safetensors]'`); `OSError` if the file
    cannot be written.

    >>> import jitgrad, io
    >>> file = io.BytesIO()
    >>> jitgrad.save({"w": jitgrad.ones(2, requires_grad=True), "lr": 0.1, "betas": (0.9, 0.999)}, file)
    >>> _ = file.seek(0)
    >>> jitgrad.load(file)
    {'w': tensor([1., 1.], requires_grad=True), 'lr': 0.1, 'betas': (0.9, 0.999)}
    """
    library = _library()
    writer = _Writer()
    tree = json.dumps(writer.node(obj, (), ()), allow_nan=False, separators=(",", ":"))
    content = library.save(writer.arrays, {_TEXT: tree})
    if hasattr(file, "write"):
        file.write(content)
        return
    with open(os.fspath(file), "wb") as opened:
        opened.write(content)


def load(file: Any, map_location: Any = None) -> Any:
    """What `save` wrote into a file: the same tree, with tensors on the devices that they were on, or all on `map_location`.

    `file` is a path, or an object with `read`. A file of safetensors that others wrote is a dict of tensors. Nothing is run.

    Raises `DamagedFileError` (a `ValueError`) for a file that is cut short or none of safetensors, such as one of `torch.save`;
    `RuntimeError` if there is no such device, `TypeError` for dtypes that jitgrad lacks; `OSError` if it cannot be read;
    `ImportError` without the package safetensors, or without ml_dtypes if there is a tensor of bfloat16.

    >>> import jitgrad, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "state.safetensors"
    >>> w = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    >>> jitgrad.save(jitgrad.optim.SGD([w], lr=0.5).state_dict(), path)
    >>> jitgrad.load(path)["param_groups"][0]["lr"]
    0.5
    """
    place = None if map_location is None else place_of(map_location)
    _library()
    if hasattr(file, "read"):
        what, content = getattr(file, "name", "the file"), file.read()
    else:
        with open(os.fspath(file), "rb") as opened:
            what, content = os.fspath(file), opened.read()
    if not isinstance(content, (bytes, bytearray)):
        raise TypeError(f"load reads bytes, and {what} gives {type(content).__name__}: open it in binary mode, 'rb'")
    arrays, text = _taken_apart(bytes(content), what)
    reader = _Reader(arrays, place)
    if text is None:
        return {name: reader.tensor(name, {}) for name in arrays}
    with _damage_told(what, RecursionError, LookupError, AttributeError, TypeError, ValueError):
        return reader.tree(json.loads(text))


def _library() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "files are written and read by the package safetensors, which is not installed: pip install 'jitgrad[safetensors]'"
        ) from error
    return safetensors.numpy


@contextlib.contextmanager
def _damage_told(what: str, *kinds: type[Exception]) -> Any:
    try:
        yield
    except kinds as error:
        if isinstance(error, DamagedFileError):
            raise
        raise DamagedFileError(f"{what} is damaged, cut short, or no file of safetensors: save it again") from error


def _taken_apart(content: bytes, what: str) -> tuple[dict[str, np.ndarray], str | None]:
    """The arrays in a file, by name, and the text that says how they are nested."""
    from safetensors import SafetensorError, deserialize

    for start, how in _FOREIGN.items():
        if content.startswith(start) and content[8:9] != b"{":  # where a header begins, whatever its length looks like
            raise DamagedFileError(f"{what} is no file of safetensors: it was written {how}")
    with _damage_told(what, SafetensorError):
        found = sorted(deserialize(content))
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    arrays = {name: np.ndarray(held["shape"], _dtype(held["dtype"], name), held["data"]) for name, held in found}
    return arrays, header.get("__metadata__", {}).get(_TEXT)


def _dtype(code: str, name: str) -> np.dtype:
    if code == "BF16" not in _CODES:
        raise ImportError(
            f"the tensor {name!r} in the file is of bfloat16, which needs ml_dtypes: pip install 'jitgrad[bfloat16]'"
        )
    if code not in _CODES:
        raise TypeError(f"the tensor {name!r} in the file is of dtype {code}, which jitgrad does not have")
    return _CODES[code]


class _Writer:
    """Makes JSON of a tree, and collects its arrays. A place in the tree is the tuple of keys that lead there."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self.written: dict[int, Any] = {}

    def node(self, x: Any, place: tuple[Any, ...], above: tuple[int, ...]) -> Any:
        """JSON for a part of the tree, which stands at `place` in parts of the ids `above`."""
        kind = type(x)
        if kind in _PLAIN:
            return x
        if kind is float and math.isfinite(x):
            return x
        if kind in _NAMED:
            return {_NAMED[kind]: getattr(x, "name", None) or (str(x) if kind is Device else repr(x))}
        if isinstance(x, (Tensor, np.ndarray, np.generic)):
            return self.array(x, place)
        if id(x) in above:
            raise ValueError(f"save: {_at(place)} contains itself, and a file has no place for that")
        above = (*above, id(x))
        if kind is list or kind in _SEQUENCES.values():
            parts = [self.node(part, (*place, i), above) for i, part in enumerate(x)]
            return parts if kind is list else {kind.__name__: parts}
        if kind in _MAPPINGS.values():
            pairs = [[self.key(key, place), self.node(part, (*place, key), above)] for key, part in x.items()]
            return {kind.__name__: pairs}
        raise TypeError(
            f"save: {_at(place)} is {_shown(x)}, and a file holds tensors, arrays, numbers, strings and None in dicts, lists and "
            "tuples: leave it out, or save what it is made of"
        )

    def key(self, key: Any, place: tuple[Any, ...]) -> Any:
        """JSON for a key of a dict: what is hashable and holds no array."""
        if type(key) is tuple:
            return {"tuple": [self.key(part, place) for part in key]}
        if type(key) not in _PLAIN and type(key) not in _NAMED:
            raise TypeError(f"save: {_at(place)} has a key that is {_shown(key)}: keys are strings, numbers and tuples of them")
        return self.node(key, place, ())

    def array(self, x: Any, place: tuple[Any, ...]) -> Any:
        """JSON for a tensor or an array, which is put among those that are written."""
        if id(x) in self.written:
            return self.written[id(x)][0]
        which = "tensor" if isinstance(x, Tensor) else "array" if isinstance(x, np.ndarray) else "number"
        facts, value = _known(x, place) if isinstance(x, Tensor) else ({}, x)
        refuse_masked(value)
        value = np.asarray(value, order="C")
        if value.dtype.kind == "c" and value.dtype.itemsize <= 16:
            facts["complex"] = True
            value = value[..., None].view(dtypes.real_of(value.dtype))
        plain = value.dtype.newbyteorder("=")
        if plain not in _CODES.values():
            raise TypeError(
                f"save: {_at(place)} is an array of dtype {value.dtype}, and a file of safetensors has no such: convert it"
            )
        name = self.named(place)
        self.arrays[name] = value.astype(plain, copy=False)
        self.written[id(x)] = {which: name, **facts}, x  # held, so that its id stays its own
        return self.written[id(x)][0]

    def named(self, place: tuple[Any, ...]) -> str:
        """The name of a tensor in the file: the keys that lead to it, with points between them."""
        plain = ".".join(map(str, place)) or "tensor"
        names = itertools.chain([plain], (f"{plain}#{n}" for n in itertools.count(2)))
        return next(name for name in names if name not in self.arrays and name != "__metadata__")


def _known(x: Tensor, place: tuple[Any, ...]) -> tuple[dict[str, Any], Any]:
    """What is to be kept of a tensor, and its value on the host."""
    if is_taken(x):
        raise RuntimeError(f"save: {_at(place)} is a tensor whose derivative is being taken: detach() it first")
    value = x._concrete("save")
    facts = ({"requires_grad": True} if x.requires_grad else {}) | ({"on": str(x.device)} if x.is_cuda else {})
    return facts, value.to_host() if isinstance(value, DeviceArray) else value


def _at(place: tuple[Any, ...]) -> str:
    return "obj" + "".join([f"[{key!r}]" for key in place])


def _shown(x: Any) -> str:
    name = getattr(x, "__qualname__", "")
    return f"{type(x).__name__} {name}" if name else f"an object of {type(x).__module__}.{type(x).__qualname__}"


class _Reader:
    """Makes a tree of JSON and arrays."""

    def __init__(self, arrays: dict[str, np.ndarray], place: Device | None) -> None:
        self.arrays, self.place = arrays, place
        self.found: dict[str, Any] = {}

    def tree(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.tree(part) for part in node]
        if not isinstance(node, dict):
            return node
        (kind, given), *_ = node.items()
        if kind in _SEQUENCES:
            return _SEQUENCES[kind](self.tree(given))
        if kind in _MAPPINGS:
            return _MAPPINGS[kind]({self.tree(key): self.tree(part) for key, part in given})
        if kind in _LEAVES:
            return _LEAVES[kind](given)
        if given not in self.found:
            self.found[given] = self.tensor(given, node) if kind == "tensor" else self.value(given, node)
        found = self.found[given]
        return found[()] if kind == "number" else found

    def value(self, name: str, facts: dict[str, Any]) -> np.ndarray:
        value = self.arrays[name]
        return value.view(dtypes.complex_of(value.dtype))[..., 0] if facts.get("complex") else value

    def tensor(self, name: str, facts: dict[str, Any]) -> Tensor:
        value = self.value(name, facts)
        dtypes.of(value.dtype)  # a TypeError for those that jitgrad lacks
        place = self.place
        if place is None and "on" in facts:
            try:
                place = place_of(facts["on"])
            except RuntimeError as error:
                raise RuntimeError(f"load: the tensor {name!r} was on a GPU: {error}; or say map_location='cpu'") from error
        out = wrap(placed(value[()], place))
        return out.requires_grad_() if facts.get("requires_grad") else out
