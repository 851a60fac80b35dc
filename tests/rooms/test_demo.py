"""The demo call in a room of a server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from livekit_otel.demo import script

from .server import KEY, SECRET, LiveKitServer

pytestmark = pytest.mark.room


def demo(folder: Path, url: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "livekit_otel", "demo", "--room", url, "--output", str(folder / "out")]
    own = {name: value for name, value in os.environ.items() if not name.startswith("LIVEKIT_")}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**own, **env})


def test_the_demo_call_in_a_room(livekit: LiveKitServer, tmp_path: Path) -> None:
    """With a server's address the same call goes through a room of it, and the rebuilt report is LiveKit's own."""
    run = demo(tmp_path, livekit.url, LIVEKIT_API_KEY=KEY, LIVEKIT_API_SECRET=SECRET)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "\nequal: the rebuilt report matches LiveKit's own" in run.stdout
    report = json.loads((tmp_path / "out" / "rebuilt-report.json").read_text(encoding="utf-8"))
    said = [item["content"][0] for item in report["chat_history"]["items"] if item.get("role") == "user"]
    assert said == list(script.SENTENCES)
    assert "caller    caller, standard" in run.stdout


def test_what_is_missing_is_said_in_one_line(livekit: LiveKitServer, tmp_path: Path) -> None:
    """Without keys, with wrong ones, and without a server there is one line that says what to do."""
    for url, env, line in (
        (livekit.url, {}, "set LIVEKIT_API_KEY and LIVEKIT_API_SECRET"),
        (livekit.url, {"LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": "wrong" * 10}, "check the URL, LIVEKIT_API_KEY"),
        ("ws://127.0.0.1:9", {"LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET}, "check the URL, LIVEKIT_API_KEY"),
    ):
        run = demo(tmp_path, url, **env)
        assert run.returncode == 1, run.stdout + run.stderr
        assert line in run.stderr
        assert "eyJ" not in run.stdout + run.stderr, "a token is a credential"
        assert len(run.stderr.strip().splitlines()) == 1, run.stderr
