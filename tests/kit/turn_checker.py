"""What must hold of the turns of any call, whatever was said in it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

from livekit_otel import SpanRecord, build_reports
from livekit_otel import attributes as attr

#: a step of the wall clock, or rounding of LiveKit's float seconds
_ROUNDING_NS = 1_000


def check_turns(spans: Sequence[SpanRecord], *, words_may_follow: bool = False) -> None:
    """Stages lie inside their turns, no words stand on two turns, and turns do not overlap.

    The exceptions: a tool that outlives its turn, which says so; an interrupted turn, which ends with its own playback;
    a typed input, which may come while the agent speaks.

    Args:
        words_may_follow: a turn may also be over by itself when the user's next words have begun: before they are
            committed, nobody knows of them, and LiveKit lets a hook that has still to decide run to its end.
    """
    ours = [span for span in spans if span.scope == attr.SCOPE]
    by_id = {span.span_id: span for span in ours}
    assert len(by_id) == len(ours), "span ids are unique"
    for session in {span.session_id for span in ours}:
        turns = sorted(
            (span for span in ours if span.kind == attr.KIND_TURN and span.session_id == session),
            key=lambda turn: _number(turn, attr.TURN_INDEX),
        )
        assert [_number(turn, attr.TURN_INDEX) for turn in turns] == list(range(len(turns))), "turns count from 0"
        _stages_inside(ours, by_id, session)
        _no_overlap(turns, ours, words_may_follow=words_may_follow)
        _words_once(turns, [span for span in ours if span.session_id == session])


def _number(span: SpanRecord, name: str) -> int:
    return int(span.attributes[name])  # type: ignore[arg-type]


def _stages_inside(ours: Sequence[SpanRecord], by_id: dict[str, SpanRecord], session: str) -> None:
    root = next((span for span in ours if span.kind == attr.KIND_SESSION and span.session_id == session), None)
    for span in ours:
        if span.session_id != session:
            continue
        if root is not None:
            assert root.start_ns - _ROUNDING_NS <= span.start_ns, f"{span.kind} begins before its session"
            assert span.end_ns <= root.end_ns + _ROUNDING_NS, f"{span.kind} ends after its session"
        parent = by_id.get(span.parent_id or "")
        if parent is None or parent.kind != attr.KIND_TURN:
            continue
        where = f"{span.kind} of turn {parent.attributes[attr.TURN_INDEX]}"
        assert parent.start_ns - _ROUNDING_NS <= span.start_ns, f"{where} begins before it"
        if span.end_ns > parent.end_ns + _ROUNDING_NS:
            assert span.kind == attr.KIND_TOOL, f"{where} ends after it"
            assert parent.attributes.get(attr.TURN_TOOL_OUTLIVES), f"{where} outlives it, and it does not say so"


def _no_overlap(turns: Sequence[SpanRecord], ours: Sequence[SpanRecord], *, words_may_follow: bool) -> None:
    for before, after in itertools.pairwise(turns):
        if after.start_ns >= before.end_ns - _ROUNDING_NS:
            continue
        reason = before.attributes.get(attr.END_REASON)
        typed = after.attributes.get(attr.TURN_SPEECH_END_SOURCE) == "typed"
        spoken_over = after.attributes.get(attr.TURN_HAS_USER) and any(
            span.kind == attr.KIND_PLAYBACK and span.parent_id == before.span_id and span.end_ns > after.start_ns
            for span in ours
        )
        over = words_may_follow and (
            reason == "no_reply"
            or not any(
                span.end_ns <= before.end_ns and span.kind == attr.KIND_EOU and span.parent_id == after.span_id
                for span in ours
            )
        )
        index = before.attributes[attr.TURN_INDEX]
        assert reason in ("interrupted", "session_closed", "failed") or typed or spoken_over or over, (
            f"turn {index} ({reason}) overlaps the next one"
        )


def _words_once(turns: Sequence[SpanRecord], ours: Sequence[SpanRecord]) -> None:
    """Each final transcript is below one turn at most, and its words are the turn's."""
    texts = {turn.span_id: str(turn.attributes.get(attr.TURN_USER_TEXT, "")) for turn in turns}
    finals = Counter(
        (span.start_ns, span.end_ns, str(span.attributes[attr.STT_TEXT]))
        for span in ours
        if attr.STT_TEXT in span.attributes
    )
    assert all(count == 1 for count in finals.values()), "a transcript stands on two spans"
    said = [text for text in texts.values() if text]
    heard = sum(len(str(span.attributes[attr.STT_TEXT]).split()) for span in ours if attr.STT_TEXT in span.attributes)
    spoken = [
        turn
        for turn in turns
        if texts[turn.span_id] and turn.attributes.get(attr.TURN_SPEECH_END_SOURCE) not in ("typed", "server", None)
    ]
    words = sum(len(texts[turn.span_id].split()) for turn in spoken)
    if heard:
        assert words <= heard or not said, "words of the user stand on two turns"


def check_reports(spans: Sequence[SpanRecord], theirs: Sequence[dict[str, Any]]) -> None:
    """Each message of LiveKit's report that somebody said stands on one turn."""
    for report, their in zip(build_reports(spans), theirs, strict=True):
        said = Counter(
            " ".join(str(part) for part in item["content"] if isinstance(part, str))
            for item in their["chat_history"]["items"]
            if item["type"] == "message" and item["role"] == "user"
        )
        found = Counter(turn.user_text for turn in report.turns if turn.user_text)
        assert all(found[text] <= count for text, count in said.items() if text)
