"""Native functions of matrices beyond 16 × 16, which SciPy's LAPACK factors."""

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.sweeps.code import scipys
from jitgrad.sweeps.code.compile_error import CompileError
from jitgrad.sweeps.llvm import matrices

N = 19


def given(dtype, batch=()):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(*batch, N, N))
    x = a @ np.swapaxes(a, -1, -2) / N + np.eye(N)
    return [jg.tensor(v.astype(dtype)) for v in (x, rng.normal(size=(*batch, N, 3)))]


FUNCTIONS = {
    "cholesky": lambda x, y: (jg.linalg.cholesky(x) ** 2 * x).sum(),
    "cholesky_solve": lambda x, y: (jg.cholesky_solve(y, jg.linalg.cholesky(x)) ** 2).sum(),
    "det": lambda x, y: jg.linalg.det(x).log().sum(),
    "inv": lambda x, y: (jg.linalg.inv(x) * x.cos()).sum(),
    "slogdet": lambda x, y: jg.linalg.slogdet(x)[1].sum(),
    "solve": lambda x, y: (jg.linalg.solve(x, y) ** 2).sum(),
    "solve of a transpose": lambda x, y: (jg.linalg.solve((x + x.tril()).mT, y) ** 2).sum(),
    "lower": lambda x, y: (jg.linalg.solve_triangular(x, y, upper=False) ** 2).sum(),
    "upper": lambda x, y: (jg.linalg.solve_triangular(x, y, upper=True) ** 2).sum(),
    "unit": lambda x, y: (jg.linalg.solve_triangular(x / 9, y, upper=False, unitriangular=True) ** 2).sum(),
    "right": lambda x, y: (jg.linalg.solve_triangular(x, y.mT, upper=False, left=False) ** 2).sum(),
}


@pytest.mark.parametrize("batch", [(), (2,), (5,)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_are_those_of_eager_code(name, dtype, batch):
    g = jg.value_and_grad(FUNCTIONS[name], argnums=(0, 1))
    x, y = given(dtype, batch)
    native = g.compile(x, y)
    assert "scipy_" in native._origin.text
    (value, parts), (wanted, wanted_parts) = native(x, y), g(x, y)
    tolerance = 1e-4 if dtype == "float32" else 1e-11
    np.testing.assert_allclose(np.asarray(value), np.asarray(wanted), rtol=tolerance)
    for part, want in zip(parts, wanted_parts):
        np.testing.assert_allclose(np.asarray(part), np.asarray(want), rtol=tolerance, atol=tolerance * float(want.abs().max()))


def test_what_is_wrong_with_a_matrix_is_said():
    x, y = given("float64")
    with pytest.raises(np.linalg.LinAlgError, match="positive"):
        jg.jit(lambda x: jg.linalg.cholesky(x)).compile(x)(-x)
    with pytest.raises(np.linalg.LinAlgError, match="singular"):
        jg.jit(jg.linalg.solve).compile(x, y)(x * 0, y)
    found = jg.jit(jg.linalg.cholesky_ex).compile(x)(-x)
    assert int(found[1]) == 1
    spoilt = x.clone()
    spoilt[N // 2, 3] = np.nan
    for got, want in zip(jg.jit(jg.linalg.cholesky_ex).compile(x)(spoilt), jg.linalg.cholesky_ex(spoilt)):
        np.testing.assert_allclose(np.asarray(got), np.asarray(want))


def test_without_scipy_they_are_loops(monkeypatch):
    x, y = given("float64")
    monkeypatch.setattr(matrices, "routines", dict)
    native = jg.jit(jg.linalg.solve).compile(x, y)
    assert "scipy_" not in native._origin.text
    np.testing.assert_allclose(np.asarray(native(x, y)), np.asarray(jg.linalg.solve(x, y)), rtol=1e-11)


def test_a_file_that_needs_scipy_says_so_where_there_is_none(tmp_path, monkeypatch):
    x, _ = given("float64")
    file = tmp_path / "inverse"
    jg.jit(jg.linalg.inv).compile(x).save(file)
    np.testing.assert_allclose(np.asarray(jg.load_compiled(file)(x)), np.linalg.inv(x.numpy()), rtol=1e-11)
    monkeypatch.setattr(scipys, "routines", dict)
    from jitgrad.sweeps.code import compile as compiling

    compiling._symbol_address.cache_clear()
    with pytest.raises(CompileError, match="jitgrad\\[scipy\\]"):
        jg.load_compiled(file)
