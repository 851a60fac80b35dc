"""The fuzzer: what it found once stays mended, and a bounded number of runs finds nothing new."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import answers, corpus, damage, oracle
from tests.fuzz.runner import fuzz
from tests.fuzz.targets import TARGETS, Run, replay_seed

ROOT = Path(__file__).parent.parent
SEEDS = sorted(corpus.SEEDS.iterdir())


@pytest.fixture(scope="module")
def servers() -> Iterator[answers.Servers]:
    with answers.servers() as found:
        yield found


@pytest.mark.parametrize("seed", SEEDS, ids=lambda path: path.name)
def test_what_was_found(seed: Path, servers: answers.Servers, tmp_path: Path) -> None:
    """An input that once went wrong goes through every command and renderer that takes it."""
    replay_seed(Run(tmp_path, servers, Random(0)), seed)


def test_the_same_number_makes_the_same_run() -> None:
    """A run that went wrong can be made again by its number alone."""
    names = corpus.names()
    made = [damage.of_trace(names[number % len(names)], Random(f"7/{number}")) for number in range(20)]
    assert made == [damage.of_trace(names[number % len(names)], Random(f"7/{number}")) for number in range(20)]
    assert sum(one != corpus.data(names[number % len(names)]) for number, one in enumerate(made)) > 15


def test_every_target_runs() -> None:
    """Each target runs, and none of a few runs goes wrong."""
    for name in TARGETS:
        outcome = fuzz(4, seed=3, only=[name])
        assert (outcome.runs[name], [str(one) for one in outcome.failures]) == (4, [])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-f", "json"], '{"a": NaN}'),
        (["-f", "csv"], "a,b\n1,2,3\n"),
        (["-f", "html"], '<script type="application/json">{"a": Infinity}</script>'),
        ([], ""),
    ],
    ids=["json", "csv", "html", "text"],
)
def test_the_oracle_sees(arguments: list[str], text: str) -> None:
    """Output that is not what its format says is found."""
    with pytest.raises((oracle.Wrong, ValueError)):
        oracle._check(arguments, text)


_WASTEFUL = """
from tests.fuzz import oracle
with oracle.limits(1_000):
    len(b"x" * (oracle._peak() + 2 * oracle.MEMORY))
"""


def test_the_oracle_measures() -> None:
    """A run that takes more memory than its input explains is found."""
    done = subprocess.run([sys.executable, "-c", _WASTEFUL], cwd=ROOT, capture_output=True, text=True, check=False)
    assert re.search(r"Wrong: took \d+ MiB for 1,000 bytes", done.stderr), done.stderr


@pytest.mark.slow
def test_2000_runs() -> None:
    """2,000 runs: no exception but the project's own, valid JSON, an end within seconds, memory like the input."""
    outcome = fuzz(2_000)
    assert outcome.runs.total() == 2_000
    assert [str(failure) for failure in outcome.failures] == []
