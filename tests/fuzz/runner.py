"""Runs by the number: the same seed and number make the same run, whatever ran before."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from . import answers
from .targets import TARGETS, Run

__all__ = ["Failure", "Outcome", "fuzz"]


@dataclass(frozen=True)
class Failure:
    """A run that went wrong: ``number`` makes it again."""

    number: int
    target: str
    error: BaseException
    kept: bytes
    suffix: str

    def __str__(self) -> str:
        text = " ".join(str(self.error).split())[:300]
        return f"run {self.number} ({self.target}): {type(self.error).__name__}: {text}"


@dataclass
class Outcome:
    """How many runs each target had, what went wrong, and the longest run in seconds."""

    runs: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    longest: float = 0.0


def fuzz(
    runs: int,
    *,
    seed: int = 0,
    first: int = 0,
    only: Collection[str] = (),
    until: float = float("inf"),
    on_run: Callable[[Outcome], None] = lambda outcome: None,
) -> Outcome:
    """Runs from number ``first`` on; ``until`` is a time of ``time.monotonic()`` after which none begins."""
    names = [name for name in TARGETS if not only or name in only]
    weights = [TARGETS[name][1] for name in names]
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder, answers.servers() as servers:
        for number in range(first, first + runs):
            if time.monotonic() > until:
                break
            chance = Random(f"{seed}/{number}")
            [target] = chance.choices(names, weights)
            run = Run(Path(folder), servers, chance)
            begin = time.process_time()
            try:
                TARGETS[target][0](run)
            except Exception as error:
                outcome.failures.append(Failure(number, target, error, run.kept, run.suffix))
            outcome.longest = max(outcome.longest, time.process_time() - begin)
            outcome.runs[target] += 1
            on_run(outcome)
    return outcome
