"""Damaged OTLP JSON made readable, as far as it is whole."""

from __future__ import annotations

import re

__all__ = ["mend", "salvage"]

_HALF = re.compile(rb"(?<!\\)((?:\\\\)*)\\u(?:[dD][89abAB]..(?!\\u[dD][c-fC-F])|[dD][c-fC-F]..)")
_PAIR = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..")
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
_CLOSERS = {b"{": b"}", b"[": b"]"}
#: The brackets that are open between two spans of a message; a wrapper adds one.
_BETWEEN = b"{[{[{["


def mend(data: bytes) -> bytes:
    """Text with halves of surrogate pairs, which Python's encoder writes and UTF-8 cannot carry, made readable."""
    if b"\\ud" not in data and b"\\uD" not in data:
        return data
    kept: list[bytes] = []
    at = 0
    for pair in _PAIR.finditer(data):
        kept += [_HALF.sub(rb"\1\\ufffd", data[at : pair.start()]), pair[0]]
        at = pair.end()
    return b"".join([*kept, _HALF.sub(rb"\1\\ufffd", data[at:])])


def salvage(data: bytes) -> bytes | None:
    """A message that is cut off, with its whole spans and the brackets closed; None when it holds no whole span."""
    stack: list[bytes] = []
    cut, opened = 0, b""
    for token in _TOKEN.finditer(data):
        mark = token[0][:1]
        if mark in _CLOSERS:
            stack.append(mark)
        elif mark != b'"':
            if not stack:
                return None
            stack.pop()
            # the depth is looked at first: joining the stack at each bracket would be slow
            if mark == b"}" and len(stack) in (6, 7):
                between = b"".join(stack)
                if between in (_BETWEEN, b"{" + _BETWEEN):
                    cut, opened = token.end(), between
    if not cut:
        return None
    return data[:cut] + b"".join(_CLOSERS[opened[at : at + 1]] for at in reversed(range(len(opened))))
