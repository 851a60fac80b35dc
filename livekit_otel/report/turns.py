"""The turns of a session, from its spans."""

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
        index: number of the turn in its session, from 0.
        span_id: id of the turn's span, also when that span itself is missing.
        span: the turn's own span; None when it is missing (the call broke off within the turn).
        speech_ids: LiveKit's ids of the agent's utterances.
        user_text, agent_text: what was said; empty where nothing was, or where content is withheld.
        end_reason: ``completed``, ``interrupted``, ``session_closed``, ``failed`` or
            ``no_reply``; None when the turn's end is missing.
        start_ns, end_ns: unix time in nanoseconds.
        stages: the stage spans of the turn, by start.
        unfinished: the trace broke off while the agent spoke: ``agent_text`` is what its voice was given by then, of
            which the user heard a part.
        agent: id of the agent in charge.
        models: ``provider/model`` of the models used.
        reported: latencies in seconds as LiveKit reported them, by the names of its ``MetricsReport``.
        overlaps: whether speech over the agent's was judged and recorded; LiveKit's own spans do not say.
        thresholds: from how many seconds on waits are flagged, by name.

    What is derived from the stages (``latency``, ``silence``, ``usage`` and so on) is computed when it is first read.
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
        """All that is derived of the turn."""
        found = self.derivations().get(self.span_id)
        return found or derive_turn(self.stages, self.span, index=self.index, span_id=self.span_id)

    @property
    def latency(self) -> TurnLatency:
        """The derived latencies, by the names of LiveKit's ``MetricsReport`` and three more; None where one does not
        apply.
        """
        return self.derivation.latency

    @property
    def silence(self) -> Mapping[str, float]:
        """Seconds by stage from the user's silence to the agent's voice, all stages present.

        They sum to ``latency.e2e_latency``; empty where there is none.
        """
        return self.derivation.silence

    @property
    def path(self) -> tuple[Segment, ...]:
        """The critical path: which stage the answer waited for, interval by interval, without gaps."""
        return self.derivation.path

    @property
    def answered(self) -> str | None:
        """``yes``, ``text`` (in writing only) or ``no``; None where the user had said nothing."""
        return self.derivation.answered

    @property
    def why_not(self) -> str:
        """Why the user got no answer: ``failed``, ``interrupted``, ``session_closed`` or ``no_reply``; else empty."""
        return self.derivation.why_not

    @property
    def acknowledged(self) -> bool:
        """Whether the agent said something (a preamble, a filler) before its answer."""
        return self.derivation.acknowledged

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The silences after the agent's first words while it still owed speech; they sum to ``latency.dead_air``."""
        return self.derivation.gaps

    @property
    def flags(self) -> tuple[Flag, ...]:
        """Why the turn deserves a look, by name; empty where it does not."""
        return flags_of(self.derivation, self.thresholds)

    @property
    def usage(self) -> tuple[ModelUsage, ...]:
        """Use of each model in this turn, discarded preemptive generations included."""
        return self.derivation.usage

    @property
    def discarded(self) -> tuple[ModelUsage, ...]:
        """The part of ``usage`` that went to preemptive generations which were thrown away."""
        return self.derivation.discarded

    @property
    def notes(self) -> tuple[str, ...]:
        """Where ``reported`` and ``latency`` differ by more than 5 ms, one line each."""
        return self.derivation.notes

    @property
    def interruptions(self) -> int:
        """How often the agent was interrupted."""
        return self.derivation.interruptions

    @property
    def false_interruptions(self) -> int:
        """How often it stopped for what was no interruption."""
        return self.derivation.false_interruptions

    @property
    def false_cutoff(self) -> bool:
        """Whether the turn was committed while the user only paused: they spoke on, which is no interruption."""
        return self.derivation.false_cutoff

    @property
    def backchannels(self) -> int | None:
        """How often the user only said "mhm"; None where that was not recorded."""
        return self.derivation.backchannels if self.overlaps else None


def build_turns(
    spans: Sequence[SpanRecord],
    history: Sequence[Mapping[str, Any]],
    derivations: Callable[[], Mapping[str, TurnDerivation]] = dict,
    thresholds: Thresholds = DEFAULTS,
    *,
    overlaps: bool = True,
) -> list[Turn]:
    """The turns among ``spans`` (of one session, by start), in order.

    Args:
        spans: the records.
        history: completes texts that were cut.
        derivations: gives what is derived of each turn, by the id of its span; called when that is first read.
        thresholds: from how many seconds on waits are flagged, by name.
        overlaps: whether speech over the agent's was judged and recorded.
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
    """What was transcribed when the turn was over."""
    return " ".join(_values([one for one in stages if one.parent_id != turn.span_id], attr.STT_TEXT))


def _values(spans: Sequence[SpanRecord], name: str) -> list[str]:
    return [str(span.attributes[name]) for span in spans if name in span.attributes]
