"""Makes the readable part of damaged OTLP JSON decodable."""

from __future__ import annotations

import re

import msgspec

__all__ = ["BOM", "balance", "concatenated", "salvage", "without_lone_surrogates"]

BOM = b"\xef\xbb\xbf"
#: Half of a surrogate pair that is not the second character of another escape: see ``_BACKSLASH``.
_HALF = re.compile(
    rb"\\u[dD](?:[89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u[dD])[c-fC-F]..)",
)
#: Replaces an escaped backslash during the search for surrogates; UTF-8 never contains these bytes.
_BACKSLASH = b"\xff\xfe"
#: An escape, a quote or a bracket. Not a whole string: matching a string of many megabytes would need gigabytes.
_TOKEN = re.compile(rb'\\.|["{}\[\]]', re.DOTALL)
_BRACKET = re.compile(rb"[{}\[\]]")
#: Deeper than any valid message.
_DEEPEST = 10_000
_TRAILING = re.compile(r"trailing characters \(byte (\d+)\)")
_CLOSERS = {b"{": b"}", b"[": b"]"}
#: The brackets that are open between two spans of a message; a wrapper adds another.
_BETWEEN = b"{[{[{["


def without_lone_surrogates(data: bytes) -> bytes:
    """Replace lone surrogates, which Python's encoder writes and UTF-8 cannot represent."""
    if b"\\ud" not in data and b"\\uD" not in data:
        return data
    if _BACKSLASH in data:
        return data  # not UTF-8, so nothing can read it
    # a single replacement by a constant: a line can contain millions of surrogates
    marked = data.replace(rb"\\", _BACKSLASH)
    return _HALF.sub(rb"\\ufffd", marked).replace(_BACKSLASH, rb"\\")


def salvage(data: bytes) -> bytes | None:
    """The complete spans of a cut-off message, with the brackets closed; None if it contains no complete span."""
    stack: list[bytes] = []
    cut, opened = 0, b""
    in_string = False
    for token in _TOKEN.finditer(data):
        mark = token[0]
        if mark == b'"':
            in_string = not in_string
        elif in_string or len(mark) == 2:
            continue
        elif mark in _CLOSERS:
            stack.append(mark)
            if len(stack) > _DEEPEST:
                return None
        elif not stack:
            return None
        else:
            stack.pop()
            # check the depth first: joining the stack at each bracket would be slow
            if mark == b"}" and len(stack) in (6, 7):
                between = b"".join(stack)
                if between in (_BETWEEN, b"{" + _BETWEEN):
                    cut, opened = token.end(), between
    if not cut:
        return None
    return data[:cut] + b"".join(_CLOSERS[opened[at : at + 1]] for at in reversed(range(len(opened))))


def balance(line: bytes) -> int:
    """The number of brackets that a line opens minus those that it closes. Ignores strings, which never span lines."""
    if not _BRACKET.search(line):
        return 0
    if b'"' in line:
        line = b"".join(line.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    return line.count(b"{") + line.count(b"[") - line.count(b"}") - line.count(b"]")


def concatenated(data: bytes) -> list[bytes]:
    """The JSON documents of a line that contains several, as happens when files without a final line end are
    concatenated. Raises msgspec.DecodeError if a document is damaged."""
    found: list[bytes] = []
    rest = memoryview(data)
    while rest:
        try:
            _any.decode(rest)
            size = len(rest)
        except msgspec.DecodeError as error:
            trailing = _TRAILING.search(str(error))
            # the byte number in the message counts from 1
            size = int(trailing[1]) - 1 if trailing else 0
            if size <= 0:
                raise
        found.append(bytes(rest[:size]))
        rest = rest[size:]
    return found


_any: msgspec.json.Decoder[msgspec.Raw] = msgspec.json.Decoder(msgspec.Raw)
