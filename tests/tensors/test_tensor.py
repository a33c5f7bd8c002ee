"""`Tensor`: how it is made, what it prints, how it converts, how it is indexed, and what NumPy sees of it.

The expected dtypes and texts are PyTorch's, written down here so that the tests run without it.
"""

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.functions.data import tensor
from jitgrad.ops import TABLE

quick = pytest.mark.quick


NAMES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64")


SHORT = dict(zip(("b", "u", "i8", "i16", "i32", "i64", "f16", "bf", "f32", "f64"), NAMES))


def text(x: Any) -> str:
    return repr(x).replace("jitgrad.", "")


MADE = [
    (lambda: tensor(1), "tensor(1)"),
    (lambda: tensor(1.0), "tensor(1.)"),
    (lambda: tensor([True, 2]), "tensor([1, 2])"),
    (lambda: tensor([[1, 2], [3, 4]], dtype=jg.float64), "tensor([[1., 2.],\n        [3., 4.]], dtype=float64)"),
    (lambda: tensor([]), "tensor([])"),
    (lambda: tensor([[], []]), "tensor([], size=(2, 0))"),
    (lambda: tensor(range(3)), "tensor([0, 1, 2])"),
    (lambda: tensor(np.arange(2.0)), "tensor([0., 1.], dtype=float64)"),
    (lambda: tensor([np.float64(1.5)]), "tensor([1.5000], dtype=float64)"),
    (lambda: tensor([np.float32(1.5), 2]), "tensor([1.5000, 2.0000])"),
    (lambda: tensor([np.arange(2.0), [1, 2]]), "tensor([[0., 1.],\n        [1., 2.]], dtype=float64)"),
    (lambda: tensor([tensor(1), tensor([2.5])]), "tensor([1.0000, 2.5000])"),
    (lambda: tensor([1.7, -1.7], dtype=jg.int32), "tensor([ 1, -1], dtype=int32)"),
    (lambda: tensor(0.5, dtype=jg.bool), "tensor(True)"),
    (lambda: tensor(-1, dtype=jg.uint8), "tensor(255, dtype=uint8)"),
    (lambda: tensor(1e10, dtype=jg.float16), "tensor(inf, dtype=float16)"),
    (lambda: tensor([2.5], dtype=int), "tensor([2])"),
    (lambda: jg.zeros(2, 1), "tensor([[0.],\n        [0.]])"),
    (lambda: jg.zeros(size=(2,), dtype=jg.int8, device="cpu"), "tensor([0, 0], dtype=int8)"),
    (lambda: jg.ones((2,), requires_grad=True), "tensor([1., 1.], requires_grad=True)"),
    (lambda: jg.full((2,), 3), "tensor([3, 3])"),
    (lambda: jg.full((2,), True), "tensor([True, True])"),
    (lambda: jg.full((), tensor(3.0)), "tensor(3.)"),
    (lambda: jg.arange(3), "tensor([0, 1, 2])"),
    (lambda: jg.arange(1, 2, 0.5), "tensor([1.0000, 1.5000])"),
    (lambda: jg.arange(5, 1, -2), "tensor([5, 3])"),
    (lambda: jg.arange(end=2, dtype=jg.float64), "tensor([0., 1.], dtype=float64)"),
    (lambda: jg.linspace(0, 1, 3), "tensor([0.0000, 0.5000, 1.0000])"),
    (lambda: jg.eye(2, 3, dtype=jg.int64), "tensor([[1, 0, 0],\n        [0, 1, 0]])"),
    (lambda: jg.zeros_like(jg.ones(2, dtype=jg.int8)), "tensor([0, 0], dtype=int8)"),
    (lambda: jg.full_like(jg.ones(1), 3, dtype=jg.int64), "tensor([3])"),
    (lambda: jg.as_tensor([1, 2], dtype=jg.float32), "tensor([1., 2.])"),
    (lambda: tensor(1.0).new_tensor([1, 2]), "tensor([1., 2.])"),
    (lambda: tensor([1]).new_zeros(2), "tensor([0, 0])"),
    (lambda: tensor([1]).new_ones((1, 2)), "tensor([[1, 1]])"),
    (lambda: tensor([1]).new_full((1,), 7), "tensor([7])"),
]


@quick
@pytest.mark.parametrize(("make", "expected"), MADE, ids=[e for _, e in MADE])
def test_creation(make: Any, expected: str) -> None:
    assert text(make()) == expected


@quick
def test_empty_and_random() -> None:
    assert jg.empty(2, 3).shape == (2, 3)
    assert jg.empty_like(tensor([1])).dtype is jg.int64
    jg.manual_seed(3)
    first = [jg.rand(4), jg.randn(2, 2, dtype=jg.float64), jg.randint(2, 5, (50,)), jg.randint(3, (2,), dtype=jg.int8)]
    jg.manual_seed(3)
    again = [jg.rand(4), jg.randn(2, 2, dtype=jg.float64), jg.randint(2, 5, (50,)), jg.randint(3, (2,), dtype=jg.int8)]
    assert all(jg.equal(a, b) for a, b in zip(first, again))
    assert [a.dtype.name for a in first] == ["float32", "float64", "int64", "int8"]
    assert set(first[2].tolist()) == {2, 3, 4}
    assert jg.rand(10_000, dtype=jg.float16).max().item() < 1
    assert jg.rand_like(first[0]).shape == (4,)
    assert jg.randn_like(first[0], dtype=jg.float64).dtype is jg.float64
    assert jg.randint_like(first[0], 5).dtype is jg.float32
    assert jg.rand(2, generator=jg.Generator().manual_seed(0), requires_grad=True).requires_grad


PROMOTED = """
     b   u   i8  i16 i32 i64 f16 bf  f32 f64
b    b   u   i8  i16 i32 i64 f16 bf  f32 f64
u    u   u   i16 i16 i32 i64 f16 bf  f32 f64
i8   i8  i16 i8  i16 i32 i64 f16 bf  f32 f64
i16  i16 i16 i16 i16 i32 i64 f16 bf  f32 f64
i32  i32 i32 i32 i32 i32 i64 f16 bf  f32 f64
i64  i64 i64 i64 i64 i64 i64 f16 bf  f32 f64
f16  f16 f16 f16 f16 f16 f16 f16 f32 f32 f64
bf   bf  bf  bf  bf  bf  bf  f32 bf  f32 f64
f32  f32 f32 f32 f32 f32 f32 f32 f32 f32 f64
f64  f64 f64 f64 f64 f64 f64 f64 f64 f64 f64
"""


ROWS = [line.split() for line in PROMOTED.strip().splitlines()]


CATEGORY = {name: 0 if name == "bool" else 1 if "int" in name else 2 for name in NAMES}


@quick
def test_promotion_table() -> None:
    for left, *results in ROWS[1:]:
        for right, result in zip(ROWS[0], results):
            x, y = (tensor([1, 1], dtype=getattr(jg, SHORT[n])) for n in (left, right))
            wanted = getattr(jg, SHORT[result])
            assert (x + y).dtype is wanted, (left, right)
            assert (x[0] * y[0]).dtype is wanted, (left, right)
            assert jg.promote_types(x.dtype, y.dtype) is wanted
            # A tensor with dimensions outranks one without, unless that one is of a higher category.
            a, b = SHORT[left], SHORT[right]
            assert (x + y[0]).dtype.name == (SHORT[result] if CATEGORY[b] > CATEGORY[a] else a), (a, b)


@quick
@pytest.mark.parametrize("name", NAMES)
def test_promotion_with_numbers(name: str) -> None:
    x = tensor([1, 0], dtype=getattr(jg, name))
    kind = CATEGORY[name]
    for x_ in (x, x[0]):
        assert (x_ + 2).dtype.name == ("int64" if kind == 0 else name)
        assert (2 * x_).dtype.name == ("int64" if kind == 0 else name)
        assert (x_ + 2.5).dtype.name == (name if kind == 2 else "float32")
        assert (2.5 * x_).dtype.name == (name if kind == 2 else "float32")
        assert (x_ + np.float64(2)).dtype.name == (name if kind == 2 else "float32")  # a number, not an array
        assert (x_ / 2).dtype.name == (name if kind == 2 else "float32")
        assert (x_ * True).dtype.name == name
        assert (x_ < 2).dtype is jg.bool
        assert jg.result_type(x_, 1.5).name == (name if kind == 2 else "float32")


@quick
def test_dtype_facts() -> None:
    assert (jg.half, jg.float, jg.double) == (jg.float16, jg.float32, jg.float64)
    assert (jg.short, jg.int, jg.long) == (jg.int16, jg.int32, jg.int64)
    assert jg.bfloat16.is_floating_point
    assert jg.int8.is_signed
    assert not jg.uint8.is_signed
    assert jg.finfo(jg.float16).max == 65504
    assert jg.finfo(jg.bfloat16).bits == 16
    assert jg.iinfo(jg.int8).max == 127
    assert pickle.loads(pickle.dumps(jg.float32)) is jg.float32
    assert repr(jg.bfloat16) == "jitgrad.bfloat16"


@quick
def test_default_dtype() -> None:
    jg.set_default_dtype(jg.float64)
    try:
        assert jg.get_default_dtype() is jg.float64
        assert text(tensor(1.5)) == "tensor(1.5000)"
        assert text(tensor(1.5, dtype=jg.float32)) == "tensor(1.5000, dtype=float32)"
        assert (tensor([1]) / 2).dtype is jg.float64
    finally:
        jg.set_default_dtype(jg.float32)


@quick
def test_dtype_arguments_and_conversions() -> None:
    x = tensor([1, 2, 3])
    assert x.sum(dtype=jg.float64).dtype is jg.float64
    assert x.prod(dtype=jg.uint8).dtype is jg.uint8
    assert x.mean(dtype=jg.float32).item() == 2
    assert x.cumsum(0, dtype=jg.int8).dtype is jg.int8
    assert x.float().softmax(0, dtype=jg.float64).dtype is jg.float64
    for method, dtype in {
        "half": jg.half,
        "bfloat16": jg.bfloat16,
        "float": jg.float32,
        "double": jg.float64,
        "char": jg.int8,
        "short": jg.int16,
        "int": jg.int32,
        "long": jg.int64,
        "byte": jg.uint8,
        "bool": jg.bool,
    }.items():
        assert getattr(x, method)().dtype is dtype
    assert x.to(jg.int64) is x
    assert x.to(jg.int64, copy=True) is not x
    assert x.to("cpu", jg.float32).dtype is jg.float32
    assert x.to(tensor(1.0)).dtype is jg.float32
    assert x.type_as(tensor(1.0)).dtype is jg.float32
    assert tensor([True, True]).sum().dtype is jg.int64
    assert tensor([1, 2], dtype=jg.int8).max().dtype is jg.int8


@quick
def test_printing() -> None:
    x = tensor([1.0, 2.0], requires_grad=True)
    assert repr(x) == str(x) == "tensor([1., 2.], requires_grad=True)"
    assert repr(x * 2) == "tensor([2., 4.], grad_fn=<MulBackward0>)"
    assert repr((x**2).sum()) == "tensor(5., grad_fn=<SumBackward0>)"
    assert repr(x.detach()) == "tensor([1., 2.])"
    assert repr(tensor([1, 2]) > 1) == "tensor([False,  True])"
    assert repr(x.double()) == "tensor([1., 2.], dtype=jitgrad.float64, grad_fn=<ToCopyBackward0>)"
    assert repr(x.shape) == "jitgrad.Size([2])"
    assert f"{x[0]:.2f}" == "1.00"
    assert f"{tensor(1.5)}" == "1.5"
    assert f"{tensor([1.5])}" == "tensor([1.5000])"
    names = {
        "PowBackward0": x**2,
        "ExpBackward0": x.exp(),
        "SigmoidBackward0": x.sigmoid(),
        "NegBackward0": -x,
        "AddBackward0": 1 + x,
        "CloneBackward0": x.clone(),
        "SliceBackward0": x[1:],
        "MeanBackward0": x.mean(),
        "ExpandBackward0": x.expand(2, 2),
        "CatBackward0": jg.cat([x, x]),
    }
    for name, y in names.items():
        assert repr(y.grad_fn) == f"<{name}>"


@quick
def test_to_python() -> None:
    x = tensor([[1.5, 2.0], [3.0, 4.0]])
    assert x.tolist() == [[1.5, 2.0], [3.0, 4.0]]
    assert x[0, 0].item() == 1.5
    assert isinstance(tensor(3).item(), int)
    assert isinstance(tensor(True).item(), bool)
    assert tensor(1.5, dtype=jg.bfloat16).item() == 1.5
    assert tensor([1.5], dtype=jg.bfloat16).tolist() == [1.5]
    assert (float(tensor([1.5])), int(tensor(1.7)), bool(tensor([2])), complex(tensor(1.0))) == (1.5, 1, True, 1 + 0j)
    assert bool(tensor(math.nan))
    assert [1, 2, 3][tensor(1)] == 2
    assert len(x) == 2
    assert [row.tolist() for row in x] == x.tolist()
    first, _ = x
    assert jg.equal(first, x[0])
    assert 3.0 in x
    assert 9.0 not in x
    assert math.sqrt(tensor(4.0)) == 2
    assert (x == None).__class__ is bool  # noqa: E711
    assert {x: 1}[x] == 1
    assert (x.numel(), x.nelement(), x.dim(), x.ndim, x.size(), x.size(-1)) == (4, 4, 2, 2, (2, 2), 2)
    assert (x.element_size(), x.itemsize, x.nbytes, x.stride(), x.t().stride(0)) == (4, 4, 16, (2, 1), 1)
    assert x.is_contiguous()
    assert not x.t().is_contiguous()
    assert x.t().contiguous().is_contiguous()
    assert x.device == "cpu"
    assert x.device == jg.device("cpu")
    assert repr(x.device) == "device(type='cpu')"
    assert jg.is_tensor(x)
    assert jg.is_floating_point(x)
    assert jg.numel(x) == x.shape.numel() == 4


@quick
def test_deepcopy_and_pickle() -> None:
    for x in (tensor([1.0, 2.0], requires_grad=True), tensor(3), tensor([[1.5]], dtype=jg.bfloat16)):
        for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
            assert repr(y) == repr(x)
            assert y.is_leaf
            with jg.no_grad():
                y.zero_()
            assert x.abs().sum().item() > 0


@quick
def test_numpy_memory() -> None:
    array = np.arange(3.0)
    shared, copied = jg.from_numpy(array), tensor(array)
    array[0] = 9
    assert (shared[0].item(), copied[0].item()) == (9, 0)
    shared[1] = 7
    assert array[1] == 7
    x = tensor([1.0, 2.0])
    x.numpy()[0] = 5
    x[1:].numpy()[0] = 6
    assert x.tolist() == [5, 6]
    scalar = tensor(1.0)
    scalar.numpy()[...] = 2
    assert scalar.item() == 2
    assert np.asarray(x).base is not None
    assert np.array(x).dtype == np.float32
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    assert tensor([1.0], requires_grad=True).numpy(force=True).shape == (1,)


@quick
def test_every_row_is_a_function_and_a_method() -> None:
    for name, op in TABLE.items():
        if op.internal or name in ("cast", "pad"):
            continue
        assert callable(getattr(getattr(jg, op.namespace) if op.namespace else jg, name)), name
        for alias in (*([] if op.namespace else [name]), *[a for a in op.aliases if "." not in a]):
            assert callable(getattr(jg, alias)), alias
            assert getattr(jg, alias).__doc__
            if name not in ("cat", "where"):
                assert callable(getattr(jg.Tensor, alias)), alias


@quick
def test_axis_and_keepdims() -> None:
    x = jg.arange(6.0).reshape(2, 3)
    for name in ("sum", "mean", "prod", "amax", "amin", "argmax", "argmin", "std", "var", "any", "all", "logsumexp"):
        for call in (getattr(x, name), lambda name=name, **k: getattr(jg, name)(x, **k)):
            assert jg.equal(call(axis=1, keepdims=True), call(dim=1, keepdim=True)), name
    assert jg.equal(x.max(axis=1).indices, x.argmax(1))
    assert jg.equal(x.softmax(axis=0), x.softmax(0))
    assert jg.equal(x.cumsum(axis=1), x.cumsum(1))
    assert jg.equal(jg.cat([x, x], axis=1), jg.cat([x, x], 1))
    assert jg.equal(x.squeeze(axis=0), x)


@quick
def test_docstrings_of_public_names() -> None:
    public = [getattr(jg, n) for n in dir(jg) if not n.startswith("_") and callable(getattr(jg, n))]
    assert not [f for f in public if not f.__doc__]
    assert not [n for n in dir(jg.Tensor) if not n.startswith("_") and not getattr(jg.Tensor, n).__doc__]


@pytest.mark.parametrize("dtype", [jg.float16, jg.bfloat16])
def test_many_short_floats_are_reduced_in_float32(dtype):
    ones = jg.ones(3000, 2, dtype=dtype)
    assert ones.sum(0).tolist() == pytest.approx([3000] * 2, rel=4e-3)
    assert ones.mean().item() == 1
    assert ones.cumsum(0)[-1].tolist() == pytest.approx([3000] * 2, rel=4e-3)
    assert ones.norm().item() == pytest.approx(6000**0.5, rel=4e-3)
    assert ones.softmax(0).sum().item() == pytest.approx(2, rel=1e-2)
    assert ones.logsumexp(0)[0].item() == pytest.approx(np.log(3000) + 1, rel=4e-3)
    assert ones.sum().dtype is ones.softmax(0).dtype is dtype
    shift = jg.tensor(0.0, dtype=dtype, requires_grad=True)
    (ones + shift).sum().backward()
    assert shift.grad.item() == pytest.approx(6000, rel=4e-3)


def test_whole_quotients_towards_zero():
    assert jg.div(jg.tensor(123456789), jg.tensor(10), rounding_mode="trunc").item() == 12345678
    assert jg.div(jg.tensor([-7, 7, -8, 0]), jg.tensor([2, -2, 2, 3]), rounding_mode="trunc").tolist() == [-3, -3, -4, 0]
    assert jg.div(jg.tensor([-7.0, 7.0]), 2, rounding_mode="trunc").tolist() == [-3.0, 3.0]


def test_flips_of_no_dimension_and_nan_without_dimensions():
    assert jg.arange(3).flip(()).tolist() == jg.flip(jg.arange(3), []).tolist() == [0, 1, 2]
    nan = jg.tensor(float("nan"))
    assert all(y.isnan() for f in (lambda x: x.softmax(0), lambda x: x.log_softmax(0)) for y in (f(nan), jg.jit(f)(nan)))


@pytest.mark.parametrize(
    "call",
    [
        lambda: jg.cross_entropy(jg.ones(2, 2), jg.tensor([0])),
        lambda: jg.cross_entropy(jg.ones(2, 3, 2, 2), jg.zeros(2, 2, 1, dtype=jg.int64)),
        lambda: jg.binary_cross_entropy_with_logits(jg.ones(2, 1), jg.ones(2)),
        lambda: jg.binary_cross_entropy(jg.ones(2, 1), jg.ones(2)),
    ],
)
def test_losses_of_shapes_that_do_not_belong_together(call):
    with pytest.raises((ValueError, RuntimeError), match="shape"):
        call()


def test_isclose_of_numbers_and_arrays():
    one = jg.tensor([1.0, 2.0])
    assert np.isclose(1.0, one).tolist() == jg.isclose(one, 1.0).tolist() == [True, False]
    assert jg.isclose(np.ones(2), one).tolist() == [True, False]
