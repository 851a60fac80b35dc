"""Removes credentials from all text that people see: messages, logs, reprs, files."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote, unquote_plus

__all__ = ["Redactor", "is_ambiguous", "secrets_of", "shown", "without_arguments"]

HIDDEN = "…"
_SCHEME = re.compile(r"([^\s:/?#@]*)://")
#: The end of user and password: an at sign, in any notation.
_AT = re.compile(r"@|%(?:25)*40|\uff20|\ufe6b")
_HOST = re.compile(r"\[[0-9A-Fa-f:.%]*\]|[^\s:@\[\]]*")
_CLEAR = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:\d*)?")
_PORT = re.compile(r":\d{0,5}")
#: Parameters whose values are search criteria and never credentials.
_HARMLESS = frozenset({"service", "session", "trace", "since", "until", "limit"})
_PATH = re.compile(r"(?:/(?!/)|\.{1,2}/|~|[A-Za-z]:[\\/])")
_SHORTEST_SECRET = 4
_AUTH_SCHEMES = frozenset({"basic", "bearer", "token", "digest", "apikey"})


def shown(address: str) -> str:
    """A URL or a path in a form that is safe to print.

    All text before the last at sign may be user and password, and is removed; so are fragments, values in place of a
    port that are not a port, and the values of parameters that are not known to be harmless. Local paths are printed
    unchanged.
    """
    scheme = _SCHEME.match(address.lstrip())
    if scheme is None:
        plain = not _AT.search(address) and "=" not in address.partition("?")[2]
        return address if plain or _is_path(address) else _after_credentials(address)
    rest = address.lstrip()[scheme.end() :]
    if scheme[1].lower() == "file" and rest.startswith("/"):
        return address
    return f"{scheme[0]}{_after_credentials(rest)}"


def _is_path(text: str) -> bool:
    try:
        return bool(_PATH.match(text)) or os.path.lexists(text)
    except ValueError:
        return False


def is_ambiguous(url: str) -> bool:
    """Whether user or password contain a character that ends them, so that a part of them would be the host."""
    rest = url.partition("://")[2]
    authority, clear = _authority(rest)
    beyond = any(mark[0] == "@" and mark.start() > len(authority) for mark in _marks(rest))
    return beyond and ("@" in authority or not clear)


def _authority(rest: str) -> tuple[str, bool]:
    """The text before path and query, and whether it ends in a host and a port."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return authority, _CLEAR.fullmatch(_AT.split(authority)[-1]) is not None


def _marks(rest: str) -> list[re.Match[str]]:
    """The at signs that may end credentials."""
    authority, clear = _authority(rest)
    end = len(rest)
    if clear:
        query = rest.find("?")
        if query >= 0 and all(one.partition("=")[0] in _HARMLESS for one in rest[query + 1 :].split("&")):
            end = query
    marks = _AT.finditer(rest, 0, end)
    return [mark for mark in marks if mark[0] == "@" or not clear or mark.start() < len(authority)]


def _after_credentials(rest: str) -> str:
    """``host:port/path?query#fragment`` without the parts that may be secret."""
    hidden = ""
    if marks := _marks(rest):
        last = marks[-1]
        # an ordinary address needs no mark: the user knows that it has credentials
        ordinary = last[0] == "@" and last.start() < len(_authority(rest)[0])
        hidden, rest = ("" if ordinary else HIDDEN + "@"), rest[last.end() :]
    host = _HOST.match(rest)
    name = re.split(r"[/?#;]", host[0] if host else "", maxsplit=1)[0]
    rest = rest[len(name) :]
    if rest.startswith(":"):
        port = _PORT.match(rest)
        end = port.end() if port else 1
        if end < len(rest) and rest[end] not in "/?#;":
            return f"{hidden}{name}:{HIDDEN}"
        name, rest = name + rest[:end], rest[end:]
    rest, fragment, _ = rest.partition("#")
    path, query, parameters = rest.partition("?")
    path, matrix, _ = path.partition(";")
    text = hidden + name + path + (matrix and ";" + HIDDEN)
    if query:
        text += "?" + _query(parameters)
    return text + (fragment and "#" + HIDDEN)


def _query(parameters: str) -> str:
    kept = [one for one in parameters.split("&") if one.partition("=")[0] in _HARMLESS]
    return "&".join(kept if len(kept) == len(parameters.split("&")) else [*kept, HIDDEN])


def without_arguments(text: str, arguments: Iterable[str]) -> str:
    """Text from another program that repeats arguments, with each address among them in its printable form."""
    values = {value for argument in arguments for value in (argument, argument.partition("=")[2]) if value}
    for value in sorted(values, key=len, reverse=True):
        if (visible := shown(value)) != value:
            text = text.replace(value, visible).replace(repr(value)[1:-1], visible)
    return text


def secrets_of(url: str) -> set[str]:
    """The credentials in a URL, both as written and decoded."""
    rest = url.partition("://")[2] or url
    found: set[str] = set()
    if marks := _marks(rest):
        credentials = rest[: marks[-1].start()]
        user, _, password = credentials.partition(":")
        found |= {credentials, user, password}
        found.add(base64.b64encode(unquote(credentials).encode()).decode())
        rest = rest[marks[-1].end() :]
    authority, clear = _authority(rest)
    if not clear:
        # text in place of a port
        found.add(authority.partition(":")[2])
    query = rest.partition("#")[0].partition("?")[2]
    found |= {value for name, value in parse_qsl(query) if name not in _HARMLESS}
    found |= {one.partition("=")[2] for one in query.split("&") if one.partition("=")[0] not in _HARMLESS}
    return found | {decode(one) for one in found for decode in (unquote, unquote_plus)}


class Redactor:
    """Replaces secrets in text with ``***``, because servers and libraries repeat what they receive."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        parts = {part for secret in secrets for part in _parts(secret)}
        found = sorted((part for part in parts if len(part) >= _SHORTEST_SECRET), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, found))) if found else None

    def __call__(self, text: str) -> str:
        return self._pattern.sub("***", text) if self._pattern else text


def _parts(secret: str) -> Iterable[str]:
    yield secret
    words = secret.split()
    for word in words:
        if word.lower() not in _AUTH_SCHEMES:
            yield word
    if len(words) == 2 and words[0].lower() == "basic":
        try:
            decoded = base64.b64decode(words[1], validate=True).decode()
        except (binascii.Error, ValueError):
            return
        yield from (decoded, *decoded.split(":", 1))
