"""What tensors know of gradients: whether they require one, where they come from, and the hooks."""

from __future__ import annotations

import sys
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.autograd import gradients as autograd
from jitgrad.autograd.nodes import Node, edge_of, node_of
from jitgrad.autograd.removal import HookHandle, of_row
from jitgrad.errors import TracedValueError
from jitgrad.ops import choosing
from jitgrad.ops.choosing import detach
from jitgrad.passes.hooks import ACCUMULATED, TENSOR
from jitgrad.record.apply import apply
from jitgrad.record.memory import decide
from jitgrad.record.trace import lifting
from jitgrad.tape.accumulate import gradient, set_gradient
from jitgrad.tape.device_array import device_of, refuse_elsewhere
from jitgrad.tape.handle import Handle, row_of
from jitgrad.tape.row import Leaf
from jitgrad.tape.tape import Tape
from jitgrad.tensors import inplace
from jitgrad.tensors.values import Values


class Differentiable(Values):
    """The part of `Tensor` that is about gradients."""

    __slots__ = ()

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded."""
        requires = self._row is not None and self._row.requires
        if lifting:
            self._note("requires_grad", requires)
        return requires

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not isinstance(value, (bool, np.bool_)):
            raise RuntimeError(f"requires_grad must be True or False, not {type(value).__name__}")
        self.requires_grad_(value)

    @property
    def is_leaf(self) -> bool:
        """Whether this tensor was made by the user and not by a recorded operation."""
        row = self._row
        return row is None or not row.requires or isinstance(row, Leaf)

    @property
    def grad_fn(self) -> Node | None:
        """The operation that this tensor was computed by, or None for a leaf."""
        return None if self.is_leaf else node_of(self._row)

    @property
    def output_nr(self) -> int:
        """Which of the results of its `grad_fn` this tensor is."""
        return 0 if self.is_leaf else edge_of(self._row)[1]

    @property
    def grad(self) -> Any:
        """The gradient accumulated by `backward()`, or None; a warning where there never will be one."""
        row = self._row
        found = None if row is None else gradient(row)
        if found is None and row is not None and not self.is_leaf and not self.retains_grad:
            warnings.warn(
                "the grad of a tensor that is no leaf is not kept: call retain_grad() on it before backward(), or ask for that "
                "of the leaf that it was computed from",
                UserWarning,
                stacklevel=2,
            )
        if lifting:
            self._note("grad", found)
        return found

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None and not isinstance(value, Handle):
            raise TypeError(f"grad must be None or a tensor, not {type(value).__name__}")
        if value is self:
            raise RuntimeError("a tensor cannot be its own gradient: assign a clone()")
        held, given = self._held, None if value is None else value._held
        if given is not None and (tuple(given.shape) != tuple(held.shape) or given.dtype != held.dtype):
            raise RuntimeError(
                f"grad must have the shape and dtype of its tensor, {list(held.shape)} and "
                f"{held.dtype.name}, not {list(given.shape)} and {given.dtype.name}"
            )
        if value is not None:
            refuse_elsewhere("grad", value, device_of(self))
        set_gradient(row_of(self), value)

    @grad.deleter
    def grad(self) -> None:
        self.grad = None

    def backward(self, gradient: Any = None, retain_graph: Any = None, create_graph: bool = False, inputs: Any = None) -> None:
        """Add the gradient of this tensor to `.grad` of the leaves; see `jitgrad.autograd.backward`."""
        autograd.backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Switch recording on or off for this leaf, and return it.

        RuntimeError for dtypes that are not floating, and for switching off what is the result of recorded operations;
        `TracedValueError` under `jit` and `vmap`, where there are no values yet.
        """
        if not isinstance(requires_grad, (bool, np.bool_)):
            raise TypeError(f"requires_grad must be True or False, not {type(requires_grad).__name__}")
        if requires_grad and self._held.dtype.kind not in "fcV":
            raise RuntimeError(
                f"only floating tensors can require grad, and this one is {self._held.dtype.name}: convert with .float() first"
            )
        if not requires_grad and not self.is_leaf:
            raise RuntimeError("only a leaf can be told not to require grad: use detach() for a tensor without history")
        row = self._row
        if requires_grad and self._value is None and not row.requires:
            raise TracedValueError(
                "requires_grad_() asks for a gradient of values, and under jit and vmap there are none yet: take the gradient of "
                "a function, as in jitgrad.grad(f)(x), which may be called in there"
            )
        if row is None:
            held = self._held
            self._row = Leaf(held.shape, held.dtype, bool(requires_grad), weakref.ref(self))
        elif isinstance(row, Leaf):
            row.requires = bool(requires_grad)
        if self._storage is not None and self._value is not None:
            inplace.views_follow(self)
        return self

    def retain_grad(self) -> None:
        """Keep the gradient of this tensor in `.grad`, though it is not a leaf."""
        if self._row is None or not self._row.requires:
            raise RuntimeError("retain_grad() is for tensors that require grad")
        if not self.is_leaf:
            self._row.extra = (self._row.extra or {}) | {"retain": True}

    @property
    def retains_grad(self) -> bool:
        """Whether `retain_grad()` was called on this tensor, which is not a leaf."""
        return not self.is_leaf and bool(self._row.extra and self._row.extra.get("retain"))

    def register_hook(self, hook: Callable[[Any], Any]) -> HookHandle:
        """Call `hook(gradient)` when the gradient of this tensor is known; what it returns (or None) replaces it."""
        if self._row is None or not self._row.requires:
            raise RuntimeError("hooks can be registered on tensors that require grad")
        if not callable(hook):
            raise TypeError(f"a hook is a function of the gradient, not {type(hook).__name__}")
        return of_row(self._row, TENSOR, hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Any], None]) -> HookHandle:
        """Call `hook(tensor)` after a gradient was added to the `grad` of this leaf.

        >>> import jitgrad
        >>> w = jitgrad.tensor(1.0, requires_grad=True)
        >>> _ = w.register_post_accumulate_grad_hook(lambda w: print(w.grad))
        >>> (w * 3).backward()
        tensor(3.)
        """
        if self._row is None or not self._row.requires:
            raise RuntimeError("hooks can be registered on tensors that require grad")
        if not self.is_leaf:
            raise RuntimeError("only leaves accumulate gradients: register_hook() is for other tensors")
        return of_row(self._row, ACCUMULATED, hook)

    def detach(self) -> Any:
        """The same values in the same memory, without history."""
        return inplace.detached(self)

    def detach_(self) -> Any:
        """Forget the history of this tensor; RuntimeError for a view, whose base would keep it."""
        if self._value is None:
            decide(self)
        if self._view is not None:
            raise RuntimeError("detach_() of a view would leave the tensor that it looks into as it is: use detach()")
        if isinstance(self._row, Leaf):
            self._row.requires = False
        elif self._row is not None:
            self._row = None if self._value is not None else apply(detach, (self,))._row
        return self

    def clone(self) -> Any:
        """A copy with memory of its own; gradients flow through."""
        return apply(choosing.clone, (self,))

    def tape(self) -> Tape:
        """The tape that led to this tensor; `print` it. Leaves are named after the variables of the caller."""
        frame = sys._getframe(1)
        names = {**frame.f_globals, **frame.f_locals}
        found = {v._row: k for k, v in names.items() if isinstance(v, Handle) and v._row is not None and k[0] != "_"}
        return Tape([], [row_of(self)], {row: name for row, name in found.items() if isinstance(row, Leaf)})

    # Memory that changes.

    @property
    def _version(self) -> int:
        """How many times this memory was changed in place."""
        return inplace.version(self)

    @property
    def _base(self) -> Any:
        """The tensor that this one is a view of; None if it has memory of its own."""
        if self._value is None and self._view is not None:
            decide(self)
        return None if self._view is None else self._view[0]

    def _is_view(self) -> bool:
        """Whether this tensor looks at the memory of another, by which its gradient goes."""
        return self._base is not None

    def is_inference(self) -> bool:
        """False: what is made under `inference_mode` is a tensor like any other."""
        return False
