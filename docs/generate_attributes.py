"""Writes docs/attributes.md from livekit_otel/attributes.py: ``python docs/generate_attributes.py``."""

from __future__ import annotations

from pathlib import Path

from livekit_otel import attributes as attr

HEADER = """# Spans and attributes, schema 2

Generated from `livekit_otel/attributes.py` by `python docs/generate_attributes.py`; do not edit.

Every pipeline span has the instrumentation scope `livekit_otel`, and its name is its kind.
[upgrading.md](upgrading.md) says what is different from schema 1.
"""


def render() -> str:
    """The page as Markdown."""
    lines = [HEADER, "## Spans", "", "| span | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {brief} |" for name, brief in attr.SPAN_KINDS.items()]
    lines += [
        "",
        "## Attributes",
        "",
        "*content* marks what people said, tool payloads, names of people and rooms: withheld by `allow_pii=False`.",
        "",
        "| attribute | type | unit | content | meaning |",
        "|---|---|---|---|---|",
    ]
    for one in attr.REGISTRY.values():
        lines.append(f"| `{one.name}` | {one.type} | {one.unit} | {'yes' if one.content else ''} | {one.brief} |")
    lines += [
        f"| `{attr.JOURNAL_PREFIX}NNN` | string | |  | A numbered piece of the journal: events and items. |",
        f"| `{attr.PII_JOURNAL_PREFIX}NNN` | string | | yes | The content of the journal's entries, in pieces. |",
        f"| `{attr.TURN_LATE_PREFIX}NNN` | string | |  | On session.checkpoint and session.end: a numbered piece of"
        " JSON, `[[turn index, name without livekit_otel.turn., value or null], ...]`: what spans that ended after"
        " their turn changed in it. Later ones win. |",
        "",
        "A metrics field that a newer LiveKit adds flows through as `livekit_otel.<stage>.<field>`. Left out are",
        "`label`, a `speech_id` or `request_id` that the span says under another name (`livekit_otel.speech_id`,",
        "`gen_ai.response.id`),",
        "and a field that is 0 or False by default in LiveKit's class and has that value.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    Path(__file__).with_name("attributes.md").write_text(render(), encoding="utf-8")
