"""LiveKit's own traces, through the collector's real exporter into ClickHouse's real engine, read by each command."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import livekit_otel
from livekit_otel import SessionReport
from livekit_otel.cli import main
from livekit_otel.report.render_json import to_document
from tests.kit.run import as_json
from tests.native.recordings import path_of

from .fixtures import need
from .process import wait_until
from .servers import ClickHouse, Collector
from .test_clickhouse import COLUMNS

pytestmark = pytest.mark.backend

RELEASES = ("python-1.5.18", "python-1.7.0", "python-1.8.9", "node-1.6.4", "node-1.8.1", "node-1.9.0")
WHEN = "since=2023-11-14&limit=10000"


@dataclass
class Filled:
    """A table with all recorded native traces, and the reports of the files that they came from."""

    server: ClickHouse
    columns: str
    files: dict[str, Path]
    reports: dict[str, dict[str, SessionReport]] = field(default_factory=dict)

    def address(self, query: str = WHEN, table: str = "") -> str:
        return f"clickhouse://{self.server.host}/{self.columns}{table}?{query}"

    def of_file(self, release: str) -> dict[str, SessionReport]:
        if release not in self.reports:
            spans = livekit_otel.read_spans(str(self.files[release]))
            self.reports[release] = {one.session_id: one for one in livekit_otel.build_reports(spans)}
        return self.reports[release]


def own_ids(release: str, folder: Path) -> Path:
    """The recording with trace IDs of its own: releases of Python were recorded with the same ones."""
    path = folder / f"{release}.jsonl"
    renamed = partial(re.sub, r'("traceId": ?")(..)', rf"\g<1>e{RELEASES.index(release)}")
    with gzip.open(path_of(release), "rt", encoding="utf-8") as file:
        path.write_text("".join(map(renamed, file)), encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=["map", "json"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    need("clickhouse", "collector")
    folder = tmp_path_factory.mktemp(f"native-{request.param}")
    kind = folder / "columns.yaml"
    kind.write_text(COLUMNS.format(json=str(request.param == "json").lower()))
    with ExitStack() as stack:
        server = stack.enter_context(ClickHouse(folder / "engine"))
        env = {"CLICKHOUSE_ENDPOINT": server.endpoint, "CLICKHOUSE_DATABASE": request.param, "CLICKHOUSE_TTL": "0"}
        collector = stack.enter_context(Collector("clickhouse.yaml", kind, folder=folder / "collector", env=env))
        files = {release: own_ids(release, folder) for release in RELEASES}
        for path in files.values():
            assert main(["replay", str(path), "--to", collector.otlp_http]) == 0
        sent = sum(sum(1 for _ in livekit_otel.read_spans(str(path), all_scopes=True)) for path in files.values())
        count = f"SELECT count() AS n FROM {request.param}.otel_traces"
        wait_until(f"{sent} rows", lambda: int(server.query(count)[0]["n"]) == sent)
        yield Filled(server, request.param, files)


def whole(report: SessionReport) -> Any:
    return json.loads(json.dumps(as_json(to_document(report, full=True))))


@pytest.fixture(scope="module")
def read(filled: Filled) -> dict[str, SessionReport]:
    """All reports of the table, found without an ID, by session."""
    stream = livekit_otel.read_spans(filled.address())
    found = {one.session_id: one for one in livekit_otel.build_reports(stream)}
    assert stream.problems == []
    return found


def test_all_of_a_time_are_found(filled: Filled, read: dict[str, SessionReport]) -> None:
    """Without an ID the calls of the period are found by the names of their spans, and nothing else is."""
    assert read.keys() == {session_id for release in RELEASES for session_id in filled.of_file(release)}
    assert {one.provenance for one in read.values()} == {"native python", "native node"}


@pytest.mark.parametrize("release", RELEASES)
def test_reports_are_those_of_the_file(filled: Filled, read: dict[str, SessionReport], release: str) -> None:
    """Every recorded session of every release gives the report of its file: turns, times, usage, history, warnings."""
    for session_id, report in filled.of_file(release).items():
        assert whole(read[session_id]) == whole(report), session_id
