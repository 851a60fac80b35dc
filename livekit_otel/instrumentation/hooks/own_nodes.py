"""Wrappers around an overridden ``stt_node``, ``transcription_node`` and ``realtime_audio_output_node``.

LiveKit calls these methods on the agent, so an overridden one is wrapped on the agent itself when the agent is
entered, and given back when the session closes. LiveKit's own nodes are not wrapped. A node's events and texts are
passed on one by one; of its audio frames, only the first is looked at.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeAlias

from ...containment import contained
from .. import livekit_api, registry
from ..trackers.node_run import NodeRun
from ..trackers.own_nodes import SttRun, TextRun
from .node import overrides
from .stt import inside_recognizer
from .wrapping import Args, Kwargs

if TYPE_CHECKING:
    from livekit.agents import Agent, ModelSettings
    from livekit.agents.stt import RecognizeStream, SpeechEvent

    from ..session import SessionState

    #: what a node is given, and what it makes: an iterable, a coroutine that returns one, or None
    Given: TypeAlias = AsyncIterable[Any] | ModelSettings
    Made: TypeAlias = AsyncIterable[Any] | Coroutine[Any, Any, Any] | None

_MAX_AGENTS = 64
#: the ``stt_node`` that runs in this context
_stt_run: ContextVar[SttRun | None] = ContextVar("livekit_otel_stt_node", default=None)


def watch(agent: Agent, state: SessionState) -> None:
    """Wrap the agent's overridden nodes, once."""
    for name, wrapper in _WRAPPERS.items():
        method = getattr(agent, name)
        if not overrides(method, name) or isinstance(vars(agent).get(name), _Wrapped):
            continue
        wrapped = _Wrapped(method, wrapper, set_by_user=name in vars(agent))
        setattr(agent, name, wrapped)
        state.trackers.on_close.append(wrapped.giving_back(weakref.ref(agent), name))
        del state.trackers.on_close[:-_MAX_AGENTS]


class _Wrapped:
    """One wrapped method of one agent."""

    def __init__(self, method: Callable[..., Any], wrapper: Callable[..., Any], *, set_by_user: bool) -> None:
        wraps(method)(self)
        self.method = method
        self._wrapper = wrapper
        self.set_by_user = set_by_user

    def __call__(self, *args: Given, **kwargs: Given) -> Made:
        state = None
        with contained("node.session"):
            state = registry.current()
        made: Made = self.method(*args, **kwargs) if state is None else self._wrapper(self.method, state, args, kwargs)
        return made

    def giving_back(self, reference: weakref.ref[Agent], name: str) -> Callable[[], None]:
        """Return a function that undoes the wrapping, unless somebody has replaced the method since."""
        own: weakref.ref[_Wrapped] = weakref.ref(self)

        def give_back() -> None:
            agent, wrapped = reference(), own()
            current: object = vars(agent).get(name) if agent is not None else None
            if agent is None or wrapped is None or current is not wrapped:
                return
            if wrapped.set_by_user:
                setattr(agent, name, wrapped.method)
            else:
                delattr(agent, name)

        return give_back


def _stt_node(node: Callable[..., Any], state: SessionState, args: Args, kwargs: Kwargs) -> Any:
    """LiveKit calls the node in a task that runs nothing else: the context of that task is the node's."""
    run = None
    with contained("node.stt"):
        run = state.trackers.own_nodes.stt_run()
        state.trackers.stt.heard.node = run
        _stt_run.set(run)
    made = node(*args, **kwargs)
    return _passed(made, lambda output: _events(output, run)) if run is not None else made


async def _events(events: AsyncIterable[SpeechEvent], run: SttRun) -> AsyncIterator[SpeechEvent]:
    try:
        async for event in events:
            with contained("node.stt_gives"):
                if (text := _final_text(event)) is not None:
                    run.gives(event, text)
            yield event
    except Exception as error:
        with contained("node.stt_raised"):
            run.raised(error)
        raise


def next_event(wrapped: Callable[..., Awaitable[Any]], _: RecognizeStream, args: Args, kwargs: Kwargs) -> Any:
    """``RecognizeStream.__anext__``: an overridden ``stt_node`` asks its recognizer for an event."""
    run = _stt_run.get()
    return wrapped(*args, **kwargs) if run is None or inside_recognizer() else _asked(wrapped, run)


async def _asked(wrapped: Callable[..., Awaitable[Any]], run: SttRun) -> Any:
    with contained("node.stt_asks"):
        run.asks()
    try:
        event = await wrapped()
    except Exception as error:
        run.inner = error
        raise
    with contained("node.stt_got"):
        run.got(_final_text(event))
    return event


def _final_text(event: SpeechEvent) -> str | None:
    if event.type != "final_transcript":
        return None
    return event.alternatives[0].text if event.alternatives else ""


def _transcription_node(node: Callable[..., Any], state: SessionState, args: Args, kwargs: Kwargs) -> Any:
    run = None
    with contained("node.transcription"):
        handle = livekit_api.speech_handle()
        turn = state.trackers.turns.working(handle) if handle is not None else None
        own = state.trackers.own_nodes
        run = TextRun(own, handle, turn, own.now_ns())
    made = node(*args, **kwargs)
    if run is None:
        return made
    text, awaited = run, asyncio.iscoroutine(made)

    def output(texts: AsyncIterable[str]) -> AsyncIterator[str]:
        if awaited:
            text.returned()
        return _texts(texts, text)

    return _passed(made, output)


async def _texts(texts: AsyncIterable[str], run: TextRun) -> AsyncIterator[str]:
    since = run.now_ns()
    try:
        async for text in texts:
            with contained("node.text"):
                run.worked(since)
            yield text
            since = run.now_ns()
        with contained("node.text_over"):
            run.worked(since)
            run.over()
    except Exception as error:
        with contained("node.text_raised"):
            run.raised(error)
        raise
    finally:
        close = getattr(texts, "aclose", None)
        if close is not None:
            await close()


def _audio_node(node: Callable[..., Any], state: SessionState, args: Args, kwargs: Kwargs) -> Any:
    run = None
    with contained("node.audio"):
        handle = livekit_api.speech_handle()
        if handle is not None and args:
            run = begun = state.trackers.nodes.begin("realtime_audio_output_node", handle)
            args = (_input(args[0], begun), *args[1:])
    made = node(*args, **kwargs)
    return _passed(made, lambda frames: _Frames(frames, None, lambda: _given(run))) if run is not None else made


def _input(frames: AsyncIterable[Any], run: NodeRun) -> _Frames:
    return _Frames(frames, lambda: run.waits(run.now_ns()), lambda: run.got_text(run.now_ns()))


def _given(run: NodeRun) -> None:
    now = run.now_ns()
    run.gave(now)
    run.done(now, None)


class _Frames:
    """The same frames; ``first`` is called with the first of them, ``asked`` before it. Later frames pass unseen."""

    def __init__(self, frames: AsyncIterable[Any], asked: Callable[[], None] | None, first: Callable[[], None]) -> None:
        self._frames = aiter(frames)
        self._asked, self._first = asked, first
        self._next: Callable[[], Awaitable[Any]] = self._first_frame

    def __aiter__(self) -> _Frames:
        return self

    def __anext__(self) -> Awaitable[Any]:
        return self._next()

    async def _first_frame(self) -> Any:
        with contained("node.audio_asked"):
            if self._asked is not None:
                self._asked()
        frame = await anext(self._frames)
        self._next = self._frames.__anext__
        with contained("node.audio_first"):
            self._first()
        return frame

    async def aclose(self) -> None:
        close = getattr(self._frames, "aclose", None)
        if close is not None:
            await close()


def _passed(made: Made, output: Callable[[AsyncIterable[Any]], Made]) -> Made:
    """Return what the node made, its output passed on by ``output``; a coroutine stays one."""
    return _later(made, output) if asyncio.iscoroutine(made) else _output(made, output)


async def _later(made: Awaitable[Made], output: Callable[[AsyncIterable[Any]], Made]) -> Made:
    return _output(await made, output)


def _output(made: Made, output: Callable[[AsyncIterable[Any]], Made]) -> Made:
    with contained("node.passed"):
        if isinstance(made, AsyncIterable):
            return output(made)
    return made


_WRAPPERS: dict[str, Callable[..., Any]] = {
    "stt_node": _stt_node,
    "transcription_node": _transcription_node,
    "realtime_audio_output_node": _audio_node,
}
