"""Installs the virtual clock before anything captures the real one; CI tries the same examples each time."""

from __future__ import annotations

import os

from hypothesis import settings

from tests.kit import clock

clock.install()

# what a search finds by chance is fixed by whoever ran it, not by whoever pushes next
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
