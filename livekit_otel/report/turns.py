"""Builds the turns of a session from its spans."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .. import attributes as attr
from ..spans import SpanRecord, flag, number, text, texts
from ..thresholds import DEFAULTS, Thresholds
from ..turns import (
    Flag,
    Gap,
    ModelUsage,
    Segment,
    TurnDerivation,
    TurnLatency,
    TurnSpans,
    derive_turn,
    flags_of,
    turns_of,
)
from .said import Said

__all__ = ["Turn", "build_turns"]


@dataclass
class Turn:
    """One exchange.

    Attributes:
        index: index of the turn in its session, from 0.
        span_id: ID of the turn's span, even if the span itself is missing.
        span: the turn's own span; None if it is missing because the call broke off within the turn.
        speech_ids: LiveKit's IDs of the agent's speeches.
        user_text, agent_text: the words; empty if there were none, or if content is withheld.
        end_reason: ``completed``, ``interrupted``, ``session_closed``, ``failed`` or ``no_reply``; None if the turn's
            end is missing.
        start_ns, end_ns: Unix time in nanoseconds.
        stages: the stage spans of the turn, by start.
        unfinished: whether the trace broke off while the agent spoke. ``agent_text`` is then the text that was
            synthesised by then, of which the user heard a part.
        agent: ID of the active agent.
        models: ``provider/model`` of the models used.
        reported: latencies in seconds as LiveKit reported them, by the names of its ``MetricsReport``.
        overlaps: whether verdicts on speech over the agent's were recorded. LiveKit's own spans lack them.
        thresholds: minimum waits that are flagged, in seconds, by name.

    Values derived from the stages (``latency``, ``silence``, ``usage`` and so on) are computed when first read.
    """

    index: int
    span_id: str
    span: SpanRecord | None
    speech_ids: list[str]
    user_text: str
    agent_text: str
    end_reason: str | None
    start_ns: int
    end_ns: int
    stages: list[SpanRecord]
    unfinished: bool = False
    agent: str = ""
    models: list[str] = field(default_factory=list)
    reported: dict[str, float] = field(default_factory=dict)
    overlaps: bool = True
    thresholds: Thresholds = field(default_factory=lambda: DEFAULTS)
    derivations: Callable[[], Mapping[str, TurnDerivation]] = field(default=dict, repr=False, compare=False)

    @cached_property
    def derivation(self) -> TurnDerivation:
        """All derived values of the turn."""
        found = self.derivations().get(self.span_id)
        return found or derive_turn(self.stages, self.span, index=self.index, span_id=self.span_id)

    @property
    def latency(self) -> TurnLatency:
        """The derived latencies: those of LiveKit's ``MetricsReport``, and three more. None for latencies that do not
        apply.
        """
        return self.derivation.latency

    @property
    def silence(self) -> Mapping[str, float]:
        """Seconds of each stage between the end of the user's speech and the agent's voice, for all stages.

        They sum to ``latency.e2e_latency``. Empty if there is none.
        """
        return self.derivation.silence

    @property
    def path(self) -> tuple[Segment, ...]:
        """The critical path: the stages that the answer waited for, as consecutive intervals without gaps."""
        return self.derivation.path

    @property
    def answered(self) -> str | None:
        """``yes``, ``text`` (in writing only) or ``no``; None if the user said nothing."""
        return self.derivation.answered

    @property
    def why_not(self) -> str:
        """Why the user got no answer: ``failed``, ``interrupted``, ``session_closed`` or ``no_reply``; else empty."""
        return self.derivation.why_not

    @property
    def acknowledged(self) -> bool:
        """Whether the agent said a preamble or a filler while the user waited."""
        return self.derivation.acknowledged

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The silences after the agent's first words while it still owed speech; they sum to ``latency.dead_air``."""
        return self.derivation.gaps

    @property
    def flags(self) -> tuple[Flag, ...]:
        """The flags of the turn, by name; empty if it needs no attention."""
        return flags_of(self.derivation, self.thresholds)

    @property
    def usage(self) -> tuple[ModelUsage, ...]:
        """Usage of each model in this turn, including discarded preemptive generations."""
        return self.derivation.usage

    @property
    def discarded(self) -> tuple[ModelUsage, ...]:
        """The part of ``usage`` that was spent on discarded preemptive generations."""
        return self.derivation.discarded

    @property
    def notes(self) -> tuple[str, ...]:
        """One line for each latency of which ``reported`` and ``latency`` differ by more than 5 ms."""
        return self.derivation.notes

    @property
    def interruptions(self) -> int:
        """Number of interruptions of the agent."""
        return self.derivation.interruptions

    @property
    def false_interruptions(self) -> int:
        """Number of times the agent stopped for something that was not an interruption."""
        return self.derivation.false_interruptions

    @property
    def false_cutoff(self) -> bool:
        """Whether the turn was committed while the user only paused. The further speech is not an interruption."""
        return self.derivation.false_cutoff

    @property
    def backchannels(self) -> int | None:
        """Number of times the user only said "mhm" or similar; None if not recorded."""
        return self.derivation.backchannels if self.overlaps else None


def build_turns(
    spans: Sequence[SpanRecord],
    history: Sequence[Mapping[str, Any]],
    derivations: Callable[[], Mapping[str, TurnDerivation]] = dict,
    thresholds: Thresholds = DEFAULTS,
    *,
    overlaps: bool = True,
) -> list[Turn]:
    """The turns among ``spans``, in order.

    Args:
        spans: the records of one session, by start.
        history: the chat history, which completes texts that were cut.
        derivations: returns the derived values of each turn, by the ID of its span; called when they are first read.
        thresholds: minimum waits that are flagged, in seconds, by name.
        overlaps: whether verdicts on speech over the agent's were recorded.
    """
    said = Said(history)
    found = [_turn(one, said) for one in turns_of(spans)]
    for turn in found:
        turn.derivations, turn.thresholds = derivations, thresholds
        turn.overlaps = overlaps
    return found


def _turn(one: TurnSpans, said: Said) -> Turn:
    span, stages = one.turn, sorted(one.stages, key=lambda stage: (stage.start_ns, stage.end_ns, stage.span_id))
    if span is None:
        return _open_turn(one.index, one.span_id, stages)
    values = span.attributes
    reported = {name: number(values, attr.reported(name)) for name in attr.REPORTED_METRICS}
    return Turn(
        index=one.index,
        span_id=span.span_id,
        span=span,
        speech_ids=texts(values, attr.TURN_SPEECH_IDS),
        user_text=said.whole(values.get(attr.TURN_USER_TEXT), "user") or _late_words(span, stages),
        agent_text=said.whole(values.get(attr.TURN_AGENT_TEXT), "assistant"),
        end_reason=str(values[attr.END_REASON]) if attr.END_REASON in values else None,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        stages=stages,
        unfinished=flag(values, attr.TURN_UNFINISHED),
        agent=text(values, attr.AGENT_NAME),
        models=texts(values, attr.TURN_MODELS),
        reported={name: value for name, value in reported.items() if value is not None},
    )


def _open_turn(index: int, span_id: str, stages: list[SpanRecord]) -> Turn:
    playbacks = [span for span in stages if span.kind == attr.KIND_PLAYBACK]
    unfinished = bool(playbacks) and playbacks[-1].attributes.get(attr.OUTCOME) == attr.OUTCOME_UNFINISHED
    start = min(span.start_ns for span in stages)
    return Turn(
        index=index,
        span_id=span_id,
        span=None,
        speech_ids=list(dict.fromkeys(_values(stages, attr.SPEECH_ID))),
        user_text=" ".join(_values(stages, attr.STT_TEXT)),
        agent_text=" ".join(_values(_spoken(stages), attr.TTS_TEXT)) if unfinished else "",
        unfinished=unfinished,
        end_reason=None,
        start_ns=start,
        end_ns=max(span.end_ns for span in stages),
        stages=stages,
    )


def _spoken(stages: Sequence[SpanRecord]) -> list[SpanRecord]:
    return [one for one in stages if one.attributes.get(attr.OUTCOME) != attr.OUTCOME_DISCARDED]


def _late_words(turn: SpanRecord, stages: Sequence[SpanRecord]) -> str:
    """Transcripts that arrived after the turn had ended."""
    return " ".join(_values([one for one in stages if one.parent_id != turn.span_id], attr.STT_TEXT))


def _values(spans: Sequence[SpanRecord], name: str) -> list[str]:
    return [str(span.attributes[name]) for span in spans if name in span.attributes]
