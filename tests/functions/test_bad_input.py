"""Bad input, one case after the other: the exception type of PyTorch, and a message that says what to do instead.

Each case is a piece of code, the exception, and words that the message must have, in this order.
"""

import copy
import math
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad.errors import FreedTapeError, JitgradError, OverwrittenError, TracedValueError

pytestmark = pytest.mark.quick

# Names that the cases use.
WORLD = """
x = torch.arange(6.0).reshape(2, 3)
i = torch.arange(6).reshape(2, 3)
m = x > 2
w = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
"""

CASES: dict[str, list[tuple[str, type[Exception], str]]] = {
    "shapes that do not broadcast": [
        ("x + torch.ones(2)", RuntimeError, r"add: shapes \[2, 3\] and \[2\] do not broadcast.*or one of them 1"),
        ("w * torch.ones(2)", RuntimeError, r"mul: shapes \[3\] and \[2\]"),
        ("torch.where(m, x, torch.ones(4))", RuntimeError, r"where: shapes.*do not broadcast"),
        ("torch.maximum(x, torch.ones(4))", RuntimeError, "maximum: shapes.*do not broadcast"),
        ("x.add_(torch.ones(2, 2, 3))", RuntimeError, r"add_: the result has shape \[2, 2, 3\].*in place.*\[2, 3\]"),
        ("x.copy_(torch.ones(4))", RuntimeError, r"copy_.*\[4\].*\[2, 3\]"),
        ("x @ x", RuntimeError, r"matmul: shapes \[2, 3\] and \[2, 3\] do not fit: 3 columns against 2 rows"),
        ("torch.ones(2, 3, 4) @ torch.ones(3, 4, 2)", RuntimeError, r"batch dimensions.*do not broadcast"),
        ("x @ 3", TypeError, "matmul takes tensors, not int"),
        ("x @ torch.tensor(3.0)", RuntimeError, r"at least one dimension.*with \*"),
        ("x @ i.t()", RuntimeError, r"float32 and int64: convert one with .to\(dtype\)"),
        ("torch.mm(x, w)", RuntimeError, r"mm: mat2 must have 2 dimensions.*matmul"),
        ("torch.bmm(x[None], torch.ones(2, 3, 2))", RuntimeError, "bmm: the batches have 1 and 2.*matmul broadcasts"),
        ("torch.dot(x, x)", RuntimeError, "dot needs two 1-d tensors"),
        ("torch.outer(x, w)", RuntimeError, "outer: input must have 1 dimension"),
        ("torch.binary_cross_entropy(x, w)", ValueError, r"shapes \[2, 3\] and \[3\] differ"),
    ],
    "dtypes that cannot require grad": [
        ("torch.tensor([1, 2], requires_grad=True)", RuntimeError, r"floating tensors.*int64.*\.float\(\)"),
        ("torch.zeros(2, dtype=torch.bool, requires_grad=True)", RuntimeError, "this one is bool"),
        ("i.requires_grad_()", RuntimeError, "only floating tensors can require grad"),
        ("i.requires_grad = True", RuntimeError, "only floating tensors can require grad"),
        ("w.data = i[0]", RuntimeError, "must be floating, not int64"),
        ("jitgrad.grad(lambda v: v.sum())(i)", TypeError, "argument 0 is int64.*leave it out of argnums"),
        ("jitgrad.grad(lambda v: v.long().sum())(x)", TypeError, "the function returned int64"),
    ],
    "dtypes that do not fit": [
        ("x & m", RuntimeError, "bitwise_and works on bool and integer tensors, not on float32"),
        ("~x", TypeError, "~ is for bool and integer tensors, not for float32"),
        ("m - m", RuntimeError, r"sub is not for bool tensors.*~ and \^"),
        ("-m", RuntimeError, "neg is not for bool tensors"),
        ("1 - m", RuntimeError, "sub is not for bool tensors"),
        ("i.mean()", RuntimeError, r"mean needs a floating dtype.*int64.*\.float\(\) or dtype="),
        ("i.softmax(0)", RuntimeError, "softmax needs a floating dtype"),
        ("i.std()", RuntimeError, "std needs a floating dtype"),
        ("i ** -1", RuntimeError, r"negative integer powers are fractions.*\.float\(\)"),
        ("i.add_(1.5)", RuntimeError, "add_: a float32 result cannot be stored in a int64 tensor"),
        ("i.div_(2)", RuntimeError, "cannot be stored in a int64 tensor"),
        ("i.add(i, alpha=0.5)", RuntimeError, "alpha=0.5 would make int64 values fractions"),
        ("torch.where(x, x, x)", RuntimeError, r"condition must be bool, not float32.*where\(x > 0"),
        ("x.masked_fill(x, 0)", RuntimeError, "mask must be a bool tensor"),
        ("x.masked_fill(m, w)", RuntimeError, r"one number, not of shape \[3\].*where\(\)"),
        ("x.to('quaternion')", RuntimeError, "device 'quaternion' is not supported"),
        ("x.to(dtype='quaternion')", TypeError, "dtype must be a jitgrad dtype such as jitgrad.float32"),
        ("torch.set_default_dtype(torch.int64)", TypeError, "must be a floating one such as jitgrad.float64"),
        ("torch.finfo(torch.int8)", TypeError, "use iinfo"),
        ("torch.iinfo(torch.float32)", TypeError, "use finfo"),
        ("torch.from_numpy(np.zeros(2, np.uint16))", TypeError, r"no dtype for NumPy's uint16.*\.astype"),
        ("torch.rand(2, dtype=torch.int64)", NotImplementedError, "use randint for integers"),
    ],
    "indices out of range": [
        ("x[2]", IndexError, r"index 2 is out of range for dimension 0, which has size 2 \(shape \[2, 3\]\): use -2 to 1"),
        ("x[0, -4]", IndexError, "index -4 is out of range for dimension 1, which has size 3"),
        ("x[..., 3]", IndexError, "index 3 is out of range for dimension 1"),
        ("torch.zeros(0)[0]", IndexError, "which has size 0.*it is empty"),
        ("x[0, 0, 0]", IndexError, "3 indices for a tensor of 2 dimensions"),
        ("torch.tensor(1.0)[0]", IndexError, "1 indices for a tensor of 0 dimensions"),
        ("x[..., ...]", IndexError, "one ellipsis"),
        ("x[[0, 2]]", IndexError, "an index array holds 2, which is out of range for dimension 0"),
        ("x[:, torch.tensor([-4])]", IndexError, "holds -4, which is out of range for dimension 1"),
        ("x[torch.tensor([True])]", IndexError, r"mask of shape \[1\].*dimensions of size \[2\].*must be equal"),
        ("x[1.0]", IndexError, "cannot index with float: use ints, slices, None"),
        ("x['a']", TypeError, "cannot index with str"),
        ("x[torch.tensor([0.5])]", IndexError, "index arrays must be integer or bool, not float32"),
        ("x[torch.tensor([0, 1], dtype=torch.uint8)]", IndexError, r"uint8 is a mask to PyTorch.*\.bool\(\) or \.long\(\)"),
        ("x[0] = torch.ones(4)", RuntimeError, r"setitem: a value of shape \[4\].*place.*shape \[3\]"),
        ("x[5] = 1", IndexError, "out of range"),
        ("x[0] = 'a'", TypeError, "cannot take str: assign numbers"),
        ("x.sum(2)", IndexError, "dim=2 is out of range for a tensor with 2 dimensions: use -2 to 1"),
        ("x.sum((0, 0))", RuntimeError, r"dim=\(0, 0\) names a dimension twice"),
        ("x.sum(1.0)", TypeError, "dim must be an int, not float"),
        ("x.sum(True)", TypeError, "dim must be an int, not bool"),
        ("x.gather(1, i)", RuntimeError, r"gather: index 3 is out of range for dimension 1.*use 0 to 2"),
        ("x.gather(1, i[0])", RuntimeError, "index has 1 dimensions and the tensor 2"),
        ("x.gather(1, x)", RuntimeError, "index must be an int64 tensor, not float32"),
        ("x.index_select(0, torch.tensor([-1]))", IndexError, "index_select: index -1 is out of range"),
        ("x.index_select(0, i)", IndexError, "index must have one dimension"),
        ("x.scatter_add(1, i * 0, x.double())", RuntimeError, "src is float64 and the tensor float32"),
        ("x.index_add(0, torch.tensor([0]), x)", RuntimeError, r"source must be float32 of shape \[1, 3\]"),
        ("x.narrow(1, 2, 2)", RuntimeError, "leave dimension 1, which has size 3"),
        ("x[::0]", ValueError, "step of a slice must not be 0"),
        ("torch.tensor(1.0).index_select(0, torch.tensor([0, 0]))", RuntimeError, "has one element, and 2 are asked for"),
    ],
    "values that do not fit": [
        ("x[0] = None", TypeError, "cannot take NoneType"),
        ("x[0] = '3'", TypeError, "cannot take str"),
        ("x[0] = 1j", RuntimeError, "complex numbers do not fit into float32"),
        ("i.clone()[0] = math.nan", RuntimeError, "nan does not fit into int64"),
        ("i.clone()[0] = 2**70", RuntimeError, "does not fit into int64"),
        ("i.to(torch.int8)[0] = 300", RuntimeError, "300 does not fit into int8, which holds -128 to 127"),
        ("i.clone().fill_(math.inf)", RuntimeError, "inf does not fit into int64"),
        ("i.masked_fill(i > 0, math.nan)", RuntimeError, "nan does not fit into int64"),
        ("x.masked_fill(m, None)", TypeError, "cannot take NoneType"),
        ("torch.zeros(2, requires_grad='no')", TypeError, "requires_grad must be True or False, not str"),
        ("x.data = 5.0", TypeError, r"data must be a tensor, not float.*fill_\(\)"),
        ("w.grad = w", RuntimeError, "cannot be its own gradient"),
        ("'a' in x", RuntimeError, "contains numbers, not str"),
        ("torch.arange(0, 5, 0.5, dtype=torch.int64)", ValueError, "a step of 0.5 is none in int64"),
        ("i // 0", RuntimeError, "divided by 0 \\(ZeroDivisionError\\)"),
        ("i % (i * 0)", RuntimeError, "divided by 0"),
        ("i.div(0, rounding_mode='trunc')", RuntimeError, "divided by 0"),
        ("i[0].index_add(0, i[0], i[0], alpha=2.5)", RuntimeError, "alpha=2.5 would make int64 values fractions"),
        ("torch.binary_cross_entropy(w * 0 + 1.5, w * 0)", RuntimeError, "lie between 0 and 1.*with_logits"),
    ],
    "shapes that cannot be": [
        ("x.reshape(4)", RuntimeError, r"shape \(2, 3\) has 6 elements and cannot take shape \(4,\)"),
        ("x.reshape(-1, -1)", RuntimeError, "cannot take shape"),
        ("x.t().view(-1)", RuntimeError, r"view:.*use reshape\(\), which copies"),
        ("x.expand(2, 4)", RuntimeError, r"does not expand to \(2, 4\)"),
        ("x.permute(0, 0)", RuntimeError, "each of the 2 dimensions once"),
        ("x.squeeze(2)", IndexError, "out of range"),
        ("x.squeeze((0, -2))", RuntimeError, "names a dimension twice"),
        ("x.repeat(-1, 1)", RuntimeError, "must not be negative"),
        ("x.chunk(2.0)", TypeError, "the number of pieces is an int, not float"),
        ("torch.tensor(1.0).chunk(2)", RuntimeError, "no dimension to split"),
        ("torch.tensor(1.0).narrow(0, 0, 1)", RuntimeError, "no dimension to take a part of"),
        ("torch.tensor(1.0).unbind(0)", IndexError, "no dimension to take apart"),
        ("torch.max(x, keepdim=True)", TypeError, "max of all elements takes no keepdim"),
        ("w.dot(w.double())", RuntimeError, "one dtype, got float32 and float64"),
        ("x.masked_select(i)", RuntimeError, "mask must be a bool tensor, not int64"),
        ("x.masked_select(torch.ones(4, dtype=torch.bool))", RuntimeError, "do not broadcast"),
        ("x.flatten(1, 0)", RuntimeError, "start_dim=1 comes after end_dim=0"),
        ("x[None].t()", RuntimeError, "at most 2 dimensions.*use transpose"),
        ("w.mT", RuntimeError, "at least 2 dimensions"),
        ("torch.cat([])", ValueError, "at least one tensor"),
        ("torch.cat([x, x[:, :2]])", RuntimeError, r"equal except along dim=0, got \[\[2, 3\], \[2, 2\]\]"),
        ("torch.cat([x, 1])", TypeError, "one item is int"),
        ("torch.cat(x)", TypeError, r"takes a list or tuple.*list\(x\)"),
        ("torch.cat([torch.tensor(1.0)])", RuntimeError, "use stack"),
        ("torch.stack([])", RuntimeError, "at least one tensor"),
        ("torch.stack([x, w])", RuntimeError, "shapes must be equal"),
        ("x.split(0)", RuntimeError, "must be positive"),
        ("x.split([1, 2])", RuntimeError, "do not add up to 2"),
        ("x.chunk(0)", RuntimeError, "must be positive"),
        ("torch.zeros(2, -1)", RuntimeError, r"negative size.*\[2, -1\]"),
        ("torch.zeros(1.5)", TypeError, "sizes are ints, not float"),
        ("torch.zeros()", TypeError, "needs a size"),
        ("torch.full(2, 1)", TypeError, r"tuple of ints such as \(2, 3\)"),
        ("torch.arange(1, 5, -1)", RuntimeError, "never arrives"),
        ("torch.arange(0, math.inf)", RuntimeError, "both must be finite"),
        ("torch.linspace(0, 1, -1)", RuntimeError, "cannot be negative"),
        ("torch.randint(5, 5, (2,))", RuntimeError, "low=5 must be less than high=5"),
    ],
    "an unsupported object in tensor()": [
        ("torch.tensor(None)", RuntimeError, "cannot be made of NoneType: pass numbers, nested lists"),
        ("torch.tensor({1: 2})", RuntimeError, "cannot be made of dict"),
        ("torch.tensor([object()])", RuntimeError, "cannot be made of object"),
        ("torch.tensor('abc')", TypeError, "cannot be made of str"),
        ("torch.tensor(['abc'])", ValueError, "text such as 'abc': convert it to numbers first"),
        ("torch.tensor([[1, 2], [3]])", ValueError, r"different lengths: \[2, 1\]"),
        ("torch.tensor([[1, 2], 3])", ValueError, r"different lengths: \[2, 'no length'\]"),
        ("torch.tensor([x])", ValueError, r"shape \[2, 3\] inside of a list.*stack\(\) or cat\(\)"),
        ("torch.tensor(2**63)", ValueError, f"{2**63} is beyond the range of int64"),
        ("torch.tensor([1, -2**70])", ValueError, "beyond the range of int64"),
        ("torch.tensor(300, dtype=torch.uint8)", RuntimeError, "300 does not fit into uint8, which holds 0 to 255"),
        ("torch.tensor(math.nan, dtype=torch.int64)", RuntimeError, "nan does not fit into int64"),
        ("torch.tensor(np.array(['a']))", TypeError, "no dtype for NumPy's"),
        ("torch.tensor(1, dtype='quaternion')", TypeError, "dtype must be a jitgrad dtype"),
        ("torch.tensor(1, device='cuda')", RuntimeError, "there is no GPU to compute on"),
        ("torch.ones(2).to('cuda:1')", RuntimeError, "there is no GPU to compute on"),
        ("torch.ones(2).cuda()", RuntimeError, "there is no GPU to compute on"),
        ("torch.ones(2).cuda(1)", RuntimeError, "there is no GPU to compute on"),
        ("torch.cuda.synchronize()", RuntimeError, "there is no GPU to compute on"),
        ("torch.from_numpy([1])", TypeError, r"takes a NumPy array, not list: use tensor\(\)"),
        ("torch.zeros_like([1])", TypeError, "takes a tensor to copy the shape of, not list"),
        ("torch.Tensor([1])", TypeError, r"jitgrad\.tensor\(data\)"),
        ("torch.sqrt('a')", (TypeError), "cannot be made of str"),
        ("x + 'a'", TypeError, "unsupported operand"),
        ("x + None", TypeError, "unsupported operand"),
        ("torch.add(x, 'a')", TypeError, "cannot compute with str"),
        ("x.fill_('a')", TypeError, "cannot take str"),
        ("x.fill_(w.detach())", RuntimeError, r"one number, not a tensor of shape \[3\]"),
    ],
    "an empty reduction": [
        ("torch.zeros(0).max()", RuntimeError, r"max of an empty tensor \(shape \[0\]\) has no value"),
        ("torch.zeros(0, 3).amin()", RuntimeError, "nothing to reduce"),
        ("torch.zeros(2, 0).amax(1)", IndexError, r"shape \(2, 0\) is empty along dim=1"),
        ("torch.zeros(0).argmax()", IndexError, "nothing to reduce"),
        ("torch.zeros(2, 0).min(1)", IndexError, "nothing to reduce"),
    ],
    "one number of many": [
        ("bool(x)", RuntimeError, r"6 elements is ambiguous: use \.any\(\) or \.all\(\)"),
        ("bool(torch.zeros(0))", RuntimeError, "0 elements is ambiguous"),
        ("x.item()", RuntimeError, r"6 elements \(shape \[2, 3\]\) is not one number.*tolist\(\)"),
        ("float(x)", ValueError, "takes one number, and this tensor has 6 elements"),
        ("[1, 2][x[0, 0]]", TypeError, "an index or a count must be an int.*not float32"),
        ("len(torch.tensor(1.0))", TypeError, "0-d tensor"),
        ("list(torch.tensor(1.0))", TypeError, "iteration over a 0-d tensor"),
        ("f'{x:.2f}'", TypeError, r"does not take the format '\.2f'"),
        ("w.numpy()", RuntimeError, r"no gradient goes: use operations of jitgrad's"),
        ("np.array(w)", RuntimeError, r"stack\(\[x, y\]\) for np\.array"),
        ("np.spacing(w)", TypeError, r"np\.spacing is not an operation of jitgrad.*no gradient.*tensor\.detach\(\)"),
        ("np.histogram(w)", TypeError, r"np\.histogram is not an operation"),
        ("np.sum(w, out=np.zeros(()))", TypeError, "np.sum with out is not an operation"),
        ("np.add.reduce(w, out=np.zeros(()))", TypeError, r"np\.add\.reduce is not an operation"),
        ("np.add(w, 1, out=np.ones(3))", TypeError, "np.add with out is not an operation"),
        ("copy.deepcopy(w * 2)", RuntimeError, r"use clone\(\), or detach\(\) first"),
    ],
    "a second backward": [
        ("y = (w * w).sum(); y.backward(); y.backward()", FreedTapeError, r"saved for mul were freed.*retain_graph=True"),
        ("y = w.exp(); (y * y).sum().backward(); y.sum().backward()", FreedTapeError, "saved for exp"),
    ],
    "backward without what it needs": [
        ("x.sum().backward()", RuntimeError, "element 0 of tensors does not require grad and does not have a grad_fn"),
        ("(w * 2).backward()", RuntimeError, r"scalar outputs.*shape \[3\].*\.sum\(\), \.mean\(\).*gradient="),
        ("(w * 2).backward(torch.ones(2))", RuntimeError, r"gradient has shape \[2\].*output.*\[3\]"),
        ("(w * 2).backward(1.0)", TypeError, r"gradient must be a tensor of shape \[3\] or None, not float"),
        ("w.sum().backward(inputs=[])", RuntimeError, "inputs is empty"),
        ("w.sum().backward(inputs=[x])", RuntimeError, "input 0 does not require grad.*requires_grad=True"),
        ("torch.autograd.grad(w.sum(), x)", RuntimeError, "input 0 does not require grad"),
        ("torch.autograd.grad(w.sum(), 3)", TypeError, "input 0 must be a tensor, not int"),
        ("torch.autograd.grad(w.sum(), (w * 2))", RuntimeError, "was not used to compute the outputs.*allow_unused=True"),
        ("torch.autograd.grad([w.sum(), w.sum()], w, [None])", RuntimeError, "2 outputs and 1 gradients"),
        ("torch.autograd.grad([], w)", RuntimeError, "no outputs"),
        ("(w > 0).sum().backward()", RuntimeError, "does not require grad"),
        ("w.grad = torch.ones(2)", RuntimeError, r"shape and dtype of its tensor, \[3\] and float32"),
        ("w.grad = 1", TypeError, "grad must be None or a tensor, not int"),
        ("(w * 1).requires_grad_(False)", RuntimeError, r"only a leaf.*use detach\(\)"),
        ("x.retain_grad()", RuntimeError, "tensors that require grad"),
        ("x.register_hook(print)", RuntimeError, "tensors that require grad"),
        ("w.register_hook(3)", TypeError, "a hook is a function of the gradient, not int"),
        ("w.register_hook(lambda g: 3); w.sum().backward()", TypeError, "a hook must return a tensor or None, not int"),
        ("w.register_hook(lambda g: g[:2]); w.sum().backward()", RuntimeError, r"shape.*from \[3\] to \[2\]"),
        ("w.register_hook(lambda g: g.double()); w.sum().backward()", RuntimeError, "dtype.*from float32 to float64"),
        ("(w * 1)[:2].detach_()", RuntimeError, r"use detach\(\)"),
        ("w.add_(1)", RuntimeError, r"add_: a leaf that requires grad.*no_grad\(\)"),
        ("w[0] = 1", RuntimeError, "setitem: a leaf that requires grad"),
        ("w[1:].zero_()", RuntimeError, "zero_: a view of a leaf"),
        ("x.expand(2, 2, 3).add_(1)", RuntimeError, r"one place in memory.*clone\(\)"),
        ("y = w * 1; z = y * y; y.add_(1); z.sum().backward()", OverwrittenError, "mul needs.*changed in place after mul"),
    ],
    "functions": [
        ("jitgrad.grad(lambda v: v * 2)(x)", RuntimeError, r"must return a scalar.*\[2, 3\].*\.sum\(\) or \.mean\(\)"),
        ("jitgrad.grad(lambda v: 3.0)(x)", TypeError, "must return a tensor, not float"),
        ("jitgrad.grad(lambda v: v.sum(), 1)(x)", ValueError, "argnums=1.*1 positional arguments"),
        ("jitgrad.grad(lambda v: v)('a')", TypeError, "argument 0 cannot be differentiated"),
        ("jitgrad.grad(lambda v: v.sum(), has_aux=True)(x)", TypeError, r"must return \(value, aux\)"),
        ("jitgrad.jit(3)", TypeError, "jit takes a function, not int"),
        ("jitgrad.grad(3)", TypeError, "grad takes a function, not int"),
        ("jitgrad.hessian(func=3)", TypeError, "hessian takes a function, not int"),
        ("jitgrad.jit(len, guard='a')", TypeError, "guard must be True or False, not 'a'"),
        ("jitgrad.fori_loop(0, 3, lambda i: i, x)", TypeError, "fori_loop calls the function it is given, and .*takes 1 pos"),
        ("x.type('nothing')", ValueError, "no dtype 'nothing'"),
        ("x.add(x, alpha='a')", TypeError, "add: alpha must be a number, not str"),
        ("'a' * x", TypeError, r"an index or a count must be an int.*not float32\[2, 3\]"),
        ("jitgrad.jit(lambda v: 1 if v > 0 else 2)(x[0, 0])", TracedValueError, r"under jit and vmap there is none yet.*where"),
        ("jitgrad.sweep('fast')", ValueError, "sweep must be one of auto, interpreted, numba, machine, jit"),
        ("x.div(2, rounding_mode='up')", RuntimeError, "None, 'trunc' or 'floor', not 'up'"),
        ("x.clamp()", RuntimeError, "clamp needs min, max or both"),
        ("x.norm(p='nuclear')", ValueError, "p must be a number, inf, -inf or 'fro'"),
        ("x.exp(3)", TypeError, "positional argument"),
        ("torch.where(m, x)", TypeError, "a condition alone, or a condition and two choices"),
    ],
}
FLAT = [(code, error, match) for cases in CASES.values() for code, error, match in cases]


@pytest.mark.parametrize(("code", "error", "match"), FLAT, ids=[code for code, _, _ in FLAT])
def test_bad_input(code: str, error: type[Exception], match: str) -> None:
    names: dict[str, Any] = {
        "torch": jitgrad,
        "jitgrad": jitgrad,
        "np": np,
        "math": math,
        "copy": copy,
    }
    exec(WORLD, names)
    before = names["x"].tolist(), names["w"].tolist()
    with pytest.raises(error, match=match) as caught:
        exec(code, names)
    assert issubclass(caught.type, error)
    assert (names["x"].tolist(), names["w"].tolist()) == before  # nothing was changed on the way
    assert names["w"].is_leaf


def test_nan_and_inf_flow() -> None:
    """No operation warns or raises for nan and inf (warnings are errors here), and gradients are those of PyTorch."""
    inf, nan = math.inf, math.nan
    values = [1.0, nan, inf, -inf, 0.0, -1.0]
    wanted: dict[str, list[float]] = {
        "exp": [math.e, nan, inf, 0, 1, 1 / math.e],
        "log": [1, nan, 0, 0, inf, -1],
        "sqrt": [0.5, nan, 0, nan, inf, nan],
        "relu": [1, 1, 1, 0, 0, 0],
        "reciprocal": [-1, nan, 0, 0, -inf, -1],
        "square": [2, nan, inf, -inf, 0, -2],
        "sigmoid": [0.19661193, nan, 0, 0, 0.25, 0.19661193],
        "tanh": [0.41997434, nan, 0, 0, 1, 0.41997434],
    }
    for name, gradient in wanted.items():
        x = jitgrad.tensor(values, dtype=jitgrad.float64, requires_grad=True)
        getattr(x, name)().sum().backward()
        np.testing.assert_allclose(x.grad.tolist(), gradient, rtol=1e-6)
    x = jitgrad.tensor(values, requires_grad=True)
    for op in (
        lambda v: v / 0,
        lambda v: v**-2,
        lambda v: v * 1e38 * 1e38,
        lambda v: v.softmax(0),
        lambda v: v.std(),
        lambda v: v.max(),
        lambda v: v.logsumexp(0),
        lambda v: v % 0,
        lambda v: v // 0,
        lambda v: v.norm(),
        lambda v: v.prod(),
        lambda v: v.clamp(-1, 1),
        lambda v: v.half(),
        lambda v: v.long(),
        lambda v: v @ v,
        lambda v: v.cumsum(0),
        lambda v: v.lgamma(),
        lambda v: v.var(correction=9),
    ):
        y = op(x)
        if y.requires_grad:
            y.sum().backward()
            y.sum().backward(create_graph=True) if y.ndim and not y._row.saved else None
    assert repr(jitgrad.tensor([nan, inf, -inf])) == "tensor([nan, inf, -inf])"
    masked = jitgrad.tensor([0.0, 4.0], requires_grad=True)
    jitgrad.where(masked > 0, masked, 1.0).sqrt().sum().backward()
    assert masked.grad.tolist() == [0, 0.25]


def test_own_exceptions_have_a_common_base_and_teach() -> None:
    own = [e for e in vars(jitgrad.errors).values() if isinstance(e, type) and issubclass(e, JitgradError)]
    for error in own:
        assert error is JitgradError or issubclass(error, (RuntimeError, TypeError, ValueError))
        assert error.__doc__
        if error.__doc__.count("\n") > 4:
            assert "Fix:" in error.__doc__
            assert "Fails::" in error.__doc__


def test_an_index_that_is_not_there_is_one_error_in_every_sweep() -> None:
    """PyTorch has a RuntimeError for some functions and an IndexError for others; ours is both."""
    x, i = jitgrad.tensor([1.0, 2.0, 3.0]), jitgrad.tensor([3])
    for f in (
        lambda x, i: x.gather(0, i),
        lambda x, i: x.index_select(0, i),
        lambda x, i: jitgrad.nn.functional.embedding(i, x.reshape(3, 1)),
        lambda x, i: jitgrad.nn.functional.nll_loss(x.reshape(1, 3), i),
    ):
        for name in ("interpreted", "numba", "machine", "jit"):
            with jitgrad.sweep(name), pytest.raises(jitgrad.errors.OutOfRangeError, match="index 3 is out of"):
                jitgrad.jit(f)(x, i)
        with pytest.raises(jitgrad.errors.OutOfRangeError, match=r"index 3 is out of range.*use 0 to 2"):
            f(x, i)
    assert issubclass(jitgrad.errors.OutOfRangeError, IndexError)
    assert issubclass(jitgrad.errors.OutOfRangeError, RuntimeError)
