"""`rearrange` against what reshaping and transposing by hand gives."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.func import rearrange

X = np.arange(24.0).reshape(2, 3, 4)
CASES = [
    ("a b c -> c a b", {}, X.transpose(2, 0, 1)),
    ("a (b d) c -> d a b c", {"b": 1}, X.reshape(2, 1, 3, 4).transpose(2, 0, 1, 3)),
    ("a b (c d) -> (a c) (b d)", {"d": 2}, X.reshape(2, 3, 2, 2).transpose(0, 2, 1, 3).reshape(4, 6)),
    ("... c -> c ...", {}, X.transpose(2, 0, 1)),
    ("a ... -> (... a)", {}, X.transpose(1, 2, 0).reshape(24)),
    ("a ... b c -> c b ... a", {}, X.T),
    ("a b c -> a 1 (b c) ()", {}, X.reshape(2, 1, 12, 1)),
    ("... -> ...", {}, X),
]


@pytest.mark.parametrize(("pattern", "sizes", "wanted"), CASES)
def test_rearrange(pattern, sizes, wanted):
    x = jg.tensor(X)
    np.testing.assert_array_equal(rearrange(x, pattern, **sizes), wanted)
    np.testing.assert_array_equal(jg.jit(lambda x: rearrange(x, pattern, **sizes))(x), wanted)
    gradient = jg.grad(lambda x: (rearrange(x, pattern, **sizes) * jg.tensor(wanted)).sum())(x)
    np.testing.assert_array_equal(gradient, X)


def test_rearrange_of_several_and_under_vmap():
    rows = [jg.tensor(row) for row in X]
    np.testing.assert_array_equal(rearrange(rows, "n b c -> b (n c)"), X.transpose(1, 0, 2).reshape(3, 8))
    np.testing.assert_array_equal(jg.vmap(lambda x: rearrange(x, "b c -> c b"))(jg.tensor(X)), X.transpose(0, 2, 1))
    np.testing.assert_array_equal(rearrange(jg.tensor(X[:1]), "1 b c -> b c"), X[0])


@pytest.mark.parametrize(
    ("pattern", "sizes", "why"),
    [
        ("a b -> b a", {}, r"2 dimensions on the left, and the tensor 3: \[2, 3, 4\]"),
        ("a b c -> a b", {}, "every name must stand once"),
        ("a a b -> b a", {}, "every name must stand once"),
        ("a ... -> a", {}, "every name must stand once"),
        ("a b c -> a b c ...", {}, "every name must stand once"),
        ("a (b d) c -> a b d c", {}, r"of b, d all sizes but one must be given, as b=\.\.\."),
        ("a (b d) c -> a b d c", {"d": 2}, r"\(b d\) cannot be a dimension of size 3"),
        ("a b c -> a b c", {"a": 5}, r"\(a\) cannot be a dimension of size 2"),
        ("1 b c -> b c", {}, "cannot be a dimension of size 2"),
        ("a b c -> a b c", {"z": 5}, "there is no z"),
        ("a (b ...) -> a b ...", {}, "cannot stand in parentheses"),
        ("a b c", {}, "two sides"),
        ("a b c -> a (b (c))", {}, "'[()]' does not belong there"),
        ("a b c -> a, b c", {}, "'a,' is no name"),
        ("a 2 c -> a c", {}, "'2' is no name"),
        ("_a b c -> _a b c", {}, "'_a' is no name"),
        ("a ... ... -> a ...", {}, "once on a side"),
    ],
)
def test_patterns_that_make_no_sense(pattern, sizes, why):
    with pytest.raises(ValueError, match=why):
        rearrange(jg.tensor(X), pattern, **sizes)
