"""Programs in processes of their own, which may crash or hang; how long they go on is set by JITGRAD_STRESS (1: seconds)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
LONGER = float(os.environ.get("JITGRAD_STRESS", "1"))


def alone(program: str, *arguments: object, timeout: float = 120, **environment: str) -> str:
    """What a program prints, which must end well; it can import `work`."""
    path = os.pathsep.join([str(HERE), str(HERE.parent.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        # Python 3.12 and later warn of any fork in a process with threads; that these are safe is what is tested.
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout * max(LONGER, 1),
        env={**os.environ, "PYTHONPATH": path, **environment},
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
    return done.stdout
