"""The values from which waits are flagged. Thresholds set flags and do not change measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping

from .errors import OptionError

__all__ = ["DEFAULTS", "Thresholds", "check", "over"]

Thresholds = Mapping[str, float]

#: seconds, by the name of the flag. ``slow``: after two seconds of silence people ask whether anybody is there;
#: most answers start within one second. ``dead_air``: after "let me look" people are more patient, and a turn may have
#: several gaps.
DEFAULTS: Thresholds = {"slow": 2.0, "dead_air": 3.0}


def check(values: object) -> dict[str, float]:
    """The user's thresholds in validated form.

    Raises:
        OptionError: a threshold is invalid; the message names it.
    """
    if values is None:
        return {}
    names = ", ".join(DEFAULTS)
    if not isinstance(values, Mapping):
        raise OptionError(f"thresholds must be a mapping of {names} to seconds, not {type(values).__name__}")
    for name, value in values.items():
        if name not in DEFAULTS:
            raise OptionError(f"thresholds has {name!r}, which is not one of {names}")
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        if not plain or not math.isfinite(value) or value <= 0:
            shown = repr(value) if plain else type(value).__name__
            raise OptionError(f"thresholds: {name} must be a number of seconds above 0, not {shown}")
    return {name: float(value) for name, value in values.items()}


def over(*layers: Thresholds | None) -> dict[str, float]:
    """Complete thresholds: for each name the value of the first layer that has it, else the default."""
    whole = dict(DEFAULTS)
    for layer in reversed(layers):
        whole.update(layer or {})
    return whole
