"""Damaged OTLP JSON made readable, as far as it is whole."""

from __future__ import annotations

import re

import msgspec

__all__ = ["BOM", "balance", "concatenated", "salvage", "without_lone_surrogates"]

BOM = b"\xef\xbb\xbf"
#: Half of a surrogate pair. Before it there may be no other escape's second character: see ``_BACKSLASH``.
_HALF = re.compile(
    rb"\\u[dD](?:[89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u[dD])[c-fC-F]..)",
)
#: Stands for an escaped backslash while halves are looked for; UTF-8 never has these bytes.
_BACKSLASH = b"\xff\xfe"
#: An escape, a quote or a bracket. Not whole strings: to match one of many megabytes would need gigabytes.
_TOKEN = re.compile(rb'\\.|["{}\[\]]', re.DOTALL)
_BRACKET = re.compile(rb"[{}\[\]]")
#: Deeper than any message.
_DEEPEST = 10_000
_TRAILING = re.compile(r"trailing characters \(byte (\d+)\)")
_CLOSERS = {b"{": b"}", b"[": b"]"}
#: The brackets that are open between two spans of a message; a wrapper adds one.
_BETWEEN = b"{[{[{["


def without_lone_surrogates(data: bytes) -> bytes:
    """Text with halves of surrogate pairs, which Python's encoder writes and UTF-8 cannot carry, made readable."""
    if b"\\ud" not in data and b"\\uD" not in data:
        return data
    if _BACKSLASH in data:
        return data  # no UTF-8, so nothing can read it
    # one replacement by a constant: a line can hold millions of halves
    marked = data.replace(rb"\\", _BACKSLASH)
    return _HALF.sub(rb"\\ufffd", marked).replace(_BACKSLASH, rb"\\")


def salvage(data: bytes) -> bytes | None:
    """A message that is cut off, with its whole spans and the brackets closed; None when it holds no whole span."""
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
            # the depth is looked at first: joining the stack at each bracket would be slow
            if mark == b"}" and len(stack) in (6, 7):
                between = b"".join(stack)
                if between in (_BETWEEN, b"{" + _BETWEEN):
                    cut, opened = token.end(), between
    if not cut:
        return None
    return data[:cut] + b"".join(_CLOSERS[opened[at : at + 1]] for at in reversed(range(len(opened))))


def balance(line: bytes) -> int:
    """How many more brackets a line opens than it closes; strings do not count, and none of them spans lines."""
    if not _BRACKET.search(line):
        return 0
    if b'"' in line:
        line = b"".join(line.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    return line.count(b"{") + line.count(b"[") - line.count(b"}") - line.count(b"]")


def concatenated(data: bytes) -> list[bytes]:
    """The JSON documents of a line on which several follow each other, as where files without a last line end are
    joined. Raises msgspec.DecodeError where one of them is damaged."""
    found: list[bytes] = []
    rest = memoryview(data)
    while rest:
        try:
            _any.decode(rest)
            size = len(rest)
        except msgspec.DecodeError as error:
            trailing = _TRAILING.search(str(error))
            # it counts from 1
            size = int(trailing[1]) - 1 if trailing else 0
            if size <= 0:
                raise
        found.append(bytes(rest[:size]))
        rest = rest[size:]
    return found


_any: msgspec.json.Decoder[msgspec.Raw] = msgspec.json.Decoder(msgspec.Raw)
