"""Plays the calls that the chosen tests ask for, in both modes at the same time where they ask for both."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .outcome import Outcome

#: set by .ci/plugins: what is missing is an error there
REQUIRED = "LIVEKIT_OTEL_PLUGINS"
MODES = ("pipeline", "native")
_PACKAGES = ("assemblyai", "cartesia", "deepgram", "elevenlabs", "openai", "silero")
_LONGEST = 280


def missing() -> str:
    """Why the calls cannot be played; empty where they can."""
    try:
        absent = [name for name in _PACKAGES if importlib.util.find_spec(f"livekit.plugins.{name}") is None]
    except ModuleNotFoundError:
        absent = list(_PACKAGES)
    named = ", ".join(f"livekit-plugins-{name}" for name in absent)
    return f"not installed: {named} (.ci/plugins installs tests/plugins/requirements.txt)" if named else ""


@pytest.fixture(scope="session")
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The directory of a mode with the calls that were played: all that the chosen tests need, at the first use."""
    if why := missing():
        (pytest.fail if os.environ.get(REQUIRED) else pytest.skip)(why)
    asked = [one for one in request.session.items if "played" in getattr(one, "fixturenames", ())]
    params = [getattr(getattr(one, "callspec", None), "params", {}) for one in asked]
    names = sorted({one["name"] for one in params if "name" in one})
    whole = any("outcomes_of_all" in one.fixturenames for one in asked)  # type: ignore[attr-defined]
    root = tmp_path_factory.mktemp("calls")
    running = {}
    for mode in sorted({one.get("mode", MODES[0]) for one in params}):
        (root / mode).mkdir()
        command = [sys.executable, "-m", "tests.plugins.play", str(root / mode), mode, *([] if whole else names)]
        running[mode] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for mode, process in running.items():
        output, _ = process.communicate(timeout=_LONGEST)
        assert process.returncode == 0, f"playing the calls, {mode}:\n{output[-4000:]}"
    return lambda mode: root / mode


@pytest.fixture(scope="session")
def outcome_of(played: Callable[[str], Path]) -> Callable[[str, str], Outcome]:
    """A call by its name and mode."""
    from .outcome import outcomes

    read: dict[tuple[str, str], Outcome] = {}

    def find(name: str, mode: str) -> Outcome:
        if (mode, name) not in read:
            present = [path.stem for path in played(mode).glob("*.json")]
            read.update({(mode, one): outcome for one, outcome in outcomes(played(mode), present).items()})
        return read[mode, name]

    return find


@pytest.fixture(scope="session")
def outcomes_of_all(outcome_of: Callable[[str, str], Outcome]) -> Callable[[str], dict[str, Outcome]]:
    """All calls of a mode, by name."""
    from .calls import BY_NAME

    return lambda mode: {name: outcome_of(name, mode) for name in BY_NAME}
