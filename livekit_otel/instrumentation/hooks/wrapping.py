"""Common code of the wrappers: the arguments that wrapt passes, and the code around a wrapped call."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from ...containment import contained

if TYPE_CHECKING:
    from ..trackers.requests import Request

__all__ = ["Args", "Kwargs", "ReportingStream", "failed_attempt", "recovered_from", "run"]

Args: TypeAlias = tuple[Any, ...]
Kwargs: TypeAlias = dict[str, Any]
S = TypeVar("S")


async def run(
    wrapped: Callable[..., Awaitable[Any]],
    args: Args,
    kwargs: Kwargs,
    fault: str,
    finish: Callable[[Any, BaseException | None], None],
) -> Any:
    """Await the wrapped call, then pass its result and error to ``finish``; faults of ``finish`` are contained."""
    result: Any = None
    error: BaseException | None = None
    try:
        result = await wrapped(*args, **kwargs)
        return result
    except BaseException as raised:
        error = raised
        raise
    finally:
        with contained(fault):
            finish(result, error)


class ReportingStream(Generic[S]):
    """The stream whose metrics task is the current task: metrics that the session emits there are this stream's."""

    def __init__(self, name: str) -> None:
        self._stream: ContextVar[weakref.ref[S] | None] = ContextVar(name, default=None)

    def set(self, stream: S) -> None:
        self._stream.set(weakref.ref(stream))

    def get(self) -> S | None:
        reference = self._stream.get()
        return reference() if reference is not None else None


def failed_attempt(request: Request | None, args: Args, kwargs: Kwargs) -> None:
    """Count an attempt that failed in ``_emit_error(error, recoverable)``, if LiveKit tries again."""
    error = recovered_from(args, kwargs)
    if request is not None and error is not None:
        request.attempts += 1
        request.retries.add(error)


def recovered_from(args: Args, kwargs: Kwargs) -> Exception | None:
    """Return the error of ``_emit_error(api_error, recoverable)``, or None if LiveKit does not try again."""
    recoverable = kwargs.get("recoverable", args[1] if len(args) > 1 else False)
    error: Exception = args[0] if args else kwargs["api_error"]
    return error if recoverable else None
