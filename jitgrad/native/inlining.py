"""The text of an exported function for another compiler's module, which inlines it where it is called.

A call by address has its results go through memory, computes those that nobody uses, and keeps LLVM from vectorising the
caller's loop (EPYC Zen 3, sigmoid neuron: 33 ns a call by address, 28 to 31 inlined, 10 without its value, and 3.5 in a
loop that only stores results). Large functions gain nothing and would be compiled again with every caller.
"""

from __future__ import annotations

from collections.abc import Iterable

import llvmlite.binding as llvm

from jitgrad.base.locks import compiling
from jitgrad.base.signals import undisturbed
from jitgrad.sweeps.code.compile import imports_of
from jitgrad.sweeps.llvm.wrapped import ALIGN, DATA, Value

LARGEST = 32_768
"""Characters of text plus bytes of arrays, constants and what goes in and out, up to which a function is inlined."""


def inlinable(text: str, symbol: str, data: bytes, values: Iterable[Value]) -> str:
    """The module with its constant arrays in it and `symbol` to be inlined, or "" if it should be called by address.

    `values` are those that go in and out. What the text takes from outside must be in any process: functions of the C
    library, where LLVM finds them by itself.
    """
    size = len(text) + len(data) + sum(value.bytes for value in values)
    outside = [name for name in imports_of(text) if name != DATA]
    if size > LARGEST or not all(_is_everywhere(name) for name in outside):
        return ""
    bytes_of_data = "".join([f"\\{byte:02x}" for byte in data])
    constants = f'[{len(data)} x i8] c"{bytes_of_data}"'
    text = text.replace(f"@{DATA} = external global i8", f"@{DATA} = internal constant {constants}, align {ALIGN}")
    before, define, after = text.partition(f"define i32 @{symbol}(")
    return before + define + after.replace(") {", ") alwaysinline {", 1)


def _is_everywhere(name: str) -> bool:
    with undisturbed(compiling):
        return not name.startswith(("jitgrad", "Py", "_Py")) and bool(llvm.address_of_symbol(name))
