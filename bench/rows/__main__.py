"""`python -m bench.rows`: one thread first, then everything else is imported."""

from __future__ import annotations

import os
import sys
import tempfile

from bench.threads import caches_in, one_thread


def start() -> int:
    """Run the command with a kernel cache of its own, unless one is named."""
    one_thread()
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        for name, place in caches_in(folder).items():
            os.environ.setdefault(name, place)
        from bench.rows.run import main

        return main()


if __name__ == "__main__":
    sys.exit(start())
