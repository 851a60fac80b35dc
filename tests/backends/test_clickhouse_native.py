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
import tests.scenarios  # noqa: F401
from livekit_otel import SessionReport
from livekit_otel import attributes as attr
from livekit_otel.cli import main
from livekit_otel.report.render_json import to_document
from tests.kit.run import as_json
from tests.kit.trace import record
from tests.native.recordings import path_of, recordings

from . import calls
from .fixtures import need
from .process import wait_until
from .servers import ClickHouse, Collector
from .test_clickhouse import COLUMNS

pytestmark = pytest.mark.backend

RELEASES = ("python-1.5.18", "python-1.7.0", "python-1.8.9", "node-1.6.4", "node-1.8.1", "node-1.9.0")
#: Calls without a session span: of the first it was not exported, of the second never made, so that each of its
#: children is the root of a trace.
CUT = {"rootless": "handoff", "split": "barge_in"}
FILES = (*RELEASES, *CUT)
#: Calls with the spans of both layers, in the same table.
BOTH = ("one_tool", "barge_in", "handoff")
WHEN = "since=2023-11-14&limit=10000"
#: What a list says of a native session as a report does.
SAID = ("session_id", "conversation_id", "started_at", "duration", "close_reason", "complete")


@dataclass
class Filled:
    """A table with all recorded native traces, and the reports of the files that they came from."""

    server: ClickHouse
    columns: str
    files: dict[str, Path]
    reports: dict[str, dict[str, SessionReport]] = field(default_factory=dict)

    def address(self, query: str = WHEN, table: str = "") -> str:
        return f"clickhouse://{self.server.host}/{self.columns}{table}?{query}"

    def columns_read(self) -> set[str]:
        """Columns that the queries of the last list read, as the engine's log has them."""
        self.server.query("SYSTEM FLUSH LOGS")
        found = self.server.query(
            "SELECT DISTINCT arrayJoin(columns) AS name FROM system.query_log WHERE type = 'QueryFinish' "
            "AND has(tables, {table:String}) AND query LIKE '%FORMAT JSONEachRow' AND query LIKE '%AS conversation%'",
            table=f"{self.columns}.otel_traces",
        )
        return {row["name"].removeprefix(f"{self.columns}.otel_traces.").strip("`") for row in found}

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


def cut(kind: str, folder: Path) -> Path:
    """A call of Python 1.8.9 whose session span is not there."""
    call = recordings("python-1.8.9")[CUT[kind]]
    document = json.loads(call.line.replace(call.ours[0].conversation_id, f"RM_{kind}"))
    by_id = {}
    for scope in (scope for resource in document["resourceSpans"] for scope in resource["scopeSpans"]):
        scope["spans"] = [span for span in scope["spans"] if span["name"] != attr.NATIVE_SESSION]
        by_id.update({span["spanId"]: span for span in scope["spans"]})
    for span in by_id.values():
        top = span
        while (above := by_id.get(top["parentSpanId"])) is not None:
            top = above
        span["traceId"] = f"{kind.encode().hex():0<16}{top['spanId'] if kind == 'split' else '0' * 16}"
    if kind == "split":
        for span in by_id.values():
            if span["parentSpanId"] not in by_id:
                del span["parentSpanId"]
    path = folder / f"{kind}.jsonl"
    path.write_text(json.dumps(document) + "\n", encoding="utf-8")
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
        files = {release: own_ids(release, folder) for release in RELEASES} | {one: cut(one, folder) for one in CUT}
        for path in files.values():
            assert main(["replay", str(path), "--to", collector.otlp_http]) == 0
        spans = [span for name in BOTH for span in record(name, native_spans=True).exported]
        assert calls.send(collector.otlp_http, spans)
        sent = sum(sum(1 for _ in livekit_otel.read_spans(str(path), all_scopes=True)) for path in files.values())
        count = f"SELECT count() AS n FROM {request.param}.otel_traces"
        wait_until(f"{sent} rows", lambda: int(server.query(count)[0]["n"]) == sent + len(spans))
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


def pipeline() -> dict[str, SessionReport]:
    """The reports of the calls with both layers."""
    spans = [span for name in BOTH for span in record(name, native_spans=True).records]
    return {one.session_id: one for one in livekit_otel.build_reports(spans)}


def test_all_of_a_time_are_found(filled: Filled, read: dict[str, SessionReport]) -> None:
    """Without an ID the calls of the period are found by their spans; a call with both layers is there once."""
    expected = {session_id for release in FILES for session_id in filled.of_file(release)}
    assert read.keys() == expected | pipeline().keys()
    for session_id, report in pipeline().items():
        assert read[session_id].provenance == "pipeline"
        assert whole(read[session_id]) == whole(report)


@pytest.mark.parametrize("release", FILES)
def test_reports_are_those_of_the_file(filled: Filled, read: dict[str, SessionReport], release: str) -> None:
    """Every recorded session of every release gives the report of its file: turns, times, usage, history, warnings."""
    reports = filled.of_file(release)
    assert reports
    for session_id, report in reports.items():
        assert whole(read[session_id]) == whole(report), session_id


@pytest.mark.parametrize("release", FILES)
def test_one_call(filled: Filled, release: str) -> None:
    """The server picks one call by its trace, by the session ID of the list, and by its room where spans have it."""
    report = list(filled.of_file(release).values())[-1]
    asked = [f"session={report.session_id}"]
    if release != "split":
        asked.append(f"trace={report.session_id[:32]}")
    if report.conversation_id:
        asked.append(f"session={report.conversation_id}")
    for query in asked:
        found = livekit_otel.build_report(livekit_otel.read_spans(filled.address(f"{WHEN}&{query}")), report.session_id)
        assert whole(found) == whole(report), query


@pytest.mark.parametrize("query", ["trace={trace}", "session={session}", "session={room}", "session={trace}"])
def test_one_call_with_both_layers(filled: Filled, query: str) -> None:
    """However a call with both layers is asked for, its report is the pipeline's."""
    for session_id, report in pipeline().items():
        found = {"trace": report.spans[0].trace_id, "session": session_id, "room": report.conversation_id}
        address = filled.address(f"{WHEN}&{query.format(**found)}")
        assert whole(livekit_otel.build_report(livekit_otel.read_spans(address))) == whole(report)


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, Any]]:
    assert main(["sessions", *arguments, "--format", "json"]) == 0
    return {row["session_id"]: row for row in json.loads(capsys.readouterr().out)}


def test_the_list(filled: Filled, capsys: pytest.CaptureFixture[str]) -> None:
    """The list has what the lists of the files have, as far as the server can say it, and no content is read for it."""
    listed = rows(capsys, filled.address())
    native = {name: row for path in filled.files.values() for name, row in rows(capsys, str(path)).items()}
    assert listed.keys() == native.keys() | pipeline().keys()
    for session_id, row in native.items():
        found = listed[session_id]
        assert [found[name] for name in SAID] == [
            pytest.approx(row[name], abs=1e-6) if isinstance(row[name], float) else row[name] for name in SAID
        ]
        assert (found["turns"], found["flagged"]) == (None, None)
    read = filled.columns_read()
    assert not {"ResourceAttributes", "StatusMessage", "Events.Attributes", "Links.Attributes"} & read
    if filled.columns == "json":
        assert "SpanAttributes" not in read
        assert not any("chat_ctx" in name or "text" in name or "transcript" in name for name in read)


@pytest.mark.parametrize("query", ["trace={session}", "session={session}", "session={room}"])
def test_the_list_of_one(filled: Filled, query: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A list can be of one call."""
    (report,) = filled.of_file("rootless").values()
    address = filled.address(f"{WHEN}&{query.format(session=report.session_id, room=report.conversation_id)}")
    assert rows(capsys, address).keys() == {report.session_id}
    for session_id, other in pipeline().items():
        found = {"session": session_id, "room": other.conversation_id}
        if "trace" not in query:
            assert rows(capsys, filled.address(f"{WHEN}&{query.format(**found)}")).keys() == {session_id}


@pytest.mark.parametrize(("release", "scenario"), [("python-1.7.0", "one_tool"), ("node-1.9.0", "handoff")])
def test_the_commands_print_what_they_print_of_the_file(
    filled: Filled, release: str, scenario: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """``report``, ``turns`` and ``tree`` of a native session print what they print of its file; ``diff`` says equal."""
    recorded = recordings(release)[scenario].ours[0].session_id
    session_id = f"e{RELEASES.index(release)}{recorded[2:]}"
    address, path = filled.address(f"{WHEN}&session={session_id}"), str(filled.files[release])
    for command in ("report", "report --format json --full", "turns --full", "tree --full"):
        name, *options = command.split()
        printed = []
        for source in (address, path):
            assert main([name, source, "--session", session_id, *options]) == 0
            printed.append(capsys.readouterr())
        assert printed[0].out == printed[1].out != ""
        assert printed[0].err == ""
    assert main(["diff", address, path, "--session-b", session_id]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "equal"


def test_what_is_not_for_servers(filled: Filled, capsys: pytest.CaptureFixture[str]) -> None:
    """``replay`` sends files: of a server it says so in one line."""
    assert main(["replay", filled.address(), "--to", "http://127.0.0.1:9"]) != 0
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    assert "replay" in said or "file" in said
