"""Building reports: what the spans carry comes back, in whatever order and number they arrive."""

from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livekit_otel.errors import AmbiguousSessionError, SessionNotFoundError, SourceError
from livekit_otel.readers import Problem, read_spans
from livekit_otel.report import SessionReport, build_report, build_reports
from tests import report_kit as kit

CALL = kit.call(turns=3)


def same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Equal as JSON, the order of keys included."""
    assert json.dumps(found, indent=1) == json.dumps(wanted, indent=1)


def test_round_trip() -> None:
    """A closed call's report equals LiveKit's own, and is complete without a warning."""
    report = build_report(kit.records(CALL.spans))
    same(report.to_dict(), CALL.report)
    assert (report.complete, report.redacted, report.warnings) == (True, False, [])


def test_fields() -> None:
    """What the report object has beside LiveKit's shape."""
    report = build_report(kit.records(CALL.spans))
    assert {name: getattr(report, name) for name in (
        "session_id", "conversation_id", "started_at", "ended_at", "job_id", "room_id", "room", "agent_name",
        "close_reason", "usage",
    )} == {
        "session_id": "S-one", "conversation_id": "RM_S-one", "started_at": kit.START,
        "ended_at": CALL.session["end_ns"] / 1e9, "job_id": "AJ_S-one", "room_id": "RM_S-one", "room": "room of S-one",
        "agent_name": "clerk", "close_reason": "CR_USER_INITIATED", "usage": CALL.usage,
    }  # fmt: skip
    assert report.duration == pytest.approx(CALL.now, abs=1e-6)
    assert report.spans == sorted(report.spans, key=lambda span: (span.start_ns, span.end_ns, span.span_id))
    assert {span.span_id for span in report.spans} == {span["span_id"] for span in CALL.spans}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_order_any_number(data: st.DataObject) -> None:
    """Spans in random order, some of them twice or more often, give the same report."""
    extra = data.draw(st.lists(st.sampled_from(CALL.spans), max_size=10))
    spans = data.draw(st.permutations([*CALL.spans, *extra]))
    report = build_report(kit.records(spans))
    same(report.to_dict(), CALL.report)
    assert report.complete
    assert report.warnings == []


@settings(max_examples=30, deadline=None)
@given(
    piece_bytes=st.integers(4, 400),
    pieces_per_span=st.integers(1, 9),
    seed=st.integers(0, 9),
    turns=st.integers(0, 3),
    content=st.booleans(),
)
def test_any_cut(piece_bytes: int, pieces_per_span: int, seed: int, turns: int, content: bool) -> None:
    """However finely the journal is cut, and however many spans it spills onto, it comes back."""
    call = kit.call(turns=turns, piece_bytes=piece_bytes, pieces_per_span=pieces_per_span, seed=seed, content=content)
    spans = list(call.spans)
    random.Random(seed).shuffle(spans)
    report = build_report(kit.records(spans))
    same(report.to_dict(), call.report)
    assert report.complete


def test_split_over_files(tmp_path: Path) -> None:
    """Spans that are spread over files of a directory, some of them in two, give the same report."""
    spans = list(CALL.spans)
    random.Random(5).shuffle(spans)
    for number in range(4):
        (tmp_path / f"{number}.jsonl").write_text("".join(kit.lines(spans[number::4] + spans[number : number + 2], 3)))
    report = build_report(read_spans(tmp_path))
    same(report.to_dict(), CALL.report)
    assert report.complete


def test_stringified_attributes() -> None:
    """A store that keeps text only loses nothing of the report or the turns."""
    report = build_report(kit.records(CALL.spans, stringified=True))
    same(report.to_dict(), CALL.report)
    assert report.complete
    typed = build_report(kit.records(CALL.spans)).turns
    for found, wanted in zip(report.turns, typed, strict=True):
        names = ("index", "speech_ids", "models", "reported", "user_text", "agent_text", "end_reason")
        assert [getattr(found, name) for name in names] == [getattr(wanted, name) for name in names]


def test_long_text() -> None:
    """Entries far longer than a piece, of any characters, come back."""
    call = kit.Call()
    call.message("assistant", '🙂é\\"\n\u2028x' * 20_000)
    call.flush(call.span("session.checkpoint"))
    report = build_report(kit.records(call.close().spans))
    same(report.to_dict(), call.report)


def test_half_surrogates() -> None:
    """Halves of surrogate pairs survive, as Python's JSON has them."""
    call = kit.Call()
    call.message("user", "a\ud83db")
    spans = call.close().spans
    for span in spans:
        for name, value in span["attributes"].items():
            if ".journal.p" in name and "\ud83d" in value:
                place, _, payload = value.partition("|")
                text = payload.replace("\ud83d", "\\ud83d")
                head = place.rpartition(".")[0]
                span["attributes"][name] = f"{head}.{len(text)}|{text}"
    same(build_report(kit.records(spans)).to_dict(), call.report)


# --- several sessions ------------------------------------------------------------------------------------
def several(count: int = 4) -> list[kit.Call]:
    return [kit.call(f"S-{number:02d}", turns=2, start=kit.START + 100 * number) for number in range(count)]


def test_interleaved_sessions() -> None:
    """Each session is yielded as soon as it is whole, although their spans interleave; late duplicates are dropped."""
    calls = several()
    spans = [span for call in calls for span in call.spans]
    random.Random(3).shuffle(spans)
    seen: list[str] = []

    def feed() -> Any:
        left = {call.session_id: len(call.spans) for call in calls}
        for record in kit.records([*spans, *spans[:40]]):
            assert sorted(seen) == sorted(session_id for session_id, count in left.items() if count <= 0)
            left[record.session_id] -= 1
            yield record

    reports: dict[str, SessionReport] = {}
    for report in build_reports(feed()):
        seen.append(report.session_id)
        reports[report.session_id] = report
    assert sorted(seen) == [call.session_id for call in calls]
    for call in calls:
        same(reports[call.session_id].to_dict(), call.report)
        assert reports[call.session_id].complete


def test_unfinished_sessions_come_at_the_end() -> None:
    """A session that is not whole is reported at the end of input, with what the reader could not read."""
    whole, broken = several(2)

    class Spans(list[Any]):
        problems = [Problem("x.jsonl", 3, "oops")]

    spans = Spans(kit.records([*broken.spans[:-1], *whole.spans]))
    first, second = build_reports(spans)
    assert (first.session_id, first.complete, first.warnings) == (whole.session_id, True, [])
    assert (second.session_id, second.complete) == (broken.session_id, False)
    assert second.warnings == [f"1 of {len(broken.spans)} spans are missing", "x.jsonl, line 3: oops"]


def test_choosing_a_session() -> None:
    """A session is chosen by its id, its conversation id, or a unique beginning of one of them."""
    calls = several(12)
    calls[3].spans = [dict(span, attributes={**span["attributes"], "session.id": "RM_x"}) for span in calls[3].spans]
    calls.append(kit.call("S-0", turns=1))
    records = kit.records([span for call in calls for span in call.spans])
    choices = {"S-07": "S-07", "S-0": "S-0", "S-11": "S-11", "RM_S-05": "S-05", "RM_x": "S-03", "RM_S-10": "S-10"}
    for wanted, session_id in choices.items():
        assert build_report(records, wanted).session_id == session_id
    with pytest.raises(AmbiguousSessionError) as caught:
        build_report(records, "S-1")
    assert str(caught.value) == (
        "2 sessions match 'S-1', choose one by its id: S-10 (2026-09-21 14:30:00 UTC), S-11 (2026-09-21 14:31:40 UTC)"
    )
    with pytest.raises(SessionNotFoundError) as missing:
        build_report(records, "nope")
    assert str(missing.value) == (
        "no session 'nope' among the spans; there are: S-00, S-01, S-02, S-03, S-04, S-05, S-06, S-07, S-08, S-09, …"
    )


def test_several_sessions_and_none_chosen() -> None:
    """Ten of the sessions are named with their start, and how many there are."""
    records = kit.records([span for call in several(12) for span in call.spans])
    random.Random(1).shuffle(records)
    with pytest.raises(AmbiguousSessionError) as caught:
        build_report(records)
    text = str(caught.value)
    assert text.startswith("12 sessions are here, choose one by its id: S-00 (2026-09-21 14:13:20 UTC), S-01 (")
    assert text.endswith("S-09 (2026-09-21 14:28:20 UTC) and 2 more")


def test_two_sessions_of_one_conversation() -> None:
    """Two sessions in one room have one conversation id: it does not tell them apart."""
    calls = several(2)
    for call in calls:
        for span in call.spans:
            span["attributes"]["session.id"] = "RM_same"
    records = kit.records([span for call in calls for span in call.spans])
    with pytest.raises(AmbiguousSessionError, match="2 sessions match 'RM_same'"):
        build_report(records, "RM_same")


def test_no_session() -> None:
    """Without a pipeline span there is no report, and the message says what may be wrong."""
    with pytest.raises(SessionNotFoundError, match="no session among the spans"):
        build_report([])
    foreign = kit.records([dict(CALL.spans[0], attributes={"a": 1})])
    assert list(build_reports(foreign)) == []


# --- when something is missing ---------------------------------------------------------------------------
def test_crash() -> None:
    """After a crash the report holds all that was exported, and says what is not."""
    spans = [span for span in CALL.spans if span["name"] not in ("session", "session.end")]
    last = next(span for span in spans if span["name"] == "turn" and span["attributes"]["livekit_otel.turn.index"] == 2)
    stages = [span for span in spans if span["parent_id"] == last["span_id"]]
    kept = [span for span in spans if span is not last]
    report = build_report(kit.records(kept))
    found, whole = report.to_dict(), CALL.report
    count = len(found["events"])
    assert found["events"] == whole["events"][:count]
    assert found["chat_history"]["items"] == whole["chat_history"]["items"][: len(found["chat_history"]["items"])]
    state = [event for event in found["events"] if event["type"] == "session_usage_updated"][-1]["usage"]["model_usage"]
    assert report.usage == state
    ended = max(span["end_ns"] for span in kept) / 1e9
    assert found == {
        **whole, "events": found["events"], "chat_history": found["chat_history"], "user_turns": 2,
        "close_reason": None, "timestamp": ended, "duration_ms": int((ended - kit.START) * 1000),
        "usage": [{"type": one["type"], "provider": one["provider"], "model": one["model"],
                   **{k: v for k, v in one.items() if v and k not in ("type", "provider", "model")}} for one in state],
    }  # fmt: skip
    assert list(found) == list(whole)
    assert not report.complete
    assert report.warnings == [
        f"session.end is missing, and the turn of the last {len(stages)} stage spans: the process died, or its last "
        "spans were not exported; what happened after 2026-09-21 14:13:38 UTC is unknown"
    ]
    assert [(turn.index, turn.end_reason, turn.span is None) for turn in report.turns] == [
        (0, "completed", False), (1, "completed", False), (2, None, True),
    ]  # fmt: skip

    assert report.turns[-1].span_id == last["span_id"]
    assert {stage.span_id for stage in report.turns[-1].stages} == {stage["span_id"] for stage in stages}


def test_crash_right_after_the_start() -> None:
    """The first span alone makes a report."""
    report = build_report(kit.records(CALL.spans[:1]))
    assert report.to_dict() == {
        **CALL.report, "events": [], "chat_history": {"items": []}, "usage": None, "user_turns": 0,
        "close_reason": None, "timestamp": kit.START, "duration_ms": 0,
    }  # fmt: skip
    assert not report.complete


def test_only_the_middle() -> None:
    """A single turn span in the middle makes a report, whose head is made up of what is known."""
    (turn,) = (span for span in CALL.spans if span["attributes"].get("livekit_otel.turn.index") == 1)
    report = build_report(kit.records([turn]))
    assert list(report.to_dict()) == list(CALL.report)
    batch = [event for event in CALL.report["events"] if event in report.events]
    assert len(report.events) > 5
    assert [event for event in report.events if event["type"] != "session_usage_updated"] == [
        event for event in batch if event["type"] != "session_usage_updated"
    ]
    assert report.warnings[1:] == [
        "journal batches 0-2 are missing: events and history have gaps there",
        "the report's head is missing: options, tags and the like are unknown",
    ]


@pytest.mark.parametrize("index", range(3))
def test_missing_turn_span(index: int) -> None:
    """A span that is missing in the middle takes its events with it; what comes after still counts."""
    spans = [span for span in CALL.spans if span["attributes"].get("livekit_otel.turn.index") != index]
    report = build_report(kit.records(spans))
    whole = CALL.report
    plain = [event for event in report.events if event["type"] != "session_usage_updated"]
    assert plain == [event for event in whole["events"] if event in plain]
    assert plain[-1] == whole["events"][-1]
    ids = [item["id"] for item in whole["chat_history"]["items"]]
    found = [item["id"] for item in report.history]
    assert found == [item_id for item_id in ids if item_id in found]
    figures = [{name: value for name, value in one.items() if value} for one in CALL.usage]
    assert [{name: value for name, value in one.items() if value} for one in report.usage] == figures or index == 2
    assert report.to_dict()["usage"] == whole["usage"]
    assert not report.complete
    missing = len(whole["events"]), len(report.events), len(ids), len(found)
    assert report.warnings == [
        f"1 of {len(CALL.spans)} spans are missing",
        f"journal batch {index + 2} is missing: events and history have gaps there",
        f"the session counted {missing[0]} events, and {missing[1]} are here",
        f"the session counted {missing[2]} history items, and {missing[3]} are here",
    ]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_subset(data: st.DataObject) -> None:
    """Whatever spans are missing, there is a report of the rest: its events are LiveKit's, in order, and it says so."""
    kept = data.draw(st.lists(st.sampled_from(CALL.spans), min_size=1, unique_by=lambda span: span["span_id"]))
    report = build_report(kit.records(kept))
    assert list(report.to_dict()) == list(CALL.report)
    plain = [event for event in report.events if event["type"] != "session_usage_updated"]
    assert plain == [event for event in CALL.report["events"] if event in plain]
    assert report.complete == (len(kept) == len(CALL.spans))
    assert report.complete or report.warnings
    assert len(report.turns) >= sum(span["name"] == "turn" for span in kept)


def test_cut_at_every_byte(tmp_path: Path) -> None:
    """A file that is cut off at any byte gives a report of its whole spans; before the first there is a clear error."""
    call = kit.Call()
    for text in ("hello", "Zürich 🙂"):
        call.message("assistant", text)
        call.flush(call.span("session.checkpoint"))
    spans = call.close().spans
    text = "".join(kit.lines(spans, 2)).encode()  # type: ignore[assignment]
    path = tmp_path / "trace.jsonl"
    whole = build_report(kit.records(spans)).events
    ends = [text.index(json.dumps(kit.otlp(span), separators=(",", ":")).encode()) for span in spans]  # type: ignore[arg-type]
    sizes = [len(json.dumps(kit.otlp(span), separators=(",", ":")).encode()) for span in spans]
    ends = [end + size for end, size in zip(ends, sizes, strict=True)]
    for size in range(len(text)):
        path.write_bytes(text[:size])  # type: ignore[arg-type]
        count = sum(end <= size for end in ends)
        if not count:
            with pytest.raises(SourceError, match=str(path)):
                build_report(read_spans(path))
            continue
        report = build_report(read_spans(path))
        assert len(report.spans) == count
        assert report.events == whole[: len(report.events)]
        assert report.complete == (count == len(spans))


def test_reader_problems_end_in_the_warnings(tmp_path: Path) -> None:
    """What could not be read of a file is in the report's warnings; a cut-off end only where something is missing."""
    path = tmp_path / "trace.jsonl"
    parts = kit.lines(CALL.spans, 9)
    path.write_text("".join([parts[0], "oops\n", *parts[1:]]))
    report = build_report(read_spans(path))
    assert report.complete
    assert report.warnings == [f"{path}, line 2: JSON is malformed: invalid character (byte 0); the line was skipped"]
    path.write_text("".join(parts) + parts[0][:50])
    assert build_report(read_spans(path)).warnings == []
    path.write_text("".join(parts[:-1]) + parts[-1][:50])
    (*_, last) = build_report(read_spans(path)).warnings
    assert "the last line is cut off (was the writer killed?) before its first" in last


# --- content ---------------------------------------------------------------------------------------------
def test_withheld_content() -> None:
    """A session that records no content has the same shape, timings and usage, and says that texts are empty."""
    call = kit.call(content=False)
    report = build_report(kit.records(call.spans))
    same(report.to_dict(), call.report)
    assert (report.complete, report.redacted) == (True, True)
    assert report.warnings == ["content was redacted: it was withheld by the session's settings; texts are empty"]


@pytest.mark.parametrize("mask", [None, "****", ""])
def test_removed_content(mask: str | None) -> None:
    """A collector that removes or masks the keys with a pii segment leaves the same shape with empty texts."""
    spans = copy.deepcopy(CALL.spans)
    for span in spans:
        kept = {name: value for name, value in span["attributes"].items() if ".pii." not in name}
        if mask is not None:
            kept |= {name: mask for name in span["attributes"] if ".pii." in name}
        span["attributes"] = kept
    report = build_report(kit.records(spans))
    same(report.to_dict(), kit.call(content=False).report)
    assert (report.complete, report.redacted) == (True, True)
    assert report.warnings == ["content was redacted: it was removed from the spans; texts are empty"]


# --- turns -----------------------------------------------------------------------------------------------
def test_turns() -> None:
    """Turns come in order, with their words, their end and their stages."""
    turns = build_report(random.Random(2).sample(kit.records(CALL.spans), len(CALL.spans))).turns
    texts = [item["content"][0] for item in CALL.report["chat_history"]["items"] if item["type"] == "message"][1:]
    assert [(t.index, t.user_text, t.agent_text, t.end_reason) for t in turns] == [
        (0, texts[0], texts[1], "completed"),
        (1, texts[2], texts[3], "completed"),
        (2, texts[4], texts[5], "interrupted"),
    ]
    assert [sorted(span.kind for span in turn.stages) for turn in turns] == [
        ["eou", "llm", "llm", "playback", "stt", "tts", "vad"],
        ["eou", "llm", "llm", "playback", "stt", "tool", "tts", "vad"],
        ["eou", "llm", "llm", "playback", "stt", "tts", "vad"],
    ]
    for turn in turns:
        assert turn.stages == sorted(turn.stages, key=lambda span: span.start_ns)
        assert (turn.agent, turn.models) == ("clerk", ["acme/llm-1", "acme/tts-1"])
        assert turn.reported == {"e2e_latency": 1.234}
        assert (turn.start_ns, turn.end_ns) == (turn.span.start_ns, turn.span.end_ns)  # type: ignore[union-attr]


def test_cut_words_come_from_the_history() -> None:
    """A turn's text that was cut on the span is completed from the history."""
    call = kit.Call()
    long = "Wörter " * 500
    call.message("user", long)
    turn = call.turn()
    turn["attributes"]["livekit_otel.pii.turn.user_text"] = long.encode()[:1_900].decode("utf-8", "ignore")
    assert build_report(kit.records(call.close().spans)).turns[0].user_text == long


def test_without_livekit(tmp_path: Path) -> None:
    """Reading, reporting and the command line work where livekit cannot be imported."""
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(kit.lines(CALL.spans)))
    code = f"""
        import sys

        class Blocked:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == "livekit":
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

        sys.meta_path.insert(0, Blocked())
        from livekit_otel.cli import main
        from livekit_otel.readers import read_spans
        from livekit_otel.report import build_report

        report = build_report(read_spans({str(path)!r}))
        assert len(report.turns) == 3 and report.complete
        assert main(["report", {str(path)!r}]) == 0
        assert not any(name.partition(".")[0] in ("livekit", "wrapt") for name in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Session S-one\n")
