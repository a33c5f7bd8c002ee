"""Where type checkers find the methods that are attached to `Tensor` from the op table: in the stub of this module."""

from __future__ import annotations

from jitgrad.tape.handle import Handle


class Declared(Handle):
    """The base of `Tensor`; at run time it adds nothing."""

    __slots__ = ()
