"""From which value on a wait is flagged. Thresholds make flags, and change no number."""

from __future__ import annotations

import math
from collections.abc import Mapping

from .errors import OptionError

__all__ = ["DEFAULTS", "Thresholds", "check", "over"]

Thresholds = Mapping[str, float]

#: seconds, by the name of the flag. ``slow``: people who hear nothing for two seconds ask whether anybody is there, and
#: most answers come within one. ``dead_air``: who has heard "let me look" is more patient, and a turn may have several
#: gaps.
DEFAULTS: Thresholds = {"slow": 2.0, "dead_air": 3.0}


def check(values: object) -> dict[str, float]:
    """The thresholds that a user gave, as they are used.

    Raises:
        OptionError: these are none; the message names the wrong one.
    """
    if values is None:
        return {}
    names = ", ".join(DEFAULTS)
    if not isinstance(values, Mapping):
        raise OptionError(f"thresholds must be a mapping of {names} to seconds, not {type(values).__name__}")
    for name, value in values.items():
        if name not in DEFAULTS:
            raise OptionError(f"thresholds has {name!r}, which is none of {names}")
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        if not plain or not math.isfinite(value) or value <= 0:
            shown = repr(value) if plain else type(value).__name__
            raise OptionError(f"thresholds: {name} must be a number of seconds above 0, not {shown}")
    return {name: float(value) for name, value in values.items()}


def over(*layers: Thresholds | None) -> dict[str, float]:
    """Whole thresholds: what the first layer has, then the second, and so on, then the defaults."""
    whole = dict(DEFAULTS)
    for layer in reversed(layers):
        whole.update(layer or {})
    return whole
