"""Links from the HTML page into the backend that has the trace."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from ..errors import OptionError

__all__ = ["FIELDS", "TraceUrl"]

FIELDS = ("trace_id", "span_id", "session_id")
_FIELD = re.compile(r"\{(\w*)\}")


class TraceUrl:
    """A template for the addresses of spans.

    Args:
        template: an HTTP or HTTPS address with any of ``{trace_id}``, ``{span_id}`` and ``{session_id}``.

    Raises:
        OptionError: the template is invalid. The message says why.
    """

    def __init__(self, template: str) -> None:
        unknown = set(_FIELD.findall(template)).difference(FIELDS)
        allowed = ", ".join(f"{{{name}}}" for name in FIELDS)
        if unknown or "{" in _FIELD.sub("", template) or "}" in _FIELD.sub("", template):
            raise OptionError(f"a trace URL may have {allowed}, and no other braces")
        try:
            parts = urlsplit(template)
        except ValueError as error:
            raise OptionError(f"a trace URL must be an address: {error}") from None
        if parts.scheme not in ("http", "https") or not parts.netloc or "{" in parts.netloc:
            raise OptionError("a trace URL must begin with http:// or https:// and a host")
        self._template = template

    def of(self, **values: str) -> str:
        """The address of a span. Each value is percent-encoded."""
        return _FIELD.sub(lambda field: quote(values.get(field[1], ""), safe=""), self._template)
