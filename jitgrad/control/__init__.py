"""Loops and branches on the tape, as in `jax.lax`: each is one row, with the tapes of its functions among its parameters.

loops, branches    what users call: scan, fori_loop, while_loop, cond, switch
loop, branch       the rows: what they mean, their derivatives, how they are batched
body               the functions given to them, as tapes
"""

from jitgrad.control.branches import cond, switch
from jitgrad.control.loops import fori_loop, scan, while_loop

__all__ = ["cond", "fori_loop", "scan", "switch", "while_loop"]
