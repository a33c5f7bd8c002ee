"""What to write instead, where Python asks a tensor for a value that it does not have yet: the cure for that very call.

Only the text of an error is made here, so that looking into the caller's byte code for what was called may take its time.
"""

from __future__ import annotations

import dis
import sys
from types import FrameType

_FIXED = "pass it as a Python int, which is part of what is recorded"
_ITSELF = "go on with the tensor itself, which operations take wherever they take a number"
_GUARD = "or jit(f, guard=True), which records the function once for each way that it goes"
_AFTER = "do that with the results, outside of the function"
_JOIN = "put tensors together with jitgrad.stack([...]) or jitgrad.cat"
_SIZE = f"sizes are fixed when a function is recorded: {_FIXED}"
_NUMBER = "what must be a Python number is an argument of the function: an int, bool or str, which is fixed"
_COUNT = "how many there are would depend on values: keep all, and use jitgrad.where(mask, x, 0)"

BRANCH = (
    "Python decides the branch while it records, before there are values: use jitgrad.where(condition, a, b) or "
    f"jitgrad.cond for a choice, jitgrad.while_loop or scan for a loop, {_GUARD}"
)

_TOLD: dict[str, str] = {
    "assert": "leave the assertion out of the function, or use jit(f, guard=True), which looks at it in every call",
    "max": f"use jitgrad.maximum(a, b), x.clamp(min=...) or, of one tensor, x.amax(); {_GUARD}",
    "min": f"use jitgrad.minimum(a, b), x.clamp(max=...) or, of one tensor, x.amin(); {_GUARD}",
    "sorted": f"the order would be that of the first call: compare with jitgrad.where, {_GUARD}",
    "any": f"use jitgrad.stack([...]).any(), {_GUARD}",
    "all": f"use jitgrad.stack([...]).all(), {_GUARD}",
    "in": f"use (x == y).any(), {_GUARD}",
    "range": f"use jitgrad.fori_loop(0, n, step, start), jitgrad.while_loop or scan for the loop, or {_FIXED}",
    "int": f"use x.to(jitgrad.int64), which cuts off as int() does, and {_ITSELF}; {_NUMBER}",
    "float": f"use x.to(jitgrad.float64), or {_ITSELF}",
    "complex": "there are no complex tensors: compute both parts apart",
    "bool": f"use x != 0, which is a tensor, with jitgrad.where or jitgrad.cond, {_GUARD}",
    "item": _ITSELF,
    "tolist": f"use x.unbind(), a tuple of tensors, or {_ITSELF}",
    "__index__": _FIXED,
    "numpy": f"{_ITSELF}; NumPy's functions take it as well",
    "asarray": f"{_ITSELF}; {_JOIN}",
    "full": "use jitgrad.ones(shape) * x",
    "full_like": "use jitgrad.ones_like(y) * x",
    "arange": "use start + step * jitgrad.arange(n) with an int n",
    "linspace": "use a + (b - a) * jitgrad.linspace(0, 1, n)",
    "tensor": f"a tensor needs no making: {_ITSELF}; {_JOIN}",
    "allclose": "use jitgrad.isclose(a, b).all(), which is a tensor",
    "table": "a list or an array of numbers cannot be indexed by a tensor without a value: jitgrad.tensor(table)[i] can",
    "slice": f"the size of a slice is fixed when a function is recorded: {_FIXED}; or keep all and use "
    "jitgrad.where(jitgrad.arange(n) < i, x, 0)",
    "store": f"an array of NumPy cannot hold what has no value: make it a tensor (jitgrad.zeros(n)), or {_JOIN}",
    "gamma": "for x > 0 use jitgrad.lgamma(x).exp(); elsewhere the sign is lost",
    "round": "use jitgrad.round(x, decimals=n), which stays a float",
    "statistics.mean": "use jitgrad.stack([...]).mean()",
    "statistics.fmean": "use jitgrad.stack([...]).mean()",
    "np.r_": "use jitgrad.cat([a, b])",
    "np.c_": "use jitgrad.stack([a, b], 1)",
    "softmax": "use jitgrad.softmax(x, dim)",
    "logsumexp": "use jitgrad.logsumexp(x, dim)",
    "remainder": "use a - b * jitgrad.round(a / b)",
    "factorial": "use jitgrad.lgamma(x + 1).exp()",
    "fsum": "use x.sum()",
    "dist": "use (a - b).norm()",
    "fabs": "use jitgrad.abs(x)",
    "modf": "use x - jitgrad.trunc(x) and jitgrad.trunc(x)",
    "fmod": "use jitgrad.fmod(a, b)",
    "cbrt": "use jitgrad.sign(x) * jitgrad.abs(x) ** (1 / 3)",
    "degrees": "use jitgrad.rad2deg(x)",
    "radians": "use jitgrad.deg2rad(x)",
    "linalg.solve": "use jitgrad.linalg.solve",
    "np.linalg.eig": "use jitgrad.linalg.eig, whose results are complex whatever the values",
    "np.linalg.lstsq": "use jitgrad.linalg.lstsq, whose residuals are asked for by driver=",
    "interp": "look the places up with jitgrad.where, or index: y[i] + (x - t[i]) * slope[i] with tensors y, t and slope",
}
_ALIKE: dict[str, str] = {
    _JOIN: "array asanyarray",
    _COUNT: "masked_select nonzero argwhere unique where compress extract",
    _AFTER: "format pickle dumps dump save savetxt savez",
    _SIZE: "zeros ones empty eye identity reshape view expand broadcast_to repeat tile split chunk narrow flatten squeeze "
    "unsqueeze select randn rand randint",
    "use (a == b).all(), which is a tensor": "equal array_equal",
    "use x.clone()": "deepcopy copy",
}
CURES = _TOLD | {name: told for told, names in _ALIKE.items() for name in names.split()}
CURES |= {
    name: f"use x.to(jitgrad.{name.rstrip('_')})"
    for name in ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool_")
}
CURES |= {name: f"use x.{name}()" for name in ("sum", "mean", "std", "var", "norm")}

_INTS = frozenset({_SIZE, CURES["range"], CURES["arange"], CURES["linspace"]})
_NUMBERS = frozenset({"math", "np", "numpy", "scipy", "special", "cmath", "linalg"})
_OTHERS = frozenset({"where", "nonzero", "argwhere", "unique", "allclose", "equal", "remainder", "select", "norm", "round"})
"""Functions that are not what jitgrad calls so, or not with these arguments."""
_INSIDE = frozenset({"jitgrad", "numpy", "scipy", "statistics", "fractions"})  # who asks for those who called them
_BRANCHES = ("POP_JUMP", "JUMP_IF", "TO_BOOL", "UNARY_NOT")


def cure(what: str) -> tuple[str, str]:
    """What asked for the value and what to do instead. `what` is the method that was asked, or the function of NumPy."""
    own = what.startswith(("np.", "scipy."))  # functions that said their names
    called = what if own else _asked()
    short = called.rpartition(".")[2]
    if called == "branch":
        return what, BRANCH
    if called in ("np.r_", "np.c_", "table", "slice", "store", "in", "assert", "format"):
        return (called if called.startswith("np.") else what), CURES[called]
    from jitgrad.tensors.numpy_protocols import FUNCTIONS

    asked = f"{called}()" if called and not own else what
    if own and called in CURES:
        return called, CURES[called]
    if called.partition(".")[0] in _NUMBERS and short in FUNCTIONS and short not in _OTHERS:
        return asked, f"use jitgrad.{short}"
    if what == "an index" and CURES.get(short) not in _INTS:  # a dimension, say
        return asked or what, _FIXED
    found = CURES.get(called) or CURES.get(called.partition(".")[2]) or CURES.get(short) or CURES.get(what.removesuffix("()"))
    if found is not None:
        return asked, found
    if own:
        whose = "NumPy" if what.startswith("np.") else "SciPy"
        return what, f"it is {whose}'s own function: write it in jitgrad's operations, or call it outside of the function"
    return (what, BRANCH) if what == "bool()" else (asked, f"{_ITSELF}; {_NUMBER}")


def _asked() -> str:
    """What the nearest caller outside of jitgrad is doing: the dotted name of what it calls, or one of a few words."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _INSIDE:
        frame = frame.f_back
    if frame is None:
        return ""
    steps = list(dis.get_instructions(frame.f_code))
    at = sum(step.offset <= frame.f_lasti for step in steps) - 1  # what is cached behind an instruction belongs to it
    name, shown = steps[at].opname, steps[at].argrepr
    if name.startswith("CALL"):
        return _called(steps, at)
    if name.startswith(_BRANCHES):
        return (
            "assert"
            if any(
                step.opname.startswith("LOAD_ASSERTION") or "AssertionError" in step.argrepr for step in steps[at + 1 : at + 3]
            )
            else "branch"
        )
    words = {"STORE_SUBSCR": "store", "STORE_SLICE": "store", "CONTAINS_OP": "in", "BINARY_SLICE": "slice"}
    if name == "BINARY_SUBSCR" or (name == "BINARY_OP" and shown == "[]"):
        short = _called(steps, at).rpartition(".")[2]
        return f"np.{short}" if short in ("r_", "c_") else "slice" if steps[at - 1].opname == "BUILD_SLICE" else "table"
    if name.startswith("FORMAT") or (name == "BINARY_OP" and shown in ("%", "%=")):
        return "format"
    return words.get(name, "")


def _called(steps: list[dis.Instruction], at: int) -> str:
    """The dotted name of the function that an instruction calls: the names that are loaded from where the call begins in the
    text, of which the longest is the function."""
    place = steps[at].positions
    if place is None or place.lineno is None:
        return ""
    start, last = (place.lineno, place.col_offset), (place.end_lineno, place.end_col_offset)
    names: list[str] = []
    for step in steps[:at]:
        where = step.positions
        if where is None or (where.lineno, where.col_offset) != start or (where.end_lineno, where.end_col_offset) == last:
            continue
        if step.opname.startswith("LOAD_"):
            names.append(str(step.argval))
        elif step.opname.startswith(("CALL", "BINARY")):  # what is called is a method of its result
            names = []
    return ".".join(name for name in names if name.isidentifier())
