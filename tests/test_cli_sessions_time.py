"""``sessions --since`` and ``--until``: files are filtered, servers are asked for that time."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

import tests.scenarios  # noqa: F401
from livekit_otel.cli import main
from tests import report_kit as kit

from .jaeger_double import Jaeger
from .json_server import JsonServer, serving
from .kit.trace import record
from .phoenix_double import Phoenix

#: 14:13:20 to 14:13:33, and 14:15:00 to 14:15:06 on 2026-09-21.
CALLS = [kit.call("S-one", turns=2), kit.call("S-two", turns=1, start=kit.START + 100)]


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "two.jsonl"
    path.write_text("".join(line for call in CALLS for line in kit.lines(call.spans)), encoding="utf-8")
    return str(path)


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["sessions", *arguments, "--format", "json"]) == 0
    return [row["session_id"] for row in json.loads(capsys.readouterr().out)]


@pytest.mark.parametrize(
    ("times", "found"),
    [
        (["--since", "2026-09-21"], ["S-one", "S-two"]),
        (["--since", "2026-09-21T14:13:25Z"], ["S-one", "S-two"]),
        (["--since", "2026-09-21T14:14:00Z"], ["S-two"]),
        (["--until", "2026-09-21T14:14:00Z"], ["S-one"]),
        (["--until", "2026-09-21T14:15:00Z"], ["S-one"]),
        (["--since", "2026-09-21T14:13:25Z", "--until", "2026-09-21T14:13:26Z"], ["S-one"]),
        (["--since", "2026-09-21T16:14:00+02:00"], ["S-two"]),
    ],
)
def test_files(source: str, times: list[str], found: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Of a file the sessions that ran at some moment of the time are listed; its end is not part of it."""
    assert listed(capsys, source, *times) == found
    assert listed(capsys, f"file://{source}", *times) == found


def test_how_long_ago(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A time may be said as how long ago it was."""
    path = tmp_path / "now.jsonl"
    path.write_text("".join(kit.lines(kit.call("S-now", turns=1, start=time.time() - 3_600).spans)), encoding="utf-8")
    assert listed(capsys, str(path), "--since", "2h", "--until", "30m") == ["S-now"]
    assert main(["sessions", str(path), "--since", "30m"]) == 1
    assert capsys.readouterr().err.endswith("now.jsonl: no session is in that period; the source contains 1\n")


@pytest.mark.parametrize(
    ("times", "says"),
    [
        (
            ["--since", "yesterday"],
            "'yesterday' is not a time; give one like 2026-01-31T14:00:00Z, or how long ago: 30m, 2h, 3d",
        ),
        (["--since", "1h", "--until", "2h"], "since is not before until; swap or drop one of them"),
        (["--since", ""], "'' is not a time"),
    ],
)
def test_times_that_are_none(source: str, times: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no time is one line that says which are."""
    assert main(["sessions", source, *times]) == 1
    assert says in capsys.readouterr().err


def test_servers_are_asked_for_that_time(capsys: pytest.CaptureFixture[str]) -> None:
    """Jaeger and Phoenix get the time in their own query, and a time that is in the address as well is refused."""
    trace = record("one_tool")
    times = ["--since", "2023-11-14T22:00:00Z", "--until", "2023-11-15"]
    session = trace.pipeline[0].session_id

    def asked(server: JsonServer, name: str) -> set[str]:
        return {one.query[name][0] for one in server.asked if name in one.query}

    with serving(Jaeger(trace)) as server:
        address = f"jaeger://127.0.0.1:{server.port}"
        assert listed(capsys, address, *times) == [session]
        assert asked(server, "query.startTimeMin") == {"2023-11-14T22:00:00.000000000Z"}
        assert asked(server, "query.startTimeMax") == {"2023-11-15T00:00:00.000000000Z"}
        assert main(["sessions", f"{address}?since=2h", *times]) == 1
        assert "since is given twice, as an option and in the address; drop one" in capsys.readouterr().err
    with serving(Phoenix(trace.pipeline)) as server:
        assert listed(capsys, f"phoenix://127.0.0.1:{server.port}/default", *times) == [session]
        assert asked(server, "start_time") == {"2023-11-14T22:00:00.000000000Z"}
        assert asked(server, "end_time") == {"2023-11-15T00:00:00.000000000Z"}
