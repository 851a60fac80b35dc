"""Plays the calls that the chosen tests ask for, once in each mode, side by side; marks the tier."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .play import Played

#: set by .ci/plugins: what is missing is an error there
REQUIRED = "LIVEKIT_OTEL_PLUGINS"
_PACKAGES = ("google", "openai", "xai")
_HERE = Path(__file__).parent


def _missing() -> list[str]:
    try:
        return [name for name in _PACKAGES if importlib.util.find_spec(f"livekit.plugins.{name}") is None]
    except ModuleNotFoundError:
        return list(_PACKAGES)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.plugins)


@pytest.fixture(scope="session")
def traced(request: pytest.FixtureRequest) -> Callable[[str, bool], Played]:
    """A call by its name and whether LiveKit's own spans are recorded, too."""
    if missing := _missing():
        named = ", ".join(f"livekit-plugins-{name}" for name in missing)
        text = f"not installed: {named} (tests/plugins/realtime/requirements.txt)"
        (pytest.fail if os.environ.get(REQUIRED) else pytest.skip)(text)
    from . import calls  # noqa: F401  (registers them)
    from .call import CALLS
    from .play import play_all

    asked = [getattr(item, "callspec", _NONE).params.values() for item in request.session.items]
    names = [name for name in CALLS if any(name in values for values in asked)]

    @cache
    def of(native_spans: bool) -> dict[str, Played]:
        return play_all(names, native_spans=native_spans)

    return lambda name, native_spans: of(native_spans)[name]


class _NONE:
    params: dict[str, object] = {}
