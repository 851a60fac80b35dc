"""A killed process loses next to nothing, and what is left of its trace is still a report."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import livekit_otel
from tests.kit.run import as_json

ROOT = Path(__file__).parent.parent
#: an event may be this old at the kill and still be missing
ALLOWED = 0.5


def kill_a_call(folder: Path, *, after_turns: int, extra: float = 0.0) -> tuple[Path, list[dict[str, Any]], float]:
    """Start a real call, kill it outright; returns its trace, what it had emitted, and when it was killed."""
    trace, truth = folder / "trace.jsonl", folder / "truth.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.kit.killable", str(trace), str(truth)],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.time() + 60
        while _spoken(truth) < after_turns:
            assert process.poll() is None, "the call ended by itself"
            assert time.time() < deadline, "the call did not get going"
            time.sleep(0.01)
        time.sleep(extra)
    finally:
        killed = time.time()
        process.send_signal(signal.SIGKILL)
        process.wait()
    lines = truth.read_text(encoding="utf-8").splitlines()
    return trace, [json.loads(line) for line in lines], killed


def _spoken(truth: Path) -> int:
    """Messages that were added so far, halved: turns."""
    if not truth.exists():
        return 0
    return sum('"conversation_item_added"' in line for line in truth.read_text(encoding="utf-8").splitlines()) // 2


def check(trace: Path, emitted: list[dict[str, Any]], killed: float) -> None:
    report = livekit_otel.build_report(livekit_otel.read_spans(str(trace)))
    assert not report.complete
    assert any("session.end" in warning for warning in report.warnings), report.warnings
    told = as_json(report.to_dict())
    events = [(event["type"], event["created_at"]) for event in told["events"]]
    truth = [(event["type"], event["created_at"]) for event in emitted]
    assert events == truth[: len(events)], "what is there is in order"
    missing = emitted[len(events) :]
    assert all(killed - event["at"] <= ALLOWED for event in missing), killed - missing[0]["at"]
    safe = [event["items"] for event in emitted if killed - event["at"] > ALLOWED]
    assert len(told["chat_history"]["items"]) >= (safe[-1] if safe else 0)
    counted = sum(type_ == "session_usage_updated" for type_, _ in events)
    assert (told["usage"] is not None) == (counted > 0)
    if counted:
        assert told["usage"][0]["input_tokens"] == 20 * counted


def test_killed_after_its_third_turn(tmp_path: Path) -> None:
    """Everything up to half a second before the kill is in the report, which says that the end is missing."""
    check(*kill_a_call(tmp_path, after_turns=3))


def test_cut_anywhere_it_is_still_a_report(tmp_path: Path) -> None:
    """The file of a killed call, cut at any byte, yields a report of what it holds or one clear error."""
    trace, emitted, _ = kill_a_call(tmp_path, after_turns=2)
    data = trace.read_bytes()
    truth = [(event["type"], event["created_at"]) for event in emitted]
    cut = tmp_path / "cut.jsonl"
    errors: list[str] = []
    for size in range(1, len(data), max(1, len(data) // 400)):
        cut.write_bytes(data[:size])
        try:
            report = livekit_otel.build_report(livekit_otel.read_spans(str(cut)))
        except livekit_otel.LiveKitOtelError as error:
            errors.append(str(error))
            continue
        events = [(event["type"], event["created_at"]) for event in report.to_dict()["events"]]
        assert events == truth[: len(events)]
        assert not report.complete
    assert not any("\n" in error for error in errors)


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Whenever it is killed: never a corrupt report, never more than half a second lost."""
    rng = random.Random(7)
    for number in range(int(os.environ.get("LIVEKIT_OTEL_KILLS", "12"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        check(*kill_a_call(folder, after_turns=rng.randint(1, 4), extra=rng.random()))
