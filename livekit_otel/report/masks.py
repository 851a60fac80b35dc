"""Sessions whose IDs were masked or removed before storage: distinguished by trace and session span."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from .. import attributes as attr
from ..spans import SpanRecord, found_above

__all__ = ["MaskedSpans", "is_mask", "masks_of", "own_session", "unmasked", "warnings_of"]

_WORD = r"(?:scrubbed|redacted|masked|filtered|removed|hidden|censored|sanitized|obfuscated)"
_MASK = re.compile(
    rf"\s*(?:\[\s*{_WORD}\b[^\]]*\]|<\s*{_WORD}\b[^>]*>|\{{+\s*{_WORD}\b[^}}]*\}}+|\(\s*{_WORD}\b[^)]*\)"
    rf"|[*_#-]*\s*{_WORD}\s*[*_#-]*|\*{{2,}}|x{{4,}}|•{{2,}}|#{{3,}})\s*",
    re.IGNORECASE,
)
_LONGEST = 500
_KINDS = frozenset(attr.SPAN_KINDS)
_IDENTITY = (attr.SESSION_ID, attr.BACKEND_SESSION_ID, attr.CONVERSATION_ID, attr.KIND)


def is_mask(value: object) -> bool:
    """Whether a value is the mask of a redaction rule: ``[Scrubbed due to 'session']``, ``****``, ``<redacted>``."""
    # masks are short; on a long text of blanks, the pattern takes quadratic time
    return isinstance(value, str) and len(value) <= _LONGEST and _MASK.fullmatch(value) is not None


def own_session(span: SpanRecord) -> str | None:
    """The session ID of one of our spans: empty if it was masked or removed; None for other spans."""
    attributes = span.attributes
    session_id = attributes.get(attr.SESSION_ID)
    if session_id is not None:
        return session_id if session_id and isinstance(session_id, str) and not is_mask(session_id) else ""
    return "" if span.scope == attr.SCOPE and (attr.KIND in attributes or attr.SCHEMA in attributes) else None


def masks_of(attributes: Mapping[str, object]) -> dict[str, str]:
    """The masks of a span's identity, by attribute name."""
    return {name: str(attributes[name]) for name in _IDENTITY if is_mask(attributes.get(name))}


def warnings_of(masks: Mapping[str, Iterable[str]], *, no_id: bool) -> list[str]:
    """Warnings about masked attributes. ``masks``: attribute names by mask. ``no_id``: no span has a session ID."""
    found = [
        f"{', '.join(sorted(names))} {'was' if len(set(names)) == 1 else 'were'} masked by {_who(mask)}: "
        "docs/redaction.md says how to keep reports whole"
        for mask, names in sorted(masks.items())
    ]
    if no_id and not any(attr.SESSION_ID in names for names in masks.values()):
        found.append(f"{attr.SESSION_ID} was removed from the spans: sessions are told apart by trace and session span")
    return found


def _who(mask: str) -> str:
    if mask.startswith("[Scrubbed due to"):
        return f"Logfire's scrubbing ({mask})"
    if mask == "[Filtered]":
        return "Sentry's scrubbing ([Filtered])"
    if mask == "****":
        return "the collector's redaction processor (****)"
    return f"a redaction rule ({mask})"


def unmasked(span: SpanRecord) -> SpanRecord:
    """The span, with its kind restored from its name if the kind was masked: our spans are named by their kind."""
    if span.name in _KINDS and is_mask(span.attributes.get(attr.KIND)):
        return msgspec.structs.replace(span, attributes={**span.attributes, attr.KIND: span.name})
    return span


class MaskedSpans:
    """Our spans without a session ID, kept until all spans are read."""

    def __init__(self) -> None:
        self._traces: dict[str, dict[str, SpanRecord]] = {}

    def add(self, span: SpanRecord) -> None:
        """Add a span, unless it is a duplicate."""
        self._traces.setdefault(span.trace_id, {}).setdefault(span.span_id, span)

    def sessions(self, known: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, str, list[SpanRecord]]]:
        """Session IDs with their traces and spans. ``known``: session IDs found in each trace.

        In a trace with one known session, the spans belong to that session. Otherwise each session span of the trace
        gets the spans below it, and its ID is the trace ID (with the span ID, if there are several).
        """
        while self._traces:
            trace_id, spans = self._traces.popitem()
            ids = list(known.get(trace_id, ()))
            if len(ids) == 1:
                yield ids[0], trace_id, list(spans.values())
                continue
            groups = _by_session_span(spans)
            for span_id, group in groups.items():
                yield trace_id if len(groups) == 1 else f"{trace_id}-{span_id}", trace_id, group


def _by_session_span(spans: dict[str, SpanRecord]) -> dict[str, list[SpanRecord]]:
    """The spans by the session span above them. Spans below none go to the session that started before them."""
    roots = sorted((span for span in spans.values() if span.name == attr.KIND_SESSION), key=lambda span: span.start_ns)
    parents = {root.span_id for root in roots}
    if not parents:
        # a killed session: its span was never exported, but its children have its ID
        parents = {s.parent_id for s in spans.values() if s.parent_id and s.name == attr.KIND_SESSION_START}
    if len(parents) <= 1:
        return {next(iter(parents), ""): list(spans.values())}
    groups: dict[str, list[SpanRecord]] = {parent: [] for parent in parents}
    starts = sorted(_starts(spans, parents))
    above = {parent: parent for parent in parents}
    for span in spans.values():
        own = found_above(span.span_id, spans, above)
        if own not in groups:
            began = bisect_right(starts, span.start_ns, key=lambda one: one[0])
            own = starts[max(began - 1, 0)][1]
        groups[own].append(span)
    return groups


def _starts(spans: Mapping[str, SpanRecord], parents: Collection[str]) -> Iterator[tuple[int, str]]:
    """For each parent, the earliest start of the parent and its children, with the parent's ID."""
    starts: dict[str, int] = {}
    for span in spans.values():
        for parent in {span.span_id, span.parent_id or ""}.intersection(parents):
            starts[parent] = min(starts.get(parent, span.start_ns), span.start_ns)
    return ((start, parent) for parent, start in starts.items())
