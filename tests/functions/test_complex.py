"""Complex tensors: values against NumPy, gradients against differences in the real and the imaginary direction, every sweep."""

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.testing import gradcheck, gradgradcheck
from tests.helpers.complex_matrices import OF_ONE, OF_TWO

RNG = np.random.default_rng(7)


def numbers(*shape):
    """Complex numbers away from 0 and from the cuts along the axes."""
    angles = np.array([0.4, 1.1, 2.0, 2.8, -0.5, -1.2, -2.2, -2.9])
    found = np.exp(1j * angles[np.arange(int(np.prod(shape))) % 8]) * (0.6 + 0.8 * RNG.random(int(np.prod(shape))))
    return found.reshape(shape)


NAMES = (
    "exp",
    "exp2",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "square",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "sigmoid",
    "abs",
    "angle",
    "sgn",
    "real",
    "imag",
    "conj",
    "conj_physical",
    "neg",
    "sum",
    "mean",
    "prod",
    "view_as_real",
)
UNARY = {name: (lambda x, name=name: getattr(jg, name)(x)) for name in NAMES} | {
    "norm": lambda x: x.norm(),
    "norm 3": lambda x: x.reshape(2, 2).norm(3, 1),
    "norm inf": lambda x: x.norm(float("inf")),
    "var": lambda x: x.var(),
    "std": lambda x: x.reshape(2, 2).std(1, keepdim=True),
    "logsumexp": lambda x: x.reshape(2, 2).logsumexp(1),
    "cumsum": lambda x: x.cumsum(0),
    "power 2": lambda x: x**2,
    "power 2.5": lambda x: x**2.5,
    "power 1+1j": lambda x: x ** (1 + 1j),
    "1j to the power": lambda x: (0.5 + 1j) ** x,
    "1 /": lambda x: (1 - 2j) / x,
    "minus": lambda x: 1 - x,
    "H": lambda x: x.reshape(2, 2).H @ x.reshape(2, 2),
    "index": lambda x: x[1:] * x[[0, 2, 2]],
    "where": lambda x: jg.where(x.real > 0, x, 2j),
    "silu": lambda x: jg.nn.functional.silu(x) if hasattr(jg.nn.functional, "silu") else jg.silu(x),
    "to real and back": lambda x: x.abs().to(jg.complex128) * x,
    "real times": lambda x: x.real * x,
    "changed in place": lambda x: changed(x),
    "a part changed in place": lambda x: part_changed(x),
    "cumprod": lambda x: x.cumprod(0),
    "cumprod of 0": lambda x: (x * jg.tensor([1, 0, 1, 0])).cumprod(0),
    "normalize": lambda x: jg.nn.functional.normalize(x.reshape(2, 2)),
}


def changed(x):
    y = x.clone()
    y[1] = y[0] * 2j
    y *= x
    return y


def part_changed(x):
    y = x.clone()
    y.imag.mul_(x.real)
    return y


BINARY = {
    "add": jg.add,
    "sub": jg.sub,
    "mul": jg.mul,
    "div": jg.div,
    "pow": jg.pow,
    "matmul": jg.matmul,
    "dot": jg.dot,
    "outer": jg.outer,
    "complex": lambda x, y: jg.complex(x.real, y.imag),
    "polar": lambda x, y: jg.polar(x.abs(), y.angle()),
    "cat": lambda x, y: jg.cat([x, y * 1j]),
    "stack": lambda x, y: jg.stack([x, y], 1).mean(0),
    "vdot": jg.vdot,
    "vecdot": lambda x, y: jg.linalg.vecdot(x.reshape(2, 2), y.reshape(2, 2)),
    "float_power": jg.float_power,
    "lerp": lambda x, y: jg.lerp(x, y, 0.3) + jg.lerp(x, y, x),
    "addcdiv": lambda x, y: jg.addcdiv(x, x, y, value=0.5j),
    "addr": lambda x, y: jg.addr(jg.outer(x, x), x, y, alpha=1j, beta=2 - 1j),
}
X, Y = numbers(4), numbers(8)[4:]
CASES = {name: (f, (X,)) for name, f in (UNARY | OF_ONE).items()} | {name: (f, (X, Y)) for name, f in (BINARY | OF_TWO).items()}


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name):
    function, arguments = CASES[name]
    assert gradcheck(function, arguments)
    assert gradgradcheck(function, arguments)


def listed(x):
    return np.asarray(x.detach().numpy())


def test_every_sweep_vmap_and_tangents():
    """Values and gradients under jit as without, one tape for all cases; tangents as the gradient says."""
    names = list(CASES)
    weights = {}

    def results(x, y):
        return [CASES[name][0](*(x, y)[: len(CASES[name][1])]) for name in names]

    def weighed(x, y):
        total = jg.tensor(0.0, dtype=jg.float64)
        for name, r in zip(names, results(x, y)):
            r = jg.view_as_real(r) if r.dtype.is_complex else r
            w = weights.setdefault(name, np.cos(np.arange(r.numel(), dtype=np.float64)).reshape(tuple(r.shape)))
            total = total + (r * jg.tensor(w)).sum()
        return total

    x, y = jg.tensor(X), jg.tensor(Y)
    values, slopes = results(x, y), jg.grad(weighed, (0, 1))(x, y)
    for way in ("jit", "interpreted", "machine", "numba"):
        with jg.sweep(way):
            jitted, derived = jg.jit(results), jg.jit(jg.grad(weighed, (0, 1)))
            for _ in range(2):
                for name, got, want in zip(names, jitted(x, y), values):
                    np.testing.assert_allclose(listed(got), listed(want), rtol=1e-12, err_msg=f"{name}, {way}")
                    assert got.dtype == want.dtype
                for got, want in zip(derived(x, y), slopes):
                    np.testing.assert_allclose(listed(got), listed(want), rtol=1e-9)
    twice = jg.vmap(results)(jg.stack([x, x]), jg.stack([y, y]))
    for name, got, want in zip(names, twice, values):
        np.testing.assert_allclose(listed(got), listed(jg.stack([want, want])), rtol=1e-12, err_msg=name)
    tx, ty = jg.tensor(numbers(4)), jg.tensor(numbers(4))
    (_, change), step = jg.jvp(weighed, (x, y), (tx, ty)), 1e-6
    there, back = weighed(x + step * tx, y + step * ty), weighed(x - step * tx, y - step * ty)
    assert change.item() == pytest.approx(((there - back) / (2 * step)).item(), rel=1e-6)
    along = sum((g.conj() * t).real.sum().item() for g, t in zip(slopes, (tx, ty)))
    assert change.item() == pytest.approx(along, rel=1e-9)
    for name in names:  # tangents of complex results
        f, n = CASES[name][0], len(CASES[name][1])
        _, change = jg.jvp(f, (x, y)[:n], (tx, ty)[:n])
        there, back = f(*(x + step * tx, y + step * ty)[:n]), f(*(x - step * tx, y - step * ty)[:n])
        np.testing.assert_allclose(listed(change), listed((there - back) / (2 * step)), rtol=1e-5, atol=1e-7, err_msg=name)


def test_values_are_numpys():
    for name in [
        "exp",
        "expm1",
        "log",
        "log1p",
        "log2",
        "log10",
        "sqrt",
        "square",
        "sin",
        "cos",
        "tan",
        "sinh",
        "cosh",
        "tanh",
        "abs",
        "angle",
        "real",
        "imag",
        "conj",
    ]:
        np.testing.assert_allclose(listed(getattr(jg, name)(jg.tensor(X))), getattr(np, name)(X), rtol=1e-13, err_msg=name)
    for name, own in {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arcsinh", "atanh": "arctanh"}.items():
        np.testing.assert_allclose(listed(getattr(jg, name)(jg.tensor(X))), getattr(np, own)(X), rtol=1e-13, err_msg=name)
    np.testing.assert_allclose(listed(jg.sigmoid(jg.tensor(X))), 1 / (1 + np.exp(-X)))
    np.testing.assert_allclose(listed(jg.exp2(jg.tensor(X))), 2**X)
    np.testing.assert_allclose(listed(jg.sgn(jg.tensor([0, 3 + 4j]))), [0, 0.6 + 0.8j])
    assert jg.angle(jg.tensor([-1, 2])).tolist() == [pytest.approx(np.pi), 0.0]
    assert jg.tensor([1 + 2j, 3.0]).isreal().tolist() == [False, True]


def test_dtypes():
    c64, c128 = jg.complex64, jg.complex128
    f16, f32, f64 = (jg.zeros(2, dtype=d) for d in (jg.float16, jg.float32, jg.float64))
    half, one, two = jg.zeros((), dtype=jg.float64), jg.zeros(2, dtype=c64), jg.zeros(2, dtype=c128)
    assert jg.tensor(1j).dtype == jg.tensor([1, 2j]).dtype == c64
    assert jg.tensor(np.array([1j])).dtype == c128
    assert (f32 * 1j).dtype == (f16 * 1j).dtype == (jg.ones(2, dtype=jg.int64) * 1j).dtype == c64
    assert (f64 * 1j).dtype == (f64 * one).dtype == (one * two).dtype == (half * 1j).dtype == c128
    assert (one * half).dtype == (one * 2.0).dtype == (one * np.float64(2)).dtype == (one * np.complex128(2)).dtype == c64
    assert (f64 * jg.tensor(1j)).dtype == c128
    assert (f32 * jg.tensor(1j, dtype=c128)).dtype == c64
    assert jg.cfloat is c64
    assert jg.cdouble is c128
    assert c64.is_complex
    assert c64.is_signed
    assert not c64.is_floating_point
    assert c64.to_real() is jg.float32
    assert jg.float64.to_complex() is c128
    assert jg.finfo(c64).dtype == "float32"
    assert f32.cdouble().dtype == f64.to(c128).dtype == c128
    assert one.is_complex()
    assert not f32.is_complex()
    assert jg.promote_types(jg.float64, c64) == c128
    assert jg.promote_types(jg.int64, c64) == c64
    assert jg.tensor([1 + 2j, 0]).to(jg.bool).tolist() == [True, False]
    assert jg.tensor([1 + 2j]).to(jg.int64).tolist() == [1]
    assert jg.full((2,), 1j).tolist() == [1j, 1j]
    assert jg.linspace(0, 2j, 3).tolist() == [0, 1j, 2j]
    assert jg.rand(100, dtype=c64).imag.max().item() > 0.5
    assert jg.zeros_like(one).dtype == c64
    assert jg.randn(3, dtype=c64).dtype == c64
    assert jg.tensor(1 + 2j).item() == complex(jg.tensor(1 + 2j)) == 1 + 2j
    assert float(jg.tensor(1 + 0j)) == 1.0
    assert jg.tensor([1j]).numpy().dtype == np.complex64
    assert repr(jg.tensor([1 + 2.5j])) == "tensor([1.+2.5000j])"
    assert repr(two) == "tensor([0.+0.j, 0.+0.j], dtype=jitgrad.complex128)"


def test_gradients_of_real_operands_are_real():
    x, z = jg.tensor([1.0, 2.0], requires_grad=True), jg.tensor([1 + 2j, 3 - 1j], requires_grad=True)
    (x * z).abs().square().sum().backward()
    assert x.grad.dtype == jg.float32
    assert x.grad.tolist() == [10.0, 40.0]
    assert z.grad.dtype == jg.complex64
    (g,) = jg.autograd.grad(z.exp(), z, jg.ones(2, dtype=jg.complex64))
    np.testing.assert_allclose(g.numpy(), np.conj(np.exp([1 + 2j, 3 - 1j])), rtol=1e-6)


def test_views():
    z = jg.tensor([1 + 2j, 3 + 4j])
    pairs = jg.view_as_real(z)
    pairs[0, 0] = 7.0
    assert z.tolist() == [7 + 2j, 3 + 4j]
    z.real = jg.tensor([1.0, 1.0])
    z.imag.zero_()
    assert z.tolist() == [1, 1]
    assert pairs.tolist() == [[1.0, 0.0], [1.0, 0.0]]
    p = jg.zeros(3, 2)
    jg.view_as_complex(p).add_(1j)
    assert p.tolist() == [[0.0, 1.0]] * 3
    step = jg.tensor(np.arange(8.0).reshape(2, 2, 2)).transpose(0, 1)
    assert jg.view_as_complex(step).tolist() == [[1j, 4 + 5j], [2 + 3j, 6 + 7j]]
    assert jg.view_as_real(jg.tensor([[1j, 2], [3, 4j]]).T).shape == (2, 2, 2)
    assert jg.tensor(2 + 3j).imag.item() == 3.0


REFUSED = ("floor", "ceil", "trunc", "round", "sign", "erf", "max", "amax", "argmax", "relu", "lgamma")
ERRORS = {
    "lt": (NotImplementedError, lambda z: z < z),
    "gt a number": (NotImplementedError, lambda z: z > 1),
    **{name: (NotImplementedError, lambda z, name=name: getattr(z, name)()) for name in REFUSED},
    "maximum": (NotImplementedError, lambda z: jg.maximum(z, z)),
    "sort": (NotImplementedError, lambda z: z.sort()),
    "clamp": (NotImplementedError, lambda z: z.clamp(0, 1)),
    "softmax": (NotImplementedError, lambda z: z.softmax(0)),
    "//": (NotImplementedError, lambda z: z // z),
    "%": (NotImplementedError, lambda z: z % 2),
    "&": (NotImplementedError, lambda z: z & z),
    "float": (RuntimeError, lambda z: float(z[0])),
    "backward": (RuntimeError, lambda z: (z.clone().requires_grad_() * 2).sum().backward()),
    "grad": (RuntimeError, lambda z: jg.grad(lambda z: (z * z).sum())(z)),
    "cotangent": (RuntimeError, lambda z: (z.clone().requires_grad_() * 2).backward(z.real)),
    "into real": (RuntimeError, lambda z: z.real.clone().add_(z)),
    "written": (RuntimeError, lambda z: z.real.clone().__setitem__(0, 1j)),
    "imag": (RuntimeError, lambda z: z.real.imag),
    "view_as_real": (RuntimeError, lambda z: jg.view_as_real(z.real)),
    "view_as_complex": (RuntimeError, lambda z: jg.view_as_complex(jg.zeros(3))),
    "complex": (RuntimeError, lambda z: jg.complex(z.real, z.real.double())),
    "complex of ints": (RuntimeError, lambda z: jg.complex(jg.tensor([1]), jg.tensor([1]))),
    "H": (RuntimeError, lambda z: z.H),
    "index": (IndexError, lambda z: z[z]),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    kind, call = ERRORS[name]
    with pytest.raises(kind):
        call(jg.tensor([1 + 2j, 3 - 1j]))


def test_numbers_under_jit():
    """Python's complex numbers are part of the key; those of NumPy, and tensors of no dimensions, are inputs."""
    f = jg.jit(lambda x, c: (x * c + 1j).abs().sum())
    x = jg.tensor([1.0, 2.0])
    for c in (2j, 3 + 1j, np.complex64(2j), jg.tensor(1 + 1j), jg.tensor(2 + 2j), 2.0):
        want = np.abs(np.array([1.0, 2.0]) * complex(c) + 1j).sum()
        for _ in range(3):
            assert f(x, c).item() == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("kind", ["real", "complex"])
def test_eigenvalues(kind):
    x = np.array([[4.0, 1.0, -1.0], [0.5, 3.0, 1.0], [-1.0, 2.5, 5.0]]) + (numbers(3, 3) if kind == "complex" else 0)
    x = np.stack([x, x.T * 2])
    values, vectors = jg.linalg.eig(jg.tensor(x))
    np.testing.assert_allclose(x @ vectors.numpy(), vectors.numpy() * values.numpy()[:, None, :], atol=1e-12)
    np.testing.assert_allclose(np.sort(jg.linalg.eigvals(jg.tensor(x)).numpy()), np.sort(np.linalg.eigvals(x)), atol=1e-12)

    def of_vectors(x):
        values, vectors = jg.linalg.eig(x)
        return (vectors.abs() * values.real[..., None, :]).sum(-1)

    assert gradcheck(jg.linalg.eigvals, x)
    assert gradcheck(of_vectors, x)
    assert gradgradcheck(of_vectors, x[0])
    for way in ("jit", "interpreted"):
        with jg.sweep(way):
            found = jg.jit(lambda x: (of_vectors(x), jg.linalg.eigvals(x)))(jg.tensor(x))
            np.testing.assert_allclose(found[0].numpy(), of_vectors(jg.tensor(x)).numpy(), atol=1e-12)
            np.testing.assert_allclose(found[1].numpy(), values.numpy(), atol=1e-12)
    with pytest.raises(RuntimeError):
        jg.linalg.eig(jg.zeros(2, 3))


def of_eigh(x):
    values, vectors = jg.linalg.eigh(x + x.mH)
    return (vectors.abs() * values).sum(-1)


def of_svd(x):
    u, s, vh = jg.linalg.svd(x, full_matrices=False)
    return (u.abs() * s).sum(-1), (u * jg.exp(s)) @ vh


def of_qr(x):
    q, r = jg.linalg.qr(x)
    return q * 2, r.real


@pytest.mark.parametrize("function", [of_eigh, of_svd, of_qr])
def test_decompositions(function):
    x = numbers(3, 3) + np.diag([1.0, 2.0, 4.0])
    assert gradcheck(function, x)
    assert gradgradcheck(function, x)
    want = function(jg.tensor(x))
    with jg.sweep("jit"):
        for got, y in zip(jg.jit(function)(jg.tensor(x)), want):
            assert got.dtype == y.dtype
            np.testing.assert_allclose(got.numpy(), y.numpy(), atol=1e-12)


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean"])
@pytest.mark.parametrize("include_self", [True, False])
def test_what_is_sent_to_places_is_reduced(reduce, include_self):
    index = jg.tensor([1, 1, 0, 1])
    x, sent = (jg.tensor(numbers(n), requires_grad=True) for n in (3, 4))
    f = lambda x, sent: x.scatter_reduce(0, index, sent, reduce, include_self=include_self)
    assert gradcheck(f, (x, sent))
    assert gradgradcheck(f, (x, sent))
    of = getattr(np, reduce)
    a, b = x.detach().numpy(), sent.detach().numpy()
    parts = [[a[0], b[2]], [a[1], b[0], b[1], b[3]], [a[2]]]
    wanted = [of(part if include_self or len(part) == 1 else part[1:]) for part in parts]
    np.testing.assert_allclose(f(x, sent).detach().numpy(), wanted)
    np.testing.assert_allclose(jg.jit(f)(x, sent).detach().numpy(), wanted)


def test_there_is_no_extreme_of_what_is_sent_to_places():
    for reduce in ("amax", "amin"):
        with pytest.raises(NotImplementedError, match=f"no order, so there is no {reduce}"):
            jg.tensor(numbers(3)).scatter_reduce(0, jg.tensor([0]), jg.tensor(numbers(1)), reduce)
