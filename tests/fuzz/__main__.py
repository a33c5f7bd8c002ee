"""`python -m tests.fuzz [--minutes M] [--seed N] [--only N:K] [--kind programs|transforms]`: look for disagreements.

Prints each, shrunk to a few lines, with the number that repeats it, and ends with status 1 if there was one. The programs run in
a process of their own, so that a crash is one more finding; PyTorch and JAX take part where they are installed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import warnings

from tests.fuzz import comparing, programs, transforms
from tests.fuzz.ways import hot


def tried(kind: str, seed: str) -> list[str]:
    """The disagreements of one seed, as text to print."""
    if kind == "transforms":
        nested = transforms.generate(seed)
        return [f"{nested}\n    {wrong}" for wrong in transforms.disagreements(nested)]
    program = programs.generate(seed)
    found = comparing.compare(program)
    if not found:
        return []
    smallest = comparing.shrunk(program, found[0])
    first = next((d for d in comparing.compare(smallest, (found[0].way,))), found[0])
    return [
        f"{smallest}    {first.way}, {first.what}: {first.text[:600]}\n"
        f"    in all: {', '.join(f'{d.way} {d.what}' for d in found)}"
    ]


def inside(kind: str, seed: int, first: int, minutes: float) -> int:
    """Try one seed after the other, and say which before it begins, for whoever finds this process dead."""
    end, wrong, k = time.monotonic() + 60 * minutes, 0, first
    with warnings.catch_warnings(), hot():
        warnings.simplefilter("ignore")
        while time.monotonic() < end:
            print(f"@{k}", flush=True)
            for text in tried(kind, f"{seed}:{k}"):
                wrong += 1
                print(f"--- {kind} {seed}:{k}\n{text}", flush=True)
            k += 1
    return wrong


def watched(kind: str, seed: int, minutes: float) -> int:
    """Run `inside` in another process, and again after a crash."""
    end, k, wrong = time.monotonic() + 60 * minutes, 0, 0
    while (left := (end - time.monotonic()) / 60) > 0.02:
        command = [
            sys.executable,
            "-m",
            "tests.fuzz",
            "--inside",
            str(k),
            "--kind",
            kind,
            "--seed",
            str(seed),
            "--minutes",
            f"{left:.3f}",
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("@"):
                    k = int(line[1:])
                else:
                    wrong += line.startswith("---")
                    print(line, end="", flush=True)
        if process.returncode:
            wrong += 1
            print(f"--- {kind} {seed}:{k} ends the process with status {process.returncode}", flush=True)
        k += 1
    print(f"{k} {kind} of seed {seed}: {wrong} disagreements")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[2])
    parser.add_argument("--minutes", type=float, default=1.0, help="how long to look (1)")
    parser.add_argument("--seed", type=int, default=0, help="which programs: others for each number (0)")
    parser.add_argument("--only", metavar="N:K", help="program K of seed N alone")
    parser.add_argument(
        "--kind", choices=("programs", "transforms"), default="programs", help="lines of operations, or nested transforms"
    )
    parser.add_argument("--inside", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        with hot():
            print(programs.generate(args.only) if args.kind == "programs" else transforms.generate(args.only))
            found = tried(args.kind, args.only)
        print("\n".join(found) or "no disagreement")
        return bool(found)
    if args.inside is not None:
        inside(args.kind, args.seed, args.inside, args.minutes)
        return 0
    return bool(watched(args.kind, args.seed, args.minutes))


if __name__ == "__main__":
    sys.exit(main())
