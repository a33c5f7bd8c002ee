"""Elements that are put where a later one is put as well: the last stays, and it alone gets a cotangent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from tests.helpers.sweeps import SWEEPS

RNG = np.random.default_rng(0)

INDICES: list[tuple[tuple[int, ...], Any]] = [
    ((3,), np.array([1, 1])),
    ((3,), np.array([1, -2, 0])),
    ((4, 3), np.array([1, 1, -3])),
    ((4, 3), (slice(None), np.array([0, -3, 2]))),
    ((4, 3), (np.array([[0], [0]]), np.array([[1, 1]]))),
    ((2, 4, 3), (np.array([0, 0]), slice(None), np.array([1, -2]))),
    ((2, 4, 3), (1, np.array([0, 0, 3]))),
    ((4, 3), np.array([True, False, True, True])),
    ((2, 4, 3), (slice(0, 2), np.array([0, 0, 3]), slice(1, 3))),
    ((3, 2), np.asfortranarray([[0, 1], [0, -3]])),
    ((3,), np.zeros(0, np.int64)),
    ((1,), np.array([0, 0, -1])),
    ((4, 3), (None, np.array([2, 2]))),
    ((3,), np.array([2, 2, 2])[::-1]),
]


def winners(shape: tuple[int, ...], index: Any) -> np.ndarray:
    """Which of the elements written at an index stay, found by writing them one after the other."""
    places = np.arange(np.prod(shape)).reshape(shape)[index]
    last = {place: k for k, place in enumerate(places.ravel().tolist())}
    return np.array([last[place] == k for k, place in enumerate(places.ravel().tolist())], bool).reshape(places.shape)


def operands(shape: tuple[int, ...], index: Any) -> tuple[jg.Tensor, jg.Tensor, jg.Tensor]:
    value = RNG.standard_normal(np.zeros(shape)[index].shape)
    return jg.tensor(value), jg.tensor(RNG.standard_normal(shape)), jg.tensor(RNG.standard_normal(shape))


def forms(index: Any) -> dict[str, Any]:
    """The forms of a write, as functions of what is written and of where."""

    def put(v: Any, b: Any) -> Any:
        b = b * 1
        b[index] = v
        return b

    def add(v: Any, b: Any) -> Any:
        b = b * 1
        b[index] += v
        return b

    def times(v: Any, b: Any) -> Any:
        b = b * 1
        b[index] *= v
        return b * b

    def of_view(v: Any, b: Any) -> Any:
        b = b * 1
        b[...][index] = v * 2
        return b

    return {"put": put, "add": add, "times": times, "of_view": of_view}


@pytest.mark.parametrize(("shape", "index"), INDICES, ids=str)
def test_every_form_in_every_mode(shape: tuple[int, ...], index: Any) -> None:
    v, b, w = operands(shape, index)
    stays = winners(shape, index)
    for name, form in forms(index).items():

        def loss(v: Any, b: Any, w: Any, form: Any = form) -> Any:
            return (form(v, b) * w).sum()

        got = jg.grad(loss, (0, 1))(v, b, w)
        at = w.numpy()[index] * stays
        value = v.numpy() * at * 2 * b.numpy()[index] ** 2 if name == "times" else at * (1 + (name == "of_view"))
        np.testing.assert_allclose(got[0].numpy(), value, err_msg=name)
        for sweep in SWEEPS:
            with jg.sweep(sweep):
                for x, y in zip(jg.jit(jg.grad(loss, (0, 1)))(v, b, w), got):
                    np.testing.assert_allclose(x.numpy(), y.numpy(), err_msg=f"{name} {sweep}")
        for argument in (0, 1):
            back, ahead = (mode(form, argument)(v, b).numpy() for mode in (jg.jacrev, jg.jacfwd))
            np.testing.assert_allclose(back, ahead, err_msg=name)
            np.testing.assert_allclose(np.tensordot(w.numpy(), back, w.ndim), got[argument].numpy(), atol=1e-12)
        cubed = lambda v, b, form=form: (form(v, b) ** 3).sum()
        twice = jg.hessian(cubed)(v, b).numpy()
        np.testing.assert_allclose(jg.jit(jg.hessian(cubed))(v, b).numpy(), twice)
        np.testing.assert_allclose(jg.jacrev(jg.jacrev(cubed))(v, b).numpy(), twice)


@pytest.mark.parametrize(("shape", "index"), INDICES[:9], ids=str)
def test_vmap_and_native_code(shape: tuple[int, ...], index: Any) -> None:
    v, b, w = operands(shape, index)

    def loss(v: Any, b: Any, w: Any) -> Any:
        return (forms(index)["put"](v, b) * w).sum()

    want = w.numpy()[index] * winners(shape, index)
    np.testing.assert_allclose(jg.jit(jg.grad(loss)).compile(v, b, w)(v, b, w).numpy(), want)
    many = [jg.stack([x, x * 2, x * 3]) for x in (v, b)]
    for each in (jg.vmap(jg.grad(loss), (0, 0, None)), jg.jit(jg.vmap(jg.grad(loss), (0, 0, None)))):
        np.testing.assert_allclose(each(*many, w).numpy(), np.stack([want] * 3))


def write(v: Any, i: Any, w: Any) -> Any:
    b = jg.zeros(6, 2, dtype=jg.float64)
    b[i] = v
    return (b * w).sum()


def drawn(*many: int) -> tuple[jg.Tensor, jg.Tensor, jg.Tensor, Any]:
    v, w = jg.tensor(RNG.standard_normal((7, 2))), jg.tensor(RNG.standard_normal((6, 2)))
    i = RNG.integers(-6, 6, (*many, 7))
    want = [w.numpy()[k] * winners((6, 2), k) for k in i.reshape(-1, 7)]
    return v, jg.tensor(i), w, np.reshape(want, (*many, 7, 2))


def test_indices_that_are_arguments() -> None:
    compiled = jg.jit(jg.grad(write))
    first = drawn()
    native = compiled.compile(*first[:3])
    for _ in range(4):
        *given, want = drawn()
        for f in (jg.grad(write), compiled, native):
            np.testing.assert_allclose(f(*given).numpy(), want)
        for sweep in ("interpreted", "machine"):
            with jg.sweep(sweep):
                np.testing.assert_allclose(jg.jit(jg.grad(write))(*given).numpy(), want)
    *given, want = drawn(3)
    for each in (jg.vmap(jg.grad(write), (None, 0, None)), jg.jit(jg.vmap(jg.grad(write), (None, 0, None)))):
        np.testing.assert_allclose(each(*given).numpy(), want)


def test_backward_that_recurs_with_other_indices() -> None:
    for _ in range(8):
        v, i, w, want = drawn()
        v.requires_grad_()
        write(v, i, w).backward()
        np.testing.assert_allclose(v.grad.numpy(), want)


def test_one_number_written_to_many_places_gets_what_stays() -> None:
    """The case of a broadcast value: each place counts once, however often it is named."""
    i = jg.tensor([1, 1, -2])

    def f(v: Any) -> Any:
        b = jg.zeros(3)
        b[i] = v
        return b.sum()

    for g in (jg.grad(f), jg.jit(jg.grad(f)), jg.jacrev(f), jg.jacfwd(f), jg.jit(jg.jacrev(f))):
        assert g(jg.tensor(5.0)).item() == 1


def test_the_order_of_writes_is_that_of_the_elements() -> None:
    """Not that of memory: NumPy goes through arrays that are all transposed the other way round."""
    i, v = np.array([[0, 1], [0, 1]]).T, np.array([[1.0, 2.0], [3.0, 4.0]]).T
    for index, value in ((i, v), (np.array(i), v), (i, np.array(v)), (i[::-1], v[::-1])):
        want = {int(p): x for p, x in zip(index.ravel(), value.ravel())}
        for f in (write_into, jg.jit(write_into)):
            assert f(jg.from_numpy(value), jg.from_numpy(index)).tolist() == [want[0], want[1]]


def write_into(v: Any, k: Any) -> Any:
    b = jg.zeros(2, dtype=jg.float64)
    b[k] = v
    return b
