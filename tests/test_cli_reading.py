"""The commands ``sessions`` and ``report``: output, exit codes, and one clear line for what goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from livekit_otel import attributes as attr
from livekit_otel.cli import main
from livekit_otel.readers import SCHEMES, read_spans
from livekit_otel.report import SessionReport, build_report, build_reports, model
from livekit_otel.report.render_json import to_document
from livekit_otel.report.render_text import to_text
from livekit_otel.report.session import OpenSession
from livekit_otel.spans import SpanRecord
from livekit_otel.turns import SessionDerivation, derive_session
from tests import report_kit as kit

ONE, TWO = kit.call("S-one", turns=2), kit.call("S-two", turns=1, start=kit.START + 100)


@pytest.fixture
def one(tmp_path: Path) -> Path:
    path = tmp_path / "one.jsonl"
    path.write_text("".join(kit.lines(ONE.spans)), encoding="utf-8")
    return path


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A whole session, a damaged line, and a session that broke off."""
    path = tmp_path / "two.jsonl"
    parts = [*kit.lines(TWO.spans[:-3]), "oops\n", *kit.lines(ONE.spans)]
    path.write_text("".join(parts), encoding="utf-8")
    return path


def run(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "livekit_otel", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "utf-8"})


def test_sessions(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table has a line per session, by start; a damaged line is told of and does not fail."""
    assert main(["sessions", str(two)]) == 0
    out, err = capsys.readouterr()
    assert out == (
        "SESSION  START (UTC)       LENGTH  TURNS  WAIT  FAILED  END         AGENT\n"
        "S-one    2026-09-21 14:13  12.8 s      2     -       0  closed      clerk\n"
        "S-two    2026-09-21 14:15  5.90 s      1  1.90       0  broke off!  clerk\n"
        "! something is missing from the trace (report says what)\n"
    )
    assert err == f"warning: {two}, line 2: JSON is malformed: invalid character (byte 0); the line was skipped\n"


def test_sessions_json(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same as data."""
    assert main(["sessions", str(two), "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["session_id"], row["turns"], row["complete"], row["warnings"]) for row in rows] == [
        ("S-one", 2, True, 0),
        ("S-two", 1, False, 2),
    ]
    assert [row["started_at"] for row in rows] == [kit.START, kit.START + 100]
    assert [(row["conversation_id"], row["close_reason"]) for row in rows] == [
        ("RM_S-one", "CR_USER_INITIATED"),
        ("RM_S-two", None),
    ]


def test_report(one: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report of the only session is printed as text, or as JSON in LiveKit's shape."""
    assert main(["report", str(one)]) == 0
    assert capsys.readouterr() == (to_text(build_report(read_spans(one))), "")
    assert main(["report", str(one), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == ONE.report
    assert main(["report", str(one), "-f", "json", "--full"]) == 0
    assert json.loads(capsys.readouterr().out) == to_document(build_report(read_spans(one)), full=True)


def test_report_of_one_of_several(two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A session is chosen by id or its beginning, and the report goes to a file."""
    output = tmp_path / "report.json"
    assert main(["report", str(two), "--session", "S-o", "--format", "json", "-o", str(output)]) == 0
    assert capsys.readouterr().out == ""
    assert json.loads(output.read_text(encoding="utf-8")) == ONE.report


def test_standard_input() -> None:
    """A dash reads what another program prints."""
    data = "".join(kit.lines(ONE.spans)).encode()
    done = run("report", "-", "-f", "json", stdin=data)
    assert (done.returncode, done.stderr, json.loads(done.stdout)) == (0, b"", ONE.report)


def failure(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Exit code and the one line on standard error."""
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    assert err.startswith("livekit-otel: ")
    return code, err.removeprefix("livekit-otel: ").rstrip()


def test_failures(one: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be done is one line that says what, where, and what to do, and exit code 1."""
    empty, csv, foreign = tmp_path / "empty", tmp_path / "a.csv", tmp_path / "foreign.jsonl"
    empty.write_text("")
    csv.write_text("a,b\n1,2\n")
    foreign.write_text("".join(kit.lines(ONE.spans, scope="other")))
    pair = tmp_path / "pair.jsonl"
    pair.write_text("".join(kit.lines(ONE.spans) + kit.lines(TWO.spans)))
    reads = (
        "livekit-otel reads OTLP JSON as file exporters write it (one message per line), plain or gzip, and LiveKit's "
        "session reports"
    )
    cases = {
        ("report", tmp_path / "none"): f"{tmp_path / 'none'}: no such file or directory; check the path",
        ("sessions", empty): f"{empty}: the file is empty; check that spans were exported and flushed",
        ("sessions", csv): f"{csv}: not a trace (line 1: JSON is malformed: invalid character (byte 0)); {reads}",
        ("sessions", foreign): f"{foreign}: contains no session from livekit_otel or from LiveKit's own tracing",
        ("report", foreign): f"{foreign}: no session among the spans, neither of livekit_otel nor of LiveKit's own "
        "tracing; is it the trace of a call?",
        ("report", one, "-s", "x"): f"{one}: no session 'x' among the spans; there are: S-one",
        ("report", pair): f"{pair}: 2 sessions are here, choose one by its id: S-one (2026-09-21 14:13:20 UTC), "
        "S-two (2026-09-21 14:15:00 UTC) (with --session, or --latest)",
        ("report", one, "-o", tmp_path / "no" / "x"): f"{tmp_path / 'no' / 'x'}: cannot be written: "
        "No such file or directory; choose another -o",
        ("report", "gopher://y"): (
            "gopher://y: no reader for gopher:// sources; give a path, "
            f"or one of {', '.join(f'{name}://' for name in sorted(SCHEMES))}"
        ),
    }  # fmt: skip
    assert {case: failure(capsys, *case) for case in cases} == {case: (1, line) for case, line in cases.items()}


@pytest.mark.parametrize(
    "arguments",
    [["bogus"], ["report"], ["report", "a", "b"], ["report", "a", "--nope"], ["sessions", "a", "--format", "xml"],
     ["report", "a", "-f", "html", "--full"], ["--nope"]],
)  # fmt: skip
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage is one line that points to the help, and exit code 2."""
    code, line = failure(capsys, *arguments)
    assert code == 2
    assert line.endswith("--help`)")


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The help names the commands; without a command it is shown, which is wrong usage."""
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert {"sessions", "report"} <= set(shown.split())
    assert main([]) == 2
    assert capsys.readouterr().out == shown
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX pipe")
def test_closed_pipe(one: Path) -> None:
    """When the reader of the output has seen enough, the command ends in silence."""
    long = one.with_name("long.jsonl")
    long.write_text("".join(kit.lines(kit.call("S-long", turns=150).spans)), encoding="utf-8")
    command = [sys.executable, "-m", "livekit_otel", "report", str(long), "-f", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"{\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_full_or_closed_output(one: Path, tmp_path: Path) -> None:
    """Where the output cannot be written, one line says so, exit code 1; with -o none is needed."""
    launcher = f"exec {sys.executable} -m livekit_otel "
    for command in (
        f"sessions {one}",
        f"report {one}",
        f"turns {one} -f csv",
        "--help",
        "--version",
        "doctor --no-send",
    ):
        for place, reason in ((">/dev/full", "No space left on device"), (">&-", "standard output is closed")):
            done = subprocess.run(["sh", "-c", f"{launcher}{command} {place}"], capture_output=True, text=True)
            if (command, place) != ("--help", ">&-"):
                # the parser prints its help itself, and gives up in silence
                assert (done.returncode, done.stderr.count("\n")) == (1, 1), (command, place, done.stderr)
                assert reason in done.stderr
            assert "Traceback" not in done.stderr
    run = subprocess.run(["sh", "-c", f"{launcher}report {one} -o {tmp_path / 'x'} >&-"])
    assert (run.returncode, (tmp_path / "x").exists()) == (0, True)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_closed_standard_error(two: Path, tmp_path: Path) -> None:
    """Where nothing can be said on standard error, results and exit codes are those of any other run."""
    launcher = f"exec {sys.executable} -m livekit_otel "
    replay = f"replay {two} --to http://127.0.0.1:9 --dry-run --state {tmp_path / 'state'}"
    for command in (
        f"sessions {two}",
        f"report {two} -s S-one",
        f"turns {two}",
        replay,
        f"sessions {tmp_path / 'none'}",
    ):
        usual = subprocess.run(["sh", "-c", launcher + command], capture_output=True)
        done = subprocess.run(["sh", "-c", f"{launcher}{command} 2>&-"], capture_output=True)
        assert (done.returncode, done.stdout) == (usual.returncode, usual.stdout), command


def test_a_session_that_fails_takes_no_other_along(
    two: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake of ours in one session is one line about it, and every other session is listed as always."""
    assert main(["turns", str(two), "-s", "S-one"]) == 0
    others = capsys.readouterr().out

    def failing(spans: list[SpanRecord], thresholds: Mapping[str, float]) -> SessionDerivation:
        if any(span.attributes.get(attr.SESSION_ID) == "S-two" for span in spans):
            raise KeyError("a value\x1b]52;c;x that no check knows")
        return derive_session(spans, thresholds)

    monkeypatch.setattr(model, "derive_session", failing)
    assert main(["turns", str(two)]) == 0
    out, err = capsys.readouterr()
    assert out == others
    assert f"warning: {two}: session S-two was left out: unexpected KeyError" in err
    assert "please report it" in err
    assert "\x1b" not in err


def test_a_report_that_cannot_be_made_says_so(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report of such a session holds its spans, is not complete and gives the reason; the others are untouched."""

    def failing(self: OpenSession, problems: Iterable[object] = ()) -> SessionReport:
        if self.session_id == "S-two":
            raise RuntimeError("no such shape")
        return made(self, problems)

    made = OpenSession.report
    monkeypatch.setattr(OpenSession, "report", failing)
    reports = {report.session_id: report for report in build_reports(read_spans(two))}
    assert reports["S-one"].complete
    bare = reports["S-two"]
    assert not bare.complete
    assert len(bare.spans) == len(TWO.spans) - 3
    (warning,) = bare.warnings
    assert warning.startswith("the report could not be made: unexpected RuntimeError in report/build.py, line ")
    assert warning.endswith(": no such shape; this is a bug in livekit_otel, please report it")
    json.dumps(to_document(bare))
    assert "no such shape" in to_text(bare)


def test_narrow_terminal_encoding(one: Path) -> None:
    """A terminal that cannot show a character gets a replacement, not an error."""
    command = [sys.executable, "-m", "livekit_otel", "report", str(one)]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Gr?ezi! ?" in done.stdout
