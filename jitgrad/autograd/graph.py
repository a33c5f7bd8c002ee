"""PyTorch's `autograd.graph`: nodes and places in the graph, hooks of several tensors, and of what rows save."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from jitgrad.autograd.nodes import GradientEdge, Node, get_gradient_edge
from jitgrad.autograd.removal import HookHandle, of_row
from jitgrad.passes.hooks import TENSOR, SweepHook
from jitgrad.record.trace import Watcher, lifting
from jitgrad.tape.handle import Handle, own_memory, row_of
from jitgrad.tape.packing import Packing, packing

__all__ = [
    "GradientEdge",
    "Node",
    "allow_mutation_on_saved_tensors",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]


class saved_tensors_hooks:
    """Within the block, rows save `pack(tensor)` instead of a tensor, of which the reverse sweep makes one by `unpack`.

    The innermost block holds. What is packed may be anything; `unpack` must return a tensor of the same values, and is called
    whenever a sweep needs them. A tensor that `pack` returns as it is stays guarded against changes in place.

    >>> import jitgrad
    >>> with jitgrad.autograd.graph.saved_tensors_hooks(lambda x: x.numpy().copy(), jitgrad.from_numpy):
    ...     y = jitgrad.ones(2, requires_grad=True) ** 3
    >>> y.sum().backward()
    """

    def __init__(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]) -> None:
        self._hooks = Packing(pack_hook, unpack_hook)
        self._watcher = Watcher()
        self._before: list[Any] = []

    def __enter__(self) -> Any:
        if (why := _disabled.get(threading.get_ident())) is not None:
            raise RuntimeError(why)
        self._before.append(packing.get())
        lifting.append(self._watcher)
        packing.set(self._hooks)
        return self

    def __exit__(self, *_: object) -> None:
        packing.set(self._before.pop())
        lifting.remove(self._watcher)


_disabled: dict[int, str] = {}


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """Within the block, `saved_tensors_hooks` is a RuntimeError with this message. Also as a decorator."""
    here = threading.get_ident()
    before = _disabled.get(here)
    _disabled[here] = error_message
    try:
        yield
    finally:
        _disabled.pop(here)
        if before is not None:
            _disabled[here] = before


class save_on_cpu(saved_tensors_hooks):
    """Within the block, what rows save lies in the memory of the host until the reverse sweep needs it.

    `pin_memory` is accepted; `device_type` is that of the tensors to move. On the CPU it is a copy.
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        def pack(x: Any) -> Any:
            return x.device, x.clone() if x.device.type == "cpu" else x.cpu()

        super().__init__(pack, lambda packed: packed[1].to(packed[0]))


class allow_mutation_on_saved_tensors(saved_tensors_hooks):
    """Within the block, tensors that rows saved may be changed in place: the gradient is that of the values they had.

    Rows save copies, so it takes memory. What they hold is given up by `clear()`.

    >>> import jitgrad
    >>> x = jitgrad.ones(2, requires_grad=True)
    >>> with jitgrad.autograd.graph.allow_mutation_on_saved_tensors():
    ...     y = x.clone()
    ...     z = (y * y).sum()
    ...     _ = y.zero_()
    ...     z.backward()
    >>> x.grad
    tensor([2., 2.])
    """

    def __init__(self) -> None:
        self._kept: dict[int, Any] = {}

        def pack(x: Any) -> int:
            self._kept[key := len(self._kept)] = x.clone()
            return key

        super().__init__(pack, self._unpack)

    def _unpack(self, key: int) -> Any:
        if key not in self._kept:
            raise RuntimeError("what was saved in the block is given up when it ends: call backward() within it")
        return self._kept[key]

    def clear(self) -> None:
        """Give up what rows saved within the block."""
        self._kept.clear()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.clear()


def increment_version(tensor: Any) -> None:
    """Note that the memory of a tensor (or of several) was changed in place by other means: where a sweep needs it, that is an
    error and no wrong gradient."""
    for x in [tensor] if isinstance(tensor, Handle) else tensor:
        own_memory(x).version += 1


def register_multi_grad_hook(tensors: Sequence[Any], fn: Callable[[Any], None], *, mode: str = "all") -> HookHandle:
    """Call `fn(gradients)` once in each reverse sweep, when the gradients of all those `tensors` are known that it reaches.

    Those that it does not reach have None. With `mode="any"` it is `fn(gradient)`, of the one that is known first.

    >>> import jitgrad
    >>> a, b = jitgrad.tensor(2.0, requires_grad=True), jitgrad.tensor(3.0, requires_grad=True)
    >>> _ = jitgrad.autograd.graph.register_multi_grad_hook([a, b], print)
    >>> (a * b).backward()
    [tensor(3.), tensor(2.)]
    """
    if mode not in ("all", "any"):
        raise ValueError(f"mode must be 'all' or 'any', not {mode!r}")
    if not all(isinstance(x, Handle) and row_of(x).requires for x in tensors):
        raise RuntimeError("hooks can be registered on tensors that require grad")
    rows = [row_of(x) for x in tensors]
    ours = [weakref.ref(row) for row in rows]
    seen: weakref.WeakKeyDictionary[Any, dict[int, Any]] = weakref.WeakKeyDictionary()

    def call(i: int, sweep: Any, g: Any) -> None:
        arrived = seen.setdefault(sweep, {})
        first = not arrived
        arrived[i] = g
        if mode == "any":
            if first:
                fn(g)
        elif len(arrived) == sum(reference() in sweep.needed for reference in ours):
            fn([arrived.get(k) for k in range(len(ours))])

    handles = [of_row(row, TENSOR, SweepHook(functools.partial(call, i))) for i, row in enumerate(rows)]

    def take_away(_: int) -> None:
        for handle in handles:
            handle.remove()

    return HookHandle(handles[0].id if handles else 0, take_away)
