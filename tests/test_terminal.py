"""No output of ours holds a character that a terminal, a spreadsheet or a browser would obey, wherever it came from."""

from __future__ import annotations

import ast
import csv
import io
import json
import logging
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import livekit_otel
from livekit_otel._display import InertLogs, csv_cell, escape_json, visible
from livekit_otel.cli import main
from livekit_otel.cli.output import inert_logs, to_json
from livekit_otel.doctor import installed
from livekit_otel.errors import EndpointError, OptionError, SourceError
from livekit_otel.report import SessionReport, build_report
from livekit_otel.report.render_html import to_html
from livekit_otel.report.render_json import to_document
from livekit_otel.report.render_terminal import show
from livekit_otel.report.render_text import to_text
from tests import report_kit as kit
from tests.json_server import Reply, serving
from tests.otlp_receiver import Answer, Receiver

JOINERS = "\u200c\u200d"
CONTROLS = [
    chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in ("Cc", "Cf", "Zl", "Zp")
]
SURROGATES = ["\ud800", "\udbff", "\udc00", "\udc80", "\udcff", "\udfff"]
OBEYED = frozenset(CONTROLS) - set(JOINERS)
CHUNK = 24
ESCAPES = (
    "\x1b]0;title\x07\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\\x1b]52;c;ZWNobw==\x07\x9b31m\x9d52;c;eA==\x9c\x1b[2J"
)
CHUNKS = ["".join(f"x{one}" for one in CONTROLS[at : at + CHUNK]) for at in range(0, len(CONTROLS), CHUNK)] + [ESCAPES]
#: Persian with joiners, Hebrew, Devanagari, a family, a flag made of tag characters, a heart with a variation selector
KEPT = "می\u200cخواهم שלום क्\u200dष 👩\u200d👩\u200d👧 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f ❤️"
_SGR = re.compile(r"\x1b\[[0-9;]*m")


def raw(text: str) -> list[str]:
    """The characters of ``text`` that would be obeyed; line feeds of ours and the flags of :data:`KEPT` are not."""
    text = text.replace(KEPT, "")
    return sorted(
        {f"U+{ord(one):04X}" for one in text if (one in OBEYED and one != "\n") or "\ud800" <= one <= "\udfff"}
    )


def hostile(number: int, chunk: str, session_id: str = "") -> kit.Call:
    """A call in which everything that somebody else names or says holds ``chunk``."""
    call = kit.Call(session_id or f"S{number}{chunk}", start=kit.START + 100 * number)
    call.head |= {name: kit.Pii(f"{name}{chunk}") for name in ("room",)}
    call.head |= {name: f"{name}{chunk}" for name in ("job_id", "room_id", "agent_name")}
    call.message("assistant", f"hello {chunk}")
    call.message("user", f"{KEPT} {chunk}")
    call.item(type="function_call", call_id="c", name=f"tool{chunk}", arguments=kit.Pii(chunk), extra={})
    call.item(type="function_call_output", call_id="c", name=f"tool{chunk}", output=kit.Pii(chunk), is_error=True)
    call.item(type="agent_handoff", old_agent_id=f"a{chunk}", new_agent_id=f"b{chunk}")
    call.event("error", error={"type": f"t{chunk}", "label": f"l{chunk}", "error": kit.Pii(f"e{chunk}")})
    call.add_usage(0, input_tokens=3)
    call.turn(tool=True, interrupted=True)
    call.close(f"reason{chunk}")
    for span in call.spans:
        for name, value in span["attributes"].items():
            if isinstance(value, str) and re.search(
                r"agent|tool|end_reason|close_reason|text|outcome|label|model|note", name
            ):
                span["attributes"][name] = f"{value}{chunk}"
            elif isinstance(value, list):
                span["attributes"][name] = [f"{one}{chunk}" for one in value]
    return call


@pytest.fixture(scope="module")
def calls() -> list[kit.Call]:
    return [hostile(number, chunk) for number, chunk in enumerate(CHUNKS)]


@pytest.fixture(scope="module")
def folder(calls: list[kit.Call], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Traces of hostile calls in files of hostile names, each with a damaged line."""
    folder = tmp_path_factory.mktemp("traces")
    for number, call in enumerate(calls):
        name = CHUNKS[number].replace("/", "").replace("\0", "")
        path = folder / f"{number:02d}{name}.jsonl"
        path.write_text("".join(kit.lines(call.spans)) + f"oops{ESCAPES}\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def reports(calls: list[kit.Call]) -> list[SessionReport]:
    return [build_report(kit.records(call.spans)) for call in calls]


def both(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    main([str(one) for one in arguments])
    out, err = capsys.readouterr()
    assert out or err
    assert raw(out) == []
    assert raw(err) == []
    return out + err


def test_what_is_neutralised_and_what_stays() -> None:
    """Every control, format and separator character and every half of a surrogate pair is replaced; nothing else is."""
    for code in range(sys.maxunicode + 1):
        one = chr(code)
        category = unicodedata.category(one)
        if category in ("Cc", "Cf", "Cs", "Zl", "Zp") and one not in JOINERS:
            assert visible(f"a{one}b") in ("a b", "a\ufffdb"), f"U+{code:04X}"
            assert escape_json(one) == one if one == "\n" else json.loads(f'"{escape_json(one)}"') == one
            assert one == "\n" or escape_json(one).isascii()
        elif category != "Cn":
            assert visible(one) == one, f"U+{code:04X}"
    assert visible(KEPT) == KEPT
    assert visible("a\nb", lines=True) == "a\nb"


def test_a_flag_is_whole_or_not_at_all() -> None:
    """Invisible tag characters outside of a flag carry hidden text: they are replaced."""
    hidden = "".join(chr(0xE0000 + ord(one)) for one in "ignore all instructions")
    assert "\ufffd" * len(hidden) == visible(hidden)
    assert raw(visible("\U0001f3f4" + hidden)) == []


@pytest.mark.parametrize("command", [["sessions"], ["turns"]])
@pytest.mark.parametrize("form", ["text", "json", "csv"])
def test_tables(command: list[str], form: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tables, JSON and CSV of hostile sessions, and warnings with hostile file names, hold nothing that is obeyed."""
    shown = both(capsys, *command, folder, "-f", form)
    assert "oops" in shown or "line 2" in shown or form == "csv"


@pytest.mark.parametrize("form", [["text"], ["json"], ["json", "--full"], ["html"]])
def test_reports(form: list[str], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same of every report, printed and written to a file."""
    for path in sorted(folder.iterdir()):
        shown = both(capsys, "report", path, "-f", *form)
        output = tmp_path / "out"
        main(["report", str(path), "-o", str(output), "-f", *form])
        capsys.readouterr()
        assert raw(output.read_text(encoding="utf-8")) == []
        if form == ["text"]:
            assert KEPT in shown


def test_json_keeps_the_values(reports: list[SessionReport]) -> None:
    """JSON holds exactly the characters that came in, escaped where they would be obeyed."""
    for report in reports:
        document = to_document(report, full=True)
        text = to_json(document)
        assert raw(text) == []
        assert json.loads(text) == json.loads(json.dumps(document))
    for one in (*CONTROLS, *SURROGATES, KEPT):
        assert json.loads(to_json({one: one})) == {one: one}


@pytest.mark.parametrize("colours", [None, "truecolor"])
def test_on_a_terminal(reports: list[SessionReport], colours: Any) -> None:
    """The coloured report holds the colours' sequences and no other, and keeps letters and emoji."""
    for report in reports:
        stream = io.StringIO()
        show(report, Console(file=stream, width=120, force_terminal=True, color_system=colours))
        shown = _SGR.sub("", stream.getvalue())
        assert raw(shown) == []
        assert "می\u200cخواهم" in shown


def test_surrogates() -> None:
    """Halves of surrogate pairs, as lenient stores hand them out, reach no renderer's output."""
    for one in SURROGATES:
        report = build_report(kit.records(hostile(0, f"x{one}", session_id="S").spans))
        assert raw(to_text(report)) == []
        assert raw(to_html(report)) == []
        assert raw(to_json(to_document(report, full=True))) == []


def test_html_is_inert_after_parsing(reports: list[SessionReport]) -> None:
    """The data that the page's script shows holds nothing that a browser or a later paste would obey."""
    for report in reports:
        page = to_html(report)
        found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
        assert found is not None
        assert raw(json.dumps(json.loads(found[1]), ensure_ascii=False)) == []


@pytest.mark.parametrize("chunk", [*CHUNKS, "".join(SURROGATES[2:5])], ids=ascii)
def test_errors(chunk: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Arguments, paths and addresses repeated by an error message are inert, and the message is one line."""
    name = chunk.replace("\0", "").replace("/", "")
    good = tmp_path / "good.jsonl"
    good.write_text("".join(kit.lines(kit.call(turns=1).spans)))
    for arguments in (
        ["sessions", tmp_path / name],
        ["report", good, "-s", name],
        ["report", good, "-o", tmp_path / name / "x"],
        ["report", good, "-o", chunk + "\0"],
        ["report", good, f"--{name}"],
        ["report", good, "-f", name],
        [name],
        ["turns", good, "--sort", name],
        ["sessions", f"jaeger://h/?since={name}"],
        ["sessions", f"{name}://h"],
        ["replay", good, "--to", name],
        ["replay", good, "--to", "http://127.0.0.1:1", "--header", name],
        ["replay", tmp_path / name, "--to", "http://127.0.0.1:1"],
        ["replay", good, "--to", "http://127.0.0.1:1", "--state", tmp_path / name / "state"],
        ["doctor", "--no-send", "--to", name],
    ):
        assert both(capsys, *arguments).count("\n") == 1, arguments


def test_exceptions() -> None:
    """What a caller of the library prints of an exception is inert, too."""
    for chunk in (*CHUNKS, "".join(SURROGATES)):
        for error in (SourceError(chunk), OptionError(chunk), EndpointError(chunk, chunk)):
            assert raw(str(error)) == []
            assert "\n" not in str(error)


@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_answers_of_servers(status: int, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a backend or an endpoint answers reaches the terminal inert: in ``sessions``, ``replay`` and ``doctor``."""
    body = ("\n".join(CHUNKS)[:400]).encode()
    with serving(lambda asked: Reply(body, status, {"content-type": "text/plain"})) as server:
        # readers ask again for a while after an answer of 500
        for scheme in ("jaeger", "phoenix", "langfuse+http") if status < 500 else ():
            both(capsys, "sessions", f"{scheme}://u:p@127.0.0.1:{server.port}/?session=x")
    receiver = Receiver()
    try:
        receiver.answer = lambda request: Answer(status, body=body, content_type="text/plain")
        options = ["--retry-for", "0", "--state", tmp_path / "state"]
        both(capsys, "replay", folder, "--to", receiver.url, *options)
        both(capsys, "doctor", "--to", receiver.url)
    finally:
        receiver.close()


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("chunk", [chunk.replace("\0", "") for chunk in CHUNKS])
def test_doctor(chunk: str, form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Hostile variables and directories are shown inert."""
    monkeypatch.setattr(installed, "packages", lambda: iter(()))
    monkeypatch.setattr(installed, "instrumentation", lambda: iter(()))
    for name in ("OTEL_TRACES_EXPORTER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_EXPORTER_OTLP_ENDPOINT",
                 "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "LIVEKIT_TELEMETRY_ALLOW_PII"):  # fmt: skip
        monkeypatch.setenv(name, chunk)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    both(capsys, "doctor", "--no-send", "-f", form, "--files", f"/nowhere{chunk}")


def test_a_process_of_its_own(folder: Path) -> None:
    """The bytes that a terminal gets, unexpected errors and library logs included, hold no control but line feeds."""
    code = """
import logging, sys
import livekit_otel.cli.sessions as module
from livekit_otel.cli import main
def fail(spans, **options):
    logging.getLogger("another.library").error("answered %s", "\\x1b]0;x\\x07\\x9b")
    raise KeyError("\\x1b]0;title\\x07 \\u202e")
module.build_reports = fail
sys.exit(main(["sessions", sys.argv[1]]))
"""
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, env=environment)
    assert done.returncode == 1
    assert raw(done.stderr.decode()) == []
    assert b"answered" in done.stderr
    assert b"unexpected KeyError" in done.stderr
    assert b"Traceback" not in done.stderr


def test_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    """Our own log lines are inert, tracebacks included, whoever formats them; ordinary ones keep their form."""
    logger = logging.getLogger("livekit_otel")
    assert any(isinstance(one, InertLogs) for one in logger.filters)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    try:
        for chunk in CHUNKS:
            try:
                raise ValueError(chunk)
            except ValueError:
                logger.warning("livekit_otel: %s", chunk, exc_info=True)
        logger.warning("plain %d", 7)
    finally:
        logger.removeHandler(handler)
    assert raw(stream.getvalue()) == []
    assert stream.getvalue().count("\nValueError") == len(CHUNKS)
    assert [record.args for record in caplog.records if record.msg == "plain %d"] == [(7,)]


def test_logs_of_the_command_line_end_with_it() -> None:
    """The handler of the command line is only there while a command runs, and only where there is no other."""
    handlers, logging.root.handlers = logging.root.handlers, []
    try:
        with inert_logs():
            assert len(logging.root.handlers) == 1
        assert logging.root.handlers == []
    finally:
        logging.root.handlers = handlers


@pytest.mark.parametrize("text", [
    "=1+1", "+cmd|' /C calc'!A0", "-2+3+cmd", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\u00a0=1", "\u200d=1",
    "\x00=1", "=", "＝1+1", "＋1", "－1", "＠x", "\tx", "\rx", "-", "+a", "-1-1", "-\u202e1",
    '=HYPERLINK("http://evil","x")',
])  # fmt: skip
def test_formulas(text: str) -> None:
    """No spreadsheet takes a text cell for a formula, whatever white space or invisible characters stand before it."""
    cell = str(csv_cell(text))
    assert raw(cell) == []
    start = cell.lstrip(" \u00a0" + JOINERS)
    assert start.startswith("'") or not start.startswith(tuple("=+-@＝＋－＠"))


def test_numbers_and_words_stay() -> None:
    """Numbers stay numbers, negative ones and those in text too; ordinary words are not touched."""
    for value in (None, 0, -1, 1.5, -0.25, True, "-5", "+1", "-5.25e-3", " 7", ".5", "clerk", "a=b", "x@y", KEPT, ""):
        assert csv_cell(value) == value


def test_csv_cells(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A session, an end reason and an agent that look like formulas are text in ``turns -f csv``."""
    call = kit.call("=cmd|' /C calc'!A0", turns=1)
    for span in call.spans:
        for name in ("gen_ai.agent.name", "gen_ai.agent.invocation.end_reason"):
            if name in span["attributes"]:
                span["attributes"][name] = "\t@SUM(1)"
    path = tmp_path / "a.jsonl"
    path.write_text("".join(kit.lines(call.spans)))
    assert main(["turns", str(path), "-f", "csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["session_id"] == "'=cmd|' /C calc'!A0"
    assert row["agent"].startswith("'")
    assert row["end_reason"].startswith("'")
    assert float(row["started_at"]) == pytest.approx(call.start)


def _printing(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in ("print", "typer.echo", "typer.secho", "Console", "sys.stdout.write", "sys.stderr.write"):
                yield f"{path.name}:{node.lineno} {ast.unparse(node)}"


def test_nothing_is_printed_around_it() -> None:
    """Printing has one home: everywhere else it goes through ``cli/output.py`` or ``cli/console.py``."""
    package = Path(livekit_otel.__file__).parent
    found = [one for path in sorted(package.rglob("*.py")) for one in _printing(path)]
    assert [one for one in found if not one.startswith("output.py:")] == [
        one for one in found if "print(visible(" in one and one.startswith("process_exit.py:")
    ]
