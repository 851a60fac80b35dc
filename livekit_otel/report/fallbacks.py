"""Finds the model that answered instead of a failed model."""

from __future__ import annotations

from collections.abc import Iterable

from .. import attributes as attr
from ..spans import SpanRecord, text

__all__ = ["Answered", "has_failed", "model_of"]


def has_failed(span: SpanRecord) -> bool:
    """Whether a stage, a turn or a session raised an exception."""
    return span.attributes.get(attr.OUTCOME) == attr.OUTCOME_ERROR or (
        span.status == "error" and attr.OUTCOME not in span.attributes
    )


def model_of(span: SpanRecord) -> str:
    """Provider and model; empty if the span has neither."""
    parts = (text(span.attributes, attr.PROVIDER_NAME), text(span.attributes, attr.REQUEST_MODEL))
    return "/".join(part for part in parts if part)


class Answered:
    """The successful stages among some: for each kind and model, the last start and end of its requests."""

    def __init__(self, stages: Iterable[SpanRecord]) -> None:
        found: dict[tuple[str, bool], dict[str, tuple[int, int]]] = {}
        for span in stages:
            if not has_failed(span) and span.attributes.get(attr.OUTCOME) != attr.OUTCOME_DISCARDED:
                models = found.setdefault(_kind(span), {})
                start, end = models.get(model := model_of(span), (0, 0))
                models[model] = max(start, span.start_ns), max(end, span.end_ns)
        # the two that ended last are enough: one of them is not the failed model
        self._last = {
            kind: sorted(((end, start, model) for model, (start, end) in models.items()), reverse=True)[:2]
            for kind, models in found.items()
        }

    def instead_of(self, failed: SpanRecord) -> str | None:
        """The model that did the same work: another model that did not end before, or a later request. Else None."""
        own = model_of(failed)
        for end, start, model in self._last.get(_kind(failed), ()):
            # a fallback adapter keeps trying the failed model while another model answers
            if (model != own and end >= failed.start_ns) or start >= failed.end_ns:
                return model
        return None


def _kind(span: SpanRecord) -> tuple[str, bool]:
    return span.kind, attr.LLM_OWN in span.attributes
