"""``python -m tests.fuzz --runs 100000``: runs by hand, for as long as you like."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path

from .runner import Outcome, fuzz
from .targets import TARGETS


def main() -> int:
    """Exit code 1 if a run went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no run after so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first run, to make one again")
    parser.add_argument("--only", action="append", choices=sorted(TARGETS), default=[])
    parser.add_argument("--keep", type=Path, help="directory for the inputs of runs that went wrong")
    asked = parser.parse_args()
    begin = time.monotonic()
    shown = 0

    def tell(outcome: Outcome) -> None:
        nonlocal shown
        for failure in outcome.failures[shown:]:
            print(failure, flush=True)
            print("".join(traceback.format_exception(failure.error)[-4:]), flush=True)
            if asked.keep is not None:
                asked.keep.mkdir(parents=True, exist_ok=True)
                (asked.keep / f"{failure.target}-{failure.number}{failure.suffix}").write_bytes(failure.kept)
        shown = len(outcome.failures)
        if (done := outcome.runs.total()) % 1_000 == 0:
            print(f"{done:,} runs, {shown} wrong, {time.monotonic() - begin:.0f} s", flush=True)

    until = begin + asked.seconds
    outcome = fuzz(asked.runs, seed=asked.seed, first=asked.first, only=asked.only, until=until, on_run=tell)
    counts = ", ".join(f"{name} {count:,}" for name, count in outcome.runs.items())
    print(f"{outcome.runs.total():,} runs ({counts}), {len(outcome.failures)} wrong, longest {outcome.longest:.1f} s")
    return 1 if outcome.failures else 0


sys.exit(main())
