"""`functional_call`: an object that holds parameters, called with others."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """`module(*args, **kwargs)` with the tensors of a mapping in the place of those that it holds.

    `module` is any object that can be called and whose attributes are tensors, by names as "weight" or "layers.0.weight" (an
    attribute, an index, a key); they are put back afterwards. So parameters are an argument, and every transform works in
    them. A plain function gets the mapping as its first argument. A mapping may be several. With `tie_weights` a tensor that is
    held by several names is replaced at all of them, where the object tells its names by `named_parameters()`, and with
    `strict` the mapping must name all of these.

    Raises `ValueError` for a name in two mappings, `RuntimeError` for one that the object does not have.

    >>> import jitgrad
    >>> class Scale:
    ...     def __init__(self):
    ...         self.factor = jitgrad.tensor(1.0)
    ...     def __call__(self, x):
    ...         return self.factor * x
    >>> loss = lambda params, x: jitgrad.func.functional_call(Scale(), params, (x,))
    >>> jitgrad.grad(loss)({"factor": jitgrad.tensor(2.0)}, jitgrad.tensor(3.0))
    {'factor': tensor(3.)}
    """
    given = [parameter_and_buffer_dicts] if isinstance(parameter_and_buffer_dicts, Mapping) else parameter_and_buffer_dicts
    if not callable(module):
        raise TypeError(f"functional_call: module must be something to call, not {type(module).__name__}")
    if not isinstance(given, (list, tuple)) or not all(isinstance(each, Mapping) for each in given):
        raise TypeError(f"functional_call takes a mapping of names to tensors, or several of them, not {type(given).__name__}")
    merged: dict[str, Any] = {}
    for each in given:
        twice = merged.keys() & each.keys()
        if twice:
            raise ValueError(f"functional_call: {', '.join(sorted(twice))} is in two mappings: name each tensor once")
        merged.update(each)
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    if inspect.isroutine(module):
        return module(merged, *args, **(kwargs or {}))
    names = dict(module.named_parameters()) if hasattr(module, "named_parameters") else {}
    if strict and (missing := names.keys() - merged.keys()):
        raise RuntimeError(f"functional_call: {', '.join(sorted(missing))} of the object is not in the mapping, and strict=True")
    if tie_weights:
        places = {id(names[name]): name for name in merged if name in names}
        merged |= {name: merged[places[id(x)]] for name, x in names.items() if name not in merged and id(x) in places}
    with _replaced(module, merged):
        return module(*args, **(kwargs or {}))


@contextmanager
def _replaced(module: Any, tensors: Mapping[str, Any]) -> Iterator[None]:
    before: list[tuple[Any, str, Any]] = []
    try:
        for name, x in tensors.items():
            *path, last = name.split(".")
            owner = module
            for part in path:
                owner = _part(owner, part, name)
            before.append((owner, last, _part(owner, last, name)))
            _set(owner, last, x)
        yield
    finally:
        for owner, last, x in reversed(before):
            _set(owner, last, x)


def _part(owner: Any, name: str, whole: str) -> Any:
    """An attribute of an object, or what is at an index or a key."""
    if hasattr(owner, name):
        return getattr(owner, name)
    try:
        return owner[int(name) if name.isdigit() and not isinstance(owner, Mapping) else name]
    except (TypeError, LookupError):
        raise RuntimeError(f"functional_call: there is no {whole}: {type(owner).__name__} has no {name}") from None


def _set(owner: Any, name: str, x: Any) -> None:
    if hasattr(owner, name):
        setattr(owner, name, x)
    else:
        owner[int(name) if name.isdigit() and not isinstance(owner, Mapping) else name] = x
