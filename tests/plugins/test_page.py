"""The page about plugins says what they do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import REQUIRED

if not os.environ.get(REQUIRED):
    pytest.importorskip("livekit.plugins.silero", reason=".ci/plugins installs tests/plugins/requirements.txt")

from .outcome import Outcome
from .page import page

pytestmark = pytest.mark.plugins
PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"


def test_the_page_is_made_of_the_played_calls(outcomes_of_all: Callable[[str], dict[str, Outcome]]) -> None:
    """docs/plugins.md equals what tests/plugins/page.py makes of them today."""
    assert PAGE.read_text(encoding="utf-8") == page(outcomes_of_all("pipeline"))
