"""From Python into generated code: C functions, generated themselves, that take a function's address and its table.

A call through ctypes costs over a microsecond with eight integers and as much again for each ``array.ctypes.data``.
These take 70 ns with eight arrays, 100 with eight addresses (EPYC Zen 3, CPython 3.11).
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["METH_FASTCALL", "METH_O", "Trampolines", "builtin", "layout_known", "make_trampolines", "through_ctypes"]


class Trampolines(NamedTuple):
    """Ways from Python into generated code.

    call(address, *arguments): calls ``void f(int64_t *table)`` at ``address`` with the arguments as its table: an int
        is itself, an ndarray (no subclass) the address of its first element, whatever its dtype, layout and flags.
        TypeError for anything else, NumPy's integers included; OverflowError beyond 64 bits signed. Nothing checks
        that the function stays within the arrays. Keeps the GIL.
    call_nogil: the same without the GIL while the function runs; 30 ns more.
    address_of(array): the address of an ndarray's first element (also of its subclasses); TypeError for anything else.
    generated: whether these are machine code, or ctypes and Python where the interpreter is not CPython with a GIL.
    """

    call: Callable[..., None]
    call_nogil: Callable[..., None]
    address_of: Callable[[np.ndarray], int]
    generated: bool


# A table of up to 128 entries lies on the stack, a longer one on the heap. {type} and {data} are offsets in PyObject and
# PyArrayObject: the type is the last field of every object's head, an array's data pointer its first own field, which
# NumPy's C ABI fixes (PyArray_DATA is inlined in every extension module).
_TYPE_AT, _DATA_AT = object.__basicsize__ - 8, object.__basicsize__
_DECLARATIONS = """
declare i64 @PyLong_AsSsize_t(ptr)
declare ptr @PyErr_Occurred()
declare i32 @PyErr_BadArgument()
declare void @Py_IncRef(ptr)
declare ptr @PyMem_Malloc(i64)
declare void @PyMem_Free(ptr)
declare ptr @PyErr_NoMemory()
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare ptr @PyLong_FromSsize_t(i64)
declare i32 @PyType_IsSubtype(ptr, ptr)
@jitgrad_none = external global i8
@jitgrad_ndarray = external global i8
"""

_CALL = """
define ptr @{name}(ptr %self, ptr %args, i64 %nargs) {{
entry:
  %stack = alloca [128 x i64], align 16
  %given = icmp sgt i64 %nargs, 0
  br i1 %given, label %function, label %none_given
none_given:
  %bad = call i32 @PyErr_BadArgument()
  ret ptr null
function:
  %first = load ptr, ptr %args
  %address = call i64 @PyLong_AsSsize_t(ptr %first)
  %callee = inttoptr i64 %address to ptr
  %doubtful = icmp slt i64 %address, 1
  br i1 %doubtful, label %check, label %fits
check:
  %why = call ptr @PyErr_Occurred()
  %raised = icmp ne ptr %why, null
  br i1 %raised, label %error, label %none_given
fits:
  %small = icmp sle i64 %nargs, 129
  br i1 %small, label %fill, label %heap
heap:
  %bytes = shl i64 %nargs, 3
  %memory = call ptr @PyMem_Malloc(i64 %bytes)
  %got = icmp ne ptr %memory, null
  br i1 %got, label %fill, label %no_memory
no_memory:
  %unused = call ptr @PyErr_NoMemory()
  ret ptr null
fill:
  %table = phi ptr [%stack, %fits], [%memory, %heap]
  br label %next
next:
  %i = phi i64 [1, %fill], [%i1, %set]
  %more = icmp slt i64 %i, %nargs
  br i1 %more, label %argument, label %ready
argument:
  %slot = getelementptr ptr, ptr %args, i64 %i
  %object = load ptr, ptr %slot
  %type_at = getelementptr i8, ptr %object, i64 {type}
  %type = load ptr, ptr %type_at
  %is_array = icmp eq ptr %type, @jitgrad_ndarray
  br i1 %is_array, label %array, label %integer
array:
  %data_at = getelementptr i8, ptr %object, i64 {data}
  %data = load i64, ptr %data_at
  br label %set
integer:
  %value = call i64 @PyLong_AsSsize_t(ptr %object)
  %odd = icmp eq i64 %value, -1
  br i1 %odd, label %suspect, label %set
suspect:
  %occurred = call ptr @PyErr_Occurred()
  %fine = icmp eq ptr %occurred, null
  br i1 %fine, label %set, label %failed
set:
  %entry_value = phi i64 [%data, %array], [%value, %integer], [-1, %suspect]
  %before = sub i64 %i, 1
  %place = getelementptr i64, ptr %table, i64 %before
  store i64 %entry_value, ptr %place
  %i1 = add i64 %i, 1
  br label %next
ready:
  {save}
  call void %callee(ptr %table)
  {restore}
  call void @Py_IncRef(ptr @jitgrad_none)
  br i1 %small, label %done, label %free
free:
  call void @PyMem_Free(ptr %table)
  br label %done
done:
  ret ptr @jitgrad_none
failed:
  br i1 %small, label %error, label %free_failed
free_failed:
  call void @PyMem_Free(ptr %table)
  br label %error
error:
  ret ptr null
}}
"""

_ADDRESS_OF = """
define ptr @address_of(ptr %self, ptr %object) {{
entry:
  %type_at = getelementptr i8, ptr %object, i64 {type}
  %type = load ptr, ptr %type_at
  %exact = icmp eq ptr %type, @jitgrad_ndarray
  br i1 %exact, label %array, label %ask
ask:
  %answer = call i32 @PyType_IsSubtype(ptr %type, ptr @jitgrad_ndarray)
  %derived = icmp ne i32 %answer, 0
  br i1 %derived, label %array, label %other
array:
  %data_at = getelementptr i8, ptr %object, i64 {data}
  %data = load i64, ptr %data_at
  %result = call ptr @PyLong_FromSsize_t(i64 %data)
  ret ptr %result
other:
  %bad = call i32 @PyErr_BadArgument()
  ret ptr null
}}
"""


class _MethodDef(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("method", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


METH_O, METH_FASTCALL = 0x8, 0x80
_kept: list[Any] = []  # method definitions and the machine code under them: needed until the process ends


def builtin(name: str, address: int, flags: int, kernel: Any) -> Any:
    """The C function at an address in `kernel`, of the calling convention `flags`, as a Python object."""
    definition = _MethodDef(name.encode(), address, flags, None)
    _kept.append((kernel, definition))
    prototype = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.POINTER(_MethodDef), ctypes.c_void_p, ctypes.c_void_p)
    return prototype(("PyCFunction_NewEx", ctypes.pythonapi))(definition, None, None)


def make_trampolines(compile_text: Callable[..., Any]) -> Trampolines:
    """The trampolines, compiled by ``compile.compile_text``; ctypes' where objects are laid out in an unknown way."""
    if not layout_known():
        return through_ctypes()
    at = {"type": _TYPE_AT, "data": _DATA_AT}
    held = _CALL.format(name="call", save="", restore="", **at)
    save, restore = "%state = call ptr @PyEval_SaveThread()", "call void @PyEval_RestoreThread(ptr %state)"
    released = _CALL.format(name="call_nogil", save=save, restore=restore, **at)
    text = _DECLARATIONS + held + released + _ADDRESS_OF.format(**at)
    symbols = {"jitgrad_none": id(None), "jitgrad_ndarray": id(np.ndarray)}
    kernel = compile_text(text, "call", also=("call_nogil", "address_of"), symbols=symbols)
    return Trampolines(
        call=builtin("call", kernel.address, METH_FASTCALL, kernel),
        call_nogil=builtin("call_nogil", kernel.also["call_nogil"], METH_FASTCALL, kernel),
        address_of=builtin("address_of", kernel.also["address_of"], METH_O, kernel),
        generated=True,
    )


def layout_known() -> bool:
    """Whether an array's type and data pointer are where the generated code looks, and the GIL makes that safe."""
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    if sys.implementation.name != "cpython" or not gil or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    probe = np.arange(3.0)[1:]
    found = [ctypes.c_void_p.from_address(id(probe) + offset).value for offset in (_TYPE_AT, _DATA_AT)]
    return found == [id(np.ndarray), probe.ctypes.data]


def through_ctypes() -> Trampolines:
    """The same three functions with the same errors, for interpreters whose objects are laid out differently."""

    def address_of(array: np.ndarray) -> int:
        if not isinstance(array, np.ndarray):
            raise TypeError(f"an ndarray is expected, not {type(array).__name__}")
        return int(array.ctypes.data)

    def entry(argument: object) -> int:
        if type(argument) is np.ndarray:
            return address_of(argument)
        if not isinstance(argument, int):
            raise TypeError(f"an integer or an ndarray is expected, not {type(argument).__name__}")
        if not -(1 << 63) <= argument < 1 << 63:
            raise OverflowError("Python int too large for a table of 64-bit integers")
        return argument

    def caller(prototype: Any) -> Callable[..., None]:
        def call(*arguments: int | np.ndarray) -> None:
            if not arguments or entry(arguments[0]) < 1:
                raise TypeError("the address of a function is expected")
            table = (ctypes.c_int64 * len(arguments))(*map(entry, arguments[1:]))
            prototype(arguments[0])(table)

        return call

    with_gil, without = ctypes.PYFUNCTYPE(None, ctypes.c_void_p), ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    return Trampolines(caller(with_gil), caller(without), address_of, False)
