"""The command ``turns``: table, csv and json, sorting, several sessions; and ``report`` on a terminal."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from pathlib import Path

import pytest

from livekit_otel import attributes as attr
from livekit_otel import build_reports, read_spans
from livekit_otel.cli import main
from livekit_otel.report.render_json import turn_document

from . import scenarios  # noqa: F401
from .kit.trace import record

HEADER = (
    "session_id,index,started_at,ended_at,end_reason,agent,started_speaking_at,stopped_speaking_at,transcription_delay,"
    "end_of_turn_delay,on_user_turn_completed_delay,llm_node_ttft,llm_node_tps,llm_node_ttfs,tts_node_ttfb,"
    "playback_latency,e2e_latency,silence_transcription,silence_eou,silence_hook,silence_node,silence_llm,silence_tool,"
    "silence_tts,silence_playback,silence_other,interruptions,false_interruptions,backchannels,"
    "answer_latency,dead_air,wait,answered,why_not,acknowledged,gap_transcription,gap_eou,gap_hook,gap_node,gap_llm,gap_tool,"
    "gap_tts,gap_playback,gap_other,false_cutoff,flags,failures"
)


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """A session of five turns: a greeting, and four answers."""
    path = tmp_path / "one.jsonl"
    path.write_text(record("several_turns").text, encoding="utf-8")
    return path


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Three sessions of a turn each."""
    path = tmp_path / "many.jsonl"
    path.write_text("".join(record(name).text for name in ("slow_voice", "slow_hook", "one_tool")), encoding="utf-8")
    return path


def turns(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["turns", *map(str, arguments)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_table(one: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table has a line per turn: the whole wait and what most of it was for; what does not apply is a dash."""
    assert turns(capsys, one) == (
        "TURN    AT  END        WAIT  MOSTLY\n"
        "   0  0:00  completed     -  -\n"
        "   1  0:03  completed  0.72  llm 0.32\n"
        "   2  0:08  completed  0.72  llm 0.32\n"
        "   3  0:13  completed  0.72  llm 0.32\n"
        "   4  0:18  completed  0.72  llm 0.32\n"
    )


def test_full_table(one: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --full it has all latencies and stages; stages that nobody waited for have no column."""
    assert turns(capsys, one, "--full") == (
        "                              silence before it, by stage   latencies\n"
        "TURN  AT    END          E2E  TRANSCR    EOU    LLM    TTS  TRANSCR    EOT   TTFT   TTFS   TTFB   PLAY\n"
        "0     0:00  completed      -        -      -      -      -        -      -      -      -  0.100  0.000\n"
        "1     0:03  completed  0.720    0.100  0.200  0.320  0.100    0.100  0.300  0.200  0.320  0.100  0.000\n"
        "2     0:08  completed  0.720    0.100  0.200  0.320  0.100    0.100  0.300  0.200  0.320  0.100  0.000\n"
        "3     0:13  completed  0.720    0.100  0.200  0.320  0.100    0.100  0.300  0.200  0.320  0.100  0.000\n"
        "4     0:18  completed  0.720    0.100  0.200  0.320  0.100    0.100  0.300  0.200  0.320  0.100  0.000\n"
    )


def test_several_sessions(many: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With several sessions each line names its own, and sorting goes over all of them."""
    ids = [report.session_id for report in build_reports(read_spans(many))]
    lines = turns(capsys, many, "--sort", "e2e", "--full").splitlines()
    assert lines[1].split() == [
        "SESSION", "TURN", "AT", "END", "E2E", "TRANSCR", "EOU", "HOOK", "LLM", "TOOL", "TTS",
        "TRANSCR", "EOT", "TTFT", "TTFS", "TTFB", "PLAY", "FLAGS",
    ]  # fmt: skip
    assert [line.split()[:5] for line in lines[2:]] == [
        [ids[0][:8], "0", "0:01", "completed", "2.120"],
        [ids[1][:8], "0", "0:01", "completed", "1.420"],
        [ids[2][:8], "0", "0:01", "completed", "1.180"],
    ]
    assert turns(capsys, many, "--session", ids[1][:12]).splitlines()[1].split()[:4] == [
        "0",
        "0:01",
        "completed",
        "1.42",
    ]
    newest = max(build_reports(read_spans(many)), key=lambda report: (report.started_at or 0.0, report.session_id))
    assert {row["session_id"] for row in json.loads(turns(capsys, many, "--latest", "-f", "json"))} == {
        newest.session_id
    }


@pytest.mark.parametrize(
    ("name", "slowest"),
    [("hook", "slow_hook"), ("tts", "slow_voice"), ("tool", "one_tool"), ("tts_node_ttfb", "slow_voice")],
)
def test_sorting(name: str, slowest: str, many: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Any latency and any silence stage can be sorted by: the largest first, or the smallest."""
    want = record(slowest).pipeline[0].session_id
    for order, at in (([], 0), (["--desc"], 0), (["--asc"], -1)):
        rows = json.loads(turns(capsys, many, "-f", "json", "--sort", name, *order))
        assert rows[at]["session_id"] == want


def test_turns_without_the_value_come_last(one: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A turn to which a latency does not apply is behind all others, either way; the index sorts by time."""

    def indices(*arguments: str) -> list[int]:
        return [row["index"] for row in json.loads(turns(capsys, one, "-f", "json", *arguments))]

    assert indices() == [0, 1, 2, 3, 4]
    assert indices("--desc") == [4, 3, 2, 1, 0]
    assert indices("--sort", "e2e")[-1] == 0
    assert indices("--sort", "e2e", "--asc")[-1] == 0
    assert indices("--sort", "e2e_latency", "--desc")[-1] == 0
    assert indices("--sort", "stopped_speaking_at", "--desc") == [4, 3, 2, 1, 0]


def test_csv(many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The csv has the same header whatever the turns have, full precision, and goes to a file when asked."""
    output = tmp_path / "turns.csv"
    assert turns(capsys, many, "--format", "csv", "-o", output) == ""
    text = output.read_text(encoding="utf-8")
    assert text.splitlines()[0] == HEADER
    rows = list(csv.DictReader(io.StringIO(text)))
    all_turns = [turn for report in build_reports(read_spans(many)) for turn in report.turns]
    assert sorted(float(row["e2e_latency"]) for row in rows) == sorted(
        turn.latency.e2e_latency or 0.0 for turn in all_turns
    )
    for row in rows:
        whole = sum(float(row[f"silence_{stage}"]) for stage in attr.SILENCE_STAGES)
        assert whole == pytest.approx(float(row["e2e_latency"]), abs=1e-6)


def test_csv_where_nothing_applies(one: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What does not apply is an empty field, and every line has every column."""
    rows = list(csv.reader(io.StringIO(turns(capsys, one, "-f", "csv"))))
    assert {len(row) for row in rows} == {len(HEADER.split(","))}
    greeting = dict(zip(rows[0], rows[1], strict=True))
    assert (greeting["e2e_latency"], greeting["silence_llm"], greeting["tts_node_ttfb"]) == ("", "", "0.1")


def test_json(one: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The json has all that is known of each turn, its words included."""
    (report,) = build_reports(read_spans(one))
    expected = [{"session_id": report.session_id, **turn_document(turn)} for turn in report.turns]
    assert json.loads(turns(capsys, one, "-f", "json")) == json.loads(json.dumps(expected))
    assert expected[1]["user_text"].startswith("question number 0")


def test_no_turns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A session in which nothing happened has no turns, which is no error."""
    path = tmp_path / "start.jsonl"
    lines = record("greeting_by_say").text.splitlines(keepends=True)
    path.write_text(next(line for line in lines if '"session.start"' in line), encoding="utf-8")
    assert turns(capsys, path) == "no turns\n"
    assert turns(capsys, path, "-f", "json") == "[]\n"
    assert turns(capsys, path, "-f", "csv") == HEADER + "\n"


def test_failures(one: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be done is one line on standard error, with the exit code of its kind."""
    foreign = tmp_path / "foreign.jsonl"
    text = one.read_text(encoding="utf-8")
    foreign.write_text(text.replace('"livekit_otel.', '"other.'), encoding="utf-8")
    cases = {
        ("turns", str(one), "--sort", "speed"): (2, "Invalid value for '--sort': 'speed' is not one of e2e, index, "),
        ("turns", str(one), "--session", "x"): (1, f"{one}: no session 'x' among the spans; there are: "),
        ("turns", str(foreign)): (1, f"{foreign}: contains no session from livekit_otel or"),
        ("turns", str(tmp_path / "none")): (1, f"{tmp_path / 'none'}: no such file or directory"),
    }
    for arguments, (code, start) in cases.items():
        assert main(list(arguments)) == code
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith(f"livekit-otel: {start}")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_report_on_a_terminal(one: Path) -> None:
    """On a terminal the report has colours; in a pipe the same command writes no escape sequence."""
    import pty
    import subprocess

    command = [sys.executable, "-m", "livekit_otel", "report", str(one)]
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    environment = {**plain, "TERM": "xterm-256color", "COLUMNS": "100", "PYTHONIOENCODING": "utf-8"}
    piped = subprocess.run(command, capture_output=True, env=environment, check=True).stdout.decode()
    assert "\x1b" not in piped
    assert max(map(len, piped.splitlines())) <= 100
    leader, follower = pty.openpty()
    with subprocess.Popen(command, stdout=follower, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(follower)
        shown = b""
        try:
            while chunk := os.read(leader, 65_536):
                shown += chunk
        except OSError:
            pass  # the other end was closed
    os.close(leader)
    assert process.returncode == 0
    assert "\x1b[36m█" in shown.decode()
    assert "0.72 s" in piped
    assert "0.72 s" in shown.decode()
