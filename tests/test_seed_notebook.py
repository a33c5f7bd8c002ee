"""Every cell of the notebook that this project grew from, with `import jitgrad as torch`.

What a cell prints, shows or raises must be what PyTorch prints, with "jitgrad" where it says "torch". One cell showed
an `x` that no cell of the notebook makes (`tensor([-0.6029])`); here it shows the one that exists.
"""

import ast
import contextlib
import io
from typing import Any

import pytest

ERROR = "RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn"

CELLS: list[tuple[str, str]] = [
    ("import jitgrad as torch", ""),
    (
        """
x = torch.tensor(10, requires_grad=True, dtype=torch.float16)
y = x ** 2

print(x)
""",
        "tensor(10., dtype=jitgrad.float16, requires_grad=True)\n",
    ),
    ("print(y)", "tensor(100., dtype=jitgrad.float16, grad_fn=<PowBackward0>)\n"),
    ("y.backward()", ""),
    ("x.grad", "tensor(20., dtype=jitgrad.float16)"),
    (
        """
# Simple NN with no hidden layer
# Sigmoid activation function and Binary Cross Entropy Loss Fn

torch.manual_seed(42)

w = torch.tensor(1.0, requires_grad=True)
b = torch.tensor(0.0, requires_grad=True)
w, b
""",
        "(tensor(1., requires_grad=True), tensor(0., requires_grad=True))",
    ),
    (
        """
def binary_cross_entropy(prediction, target):
    epsilon = 1e-8
    prediction = torch.clamp(prediction, epsilon, 1 - epsilon)
    return -(target * torch.log(prediction) + (1 - target) * torch.log(1 - prediction))
""",
        "",
    ),
    ("y = torch.tensor(0.0)", ""),
    (
        """
X = torch.tensor(6.7)
print(x)

# FORWARD PROPAGATION
# dot product of weight and input and add bias
z = w * X + b
print("Z: ", z)

# apply sigmoid activation function since it's classification
y_pred = torch.sigmoid(z)
print("Y_Pred: ", y_pred)

# using BCE since it is binary classification
loss = binary_cross_entropy(y_pred, y)
print("Loss: ", loss)

# BACKWARD PROPAGATION
# compute gradients
loss.backward()
""",
        "tensor(10., dtype=jitgrad.float16, requires_grad=True)\n"
        "Z:  tensor(6.7000, grad_fn=<AddBackward0>)\n"
        "Y_Pred:  tensor(0.9988, grad_fn=<SigmoidBackward0>)\n"
        "Loss:  tensor(6.7012, grad_fn=<NegBackward0>)\n",
    ),
    ("w.grad, b.grad", "(tensor(6.6918), tensor(0.9988))"),
    ("w.grad.zero_(), b.grad.zero_()", "(tensor(0.), tensor(0.))"),
    (
        """
x = torch.tensor(1.0, requires_grad=True)
y = x ** 2
y.backward()
""",
        "",
    ),
    (
        """
# option 1: set require_grad = False
x.requires_grad_(False)
""",
        "tensor(1.)",
    ),
    (
        """
# option 2: detach()
x_new = x.detach()
print(x_new)

y = x_new ** 2
y.backward()
""",
        f"tensor(1.)\n{ERROR}",
    ),
    (
        """
# option 3: torch_no_grad()

x = torch.tensor(6.7, requires_grad=True)

with torch.no_grad():
    y = x ** 2

y.backward() # Error
""",
        ERROR,
    ),
]
RECOMPUTE = """
z = w * X + b
loss = binary_cross_entropy(torch.sigmoid(z), torch.tensor(0.0))
loss.backward()
w.grad, b.grad
"""


def run_cell(code: str, names: dict[str, Any]) -> str:
    """What a notebook shows for a cell: what it prints, the value of its last line, or the error it ends with."""
    out = io.StringIO()
    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(out):
        try:
            exec(compile(tree, "<cell>", "exec"), names)
            if last is not None:
                value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)  # type: ignore[attr-defined]
                if value is not None:
                    out.write(repr(value))
        except RuntimeError as error:
            out.write(f"RuntimeError: {error}")
    return out.getvalue()


@pytest.mark.quick
def test_every_cell() -> None:
    names: dict[str, Any] = {}
    for number, (code, expected) in enumerate(CELLS):
        assert run_cell(code, names) == expected, f"cell {number}: {code}"


@pytest.mark.quick
def test_running_the_training_cell_again_accumulates() -> None:
    """The remark under the cell: the gradients change with each run, unless they are set to zero."""
    names: dict[str, Any] = {}
    for code, _ in CELLS[:9]:
        run_cell(code, names)
    assert run_cell(RECOMPUTE, names) == "(tensor(13.3835), tensor(1.9975))"
    assert run_cell(RECOMPUTE, names) == "(tensor(20.0753), tensor(2.9963))"
    run_cell("w.grad.zero_(), b.grad.zero_()", names)
    assert run_cell(RECOMPUTE, names) == "(tensor(6.6918), tensor(0.9988))"
