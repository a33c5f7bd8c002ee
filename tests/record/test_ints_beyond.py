"""Ints beyond the dtype of the tensor beside them: the same in eager code, under jit and under vmap."""

import operator

import numpy as np
import pytest

import jitgrad as jg

DTYPES = ("int8", "uint8", "int16", "int32", "int64")
NUMBERS = (-1, 300, -300, 2**31, 2**40 + 3, -(2**40) - 7, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 2**70)
COMPUTED = {f.__name__: f for f in (operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod, operator.and_)}
COMPARED = {f.__name__: f for f in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne)}
FUNCTIONS = COMPUTED | COMPARED | {"maximum": jg.maximum, "minimum": jg.minimum}


def outcome(f, x):
    try:
        found = f(x)
    except (RuntimeError, TypeError) as error:
        return type(error).__name__
    return str(found.dtype), found.tolist()


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_ints_beyond_the_dtype_mean_one_thing(name, dtype):
    f = FUNCTIONS[name]
    x = jg.tensor([1, 100, 7], dtype=getattr(jg, dtype))
    for n in NUMBERS:
        beyond = not -(2**63) <= n < 2**63
        wrapped = None if beyond else jg.tensor(int(np.int64(n).astype(dtype)), dtype=x.dtype)
        if wrapped is not None and name in ("floordiv", "mod") and not wrapped.item():
            continue
        for g, right in (
            (lambda a, n=n: f(a, n), lambda a, w=wrapped: f(a, w)),
            (lambda a, n=n: f(n, a), lambda a, w=wrapped: f(w, a)),
        ):
            if beyond and f in (jg.maximum, jg.minimum):
                continue
            eager = outcome(g, x)
            assert eager == ("RuntimeError" if beyond else outcome(right, x)), n
            assert outcome(jg.jit(g), x) == outcome(jg.vmap(g), x) == eager, n
