"""`python -m bench`: one thread and empty caches first, then everything else is imported."""

from __future__ import annotations

import os
import sys
import tempfile

from bench.threads import caches_in, one_thread


def start() -> int:
    """Run the command with kernel caches of its own, so that the first calls of every run mean the same."""
    one_thread()
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        os.environ.update(caches_in(folder))
        from bench.run import main

        return main()


if __name__ == "__main__":
    sys.exit(start())
