"""The Phoenix reader, against a local server that answers as Phoenix's spans API does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import livekit_otel
import tests.scenarios  # noqa: F401
from livekit_otel import PartialReadError, SourceError, SpanRecord
from livekit_otel import attributes as attr
from livekit_otel.transport import client
from livekit_otel.transport.retry import READING

from .json_server import Asked, Failing, JsonServer, Reply, serving
from .kit.run import as_json
from .kit.trace import record
from .phoenix_double import Phoenix

FIXTURES = Path(__file__).parent / "fixtures" / "backends"
SINCE = "since=2023-01-01"
CALLS = ("one_tool", "realtime_conversation", "words_of_the_world", "two_sessions_in_one_job", "redacted_session")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits between attempts are told, not slept; no key comes from the machine."""
    waits: list[float] = []
    monkeypatch.setattr(client, "_sleep", waits.append)
    monkeypatch.delenv("PHOENIX_API_KEY", raising=False)
    return waits


def url(server: JsonServer, query: str = SINCE, *, project: str = "/default", user: str = "") -> str:
    return f"phoenix://{user}127.0.0.1:{server.port}{project}?{query}"


def read(server: JsonServer, query: str = SINCE) -> list[SpanRecord]:
    return list(livekit_otel.read_spans(url(server, query)))


def reports(spans: Any) -> list[str]:
    built = sorted(livekit_otel.build_reports(spans), key=lambda one: one.session_id)
    assert all(one.complete and not [w for w in one.warnings if "redacted" not in w] for one in built)
    return [json.dumps(as_json(one.to_dict())) for one in built]


def failure(source: str, kind: type[SourceError] = SourceError) -> str:
    """The one line that reading ends with."""
    with pytest.raises(kind) as error:
        list(livekit_otel.read_spans(source))
    assert type(error.value) is kind
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("page", [7, 1000])
@pytest.mark.parametrize("name", CALLS)
def test_reports_come_back_equal(name: str, page: int) -> None:
    """Every session read from Phoenix, in pages of any size, gives the report that its spans in memory give."""
    trace = record(name)
    with serving(Phoenix(trace.pipeline, page=page)) as server:
        found = read(server)
    assert reports(found) == reports(trace.pipeline)
    expected = {span.span_id: _comparable(span) for span in trace.pipeline}
    assert {span.span_id: _comparable(span) for span in found} == expected


def _comparable(span: SpanRecord) -> tuple[Any, ...]:
    plain = {name: list(one) if isinstance(one, tuple) else one for name, one in span.attributes.items()}
    times = round(span.start_ns, -3), round(span.end_ns, -3)
    return span.trace_id, span.parent_id, span.name, times, plain, span.status, span.scope


def test_a_recorded_answer_is_read() -> None:
    """What a real Phoenix answered is read as it is: spelling, nulls, numbers and all."""
    page = json.loads(FIXTURES.joinpath("phoenix_page.json").read_bytes())
    page["next_cursor"] = None
    with serving(lambda asked: Reply(page)) as server:
        spans = read(server, f"trace={'9e' * 16}")
    assert [span.kind for span in spans] == ["session", "session.end", "turn", "llm"]
    session = spans[0].attributes
    assert session[attr.SESSION_NATIVE] is False
    assert session[attr.SESSION_TURNS] == 2
    turn = spans[2].attributes
    assert isinstance(turn[attr.TURN_SPEECH_IDS], list)
    assert isinstance(turn[attr.latency("llm_node_ttft")], float)


def test_one_session_among_others() -> None:
    """``session=`` finds a call by our id or by the room's, and leaves all others out."""
    two, one = record("two_sessions_in_one_job"), record("one_tool")
    with serving(Phoenix([*two.pipeline, *one.pipeline])) as server:
        for wanted in {span.session_id for span in two.pipeline}:
            assert {span.session_id for span in read(server, f"{SINCE}&session={wanted}")} == {wanted}
        room = one.pipeline[0].attributes[attr.BACKEND_SESSION_ID]
        assert len(read(server, f"{SINCE}&session={room}")) == len(one.pipeline)


def test_the_newest_traces_up_to_a_limit() -> None:
    """``limit=`` keeps whole calls, the newest ones, and says that there are more."""
    old, new = record("barge_in"), record("one_tool")
    with serving(Phoenix([*old.pipeline, *new.pipeline], page=3)) as server:
        stream = livekit_otel.read_spans(url(server, f"{SINCE}&limit=1"))
        assert {span.session_id for span in stream} == {new.pipeline[0].session_id}
    assert [problem.reason for problem in stream.problems] == [
        "only the newest 1 traces were read; for others raise limit= or set until="
    ]


def test_a_session_without_its_start_is_found() -> None:
    """A call whose first span was lost still comes up in a search, and the report says what is missing."""
    trace = record("one_tool")
    with serving(Phoenix([span for span in trace.pipeline if span.kind != "session.start"])) as server:
        report = livekit_otel.build_report(livekit_otel.read_spans(url(server)))
    assert not report.complete
    assert f"1 of {len(trace.pipeline)} spans are missing" in report.warnings


def test_spans_of_others_are_read_when_asked_for() -> None:
    """LiveKit's own spans of a trace come with ``all_scopes``, told apart by what is on them."""
    trace = record("one_tool", native_spans=True)
    with serving(Phoenix(trace.records)) as server:
        assert len(read(server)) == len(trace.pipeline)
        everything = list(livekit_otel.read_spans(url(server), all_scopes=True))
    of_the_call = [span for span in trace.records if span.trace_id == trace.pipeline[0].trace_id]
    assert len(everything) == len(of_the_call)
    assert sum(span.scope == attr.SCOPE for span in everything) == len(trace.pipeline)


def test_retries_are_polite(no_waiting: list[float]) -> None:
    """429 waits as long as it is told to, 500 a little, and then all is there."""
    trace = record("one_tool")
    replies = {1: Reply(b"", 429, {"Retry-After": "3"}), 3: Reply({"detail": "database is locked"}, 500)}
    with serving(Failing(Phoenix(trace.pipeline, page=5), replies)) as server:
        assert len(read(server)) == len(trace.pipeline)
    assert no_waiting[0] == 3.0
    assert len(no_waiting) == 2


def test_a_server_that_dies_in_the_middle_of_paging() -> None:
    """When a later page fails for good, that is said, and that what was read is not all."""
    trace = record("one_tool")
    with serving(Failing(Phoenix(trace.pipeline, page=5), {3: Reply(b"", 502)}, then=Reply(b"", 502))) as server:
        said = failure(url(server), PartialReadError)
    assert (
        "reading broke off after 10 spans, not all are here: Phoenix answered 502 (Bad Gateway), "
        f"{READING.attempts} times" in said
    )


def test_the_same_page_for_ever_is_noticed() -> None:
    """A server that gives the same cursor again does not keep the reader for ever."""
    answer = Phoenix(record("one_tool").pipeline)

    def stuck(asked: Asked) -> Reply:
        reply = answer(asked)
        reply.body["next_cursor"] = "x"
        asked.query.pop("cursor", None)
        return reply

    with serving(lambda asked: stuck(Asked(asked.method, asked.path, {**asked.query, "cursor": ["0"]}, {}))) as server:
        assert "the same page repeatedly" in failure(url(server))


def test_keys_are_used_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of the environment or the address reaches the server and no message."""
    monkeypatch.setenv("PHOENIX_API_KEY", "key-1")
    with serving(Phoenix(record("one_tool").pipeline)) as server:
        read(server)
        assert server.asked[-1].headers["authorization"] == "Bearer key-1"
        stream = livekit_otel.read_spans(url(server, user=":key-2@"))
        list(stream)
        assert server.asked[-1].headers["authorization"] == "Bearer key-2"
        assert stream.source == url(server)
        server.answer = lambda asked: Reply(b"Invalid token", 401, {"content-type": "text/plain"})
        said = failure(url(server, user=":key-2@"))
    assert said.endswith(
        "Phoenix answered 401 (Unauthorized); it does not accept the credentials: check PHOENIX_API_KEY"
    )
    assert "key-2" not in said


def test_what_is_not_there() -> None:
    """A missing project, an empty one, another server and an option that cannot work are one clear line each."""
    missing = FIXTURES.joinpath("phoenix_missing.json").read_bytes()
    with serving(lambda asked: Reply(missing, 404, {"content-type": "text/plain"})) as server:
        said = failure(url(server, project="/nope"))
        assert said.endswith("Phoenix has no project 'nope'; give it as the last part of the path")
        server.answer = lambda asked: Reply({"detail": "Not Found"}, 404)
        assert "no Phoenix with this API at that address" in failure(url(server))
        server.answer = lambda asked: Reply(b"<!doctype html><html></html>")
        assert "this is not a response of Phoenix, but a web page" in failure(url(server))
        server.answer = Phoenix([], project="my project")
        said = failure(url(server, "", project="/my%20project"))
        assert "Phoenix holds no session between" in said
        assert "check the project ('my project')" in said
        assert "Phoenix does not store service names" in failure(url(server, "service=a"))
    assert "check that Phoenix is running there" in failure("phoenix://127.0.0.1:1/default")
