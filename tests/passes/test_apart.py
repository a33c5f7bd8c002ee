"""Complex numbers in machine code: taken apart into real rows, in one loop with them, and in the memory that NumPy has."""

import itertools

import numpy as np
import pytest

import jitgrad as jg

RNG = np.random.default_rng(11)


def normal(*shape, dtype=np.complex128):
    return (RNG.normal(size=shape) + 1j * RNG.normal(size=shape)).astype(dtype)


def wave(w, x, z):
    y = jg.exp(1j * w * x) * z / (1 + x * x)
    return (y * y.conj()).real.sum() + (y.abs() * jg.angle(y)).mean() + jg.sqrt(y).imag.sum()


def listed(x):
    return np.asarray(x.detach().numpy())


def test_value_and_gradient_are_one_loop():
    step = jg.jit(jg.value_and_grad(wave, (0, 1, 2)))
    given = [jg.tensor(a) for a in (RNG.normal(size=40), RNG.normal(size=40), normal(40))]
    value, slopes = step(*given)
    assert len(step.report().split("machine code")) == 2
    assert "in 1 loop" in step.report()
    assert "NumPy: " not in step.report()
    with jg.sweep("interpreted"):
        want, want_slopes = step(*given)
    np.testing.assert_allclose(listed(value), listed(want), rtol=1e-13)
    for got, expected in zip(slopes, want_slopes):
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(listed(got), listed(expected), rtol=1e-12, atol=1e-13)


KNOWN = normal(3, 4)


def fixed(z):
    return z * jg.tensor(KNOWN) + KNOWN[0]


CASES = {
    "a transform between": lambda z: jg.fft.fft(z * 2j).abs() * jg.fft.ifft(z.conj()),
    "constants": fixed,
    "one number": lambda z: (z.sum() * z[0, 0], z[1, 1] ** 2),
    "one number and many": lambda z: z * z.mean() / z[0, 0],
    "nothing": lambda z: (z[:0] * 2j, (z[:0] * 2j).sum()),
    "memory seen in both ways": lambda z: (y := z * z, jg.view_as_real(y), y.real, y),
    "an operand seen as parts": lambda z: (jg.view_as_real(z), z, z.real * 1, jg.view_as_real(z) * 2),
    "parts seen as numbers": lambda z: jg.view_as_complex(jg.stack([z.real * 3, z.imag], -1)),
    "views": lambda z: (z * 1j).T[1:, ::2].reshape(-1) + z[::2].T[1:].flatten(),
    "parts of rows in steps": lambda z: jg.view_as_real(z).flatten()[1::2] * jg.view_as_real(z).flatten()[::2],
    "elements in steps": lambda z: z.flatten()[1::2].exp() * z.flatten()[::2],
    "elements at an index": lambda z: (z * z)[[0, 2, 2], [1, 1, 0]] * z[[2, 1, 0], 1],
    "joined": lambda z: jg.cat([z, z * 1j, z.conj()], 1).flip(0),
    "sums along": lambda z: (z * z).sum(0) / (z.exp().mean(1, keepdim=True) + z.cumsum(0)),
    "chosen": lambda z: jg.where(z.real > 0, z * z, z.conj()) * jg.where(z == z[0], 1j, 2.0),
    "logic": lambda z: (z.bool(), jg.logical_and(z, z.real), jg.isnan(z / 0), z != z.conj()),
    "real ones beside": lambda z: z.real * z + z.imag.to(z.dtype) - z.abs() / z,
    "products": lambda z: ((z * 2j) @ z.H).exp(),
    "left to NumPy": lambda z: jg.asin(z * 0.1) * z.norm() + jg.linalg.eigvals(z[:, :3] * 1j).sum(),
    "changed in place": lambda z: changed(z * 1),
    "in a loop": lambda z: jg.fori_loop(0, 5, lambda k, y: y * y.exp() * 0.1 + z, z),
}


def changed(z):
    z.real.mul_(2)
    z[1] += 1j
    z[:, 0] = z[:, 1]
    return z


def flat(found):
    return list(found) if isinstance(found, tuple) else [found]


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_numpy(name, dtype):
    function, close = CASES[name], {"rtol": 2e-4, "atol": 2e-4} if dtype is np.complex64 else {"rtol": 1e-11, "atol": 1e-12}

    def total(z):
        parts = [jg.view_as_real(r) if r.dtype.is_complex else r for r in flat(function(z))]
        return sum((r * r).sum() for r in parts if r.dtype.is_floating_point)

    z = normal(3, 4, dtype=dtype)
    for given in (z, np.asfortranarray(z), np.repeat(z, 2, 1)[:, ::2]):
        values, slope = jg.jit(function), jg.jit(jg.grad(total))
        for _ in range(2):  # results of the first call are not written over by the second
            got = [*flat(values(jg.tensor(given))), *([] if name == "logic" else [slope(jg.tensor(given))])]
            again = [*flat(values(jg.tensor(2 * given)))]
        want = [*flat(function(jg.tensor(given))), *([] if name == "logic" else [jg.grad(total)(jg.tensor(given))])]
        for g, w in zip(got, want, strict=True):
            assert (g.dtype, g.shape) == (w.dtype, w.shape)
            np.testing.assert_allclose(listed(g), listed(w), **close)
        for g, w in zip(again, flat(function(jg.tensor(2 * given)))):
            np.testing.assert_allclose(listed(g), listed(w), **close)


def test_many_in_several_threads():
    z = jg.tensor(normal(300_001))
    step = jg.jit(jg.value_and_grad(lambda z: (z.exp() / (z + 3)).abs().sum()))
    with jg.sweep("interpreted"):
        want, want_slope = step(z)
    got, slope = step(z)
    np.testing.assert_allclose(listed(got), listed(want), rtol=1e-13)
    np.testing.assert_allclose(listed(slope), listed(want_slope), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("shape", [(1, 1), (2, 7), (5, 8), (3, 9), (1, 33)])
@pytest.mark.parametrize("start", [0, 1, 2])
def test_every_other_element_up_to_the_end_of_memory(shape, start):
    x = RNG.normal(size=(shape[0], start + 2 * shape[1] - 1))
    got = jg.jit(lambda x: x[:, start::2] * 2)(jg.tensor(x))
    np.testing.assert_array_equal(listed(got), x[:, start::2] * 2)


FUNCTIONS = [
    *("exp", "exp2", "expm1", "log", "log2", "log10", "sqrt", "rsqrt", "reciprocal", "square"),
    *("sin", "cos", "tan", "sinh", "cosh", "tanh", "abs", "angle", "sgn", "conj"),
]
NEAR = ["n * 1", "n * 10", "np.exp(4j * n.real)", "1 + n * 1e-3", "n * 1e-12", "n * tiny", "n.real * 1e-15 + 1j * n.imag"]
FAR = [*NEAR, "n * 1e12", "n * huge", "n.real * 1e15 + 1j * n.imag", "n.real * tiny + 1j * n.imag * huge"]


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_exact_as_numpy_where_steps_over_or_underflow(name, dtype):
    function = getattr(jg, name)
    limits = np.finfo(dtype)
    given = {"n": normal(500), "np": np, "tiny": limits.tiny * 8, "huge": limits.max / 8}
    wide = name in ("log", "log2", "log10", "sqrt", "rsqrt", "abs", "angle", "sgn", "conj", "exp", "exp2")
    compiled = jg.jit(function)
    for text in FAR if wide else NEAR:
        z = jg.tensor(eval(text, given).astype(dtype))
        want, got = listed(function(z)), listed(compiled(z))
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(want), err_msg=text)
        fine = np.isfinite(want)
        off = abs(got[fine].astype(complex) - want[fine])
        assert np.all(off <= 6 * limits.eps * abs(want[fine].astype(complex)) + 4 * limits.smallest_subnormal), text


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_quotients_where_squares_over_or_underflow(dtype):
    limits = np.finfo(dtype)
    sizes = [1, limits.tiny * 8, limits.max / 8, 1e-15, 1e15]
    x, y = (
        jg.tensor(np.concatenate([normal(50) * a for a in many]).astype(dtype)) for many in zip(*itertools.product(sizes, sizes))
    )
    want, got = listed(x / y), listed(jg.jit(jg.div)(x, y))
    fine = np.isfinite(want)
    np.testing.assert_array_equal(fine, np.isfinite(got))
    off = abs((got[fine] - want[fine]).astype(complex))
    assert np.all(off <= 6 * limits.eps * abs(want[fine].astype(complex)) + 4 * limits.smallest_subnormal)


SPECIAL = np.array([complex(a, b) for a, b in itertools.product([0.0, -0.0, 1.5, -1.5, np.inf, -np.inf], repeat=2)])


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "abs", "angle", "sgn", "conj", "square", "isnan", "isinf", "isfinite"])
def test_infinities_and_signed_zeros_are_numpys(name):
    z = jg.tensor(SPECIAL)
    want, got = listed(getattr(jg, name)(z)), listed(jg.jit(getattr(jg, name))(z))
    for w, g in ((want.real, got.real), (want.imag, got.imag)):
        settled = ~np.isnan(want)  # which part of it is nan is nobody's business
        np.testing.assert_allclose(g[settled], w[settled], rtol=1e-15)
        if w.dtype == float:
            settled &= ~(np.isinf(SPECIAL.real) & np.isinf(SPECIAL.imag))  # these have no direction
            np.testing.assert_array_equal(np.signbit(g[settled]), np.signbit(w[settled]))
    np.testing.assert_array_equal(np.isnan(want), np.isnan(got))
