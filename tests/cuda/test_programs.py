"""Programs that give the same on the CPU and on a device: tensors, views, changes in place, gradients, transforms, jit, loops."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest

import jitgrad as jg

PROGRAMS = """
x = T([[1.0, 0.0, 3.0], [0.0, -5.0, 6.0]], requires_grad=True)
m = x.detach() > 0
out(x[m], x[:, m[0]], x[m[:, 0]], x[m[:, 0], 1], jg.nonzero(x), m.nonzero(as_tuple=True)[1], jg.where(m)[0])
(x[m] ** 2).sum().backward()
out(x.grad, jg.nonzero(x[:0]), jg.nonzero(x.sum()), x.detach()[:, m[:0].any(0)])
y = x.detach().clone()
y[m] = y[m] * 2
y[:, m[0]] = T([7.0])
out(y)

x = T([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
i = T([[0, 2], [1, 1]])
out(jg.vmap(lambda x: x[[0, 2]])(x), jg.jit(jg.vmap(lambda x: x[[0, 2]]))(x), jg.vmap(lambda x: x[[True, False, True]])(x))
out(jg.vmap(lambda x, i: x[i])(x, i), jg.jit(jg.vmap(lambda x, i: x[i]))(x, i), jg.vmap(lambda i: x[0][i])(i))

x = T([1.0, 2.0, 3.0])
out(*jg.jvp(lambda x: x.prod(), (x,), (x,)), *jg.jvp(lambda x: x.reshape(0, 3).amax(1), (x[:0],), (x[:0],)))
out(jg.jacfwd(lambda x: x.isfinite().float())(x), jg.jit(jg.jacfwd(lambda x: x.isfinite().float()))(x))
out(jg.binary_cross_entropy(x.sigmoid(), (x > 1).float()))

x = T([[1.0, 2.0], [3.0, 4.0]])
x[x > 2] = 0.0
out(x)
x[T([True, False])] = 7.0
out(x)

out(jg.testing.gradcheck(lambda x: (x * x).sin(), T([0.5, 1.0]).double()))
out(jg.testing.gradgradcheck(lambda x: (x * x).sin(), T([0.5, 1.0]).double()))

out(jg.vmap(lambda x: jg.while_loop(lambda c: c < 10, lambda c: c * 2, x))(T([1.0, 3.0])))
out(jg.jit(jg.vmap(lambda x: jg.while_loop(lambda c: c < 10, lambda c: c * 2, x)))(T([1.0, 3.0])))
out(jg.vmap(lambda x: jg.cond(x > 0, lambda v: v * 2, lambda v: v * 3, x))(T([1.0, -2.0])))

@jg.custom_vjp
def f(x):
    return x * x
f.defvjp(lambda x: (f(x), x), lambda r, g: (g * r * 3,))
out(jg.grad(lambda x: f(x).sum())(T([1.0, 2.0])), jg.jit(jg.grad(lambda x: f(x).sum()))(T([1.0, 2.0])))

w = T([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
(w[T([0, 1, 1, 0])] * 2).sum().backward()
out(w.grad)
out(w.detach().gather(1, T([[0], [1]])), w.detach()[[0, 0]], jg.index_select(w.detach(), 0, T([1, 0])))

x = T([[1.0, 2.0], [3.0, 4.0]])
x[0] = 9.0
x[:, 1] *= 2
out(x)

x = T([1.0, 2.0, 3.0])
y = x[1:]
y += 1
out(x, y)

x = T([1.0, 2.0, 3.0])
x.add_(T([1.0, 1.0, 1.0]))
x.mul_(2).sub_(1)
out(x)

x = T([1.0, 2.0, 3.0], requires_grad=True)
y = x * x
y.sum().backward()
out(x.grad)
(x * 3).sum().backward()
out(x.grad)
x.grad.zero_()
out(x.grad)

x = T(2.0, requires_grad=True)
y = x**3
(g,) = jg.autograd.grad(y, x, create_graph=True)
out(g)
g.backward()
out(x.grad)

x = T([1.0, 2.0], requires_grad=True)
y = x.exp()
z = y.detach()
out(z)
y.retain_grad()
y.sum().backward()
out(y.grad, x.grad)

w = T([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
v = w.t().reshape(-1)[::2]
v.sum().backward()
out(v, w.grad)

x = T([1.0, 2.0, 3.0])
x.fill_(7.0)
out(x)
x.zero_()
out(x)
x.copy_(jg.tensor([4.0, 5.0, 6.0]))
out(x)

x = T([1.0, 2.0, 3.0])
out(float(x[0]), int(x[1]), bool(x[2] > 1), x.tolist(), x.sum().item(), len(x), [float(a) for a in x])

x = T([1.0, 2.0, 3.0])
out(2.0 in x, x.max(), x.min(), x.mean(), x.std(), x.var(), x.prod())

x = T([[1.0, 2.0], [3.0, 4.0]])
out(x.sum(0), x.sum(1), x.mean(1, keepdim=True), x.max(1).values, x.softmax(0))

x = T([1.0, -2.0, 3.0])
out(jg.where(x > 0, x, 0.0), x.clamp(min=0), jg.maximum(x, T([0.0, 0.0, 0.0])), x.abs(), -x, 1 / x, 2 - x, x // 2, x % 2)

x = T([1, 2, 3])
out(x + 1, x * 2.5, x // 2, x % 2, x / 2, x.float(), x.to(jg.float64), x.sum(), x.bool())

x = T([1.0, 2.0, 3.0], requires_grad=True)
h = x.register_hook(lambda g: g * 2)
(x * x).sum().backward()
out(x.grad)

f = jg.grad(lambda x: (x.sin() * x).sum())
out(f(T([1.0, 2.0])))

f = jg.vmap(lambda x: (x * x).sum())
out(f(T([[1.0, 2.0], [3.0, 4.0]])))

f = jg.vmap(jg.grad(lambda x: (x * x * x).sum()))
out(f(T([[1.0, 2.0], [3.0, 4.0]])))

f = jg.jit(jg.vmap(jg.grad(lambda x: (x * x * x).sum())))
out(f(T([[1.0, 2.0], [3.0, 4.0]])))

f = jg.hessian(lambda x: (x**3).sum())
out(f(T([1.0, 2.0])))

f = jg.jit(jg.hessian(lambda x: (x**3).sum()))
out(f(T([1.0, 2.0])))

out(*jg.jvp(lambda x: x.exp(), (T([1.0, 2.0]),), (T([1.0, 0.0]),)))

out(jg.jacfwd(lambda x: x * x)(T([1.0, 2.0])), jg.jacrev(lambda x: x * x)(T([1.0, 2.0])))

x = T([1.0, 2.0])
out(jg.cat([x, x]), jg.stack([x, x]), x.repeat(2), x.flip(0), x[None], x.unsqueeze(1), x.expand(3, 2))

f = jg.jit(lambda x, k: x * k)
out(f(T([1.0, 2.0]), 2.0), f(T([1.0, 2.0]), 3.0), f(T([1.0, 2.0]), 3), f(T([1.0, 2.0]), jg.tensor(2.0)))

f = jg.jit(lambda x: x + jg.ones(2, device=x.device))
out(f(T([1.0, 2.0])))

c = T([5.0, 6.0])
f = jg.jit(lambda x: x * c)
out(f(T([1.0, 2.0])))
c.add_(1)
out(f(T([1.0, 2.0])))

f = jg.jit(lambda x: jg.zeros_like(x) + x.new_ones(2))
out(f(T([1.0, 2.0])))

f = jg.jit(lambda x: x if x.sum() > 0 else -x, guard=True)
out(f(T([1.0, 2.0])), f(T([-1.0, -2.0])))

f = jg.jit(lambda x: (x[0], x.sum(), x.reshape(2, 1) + 1))
out(*f(T([1.0, 2.0])))

with jg.sweep("interpreted"):
    f = jg.jit(jg.value_and_grad(lambda x: (x.tanh() * 2).sum()))
    out(*f(T([1.0, 2.0])))

with jg.sweep("numba"):
    f = jg.jit(jg.value_and_grad(lambda x: (x.tanh() * 2).sum()))
    out(*f(T([1.0, 2.0])))

x = T([1.0, 2.0], requires_grad=True)
f = jg.jit(lambda x: x * x)
y = f(x)
y.sum().backward()
out(y, x.grad)

x = T([1.0, 2.0])
y = copy.deepcopy(x)
z = pickle.loads(pickle.dumps(x))
x += 1
out(x, y, z)

x = T([1.0, 2.0, 3.0])
out(x.equal(x), jg.allclose(x, x), x.isnan(), x.any(), (x > 0).all(), x.argmax())

x = T([1.0, 2.0, 3.0])
out(x.data, x.is_contiguous(), x.stride(), x.nbytes, x.numel(), str(x.dtype))

out(jg.scan(lambda c, x: (c + x, c * x), T(0.0), T([1.0, 2.0, 3.0])))

out(jg.fori_loop(0, 3, lambda i, c: c * 2.0, T([1.0, 2.0])))

out(jg.grad(lambda x: jg.scan(lambda c, v: (c * v, c), x, T([1.0, 2.0, 3.0]))[0])(T(2.0)))

f = jg.jit(lambda x: jg.fori_loop(0, 3, lambda i, c: c * 2.0, x))
out(f(T([1.0, 2.0])))

f = jg.jit(jg.grad(lambda x: jg.scan(lambda c, v: (c * v, c), x, T([1.0, 2.0, 3.0]))[0]))
out(f(T(2.0)))

out(jg.cond(T(1.0) > 0, lambda x: x + 1, lambda x: x - 1, T(3.0)))

f = jg.jit(lambda x: jg.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, x))
out(f(T([1.0])), f(T([-1.0])))

out(jg.while_loop(lambda c: c.sum() < 10, lambda c: c * 2, T([1.0, 1.0])))

x = T([1.0, 2.0, 3.0])
out(np.exp(x), np.sum(x), np.add(x, 1))

x = T([3.0, 1.0, 2.0])
out(f"{x[0]:.2f}", repr(x), str(x[0]))

x = T([1.0, 2.0], requires_grad=True)
y = x * 1
y[0] = 5.0
(y * y).sum().backward()
out(x.grad)

x = T([1.0, 2.0], requires_grad=True)
x.sum().backward()
out(x.grad)
x.sum().backward()
out(x.grad)

x = T([1.0, 2.0], requires_grad=True)
y = T([3.0, 4.0], requires_grad=True)
(x + y).sum().backward()
x.grad.add_(1)
out(x.grad, y.grad)

out(
    jg.full((2,), 3.0, device=D),
    jg.arange(3, device=D),
    jg.linspace(0, 1, 3, device=D),
    jg.eye(2, device=D),
    jg.zeros_like(T([1.0])),
    jg.full_like(T([1.0]), 2.0),
)

out(T([1.0, 2.0]).var(), T([[1.0, 2.0], [3.0, 4.0]]).norm(), T([1.0, 2.0]).logsumexp(0), T([1.0, 2.0]).log_softmax(0))

with jg.no_grad():
    x = T([1.0, 2.0], requires_grad=True)
    x -= 0.1
    out(x)

x = T([1.0, 2.0, 3.0])
y = x.view(3)
y[1] = 7.0
out(x)
z = x.detach()
z[0] = 0.0
out(x)

x = T([1.0, 2.0])
x.requires_grad_()
((x * 2)[0]).backward()
out(x.grad)

x = T([[1.0, 2.0, 3.0]])
out(x.squeeze(), x.T, x.permute(1, 0), x.view(3), x.flatten(), x.reshape(3, 1))

x = T([1.0, 2.0, 3.0, 4.0])
out(x.split(2), x.chunk(2), x.unbind())

def f(x):
    v = jg.full((2,), 3.0, device=D)
    v.copy_(x)
    w = jg.zeros(2, device=D)
    w[1:].copy_(v[:1])
    x = x * 2
    x.copy_(jg.ones(2, device=D))
    return v, w, x
out(*jg.jit(f)(T([1.0, 2.0])), *jg.vmap(f)(T([[1.0, 2.0], [3.0, 4.0]])), *jg.jit(jg.vmap(f))(T([[1.0, 2.0], [3.0, 4.0]])))

def f(x):
    v = jg.zeros(2, device=D)
    return v.to(D) + x.to(D) + v.to(x) + x.to(v), str(v.device) == str(x.device)
out(*f(T([1.0, 2.0])), *jg.jit(f)(T([1.0, 2.0])))

a = np.array([1.0, 2.0, 3.0])
x = T([0.0, 0.0, 0.0])
x[:] = [1, 2, 3]
out(x.clone())
x[1:] = a[1:] * 2
x[[0, 2]] = np.ones(2, np.int8)
out(x.clone())
x[x > 3] = np.array([7.0])
x.copy_(x + a)
out(x, x.copy_(a), x.copy_([3, 2, 1]), x.fill_(np.float64(2)))
x = T([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
y = x * 2
y[0] = a
y[:, 0] = [1.0, 2.0]
y.sum().backward()
out(y, x.grad)
def f(x):
    x = x * 2
    x[0] = a
    x[:, 1] = [7.0, 8.0]
    return x
out(jg.jit(f)(x.detach()))
a += 1
out(jg.jit(f)(x.detach()), jg.vmap(f)(x.detach()[None]))

n = np.array([1.0, 2.0], np.float32)
x, X = T([3.0, 4.0]), T([[1.0, 2.0], [3.0, 4.0]])
out(X @ n, n @ X, jg.dot(x, n), jg.outer(n, x), jg.cat([n, x]), jg.stack([x, n]), jg.where(x > 3, n, x), jg.maximum(x, n))
out(x.masked_fill(np.array([True, False]), 0.0), x.clamp(n, n + 2), np.dot(n, X), np.concatenate([n, x]), jg.isclose(x, n))
out(np.clip(x, n, n + 1), x.add_(n), jg.mse_loss(x, n), jg.cond(x.sum() > 0, lambda x, n: x * n, lambda x, n: x, x, n))

n = np.array([1.0, 2.0], np.float32)
x = T([3.0, 4.0])
def f(x, n):
    return (x * x * n).sum()
for g in (jg.grad(f), jg.grad(f, 1), jg.hessian(f), lambda x, n: jg.jvp(f, (x, n), (n, x)), lambda x, n: f(x, n=n)):
    h = jg.jit(g)
    out(g(x, n), h(x, n), h(x, n + 1), h(x, T([5.0, 6.0])))
out(jg.jit(lambda x: jg.grad(f)(x, n))(x))
g = jg.jit(lambda x, n: x * n if (n > 0).all() else x - n, guard=True)
out(g(x, n), g(x, -n), g(x, n + 1))
x.requires_grad_()
for g in (g, jg.jit(lambda x, n: x * n), jg.jit(lambda x, _: x * n * jg.ones(2))):
    (g(x, n) + g(x, -n)).sum().backward()
out(x.grad)
@jg.custom_vjp
def c(x, n):
    return x * n
c.defvjp(lambda x, n: (c(x, n), n), lambda n, g: (g * n, np.ones(2, np.float32)))
out(c(x.detach(), n), jg.grad(lambda x: c(x, n).sum())(x.detach()), jg.jit(jg.grad(lambda x: c(x, n).sum()))(x.detach()))
"""

NUMBERS = re.compile(r"-?\d+\.?\d*(?:e-?\d+)?")


def shown(value, device):
    """A result as text: where it is, of what dtype, and its numbers."""
    if isinstance(value, tuple | list):
        return [shown(x, device) for x in value]
    if isinstance(value, jg.Tensor):
        assert value.device.type == device
        return str(value.dtype), value.detach().cpu().numpy().tolist()
    return value.replace(", device='cuda:0'", "") if isinstance(value, str) else value


def found(program: str, device: str) -> list:
    results: list = []
    names = {
        "jg": jg,
        "np": np,
        "copy": copy,
        "pickle": pickle,
        "D": device,
        "T": lambda data, **more: jg.tensor(data, device=device, **more),
        "out": lambda *values: results.append(shown(values, device)),
    }
    exec(program, names)
    return results


@pytest.mark.parametrize("program", PROGRAMS.strip().split("\n\n"))
def test_the_same_on_both(program):
    want, got = str(found(program, "cpu")), str(found(program, "cuda"))
    assert NUMBERS.sub("#", got) == NUMBERS.sub("#", want)
    np.testing.assert_allclose(*[[float(x) for x in NUMBERS.findall(text)] for text in (got, want)], rtol=1e-5, atol=1e-6)
