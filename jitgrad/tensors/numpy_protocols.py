"""NumPy's protocols: `np.sin(tensor)` and `array * tensor` record like `tensor.sin()` and `tensor * array`.

The rule: NumPy's functions give tensors of tensors, and mean what they mean to NumPy. Those that jitgrad has (see
`functions.for_numpy`) are recorded. Every other one, or one with arguments that are not had here, runs as NumPy's own on tensors
that have a value and do not require grad, and what arrays it makes come back as tensors; with others it is a `TypeError`.
Changes of arrays (`out=`, `array += tensor`) are NumPy's, changes of tensors are recorded as `copy_` is.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.base.namespaces import Later, Namespace
from jitgrad.base.tree import flatten, unflatten
from jitgrad.ops import TABLE
from jitgrad.ops.ufuncs import OF_OPERATORS
from jitgrad.record.apply import apply
from jitgrad.record.checking import RAW, is_meant, told
from jitgrad.record.promotion import complex_among
from jitgrad.record.weak import are_numbers, made_of_numbers, number, of_numpy
from jitgrad.tape.handle import Handle, make

UFUNCS: dict[Any, Any] = {op.ufunc: op for op in TABLE.values() if op.elementwise and op.ufunc is not None}
"""The ufuncs that are rows."""

_BETWEEN = frozenset({np.floor_divide, np.remainder, *[ufunc for ufunc in OF_OPERATORS.values() if ufunc.nin == 2]})

_OPERATORS = frozenset({np.floor_divide, np.remainder, *OF_OPERATORS.values()})
"""What an array does with a tensor beside it as an operator, `array % tensor`, by PyTorch's rules."""

_HOMES = {"numpy": "np.", "scipy.special": "scipy.special.", "scipy.special._ufuncs": "scipy.special."}
"""Where ufuncs are found, and how they are named."""

FUNCTIONS = Namespace()
"""Public functions by name, filled by `jitgrad.functions`."""

TABLE_OF_NUMPY = Later(lambda: None)
"""Gives the module of NumPy's functions by name, with NumPy's arguments, as `np.sum(tensor)` finds them, and of the methods of
ufuncs; `jitgrad.functions` says how it is imported, when one of them is given a tensor first."""

ARRAY_API = Later(lambda: None)
"""Gives the module of the array API standard, as tensors are asked for it."""

_COMPARISONS = frozenset({np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal})


@functools.lru_cache(maxsize=1024)
def _named(function: Callable) -> tuple[str, Callable | None]:
    """How NumPy's function is called, "np.linalg.norm", and what it does with tensors."""
    if isinstance(function, np.ufunc):
        homes = [
            short for module, short in _HOMES.items() if getattr(sys.modules.get(module), function.__name__, None) is function
        ]
        name = f"{homes[0] if homes else ''}{function.__name__.lstrip('_')}"
        known = bool(homes)
    else:
        name = f"{function.__module__.replace('numpy', 'np', 1)}.{function.__name__}"
        known = name.startswith("np.")
    return name, TABLE_OF_NUMPY().NUMPY.get(name.removeprefix("np.").removeprefix("scipy.")) if known else None


# Ufuncs.


def array_ufunc(self: Any, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """`ufunc(*inputs)`: as a recorded operation where there is one, else as NumPy's own; see `_plain`."""
    if ufunc in _COMPARISONS:  # `np.float64(0.1) < tensor` comes as an array, and means what `tensor > np.float64(0.1)` does
        inputs = tuple([x[()] if x.__class__ is np.ndarray and not x.ndim else x for x in inputs])
    if method != "__call__":
        return _method(ufunc, method, inputs, kwargs)
    try:
        found = _called(ufunc, inputs) if not kwargs else _with_arguments(ufunc, inputs, dict(kwargs))
    except RuntimeError as error:
        if type(error) not in _REFUSALS or (ufunc in _OPERATORS and not isinstance(inputs[0], Handle)):
            raise
        return _refused(ufunc, inputs, kwargs, error)
    return _numpys_own(ufunc, inputs, kwargs) if found is NotImplemented else found


def _numpys_own(ufunc: Any, inputs: tuple, kwargs: dict[str, Any]) -> Any:
    name, known = _named(ufunc)
    call = _chosen_later(ufunc) if "where" in kwargs and name.startswith("scipy.") else ufunc
    return _plain(name, known is not None or ufunc in UFUNCS, call, inputs, kwargs)


_REFUSALS = (RuntimeError, NotImplementedError)
"""Errors of an operation that does not take what it was given, and not of its use."""


def _refused(ufunc: Any, inputs: tuple, kwargs: dict[str, Any], error: RuntimeError) -> Any:
    """What NumPy's function does with operands that the operation of that name refuses: with bools as with the integers that
    NumPy takes them for, with others what NumPy's own does where no gradient is asked for. If NumPy refuses them too, it is an
    error of NumPy's type."""
    kinds = [_kind(x) for x in inputs]
    try:
        if isinstance(error, NotImplementedError) and not kwargs and ufunc.nout == 1 and np.dtype(np.bool_) in kinds:
            *wanted, made = ufunc.resolve_dtypes((*kinds, None))
            wanted = [np.int8 if dtype == np.bool_ else dtype for dtype in wanted]
            numbers = [TABLE_OF_NUMPY().cast(TABLE_OF_NUMPY().tensor_of(x, *inputs), dtype) for x, dtype in zip(inputs, wanted)]
            return TABLE_OF_NUMPY().cast(ufunc(*numbers), made)
        if _is_plain((*inputs, *kwargs.values())):
            return _numpys_own(ufunc, inputs, kwargs)
    except (TypeError, ValueError) as theirs:
        raise (ValueError if isinstance(theirs, ValueError) else TypeError)(str(error)) from None
    raise (TypeError if isinstance(error, NotImplementedError) else ValueError)(str(error)) from None


def _is_plain(args: Any) -> bool:
    """Whether all tensors among the arguments have values, of which no gradient is asked."""
    return all(x._value is not None and not x.requires_grad for x in args if isinstance(x, Handle))  # type: ignore[attr-defined]


def _chosen_later(ufunc: Any) -> Callable:
    """A ufunc of SciPy's, which is not told `where=`: it would write beyond its memory (scipy/scipy#25127)."""

    def call(*inputs: Any, where: Any, out: Any = None, **kwargs: Any) -> Any:
        found = ufunc(*inputs, **kwargs)
        several = found if isinstance(found, tuple) else (found,)
        for_all = [np.zeros(np.broadcast_shapes(np.shape(x), np.shape(where)), x.dtype) for x in several]
        outs = tuple([new if one is None else one for one, new in zip(out or (None,) * ufunc.nout, for_all)])
        for one, x in zip(outs, several):
            np.copyto(one, x, where=where, casting=kwargs.get("casting", "same_kind"))
        return outs if isinstance(found, tuple) else outs[0]

    return call


def _called(ufunc: Any, inputs: tuple) -> Any:
    """The result as a tensor; NotImplemented if there is no such operation."""
    op = UFUNCS.get(ufunc)  # where that is of real numbers alone there may be a function for complex ones
    function = _named(ufunc)[1] if op is None or (not op.on_complex and complex_among(inputs)) else None
    if ufunc is not np.matmul and any(isinstance(x, (list, tuple)) for x in inputs):
        inputs = tuple([TABLE_OF_NUMPY().tensor_of(x, *inputs) if isinstance(x, (list, tuple)) else x for x in inputs])
    if op is not None and function is None:
        return of_numpy(ufunc, op, _fitting(ufunc, inputs))
    return NotImplemented if function is None else function(*inputs)


def _with_arguments(ufunc: Any, inputs: tuple, kwargs: dict[str, Any]) -> Any:
    """The same with `out`, `where` and `dtype`; NotImplemented for others, and where an array is to be written into."""
    out, where, dtype = kwargs.pop("out", None), kwargs.pop("where", True), kwargs.pop("dtype", None)
    kwargs = {name: value for name, value in kwargs.items() if _LEFT_ALONE.get(name, value) != value or name not in _LEFT_ALONE}
    if ufunc.signature == _OF_VECTORS and "axis" in kwargs:
        axis = kwargs.pop("axis")
        inputs = tuple([np.moveaxis(x, axis, -1) for x in inputs])
    outs = (out if isinstance(out, tuple) else (out,)) if out is not None else (None,) * ufunc.nout
    if kwargs or any(isinstance(x, np.ndarray) for x in outs):
        return NotImplemented
    if not any(isinstance(x, Handle) for x in inputs):
        inputs = (TABLE_OF_NUMPY().tensor_of(inputs[0]), *inputs[1:])
    if dtype is not None:
        wanted = ufunc.resolve_dtypes(
            (*map(_kind, inputs), *[None] * ufunc.nout),
            signature=(*[None] * ufunc.nin, *[dtypes.to_numpy(dtype)] * ufunc.nout),
            casting="same_kind",
        )
        inputs = tuple([TABLE_OF_NUMPY().cast(TABLE_OF_NUMPY().tensor_of(x, *inputs), kind) for x, kind in zip(inputs, wanted)])
    if where is not True:
        inputs = tuple([_kept_apart(where, x) if isinstance(x, Handle) else x for x in inputs])
    found = _called(ufunc, inputs)
    if found is NotImplemented:
        return found
    several = found if isinstance(found, tuple) else (found,)
    if where is not True:
        several = tuple([TABLE_OF_NUMPY().chosen(where, x, 0 if one is None else one) for x, one in zip(several, outs)])
    several = tuple([x if one is None else written(one, x, ufunc.__name__) for x, one in zip(several, outs)])
    return several if isinstance(found, tuple) else several[0]


_OF_VECTORS = "(n),(n)->()"
"""The signature of the ufuncs that have one axis to name, which the result does not have."""
_LEFT_ALONE = {"casting": "same_kind", "order": "K", "subok": True}
"""Arguments of ufuncs that change nothing."""


def _kept_apart(where: Any, x: Any) -> Any:
    """An operand, of which no derivative is asked where the result is not used: it may be infinite there."""
    return TABLE_OF_NUMPY().chosen(where, x, x.detach()) if dtypes.has_gradient(x._held.dtype) else x


def written(out: Any, found: Any, name: str) -> Any:
    """A result in the tensor that was given for it, as NumPy writes it: of that shape, in that dtype, in place."""
    if any(n not in (1, m) for n, m in zip(found.shape[::-1], out.shape[::-1])) or found.ndim > out.ndim:
        raise ValueError(f"np.{name}: out has shape {tuple(out.shape)}, and the result {tuple(found.shape)}")
    if not np.can_cast(found._held.dtype, out._held.dtype, "same_kind"):
        raise TypeError(f"np.{name}: a result in {found.dtype.name} cannot be written to out, which is {out.dtype.name}")
    return out.copy_(found)


def _method(ufunc: Any, method: str, inputs: tuple, kwargs: dict[str, Any]) -> Any:
    """`ufunc.reduce(tensor)` and the like."""
    name, known = _named(ufunc)
    name = f"{name}.{method}"
    is_operation = known is not None or ufunc in UFUNCS
    outs = kwargs.get("out") or ()
    changes_array = (method == "at" and not isinstance(inputs[0], Handle)) or any(isinstance(x, np.ndarray) for x in outs)
    if not is_operation or changes_array or method not in TABLE_OF_NUMPY().METHODS:
        return _plain(name, False, getattr(ufunc, method), inputs, kwargs)
    out = kwargs.pop("out", (None,))
    found = TABLE_OF_NUMPY().METHODS[method](ufunc, *inputs, **kwargs)
    if found is NotImplemented:
        return _plain(name, False, getattr(ufunc, method), inputs, kwargs)
    return found if out[0] is None else written(out[0], found, name)


def _fitting(ufunc: Any, inputs: tuple) -> tuple:
    """The operands of a function of NumPy in the dtypes that NumPy computes in where none of them is of floats: `np.exp` of
    integers is in float64, as `Tensor.exp` is in the default dtype. Operators promote alike in either order."""
    kinds = [_kind(x) for x in inputs]
    if ufunc in _BETWEEN or are_numbers(*inputs) or any(_has_floats(kind) for kind in kinds):
        return inputs
    try:
        wanted = ufunc.resolve_dtypes((*kinds, *[None] * ufunc.nout))
    except TypeError:  # which the operation says in its own words
        return inputs
    cast = TABLE["cast"]
    return tuple(
        [
            apply(cast, (x,), {"dtype": dtype}) if isinstance(kind, np.dtype) and isinstance(x, Handle) and kind != dtype else x
            for x, kind, dtype in zip(inputs, kinds, wanted)
        ]
    )


def _kind(x: Any) -> Any:
    """What NumPy asks of an operand: a dtype, or the type of one of Python's numbers, which has no dtype of its own."""
    found = number(x)
    if found is not None:
        return np.dtype(found.kind) if issubclass(found.kind, np.generic) else found.kind
    return x._held.dtype if isinstance(x, Handle) else np.asarray(x).dtype


def _has_floats(kind: Any) -> bool:
    return isinstance(kind, np.dtype) and dtypes.is_known(kind) and dtypes.has_gradient(kind)


# Functions.


def array_function(self: Any, function: Callable, types: Any, args: Any, kwargs: Any) -> Any:
    """`np.function(tensor)`: as a recorded operation if there is one that takes these arguments, else as NumPy's own."""
    name, found = _named(function)
    if function in _CONVERSIONS and _is_plain(args):
        return _run(name, function, args, kwargs)[0]
    fitted = None if found is None else _arranged(function, found, args, kwargs)
    if fitted is not None:
        given, named, out = fitted
        try:
            result = found(*given, **named)  # type: ignore[misc]
        except RAW as error:
            raise told(function, error, args, kwargs, name) from (None if is_meant(error) else error)
        except NotImplementedError as error:
            leaves: list[Any] = []
            flatten((args, kwargs), leaves)
            if not _is_plain(leaves):
                raise TypeError(f"{name}: {error}") from None
            return _plain(name, True, function, args, kwargs)
        except RuntimeError as error:
            if type(error) is not RuntimeError:
                raise
            kind = np.linalg.LinAlgError if ".linalg." in name else ValueError
            raise kind(f"{name}: {_PREFIX.sub('', str(error))}") from None
        if result is not NotImplemented and out is not None:
            return written(out, result, function.__name__)
        if result is not NotImplemented:
            return result if kwargs else made_of_numbers(function, result, args)
    return _plain(name, found is not None, function, args, kwargs)


_PREFIX = re.compile(r"^[\w.]+: ")
"""The name that an error begins with."""

_CONVERSIONS = frozenset({np.atleast_1d, np.atleast_2d, np.atleast_3d})
"""What makes arrays of whatever there is, as `np.asarray` does: SciPy's solvers call these on what functions return."""


@functools.cache
def _signature(function: Callable) -> inspect.Signature:
    return inspect.signature(function)


@functools.cache
def _names(function: Callable) -> tuple[int, frozenset[str]]:
    """How many arguments a function takes by position, and all their names."""
    parameters = _signature(function).parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    return sys.maxsize if variadic else len(positional), frozenset(p.name for p in parameters)


def _arranged(function: Callable, found: Callable, args: tuple, kwargs: dict[str, Any]) -> tuple | None:
    """Positional and named arguments for what stands for NumPy's function, and the tensor that the result is for; None if
    there are some that it does not take, or an array is to be written into."""
    count, names = _names(found)
    open_ended = _takes_any(found)
    if len(args) <= count and (open_ended or names.issuperset(kwargs)):
        return args, kwargs, None
    wanted = _signature(function)
    try:
        given = wanted.bind(*args, **kwargs)
    except TypeError:
        return args, kwargs, None  # which the function says in its words
    out = given.arguments.pop("out", None)
    if out is not None and not isinstance(out, Handle):
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in wanted.parameters.values()):
        more = given.arguments.pop("kwargs", {}) | {k: v for k, v in given.arguments.items() if k in kwargs}
        out = more.pop("out", out)
        more = {k: v for k, v in more.items() if k in names}
        return (args, more, out) if set(kwargs) - {"out"} <= set(more) else None
    for name in [name for name in given.arguments if name not in names]:
        default = wanted.parameters[name].default
        value = given.arguments.pop(name)
        if value is not default and (isinstance(value, (Handle, np.ndarray)) or value != default):
            return None
    ours = inspect.BoundArguments(_signature(found), given.arguments)
    return ours.args, ours.kwargs, out


@functools.cache
def _takes_any(function: Callable) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in _signature(function).parameters.values())


def _plain(name: str, is_operation: bool, call: Callable, args: Any, kwargs: Any) -> Any:
    """What is no operation of jitgrad runs as NumPy's own, and the arrays that it makes come back as tensors."""
    given = ", ".join(kwargs) or "these arguments"
    made, leaves = _run(f"{name} with {given}" if is_operation else name, call, args, kwargs)
    kind = next(type(x) for x in leaves if isinstance(x, Handle))
    return _as_tensors(made, [x for x in leaves if isinstance(x, np.ndarray)], kind)


def _run(what: str, call: Callable, args: Any, kwargs: Any) -> tuple[Any, list[Any]]:
    """A call of NumPy's own, on the arrays of tensors that no gradient can be asked of; its result, and what it was given.

    Tensors that require grad are refused, since their gradient would end there, and those without a value as well.
    """
    leaves: list[Any] = []
    structure = flatten((args, kwargs), leaves)
    tensors = [x for x in leaves if isinstance(x, Handle)]
    if any(x._value is None for x in tensors):
        tensors[[x._value is None for x in tensors].index(True)]._concrete(what)  # type: ignore[attr-defined]
    if any(x.requires_grad for x in tensors):  # type: ignore[attr-defined]
        raise TypeError(
            f"{what} is not an operation of jitgrad, and through NumPy's own function no gradient flows to a tensor that "
            "requires it: write it in jitgrad's operations, or give a function of yours its derivative with jitgrad.custom_vjp "
            "or jitgrad.from_njit; where it is a constant of the computation, pass tensor.detach()"
        )
    given = iter([x.numpy() if isinstance(x, Handle) else x for x in leaves])  # type: ignore[attr-defined]
    plain_args, plain_kwargs = unflatten(structure, given)
    return call(*plain_args, **plain_kwargs), leaves


def _as_tensors(made: Any, kept: list, kind: Any) -> Any:
    """The arrays that a function made, as tensors; one that it was given is that array."""
    if isinstance(made, (np.ndarray, np.generic)):
        is_array = any(made is x for x in kept) or not dtypes.is_known(made.dtype)
        return made if is_array else make(kind, np.asarray(made)[()], None)
    if isinstance(made, (tuple, list)):
        parts = [_as_tensors(x, kept, kind) for x in made]
        return type(made)(*parts) if hasattr(made, "_fields") else type(made)(parts)
    return made


def array_namespace(tensor: Any, /, *, api_version: str | None = None) -> Any:
    """The functions of the Python array API standard, of tensors: the module `jitgrad.array_api`.

    ValueError for another version of the standard."""
    space = ARRAY_API()
    if api_version not in (None, space.__array_api_version__):
        raise ValueError(f"there is version {space.__array_api_version__} of the array API standard, not {api_version!r}")
    return space


def numba_type(tensor: Any) -> Any:
    """What Numba asks of an argument that it does not know (`_numba_type_`); Numba is imported only by those who use it."""
    from jitgrad.tensors.in_numba import type_of_tensor

    return type_of_tensor(tensor)
