"""Files of OTLP JSON: one reader for reports and replay, bounded by the longest record, never a traceback."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from livekit_otel.cli import main
from livekit_otel.errors import SourceError
from livekit_otel.otlp import gathered, lines, protobuf
from livekit_otel.otlp.decode import records
from livekit_otel.readers import read_spans
from livekit_otel.spans import SpanRecord
from tests import report_kit as kit
from tests.otlp_receiver import Receiver

CALL = kit.call(turns=1)
IDS = [span["span_id"] for span in CALL.spans]


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(path: Path) -> tuple[list[str], list[str]]:
    """Ids of the spans, and the problems."""
    stream = read_spans(path)
    ids = [record.span_id for record in stream]
    return ids, [f"{problem.line}: {problem.reason}" for problem in stream.problems]


def replayed(path: Path) -> tuple[list[str], int]:
    """Ids of the spans that a replay sends, and how many a second one sends."""
    receiver = Receiver()
    try:
        assert main(["replay", str(path), "--to", receiver.url]) == 0
        first = receiver.ids
        assert main(["replay", str(path), "--to", receiver.url]) == 0
        return first, len(receiver.ids) - len(first)
    finally:
        receiver.close()


def message(*spans: Any) -> dict[str, Any]:
    return kit.document(list(spans) or CALL.spans)


HALF = len(CALL.spans) // 2
ONE, TWO = message(*CALL.spans[:HALF]), message(*CALL.spans[HALF:])
LAYOUTS = {
    "lines": "".join(json.dumps(one) + "\n" for one in (ONE, TWO)),
    "no last line end": json.dumps(ONE) + "\n" + json.dumps(TWO),
    "printed": json.dumps({"resourceSpans": [*ONE["resourceSpans"], *TWO["resourceSpans"]]}, indent=2),
    "printed without indentation": json.dumps({"batches": [*ONE["resourceSpans"], *TWO["resourceSpans"]]}, indent=0),
    "printed, one after the other": json.dumps(ONE, indent=2) + "\n" + json.dumps(TWO, indent=1) + "\n",
    "printed, then a line": json.dumps(ONE, indent=2) + "\n" + json.dumps(TWO) + "\n",
    "a line, then printed": json.dumps(ONE) + "\n" + json.dumps({"result": TWO}, indent=2) + "\n",
    "on one line": json.dumps(ONE) + json.dumps(TWO) + "\n",
    "a list": json.dumps([ONE, {"trace": TWO}]),
    "a list, one on each line": f"[\n{json.dumps(ONE)},\n{json.dumps(TWO)}\n]\n",
    "with byte order marks": "\ufeff" + json.dumps(ONE) + "\n\ufeff" + json.dumps(TWO, indent=2) + "\n",
    "blank lines and CRLF": "\r\n\n" + json.dumps(ONE, indent=2).replace("\n", "\r\n") + "\r\n\r\n" + json.dumps(TWO),
}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path: Path, layout: str, compressed: bool) -> None:
    """However messages are laid out in a file, reading and replay find each span once, in order, without a problem."""
    data = LAYOUTS[layout].encode()
    path = write(tmp_path / "a.json", gzip.compress(data) if compressed else data)
    assert read(path) == (IDS, [])
    assert replayed(path) == (IDS, 0)


@pytest.mark.parametrize("layout", ["printed, one after the other", "printed, then a line", "on one line"])
def test_replay_resumes_in_any_layout(tmp_path: Path, layout: str) -> None:
    """What is appended to a file of printed messages is all that the next replay sends."""
    path = write(tmp_path / "a.json", json.dumps(ONE, indent=2) + "\n")
    receiver = Receiver()
    try:
        assert main(["replay", str(path), "--to", receiver.url, "--batch", "2"]) == 0
        with path.open("a") as file:
            file.write("\n" + json.dumps(TWO, indent=2) + "\n")
        assert main(["replay", str(path), "--to", receiver.url, "--batch", "2"]) == 0
        assert receiver.ids == IDS
    finally:
        receiver.close()


def _wrong(value: Any, *path: str | int) -> dict[str, Any]:
    """A message of two resources, with a value in the first of them that is none."""
    whole = {"resourceSpans": [*ONE["resourceSpans"], *TWO["resourceSpans"]]}
    whole = json.loads(json.dumps(whole))
    found: Any = whole["resourceSpans"][0]
    for step in path[:-1]:
        found = found[step]
    found[path[-1]] = value
    return whole


_FIRST = ("scopeSpans", 0, "spans", 0)
WRONG: dict[str, tuple[dict[str, Any], str, int]] = {
    "spans": (_wrong({}, "scopeSpans", 0, "spans"), "the spans of a scope were skipped: Expected `array", 0),
    "spans, a number": (_wrong(7, "scopeSpans", 0, "spans"), "the spans of a scope were skipped: Expected `array", 0),
    "scopes": (_wrong({}, "scopeSpans"), "the spans of a resource were skipped: Expected `array", 0),
    "a scope": (_wrong([], "scopeSpans", 0), "the spans of a scope were skipped: Expected `object", 0),
    "a scope's name": (_wrong({"name": 5}, "scopeSpans", 0, "scope"), "the spans of a scope were skipped: Expected", 0),
    "resource": (_wrong([], "resource"), "the attributes of a resource were skipped: Expected `object", HALF),
    "resource attributes": (_wrong({"attributes": {}}, "resource"), "the attributes of a resource were skipped", HALF),
    "a span": (_wrong("x", "scopeSpans", 0, "spans", 0), "a span was skipped: Expected `object`, got `str`", HALF - 1),
    "attributes of a span": (
        _wrong({}, "scopeSpans", 0, "spans", 0, "attributes"), "a span was skipped: Expected `array", HALF - 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_read_is_a_problem_with_its_place(tmp_path: Path, case: str) -> None:
    """A part of another type than it should be is one warning with the line, and everything else is read."""
    odd, reason, kept = WRONG[case]
    text = json.dumps(odd) + "\n" + json.dumps(message({**CALL.spans[0], "span_id": "f" * 16})) + "\n"
    ids, problems = read(write(tmp_path / "a.jsonl", text))
    assert ids == [*IDS[HALF - kept : HALF], *IDS[HALF:], "f" * 16]
    assert len(problems) == 1
    assert problems[0].startswith(f"1: {reason}")


@pytest.mark.parametrize("case", ["spans", "scopes"])
def test_replay_says_what_it_leaves_out(tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A replay warns of spans that are no list, too, and sends the others."""
    path = write(tmp_path / "a.jsonl", json.dumps(WRONG[case][0]) + "\n")
    assert replayed(path) == (IDS[HALF:], 0)
    assert f"warning: {path}:1: the spans of a " in capsys.readouterr().err


@pytest.mark.parametrize("depth", [10, 25, 40, 240, 320, 900, 20_000])
def test_values_of_any_depth(tmp_path: Path, depth: int) -> None:
    """A value that is nested deeper than it can be read costs its line at most."""
    deep = '{"kvlistValue":{"values":[{"key":"a","value":' * depth + '{"stringValue":"x"}' + "}]}}" * depth
    odd = _wrong([{"key": "deep", "value": "DEEP"}, *kit.otlp(CALL.spans[0])["attributes"]], *_FIRST, "attributes")
    text = json.dumps(odd).replace('"DEEP"', deep) + "\n" + json.dumps(message({**CALL.spans[0], "span_id": "f" * 16}))
    ids, problems = read(write(tmp_path / "a.jsonl", text))
    assert (ids == [*IDS, "f" * 16]) == (problems == [])
    assert ids[-1] == "f" * 16
    assert len(problems) <= 1
    assert depth > 40 or problems == []


@pytest.mark.parametrize("depth", [400, 5_000, 100_000])
def test_wrappers_of_any_depth(tmp_path: Path, depth: int) -> None:
    """Wrappers in wrappers end in spans or in a problem, never in a traceback."""
    text = json.dumps(ONE) + "\n" + '{"result":' * depth + json.dumps(TWO) + "}" * depth + "\n"
    ids, problems = read(write(tmp_path / "a.jsonl", text))
    assert (ids == IDS) == (problems == [])
    assert ids[:HALF] == IDS[:HALF]
    sent, again = replayed(tmp_path / "a.jsonl")
    assert sent[:HALF] == IDS[:HALF]
    assert again == 0


def test_a_record_over_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines and printed documents over the limit are skipped with a warning that states it; the others are read, and
    replayed once."""
    for module in (lines, gathered):
        monkeypatch.setattr(module, "MAX_RECORD_BYTES", 1 << 20)
    long = json.dumps({"resourceSpans": [], "x": "y" * (2 << 20)})
    printed = json.dumps({"resourceSpans": [], "x": ["y" * 70] * 20_000}, indent=2)
    for data in (f"{json.dumps(ONE)}\n{long}\n{printed}\n{json.dumps(TWO)}\n", f"{json.dumps(ONE)}\n{printed}\n"):
        path = write(tmp_path / "a.jsonl", data)
        ids, problems = read(path)
        assert ids == IDS[: len(ids)]
        assert len(ids) in (HALF, len(IDS))
        limit = "longer than 1 MiB, the limit for one record"
        assert problems[-1].endswith(f"the JSON document that begins here is {limit}; it was skipped")
        assert len(ids) == HALF or problems[0] == f"2: it is {limit}; the line was skipped"
        assert replayed(path) == (ids, 0)
        with path.open("a") as file:
            file.write(json.dumps(message({**CALL.spans[0], "span_id": "f" * 16})) + "\n")
        assert replayed(path)[0] == ["f" * 16] or replayed(path)[0] == [*ids, "f" * 16]


MEASURED = """
    import resource, sys
    from livekit_otel import LiveKitOtelError, read_spans
    def peak():
        return int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) >> 10
    before = peak()
    try:
        stream = read_spans(sys.argv[1])
        count = sum(1 for _ in stream)
        print(count, peak() - before, *stream.problems, sep="|")
    except LiveKitOtelError as error:
        print(0, peak() - before, error, sep="|")
"""


def measured(path: Path) -> tuple[int, int, str]:
    """Spans, MiB at most, problems: of a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEASURED), str(path)], capture_output=True, text=True, check=True
    )
    spans, peak, rest = done.stdout.split("|", 2)
    return int(spans), int(peak), rest


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("known", [False, True])
def test_a_bomb(tmp_path: Path, known: bool) -> None:
    """A gzip of a line of 1 GB stops at the stated limit, and takes no more memory than that, known as trace or not."""
    path = tmp_path / "a.gz"
    with gzip.open(path, "wb", 1) as file:
        if known:
            file.write("".join(kit.lines(CALL.spans)).encode())
        for _ in range(1_024):
            file.write(b"x" * (1 << 20))
    spans, peak, problems = measured(path)
    assert spans == (len(IDS) if known else 0)
    assert "longer than 128 MiB, the limit for one record" in problems
    assert peak < 200


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_printed_document_that_is_no_trace(tmp_path: Path) -> None:
    """Beside a trace, a printed JSON document of 20 MB is skipped at four times its size at most, in one line."""
    write(tmp_path / "a.jsonl", "".join(kit.lines(CALL.spans)))
    rows = [{"number": number, "name": f"row {number}", "values": [1, 2, 3]} for number in range(200_000)]
    size = write(tmp_path / "b.json", json.dumps(rows, indent=2)).stat().st_size
    spans, peak, problems = measured(tmp_path)
    assert size > 20_000_000
    assert spans == len(IDS)
    assert peak < 4 * size >> 20
    assert "b.json: skipped: not a trace (line 1: " in problems


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_named_pipes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A named pipe in a directory is skipped with a word, by reading and by replay; as the source it is read."""
    folder = tmp_path / "traces"
    folder.mkdir()
    write(folder / "a.jsonl", "".join(kit.lines(CALL.spans)))
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "livekit_otel", "sessions", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    word = f"note: {pipe}: skipped: it is a named pipe; pass it as the source to read it\n"
    assert (done.returncode, done.stderr) == (0, word)
    assert replayed(folder) == (IDS, 0)
    assert capsys.readouterr().err == word * 2
    thread = threading.Thread(target=pipe.write_bytes, args=(gzip.compress("".join(kit.lines(CALL.spans)).encode()),))
    thread.start()
    assert read(pipe) == (IDS, [])
    thread.join()
    assert main(["replay", str(pipe), "--to", "http://127.0.0.1:9"]) == 1
    assert "a replay must be able to resume, which needs a regular file" in capsys.readouterr().err


def test_text_that_is_cut_off_by_nobody(tmp_path: Path) -> None:
    """A text whose last line has no end is no trace, and not one that a killed writer left."""
    with pytest.raises(SourceError, match=r"not a trace \(line 1: JSON is malformed"):
        read(write(tmp_path / "a.txt", "hello"))


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_PLAIN = (
    _TEXT.map(lambda value: {"stringValue": value})
    | st.booleans().map(lambda value: {"boolValue": value})
    | st.integers(-(2**63), 2**63 - 1).map(lambda value: {"intValue": str(value)})
    | st.floats(allow_nan=False).filter(lambda x: abs(x) != float("inf")).map(lambda value: {"doubleValue": value})
    | st.sampled_from([{"doubleValue": "Infinity"}, {"bytesValue": "AAE="}])
)
_VALUE = st.recursive(
    _PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda values: {"arrayValue": {"values": values}})
        | st.dictionaries(_TEXT, inner, max_size=3).map(
            lambda pairs: {"kvlistValue": {"values": [{"key": key, "value": value} for key, value in pairs.items()]}}
        )
    ),
    max_leaves=6,
)
_ATTRIBUTES = st.dictionaries(_TEXT, _VALUE, max_size=4).map(
    lambda pairs: [{"key": key, "value": value} for key, value in pairs.items()]
)
_TIME = st.integers(1, 2**63 - 1).map(str)
_SPAN = st.fixed_dictionaries(
    {
        "traceId": st.integers(1, 2**128 - 1).map(lambda number: f"{number:032x}"),
        "spanId": st.integers(1, 2**64 - 1).map(lambda number: f"{number:016x}"),
        "name": _TEXT, "kind": st.integers(0, 5), "startTimeUnixNano": _TIME, "endTimeUnixNano": _TIME,
        "attributes": _ATTRIBUTES,
    },
    optional={
        "parentSpanId": st.integers(1, 2**64 - 1).map(lambda number: f"{number:016x}"),
        "status": st.fixed_dictionaries({"code": st.integers(0, 2), "message": _TEXT}),
    },
)  # fmt: skip
_RESOURCE_SPANS = st.fixed_dictionaries(
    {
        "resource": st.fixed_dictionaries({"attributes": _ATTRIBUTES}),
        "scopeSpans": st.lists(
            st.fixed_dictionaries(
                {"scope": st.fixed_dictionaries({"name": _TEXT}), "spans": st.lists(_SPAN, min_size=1, max_size=3)}
            ),
            min_size=1, max_size=2,
        ),
    }
)  # fmt: skip


def of_file(data: bytes) -> list[SpanRecord]:
    with tempfile.TemporaryDirectory() as folder:
        stream = read_spans(write(Path(folder, "a"), data), all_scopes=True)
        found = list(stream)
        assert stream.problems == []
        return found


@settings(max_examples=60, deadline=None)
@given(spans=st.lists(_RESOURCE_SPANS, min_size=1, max_size=3))
def test_one_meaning_in_every_form(spans: list[Any]) -> None:
    """The same spans are the same records from a line, every wrapper, printed, compressed, and from protobuf."""
    whole = {"resourceSpans": spans}
    line = json.dumps(whole).encode()
    wanted = of_file(line)
    assert len(wanted) == sum(len(scope["spans"]) for one in spans for scope in one["scopeSpans"])
    for other in ({"result": whole}, {"batches": spans}, {"trace": whole}, [whole], {"result": {"trace": whole}}):
        assert of_file(json.dumps(other).encode()) == wanted
    assert of_file(json.dumps(whole, indent=2, ensure_ascii=False).encode()) == wanted
    assert of_file(gzip.compress(line)) == wanted
    parts = list(protobuf.parts(protobuf.decode_file(line), "", size=2))
    assert [problem for part in parts for problem in part.problems] == []
    for encoding in ("protobuf", "json"):
        body = protobuf.encode([part.message for part in parts], encoding)
        if encoding == "json":
            assert of_file(body) == wanted
            continue
        assert ExportTraceServiceRequest.FromString(body).resource_spans
        found = records(protobuf.decode_request(body), all_scopes=True, complain=pytest.fail)
        assert list(found) == wanted
