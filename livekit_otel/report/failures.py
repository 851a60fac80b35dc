"""The failures of a call, from its stage spans: place, reason, and whether a retry or fallback answered."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Any

import msgspec

from .. import attributes as attr
from ..dialects import REPORT
from ..spans import SpanRecord, flag, number, text, texts, whole
from .fallbacks import Answered, has_failed, model_of
from .model import SessionReport
from .turns import Turn

__all__ = ["ENTRYPOINT", "REASON_UNKNOWN", "Failure", "failures", "failures_of", "reason_of"]

REASON_UNKNOWN = "reason not recorded"
#: the stage of a failure of the job's entrypoint
ENTRYPOINT = "entrypoint"
_MODELS = frozenset({attr.KIND_LLM, attr.KIND_STT, attr.KIND_TTS, attr.KIND_REALTIME})
#: stages that work on an answer; if a failed turn has none, the user's hook failed
_ANSWERS = frozenset({attr.KIND_LLM, attr.KIND_REALTIME, attr.KIND_TTS, attr.KIND_TOOL})
_ATTEMPTS = {attr.KIND_LLM: attr.LLM_ATTEMPTS, attr.KIND_TTS: attr.TTS_ATTEMPTS}
_RETRIED = {
    attr.KIND_LLM: attr.LLM_RETRIED_FOR,
    attr.KIND_TTS: attr.TTS_RETRIED_FOR,
    attr.KIND_STT: attr.STT_RETRIED_FOR,
}
#: seconds after the end of a stage within which LiveKit emits the error event of its failure
_EVENT_LAG = 0.5
#: limit for damaged traces; real requests have fewer attempts
_MOST_ATTEMPTS = 100


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One failure.

    Attributes:
        at: Unix time in seconds; None if unknown.
        stage: ``llm``, ``stt``, ``tts``, ``realtime``, ``tool``, ``node``, ``eou``, ``hook``,
            ``turn`` (code between stages), ``entrypoint`` (of the job) or LiveKit's name of the stage.
        name: provider and model, the tool, or the node; empty if unknown.
        reason: class of the exception (``error.type``); empty if nothing was raised or it was not recorded.
        status: the provider's status and its own code, such as ``HTTP 429, insufficient_quota``; else empty.
        message: message of the exception; content. Empty if it is withheld.
        told: for a tool, the text that the model received instead of a result; content.
        turn: index of its turn; None outside of turns.
        attempts: total number of attempts.
        retried_for: reasons of the attempts that were retried.
        saved: ``retry`` or ``fallback`` if that produced an answer, else empty.
        by: the model of that fallback.
        span_id: ID of the failed span; empty for an error event of LiveKit that matches no span.
    """

    at: float | None
    stage: str
    name: str = ""
    reason: str = ""
    status: str = ""
    message: str = ""
    told: str = ""
    turn: int | None = None
    attempts: int = 1
    retried_for: tuple[str, ...] = ()
    saved: str = ""
    by: str = ""
    span_id: str = ""

    @property
    def is_retry(self) -> bool:
        """Whether the stage succeeded in a later attempt."""
        return self.saved == "retry"


def reason_of(failure: Failure) -> str:
    """The reason as one phrase: type, status and message, as far as they are known and differ."""
    reason = "" if failure.reason == attr.OTHER else failure.reason
    if failure.is_retry and not reason:
        reason = ", ".join(dict.fromkeys(failure.retried_for))
    head = ", ".join(part for part in (reason, failure.status) if part)
    words = failure.message or (failure.told if failure.stage == attr.KIND_TOOL and not reason else "")
    return ": ".join(part for part in (head, words) if part) or REASON_UNKNOWN


def failures(report: SessionReport) -> list[Failure]:
    """All failures of the call by time, including attempts whose retry succeeded."""
    outputs = _outputs(report)
    found: list[Failure] = []
    inside: set[str] = set()
    for turn in report.turns:
        found += _of_turn(turn, outputs)
        inside.update(span.span_id for span in turn.stages)
    outside = [span for span in report.spans if span.kind in attr.STAGE_KINDS and span.span_id not in inside]
    answered = Answered(outside)
    found += [one for span in outside if (one := _of_span(span, None, outputs, answered)) is not None]
    found += _told(report)
    told = list(_events(report, found))
    found += _attempts(told, report.turns) if report.provenance == REPORT else told
    sessions = [span for span in report.spans if span.kind == attr.KIND_SESSION and has_failed(span)]
    found += [_plain(span, ENTRYPOINT) for span in sessions if flag(span.attributes, attr.SESSION_ENTRYPOINT_FAILED)]
    if not found:
        found += [_plain(span, "session") for span in sessions]
    return sorted(found, key=lambda one: (one.at is None, one.at or 0.0))


def failures_of(turn: Turn) -> list[Failure]:
    """The failures of one turn, without the tool outputs of the chat history."""
    return _of_turn(turn, {})


def _of_turn(turn: Turn, outputs: Mapping[str, str]) -> list[Failure]:
    answered = Answered(turn.stages)
    found = [one for span in turn.stages if (one := _of_span(span, turn.index, outputs, answered)) is not None]
    span = turn.span
    if (
        span is not None
        and has_failed(span)
        and not any(one.stage != attr.KIND_TOOL and not one.saved for one in found)
    ):
        # a hook and code between stages have no spans of their own: their exceptions are on the turn
        asked = any(one.kind in _ANSWERS for one in turn.stages)
        stage = attr.KIND_TURN if asked else attr.SILENCE_HOOK
        found.append(msgspec.structs.replace(_plain(span, stage), turn=turn.index))
    return found


def _of_span(span: SpanRecord, turn: int | None, outputs: Mapping[str, str], answered: Answered) -> Failure | None:
    kind, values = span.kind, span.attributes
    retried = tuple(texts(values, _RETRIED[kind])) if kind in _RETRIED else ()
    attempts = max(whole(values, _ATTEMPTS.get(kind, "")) or 1, len(retried) + 1)
    if not has_failed(span):
        if attempts < 2:
            return None
        retry = Failure(at=span.start_ns / 1e9, stage=kind, name=model_of(span), turn=turn, attempts=attempts)
        return msgspec.structs.replace(retry, retried_for=retried, saved="retry", span_id=span.span_id)
    by = answered.instead_of(span) if kind in _MODELS else None
    told = outputs.get(text(values, attr.TOOL_CALL_ID)) if kind == attr.KIND_TOOL else None
    if told is None and kind == attr.KIND_TOOL and not values.get(attr.ERROR_MESSAGE):
        told = text(values, attr.TOOL_CALL_RESULT)
    return msgspec.structs.replace(
        _plain(span, kind),
        name=_name(span),
        told=told or "",
        turn=turn,
        attempts=attempts,
        retried_for=retried,
        saved="" if by is None else "fallback",
        by=by or "",
    )


def _plain(span: SpanRecord, stage: str) -> Failure:
    values = span.attributes
    code, closed = whole(values, attr.HTTP_STATUS), whole(values, attr.ERROR_CLOSE_CODE)
    status = f"HTTP {code}" if code is not None else "" if closed is None else f"websocket closed with {closed}"
    status = ", ".join(part for part in (status, text(values, attr.ERROR_CODE)) if part)
    return Failure(
        at=span.end_ns / 1e9,
        stage=stage,
        reason=text(values, attr.ERROR_TYPE),
        status=status,
        message=text(values, attr.ERROR_MESSAGE) or span.status_message,
        span_id=span.span_id,
    )


def _name(span: SpanRecord) -> str:
    values = span.attributes
    if span.kind == attr.KIND_TOOL:
        return text(values, attr.TOOL_MADE_UP_NAME) or text(values, attr.TOOL_NAME)
    return text(values, attr.NODE_NAME) if span.kind == attr.KIND_NODE else model_of(span)


def _outputs(report: SessionReport) -> dict[str, str]:
    """The output that the model received for each tool call, by call ID."""
    found = (item for item in report.history if item.get("type") == "function_call_output")
    return {str(item.get("call_id")): str(item.get("output") or "") for item in found}


def _told(report: SessionReport) -> Iterator[Failure]:
    """Failed tools that only the chat history has."""
    known = {text(span.attributes, attr.TOOL_CALL_ID) for span in report.spans if span.kind == attr.KIND_TOOL}
    for item in report.history:
        if (
            item.get("type") == "function_call_output"
            and item.get("is_error")
            and str(item.get("call_id")) not in known
        ):
            at, told = number(item, "created_at"), str(item.get("output") or "")
            yield Failure(at=at, stage=attr.KIND_TOOL, name=str(item.get("name") or ""), told=told)


def _events(report: SessionReport, known: Sequence[Failure]) -> Iterator[Failure]:
    """LiveKit's error events that match no failed span. A failure matches as many events as it had attempts."""
    # an STT records its reconnection with its next transcript, so a retry matches events of any time
    room: dict[str, list[float]] = {}
    for one in known:
        end = inf if one.is_retry else (one.at or 0.0) + _EVENT_LAG
        room.setdefault(one.stage, []).extend([end] * min(one.attempts - one.is_retry, _MOST_ATTEMPTS))
    for ends in room.values():
        ends.sort()
    for event in report.events:
        error, source, when = event.get("error"), event.get("source"), number(event, "created_at")
        if event.get("type") != "error":
            continue
        values: Mapping[str, Any] = error if isinstance(error, dict) else {}
        stage = str(values.get("type") or "error").removesuffix("_error").removesuffix("_model")
        ends = room.get(stage, [])
        place = bisect_left(ends, when or 0.0)
        if place < len(ends):
            ends.pop(place)
            continue
        model = source if isinstance(source, dict) else {}
        name = "/".join(str(model[key]) for key in ("provider", "model") if model.get(key))
        saved = "retry" if values.get("recoverable") else ""
        message = str(values.get("error") or "")
        yield Failure(at=when, stage=stage, name=name or str(values.get("label") or ""), message=message, saved=saved)


def _attempts(events: Sequence[Failure], turns: Sequence[Turn]) -> Iterator[Failure]:
    """Error events of a session without spans: those of one model in one turn are attempts of one request, up to the
    event that says that it failed for good."""
    starts = [turn.start_ns / 1e9 for turn in turns]
    tried: dict[tuple[str, str, int | None], list[Failure]] = {}
    for one in events:
        place = bisect_right(starts, one.at or 0.0) - 1
        turn = turns[place].index if place >= 0 else None
        key = (one.stage, one.name, turn)
        tried.setdefault(key, []).append(msgspec.structs.replace(one, turn=turn))
        if not one.saved:
            attempts = tried.pop(key)
            yield msgspec.structs.replace(attempts[-1], attempts=len(attempts))
    for rest in tried.values():
        yield msgspec.structs.replace(rest[-1], attempts=len(rest) + 1)
