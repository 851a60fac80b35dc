"""What must be true of every call of the tier. Each check returns what is wrong, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from livekit_otel import SpanRecord, Turn
from livekit_otel import attributes as attr

from ..kit.run import as_json, assert_same_report
from ..kit.turn_checker import check_reports, check_turns
from .caller import Setup
from .outcome import Outcome

_STAGES_WITH_MODEL = (attr.KIND_STT, attr.KIND_LLM, attr.KIND_TTS)


def turns_hold(outcome: Outcome, setup: Setup) -> Iterator[str]:
    """The checker of turns: stages inside, no overlap, words once, counted from 0."""
    try:
        check_turns(outcome.spans)
        check_reports(outcome.spans, [outcome.theirs])
    except AssertionError as error:
        yield str(error)


def report_is_livekits(outcome: Outcome, setup: Setup) -> Iterator[str]:
    """The rebuilt report and its usage are LiveKit's own."""
    try:
        assert_same_report(outcome.report.to_dict(), as_json(outcome.theirs))
    except AssertionError as error:
        yield f"report: {error}"[:400]
    theirs = [_rounded(one) for one in outcome.usage]
    if [_rounded(one) for one in outcome.report.usage] != theirs:
        yield f"usage: {outcome.report.usage} is not {theirs}"
    derived = [_rounded(one.to_dict()) for one in outcome.report.derivation.usage]
    if derived != theirs:
        yield f"usage of the stages: {derived} is not {theirs}"
    if not outcome.report.complete:
        yield f"incomplete: {outcome.report.warnings}"


def _rounded(usage: dict[str, object]) -> dict[str, object]:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in usage.items() if value}


def waits_are_true(outcome: Outcome, setup: Setup) -> Iterator[str]:
    """``e2e_latency``: from the stop that VAD (or the recognizer) reports to the output's first frame."""
    truths = [one for one in outcome.waits(by_stt=not setup.has_vad) if one.answered is not None]
    derived = [turn for turn in outcome.report.turns if turn.latency.e2e_latency is not None]
    if len(truths) != len(derived):
        yield f"{len(derived)} turns with an e2e latency, {len(truths)} waits"
    for truth in truths:
        answered = truth.answered or 0.0
        turn = min(derived, key=lambda one: abs(_heard_at(one) - answered), default=None)
        if turn is None or turn.latency.e2e_latency is None:
            continue
        right, exact = answered - truth.stopped, max(outcome.exact(answered), outcome.exact(truth.stopped))
        for name in ("e2e_latency", "answer_latency"):
            found = getattr(turn.latency, name)
            if name == "answer_latency" and turn.acknowledged:
                continue
            if found is None or abs(found - right) > exact:
                yield f"turn {turn.index}: {name} {found} is not {right:.3f}"
        sums = sum(turn.silence.values())
        if abs(sums - turn.latency.e2e_latency) > 1e-6:
            yield f"turn {turn.index}: stages sum to {sums}, not {turn.latency.e2e_latency}"


def _heard_at(turn: Turn) -> float:
    return (turn.latency.stopped_speaking_at or 0.0) + (turn.latency.e2e_latency or 0.0)


def first_tokens_are_true(outcome: Outcome, setup: Setup) -> Iterator[str]:
    """A request's first token is the server's."""
    for span in outcome.of_kind(attr.KIND_LLM):
        offset = span.attributes.get(attr.TIME_TO_FIRST_CHUNK)
        sent = outcome.times("llm first token", id=span.attributes.get(attr.RESPONSE_ID))
        if sent and offset is None:
            yield f"llm at {span.start_ns}: no first token"
        elif sent and abs(_at(span, offset) - sent[0]) > outcome.exact(sent[0]):
            yield f"llm: first token {_at(span, offset) - sent[0]:+.3f} s from the server's"


def first_bytes_are_true(outcome: Outcome, setup: Setup) -> Iterator[str]:
    """A synthesis that gave audio says when, also where it was cut off or failed; the moment is the server's."""
    sent = outcome.times("tts first byte")
    for span in outcome.of_kind(attr.KIND_TTS):
        offset = span.attributes.get(attr.TTS_FIRST_BYTE)
        begin, end = span.start_ns / 1e9, span.end_ns / 1e9
        inside = [at for at in sent if begin <= at <= end]
        if offset is None and inside and span.attributes.get(attr.OUTCOME) != attr.OUTCOME_ERROR:
            yield f"tts at {begin}: no first byte"
        elif offset is not None and not _near(_at(span, offset), sent, outcome):
            yield f"tts at {begin}: first byte {_at(span, offset)} is nobody's"


def _at(span: SpanRecord, offset: object) -> float:
    return span.start_ns / 1e9 + float(offset)  # type: ignore[arg-type]


def _near(at: float, truths: Sequence[float], outcome: Outcome) -> bool:
    """Whether a moment is one of these."""
    return min((abs(at - one) for one in truths), default=float("inf")) <= outcome.exact(at)


def stages_name_their_model(outcome: Outcome, setup: Setup) -> Iterator[str]:
    """Each request, recognition and synthesis says which model of which provider it was."""
    for kind in _STAGES_WITH_MODEL:
        for span in outcome.of_kind(kind):
            if attr.REQUEST_MODEL not in span.attributes or attr.PROVIDER_NAME not in span.attributes:
                yield f"{kind} at {span.start_ns}: no model"


def speech_is_as_long_as_vad_hears_it(outcome: Outcome, setup: Setup) -> Iterator[str]:
    """A ``vad`` span begins and ends where VAD heard speech begin and end."""
    if not setup.has_vad:
        return
    starts, stops = outcome.times("vad start"), outcome.times("vad stop")
    for span in outcome.of_kind(attr.KIND_VAD):
        if not span.attributes.get(attr.VAD_SPEECH, True):
            continue
        begin, end = span.start_ns / 1e9, span.end_ns / 1e9
        if not _near(begin, starts, outcome):
            yield f"vad at {begin}: VAD heard nobody begin"
        if not _near(end, stops, outcome):
            yield f"vad at {begin}: ends {end - begin:.3f} s later, VAD heard {[f'{at - begin:.3f}' for at in stops]}"


def the_script_ran(outcome: Outcome, setup: Setup) -> Iterator[str]:
    """Nobody waited in vain."""
    for one in outcome.log:
        if one["what"] == "gave up":
            yield f"gave up waiting for {one['state']!r}"


CHECKS: tuple[Callable[[Outcome, Setup], Iterator[str]], ...] = (
    the_script_ran,
    turns_hold,
    report_is_livekits,
    waits_are_true,
    first_tokens_are_true,
    first_bytes_are_true,
    stages_name_their_model,
    speech_is_as_long_as_vad_hears_it,
)


def faults_of(outcome: Outcome, setup: Setup) -> list[str]:
    """Everything that is wrong with a call."""
    return [f"{check.__name__}: {fault}" for check in CHECKS for fault in check(outcome, setup)]
