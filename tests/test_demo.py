"""The demo: real local models, a real call, and a report that is equal."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from livekit.agents import AgentSession, JobContext

import livekit_otel
from livekit_otel import attributes as attr
from livekit_otel.demo.compare import differences
from livekit_otel.errors import LiveKitOtelError

pytest.importorskip("pocketsphinx")
pytest.importorskip("espeakng_loader")

from livekit_otel.demo import call, script
from livekit_otel.demo.devices import Microphone
from livekit_otel.demo.espeak import Engine
from livekit_otel.demo.sphinx import SphinxSTT
from tests.kit.trace import span_bytes


@pytest.mark.parametrize("sentence", script.SENTENCES)
def test_the_recognizer_understands_the_voice(sentence: str) -> None:
    """pocketsphinx transcribes eSpeak's rendering of each of the caller's sentences exactly, cut as VAD cuts it."""
    engine = Engine.shared()
    silence = b"\0\0" * int(engine.sample_rate * 0.3)
    samples = silence + engine.speak(sentence) + silence
    text, confidence = SphinxSTT(script.SENTENCES).transcribe(samples, engine.sample_rate)
    assert text == sentence
    assert 0.0 < confidence <= 1.0


def test_silence_is_no_sentence() -> None:
    """A second of silence is not transcribed."""
    assert SphinxSTT(script.SENTENCES).transcribe(b"\0\0" * 16_000, 16_000)[0] == ""


@pytest.mark.parametrize(
    ("left", "right", "found"),
    [
        ({"a": 1.0, "timestamp": 5.0}, {"a": 1.0, "timestamp": 5.9}, []),
        ({"timestamp": 5.0}, {"timestamp": 6.5}, [".timestamp: 5.0 != 6.5"]),
        ({"a": [1, 2]}, {"a": [1]}, [".a: 2 entries != 1"]),
        ({"a": {"b": "x"}}, {"a": {"b": "y"}}, [".a.b: 'x' != 'y'"]),
        ({"a": 1}, {"a": 1.0}, [".a: 1 != 1.0"]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, [".: keys ['a', 'b'] != ['b', 'a']"]),
    ],
)
def test_differences_are_named(left: object, right: object, found: list[str]) -> None:
    """The comparison names each place that differs, and forgives only when the reports were made."""
    assert list(differences(left, right)) == found


def test_a_machine_that_is_too_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that does not speak in time is an error of its own, and none of the output's."""
    monkeypatch.setattr(call, "_LONGEST", 0.05)
    silent = cast("AgentSession[None]", SimpleNamespace(agent_state="listening"))
    with pytest.raises(LiveKitOtelError, match="too busy"):
        asyncio.run(call.talk(cast("JobContext", None), silent, Microphone(16_000)))


@pytest.mark.slow
def test_the_demo_ends_with_equal(tmp_path: Path) -> None:
    """One command, under 90 s: a whole call, a report that equals LiveKit's own, a page, and the next command;
    under 8 % of the spans are checkpoints, and our layer is under 300 KB of OTLP JSON a minute."""
    run = subprocess.run(
        [sys.executable, "-m", "livekit_otel", "demo", "--output", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=90,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "\nequal: the rebuilt report matches LiveKit's own" in run.stdout
    last = run.stdout.rstrip().splitlines()[-1]
    command = last.partition("continue with: livekit-otel ")[2]
    assert command == f"turns {tmp_path / 'out' / 'trace.jsonl'} --sort wait"
    follow = subprocess.run([sys.executable, "-m", "livekit_otel", *command.split()], capture_output=True, text=True)
    assert (follow.returncode, follow.stderr) == (0, "")
    page = (tmp_path / "out" / "call.html").read_text(encoding="utf-8")
    assert script.GREETING in page
    report = json.loads((tmp_path / "out" / "rebuilt-report.json").read_text(encoding="utf-8"))
    said = [item["content"][0] for item in report["chat_history"]["items"] if item.get("role") == "user"]
    assert said == list(script.SENTENCES)
    cut = [item for item in report["chat_history"]["items"] if item.get("interrupted")]
    assert [item["content"][0] for item in cut] == [script.HISTORY]
    assert any(item["type"] == "function_call_output" for item in report["chat_history"]["items"])
    trace = tmp_path / "out" / "trace.jsonl"
    spans = [span for span in livekit_otel.read_spans(str(trace)) if span.kind]
    kinds = Counter(span.kind for span in spans)
    assert kinds[attr.KIND_SESSION_CHECKPOINT] < 0.08 * len(spans), kinds
    minutes = next(span.duration for span in spans if span.kind == attr.KIND_SESSION) / 60
    assert span_bytes(trace.read_text(encoding="utf-8")) / minutes < 300_000
