"""The OTLP JSON reader: what file exporters and servers write, and what goes wrong with files."""

from __future__ import annotations

import base64
import gzip
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.json.file import FileSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Status, StatusCode

from livekit_otel.errors import SourceError
from livekit_otel.readers import Problem, read_spans
from livekit_otel.report import build_reports
from livekit_otel.report.render_text import to_text
from livekit_otel.spans import SpanRecord, from_sdk
from tests import report_kit as kit

CALL = kit.call(turns=1)
RESOURCE = {"service.name": "clerk"}


def expected(spans: list[kit.Span] | None = None) -> list[SpanRecord]:
    return kit.records(CALL.spans if spans is None else spans)


def read(path: Path | str, **options: Any) -> list[SpanRecord]:
    found = list(read_spans(path, **options))
    return [SpanRecord(**{**as_dict(record), "resource": {}}) for record in found]


def as_dict(record: SpanRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


class _Kept(SpanExporter):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Any) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS


def test_sdk_file_equals_live_spans(tmp_path: Path) -> None:
    """What the SDK's file exporter wrote is read as the very records that the live spans become."""
    provider, kept = TracerProvider(), _Kept()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    provider.add_span_processor(BatchSpanProcessor(FileSpanExporter(tmp_path / "trace.jsonl")))
    values: dict[str, Any] = {
        "text": "Zürich 🙂 \"q\" \\u0041", "empty": "", "yes": True, "no": False, "int": -7, "zero": 0, "large": 2**60,
        "float": 2.5, "whole": 3.0, "tiny": 5e-324, "inf": math.inf, "texts": ("a", "b"), "ints": (1, 2),
        "floats": (0.5,), "flags": (True, False),
    }  # fmt: skip
    tracer = provider.get_tracer("livekit_otel")
    with tracer.start_as_current_span("session", attributes=values) as span:
        span.add_event("said", {"a": 1})
        with tracer.start_as_current_span("turn") as turn:
            turn.set_status(Status(StatusCode.ERROR, "broke"))
        with tracer.start_as_current_span("vad") as vad:
            vad.set_status(StatusCode.OK)
    provider.shutdown()
    found = [as_dict(one) for one in read_spans(tmp_path / "trace.jsonl")]
    assert found == [listed(as_dict(from_sdk(one))) for one in kept.spans]


def listed(record: dict[str, Any]) -> dict[str, Any]:
    """Tuples as lists: the SDK keeps the one, JSON gives the other."""
    attributes = {name: list(v) if isinstance(v, tuple) else v for name, v in record["attributes"].items()}
    return {**record, "attributes": attributes, "resource": dict(record["resource"])}


WRAPPED = {
    "collector": lambda message: message,
    "jaeger": lambda message: {"result": message},
    "tempo": lambda message: {"batches": message["resourceSpans"]},
    "tempo v2": lambda message: {"trace": message, "metrics": {}},
    "list": lambda message: [message],
}


@pytest.mark.parametrize("shape", WRAPPED)
@pytest.mark.parametrize("indent", [None, 2])
def test_shapes(tmp_path: Path, shape: str, indent: int | None) -> None:
    """Every writer's wrapper is read, on one line or printed over many."""
    text = json.dumps(WRAPPED[shape](kit.document(CALL.spans)), indent=indent)
    assert read(write(tmp_path / "a.json", text)) == expected()
    assert read(write(tmp_path / "b.json", text + "\n")) == expected()


def test_lax_values(tmp_path: Path) -> None:
    """Numbers for 64-bit integers, base64 ids, enum names and unknown fields are understood."""
    span = kit.otlp(CALL.spans[0])
    span |= {
        "traceId": base64.b64encode(bytes.fromhex(span["traceId"])).decode(),
        "spanId": base64.b64encode(bytes.fromhex(span["spanId"])).decode(),
        "parentSpanId": base64.b64encode(bytes.fromhex(span["parentSpanId"])).decode(),
        "startTimeUnixNano": int(span["startTimeUnixNano"]),
        "kind": "SPAN_KIND_INTERNAL",
        "status": {"code": "STATUS_CODE_ERROR", "message": "broke"},
        "somethingNew": [{"a": 1}],
    }
    span["attributes"] += [{"key": "n", "value": {"intValue": 5}}, {"key": "null"}, {"key": "none", "value": {}}]
    message = kit.document([])
    message["resourceSpans"][0]["scopeSpans"][0]["spans"] = [span]
    (found,) = read(write(tmp_path / "a.json", json.dumps(message)))
    (wanted,) = expected(CALL.spans[:1])
    changed = {"status": "error", "status_message": "broke", "attributes": {**wanted.attributes, "n": 5}}
    assert as_dict(found) == {**as_dict(wanted), **changed}


def test_upper_case_ids(tmp_path: Path) -> None:
    """Hex ids become lower case, so that parents are found whoever wrote them."""
    text = kit.lines(CALL.spans)[0]
    for span in CALL.spans:
        for name in ("span_id", "trace_id"):
            text = text.replace(span[name], span[name].upper())
    assert read(write(tmp_path / "a.json", text)) == expected()


def test_value_kinds(tmp_path: Path) -> None:
    """Each kind of OTLP value has a plain counterpart."""
    values: dict[str, Any] = {
        "nan": {"doubleValue": "NaN"},
        "list": {"arrayValue": {"values": [{"stringValue": "a"}, {"intValue": "1"}]}},
        "empty list": {"arrayValue": {}},
        "map": {"kvlistValue": {"values": [{"key": "a", "value": {"intValue": "1"}}]}},
        "bytes": {"bytesValue": "AAE="},
        "null text": {"stringValue": "null"},
        "digits": {"stringValue": "12"},
    }
    span = {**kit.otlp(CALL.spans[0]), "attributes": [{"key": k, "value": v} for k, v in values.items()]}
    message = kit.document([])
    message["resourceSpans"][0]["scopeSpans"][0]["spans"] = [span]
    (found,) = read(write(tmp_path / "a.json", json.dumps(message)))
    assert math.isnan(found.attributes["nan"])  # type: ignore[arg-type]
    assert {name: value for name, value in found.attributes.items() if name != "nan"} == {
        "list": ["a", 1], "empty list": [], "map": '{"a":1}', "bytes": "AAE=", "null text": "null", "digits": "12",
    }  # fmt: skip


def test_other_scopes(tmp_path: Path) -> None:
    """Spans that others made are passed over unless they are asked for."""
    text = "".join(kit.lines(CALL.spans[:2], scope="livekit-agents") + kit.lines(CALL.spans[2:]))
    path = write(tmp_path / "a.jsonl", text)
    assert read(path) == expected(CALL.spans[2:])
    found = read(path, all_scopes=True)
    assert [record.scope for record in found] == ["livekit-agents"] * 2 + ["livekit_otel"] * (len(CALL.spans) - 2)


def test_lost_scope(tmp_path: Path) -> None:
    """Where a store lost the scope, a span's own kind says that it is ours."""
    foreign = {**CALL.spans[0], "attributes": {"http.method": "GET"}}
    found = read(write(tmp_path / "a.jsonl", "".join(kit.lines([foreign, *CALL.spans], scope=""))))
    assert [record.span_id for record in found] == [span["span_id"] for span in CALL.spans]


def test_gzip_is_known_by_content(tmp_path: Path) -> None:
    """Compressed files are recognised whatever their name is, with any number of members, also by a zero-padded end."""
    data = b"".join(gzip.compress(line.encode()) for line in kit.lines(CALL.spans, 3))
    assert read(write(tmp_path / "trace.jsonl", data)) == expected()
    assert read(write(tmp_path / "padded.gz", data + b"\0" * 512)) == expected()


def test_gzip_cut_off(tmp_path: Path) -> None:
    """Of a compressed file that is cut off, what can be decompressed is read."""
    data = gzip.compress("".join(kit.lines(CALL.spans, 2)).encode())
    stream = read_spans(write(tmp_path / "trace.gz", data[: len(data) // 2]))
    found = [record.span_id for record in stream]
    assert 0 < len(found) < len(CALL.spans)
    assert found == [span["span_id"] for span in CALL.spans[: len(found)]]
    assert "the gzip data is cut off; the content before that was read" in str(stream.problems[-1])


def test_directory(tmp_path: Path) -> None:
    """A directory is read whole, in the order of names; files that are no traces are named and left out."""
    parts = kit.lines(CALL.spans, 4)
    (tmp_path / "b").mkdir()
    write(tmp_path / "a.jsonl", parts[0])
    write(tmp_path / "b" / "c.jsonl.gz", gzip.compress(parts[1].encode()))
    write(tmp_path / "z.jsonl", "".join(parts[2:]))
    write(tmp_path / ".hidden", "x")
    write(tmp_path / "report.json", json.dumps({"job_id": "x", "events": []}, indent=2))
    # by its name alone: opening it would fail
    (tmp_path / "call.wav").symlink_to(tmp_path / "nowhere")
    stream = read_spans(tmp_path)
    order = [*CALL.spans[:4], *CALL.spans[8:], *CALL.spans[4:8]]
    assert [record.span_id for record in stream] == [span["span_id"] for span in order]
    other, problem = stream.problems
    assert (other.where, other.level) == (str(tmp_path / "call.wav"), "info")
    assert other.reason == "skipped: it is a .wav file; to read it all the same, pass it as the source"
    assert (problem.where, problem.level) == (str(tmp_path / "report.json"), "info")
    assert problem.reason.startswith("skipped: not a trace (")


def test_standard_input() -> None:
    """A dash reads standard input, compressed or not."""
    code = "from livekit_otel.readers import read_spans; print(*(span.span_id for span in read_spans('-')))"
    text = "".join(kit.lines(CALL.spans, 3)).encode()
    for data in (text, gzip.compress(text)):
        done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
        assert done.stdout.decode().split() == [span["span_id"] for span in CALL.spans]


def test_file_url(tmp_path: Path) -> None:
    """A file URL names a path."""
    path = write(tmp_path / "a b.jsonl", "".join(kit.lines(CALL.spans)))
    assert read(path.as_uri()) == expected()


def test_damaged_lines(tmp_path: Path) -> None:
    """A damaged line is told of with file, line and reason, and skipped; blank lines are nothing."""
    parts = kit.lines(CALL.spans, 4)
    path = write(tmp_path / "a.jsonl", "".join([parts[0], parts[1][:700] + "\n", "\n", "oops\n", *parts[2:]]))
    told: list[Problem] = []
    stream = read_spans(path, on_problem=told.append)
    assert [record.span_id for record in stream] == [s["span_id"] for s in (*CALL.spans[:4], *CALL.spans[8:])]
    assert stream.problems == told == [
        Problem(str(path), 2, "Input data was truncated; the line was skipped"),
        Problem(str(path), 4, "JSON is malformed: invalid character (byte 0); the line was skipped"),
    ]  # fmt: skip
    assert str(told[1]).startswith(f"{path}, line 4: JSON is malformed")


def test_damaged_first_line(tmp_path: Path) -> None:
    """A file whose first line is damaged is still read."""
    parts = kit.lines(CALL.spans, 4)
    for broken in (parts[0][:700] + "\n", "oops\n", '{"a": 1}\n'):
        stream = read_spans(write(tmp_path / "a.jsonl", "".join([broken, *parts[1:]])))
        assert [record.span_id for record in stream] == [span["span_id"] for span in CALL.spans[4:]]
        assert [problem.line for problem in stream.problems] == [1]


def test_one_bad_span(tmp_path: Path) -> None:
    """A span that cannot be read does not take the others of its line with it."""
    message = kit.document(CALL.spans[:3])
    spans = message["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans[1]["startTimeUnixNano"] = "yesterday"
    spans += [{**spans[0], "endTimeUnixNano": "9" * 400}, {**spans[0], "spanId": "xyz"}]
    stream = read_spans(write(tmp_path / "a.jsonl", json.dumps(message) + "\n"))
    assert [record.span_id for record in stream] == [CALL.spans[0]["span_id"], CALL.spans[2]["span_id"]]
    assert [problem.reason for problem in stream.problems] == [
        "a span was skipped: Expected `int`, got `str` - at `$.startTimeUnixNano`",
        "a span was skipped: Expected `int` <= 9223372036854775807 - at `$.endTimeUnixNano`",
        "a span was skipped: 'xyz' is not an id of 16 hex digits",
    ]


@pytest.mark.parametrize("text", ["\\ud83d", "a\\udc00b", "\\\\\\ud83d", "\\ud83d\\ud83d\\ude42"])
def test_half_surrogates(tmp_path: Path, text: str) -> None:
    """Text that Python can write and UTF-8 cannot carry is read with replacement characters."""
    (line,) = kit.lines([{**CALL.spans[0], "attributes": {"before": "\\ud83d 🙂", "a": "HERE"}}])
    (found,) = read(write(tmp_path / "a.jsonl", line.replace("HERE", text)))
    wanted = json.loads(f'"{text}"').encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert found.attributes["before"] == "\\ud83d 🙂"
    assert found.attributes["a"] == wanted.encode("utf-8", "replace").decode().replace("?", "\ufffd")


@pytest.mark.parametrize("wrap", ["collector", "jaeger"])
def test_cut_off_last_line(tmp_path: Path, wrap: str) -> None:
    """Whole spans of a last line that is cut off are kept, and none that is half there."""
    text = json.dumps(WRAPPED[wrap](kit.document(CALL.spans)), separators=(",", ":"))
    each = [json.dumps(kit.otlp(span), separators=(",", ":")) for span in CALL.spans]
    ends = [text.index(span) + len(span) for span in each]
    for size in range(ends[0], len(text) - 1, 211):
        stream = read_spans(write(tmp_path / "a.jsonl", text[:size]))
        whole = sum(end <= size for end in ends)
        assert [record.span_id for record in stream] == [span["span_id"] for span in CALL.spans[:whole]]
        assert [(p.level, p.line) for p in stream.problems] == [("info", 1)]
        assert f"{whole} spans of it were kept" in stream.problems[0].reason


OTHERS = {
    "empty": (b"", "the file is empty"),
    "blank": (b"\n \n", "the file is empty"),
    "csv": (b"name,amount\na,1\nb,2\n", "not a trace (line 1: JSON is malformed"),
    "other json": (b'{"job_id": "x", "events": []}\n', "not a trace (line 1: JSON without resourceSpans"),
    "pretty json": (b'{\n "job_id": "x",\n "events": []\n}\n', "not a trace (line 1: "),
    "json list": (b"[1, 2]\n", "not a trace (line 1: Expected `object`"),
    "json number": (b"12\n", "not a trace (line 1: Expected"),
    "wrong type": (b'{"resourceSpans": "no"}\n', "not a trace (line 1: Expected `array | null`, got `str`"),
    "binary": (b"RIFF\x00\x01\xff\x00" * 9, "this is a binary file, not a trace"),
    "not utf-8": (b"caf\xe9 au lait\n" * 99, "not a trace (line 1: "),
    "cut": (
        b'{"resourceSpans":[{"resource":{"attr',
        "is cut off (was the writer killed?) before its first complete span",
    ),
    "gzip of text": (gzip.compress(b"hello\n"), "not a trace (line 1: "),
    "broken gzip": (gzip.compress(b"hello\n")[:12], "not a trace ("),
    "not gzip": (b"\x1f\x8bhello", "not a trace (the gzip data is damaged"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_something_else(tmp_path: Path, case: str) -> None:
    """A file that is no trace is one clear error that names the file and the reason, and no problem besides."""
    data, reason = OTHERS[case]
    path = write(tmp_path / "thing.jsonl", data)
    told: list[Problem] = []
    with pytest.raises(SourceError) as caught:
        list(read_spans(path, on_problem=told.append))
    assert str(caught.value).startswith(f"{path}: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert told == []


def test_missing_sources(tmp_path: Path) -> None:
    """What is not there is told at once, before anything is read."""
    cases = {
        tmp_path / "none": "no such file or directory; check the path",
        tmp_path: "the directory contains no files; give the one that the trace exporter writes to",
        "unknown://host/x": "no reader for unknown:// sources",
    }
    for source, reason in cases.items():
        with pytest.raises(SourceError, match=r"^[^\n]*$") as caught:
            read_spans(source)  # type: ignore[arg-type]
        assert reason in str(caught.value)


def test_directory_without_traces(tmp_path: Path) -> None:
    """A directory in which no file is a trace is an error, too."""
    write(tmp_path / "a.txt", "hello\n")
    write(tmp_path / "b.txt", "")
    write(tmp_path / "call.html", "<p>a report</p>")
    with pytest.raises(SourceError, match="none of the 3 files in the directory is a trace"):
        list(read_spans(tmp_path))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    """A file that may not be read is named with the reason."""
    path = write(tmp_path / "a.jsonl", "x")
    path.chmod(0)
    with pytest.raises(SourceError, match="Permission denied; check the file and its permissions"):
        list(read_spans(path))


def test_other_signals_in_the_same_file(tmp_path: Path) -> None:
    """A collector may write logs and metrics to the same file; they are no problem."""
    text = '{"resourceLogs":[]}\n' + "".join(kit.lines(CALL.spans)) + '{"resourceMetrics":[{}]}\n'
    stream = read_spans(write(tmp_path / "a.jsonl", text))
    assert len(list(stream)) == len(CALL.spans)
    assert stream.problems == []


def test_problems_are_bounded(tmp_path: Path) -> None:
    """A file with very many damaged lines is counted, not remembered."""
    path = write(tmp_path / "a.jsonl", kit.lines(CALL.spans)[0] + "oops\n" * 1_000)
    stream = read_spans(path)
    assert len(list(stream)) == len(CALL.spans)
    assert (len(stream.problems), stream.problem_count) == (100, 1_000)


def test_progress(tmp_path: Path) -> None:
    """The bytes that were read add up to those of the source."""
    write(tmp_path / "a.jsonl", "".join(kit.lines(CALL.spans)))
    write(tmp_path / "b.jsonl.gz", gzip.compress("".join(kit.lines(CALL.spans)).encode()))
    stream = read_spans(tmp_path)
    steps: list[int] = []
    stream.on_advance = steps.append
    for _ in stream:
        pass
    assert sum(steps) == stream.bytes_read == stream.bytes_total


def test_deep_nesting(tmp_path: Path) -> None:
    """A line that is nested deeper than any trace is damaged, not a crash."""
    deep = '{"resourceSpans":' + "[" * 200_000 + "]" * 200_000 + "}\n"
    stream = read_spans(write(tmp_path / "a.jsonl", kit.lines(CALL.spans)[0] + deep))
    assert len(list(stream)) == len(CALL.spans)
    assert [problem.line for problem in stream.problems] == [2]


_TEXT = "".join(kit.lines(CALL.spans, 4)).encode()


@settings(max_examples=150, deadline=None)
@given(data=st.data(), compressed=st.booleans())
def test_any_damage(data: st.DataObject, compressed: bool) -> None:
    """However a file is damaged, reading it ends, with the spans that are whole or with one clear error."""
    text = bytearray(gzip.compress(_TEXT) if compressed else _TEXT)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text) - 1))
        removed = data.draw(st.sampled_from([0, 1, 3, 200, 5_000]))
        text[start : start + removed] = data.draw(
            st.binary(max_size=8) | st.sampled_from([b"\n", b'"', b"}", b"]}", b"\\"])
        )
        if not text:
            return
    with tempfile.TemporaryDirectory() as folder:
        stream = read_spans(write(Path(folder, "a.jsonl"), bytes(text)))
        spans, failure = [], ""  # type: ignore[var-annotated]
        try:
            spans += stream
        except SourceError as error:
            failure = str(error)
    assert "\n" not in failure
    known = {span["span_id"] for span in CALL.spans}
    whole = sum(span.span_id in known for span in spans)
    assert whole <= len(spans) <= len(CALL.spans) + 1
    for report in build_reports(spans):
        assert set(report.to_dict()) >= {"events", "chat_history"}
        assert to_text(report)
