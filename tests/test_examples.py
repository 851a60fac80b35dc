"""The examples do what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_slow_turns() -> None:
    """The slow turns of the demo call are found, with the stage that took longest."""
    command = [sys.executable, "examples/slow_turns.py", "tests/data/demo-trace.jsonl.gz", "1.6"]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert out == "71d2de3802cb4b9183bd26550ca6964f turn 1: 2.03 s, 1.21 s of it eou\n"
