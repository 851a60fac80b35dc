"""LiveKit's own spans, recorded without livekit_otel, out to Jaeger and Phoenix and back: the report is the file's."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import pytest

import livekit_otel
from livekit_otel import SessionReport, SourceError, SpanRecord
from livekit_otel import attributes as attr
from tests.native.page import NODE, RELEASES
from tests.native.recordings import path_of

from .process import wait_until
from .servers import Jaeger, Phoenix
from .test_round_trip import run_cli, unlike, whole

pytestmark = pytest.mark.backend

#: the Python recordings ran on the virtual clock's day, those of Node.js in real time
WINDOW = "since=2023-11-14T00:00:00Z&until=2030-01-01T00:00:00Z&limit=1000"
#: Phoenix stores some 200 spans a second
SECONDS = 200.0
#: in the order in which a folder's files are sent
EVERY = tuple(sorted((*RELEASES, *NODE)))
each_release = pytest.mark.parametrize("release", EVERY)


@dataclass
class Sent:
    """One release's calls as they were sent: the trace that was sent last, the spans of traces that a search can find,
    and the reports by session id."""

    last: str
    span_ids: set[tuple[str, str]]
    reports: dict[str, SessionReport]


def as_sent(release: str, folder: Path) -> Sent:
    """The recording with ids, a service and a project of its own: the ids of the releases are equal."""
    path = folder / f"{release}.jsonl"
    with gzip.open(path_of(release), "rt", encoding="utf-8") as lines, path.open("w") as out:
        for line in lines:
            document = json.loads(line)
            for resource in document["resourceSpans"]:
                named = {"service.name": release, "openinference.project.name": release}
                kept = [one for one in resource["resource"]["attributes"] if one["key"] not in named]
                added = [{"key": key, "value": {"stringValue": value}} for key, value in named.items()]
                resource["resource"]["attributes"] = kept + added
                for scope in resource["scopeSpans"]:
                    for span in scope["spans"]:
                        for key in ("traceId", "spanId", "parentSpanId"):
                            if span.get(key):
                                own = f"{release}/{span[key]}".encode()
                                span[key] = blake2b(own, digest_size=len(span[key]) // 2).hexdigest()
            out.write(json.dumps({"resourceSpans": document["resourceSpans"]}) + "\n")
    spans = list(livekit_otel.read_spans(path, all_scopes=True))
    # agents-js 1.6 has traces of one span, which nothing joins to the call
    found = {span.trace_id for span in spans if span.name in attr.NATIVE_SIGNS}
    searched = _ids(span for span in spans if span.trace_id in found)
    return Sent(spans[-1].trace_id, searched, by_session(livekit_otel.build_reports(spans)))


def _ids(spans: Iterable[SpanRecord]) -> set[tuple[str, str]]:
    return {(span.trace_id, span.span_id) for span in spans}


def by_session(reports: Iterator[SessionReport]) -> dict[str, SessionReport]:
    return {one.session_id: one for one in reports}


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory, jaeger: Jaeger, phoenix: Phoenix) -> dict[str, Sent]:
    """Every recorded call, sent to both servers before any is read."""
    folder = tmp_path_factory.mktemp("native")
    found = {release: as_sent(release, folder) for release in EVERY}
    for server in (phoenix.url, jaeger.otlp_http):
        state = tmp_path_factory.mktemp("state") / "state"
        run_cli("replay", str(folder), "--to", server, "--batch", "5000", "--state", str(state))
    return found


def back(address: str, sent: Sent) -> dict[str, SessionReport]:
    """What the server gives of a release, once all of it is there."""
    last = {one for one in sent.span_ids if one[0] == sent.last}
    # the trace that was sent last comes last; only then the whole release is read
    for part, expected in ((f"{address}&trace={sent.last}", last), (address, sent.span_ids)):

        def complete(part: str = part, expected: set[tuple[str, str]] = expected) -> bool:
            try:
                return _ids(livekit_otel.read_spans(part, all_scopes=True)) >= expected
            except SourceError:  # nothing of it is there yet
                return False

        wait_until(f"{len(expected)} spans at {part}", complete, SECONDS, every=1.0)
    return by_session(livekit_otel.build_reports(livekit_otel.read_spans(address)))


def differences(found: dict[str, SessionReport], sent: Sent) -> list[str]:
    """Where reports differ from those of the file; fractions by more than a microsecond in each turn."""
    assert found.keys() == sent.reports.keys()
    return [
        f"{session_id}{one}"
        for session_id, report in found.items()
        for one in unlike(whole(report), whole(sent.reports[session_id]), turns=max(1, len(report.turns)))
    ]


@each_release
def test_out_of_jaeger_comes_what_went_in(release: str, jaeger: Jaeger, sent: dict[str, Sent]) -> None:
    """A search for the service gives every recorded call, and each report is the one from the file."""
    address = f"jaeger://{jaeger.query.removeprefix('http://')}?service={release}&{WINDOW}"
    assert differences(back(address, sent[release]), sent[release]) == []


@each_release
def test_out_of_phoenix_comes_what_went_in(release: str, phoenix: Phoenix, sent: dict[str, Sent]) -> None:
    """The project gives every recorded call, and each report is the one from the file."""
    address = f"phoenix://{phoenix.url.removeprefix('http://')}/{release}?{WINDOW}"
    assert differences(back(address, sent[release]), sent[release]) == []
