"""From tensors through machine code to tensors in one C function, which is generated too.

In Python, looking at an argument costs 0.1 µs, a number written to an array or read from one as much, a new tensor
twice that. `enter` does it all from a plan, a table of integers made once for each kind of arguments (`write_plan`):
it checks the arguments, puts addresses and numbers where the machine code expects them, calls it, and makes tensors of
the results. Where an argument is of another kind it returns None without having done anything.

It looks into objects (see `objects.py`); where they are laid out in an unknown way `enter` gives None, and the general
way is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jitgrad.base.locks import once
from jitgrad.sweeps.code.compile import compile_text
from jitgrad.sweeps.code.trampolines import METH_FASTCALL, builtin, layout_known
from jitgrad.sweeps.program.objects import NUMBERS, allocator, offsets

__all__ = ["NUMBERS", "CallPlan", "Input", "Output", "TableEntry", "enter", "write_plan"]

ROOM = 512
"""Entries of the table, and numbers, for which `enter` has room: both are on its stack."""

NOWHERE = ROOM - 1  # the place in the table where the address of an argument goes that nobody reads


class Input(NamedTuple):
    """An argument: a value of type `number`, or an array (C-contiguous) of the dtype and shape; not both are needed.

    If `bytes` is not 0, that many go to `to` among the cells; else the address goes to entry `to` of the table. A number is
    the argument itself if it is `bare`, or else what a tensor holds.
    """

    number: type | None
    dtype: np.dtype | None
    shape: tuple[int, ...]
    to: int
    bytes: int
    bare: bool = False


class TableEntry(NamedTuple):
    """An entry of the table: an integer, or an address among the cells."""

    value: int
    in_cells: bool = False


class Output(NamedTuple):
    """A result: a number of the dtype, from `at` among the cells; or, without a dtype, the array that is argument `at`."""

    dtype: np.dtype | None
    at: int


class CallPlan(NamedTuple):
    """The table that `enter` reads, and what must live as long."""

    address: int
    kept: tuple


def write_plan(
    function: int, inputs: Sequence[Input], arrays: Sequence[int], slots: Sequence[TableEntry], outputs: Sequence[Output]
) -> CallPlan:
    """The plan with which `enter(address of the plan, *arguments, *arrays)` calls `function`.

    `arrays` are the entries of the table at which the addresses of the arrays go, `slots` all entries of the table.
    """
    shapes = [np.array(i.shape or (0,), np.int64) for i in inputs]
    words = [function, len(inputs), len(arrays), len(slots), len(outputs)]
    for i, shape in zip(inputs, shapes):
        kinds = (0 if i.number is None else id(i.number), 0 if i.dtype is None else id(i.dtype))
        words += [*kinds, len(i.shape), shape.ctypes.data, i.to, i.bytes, int(i.bare)]
    words += arrays
    for slot in slots:
        words += [slot.value, int(slot.in_cells)]
    for output in outputs:
        number = None if output.dtype is None else NUMBERS[output.dtype]
        allocate = 0 if number is None else allocator(number)
        words += [id(number), allocate, output.at, 0 if output.dtype is None else output.dtype.itemsize]
    table = np.array(words, np.int64)
    return CallPlan(table.ctypes.data, (table, *inputs, *shapes))


# Offsets in objects stand in braces. The plan is read from front to back: %p is where the reading stands.
_TEXT = """
declare i64 @PyLong_AsSsize_t(ptr)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare ptr @PyTuple_New(i64)
declare i32 @PyTuple_SetItem(ptr, i64, ptr)
declare ptr @PyType_GenericAlloc(ptr, i64)
declare i32 @memcmp(ptr, ptr, i64)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
@jitgrad_none = external global i8
@jitgrad_false = external global i8
@jitgrad_ndarray = external global i8
@jitgrad_tensor = external global i8

define internal i64 @word(ptr %at, i64 %i) alwaysinline {{
  %place = getelementptr i64, ptr %at, i64 %i
  %word = load i64, ptr %place
  ret i64 %word
}}

define internal ptr @field(ptr %object, i64 %offset) alwaysinline {{
  %place = getelementptr i8, ptr %object, i64 %offset
  %field = load ptr, ptr %place
  ret ptr %field
}}

; What a tensor holds; null if a gradient in it is wanted. Anything else stands for itself.
define internal ptr @value_of(ptr %x) alwaysinline {{
entry:
  %type = call ptr @field(ptr %x, i64 {type})
  %is_tensor = icmp eq ptr %type, @jitgrad_tensor
  br i1 %is_tensor, label %tensor, label %done
tensor:
  %value = call ptr @field(ptr %x, i64 {value})
  %row = call ptr @field(ptr %x, i64 {row})
  %alone = icmp eq ptr %row, @jitgrad_none
  br i1 %alone, label %done, label %recorded
recorded:
  %requires = call ptr @field(ptr %row, i64 {requires})
  %free = icmp eq ptr %requires, @jitgrad_false
  %found = select i1 %free, ptr %value, ptr null
  br label %done
done:
  %result = phi ptr [%x, %entry], [%value, %tensor], [%found, %recorded]
  ret ptr %result
}}

; Where the data of an argument %x with the value %v is, if it is of the kind at %p; null if it is not.
define internal ptr @data_of(ptr %x, ptr %v, ptr %p) alwaysinline {{
entry:
  %is = icmp ne ptr %v, null
  br i1 %is, label %value, label %no
value:
  %type = call ptr @field(ptr %v, i64 {type})
  %number = call ptr @field(ptr %p, i64 0)
  %is_number = icmp eq ptr %type, %number
  br i1 %is_number, label %yes, label %other
yes:
  %inside = getelementptr i8, ptr %v, i64 {number}
  %is_bare = icmp eq ptr %v, %x
  %bare_word = call i64 @word(ptr %p, i64 6)
  %must_be_bare = icmp ne i64 %bare_word, 0
  %wrong = xor i1 %is_bare, %must_be_bare
  %taken = select i1 %wrong, ptr null, ptr %inside
  ret ptr %taken
other:
  %is_array = icmp eq ptr %type, @jitgrad_ndarray
  br i1 %is_array, label %array, label %no
array:
  %dtype = call ptr @field(ptr %v, i64 {dtype})
  %right_dtype = call ptr @field(ptr %p, i64 8)
  %same_dtype = icmp eq ptr %dtype, %right_dtype
  %ndim_at = getelementptr i8, ptr %v, i64 {ndim}
  %ndim32 = load i32, ptr %ndim_at
  %ndim = sext i32 %ndim32 to i64
  %right_ndim = call i64 @word(ptr %p, i64 2)
  %same_ndim = icmp eq i64 %ndim, %right_ndim
  %flags_at = getelementptr i8, ptr %v, i64 {flags}
  %flags = load i32, ptr %flags_at
  %contiguous = trunc i32 %flags to i1
  %alike = and i1 %same_dtype, %same_ndim
  %so_far = and i1 %alike, %contiguous
  br i1 %so_far, label %sizes, label %no
sizes:
  %shape = call ptr @field(ptr %v, i64 {shape})
  %right_shape = call ptr @field(ptr %p, i64 24)
  %bytes = shl i64 %ndim, 3
  %difference = call i32 @memcmp(ptr %shape, ptr %right_shape, i64 %bytes)
  %same_shape = icmp eq i32 %difference, 0
  br i1 %same_shape, label %found, label %no
found:
  %data = call ptr @field(ptr %v, i64 {data})
  ret ptr %data
no:
  ret ptr null
}}

; A new tensor of a value; it takes the reference over. Null if there is no memory.
define internal ptr @tensor_of(ptr %value) alwaysinline {{
entry:
  %tensor = call ptr @PyType_GenericAlloc(ptr @jitgrad_tensor, i64 0)
  %got = icmp ne ptr %tensor, null
  br i1 %got, label %fill, label %none
fill:
  %value_at = getelementptr i8, ptr %tensor, i64 {value}
  store ptr %value, ptr %value_at
  %row_at = getelementptr i8, ptr %tensor, i64 {row}
  store ptr @jitgrad_none, ptr %row_at
  call void @Py_IncRef(ptr @jitgrad_none)
  %storage_at = getelementptr i8, ptr %tensor, i64 {storage}
  store ptr @jitgrad_none, ptr %storage_at
  call void @Py_IncRef(ptr @jitgrad_none)
  %view_at = getelementptr i8, ptr %tensor, i64 {view}
  store ptr @jitgrad_none, ptr %view_at
  call void @Py_IncRef(ptr @jitgrad_none)
  ret ptr %tensor
none:
  call void @Py_DecRef(ptr %value)
  ret ptr null
}}

; The value of the result that is described at %p. Null if there is no memory.
define internal ptr @result_of(ptr %p, ptr %cells, ptr %args) alwaysinline {{
entry:
  %type = call ptr @field(ptr %p, i64 0)
  %allocate = call ptr @field(ptr %p, i64 8)
  %at = call i64 @word(ptr %p, i64 2)
  %bytes = call i64 @word(ptr %p, i64 3)
  %is_number = icmp ne i64 %bytes, 0
  br i1 %is_number, label %number, label %array
array:
  %given = getelementptr ptr, ptr %args, i64 %at
  %array_given = load ptr, ptr %given
  call void @Py_IncRef(ptr %array_given)
  ret ptr %array_given
number:
  %new = call ptr %allocate(ptr %type, i64 0)
  %got = icmp ne ptr %new, null
  br i1 %got, label %fill, label %done
fill:
  %inside = getelementptr i8, ptr %new, i64 {number}
  %cell = getelementptr i8, ptr %cells, i64 %at
  call void @llvm.memcpy.p0.p0.i64(ptr %inside, ptr %cell, i64 %bytes, i1 false)
  br label %done
done:
  ret ptr %new
}}

define ptr @enter(ptr %self, ptr %args, i64 %nargs) {{
entry:
  %table = alloca [{room} x i64], align 64
  %cells = alloca [{room} x i64], align 64
  %plan_object = load ptr, ptr %args
  %plan_number = call i64 @PyLong_AsSsize_t(ptr %plan_object)
  %plan = inttoptr i64 %plan_number to ptr
  %function = call ptr @field(ptr %plan, i64 0)
  %inputs = call i64 @word(ptr %plan, i64 1)
  %arrays = call i64 @word(ptr %plan, i64 2)
  %slots = call i64 @word(ptr %plan, i64 3)
  %outputs = call i64 @word(ptr %plan, i64 4)
  %first = getelementptr i64, ptr %plan, i64 5
  %inputs_words = mul i64 %inputs, 7
  %places = getelementptr i64, ptr %first, i64 %inputs_words
  %p_slots = getelementptr i64, ptr %places, i64 %arrays
  %slots_words = mul i64 %slots, 2
  %p_outputs = getelementptr i64, ptr %p_slots, i64 %slots_words
  br label %slot
slot:
  %s = phi i64 [0, %entry], [%s1, %set_slot]
  %more_slots = icmp slt i64 %s, %slots
  br i1 %more_slots, label %set_slot, label %input
set_slot:
  %s2 = mul i64 %s, 2
  %p_slot = getelementptr i64, ptr %p_slots, i64 %s2
  %fixed = call i64 @word(ptr %p_slot, i64 0)
  %in_cells = call i64 @word(ptr %p_slot, i64 1)
  %cells_number = ptrtoint ptr %cells to i64
  %base = mul i64 %cells_number, %in_cells
  %entry_value = add i64 %base, %fixed
  %slot_at = getelementptr i64, ptr %table, i64 %s
  store i64 %entry_value, ptr %slot_at
  %s1 = add i64 %s, 1
  br label %slot
input:
  %i = phi i64 [0, %slot], [%i1, %next_input]
  %p = phi ptr [%first, %slot], [%p1, %next_input]
  %i1 = add i64 %i, 1
  %more_inputs = icmp slt i64 %i, %inputs
  br i1 %more_inputs, label %look, label %array
look:
  %x_at = getelementptr ptr, ptr %args, i64 %i1
  %x = load ptr, ptr %x_at
  %v = call ptr @value_of(ptr %x)
  %data = call ptr @data_of(ptr %x, ptr %v, ptr %p)
  %fits = icmp ne ptr %data, null
  br i1 %fits, label %take, label %miss
take:
  %to = call i64 @word(ptr %p, i64 4)
  %bytes = call i64 @word(ptr %p, i64 5)
  %p1 = getelementptr i64, ptr %p, i64 7
  %has_cell = icmp ne i64 %bytes, 0
  br i1 %has_cell, label %copy, label %point
copy:
  %cell = getelementptr i8, ptr %cells, i64 %to
  call void @llvm.memcpy.p0.p0.i64(ptr %cell, ptr %data, i64 %bytes, i1 false)
  br label %next_input
point:
  %place = getelementptr ptr, ptr %table, i64 %to
  store ptr %data, ptr %place
  br label %next_input
next_input:
  br label %input
miss:
  call void @Py_IncRef(ptr @jitgrad_none)
  ret ptr @jitgrad_none
array:
  %a = phi i64 [0, %input], [%a1, %set_array]
  %more_arrays = icmp slt i64 %a, %arrays
  br i1 %more_arrays, label %set_array, label %run
set_array:
  %a_index = add i64 %a, %i1
  %array_at = getelementptr ptr, ptr %args, i64 %a_index
  %array_object = load ptr, ptr %array_at
  %address = call ptr @field(ptr %array_object, i64 {data})
  %array_place = call i64 @word(ptr %places, i64 %a)
  %array_slot = getelementptr ptr, ptr %table, i64 %array_place
  store ptr %address, ptr %array_slot
  %a1 = add i64 %a, 1
  br label %array
run:
  call void %function(ptr %table)
  %tuple = call ptr @PyTuple_New(i64 %outputs)
  %has_tuple = icmp ne ptr %tuple, null
  br i1 %has_tuple, label %output, label %end
output:
  %o = phi i64 [0, %run], [%o1, %keep]
  %more_outputs = icmp slt i64 %o, %outputs
  br i1 %more_outputs, label %make, label %end
make:
  %o4 = mul i64 %o, 4
  %p_output = getelementptr i64, ptr %p_outputs, i64 %o4
  %result = call ptr @result_of(ptr %p_output, ptr %cells, ptr %args)
  %has_result = icmp ne ptr %result, null
  br i1 %has_result, label %wrap, label %fail
wrap:
  %tensor = call ptr @tensor_of(ptr %result)
  %has_tensor = icmp ne ptr %tensor, null
  br i1 %has_tensor, label %keep, label %fail
keep:
  %unused = call i32 @PyTuple_SetItem(ptr %tuple, i64 %o, ptr %tensor)
  %o1 = add i64 %o, 1
  br label %output
fail:
  call void @Py_DecRef(ptr %tuple)
  ret ptr null
end:
  ret ptr %tuple
}}
"""


@once
def enter(cls: type) -> Any:
    """The C function for tensors of class `cls`; see `write_plan`.

    Called `enter(address of a plan, *arguments, *arrays)` it gives a tuple of tensors, or None.
    """
    at = offsets(cls) if layout_known() else None
    if at is None:
        return None
    symbols = {f"jitgrad_{n}": id(v) for n, v in (("none", None), ("false", False), ("ndarray", np.ndarray), ("tensor", cls))}
    kernel = compile_text(_TEXT.format(**at, room=ROOM), "enter", symbols=symbols)
    return builtin("enter", kernel.address, METH_FASTCALL, kernel)
