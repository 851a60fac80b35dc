"""Users' attributes for every span, without names reserved for livekit_otel."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from .. import attributes as attr
from .._display import visible

__all__ = ["users_attributes"]

logger = logging.getLogger("livekit_otel")

_MAX_REFUSED = 100
_refused: set[tuple[str, str]] = set()


def users_attributes(option: str, given: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the user's attributes for every span without reserved names, each of which is logged once."""
    found = {str(key): one for key, one in given.items()}
    refused = [name for name in found if not name or attr.is_reserved(name)]
    for name in refused:
        del found[name]
    unsaid = [name for name in refused if (option, name) not in _refused and len(_refused) < _MAX_REFUSED]
    if unsaid:
        _refused.update((option, name) for name in unsaid)
        logger.warning(
            "livekit_otel: %s cannot set %s: these names are reserved for livekit_otel; choose other names "
            "(session.id, gen_ai.conversation.id and user.id may be set)",
            option,
            visible(", ".join(map(repr, unsaid))),
        )
    return found
