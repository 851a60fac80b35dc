"""docs/alongside.md, the rows that are tested and what the doctor knows are the same; runs without the packages."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest

from livekit_otel.doctor import alongside

from .conftest import need
from .rows import ROWS, _installed

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs" / "alongside.md"
#: rows that have a test module of their own
OTHERS = {
    "LiveKit Cloud": "test_cloud.py",
    "Langfuse preset": "test_langfuse_preset.py",
    "zero-code": "test_zero_code.py",
    "MCP": "test_mcp.py",
}


def table() -> dict[str, list[str]]:
    """The first table: name of the row -> its other cells."""
    lines = DOCS.read_text(encoding="utf-8").partition("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {row[0]: row[1:] for row in rows[2:]}


def test_each_row_is_tested() -> None:
    """The table's rows are those that the tests run, and each names its test modules."""
    rows = table()
    tests = {**dict.fromkeys(ROWS, "test_beside_others.py"), **OTHERS}
    assert set(rows) == set(tests)
    for name, cells in rows.items():
        named = re.findall(r"test_\w+\.py", cells[-1])
        assert tests[name] in named
        assert [one for one in named if not (HERE / one).is_file()] == []


def test_the_order_is_the_tested_one() -> None:
    """The table says "theirs first" where ours cannot be first."""
    rows = table()
    for name, row in ROWS.items():
        assert rows[name][1] == ("any" if "before" in row.orders else "theirs first")


def test_the_doctor_knows_each_row() -> None:
    """The doctor has an entry for each row but those that are no package, under its distribution."""
    known = {one.row: one.distribution for one in alongside.TRACING_PACKAGES}
    assert set(known) == set(table()) - {"LiveKit Cloud", "Langfuse preset"}
    assert {name: known[name] for name in ROWS} == {name: row.packages[0] for name, row in ROWS.items()}


def test_the_doctor_names_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One check for each known package that is installed, with its version; none for others."""

    def version(name: str) -> str:
        if name in ("logfire", "sentry-sdk"):
            return "5.4.0"
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    logfire, sentry = alongside.check()
    assert (logfire.level, logfire.text.split(":")[0]) == ("note", "logfire 5.4.0")
    assert "docs/redaction.md" in logfire.fix
    assert (sentry.level, sentry.fix) == ("ok", "")


def test_advice_belongs_to_notes() -> None:
    """Where something has to be set up there is a note and advice, else neither."""
    assert [one.row for one in alongside.TRACING_PACKAGES if (one.level == "note") != bool(one.advice)] == []


@pytest.mark.company
def test_the_doctor_with_the_real_packages() -> None:
    """In the tier's environment the doctor names every package of the table, and finds no problem with any."""
    need(*(one.distribution for one in alongside.TRACING_PACKAGES if not _installed(one.distribution)))
    checks = list(alongside.check())
    assert [check.text.split()[0] for check in checks] == [one.distribution for one in alongside.TRACING_PACKAGES]
    assert {check.level for check in checks} == {"ok", "note"}
