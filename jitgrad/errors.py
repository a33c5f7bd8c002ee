"""Every exception of jitgrad's own. Each docstring shows a program that fails, says why, and gives the fix.

All of them derive from the built-in type that PyTorch or NumPy raises in the same place, so code that catches
`RuntimeError`, `TypeError`, `ValueError` or `IndexError` keeps working.
"""

import numpy as np

LEAKED = (
    "a tensor that was made while jit or vmap was tracing, after the trace ended: return it from the function instead of "
    "keeping it"
)

CHANGED_CONTAINER = (
    "a function changes a list, a dict or an object among its arguments, and under jit, vmap and transforms the caller does not "
    "see that: change a copy, as in dict(d) or list(l), and return what is new"
)


class JitgradError(Exception):
    """The common base: `except jitgrad.errors.JitgradError` catches everything that only jitgrad raises."""


class FreedTapeError(JitgradError, RuntimeError):
    """A second `backward()` over rows whose saved values the first one freed.

    Fails::

        y = (x * x).sum()
        y.backward()
        y.backward()

    Values saved for the reverse sweep are dropped as it passes, to keep memory small.
    Fix: `y.backward(retain_graph=True)` the first time, or compute `y` again.
    """


class OverwrittenError(JitgradError, RuntimeError):
    """A value that the reverse sweep needs was changed in place after it was saved.

    Fails::

        y = x.exp()
        z = y * y
        y[0] = 0
        z.sum().backward()

    The derivative of `y * y` needs the old `y`, which is gone.
    Fix: change a copy (`y = y.clone()`), or compute out of place.
    """


class TracedValueError(JitgradError, TypeError):
    """Python asked for the value of a tensor that has none yet, because `jit` or `vmap` is tracing.

    Fails::

        @jitgrad.jit
        def f(x):
            if x > 0:
                return x
            return -x

    Under `jit` (and `vmap`) a function runs once to record its tape; there are no numbers yet to branch on.
    Fix: `jitgrad.where(x > 0, x, -x)`, `jitgrad.cond`, or `jit(f, guard=True)`, which records the function once for each
    way that it takes; or take the branch outside of the function under `jit`.
    """


class FrozenValueWarning(UserWarning):
    """A function under `jit` reads a clock, a file or the environment, and what it read then stays part of the tape.

    Warns::

        @jitgrad.jit
        def f(x):
            return x * time.time()

    The function runs once, while it is recorded; later calls repeat what was read then. (Random numbers, iterators that
    the function advances, and `input()` are errors.) Fix: read it outside and pass it as an argument.
    """


class LostGradientWarning(UserWarning):
    """A tensor whose gradient is being taken becomes a Python number, a NumPy array or a new tensor without history.

    Warns::

        jitgrad.grad(lambda x: jitgrad.tensor([x[0], 2 * x[1]]).sum())(x)

    What is computed of that no longer depends on `x`, so the gradient lacks it, without an error.
    Fix: stay with tensors (`jitgrad.stack([x[0], 2 * x[1]])`, `jitgrad.exp` instead of `math.exp`); or say that you mean it:
    `x.detach().item()`.
    """


class LeakedTraceError(JitgradError, RuntimeError):
    """A tensor made while `jit` or `vmap` was tracing is used after the trace ended.

    Fails::

        kept = []

        @jitgrad.jit
        def f(x):
            kept.append(x * 2)
            return x
        f(x)
        kept[0] + 1

    `kept[0]` stands for a row of the tape, not for a number. Fix: return it from the function.
    """


class StaticArgumentError(JitgradError, TypeError):
    """An argument of a function under `jit` is neither a tensor, an array, a number nor hashable.

    Fails::

        jitgrad.jit(f)(x, object_with_unhashable_eq)

    What is not a tensor becomes part of the key under which the compiled function is kept, so it must be hashable.
    Fix: pass a tuple, a string, a number, or a frozen dataclass.
    """


class MutatedArgumentError(JitgradError, RuntimeError):
    """A function under `jit`, `vmap` or another transform changes a tensor, or a container, of the caller in place.

    Fails::

        @jitgrad.jit
        def step(w, g):
            w -= 0.1 * g

    The change would be recorded once and lost at every later call. Fix: return the new value: `return w - 0.1 * g`.
    """


class NotCompilableError(JitgradError, NotImplementedError):
    """A function cannot become native code, because NumPy would have to run a part of it.

    Fails::

        jitgrad.jit(lambda x: x[x.argmax()]).compile(jitgrad.zeros(3))

    What runs without Python is machine code alone: elementwise operations, sums, running sums, products,
    extremes, slices, indexing, products of matrices, loops.
    Fix: compute the part that the message names outside, and pass its result as an argument.
    """


class HoleError(JitgradError, NotImplementedError):
    """An op has no rule for what was asked (a derivative, say), and the op table says so.

    `jitgrad ops` lists the holes with their reasons.
    """


class DamagedFileError(JitgradError, ValueError):
    """`load_compiled` was given a file that is no native function, or is not as it was saved.

    Fails::

        g.save("g.native")
        content = pathlib.Path("g.native").read_bytes()
        pathlib.Path("g.native").write_bytes(content[:-1])
        jitgrad.load_compiled("g.native")

    The file holds machine code, which is called by what the file says of its arguments and results, so all of it must be
    there and belong together.
    Fix: compile the function and save it again.
    """


class GradcheckError(JitgradError, RuntimeError, AssertionError):
    """`gradcheck` found a derivative that is not what differences of values say.

    Fails::

        jitgrad.testing.gradcheck(lambda x: x.detach() * x, jitgrad.ones(2, dtype=jitgrad.float64))

    The sweep takes the first factor for a constant, and the function does not.
    Fix: the derivative, where the message says; or looser `atol` and `rtol`, where the function is steep.
    """


class LinAlgError(JitgradError, np.linalg.LinAlgError, RuntimeError):
    """A matrix has not what was asked of it: it is singular, say, or not positive definite.

    Fails::

        jitgrad.linalg.inv(jitgrad.zeros(2, 2))

    It is raised when the values are known, so under `jit` from the call, not from the recording.
    Fix: what the message says; `inv_ex`, `solve_ex`, `cholesky_ex` and `lu_factor_ex` give a code for each matrix instead.
    """


class OutOfRangeError(JitgradError, IndexError, RuntimeError):
    """An index names an element that is not there.

    Fails::

        jitgrad.zeros(3).gather(0, jitgrad.tensor([3]))

    PyTorch has an `IndexError` for some functions and a `RuntimeError` for others; this is both, for all, in every sweep.
    It is raised when the values are known, so under `jit` from the call, not from the recording.
    Fix: an index from 0 to the size of the dimension, which is not counted itself; `x[index]` counts negative ones from the end.
    """
