"""Fourier transforms: values against NumPy, gradients against differences, every sweep."""

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.testing import gradcheck, gradgradcheck

RNG = np.random.default_rng(3)
REAL = RNG.standard_normal((3, 4, 5))
COMPLEX = RNG.standard_normal((3, 4, 5)) + 1j * RNG.standard_normal((3, 4, 5))
ONE = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
MANY = ("fftn", "ifftn", "rfftn", "irfftn", "fft2", "ifft2", "rfft2", "irfft2")
HERMITIAN = ("hfftn", "ihfftn", "hfft2", "ihfft2")
OF_REAL = ("rfft", "ihfft", "rfftn", "rfft2", "ihfftn", "ihfft2")
NORMS = (None, "backward", "ortho", "forward")


def given(name):
    return REAL if name in OF_REAL else COMPLEX


@pytest.mark.parametrize("name", ONE)
def test_one_dimension_is_numpys(name):
    for norm in NORMS:
        for dim in (-1, 0, 1):
            for n in (None, 2, 3, 4, 7):
                got = getattr(jg.fft, name)(jg.tensor(given(name)), n=n, dim=dim, norm=norm).numpy()
                np.testing.assert_allclose(got, getattr(np.fft, name)(given(name), n, dim, norm), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", MANY)
def test_several_dimensions_are_numpys(name):
    for norm in NORMS:
        for dim, s in (((-2, -1), None), ((0, 2), (4, 6)), ((2, 0), (5, 2)), ((1, 2), (3, 3))):
            got = getattr(jg.fft, name)(jg.tensor(given(name)), s, dim, norm).numpy()
            want = getattr(np.fft, name)(given(name), s, dim, norm)
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)
    if name[-1] == "n":
        want = getattr(np.fft, name)(given(name), None, (0, 1, 2))
        np.testing.assert_allclose(getattr(jg.fft, name)(jg.tensor(given(name))).numpy(), want, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("norm", NORMS)
def test_hermitian_transforms_of_several_dimensions(norm):
    """`hfftn` is `fftn` along all dimensions but the last, and `hfft` along that one."""
    want = np.fft.hfft(np.fft.fftn(COMPLEX, axes=(0, 1), norm=norm), norm=norm)
    np.testing.assert_allclose(jg.fft.hfftn(jg.tensor(COMPLEX), norm=norm).numpy(), want, rtol=1e-12, atol=1e-13)
    want = np.fft.ifftn(np.fft.ihfft(REAL, norm=norm), axes=(1,), norm=norm)
    np.testing.assert_allclose(jg.fft.ihfft2(jg.tensor(REAL), norm=norm).numpy(), want, rtol=1e-12, atol=1e-13)


SMALL = {
    **{f"{name} {norm}": (name, {"norm": norm}) for name in (*ONE, *MANY, *HERMITIAN) for norm in (None, "ortho")},
    **{f"{name} {n}": (name, {"n": n, "dim": 0, "norm": "forward"}) for name in ONE for n in (2, 3, 5)},
    **{f"{name} cut": (name, {"s": (3, 2), "dim": (1, 0)}) for name in (*MANY, *HERMITIAN)},
}


@pytest.mark.parametrize("name", SMALL)
def test_derivatives(name):
    function, options = SMALL[name]
    x = given(function)[0, :2, :3]

    def transformed(x):
        y = getattr(jg.fft, function)(x, **options)
        return y * y

    assert gradcheck(transformed, x)
    assert gradgradcheck(transformed, x)


def test_every_sweep_vmap_and_tangents():
    x, z = jg.tensor(REAL), jg.tensor(COMPLEX)

    def results(x, z):
        return [getattr(jg.fft, name)(x if name in OF_REAL else z, **options) for name, options in SMALL.values()]

    def weighed(x, z):
        return sum(((y.abs() * 3 + y.real).square().sum() for y in results(x, z)), jg.tensor(0.0, dtype=jg.float64))

    values, slopes = results(x, z), jg.grad(weighed, (0, 1))(x, z)
    for way in ("jit", "interpreted", "machine"):
        with jg.sweep(way):
            for got, want in zip(jg.jit(results)(x, z), values):
                np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-12, atol=1e-13)
            for got, want in zip(jg.jit(jg.grad(weighed, (0, 1)))(x, z), slopes):
                np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-9)
    for got, want in zip(jg.vmap(results)(jg.stack([x, x]), jg.stack([z, 2 * z])), values):
        np.testing.assert_allclose(got[0].numpy(), want.numpy(), rtol=1e-12, atol=1e-13)
    tx, tz = jg.tensor(REAL[::-1].copy()), jg.tensor(COMPLEX[::-1].copy())
    for got, want in zip(jg.jvp(results, (x, z), (tx, tz))[1], results(tx, tz)):
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-12, atol=1e-13)


def test_frequencies_and_shifts():
    for n in (1, 4, 5):
        np.testing.assert_allclose(jg.fft.fftfreq(n, 0.1, dtype=jg.float64).numpy(), np.fft.fftfreq(n, 0.1))
        np.testing.assert_allclose(jg.fft.rfftfreq(n, 0.1, dtype=jg.float64).numpy(), np.fft.rfftfreq(n, 0.1))
    assert jg.fft.fftfreq(4).dtype == jg.float32
    np.testing.assert_array_equal(jg.fft.fftfreq(4, 0).numpy(), [np.nan, np.inf, -np.inf, -np.inf])
    np.testing.assert_array_equal(jg.fft.rfftfreq(0).numpy(), [np.nan])
    with pytest.raises(RuntimeError, match="must not be negative, and it is -1"):
        jg.fft.fftfreq(-1)
    assert jg.fft.fftfreq(4, requires_grad=True).requires_grad
    for dim in (None, 1, (0, 2), -1):
        assert np.array_equal(jg.fft.fftshift(jg.tensor(REAL), dim).numpy(), np.fft.fftshift(REAL, dim))
        assert np.array_equal(jg.fft.ifftshift(jg.tensor(REAL), dim).numpy(), np.fft.ifftshift(REAL, dim))


def test_dtypes_and_arrays():
    x = jg.tensor([1.0, 2.0, 3.0])
    assert jg.fft.fft(x).dtype == jg.complex64
    assert jg.fft.irfft(jg.fft.rfft(x), 3).dtype == jg.float32
    assert jg.fft.fft(x.double()).dtype == jg.complex128
    assert jg.fft.rfft(jg.tensor([1, 2])).dtype == jg.complex64
    assert jg.fft.fftn(jg.tensor(2.0)).item() == 2
    assert jg.fft.fft(jg.zeros(0, 3)).shape == (0, 3)
    np.testing.assert_allclose(jg.fft.fft(x[None, :].T[:, 0]).numpy(), np.fft.fft([1, 2, 3]), rtol=1e-6)
    (g,) = jg.autograd.grad(jg.fft.rfft(x.requires_grad_()).abs().sum(), x)
    assert g.dtype == jg.float32


def test_numpys_functions_record():
    for name in ("fft", "irfft", "fftn", "ifft2", "fftshift"):
        x = jg.tensor(COMPLEX, requires_grad=True)
        y = getattr(np.fft, name)(x)
        assert y.requires_grad
        np.testing.assert_allclose(y.detach().numpy(), getattr(np.fft, name)(COMPLEX), rtol=1e-12, atol=1e-13)
    assert np.fft.rfft(jg.tensor([1, 2, 3]), axis=0).dtype == jg.complex128
    z = jg.tensor([1 + 1j], requires_grad=True)
    assert np.angle(z, deg=True).item() == pytest.approx(45)
    assert np.real(z).requires_grad
    assert np.imag(z).item() == 1
    assert np.conj(z).item() == 1 - 1j


ERRORS = {
    "no points": (RuntimeError, lambda x: jg.fft.fft(x, n=0)),
    "norm": (RuntimeError, lambda x: jg.fft.fft(x, norm="x")),
    "half": (RuntimeError, lambda x: jg.fft.fft(x.half())),
    "complex": (RuntimeError, lambda x: jg.fft.rfft(x * 1j)),
    "complex, several": (RuntimeError, lambda x: jg.fft.ihfftn(x * 1j)),
    "no dimensions": (IndexError, lambda x: jg.fft.fft(x[0, 0])),
    "dim": (IndexError, lambda x: jg.fft.fft(x, dim=9)),
    "twice": (RuntimeError, lambda x: jg.fft.fftn(x, dim=(0, 0))),
    "sizes": (RuntimeError, lambda x: jg.fft.fftn(x, s=(2,), dim=(0, 1))),
    "more sizes": (RuntimeError, lambda x: jg.fft.fftn(x, s=(2, 2, 2))),
    "over nothing": (RuntimeError, lambda x: jg.fft.rfftn(x, dim=())),
    "one element": (RuntimeError, lambda x: jg.fft.irfft(x[:, :1])),
    "whole frequencies": (RuntimeError, lambda x: jg.fft.fftfreq(3, dtype=jg.int64)),
    "a fraction": (TypeError, lambda x: jg.fft.fft(x, n=2.5)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    kind, call = ERRORS[name]
    with pytest.raises(kind):
        call(jg.ones(2, 3))


def test_windows():
    for n in (0, 1, 2, 5, 6):
        for name, values in {
            "hann_window": np.hanning,
            "hamming_window": np.hamming,
            "blackman_window": np.blackman,
            "bartlett_window": np.bartlett,
            "kaiser_window": lambda n: np.kaiser(n, 12.0),
        }.items():
            window = getattr(jg, name)
            np.testing.assert_allclose(window(n, False, dtype=jg.float64).numpy(), values(n), atol=1e-15)
            np.testing.assert_allclose(window(n, dtype=jg.float64).numpy(), values(n + 1)[:n] if n > 1 else values(n), atol=1e-15)
    assert jg.hann_window(4).dtype == jg.float32
    for wrong in (lambda: jg.hann_window(-1), lambda: jg.kaiser_window(3, dtype=jg.int64)):
        with pytest.raises(RuntimeError):
            wrong()


def spectrum(x, n, hop, window, mode):
    padded = np.pad(x, n // 2, mode=mode)
    return np.stack([np.fft.rfft(padded[k : k + n] * window) for k in range(0, len(padded) - n + 1, hop)], -1)


@pytest.mark.parametrize("mode", ["reflect", "constant", "replicate", "circular"])
def test_spectra_of_parts(mode):
    x, window = RNG.standard_normal(20), np.hanning(6) + 0.1
    numpys = {"replicate": "edge", "circular": "wrap"}.get(mode, mode)
    got = jg.stft(jg.tensor(x), 6, 2, window=jg.tensor(window), pad_mode=mode, return_complex=True)
    np.testing.assert_allclose(got.numpy(), spectrum(x, 6, 2, window, numpys), atol=1e-12)
    np.testing.assert_allclose(jg.istft(got, 6, 2, window=jg.tensor(window), length=20).numpy(), x, atol=1e-12)
    many = jg.stft(jg.tensor(np.stack([x, -x])), 6, 2, 4, jg.tensor(window[:4]), pad_mode=mode, return_complex=False)
    assert many.shape == (2, 4, 11, 2)
    np.testing.assert_allclose(jg.istft(jg.view_as_complex(many), 6, 2, 4, jg.tensor(window[:4])).numpy()[1], -x, atol=1e-12)
    two = jg.stft(jg.tensor(x * 1j), 6, 2, pad_mode=mode, normalized=True)
    back = jg.istft(two, 6, 2, normalized=True, return_complex=True)
    np.testing.assert_allclose(back.numpy(), x * 1j, atol=1e-12)


def test_derivatives_of_spectra():
    x, window = RNG.standard_normal((2, 9)), np.hanning(4) + 0.5

    def there(x, w):
        return jg.stft(x, 4, 2, window=w, return_complex=True)

    def back(z, w):
        return jg.istft(z * z, 4, 2, window=w)

    assert gradcheck(there, (x, window))
    assert gradgradcheck(there, (x, window))
    z = there(jg.tensor(x), jg.tensor(window)).numpy()
    assert gradcheck(back, (z, window))
    for f, args in ((there, (x, window)), (back, (z, window))):
        want = f(*map(jg.tensor, args)).numpy()
        for way in ("jit", "interpreted"):
            with jg.sweep(way):
                np.testing.assert_allclose(jg.jit(f)(*map(jg.tensor, args)).numpy(), want, atol=1e-12)
    with pytest.raises(RuntimeError):
        jg.stft(jg.tensor(x), 4)
    with pytest.raises(RuntimeError):
        jg.istft(jg.zeros(3, 4, dtype=jg.complex64), 9)
    with pytest.raises(RuntimeError):
        jg.istft(jg.zeros(3, 4, dtype=jg.complex64), 4, 4, window=jg.zeros(4))
