"""Responses of a realtime model, including data that arrives before LiveKit handles the response."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from ..span import PipelineSpan
from ..values import clip
from .turn import TurnState

if TYPE_CHECKING:
    from livekit.agents.metrics import RealtimeModelMetrics

__all__ = ["Announced", "Early", "Response", "ResponseFailed", "ResponseLost", "finish_reason"]

_MAX_ANNOUNCED = 64


class ResponseFailed(Exception):
    """A realtime model's server ended a response as failed; a more specific error of the plugin may follow.

    ``body``: the server's description of the error, if any."""

    def __init__(self, message: str, body: Mapping[str, str | None] | None = None) -> None:
        super().__init__(message)
        self.body = body


class ResponseLost(Exception):
    """The connection to a realtime model was replaced while it was answering."""


class Response:
    """One response of the model.

    Attributes:
        native: whether LiveKit's span of this response reaches the session's provider and carries the usage.
        end_ns: when LiveKit finished handling it.
        reported: whether its usage arrived, which most servers send at the end.
        failure: the error that it failed with.
        broke_off: returns whether the plugin knows that the server never completed it; None if the plugin cannot tell.
    """

    def __init__(self, span: PipelineSpan, turn: TurnState | None, response_id: str | None, *, native: bool) -> None:
        self.span = span
        self.turn = turn
        self.response_id = response_id
        self.native = native
        self.fields: dict[str, AttributeValue] = {}
        self.end_ns: int | None = None
        self.outcome: str | None = None
        self.reported = False
        self.heard = False
        self.failure: BaseException | None = None
        self.broke_off: Callable[[], bool | None] = lambda: None

    @property
    def lost(self) -> bool:
        """Whether the server has not sent the complete response, given that its connection is gone."""
        known = self.broke_off()
        return not self.reported if known is None else known and not self._called

    @property
    def _called(self) -> bool:
        """Whether the response called a tool; for a server, that ends the response."""
        turn = self.turn
        return turn is not None and (bool(turn.open_tools) or turn.tool_ended_ns >= self.span.start_ns)

    @property
    def cut_short(self) -> bool:
        """Whether the server is known not to have completed the response."""
        return bool(self.broke_off()) and not self._called

    @property
    def awaits_error(self) -> bool:
        """Whether the server ended the response as failed and the plugin has not reported the reason."""
        return isinstance(self.failure, ResponseFailed)

    def fail(self, error: BaseException, message: str) -> None:
        """Mark the response and its turn as failed."""
        self.failure = error
        if not self.span.ended:
            self.span.fail(error, message=message)
        if self.turn is not None and self.turn.open:
            self.turn.failed(attr.KIND_REALTIME, error)


class Early:
    """Data of a response that arrived before LiveKit handled it."""

    def __init__(self, at_ns: int) -> None:
        self.at_ns = at_ns
        self.metrics: list[RealtimeModelMetrics] = []
        self.end: Mapping[str, Any] | None = None
        self.failure: BaseException | None = None


class Announced:
    """Responses that a server has created and LiveKit does not handle yet."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Early] = OrderedDict()

    def add(self, response_id: str, at_ns: int) -> None:
        self._known[response_id] = Early(at_ns)
        while len(self._known) > _MAX_ANNOUNCED:
            self._known.popitem(last=False)

    def get(self, response_id: str | None) -> Early | None:
        return self._known.get(response_id) if response_id else None

    def take(self, response_id: str | None) -> Early | None:
        """LiveKit handles the response from now on: remove and return its early data."""
        return self._known.pop(response_id, None) if response_id else None

    def failed(self) -> Early | None:
        """Return the latest response that failed without the plugin reporting a reason."""
        for one in reversed(self._known.values()):
            if one.end is not None and one.end.get("status") == "failed" and one.failure is None:
                return one
        return None

    def rest(self) -> list[Early]:
        """Remove and return the responses that LiveKit never handled."""
        known, self._known = list(self._known.values()), OrderedDict()
        return known


def finish_reason(end: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Return the finish reason of a response that its server's ``response.done`` calls incomplete."""
    details = end.get("status_details")
    reason = details.get("reason") if isinstance(details, Mapping) else None
    if end.get("status") != "incomplete" or not isinstance(reason, str):
        return {}
    return {attr.RESPONSE_FINISH_REASONS: (clip(reason),)}
