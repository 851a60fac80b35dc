"""Ends a session's trace: open stages, the journal's corrections, session.end, and the session span."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from ..containment import contain, contained
from ..journal import Head
from ..provider.export_losses import losses
from . import livekit_api, livekit_job, registry
from .tagger import tagger_attributes, tagger_state

if TYPE_CHECKING:
    from livekit.agents import AgentSession
    from livekit.agents.voice.report import SessionReport

    from .session import SessionState


#: seconds that a close waits for a concurrent one, which never sleeps: only a stopped loop keeps that from ending
_PATIENCE = 5.0
#: nanoseconds that the wall clock may shift unreported: clock synchronisation shifts it by less
_STEP_NS = 50_000_000


async def finish(state: SessionState, session: AgentSession[Any]) -> None:
    """End the session's spans, in slices: after a long call there is much to compare.

    A second close waits until the first is done, because the job may end after it. A close that is cancelled
    completes the rest at once.
    """
    if state.closed:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(state.finished.wait(), _PATIENCE)
        return
    steps = _finishing(state, session, attr.ENDED_CLOSE)
    try:
        for _ in steps:
            await asyncio.sleep(0)
    finally:
        for _ in steps:
            pass


def finish_now(
    state: SessionState, session: AgentSession[Any] | None, by: str, error: BaseException | None = None
) -> None:
    """End them at once, where nothing can be awaited. ``by``: the reason, for ``session.ended_by``."""
    if not state.closed:
        for _ in _finishing(state, session, by, error):
            pass


def finish_open() -> None:
    """End every session of this process that is still open."""
    for state in registry.all_states():
        if not state.closed:
            finish_now(state, state.scope.session, attr.ENDED_PROCESS_EXIT)
            state.over = True


@contain("session.report")
def reported(state: SessionState, report: SessionReport, *, final: bool) -> None:
    """Record the final fields of a report that LiveKit made after the session closed, in a job run by LiveKit.

    ``final``: LiveKit makes no later report. The fields of a running session are recorded when it closes.
    """
    if not state.report_follows:
        return
    scope = state.scope
    state.journal.writer.add(Head(livekit_job.head_of(report), tagger_state(state.job)))
    pieces = scope.spans.pieces(attr.KIND_SESSION_REPORT, 1)
    attributes: dict[str, AttributeValue] = {attr.REPORT_FINAL: final, **state.journal.take(pieces)}
    scope.spans.point(attr.KIND_SESSION_REPORT, scope, scope.now_ns(), attributes)


def _finishing(
    state: SessionState, session: AgentSession[Any] | None, by: str, error: BaseException | None = None
) -> Iterator[None]:
    state.closed = True
    try:
        yield from _steps(state, session)
        with contained("session.end"):
            _end(state, by, error)
    finally:
        state.finished.set()


def _close_stages(state: SessionState) -> None:
    """End the open stages, in the order of their dependencies."""
    scope, to = state.scope, state.trackers
    closing: tuple[Callable[[int], None], ...] = (
        to.playback.close,
        to.interruptions.close,
        to.eou.close,
        to.tools.close,
        to.llm.close,
        to.tts.close,
        to.realtime.close,
        to.nodes.close,
        to.turns.close_all,
        lambda _: to.utterance.server_words.close(),
        to.stt.close,
        to.vad.close,
        lambda at_ns: state.startup.closed(scope, at_ns),
        to.room.close,
        lambda _: to.give_back(),
    )
    now = scope.now_ns()
    for close in closing:
        with contained("session.close"):
            close(now)


def _steps(state: SessionState, session: AgentSession[Any] | None) -> Iterator[None]:
    state.settle()
    state.scope.closing = True
    _close_stages(state)
    if session is not None:
        state.announce(session)
        corrections = state.journal.recorder.corrections(livekit_api.recorded_events(session), session.history)
        while True:
            try:
                next(corrections)
            except StopIteration:
                break
            except Exception as fault:
                with contained("journal.corrections"):
                    raise fault
                break
            if state.journal.writer.full:
                state.journal.checkpoint()
            yield
        with contained("session.head"):
            head = livekit_job.report_head(session, state.job)
            state.journal.writer.add(Head(head, tagger_state(state.job)))


def _end(state: SessionState, by: str, error: BaseException | None) -> None:
    scope = state.scope
    end = scope.now_ns()
    writer = state.journal.writer
    said: dict[str, AttributeValue] = {attr.SESSION_REDACTED: not scope.content}
    if scope.redaction is not None:
        said[attr.SESSION_REDACTED_IN_PART] = True
    if lost := writer.too_large + writer.failed:
        said[attr.SESSION_LOST], said[attr.SESSION_FAILED] = lost, writer.failed
    if abs(step := scope.clock.step_ns) > _STEP_NS:
        said[attr.SESSION_CLOCK_STEP] = step / 1e9
    if dropped := losses.of_trace(scope.span.otel.get_span_context().trace_id):
        said[attr.SESSION_DROPPED] = dropped
    if state.close_reason is not None:
        said[attr.SESSION_CLOSE_REASON] = state.close_reason
    if scope.close_called_ns is not None:
        said[attr.SESSION_CLOSING] = max(0, end - scope.close_called_ns) / 1e9
    said[attr.SESSION_ENDED_BY] = by
    if by != attr.ENDED_PROCESS_EXIT and livekit_job.reports_on(state.job, scope.session):
        said[attr.SESSION_REPORT_FOLLOWS] = state.report_follows = True
    tagged = tagger_attributes(scope, state.job)
    said.update(tagged)
    pieces = scope.spans.pieces(attr.KIND_SESSION_END, len(said) + (2 if scope.redaction is None else 3))
    # if the SDK drops attributes, it drops the first ones: the counts come last
    attributes: dict[str, AttributeValue] = {**state.journal.take(pieces), **said}
    state.journal.stop()
    if scope.redaction is not None and scope.redaction.failed:
        attributes[attr.SESSION_REDACT_FAILED] = scope.redaction.failed
    attributes[attr.JOURNAL_BATCHES] = writer.batches
    attributes[attr.SESSION_SPAN_COUNT] = scope.spans.count + 1
    scope.spans.point(attr.KIND_SESSION_END, scope, end, attributes)
    scope.span.set(tagged)
    if state.close_reason is not None:
        scope.span.set({attr.SESSION_CLOSE_REASON: state.close_reason})
    if error is None and (error := livekit_job.crash(state.job)) is not None:
        scope.span.set({attr.SESSION_ENTRYPOINT_FAILED: True})
    if error is not None or state.close_reason == "error":
        scope.span.fail(error, message=scope.message_of(error), error_type=None if error else "session_error")
    scope.span.end(end)
