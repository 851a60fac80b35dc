"""What an error says that programs can act on: never its message, which may quote people."""

from __future__ import annotations

from collections.abc import Iterator

from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from .values import clip

__all__ = ["Retries", "failure_attributes"]

#: how many causes of an error are looked at: LiveKit wraps the last attempt's error once, plugins wrap their client's
_MAX_CAUSES = 5
_MAX_RETRIES = 8
#: codes with which a websocket closes (RFC 6455); what is below is HTTP
_FIRST_CLOSE_CODE = 1000
_LAST_CLOSE_CODE = 4999
_HTTP = range(100, 600)


def failure_attributes(error: BaseException | None) -> dict[str, AttributeValue]:
    """Status or close code, whether it can be retried, and the provider's request id; without those that are unknown.

    They come from the error itself or from the nearest of its causes that has them: after the last attempt LiveKit
    raises its own error from the provider's.
    """
    out: dict[str, AttributeValue] = {}
    for one in _causes(error):
        code = _code(one)
        if code in _HTTP:
            out.setdefault(attr.HTTP_STATUS, code)
        elif _FIRST_CLOSE_CODE <= code <= _LAST_CLOSE_CODE:
            out.setdefault(attr.ERROR_CLOSE_CODE, code)
        retryable, request_id = getattr(one, "retryable", None), getattr(one, "request_id", None)
        if isinstance(retryable, bool) and (attr.ERROR_RETRYABLE not in out or not retryable):
            # what cannot be retried cannot be, whatever wraps it
            out[attr.ERROR_RETRYABLE] = retryable
        if isinstance(request_id, str) and request_id:
            out.setdefault(attr.ERROR_REQUEST_ID, clip(request_id))
    return out


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(_MAX_CAUSES):
        if error is None:
            return
        yield error
        error = error.__cause__


def _code(error: BaseException) -> int:
    for name in ("status_code", "status", "code"):
        code = getattr(error, name, None)
        if isinstance(code, int) and not isinstance(code, bool):
            return code
    return 0


class Retries:
    """Why attempts were repeated: the error types of the first few."""

    def __init__(self) -> None:
        self._types: list[str] = []

    def add(self, error: BaseException) -> None:
        if len(self._types) < _MAX_RETRIES:
            self._types.append(clip(type(error).__qualname__))

    def take(self, name: str) -> dict[str, AttributeValue]:
        """Attribute ``name`` with what was added since the last call; nothing where nothing was."""
        types, self._types = self._types, []
        return {name: tuple(types)} if types else {}
