"""``python -m tests.generator --seed 7 --runs 1000``: calls by hand, for as long as you like."""

from __future__ import annotations

import argparse
import sys

import tests.conftest  # noqa: F401  (the virtual clock comes before LiveKit)
from tests.kit import clock

from .check import check
from .compose import some
from .shrink import failure_of, smaller


def main() -> int:
    """Exit code 1 if a call went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.generator", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--whole", action="store_true", help="print scripts of failures as they were composed")
    asked = parser.parse_args()
    begin = clock.real_perf_counter()
    runs, wrong = 0, 0
    known: set[str] = set()
    for plan in some(asked.seed, asked.runs):
        runs += 1
        failure = failure_of(plan, check)
        if failure is None:
            continue
        wrong += 1
        if failure[0] in known:
            continue
        known.add(failure[0])
        small = plan if asked.whole else smaller(plan, check)
        again = failure_of(small, check) or failure
        print(f"seed {asked.seed}, call {runs}, at {again[0]}\n    {again[1]}\n    check({small!r})", flush=True)
    seconds = clock.real_perf_counter() - begin
    print(f"seed {asked.seed}: {runs} calls, {wrong} wrong, {runs / seconds:.1f} a second")
    return 1 if wrong else 0


sys.exit(main())
