"""Options and help texts. Each command imports what it runs only when it runs."""

from __future__ import annotations

import argparse
from typing import Any

import jitgrad as jg

TARGET_HELP = "the function `function` of the file `path/to/file.py`, which also offers example_args()"

COMPARE = """\
Train three models on real data with the same code and every sweep (interpreted: NumPy, one call a row of the tape; Numba:
@njit functions; machine: instructions; JIT: machine code), and compare: loss, accuracy, time to the first gradient,
time a step, gradients.

With TARGET, a function of your own is differentiated with every sweep instead. It takes tensors and returns a scalar
tensor; example_args() in the same file returns a tuple of its arguments (tensors, NumPy arrays or numbers).
"""
COMPARE_EXAMPLES = """\
examples:
  jitgrad compare
  jitgrad compare --json result.json --plot result.png
  jitgrad compare my_loss.py:loss --steps 1000
"""
TAPE = "Print the tape of a function, forward, and then together with its reverse sweep."
TAPE_EXAMPLES = """\
example:
  jitgrad tape my_loss.py:loss
"""
OPS = "List the rows of the op table: name, kind, kernel expression, and whether there is a derivative."
OPS_EXAMPLES = """\
examples:
  jitgrad ops
  jitgrad ops --holes
"""


def make_parser() -> argparse.ArgumentParser:
    """The parser of `jitgrad`; after parsing, `run` is the function that does the work."""
    parser = argparse.ArgumentParser(
        prog="jitgrad",
        description="Automatic differentiation for NumPy and Numba users, interpreted or compiled to machine code.",
        epilog="example:\n  jitgrad compare --quick",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"jitgrad {jg.__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_compare(commands)
    _add_tape(commands)
    _add_ops(commands)
    return parser


def _command(commands: Any, name: str, summary: str, about: str, examples: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name, help=summary, description=about, epilog=examples, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def _add_compare(commands: Any) -> None:
    parser = _command(commands, "compare", "compare the sweeps: interpreted, Numba, machine, JIT", COMPARE, COMPARE_EXAMPLES)
    parser.add_argument("target", nargs="?", metavar="TARGET", help=f"{TARGET_HELP}; without it, the three models")
    parser.add_argument("--json", metavar="FILE", help="also write everything, with loss curves, as JSON")
    parser.add_argument("--plot", metavar="FILE.png", help="also draw loss curves and times (needs matplotlib)")
    parser.add_argument("--steps", type=_positive, metavar="N", help="training steps a model, or timed calls of TARGET")
    parser.add_argument("--seed", type=_natural, default=0, metavar="N", help="for split, start and batches")
    parser.add_argument("--quick", action="store_true", help="few steps: see that it works")
    _add_traceback(parser)
    parser.set_defaults(run=_compare)


def _add_tape(commands: Any) -> None:
    parser = _command(commands, "tape", "print the tape of a function", TAPE, TAPE_EXAMPLES)
    parser.add_argument("target", metavar="TARGET", help=TARGET_HELP)
    _add_traceback(parser)
    parser.set_defaults(run=_tape)


def _add_ops(commands: Any) -> None:
    parser = _command(commands, "ops", "list the op table", OPS, OPS_EXAMPLES)
    parser.add_argument("--holes", action="store_true", help="only rows that lack a derivative they should have")
    parser.set_defaults(run=_ops)


def _add_traceback(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--traceback", action="store_true", help="show the traceback when the function fails")


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def _positive(text: str) -> int:
    number = _natural(text)
    if number == 0:
        raise argparse.ArgumentTypeError("at least 1 step is needed")
    return number


def _compare(options: argparse.Namespace) -> None:
    from jitgrad.cli import compare

    compare.run(options)


def _tape(options: argparse.Namespace) -> None:
    from jitgrad.cli import show

    show.tape(options)


def _ops(options: argparse.Namespace) -> None:
    from jitgrad.cli import show

    show.ops(options)
