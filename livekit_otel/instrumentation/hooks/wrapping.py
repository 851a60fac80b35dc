"""What wrapt hands a wrapper: the arguments of the call, by position and by name."""

from __future__ import annotations

from typing import Any, TypeAlias

__all__ = ["Args", "Kwargs"]

Args: TypeAlias = tuple[Any, ...]
Kwargs: TypeAlias = dict[str, Any]
