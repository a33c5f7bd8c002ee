"""Functions to compile to native ones, and scripts that run in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import jitgrad as jg
from bench import neuron
from bench.libraries import load

RNG = np.random.default_rng(3)
SQUARE = jg.tensor(RNG.normal(size=(3, 3)))
OFFSET, MATRIX = jg.tensor(RNG.normal(size=3)), jg.tensor(RNG.normal(size=(3, 2)))


def normal(*shape, dtype=np.float64):
    return RNG.normal(size=shape).astype(dtype)


def squares(x):
    return (x * x).sum()


CASES = {
    "the neuron": (jg.value_and_grad(neuron.loss(load("jitgrad")), argnums=(0, 1)), neuron.arguments()),
    "logistic regression": (
        jg.value_and_grad(lambda w, x, y: jg.log1p(jg.exp(-(x @ w) * y)).mean()),
        (normal(5), normal(40, 5), np.sign(normal(40))),
    ),
    "two gradients": (
        jg.value_and_grad(lambda x, y: (jg.tanh(x) @ y).sum(), argnums=(0, 1)),
        (normal(4, 3, dtype=np.float32), normal(3, 2, dtype=np.float32)),
    ),
    "aux": (jg.value_and_grad(lambda x: (squares(x), {"y": x * 2, "n": 3, "none": None}), has_aux=True), (normal(4),)),
    "dict and number": (
        jg.value_and_grad(lambda p, x: ((x * p["w"] + p["b"]) ** 2).sum()),
        ({"w": normal(4), "b": np.float64(0.5)}, normal(4)),
    ),
    "nested": (lambda p: [p[0] * 2, (p[1][0],)], ((normal(2), [normal(3)]),)),
    "constant gradient": (jg.value_and_grad(lambda x: x.sum()), (normal(4),)),
    "results that need no code": (lambda x: (jg.ones(2, 3), x, x, 2.5, x[1], x.reshape(2, 1)), (normal(2),)),
    "equal results": (lambda x: (x * 2, x * 2, (x * 2).reshape(6), (x * 2).t(), x[1, 2]), (normal(2, 3),)),
    "one element": (lambda x: (x * 2, x.sum(), x.reshape(1, 1), x[0] > 0), (normal(1),)),
    "captured": (jg.value_and_grad(lambda x: ((x + OFFSET) @ MATRIX).sum()), (normal(4, 3),)),
    "dot": (jg.value_and_grad(lambda x, y: x @ y, argnums=(0, 1)), (normal(4), normal(4))),
    "large product": (lambda x, w: jg.tanh(x @ w), (normal(64, 100, dtype=np.float32), normal(100, 80, dtype=np.float32))),
    "large sum": (jg.value_and_grad(lambda x: (jg.tanh(x) * jg.exp(-x * x)).mean()), (normal(1000, 1100),)),
    "integers": (lambda x, y, n: (x + y, x > y, (x * 2).sum(), y * n), (np.arange(5), np.arange(5)[::-1].copy(), np.int32(3))),
    "bools": (lambda m, b, x: (jg.where(m, x, -x), m, ~b, b), (np.array([True, False]), np.bool_(True), normal(2))),
    "fixed": (lambda x, n, none: x * n, (normal(2), 3, None)),
    "empty": (jg.value_and_grad(squares), (np.zeros(0),)),
    "Python numbers": (jg.value_and_grad(lambda a, x: (x * a).sum()), (2.5, normal(3, dtype=np.float32))),
    "nothing": (lambda: jg.ones(2), ()),
    "second derivative": (jg.grad(lambda x: (jg.grad(lambda z: (z**3).sum())(x) ** 2).sum()), (normal(4),)),
    "batches": (jg.value_and_grad(lambda x, w: (x @ w).tanh().sum(), argnums=(0, 1)), (normal(4, 3, 5), normal(4, 5, 2))),
    "hessian": (jg.hessian(lambda x: (jg.tanh(SQUARE @ x) * x).sum()), (normal(3),)),
    "jacrev": (jg.jacrev(lambda x: jg.tanh(SQUARE @ x)), (normal(3),)),
    "jacfwd": (jg.jacfwd(lambda x: jg.tanh(SQUARE @ x)), (normal(3),)),
    "vjp": (lambda x, g: jg.vjp(lambda x: jg.tanh(SQUARE @ x), x)[1](g), (normal(3), normal(3))),
    "jvp": (lambda x, t: jg.jvp(lambda x: jg.tanh(SQUARE @ x), (x,), (t,)), (normal(3), normal(3))),
    "hvp": (lambda x, t: jg.hvp(lambda x: (jg.tanh(SQUARE @ x) * x).sum(), (x,), (t,)), (normal(3), normal(3))),
    "vmap": (jg.vmap(jg.value_and_grad(lambda x: (jg.tanh(SQUARE @ x) * x).sum())), (normal(5, 3),)),
    "softmax": (jg.value_and_grad(lambda x: -jg.log_softmax(x, 1)[:, 0].sum()), (normal(4, 6),)),
}


def tuples(tree):
    """The tree with tuples for lists and dicts, as `@njit` code has it."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    return tuple(tuples(t) for t in tree) if isinstance(tree, (list, tuple)) else tree


def leaves(tree):
    return [leaf for t in tree for leaf in leaves(t)] if isinstance(tree, tuple) else [tree]


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Run `python *arguments` there, warnings being errors."""
    paths = os.pathsep.join([str(Path(jg.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": paths} | environment,
    )
