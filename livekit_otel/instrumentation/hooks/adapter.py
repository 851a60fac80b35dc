"""Streams of adapters: they are not requests, but their failure fails the turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ...containment import contained
from .. import livekit_api
from ..trackers.requests import RequestTracker, in_adapter
from .wrapping import Args, Kwargs


async def run_adapter(
    wrapped: Callable[..., Awaitable[Any]], args: Args, kwargs: Kwargs, tracker: RequestTracker, model: object
) -> Any:
    """Run the stream of an adapter, which is not a request; its failure fails the turn.

    A fallback adapter fails only after each of its models has failed; a single failure has no effect on the turn.
    """
    turn = token = None
    with contained("adapter.begin"):
        if not in_adapter.get():
            fallback = isinstance(model, livekit_api.fallback_adapters())
            turn = tracker.adapter_tries(again=fallback)
            token = in_adapter.set(True) if fallback else None
    try:
        return await wrapped(*args, **kwargs)
    except Exception as error:
        with contained("adapter.failed"):
            if turn is not None:
                turn.failed(tracker.kind, error)
        raise
    finally:
        if token is not None:
            in_adapter.reset(token)
