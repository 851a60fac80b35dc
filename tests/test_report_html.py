"""The HTML report: one file that needs nothing else, in which content is never markup."""

from __future__ import annotations

import json
import re

import pytest

import livekit_otel
from livekit_otel.report.render_html import to_html
from tests.kit.run import CANARY
from tests.kit.trace import names, record

pytest.importorskip("jinja2")


def page(name: str, **options: object) -> str:
    reports = list(livekit_otel.build_reports(record(name, **options).records))  # type: ignore[arg-type]
    return to_html(reports[0])


def data(html: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found.group(1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", names())
def test_every_call_has_a_page(name: str) -> None:
    """A page is made of every scripted session; it names nothing outside itself, and its data has every turn."""
    html = page(name)
    report = next(iter(livekit_otel.build_reports(record(name).records)))
    parts = data(html)["parts"]
    assert isinstance(parts, list)
    turns = [part for part in parts if "i" in part]
    assert [turn["i"] for turn in turns] == [turn.index for turn in report.turns]
    assert not re.search(r"src\s*=|href=\"(?!#)|@import|url\(|https?://", html.split('id="data">')[0])
    for turn in turns:
        assert abs(sum(ms for _, ms in turn.get("p", ())) - turn.get("w", 0)) <= 8


def test_content_is_never_markup() -> None:
    """Words that look like markup or like a template stay words, in the text and in the embedded data."""
    html = page("hostile_words")
    assert "<script>alert" not in html
    assert html.count("</script>") == 2
    assert "<img" not in html
    assert "{{7*7}}" in json.dumps(data(html), ensure_ascii=False)


def test_a_page_without_content_says_so() -> None:
    """Withheld content is nowhere on the page, and a warning tells why."""
    html = page("one_tool", allow_pii=False)
    assert CANARY not in html
    assert "redacted" in html


def test_the_policy_allows_only_the_pages_own_script_and_style() -> None:
    """The Content-Security-Policy forbids every resource; script and style are allowed by their hash."""
    found = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page("question_and_answer"))
    assert found is not None
    assert found.group(1).startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in found.group(1)
