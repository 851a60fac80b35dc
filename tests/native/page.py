"""The generated parts of docs/native.md and of the README: ``python -m tests.native.page`` writes them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "native.md"
README = ROOT / "README.md"


def replaced(page: str, part: str, text: str) -> str:
    """The page with one of its generated parts as it is now."""
    begin, end = f"<!-- {part}: generated -->\n", f"<!-- {part}: end -->"
    before, rest = page.split(begin)
    return f"{before}{begin}{text}\n{end}{rest.split(end, 1)[1]}"


def layers() -> str:
    """Both layers of the same calls beside each other."""
    from .compare import OF_SESSIONS, OF_TURNS, TOLERANCE, compared
    from .known import KNOWN

    found = compared()
    found_in = found.differing()
    reasons = list(dict.fromkeys(why for name in KNOWN if name in found_in for why in KNOWN[name].values()))
    rows = ["| | compared | equal | apart at most | differs because |", "|---|--:|--:|--:|---|"]
    for what in (*OF_SESSIONS, *OF_TURNS):
        wrong = [one for one in found.differences if one.what == what]
        why = sorted({reasons.index(KNOWN[one.scenario][what]) + 1 for one in wrong})
        unit = "sessions" if what in OF_SESSIONS else "turns"
        apart = f"{found.apart[what] * 1e6:.1f} µs" if what in TOLERANCE and what in found.apart else ""
        count = found.compared[what]
        name = f"`{what}`" if what in TOLERANCE else what
        rows.append(f"| {name} | {count} {unit} | {count - len(wrong)} | {apart} | {', '.join(map(str, why))} |")
    return "\n".join([*rows, "", *(f"{at}. {why}" for at, why in enumerate(reasons, 1))])


def recorded() -> str:
    """Recordings without livekit_otel beside LiveKit's own reports."""
    from .known import OF_RECORDINGS, known_of
    from .recordings import recordings

    rows = ["| release | sessions | equal in all that LiveKit's report says | differs in |", "|---|--:|--:|---|"]
    for release in (*RELEASES, *NODE):
        calls = recordings(release)
        known = {name: known_of(release, name) for name in calls}
        what = ", ".join(
            f"{name} ({count})"
            for name in sorted(OF_RECORDINGS)
            if (count := sum(name in one for one in known.values()))
        )
        rows.append(f"| {release} | {len(calls)} | {sum(not one for one in known.values())} | {what} |")
    return "\n".join(rows)


NODE = ("node-1.9.0", "node-1.8.1", "node-1.6.4")


def _shown() -> str:
    """The report of a recorded call, as the command prints it."""
    from livekit_otel.report.render_text import to_text

    from .recordings import recordings

    return to_text(recordings("node-1.9.0")["tool_with_preamble"].ours[0])


def _with(text: str, part: str, shown: str) -> str:
    begin, end = f"<!-- {part} -->\n", f"<!-- {part}: end -->"
    before, rest = text.split(begin)
    return f"{before}{begin}```\n{shown}\n```\n{end}{rest.split(end, 1)[1]}"


def with_report(text: str) -> str:
    """The page with the beginning of the report of a recorded call."""
    return _with(text, "native report", _shown().partition("\n\nLatency")[0])


def with_conversation(text: str) -> str:
    """The README with the conversation of that report."""
    conversation = _shown().partition("\n\nLatency")[0].partition("\nConversation")[2]
    return _with(text, "native conversation", f"Conversation{conversation}")


RELEASES = ("python-1.8.9", "python-1.7.0", "python-1.5.18")


def main() -> None:
    """Write them."""
    page = PAGE.read_text(encoding="utf-8")
    for part, render in (("layers", layers), ("recordings", recorded)):
        page = replaced(page, part, render())
    PAGE.write_text(with_report(page), encoding="utf-8")
    README.write_text(with_conversation(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    from tests.kit import clock

    clock.install()
    main()
