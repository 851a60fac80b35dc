"""Machine-readable properties of an error, but never its message, which may quote people."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from .values import clip

__all__ = ["Retries", "failure_attributes"]

#: maximum depth of causes to search: LiveKit wraps the last attempt's error once, plugins wrap their client's error
_MAX_CAUSES = 5
_MAX_RETRIES = 8
#: close codes of a websocket (RFC 6455); lower codes are HTTP's
_FIRST_CLOSE_CODE = 1000
_LAST_CLOSE_CODE = 4999
_HTTP = range(100, 600)
#: names under which providers send their own code, in an exception or in the body of an answer; the first one counts
_CODES = ("code", "err_code", "error_code", "status", "error", "type")
#: a code is an identifier; anything else may quote what people said
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[_.\-][A-Za-z0-9]+)*")
_LONGEST_CODE = 64


def failure_attributes(error: BaseException | None, *, of_provider: bool = False) -> dict[str, AttributeValue]:
    """Return the status or close code, the provider's own code and request id, and whether a retry is possible.

    They come from the error itself or from its nearest cause that has them: after the last attempt, LiveKit raises an
    error of its own from the provider's. ``of_provider``: the stage is a provider's work. In errors of a user's
    code, such as a tool's, a code may be anything, so it is not read.
    """
    out: dict[str, AttributeValue] = {}
    for one in _causes(error):
        code = _code(one)
        if code in _HTTP:
            out.setdefault(attr.HTTP_STATUS, code)
        elif _FIRST_CLOSE_CODE <= code <= _LAST_CLOSE_CODE:
            out.setdefault(attr.ERROR_CLOSE_CODE, code)
        if of_provider and attr.ERROR_CODE not in out and (own := _own_code(one)) is not None:
            out[attr.ERROR_CODE] = own
        retryable, request_id = getattr(one, "retryable", None), getattr(one, "request_id", None)
        if isinstance(retryable, bool) and (attr.ERROR_RETRYABLE not in out or not retryable):
            # an error that cannot be retried stays so if another error wraps it
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


def _own_code(error: BaseException) -> str | None:
    """Return the code that the provider gave a failure, such as ``insufficient_quota``; never its words."""
    body = getattr(error, "body", None)
    inner = body.get("error") if isinstance(body, Mapping) else None
    for source in (inner, body, error):
        for name in _CODES:
            found = source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)
            if isinstance(found, str) and len(found) <= _LONGEST_CODE and _IDENTIFIER.fullmatch(found):
                return found
    return None


class Retries:
    """The reasons for retries: the error types of the first few, and the codes of those that have one.

    ``types`` and ``codes`` are the names of the attributes.
    """

    def __init__(self, types: str, codes: str) -> None:
        self._names = types, codes
        self._types: list[str] = []
        self._codes: list[int] = []

    def add(self, error: BaseException) -> None:
        if len(self._types) >= _MAX_RETRIES:
            return
        self._types.append(clip(type(error).__qualname__))
        known = failure_attributes(error)
        code = known.get(attr.HTTP_STATUS, known.get(attr.ERROR_CLOSE_CODE))
        if isinstance(code, int):
            self._codes.append(code)

    def take(self) -> dict[str, AttributeValue]:
        """Return the attributes of the errors since the last call; empty if there were none."""
        types, self._types = self._types, []
        codes, self._codes = self._codes, []
        out: dict[str, AttributeValue] = {}
        if types:
            out[self._names[0]] = tuple(types)
        if codes:
            out[self._names[1]] = tuple(codes)
        return out
