"""The demo call in a room of a server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from livekit_otel.demo import script

from .server import KEY, SECRET, LiveKitServer

pytestmark = pytest.mark.room


def demo(folder: Path, url: str, **env: str) -> subprocess.Popen[str]:
    """Start the demo's command."""
    command = [sys.executable, "-m", "livekit_otel", "demo", "--room", url, "--output", str(folder / "out")]
    own = {name: value for name, value in os.environ.items() if not name.startswith("LIVEKIT_")}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, env={**own, **env}, **pipes)  # type: ignore[call-overload, no-any-return]


@pytest.fixture(scope="module")
def calling(livekit: LiveKitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Path]]:
    """The demo call, which takes a minute, and its folder; the other test runs meanwhile."""
    folder = tmp_path_factory.mktemp("demo")
    with demo(folder, livekit.url, LIVEKIT_API_KEY=KEY, LIVEKIT_API_SECRET=SECRET) as run:
        yield run, folder
        run.kill()


@pytest.mark.usefixtures("calling")
def test_what_is_missing_is_said_in_one_line(livekit: LiveKitServer, tmp_path: Path) -> None:
    """Without keys, with wrong ones, and without a server there is one line that says what to do."""
    for url, env, line in (
        (livekit.url, {}, "set LIVEKIT_API_KEY and LIVEKIT_API_SECRET"),
        (livekit.url, {"LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": "wrong" * 10}, "check the URL, LIVEKIT_API_KEY"),
        ("ws://127.0.0.1:9", {"LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET}, "check the URL, LIVEKIT_API_KEY"),
    ):
        run = demo(tmp_path, url, **env)
        out, err = run.communicate(timeout=120)
        assert run.returncode == 1, out + err
        assert line in err
        assert "eyJ" not in out + err, "a token is a credential"
        assert len(err.strip().splitlines()) == 1, err


def test_the_demo_call_in_a_room(calling: tuple[Any, Path]) -> None:
    """With a server's address the same call goes through a room of it, and the rebuilt report is LiveKit's own."""
    run, folder = calling
    out, err = run.communicate(timeout=120)
    assert run.returncode == 0, out + err
    assert "\nequal: the rebuilt report matches LiveKit's own" in out
    report = json.loads((folder / "out" / "rebuilt-report.json").read_text(encoding="utf-8"))
    said = [item["content"][0] for item in report["chat_history"]["items"] if item.get("role") == "user"]
    assert said == list(script.SENTENCES)
    assert "caller    caller, standard" in out
