"""A progress bar on stderr, if that is a terminal."""

from __future__ import annotations

import sys
import time

WIDTH = 24
EVERY = 0.1  # seconds between two drawings, so that drawing does not disturb what is timed


class Progress:
    """Counts to `total`; as a context manager it leaves a clean line behind, also after Ctrl-C.

    >>> with Progress(100) as progress:
    ...     for _ in range(100):
    ...         progress.step("training")
    """

    def __init__(self, total: int) -> None:
        self.total = max(total, 1)
        self.done = 0
        self.drawn = 0.0
        self.visible = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *failure: object) -> None:
        if self.visible:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def step(self, label: str, count: int = 1) -> None:
        """Note that `count` more are done, and draw the bar if it is time to."""
        self.done += count
        if not self.visible or time.perf_counter() - self.drawn < EVERY:
            return
        full = WIDTH * min(self.done, self.total) // self.total
        bar = "#" * full + "." * (WIDTH - full)
        print(f"\r\x1b[K[{bar}] {100 * self.done // self.total:3d} % {label}", end="", file=sys.stderr, flush=True)
        self.drawn = time.perf_counter()
