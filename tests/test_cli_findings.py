"""What the commands do for whoever looks for a call: narrow tables, sorting, the newest, the tree, encodings, help."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from livekit_otel import attributes as attr
from livekit_otel import build_report, read_spans
from livekit_otel.cli import main
from livekit_otel.cli.commands import COMMANDS
from livekit_otel.report import model
from livekit_otel.spans import SpanRecord
from livekit_otel.turns import SessionDerivation, derive_session
from tests import report_kit as kit

from .golden import FOLDER, SUFFIX

WORDS = "می\u200cخواهم 👩\u200d🚀 नमस्ते שלום 你好"


def stored(name: str) -> str:
    return str(FOLDER / f"{name}{SUFFIX}")


def shown(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(one) for one in arguments]) == 0
    return capsys.readouterr().out


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A call whose words need more than ASCII, with a bidirectional override and an escape among them."""
    call = kit.Call("S-words")
    call.message("user", f"{WORDS} \u202eevil \x1b[31m")
    call.message("assistant", WORDS)
    path = tmp_path / "words.jsonl"
    path.write_text("".join(kit.lines(call.close().spans)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Calls that end in every way."""
    folder = tmp_path_factory.mktemp("calls")
    for name in (
        "llm_fails_for_good",
        "barge_in_before_the_voice",
        "failing_tools",
        "cut_off_while_waiting",
        "handoff",
    ):
        (folder / f"{name}{SUFFIX}").write_bytes(Path(stored(name)).read_bytes())
    return folder


@pytest.mark.parametrize(
    "command", [("sessions",), ("turns",), ("turns", "--sort", "wait"), ("sessions", "--sort", "wait")]
)
def test_eighty_columns(command: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tables of many sessions, with agents, waits, failures and flags, are no wider than 80 columns."""
    out = shown(capsys, command[0], folder, *command[1:])
    assert max(map(len, out.splitlines())) <= 80
    for head in {"sessions": ("WAIT", "FAILED", "AGENT"), "turns": ("WAIT", "MOSTLY", "FLAGS")}[command[0]]:
        assert head in out.splitlines()[0].split()


def test_the_worst_session_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``sessions --sort`` begins with the longest wait, or the most failures."""
    for sort, field in (("wait", "worst_wait"), ("failures", "failures"), ("length", "duration"), ("turns", "turns")):
        values = [row[field] for row in json.loads(shown(capsys, "sessions", folder, "-f", "json", "--sort", sort))]
        assert values == sorted(values, reverse=True)
        assert values[0] > values[-1]


def test_what_never_came_is_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sorted by a wait, turns that were never answered come before the slowest answer."""
    for sort in ("e2e", "wait", "answer_latency"):
        rows = json.loads(shown(capsys, "turns", folder, "-f", "json", "--sort", sort))
        never = [row["answered"] == "no" for row in rows]
        assert never == sorted(never, reverse=True)
        assert any(never)


def test_the_newest(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--latest`` is the session that began last; it cannot be combined with a session's id."""
    old, new = kit.call("S-old", turns=1), kit.call("S-new", turns=1, start=kit.START + 60)
    path = tmp_path / "two.jsonl"
    path.write_text("".join(kit.lines(new.spans) + kit.lines(old.spans)))
    assert "Session S-new\n" in shown(capsys, "report", path, "--latest")
    assert json.loads(shown(capsys, "sessions", path, "--latest", "-f", "json"))[0]["session_id"] == "S-new"
    assert "turn " in shown(capsys, "tree", path, "--latest")
    assert main(["report", str(path), "--latest", "-s", "S-old"]) == 2
    assert "--latest" in capsys.readouterr().err


def test_tree(capsys: pytest.CaptureFixture[str]) -> None:
    """``tree`` prints every span but the journal's below its parent; ``--turn`` one turn alone."""
    report = build_report(read_spans(stored("failing_tools")))
    lines = shown(capsys, "tree", stored("failing_tools")).splitlines()
    hidden = {attr.KIND_SESSION_START, attr.KIND_SESSION_CHECKPOINT, attr.KIND_SESSION_END}
    assert len(lines) - 1 == sum(span.kind not in hidden for span in report.spans)
    assert lines[1].startswith("session ")
    (crash,) = [line for line in lines if "gen_ai.tool.name=crashing" in line]
    assert crash.startswith("    tool ")
    assert 'error.type=ValueError  pii.error_message="kanarienvogel not found"' in crash
    one = shown(capsys, "tree", stored("failing_tools"), "--turn", 1).splitlines()
    assert one[1].startswith("turn ")
    assert "turn.index=1" in one[1]
    assert sum(line.startswith("turn ") for line in one) == 1
    assert main(["tree", stored("failing_tools"), "-t", "9"]) == 1
    assert "has turns 0 to 3" in capsys.readouterr().err


def test_a_session_that_fails_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``sessions`` shows a session that cannot be derived with its error, and the others as always."""

    def failing(spans: list[SpanRecord], thresholds: Mapping[str, float]) -> SessionDerivation:
        if any(span.attributes.get(attr.SESSION_ID) == "S-two" for span in spans):
            raise KeyError("\x1b]52;c;x no such shape")
        return derive_session(spans, thresholds)

    monkeypatch.setattr(model, "derive_session", failing)
    path = tmp_path / "two.jsonl"
    path.write_text("".join(kit.lines(kit.call("S-one").spans) + kit.lines(kit.call("S-two").spans)))
    out = shown(capsys, "sessions", path)
    assert "S-two" in out
    assert "unreadable" in out
    assert "no such shape" in out
    assert "\x1b" not in out
    rows = json.loads(shown(capsys, "sessions", path, "-f", "json", "--sort", "wait"))
    assert [row["session_id"] for row in rows] == ["S-two", "S-one"]
    assert rows[1]["error"] is None


def printed(arguments: list[str], encoding: str, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """What the command writes to a standard output of that encoding."""
    stream = io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", io.TextIOWrapper(stream, encoding=encoding))
        assert main(arguments) == 0
        sys.stdout.flush()
        return stream.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_stream_that_cannot_hold_a_character(encoding: str, words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON escapes what the stream cannot hold, so that no value changes; HTML is UTF-8 as it says itself."""
    text = printed(["report", str(words), "-f", "json"], encoding, monkeypatch).decode(encoding)
    assert json.loads(text) == build_report(read_spans(words)).to_dict()
    assert ("خواهم" in text) == (encoding == "utf-8")
    page = printed(["report", str(words), "-f", "html"], encoding, monkeypatch).decode("utf-8")
    assert page.startswith("<!doctype html>")
    assert WORDS in page


def test_joiners_stay_and_controls_do_not(words: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Persian and emoji keep their joiners in text; escapes and bidirectional overrides are shown as such."""
    out = shown(capsys, "report", words)
    assert out.count(WORDS) == 2
    assert "\u202e" not in out
    assert "\x1b" not in out


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_page_does_not_flood_a_terminal(words: Path) -> None:
    """On a terminal ``-f html`` is refused, with the option that writes a file."""
    import pty

    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "livekit_otel", "report", str(words), "-f", "html"]
    done = subprocess.run(command, stdout=follower, stderr=subprocess.PIPE, text=True)
    os.close(follower)
    os.close(leader)
    assert done.returncode == 1
    assert done.stderr == "livekit-otel: the page is too long for a terminal; write it to a file with -o call.html\n"


def test_short_help(capsys: pytest.CaptureFixture[str]) -> None:
    """-h is --help, for the program and for every command."""
    assert main(["-h"]) == 0
    assert set(COMMANDS) <= set(capsys.readouterr().out.split())
    for name in COMMANDS:
        assert main([name, "-h"]) == 0
        short = capsys.readouterr().out
        assert main([name, "--help"]) == 0
        assert capsys.readouterr().out == short
        assert "Usage: livekit-otel" in short


def test_completion() -> None:
    """A shell gets the commands that begin with what was typed."""
    asked = {"_LIVEKIT_OTEL_COMPLETE": "complete_bash", "COMP_WORDS": "livekit-otel re", "COMP_CWORD": "1"}
    command = [sys.executable, "-m", "livekit_otel"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **asked})
    assert set(done.stdout.split()) == {"report", "replay"}


BASE = """
import contextlib, importlib.abc, io, json, sys
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("typer", "rich", "click", "jinja2", "livekit", "pocketsphinx", "espeakng_loader"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Block())
from livekit_otel.cli import main
found = []
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main(arguments)
    found.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(found))
"""


def test_the_base_install() -> None:
    """Without any extra help and version are answered, and one message names all that a command needs."""
    cases = {
        ("--help",): (0, "Commands:"), ("-h",): (0, "Commands:"), ("--version",): (0, "."),
        ("report", "x"): (1, "[cli]"), ("report", "x", "-f", "html"): (1, "[cli,html]"), ("demo",): (1, "[demo]"),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", BASE, json.dumps([list(case) for case in cases])], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for (wanted, words), (code, out, err) in zip(cases.values(), json.loads(done.stdout), strict=True):
        assert code == wanted
        assert words in (err if code else out)
        assert (err == "") == (code == 0)


def test_a_page_links_to_the_trace_only_by_http(words: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--trace-url`` is for pages, and takes an address of http or https with what is known of a span."""
    assert main(["report", str(words), "--trace-url", "https://x/{trace_id}"]) == 2
    assert "only with --format html" in capsys.readouterr().err
    for wrong in ("javascript:alert(1)", "https://x/{nothing}", "https://x/{"):
        assert main(["report", str(words), "-f", "html", "--trace-url", wrong]) == 2, wrong
        assert "--trace-url" in capsys.readouterr().err
