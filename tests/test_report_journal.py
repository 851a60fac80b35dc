"""The journal: pieces, damage, and each kind of entry."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import msgspec
import pytest

from livekit_otel.journal import JournalReader
from livekit_otel.report import build_report
from tests import report_kit as kit


def journal(*values: str, pii: tuple[str, ...] = ()) -> JournalReader:
    made = JournalReader()
    for number, value in enumerate(values):
        made.add({f"livekit_otel.journal.p{number:03d}": value})
    for number, value in enumerate(pii):
        made.add({f"livekit_otel.pii.journal.p{number:03d}": value})
    return made


def pieces(batch: int, stream: list[Any], size: int = 20) -> list[str]:
    text = json.dumps(stream, separators=(",", ":"))
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    return [f"{batch}.{number}.{len(parts)}.{len(part)}|{part}" for number, part in enumerate(parts)]


def entries(made: JournalReader, batches: int | None) -> list[Any]:
    """What the journal holds, as the plain arrays that were written."""
    return [msgspec.to_builtins(batch) for batch in made.entries(batches)]


BATCH = [["b", True], ["e", {"type": "x", "text": ""}], ["e", {"type": "y", "n": [1, ""]}], ["e", {"type": "z"}]]
CONTENT = [[1, [1, "text"], "hello"], [2, [1, "n", 1], "there"]]
WHOLE = [
    ["b", True],
    ["e", {"type": "x", "text": "hello"}],
    ["e", {"type": "y", "n": [1, "there"]}],
    ["e", {"type": "z"}],
]


def test_pieces_come_together_in_any_order() -> None:
    """Pieces of a batch are joined by their numbers, and content is put where it was taken from."""
    made = journal(*reversed(pieces(0, BATCH)), pii=tuple(reversed(pieces(0, CONTENT))))
    assert entries(made, 1) == [WHOLE]
    assert (made.whole, made.warnings, made.withheld, made.gaps) == (True, [], False, [])


def test_cut_piece() -> None:
    """A value that was cut on the way is named with its length, never parsed as if whole; what came before is kept."""
    cut = pieces(3, BATCH)
    cut[3] = cut[3][:-5]
    made = journal(*cut, pii=tuple(pieces(3, CONTENT)))
    assert entries(made, None) == [WHOLE[:2]]
    assert made.warnings == [
        "journal batches 0-2 are missing: events and history have gaps there",
        f"journal batch 3 is damaged: piece 4 of {len(cut)} was cut from 20 to 15 bytes; 1 entries of it were kept",
    ]
    assert (made.whole, made.gaps) == (False, [0, 1, 2, 3])


def test_whole_piece_beside_a_cut_one() -> None:
    """When a piece arrives twice and one copy is cut, the whole one counts."""
    whole = pieces(0, BATCH)
    for order in ([whole[1][:-3], *whole], [*whole, whole[1][:-3]]):
        made = journal(*order, pii=tuple(pieces(0, CONTENT)))
        assert entries(made, 1) == [WHOLE]
        assert made.warnings == []


def test_missing_piece() -> None:
    """A missing piece is named; the entries before it are kept."""
    parts = pieces(0, BATCH)
    made = journal(*parts[:3], *parts[4:])
    assert entries(made, 1) == [BATCH[:2]]
    assert made.warnings[0] == (
        f"journal batch 0 is damaged: piece 4 of {len(parts)} is missing; 1 entries of it were kept"
    )
    assert made.withheld


def test_missing_content() -> None:
    """Content that is missing in one batch only is told of; all of it missing means that it was withheld."""
    some = journal(*pieces(0, BATCH), *pieces(1, BATCH), pii=tuple(pieces(1, CONTENT)))
    assert entries(some, 2) == [BATCH, WHOLE]
    assert (some.withheld, some.warnings) == (
        False,
        ["the content of journal batch 0 is missing: texts are empty there"],
    )
    none = journal(*pieces(0, BATCH), *pieces(1, BATCH))
    assert entries(none, 2) == [BATCH, BATCH]
    assert (none.withheld, none.warnings, none.whole) == (True, [], True)


def test_cut_content() -> None:
    """Of content that is damaged the whole beginning is used."""
    content = pieces(0, CONTENT)
    made = journal(*pieces(0, BATCH), pii=(content[0], content[1], content[2][:-1]))
    assert entries(made, 1) == [[WHOLE[0], WHOLE[1], BATCH[2], BATCH[3]]]
    assert made.warnings == [
        f"the content of journal batch 0 is damaged: piece 3 of {len(content)} was cut from 6 to 5 bytes; "
        "texts are empty there"
    ]


@pytest.mark.parametrize(
    "value",
    ["", "x", "0.0.1|[]", "0.0.1.x|[]", "0.1.1.2|[]", "-1.0.1.2|[]", "9999999999.0.1.2|[]", "0.0.999999999.2|[]", 5],
)
def test_unreadable_piece(value: Any) -> None:
    """A value that is no piece is counted, and costs neither time nor memory."""
    made = journal(value)
    assert entries(made, None) == []
    assert made.warnings == ["1 journal pieces are unreadable: were they masked on the way?"]


@pytest.mark.parametrize("payload", ["{}", "5", "[1", "[5]", "nonsense"])
def test_payload_of_something_else(payload: str) -> None:
    """A payload that is no list of entries harms nothing."""
    spans = kit.Call().spans
    spans[0]["attributes"]["livekit_otel.journal.p005"] = f"1.0.1.{len(payload)}|{payload}"
    report = build_report(kit.records(spans))
    assert report.events == []
    assert "journal" in report.warnings[1]


@pytest.mark.parametrize(
    "entry",
    [
        [], ["?"], ["e"], ["e", 5], ["u", {"type": "x"}, 5], ["c", None, {"type": "x"}], ["i", None, 5],
        ["i", None, {}], ["fe", 99, {"type": "x"}], ["fe", "x", None], ["fi", None], ["fb", 1, 0, []], ["fo", 5],
        ["ft", None], ["n"], ["zz", 1], ["fe", 0, None], ["h", 5], ["n", "x", None], ["u", 5, []],
        ["c", None, {"item": {"id": []}}], ["fi", {"id": "a", "created_at": "soon"}],
    ],
)  # fmt: skip
def test_entries_that_make_no_sense(entry: list[Any]) -> None:
    """An entry that cannot be understood is counted, and those around it count."""
    call = kit.Call()
    call.message("user", "before")
    call.correct(*entry)
    call.message("user", "after")
    report = build_report(kit.records(call.close().spans))
    assert [item["content"] for item in report.history] == [["before"], ["after"]]
    assert report.warnings == ["1 journal entries could not be understood: written by a newer version?"]
    assert not report.complete


def test_truncated_at_2048_bytes() -> None:
    """Where a store cuts long values, the pieces that were longer are named, and the rest is there."""
    call = kit.call(turns=3, piece_bytes=3_000)
    spans = copy.deepcopy(call.spans)
    for span in spans:
        for name, value in span["attributes"].items():
            if isinstance(value, str):
                span["attributes"][name] = value.encode()[:2_048].decode("utf-8", "ignore")
    report = build_report(kit.records(spans))
    assert not report.complete
    cuts = [re.search(r"was cut from (2,\d{3}|3,000) to 2,03\d bytes", warning) for warning in report.warnings]
    assert sum(cut is not None for cut in cuts) >= 3
    assert report.close_reason == "CR_USER_INITIATED"
    assert report.to_dict()["usage"] == call.report["usage"]
    plain = [event for event in report.events if event["type"] in ("agent_state_changed", "close")]
    assert plain == [event for event in call.report["events"] if event in plain]


# --- history -----------------------------------------------------------------------------------------------
def history(call: kit.Call) -> list[str]:
    return [item["id"] for item in build_report(kit.records(call.close().spans)).history]


def test_insertion_by_time() -> None:
    """An item that LiveKit inserts among earlier ones is put there, the first place included."""
    call = kit.Call()
    for at in (5.0, 6.0, 5.5, 1.0, 7.0):
        call.now = at
        call.item(type="message", role="user", content=[kit.Pii(str(at))])
        call.flush(call.span("session.checkpoint"))
    report = build_report(kit.records(call.close().spans))
    assert [item["content"] for item in report.history] == [["1.0"], ["5.0"], ["5.5"], ["6.0"], ["7.0"]]
    assert report.to_dict() == call.report


def test_history_form() -> None:
    """The history shows no null keys and no audio or image parts; the event shows the item as it was emitted."""
    call = kit.Call()
    audio = {"id": "a", "type": "audio_content", "frame": None, "transcript": kit.Pii("hm")}
    image = {"id": "b", "type": "image_content", "image": kit.Pii("data:")}
    other = {"type": "new_content", "x": None}
    call.message("user", "hello", content=[audio, kit.Pii("hello"), image, other])
    report = build_report(kit.records(call.close().spans))
    assert report.history[0]["content"] == ["hello", other]
    assert "hash" not in report.history[0]
    assert report.events[0]["item"]["content"] == [audio, "hello", image, other]
    assert report.to_dict() == call.report


def corrected() -> tuple[kit.Call, list[dict[str, Any]]]:
    call = kit.Call()
    for text in "abcd":
        call.now += 1
        call.message("user", text)
    call.flush(call.span("session.checkpoint"))
    return call, call.items


def test_event_correction() -> None:
    """An event that changed after it was emitted is replaced; its history item is not touched by this."""
    call, items = corrected()
    call.events[1] = {**call.events[1], "item": {**items[1], "metrics": {"e2e_latency": 1.5}}}
    call.correct("fe", 1, call.events[1])
    report = build_report(kit.records(call.close().spans))
    assert report.to_dict() == call.report
    assert report.warnings == []


def test_event_correction_after_a_gap() -> None:
    """Where events are missing, a correction finds its event by type and time, or does nothing."""
    call, items = corrected()
    call.now += 1
    call.message("user", "e")
    call.flush(call.span("session.checkpoint"))
    changed = {**call.events[4], "item": {**items[4], "interrupted": True}}
    call.correct("fe", 4, changed)
    call.correct("fe", 0, {**call.events[0], "item": {**items[0], "interrupted": True}})
    spans = [span for span in call.close().spans if span is not call.spans[1]]
    assert build_report(kit.records(spans)).events == json.loads(json.dumps([changed, call.events[5]]))


def test_item_correction() -> None:
    """An item that changed is replaced in its place; one that is new is added by its time."""
    call, items = corrected()
    changed = {**items[1], "interrupted": True}
    new = {**items[1], "id": "new", "created_at": items[2]["created_at"] + 0.5}
    call.correct("fi", kit.form(changed))
    call.correct("fi", kit.form(new))
    ids = [item["id"] for item in items]
    call.items = [items[0], changed, items[2], new, items[3]]
    report = build_report(kit.records(call.close().spans))
    assert [item["id"] for item in report.history] == [*ids[:3], "new", ids[3]]
    assert report.history[1]["interrupted"] is True
    assert report.to_dict()["chat_history"] == call.report["chat_history"]
    assert report.warnings == []


def test_bucket_correction() -> None:
    """Items of a bucket that are no longer in the history are removed; other buckets are left alone."""
    call, items = corrected()
    ids = [item["id"] for item in items]
    place = kit.bucket(ids[2], 256)
    call.correct(
        "fb", place, 256, [item_id for item_id in ids if kit.bucket(item_id, 256) == place and item_id != ids[2]]
    )
    del call.items[2]
    assert history(call) == [ids[0], ids[1], ids[3]]


def test_order_correction() -> None:
    """A recorded order is the history's, and what is not in it is not in the history."""
    call, items = corrected()
    ids = [item["id"] for item in items]
    call.correct("fo", [ids[3], ids[0], ids[1]])
    call.items = [items[3], items[0], items[1]]
    assert history(call) == [ids[3], ids[0], ids[1]]


def test_tie_correction() -> None:
    """Items of one time are put in the recorded order, where the first of them is."""
    call, items = corrected()
    ids = [item["id"] for item in items]
    call.correct("ft", [ids[2], ids[1]])
    assert history(call) == [ids[0], ids[2], ids[1], ids[3]]


def test_corrections_come_last() -> None:
    """Corrections apply after all entries, although they are written in an earlier batch."""
    call, items = corrected()
    ids = [item["id"] for item in items]
    call.correct("fo", [*reversed(ids), "late"])
    call.flush(call.span("session.checkpoint"))
    call.item(id="late", type="message", role="user", content=[])
    assert history(call) == [*reversed(ids), "late"]


def test_repeated_item() -> None:
    """An item that is inserted again replaces itself."""
    call = kit.Call()
    call.message("user", "once", id="same")
    call.correct("i", None, {"id": "same", "type": "message", "role": "user", "content": ["twice"], "created_at": 1.0})
    assert [item["content"] for item in build_report(kit.records(call.close().spans)).history] == [["twice"]]


# --- figures -----------------------------------------------------------------------------------------------
def test_usage_states() -> None:
    """Each usage event has the whole state of its moment; later changes do not reach back."""
    call = kit.Call()
    for number, change in ((0, {"input_tokens": 5}), (0, {"output_tokens": 2}), (1, {"audio_duration": 0.25}), (0, {})):
        call.add_usage(number, **change)
    report = build_report(kit.records(call.close().spans))
    assert report.to_dict() == call.report
    assert [[one["output_tokens"] for one in e["usage"]["model_usage"]] for e in report.events[:4]] == [
        [0],
        [2],
        [2, 0],
        [2, 0],
    ]


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        ("error", "CR_ERROR"), ("job_shutdown", "CR_JOB_SHUTDOWN"), ("user_initiated", "CR_USER_INITIATED"),
        ("participant_disconnected", "CR_PARTICIPANT_DISCONNECTED"), ("task_completed", "CR_COMPLETED"),
    ],
)  # fmt: skip
def test_close_reasons(reason: str, name: str) -> None:
    """Every close reason has LiveKit's name, a new one is unknown."""
    report = build_report(kit.records(kit.Call().close(reason).spans))
    assert (report.close_reason, report.to_dict()["close_reason"]) == (name, name)
    other = build_report(kit.records(kit.Call().close("brand_new").spans))
    assert other.to_dict()["close_reason"] == "CR_UNKNOWN"


def test_error_counts() -> None:
    """Errors are counted by kind as LiveKit counts them; one of another kind counts nowhere."""
    call = kit.Call()
    for kind in (
        "llm_error",
        "llm_error",
        "stt_error",
        "tts_error",
        "realtime_model_error",
        "interruption_detection_error",
        "x",
    ):
        call.event("error", error={"type": kind, "label": "some.Plugin", "error": kit.Pii("boom"), "recoverable": True})
    report = build_report(kit.records(call.close("error").spans))
    assert report.to_dict() == call.report
    assert report.to_dict()["errors"] == {"llm": 2, "stt": 1, "tts": 1, "realtime": 1, "interruption": 1}


def test_older_livekit() -> None:
    """Keys that an older LiveKit does not have are not added."""
    call = kit.Call()
    for name in ("errors", "close_reason", "user_turns", "tags"):
        del call.head[name]
    call._entries = [["h", dict(call.head)]]
    report = build_report(kit.records(call.close().spans))
    assert "errors" not in report.to_dict()
    assert report.to_dict() == call.report


def test_dropped_entries() -> None:
    """Entries that the process itself had to drop are named with the cause, if it said which; the report lacks them."""
    dropped = "journal entries were dropped within the process: they"
    for failed, expected in (
        (None, [f"2 {dropped} were too large, or could not be written as JSON"]),
        (0, [f"2 {dropped} were too large"]),
        (1, [f"1 {dropped} were too large", f"1 {dropped} could not be written as JSON"]),
        (2, [f"2 {dropped} could not be written as JSON"]),
    ):
        call = kit.call()
        end = call.spans[-2]["attributes"]
        end["livekit_otel.session.lost_entries"] = 2
        if failed is not None:
            end["livekit_otel.session.failed_entries"] = failed
        report = build_report(kit.records(call.spans))
        assert (report.warnings, report.complete) == (expected, False)


def test_count_mismatch() -> None:
    """A journal that holds another number of events or items than the session counted is told of."""
    call = kit.Call()
    call.message("user", "a")
    call.correct("n", 7, 3)
    spans = call.close().spans
    end = next(span for span in spans if span["name"] == "session.end")["attributes"]
    place, _, payload = end["livekit_otel.journal.p000"].partition("|")
    changed = json.dumps([entry if entry[0] != "n" else ["n", 7, 3] for entry in json.loads(payload)])
    end["livekit_otel.journal.p000"] = f"{place.rpartition('.')[0]}.{len(changed)}|{changed}"
    report = build_report(kit.records(spans))
    assert report.warnings == [
        "the session counted 7 events, and 2 are here",
        "the session counted 3 history items, and 1 are here",
    ]
    assert not report.complete


def test_usage_of_a_model_that_moves_another() -> None:
    """A model that appears before others is written whole at its place, and so are those it moves."""
    call = kit.Call()
    stt = {"type": "stt_usage", "provider": "", "model": "s", "audio_duration": 1.5}
    llm = {"type": "llm_usage", "provider": "acme", "model": "m", "input_tokens": 3, "output_tokens": 0}
    event = {"type": "session_usage_updated", "usage": None, "created_at": kit.START}
    call.correct("u", dict(event), [[0, stt]])
    call.correct("u", dict(event), [[0, llm], [1, stt]])
    call.correct("u", dict(event), [[0, {"output_tokens": 7}]])
    call.events = [
        {**event, "usage": {"model_usage": usage}} for usage in ([stt], [llm, stt], [{**llm, "output_tokens": 7}, stt])
    ]
    report = build_report(kit.records(call.close().spans))
    assert json.dumps(report.to_dict()) == json.dumps(call.report)
    assert report.usage == [{**llm, "output_tokens": 7}, stt]
