"""Logfire's scrubbing: on by default, it masks names of ours; two calls stay two, and the report says so."""

from __future__ import annotations

import pytest

from . import checks
from .bench import Bench, Result
from .conftest import need
from .forked import Cases
from .rows import ROWS, logfire
from .snippet import callback

pytestmark = pytest.mark.company


def run(keep: bool) -> Result:
    """Two calls in a process, with the callback of docs/redaction.md or without."""
    bench = Bench(native_spans=False, times=2)
    return bench.run(lambda bench: logfire(bench, keep=keep))


_cases = Cases(run, [(True,), (False,)] if not ROWS["Logfire"].missing else [])


def result(keep: bool) -> Result:
    need(*ROWS["Logfire"].missing)
    return _cases.result(keep)  # type: ignore[no-any-return]


def test_two_calls_never_become_one() -> None:
    """Where the session's id is masked, two calls are two sessions, and each report says that values were masked."""
    found = result(keep=False)
    assert any("Scrubbed" in str(value) for span in found.sent for value in span.attributes.values())
    assert len(found.reports) == 2
    for _, complete, warnings in found.reports:
        assert complete is False
        assert any("masked" in one for one in warnings)


def test_the_callback_keeps_reports_whole() -> None:
    """With the callback of docs/redaction.md both reports are LiveKit's own."""
    checks.report_equals(result(keep=True))


def test_the_callback_still_scrubs() -> None:
    """The callback keeps names and the journal; content and what others record is scrubbed as before."""

    class Match:
        def __init__(self, *path: str) -> None:
            self.path, self.value = path, "value"

    keep = callback()
    kept = ["livekit_otel.session.id", "livekit_otel.kind", "session.id"]
    scrubbed = ["livekit_otel.pii.turn.user_text", "gen_ai.input.messages", "http.request.header.cookie", "password"]
    assert [name for name in kept + scrubbed if keep(Match("attributes", name)) is not None] == kept
