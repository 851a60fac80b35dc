"""JSON that is JSON, whatever numbers a trace holds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from livekit_otel.cli import main
from livekit_otel.cli.output import to_json
from tests import report_kit as kit

ODD = ["NaN", "Infinity", "-Infinity", 1e308, 10**18]
COMMANDS = [("report", "--full"), ("turns",), ("sessions",)]


def _strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def _otlp(value: object) -> dict[str, Any]:
    return {"doubleValue": value}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("odd", ODD, ids=str)
def test_odd_numbers_in_every_attribute(
    odd: object, command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a number that is not finite, or over-large, in all attributes that are numbers, output is valid JSON."""
    path = tmp_path / "odd.jsonl"
    lines = kit.lines(kit.call("S-one", turns=2).spans)
    path.write_text("".join(_with_odd(line, odd) for line in lines), encoding="utf-8")
    name, *flags = command
    assert main([name, str(path), "--format", "json", *flags]) == 0
    _strict(capsys.readouterr().out)


def _with_odd(line: str, odd: object) -> str:
    document = json.loads(line)
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for one in span["attributes"]:
                    if {"intValue", "doubleValue"} & one["value"].keys() or one["key"].endswith("room_id"):
                        one["value"] = _otlp(odd)
    return json.dumps(document) + "\n"


@pytest.mark.parametrize("odd", ["1e999", "-1e999", "NaN", "Infinity"])
def test_odd_numbers_in_the_journal(odd: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A number in the journal that no float holds is null in the report, and the item is there."""
    item = '{"id":"a","type":"message","role":"user","content":["x"],"created_at":' + odd + "}"
    payload = f'[["b"],["i",null,{item}]]'
    call = kit.call("S-one", turns=1)
    start = call.spans[0]
    start["attributes"] = {
        name: value for name, value in start["attributes"].items() if not name.startswith("livekit_otel.journal")
    }
    start["attributes"]["livekit_otel.journal.p000"] = f"0.0.1.{len(payload)}|{payload}"
    path = tmp_path / "odd.jsonl"
    path.write_text("".join(kit.lines([start])), encoding="utf-8")
    assert main(["report", str(path), "--format", "json"]) == 0
    document = _strict(capsys.readouterr().out)
    assert [one["created_at"] for one in document["chat_history"]["items"]] == [None]


def test_json_has_no_constants() -> None:
    """What is not finite is null, at any depth; all else is kept."""
    value = {"a": [1.5, math.nan, {"b": (math.inf, "x", True)}], "c": -math.inf}
    assert json.loads(to_json(value)) == {"a": [1.5, None, {"b": [None, "x", True]}], "c": None}
