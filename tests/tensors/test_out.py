"""`out=`: what a function gives is written into tensors of the caller's."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg


@pytest.mark.parametrize(
    "call",
    [
        lambda **out: jg.exp(jg.ones(2, 3), **out),
        lambda **out: jg.add(jg.ones(2, 3), 1, alpha=2, **out),
        lambda **out: jg.outer(jg.ones(2), jg.ones(3), **out),
        lambda **out: jg.sum(jg.ones(4, 2, 3), 0, **out),
        lambda **out: jg.stack([jg.ones(3), jg.zeros(3)], **out),
        lambda **out: jg.atan2(jg.ones(2, 3), jg.ones(3), **out),
        lambda **out: jg.logaddexp(jg.ones(2, 3), jg.zeros(3), **out),
    ],
)
def test_out_is_filled_and_returned(call):
    want = call()
    for out in (jg.empty(2, 3), jg.empty(0), jg.empty(2, 3, dtype=jg.float64)):
        assert call(out=out) is out
        np.testing.assert_array_equal(out.numpy(), want.numpy())
    wide = jg.zeros(2, 6)
    assert call(out=wide[:, ::2]).tolist() == want.tolist()
    assert wide[:, ::2].tolist() == want.tolist()
    assert call(out=None).tolist() == want.tolist()


def test_several_results():
    values, indices = jg.empty(0), jg.empty(0, dtype=jg.int64)
    found = jg.sort(jg.tensor([3.0, 1.0]), out=(values, indices))
    assert found.values is values
    assert found.indices is indices
    assert (values.tolist(), indices.tolist()) == ([1.0, 3.0], [1, 0])


def test_what_out_cannot_be():
    x, leaf = jg.ones(3), jg.ones(3, requires_grad=True)
    for out, error, text in [
        (3, TypeError, "out must be a tensor, not int"),
        (jg.empty(3, dtype=jg.int64), RuntimeError, "float32 can't be cast to int64"),
        (leaf, RuntimeError, "no gradient flows through out=, and out requires grad"),
        (jg.ones(2)[:1], RuntimeError, r"shape \[1\] and others see its memory"),
    ]:
        with pytest.raises(error, match=text):
            jg.exp(x, out=out)
    with pytest.raises(RuntimeError, match="an operand requires grad"):
        jg.exp(leaf, out=jg.empty(3))
    with jg.no_grad():
        assert jg.exp(leaf, out=jg.empty(3)).shape == (3,)
    with pytest.raises(TypeError, match="2 tensors, one for each result"):
        jg.sort(x, out=jg.empty(3))
    with pytest.warns(UserWarning, match=r"shape \[2\], takes the shape of the result, \[3\]"):
        assert jg.exp(x, out=jg.ones(2)).shape == (3,)


@pytest.mark.parametrize(
    ("call", "dtypes"),
    [
        (lambda x, out: jg.gather(x, 0, jg.zeros(2, dtype=jg.int64), out=out), "float32"),
        (lambda x, out: jg.take(x, jg.zeros(2, dtype=jg.int64), out=out), "float32"),
        (lambda x, out: jg.complex(x, x, out=out), "complex64"),
        (lambda x, out: jg.floor(x, out=out), "float32"),
        (lambda x, out: jg.aminmax(x, dim=0, out=out), "float32 float32"),
        (lambda x, out: jg.sort(x, out=out), "float32 int64"),
        (lambda x, out: jg.matmul(x, x, out=out), "float32"),
        (lambda x, out: jg.mv(jg.eye(2), x, out=out), "float32"),
        (lambda x, out: jg.vdot(x, x, out=out), "float32"),
        (lambda x, out: jg.addmv(x, jg.eye(2), x, out=out), "float32"),
        (lambda x, out: jg.linalg.inv(jg.eye(2), out=out), "float32"),
        (lambda x, out: jg.linalg.eigh(jg.eye(2), out=out), "float32 float32"),
        (lambda x, out: jg.linalg.inv_ex(jg.eye(2), out=out), "float32 int32"),
        (lambda x, out: jg.linalg.norm(x, out=out), "float32"),
        (lambda x, out: jg.amax(x, 0, out=out), "float32"),
        (lambda x, out: jg.where(x > 0, x, x, out=out), "float32"),
        (lambda x, out: jg.clamp(x, 0, 1, out=out), "float32"),
        (lambda x, out: jg.round(x, out=out), "float32"),
        (lambda x, out: jg.nan_to_num(x, out=out), "float32"),
        (lambda x, out: jg.tril(jg.eye(2), out=out), "float32"),
        (lambda x, out: jg.sum(x, 0, dtype=jg.float16, out=out), "float16"),
        (lambda x, out: jg.cumsum(x, 0, dtype=jg.float16, out=out), "float16"),
        (lambda x, out: jg.nansum(x, 0, dtype=jg.float16, out=out), "float16"),
    ],
)
def test_what_is_picked_has_one_dtype(call, dtypes):
    def given(names):
        made = tuple(jg.empty(0, dtype=getattr(jg, name)) for name in names)
        return made if len(made) > 1 else made[0]

    right = dtypes.split()
    call(jg.ones(2), given(right))
    for k in range(len(right)):
        with pytest.raises(RuntimeError, match="out must have the dtype of the result"):
            call(jg.ones(2), given([*right[:k], "complex128", *right[k + 1 :]]))


def test_elements_that_are_one_place_in_memory_are_not_written():
    once = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (3,), (0,))  # which NumPy lets one write to
    for write in (lambda x: jg.exp(jg.ones(3), out=x), lambda x: x.add_(1), lambda x: x.__setitem__(0, 1.0)):
        with pytest.raises(RuntimeError, match="several elements of this tensor are one place in memory"):
            write(jg.from_numpy(once))
    assert jg.from_numpy(once[:1]).add_(1).tolist() == [1]


def test_out_under_jit():
    def f(x):
        out = jg.empty(3)
        jg.exp(x, out=out)
        return out * 2

    np.testing.assert_allclose(jg.jit(f)(jg.zeros(3)).numpy(), [2, 2, 2])
    with pytest.raises(RuntimeError, match="under jit it must have that of the result"):
        jg.jit(lambda x: jg.exp(x, out=jg.empty(0)))(jg.ones(3))


MAKERS = [
    (jg.zeros, (2, 3)),
    (jg.ones, ((2, 3),)),
    (jg.empty, (2, 3)),
    (jg.full, ((2, 3), 2)),
    (jg.arange, (3,)),
    (jg.linspace, (0, 3, 4)),
    (jg.logspace, (0, 3, 4)),
    (jg.eye, (3,)),
    (jg.rand, (2, 3)),
    (jg.randn, (2, 3)),
    (jg.randint, (0, 5, (2, 3))),
]


@pytest.mark.parametrize(("make", "given"), MAKERS, ids=lambda x: getattr(x, "__name__", ""))
def test_what_is_made_is_of_the_dtype_of_out(make, given):
    random = make in (jg.empty, jg.rand, jg.randn, jg.randint)
    for dtype in (jg.float32, jg.float64, jg.float16):
        out = jg.empty(0, dtype=dtype)
        assert make(*given, out=out) is out
        want = make(*given, dtype=dtype)
        assert out.dtype == dtype
        assert out.shape == want.shape
        assert random or out.tolist() == want.tolist()
        assert make(*given, out=out, dtype=dtype) is out
    with pytest.raises(RuntimeError, match="is not the dtype of out, float16"):
        make(*given, out=out, dtype=jg.float32)
    with pytest.raises(TypeError, match="out must be a tensor, not int"):
        make(*given, out=3)


@pytest.mark.parametrize("norm", [jg.norm, jg.linalg.norm, jg.linalg.vector_norm, jg.linalg.matrix_norm])
def test_norms_are_not_computed_in_less_than_their_operand_has(norm):
    x = jg.eye(2, dtype=jg.float64)
    for y, dtype in ((x, jg.float32), (x.float(), jg.float16), (x + 1j * x, jg.float64), (x, jg.complex128), (x, jg.int64)):
        with pytest.raises(RuntimeError, match="dtype"):
            norm(y, dtype=dtype)
    assert norm(x.float(), dtype=jg.float64).dtype == jg.float64
    assert norm((x + 1j * x).to(jg.complex64), dtype=jg.complex128).item() == pytest.approx(2)


def test_means_that_pass_over_nan_are_of_floats():
    with pytest.raises(RuntimeError, match="nanmean"):
        jg.nanmean(jg.ones(2), dtype=jg.int64)


def test_sums_and_products_are_taken_in_the_dtype_of_out() -> None:
    x = jg.tensor([0.5, 0.7, 2.9])
    for name, wanted in (("cumsum", [0, 0, 2]), ("cumprod", [0, 0, 0])):
        assert getattr(jg, name)(x, 0, out=jg.zeros(3, dtype=jg.int64)).tolist() == wanted
    assert jg.sum(x, 0, out=jg.zeros((), dtype=jg.int64)).item() == 2
    assert jg.prod(x + 1, 0, out=jg.zeros((), dtype=jg.int64)).item() == 3
    exact = jg.sum(x, 0, out=jg.zeros((), dtype=jg.float64)).item()
    assert exact == x.double().sum().item() != x.sum().double().item()
    with pytest.raises(RuntimeError, match="can't be cast"):
        jg.sum(jg.tensor([1j]), 0, out=jg.zeros(()))


def test_what_has_no_gradient_is_written_where_one_is_asked_for() -> None:
    a, out = jg.tensor([1.0, 2.0]), jg.zeros(2, requires_grad=True)
    assert jg.eq(a, a, out=out) is out
    assert (out.tolist(), out.requires_grad, out.is_leaf) == ([1.0, 1.0], True, True)
    assert jg.logical_and(a, a - 1, out=out).tolist() == [0.0, 1.0]
    kept = out * 1
    squares = kept * kept
    jg.lt(a, 2, out=kept)
    with pytest.raises(jg.errors.OverwrittenError):
        squares.sum().backward()


@pytest.mark.parametrize(
    "call",
    [
        lambda out: jg.isin(jg.ones(2), jg.ones(2), out=out),
        lambda out: jg.signbit(jg.ones(2), out=out),
        lambda out: jg.searchsorted(jg.ones(2), jg.ones(2), out=out),
        lambda out: jg.frac(jg.ones(2), out=out),
        lambda out: jg.clamp_min(jg.ones(2), 0.0, out=out),
        lambda out: jg.scatter(jg.ones(2), 0, jg.tensor([0]), jg.ones(1), out=out),
        lambda out: jg.index_copy(jg.ones(2), 0, jg.tensor([0]), jg.ones(1), out=out),
        lambda out: jg.quantile(jg.ones(2), jg.tensor([0.5, 0.6]), out=out),
        lambda out: jg.histc(jg.ones(2), 2, out=out),
    ],
)
def test_what_is_not_converted_is_written_in_its_dtype(call) -> None:
    with pytest.raises(RuntimeError, match="out must have the dtype of the result"):
        call(jg.zeros(2, dtype=jg.float64))
