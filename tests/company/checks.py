"""What must hold of what a backend got, whoever else traced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from livekit_otel import SpanRecord
from livekit_otel import attributes as attr
from tests.kit.run import assert_same_report

from .bench import Result

LIVEKIT = "livekit-agents"
INPUT = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
OUTPUT = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")


def report_equals(result: Result) -> None:
    """One report for each session, equal to LiveKit's, complete."""
    assert len(result.reports) == len(result.theirs)
    for (ours, complete, warnings), theirs in zip(result.reports, result.theirs, strict=True):
        assert_same_report(ours, theirs)
        assert (complete, warnings) == (True, [])


def nothing_doubled(result: Result, *, turns: int = 2) -> None:
    """Each span arrives once, each session and turn is one span, and one processor derives turns."""
    assert [one for one, number in Counter(span.span_id for span in result.sent).items() if number > 1] == []
    ours = Counter(span.name for span in result.sent if span.scope == attr.SCOPE)
    assert (ours["session"], ours["turn"], ours["tool"]) == (1, turns, ours["tool"])
    assert Counter(span.name for span in result.sent if span.scope == LIVEKIT)["agent_session"] <= 1
    assert result.turn_processors <= 1


def no_orphans(spans: Iterable[SpanRecord]) -> None:
    """Whoever has a parent has one that was sent, too."""
    spans = list(spans)
    ids = {span.span_id for span in spans}
    orphans = Counter((span.scope, span.name) for span in spans if span.parent_id and span.parent_id not in ids)
    assert orphans == {}


def layers(result: Result, *, native_spans: bool) -> None:
    """LiveKit's own spans are there where they were asked for, and nowhere else."""
    theirs = [span.name for span in result.sent if span.scope == LIVEKIT]
    assert bool(theirs) is native_spans, theirs


def tokens(spans: Iterable[SpanRecord]) -> tuple[int, int]:
    """Sums of input and output tokens, as a backend adds them up that reads ``gen_ai.usage.*``."""
    spans = list(spans)
    return _sum(spans, *INPUT), _sum(spans, *OUTPUT)


def openinference_tokens(spans: Iterable[SpanRecord]) -> tuple[int, int]:
    """The same by OpenInference's names."""
    spans = list(spans)
    return _sum(spans, "llm.token_count.prompt"), _sum(spans, "llm.token_count.completion")


def _sum(spans: list[SpanRecord], *names: str) -> int:
    """A span counts once, whichever of the names it uses."""
    found = [[span.attributes[name] for name in names if name in span.attributes] for span in spans]
    return sum(int(values[0]) for values in found if values)  # type: ignore[arg-type]


def stage_above(spans: Iterable[SpanRecord], name: str) -> set[tuple[str, str]]:
    """(scope, name) of the nearest spans of ours or of LiveKit above the spans of this name; none for roots."""
    spans = list(spans)
    by_id = {span.span_id: span for span in spans}
    found = set()
    for span in spans:
        if span.name != name:
            continue
        above = by_id.get(span.parent_id or "")
        while above is not None and above.scope not in (attr.SCOPE, LIVEKIT):
            above = by_id.get(above.parent_id or "")
        if above is not None:
            found.add((above.scope, above.name))
    return found
