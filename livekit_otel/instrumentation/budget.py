"""Chooses a span's attributes if the SDK limits their number, and the ones that survive if the SDK drops some."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from ..journal import Attributes
from ..provider import proxies
from ..provider.limits import NO_LIMITS, Limits

__all__ = ["Budget"]

logger = logging.getLogger("livekit_otel")

#: maximum number of livekit_otel's own attributes on a kind of span, journal pieces not included
_OWN = {attr.KIND_REALTIME: 92, attr.KIND_TURN: 94, attr.KIND_LLM: 72, attr.KIND_TTS: 58, attr.KIND_STT: 58}
_OWN_AT_MOST = 50
#: the SDK drops the attributes that were set first, so these are set last, the most important one at the end
_SURVIVE = (attr.AGENT_NAME, attr.OPERATION_NAME, attr.SPEECH_ID)
_IDS = (attr.USER_ID, attr.CONVERSATION_ID, attr.BACKEND_SESSION_ID, attr.SCHEMA)
_SURVIVE_ALL = (attr.END_REASON, attr.TURN_INDEX, attr.KIND, attr.SESSION_ID)
#: from this limit on, a span has room for the ids besides its main data, for example a piece of the journal
_ROOM_FOR_IDS = 10
_EVERY = frozenset({*_SURVIVE, *_IDS, *_SURVIVE_ALL})
_warned = False


class Budget:
    """The limits of one session's spans. ``identity``: the attributes common to all of them."""

    def __init__(self, identity: Mapping[str, AttributeValue], limits: Limits = NO_LIMITS) -> None:
        self._limit = limits.attributes
        self.value_length = limits.value_length
        self.of(identity)

    def of(self, identity: Mapping[str, AttributeValue]) -> None:
        """Set the attributes common to all spans from here on."""
        self._ids = {name: one for name, one in identity.items() if name in _EVERY}
        self._users = [name for name in identity if name not in _EVERY]

    def identity(self, kind: str, identity: Mapping[str, AttributeValue]) -> Attributes:
        """Return the part of ``identity`` for spans of a kind: users' attributes as far as the limit leaves room."""
        if self._limit is None:
            return dict(identity)
        room = max(0, self._limit - _OWN.get(kind, _OWN_AT_MOST))
        if room < len(self._users):
            self._warn(len(self._users) - room, kind)
        left_out = set(self._users[room:])
        return {name: one for name, one in identity.items() if name not in left_out}

    def pieces(self, taken: int) -> int:
        """Return how many journal pieces fit on a span with ``taken`` other attributes."""
        return (
            attr.MAX_JOURNAL_PIECES
            if self._limit is None
            else max(0, min(attr.MAX_JOURNAL_PIECES, self._limit - taken))
        )

    def pieces_beside(self, span: trace.Span, last: Mapping[str, AttributeValue]) -> int:
        """Return how many journal pieces fit on a live span that also gets ``last``."""
        return (
            attr.MAX_JOURNAL_PIECES if self._limit is None else self.pieces(len(_attributes(span).keys() | last.keys()))
        )

    def known(self, attributes: Mapping[str, AttributeValue]) -> Attributes | None:
        """Return those of a span's first attributes that :meth:`keep` preserves; None without a limit."""
        return None if self._limit is None else {name: one for name, one in attributes.items() if name in _EVERY}

    def keep(self, span: trace.Span, known: Attributes | None, last: Mapping[str, AttributeValue]) -> None:
        """Set the identity and ``last`` again if setting ``last`` on a full span has displaced attributes."""
        if self._limit is None or known is None:
            return
        now = _attributes(span)
        if len(now) < self._limit:
            return
        before, after = (_SURVIVE, _IDS) if self._limit >= _ROOM_FOR_IDS else ((*_SURVIVE, *_IDS), ())
        kept: dict[str, Any] = {name: now.get(name, known.get(name)) for name in before}
        kept.update(last)
        for name in (*after, *_SURVIVE_ALL):
            kept[name] = kept.pop(name, None) or now.get(name, known.get(name))
        span.set_attributes({name: one for name, one in kept.items() if one is not None})

    def _warn(self, count: int, kind: str) -> None:
        global _warned
        if not _warned:
            _warned = True
            logger.warning(
                "livekit_otel: %d of your attributes are missing from spans like %r, because the provider keeps only %d"
                " attributes per span (OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT)",
                count,
                kind,
                self._limit,
            )


def _attributes(span: trace.Span) -> Mapping[str, Any]:
    found = getattr(proxies.innermost_span(span), "attributes", None)
    return found if isinstance(found, Mapping) else {}
