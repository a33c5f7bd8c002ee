"""What leads from a tensor out to Python and NumPy: numbers, lists, arrays, text. The trace that records takes note."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.devices.dlpack import capsule_of, place_of
from jitgrad.devices.exchange import cuda_interface, shared
from jitgrad.errors import LeakedTraceError, TracedValueError
from jitgrad.ops import choosing
from jitgrad.record.apply import apply
from jitgrad.record.leaving import as_number, text
from jitgrad.record.trace import current_trace, leaked, lifting
from jitgrad.record.weak import number
from jitgrad.tape.device_array import DeviceArray
from jitgrad.tape.handle import Handle, own_memory
from jitgrad.tape.tape import short_type
from jitgrad.tensors.cures import cure
from jitgrad.tensors.declared import Declared
from jitgrad.tensors.numpy_protocols import array_function, array_namespace, array_ufunc, numba_type
from jitgrad.tensors.printing import format_tensor


def _python(value: Any) -> Any:
    """The Python number that an array of one element, or NumPy's number, is."""
    number = value.item()
    return number if value.dtype.kind != "V" else float(number)  # bfloat16 has no number of Python's for `item`


class Values(Declared):
    """The part of `Tensor` that gives its values."""

    __slots__ = ()

    def _concrete(self, what: str) -> Any:
        if self._value is None:
            if current_trace.get() is None:
                raise LeakedTraceError(f"{what} of {leaked(self._row)}")
            asked, instead = cure(what)
            raise TracedValueError(
                f"{asked} needs the value of a tensor of shape {list(self._row.shape)}, and under jit and vmap there is none "
                f"yet, since the function is recorded once and run later: {instead}"
            )
        return self._value

    def _known(self, what: str) -> Any:
        """The value, where it becomes a Python number or several."""
        value = self._concrete(what)
        trace = current_trace.get() if lifting else None
        if trace is not None and trace.lifts:
            trace.note_look(self)
        return value

    def _note(self, name: str, value: Any) -> None:
        """Let the trace, if there is one, know what an attribute was."""
        trace = current_trace.get()
        if trace is not None and trace.lifts:
            trace.note_attribute(self, name, value)

    def item(self) -> Any:
        """The value of a tensor of one element as a Python number; RuntimeError for several elements."""
        if self._row is not None:
            as_number(self, "item()")
        return self._item("item()")

    def _item(self, what: str) -> Any:
        value = self._known(what)
        if value.size != 1:
            raise RuntimeError(
                f"a tensor with {value.size} elements (shape {list(value.shape)}) is not one number: "
                "reduce or index it first, or use tolist()"
            )
        return _python(value)

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        value = self._known("tolist()")
        as_number(self, "tolist()")
        return value.tolist() if value.ndim else _python(value)

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The values as a NumPy array that shares memory; RuntimeError if the tensor requires grad, unless `force`."""
        if isinstance(self._concrete("numpy()"), DeviceArray):
            self._value.__array__()
        if self.requires_grad and not force:
            raise RuntimeError(
                "a tensor that requires grad cannot become a NumPy array, through which no gradient goes: use "
                "operations of jitgrad's, such as stack([x, y]) for np.array([x, y]). (Where no gradient is "
                "meant to go, say so with tensor.detach())"
            )
        storage = own_memory(self)
        storage.export()
        trace = current_trace.get() if lifting else None
        if trace is not None and trace.lifts:
            trace.note_exported(self)
        return self._value.view()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is True and not self.requires_grad:
            array = np.array(self._known("np.array()"))
        else:
            array = self.numpy()
        return array if dtype is None or array.dtype == dtype else array.astype(dtype)

    def __dlpack__(self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None) -> Any:
        """The values for another library, by the protocol DLPack, without a copy: `torch.from_dlpack(x)`, `numpy.from_dlpack(x)`.

        `stream` is that which the other library will use a GPU by; it waits for what is computed here now.
        BufferError if the tensor requires grad.
        """
        if self.requires_grad:
            raise BufferError(
                "a tensor that requires grad cannot be shared, as no gradient goes through it: call detach() on it first"
            )
        kept = self._concrete("__dlpack__()") if copy else shared(self, "__dlpack__()")
        return capsule_of(np.asarray(kept) if isinstance(kept, np.generic) else kept, stream, max_version, dl_device, copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Where the values are, as DLPack says it: (1, 0) is the CPU, (2, n) GPU n."""
        return place_of(self._concrete("__dlpack_device__()"))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Where the values are on a GPU, for libraries such as CuPy and Numba, which share them.

        AttributeError on the CPU, RuntimeError if the tensor requires grad, TypeError for bfloat16.
        """
        if not isinstance(self._value, DeviceArray):
            raise AttributeError(
                "only a tensor on a GPU has __cuda_array_interface__, and this one is not: call cuda() on it first"
            )
        if self.requires_grad:
            raise RuntimeError(
                "a tensor that requires grad cannot be shared, as no gradient goes through it: call detach() on it first"
            )
        return cuda_interface(shared(self, "__cuda_array_interface__"))

    __array_ufunc__ = array_ufunc
    __array_namespace__ = array_namespace
    __array_function__ = array_function
    _numba_type_ = property(numba_type)

    def __bool__(self) -> bool:
        trace = current_trace.get() if lifting else None
        guarded = trace if trace is not None and trace.lifts else None
        size = self._concrete("bool()").size if guarded is None else math.prod(self._held.shape)
        if size != 1:
            raise RuntimeError(f"the truth of a tensor with {size} elements is ambiguous: use .any() or .all()")
        known = None if guarded is None else guarded.truth(self)
        return bool(self._known("bool()")) if known is None else known

    def _number(self, what: str) -> Any:
        value = self._known(what)
        if self._row is not None:
            as_number(self, what)
        if value.size != 1:
            raise ValueError(f"{what} takes one number, and this tensor has {value.size} elements (shape {list(value.shape)})")
        return _python(value)

    def _real_number(self, what: str) -> Any:
        found = self._number(what)
        if isinstance(found, complex):
            if found.imag:
                raise RuntimeError(f"{what} takes a real number, and this one is {found}: take .real or abs() first")
            return found.real
        return found

    def __float__(self) -> float:
        return float(self._real_number("float()"))

    def __int__(self) -> int:
        return int(self._real_number("int()"))

    def __trunc__(self) -> int:
        return int(self._number("math.trunc()"))

    def __complex__(self) -> complex:
        return complex(self._number("complex()"))

    def as_integer_ratio(self) -> tuple[int, int]:
        """The number as a fraction, as `statistics` and `fractions` ask for it."""
        return self._number("as_integer_ratio()").as_integer_ratio()

    def __index__(self) -> int:
        value = self._known("an index")
        if value.size != 1 or value.dtype.kind not in "iub":
            held = f"{value.dtype.name}{list(value.shape)}"
            raise TypeError(f"an index or a count must be an int or an integer tensor of one element, not {held}")
        return int(value.item())

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return iter([self[i] for i in range(len(self))])  # type: ignore[index]

    def __contains__(self, item: Any) -> bool:
        if not isinstance(item, (Handle, bool, int, float, complex, np.generic)):
            raise RuntimeError(f"a tensor contains numbers, not {type(item).__name__}")
        return bool(apply(choosing.eq, (self, item)).any())

    def __format__(self, spec: str) -> str:
        if self.ndim == 0 and self._value is not None:
            return text(self, format(self._item("a format"), spec))
        if spec and self.ndim == 0:
            self._concrete("a format")
        if spec:
            raise TypeError(f"a tensor of shape {list(self.shape)} does not take the format {spec!r}: use item() for a number")
        return str(self)

    def __repr__(self) -> str:
        if self._value is None:
            if number(self) is not None:  # its text may lead anywhere, and is that of no tensor
                self._concrete("the text of a number")
            return f"tensor(<traced {short_type(self._row)}>)"
        suffixes = []
        if self.grad_fn is not None:
            suffixes.append(f"grad_fn={self.grad_fn!r}")
        elif self.requires_grad:
            suffixes.append("requires_grad=True")
        plain = self.dtype in (
            dtypes.get_default_dtype(),
            dtypes.ALL["int64"],
            dtypes.ALL["bool"],
            dtypes.of(dtypes.default_complex()),
        )
        value, name, device = self._value, repr(self.dtype), ""
        if isinstance(value, DeviceArray):
            value, device = value.to_host(), value.device
        return format_tensor(np.asarray(value), dtype_name=name, shows_dtype=not plain, suffixes=suffixes, device=device)
