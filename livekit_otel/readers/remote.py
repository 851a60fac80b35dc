"""Shared by readers of servers: parsing URLs with query parameters, and restoring attribute types."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from .. import attributes as attr
from ..errors import SourceError
from ..spans import AttributeValue, SpanRecord
from ..transport.address import ENCODE
from ..transport.credentials import is_ambiguous, shown

__all__ = ["Remote", "moment", "parse", "restored", "rfc3339", "with_time"]

_RELATIVE = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d|w)")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_PARAMETERS = ("service", "session", "trace", "since", "until", "limit")
_LIMIT = 100
_MAX_LIMIT = 100_000
_WINDOW = 86_400
#: A search for one session covers a longer period, because its ID does not tell its time.
_SESSION_WINDOW = 7 * 86_400


@dataclass(frozen=True)
class Remote:
    """A source on a server, parsed from its URL.

    Attributes:
        shown: the URL without credentials, for messages.
        base: address of the server, ``http(s)://host:port``.
        path: path segments of the URL.
        user, password: from the URL; empty if absent.
        service, session, trace: search criteria; empty if absent.
        since_ns, until_ns: the period in which a session must have spans, in Unix nanoseconds.
        bounded: whether the URL specifies a period.
        limit: maximum number of traces.
    """

    shown: str
    base: str = field(repr=False)
    path: tuple[str, ...] = field(repr=False)
    user: str = field(repr=False)
    password: str = field(repr=False)
    service: str
    session: str
    trace: str
    since_ns: int
    until_ns: int
    bounded: bool
    limit: int

    def wants(self, record: SpanRecord) -> bool:
        """Whether the record belongs to the requested session, or no session was requested."""
        found = record.attributes
        names = (attr.SESSION_ID, attr.BACKEND_SESSION_ID, attr.CONVERSATION_ID)
        return not self.session or self.session in (found.get(name) for name in names)

    def nothing(self, what: str, hint: str) -> SourceError:
        """The error for a search without a result."""
        if self.trace:
            return SourceError(f"{self.shown}: {what} holds no trace {self.trace} with spans of livekit_otel; {hint}")
        when = f"between {rfc3339(self.since_ns)[:19]}Z and {rfc3339(self.until_ns)[:19]}Z"
        asked = f"session {self.session!r}" if self.session else "session"
        more = "" if self.bounded else ", or look further back, as with since=30d"
        return SourceError(f"{self.shown}: {what} holds no {asked} {when}; {hint}{more}")


def parse(
    source: str, *, host: str, port: int | None, secure: bool, secure_port: int | None = None, limit: int = _LIMIT
) -> Remote:
    """Parse a URL. Its scheme may end in ``+http``, ``+https`` or ``s``.

    ``host``, ``port``, ``secure`` and ``limit`` are defaults. ``host`` may be a complete address with a scheme.
    ``secure_port`` is the default port with TLS, if it is not 443.

    Raises:
        SourceError: the URL is invalid.
    """
    visible = shown(source)
    if is_ambiguous(source):
        raise SourceError(f"{visible}: not an address; {ENCODE}")
    try:
        parts = urlsplit(source)
        named, number = parts.hostname, parts.port
    except ValueError:
        # the error's message can repeat a password
        raise SourceError(f"{visible}: not an address; give one like {source.split(':')[0]}://host:port") from None
    scheme = parts.scheme.lower()
    if scheme.endswith(("+http", "+https")):
        secure = scheme.endswith("+https")
    elif scheme.endswith("s"):
        secure = True
    asked = _parameters(parts.query, visible)
    now = time.time_ns()
    reach = _SESSION_WINDOW if asked.get("session") else _WINDOW
    until = moment(asked["until"], now, visible) if "until" in asked else now + 60_000_000_000
    since = moment(asked["since"], now, visible) if "since" in asked else min(until, now) - reach * 1_000_000_000
    if since >= until:
        raise SourceError(f"{visible}: since is not before until; swap or drop one of them")
    return Remote(
        shown=visible,
        base=_base(named, number or (secure_port if secure else None), host, port, secure),
        path=tuple(unquote(segment) for segment in parts.path.split("/") if segment),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        service=asked.get("service", ""),
        session=asked.get("session", ""),
        trace=_trace(asked.get("trace", ""), visible),
        since_ns=since,
        until_ns=until,
        bounded="since" in asked or "until" in asked,
        limit=_limit(asked["limit"], visible) if "limit" in asked else limit,
    )


def rfc3339(ns: int) -> str:
    """A unix time in nanoseconds as RFC 3339 in UTC, to the nanosecond."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


#: type of a list -> type of its items
_ITEMS: dict[str | None, Callable[[Any], Any]] = {"string[]": str, "double[]": float, "int[]": int}


def restored(attributes: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Attributes with the types that the schema declares. Values that do not fit, and other names, stay unchanged."""
    return {name: _typed(attr.type_of(name), value) for name, value in attributes.items() if value is not None}


def _typed(kind: attr.AttributeType | None, value: Any) -> AttributeValue:
    try:
        if kind == "string" and not isinstance(value, str):
            return msgspec.json.encode(value).decode()
        if kind == "int" and not isinstance(value, int):
            number = float(value) if isinstance(value, str) and not value.lstrip("-").isdigit() else value
            return value if isinstance(number, float) and not number.is_integer() else int(number)
        if kind == "double" and (isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))):
            return float(value)
        if kind == "boolean" and not isinstance(value, bool) and str(value).lower() in ("true", "false", "1", "0"):
            return str(value).lower() in ("true", "1")
        if kind in _ITEMS:
            found = msgspec.json.decode(value) if isinstance(value, str) and value.startswith("[") else value
            several = found if isinstance(found, list | tuple) else [found]
            return [_ITEMS[kind](one) for one in several]
        if isinstance(value, dict):
            return msgspec.json.encode(value).decode()
    except (ValueError, TypeError, OverflowError, RecursionError):
        pass
    return value  # type: ignore[no-any-return]


def _parameters(query: str, visible: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _PARAMETERS:
            what = f"unknown parameter {name!r}" if value else "a parameter without a value"
            raise SourceError(f"{visible}: {what}; there are: {', '.join(_PARAMETERS)}")
        if not value.strip():
            raise SourceError(f"{visible}: parameter {name} is empty; give it a value, or leave it out")
        found[name] = value.strip()
    return found


def _base(named: str | None, number: int | None, host: str, port: int | None, secure: bool) -> str:
    if not named and "://" in host:
        return host.rstrip("/")
    name = named or host
    port = number or (None if named and secure else port)
    name = f"[{name}]" if ":" in name else name
    return f"{'https' if secure else 'http'}://{name}" + (f":{port}" if port else "")


def with_time(source: str, moments: Mapping[str, int]) -> str:
    """The address with times as parameters. ``moments``: Unix nanoseconds by ``since`` and ``until``.

    Raises:
        SourceError: the address already has one of them.
    """
    base, _, query = source.partition("?")
    for name, ns in moments.items():
        if any(one.partition("=")[0] == name for one in query.split("&")):
            raise SourceError(f"{shown(source)}: {name} is given twice, as an option and in the address; drop one")
        query += ("&" if query else "") + f"{name}={rfc3339(ns)}"
    return f"{base}?{query}"


def moment(text: str, now: int, visible: str) -> int:
    """Parse a time, or a duration before ``now``, into Unix nanoseconds.

    Raises:
        SourceError: ``text`` is neither. The message names ``visible`` as the source.
    """
    if relative := _RELATIVE.fullmatch(text):
        return now - round(float(relative[1]) * _UNITS[relative[2]] * 1e9)
    # a plus sign in a query is decoded as a space
    plain = re.sub(r"(T[\d:.]+) (\d\d:?\d\d)$", r"\1+\2", text).replace("Z", "+00:00").replace("z", "+00:00")
    plain = re.sub(r"\.(\d{1,6})\d*", lambda digits: "." + digits[1].ljust(6, "0"), plain)
    try:
        found = datetime.fromisoformat(plain)
    except ValueError:
        raise SourceError(
            f"{visible}: {text!r} is not a time; give one like 2026-01-31T14:00:00Z, or how long ago: 30m, 2h, 3d"
        ) from None
    aware = found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)
    return round(aware.timestamp() * 1e6) * 1_000


def _trace(text: str, visible: str) -> str:
    if text and not re.fullmatch(r"[0-9a-fA-F]{32}", text):
        raise SourceError(f"{visible}: trace {text!r} is not a trace ID; those have 32 hex digits")
    return text.lower()


def _limit(text: str, visible: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= _MAX_LIMIT:
        raise SourceError(f"{visible}: limit {text!r} is not a number of traces from 1 to {_MAX_LIMIT}")
    return int(text)
