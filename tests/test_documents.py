"""The documents lead a reader somewhere: every link and picture is there, and the README stays a first screen."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from .local_job import ANSWER, hold_call

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = sorted(ROOT.glob("docs/*.md"))
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *PAGES, *sorted(ROOT.glob("examples/**/*.md"))]
DOCUMENTS += sorted(ROOT.glob("collector-config/*.md"))
#: what a newcomer reads before deciding
MAX_WORDS = 1200


def _prose(path: Path) -> str:
    """A document without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def _links(path: Path) -> list[str]:
    """The targets of a document's links and pictures that lie in this repository."""
    found = re.findall(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"", _prose(path))
    return [one for pair in found for one in pair if one and "://" not in one]


def _anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _prose(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    """Every link of a document that is not an address names a file, and a heading of it, that is there."""
    lost = []
    for link in _links(path):
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            lost.append(link)
    assert lost == []


def test_the_readme_stays_a_first_screen() -> None:
    """The README is short, and links every page of docs/ and the examples."""
    assert len(README.read_text(encoding="utf-8").split()) <= MAX_WORDS
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in _links(README)}
    # two pages have a page that leads to them: a backend's, and that of privacy
    nested = {ROOT / "docs" / name for name in ("alongside.md", "langfuse.md", "redaction.md")}
    assert {*PAGES, ROOT / "examples" / "README.md"} - nested - linked == set()
    assert nested <= {(page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in _links(page)}


def test_every_document_is_in_the_sdist() -> None:
    """The folders of the documents and pictures that the README links are among what an sdist includes."""
    included = re.search(r"sdist\]\ninclude = \[(.*)\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert included is not None
    tops = {Path(link.partition("#")[0]).parts[0] for link in _links(README) if not link.startswith("#")}
    assert tops <= set(re.findall(r'"([^"]+)"', included[1]))


@pytest.mark.slow
def test_the_quick_start_works_as_it_stands(tmp_path: Path) -> None:
    """README's set-up, in front of an agent without tracing code, writes a call that README's commands then report."""
    _, _, part = README.read_text(encoding="utf-8").partition("## Put it into an agent")
    set_up, commands = (re.findall(f"```{language}\n(.*?)```", part, re.DOTALL)[0] for language in ("python", "sh"))
    traces = tmp_path / "traces"
    assert set_up.count('"traces"') == 1
    agent = tmp_path / "agent.py"
    code = (ROOT / "examples" / "zero_code" / "agent.py").read_text(encoding="utf-8")
    agent.write_text(set_up.replace('"traces"', repr(str(traces))) + code, encoding="utf-8")
    hold_call(str(agent), typed=True)
    wrote = []
    for line in commands.splitlines():
        command = shlex.split(line, comments=True)
        assert command[0] == "livekit-otel"
        run = subprocess.run(
            [sys.executable, "-m", "livekit_otel", *command[1:]], cwd=tmp_path, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        wrote.append(run.stdout)
    report, _, turns = wrote
    assert ANSWER in report
    assert ANSWER in (tmp_path / "call.html").read_text(encoding="utf-8")
    assert "WAIT" in turns
