"""A rich console for terminal output of the commands."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from .._display import visible

__all__ = ["InertConsole"]


class InertConsole(Console):
    """Writes the colours and cursor movements that rich requests, and none that a text contains."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text, lines=True), segment.style)
