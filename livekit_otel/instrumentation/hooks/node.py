"""Wrappers around the functions that run an agent's nodes, ``on_enter`` and ``on_exit``.

A node's output is not touched: LiveKit runs the node in a task of its own and puts the output into a channel. The
task shows when the node began and ended, the channel when its first output came. There is no work per audio frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine
from contextvars import Token
from functools import cache
from typing import TYPE_CHECKING, Any

from ...containment import contain, contained
from .. import livekit_api, registry
from ..trackers.node_run import NodeRun, current_node
from .wrapping import Args, Kwargs
from .wrapping import run as run_wrapped

if TYPE_CHECKING:
    from livekit.agents import ModelSettings
    from livekit.agents.llm import LLMStream
    from livekit.agents.tts import ChunkedStream, SynthesizeStream
    from livekit.agents.utils.aio import Chan
    from livekit.agents.voice.agent_activity import AgentActivity

#: LiveKit's names of the tasks that run these methods
_HOOKS = {"AgentTask_on_enter": "on_enter", "AgentTask_on_exit": "on_exit"}


def perform_llm_inference(wrapped: Callable[..., Any], _: None, args: Args, kwargs: Kwargs) -> Any:
    """``perform_llm_inference(node=…, …)``: returns the task that runs the node, and the channels of its output."""
    run = _begin("llm_node", kwargs)
    made = _within(run, wrapped, args, kwargs)
    with contained("node.watch"):
        if run is not None:
            task, data = made
            _watch(run, task, data.text_ch, data.function_ch)
    return made


def perform_tts_inference(wrapped: Callable[..., Any], _: None, args: Args, kwargs: Kwargs) -> Any:
    """``perform_tts_inference(node=…, …)``: likewise, with the channel of its audio."""
    run = _begin("tts_node", kwargs)
    with contained("node.wrote"):
        if (state := registry.current()) is not None and (handle := livekit_api.speech_handle()) is not None:
            state.trackers.nodes.wrote(handle)
    with contained("node.reading"):
        if run is not None:
            kwargs = {**kwargs, "node": _reading(kwargs["node"], run)}
    made = _within(run, wrapped, args, kwargs)
    with contained("node.watch"):
        if run is not None:
            task, data = made
            _watch(run, task, data.audio_ch)
    return made


def create_speech_task(wrapped: Callable[..., Any], activity: AgentActivity, args: Args, kwargs: Kwargs) -> Any:
    """``AgentActivity._create_speech_task(coro, name=…)``: the task of ``on_enter`` or ``on_exit``, among others."""
    name = _HOOKS.get(kwargs.get("name", ""))
    if name is None:
        return wrapped(*args, **kwargs)
    run = None
    with contained("node.hook"):
        state = registry.traced(activity.session)
        overridden = overrides(getattr(activity.agent, name), name)
        if state is not None and not state.closed and overridden:
            run = state.trackers.nodes.begin(name, None, activity.agent)
            args = (_hook(args[0], run), *args[1:])
    return _within(run, wrapped, args, kwargs)


@cache
def _default(name: str) -> object:
    """Return ``Agent``'s own attribute of this name."""
    from livekit.agents import Agent

    return vars(Agent).get(name)


def overrides(method: Callable[..., object], name: str) -> bool:
    """Whether a bound method of an agent overrides ``Agent``'s own."""
    return getattr(method, "__func__", method) is not _default(name)


@contain("node.begin")
def _begin(name: str, kwargs: Kwargs) -> NodeRun | None:
    if not overrides(kwargs["node"], name):
        return None
    state = registry.current()
    handle = livekit_api.speech_handle()
    return state.trackers.nodes.begin(name, handle) if state is not None and handle is not None else None


def _within(run: NodeRun | None, wrapped: Callable[..., Any], args: Args, kwargs: Kwargs) -> Any:
    """Call ``wrapped``; the tasks that it creates belong to the run."""
    token: Token[NodeRun | None] | None = current_node.set(run) if run is not None else None
    try:
        return wrapped(*args, **kwargs)
    finally:
        if token is not None:
            current_node.reset(token)


def _watch(run: NodeRun, task: asyncio.Task[Any], *outputs: Chan[Any]) -> None:
    for channel in outputs:
        livekit_api.on_first_sent(channel, "node.output", lambda: run.gave(run.now_ns()))

    @contain("node.done")
    def done(task: asyncio.Task[Any]) -> None:
        run.done(run.now_ns(), asyncio.CancelledError() if task.cancelled() else task.exception())

    task.add_done_callback(done)


def _reading(node: Callable[..., Any], run: NodeRun) -> Callable[..., Any]:
    """Return the node, called with the same text; the run records when the node waits for more of it."""

    def call(text: AsyncIterable[str], *more: ModelSettings, **named: ModelSettings) -> Any:
        return node(_texts(text, run), *more, **named)

    return call


async def _texts(source: AsyncIterable[str], run: NodeRun) -> AsyncIterator[str]:
    with contained("node.text"):
        run.waits(run.now_ns())
    async for text in source:
        with contained("node.text"):
            run.got_text(run.now_ns())
        yield text
        with contained("node.text"):
            run.waits(run.now_ns())
    with contained("node.text"):
        run.got_text(run.now_ns())


async def _hook(hook: Coroutine[Any, Any, Any], run: NodeRun) -> Any:
    return await run_wrapped(lambda: hook, (), {}, "node.done", lambda _, error: run.done(run.now_ns(), error))


async def inside(
    kind: str,
    request: Callable[..., Awaitable[Any]],
    wrapped: Callable[..., Awaitable[Any]],
    stream: LLMStream | ChunkedStream | SynthesizeStream,
    args: Args,
    kwargs: Kwargs,
) -> Any:
    """Run a request or the stream of an adapter; its time does not count as own work of the node around it."""
    run = _request_begins(kind)
    if run is None:
        return await request(wrapped, stream, args, kwargs)
    arguments = (wrapped, stream, args, kwargs)
    return await run_wrapped(
        request, arguments, {}, "node.request_over", lambda _, error: run.request_over(run.now_ns(), error)
    )


@contain("node.request")
def _request_begins(kind: str) -> NodeRun | None:
    run = current_node.get()
    if run is None or not run.runs_for(kind, livekit_api.speech_handle()):
        return None
    run.request_begins(run.now_ns())
    return run
