"""`python -m bench.parity`: run PyTorch's database of operations against jitgrad, and write the table of its names.

It needs PyTorch, whose wheel has the database. Each operation that is differentiable in float64 is tried with all of its samples:
values, dtypes, shapes, first and second derivatives; `--errors` tries the inputs that must be refused instead, by the type of the
error; `--write` writes docs/pytorch.md, and `--names` the lists of names in it and in docs/autograd.md, without trying anything.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from bench.parity.names import write_pages
from bench.parity.pages import PAGES
from bench.parity.trials import Outcome, database, together, tried, tried_errors


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m bench.parity", description=__doc__)
    p.add_argument("--only", nargs="*", help="names of operations; all if left out")
    p.add_argument("--limit", type=int, default=10**9, help="samples of each operation at most")
    p.add_argument("--seconds", type=int, default=20, help="time for a sample, after which it counts as not right")
    p.add_argument("--first", action="store_true", help="no second derivatives")
    p.add_argument("--errors", action="store_true", help="what must be refused")
    p.add_argument("--quiet", action="store_true", help="the last line alone")
    p.add_argument("--write", action="store_true", help="write docs/pytorch.md, and the names of the other pages")
    p.add_argument("--names", action="store_true", help="write the names of all pages alone")
    return p


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if options.names:
        return _written(None)
    operations = database(options.only)
    if options.errors:
        outcomes = [tried_errors(op, options.seconds) for op in operations]
    else:
        outcomes = [tried(op, second=not options.first, most=options.limit, seconds=options.seconds) for op in operations]
    outcomes = together(outcomes)
    for line in [] if options.quiet else reasons(outcomes):
        print(line)
    print(summary(outcomes, errors=options.errors))
    return _written(outcomes) if options.write else 0


def _written(outcomes: list[Outcome] | None) -> int:
    write_pages(outcomes)
    print("wrote", *[f"docs/{path.name}" for path in PAGES])
    return 0


def reasons(outcomes: list[Outcome]) -> list[str]:
    """What is missing, and why the others are not whole, the most frequent first."""
    missing = sorted(o.name for o in outcomes if not o.there)
    counted = Counter({(o.name, why): n for o in outcomes if o.there for why, n in o.reasons.items()})
    lines = [f"missing: {' '.join(missing)}"] if missing else []
    return lines + [f"{n:6d}  {name}: {why}" for (name, why), n in counted.most_common()]


def summary(outcomes: list[Outcome], errors: bool) -> str:
    good, total = sum(o.good for o in outcomes), sum(o.total for o in outcomes)
    if errors:
        return f"refused as PyTorch does: {good} of {total} ({good / max(total, 1):.1%})"
    whole, there = sum(o.whole for o in outcomes), sum(o.there for o in outcomes)
    return f"operations whole {whole} of {len(outcomes)}, present {there}, samples {good} of {total}"


if __name__ == "__main__":
    sys.exit(main())
