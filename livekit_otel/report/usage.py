"""Usage of the models of a call, as rows of text with units."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..turns import ModelUsage
from .model import SessionReport
from .one_line import one_line

__all__ = ["usage"]

#: units of values that are not tokens
_UNITS = {
    "characters_count": "characters",
    "audio_duration": "s of audio",
    "session_duration": "s of connection",
    "total_requests": "requests",
}


def usage(report: SessionReport) -> list[tuple[str, str, str, str]]:
    """Rows of kind, model, usage, and the part of the usage by discarded preemptive generations."""
    # a call that broke off early can have only its stage spans
    known = _objects(report.head.get("usage")) or report.usage or [one.to_dict() for one in report.derivation.usage]
    thrown: dict[tuple[str, str, str], ModelUsage] = {}
    for own in report.discarded:
        thrown.setdefault((own.type, own.provider, own.model), own)
        thrown.setdefault(("", own.provider, own.model), own)
    rows = []
    for one in known:
        kind, provider, model = (one_line(one.get(name)) for name in ("type", "provider", "model"))
        wasted = thrown.get((kind, provider, model))
        name = one_line("/".join(part for part in (provider, model) if part))
        figures = _figures(wasted.to_dict().items()) if wasted is not None else ""
        rows.append((one_line(kind.removesuffix("_usage")), name, _figures(one.items()), figures))
    return rows


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _figures(values: Iterable[tuple[str, Any]]) -> str:
    return ", ".join(
        _figure(name, value)
        for name, value in values
        if isinstance(value, int | float) and not isinstance(value, bool) and value
    )


def _figure(name: str, value: float) -> str:
    amount = f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
    return f"{amount} {_UNITS.get(name) or one_line(name).replace('_', ' ')}"
