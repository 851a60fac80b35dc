"""Marks the tier; a case whose packages are not installed is skipped, and fails where they have to be (CI)."""

from __future__ import annotations

import os

import pytest

#: set by .ci/company: what is missing is an error there
REQUIRED = "LIVEKIT_OTEL_COMPANY"


def need(*missing: str) -> None:
    """Skip for want of packages."""
    if not missing:
        return
    text = f"not installed: {', '.join(missing)} (.ci/company installs tests/company/requirements.txt)"
    if os.environ.get(REQUIRED):
        pytest.fail(text)
    pytest.skip(text)
