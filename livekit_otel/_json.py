"""The ways in which decoding JSON that others wrote can fail."""

from __future__ import annotations

import msgspec

__all__ = ["NOT_JSON"]

#: What msgspec and json raise for text that is not JSON, is not Unicode, has another shape, or is nested too deeply.
NOT_JSON = (msgspec.MsgspecError, ValueError, RecursionError)
