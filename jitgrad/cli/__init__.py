"""The command line: `jitgrad compare`, `jitgrad tape`, `jitgrad ops`."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Sequence

from jitgrad.cli.errors import UsageError
from jitgrad.cli.parser import make_parser

__all__ = ["main"]

INTERRUPTED, PIPE_CLOSED = 130, 141  # what shells report for SIGINT and SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 2 after wrong use, 130 after Ctrl-C."""
    show_traceback = False
    try:
        parser = make_parser()
        options = parser.parse_args(argv)
        show_traceback = getattr(options, "traceback", False)
        if options.run is None:
            parser.print_help(sys.stderr)
            return 2
        options.run(options)
        sys.stdout.flush()  # a closed pipe must show here, not when the interpreter shuts down
    except UsageError as error:
        if show_traceback and error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        print(f"jitgrad: {error}", file=sys.stderr)
        return 2
    except SystemExit as stop:  # argparse, after --help, --version or a wrong option
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        print("jitgrad: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return PIPE_CLOSED
    return 0


def _discard_output() -> None:
    """Send what is still buffered nowhere: the reader, `head` say, has seen enough."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
