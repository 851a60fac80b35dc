"""Responses of a realtime model: what is known of each, also before LiveKit takes it up."""

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
    """A realtime model's server ended a response as failed; its plugin's own error may follow."""


class ResponseLost(Exception):
    """The connection to a realtime model was replaced while it was answering."""


class Response:
    """One response of the model.

    Attributes:
        native: LiveKit's span of this response reaches our provider, and has its usage.
        end_ns: LiveKit is done with it.
        reported: its usage came, which most servers send at its end.
        failure: why it failed.
        broke_off: whether the plugin knows that its server never completed it; None where it cannot say.
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
        """Whether the server has not sent all of it, now that its connection is gone."""
        known = self.broke_off()
        return not self.reported if known is None else known and not self._called

    @property
    def _called(self) -> bool:
        """Whether it called a tool, which ends it for a server."""
        turn = self.turn
        return turn is not None and (bool(turn.open_tools) or turn.tool_ended_ns >= self.span.start_ns)

    @property
    def cut_short(self) -> bool:
        """Whether its server is known not to have completed it."""
        return bool(self.broke_off()) and not self._called

    @property
    def awaits_error(self) -> bool:
        """Whether its server has ended it as failed, and the plugin has not said why."""
        return isinstance(self.failure, ResponseFailed)

    def fail(self, error: BaseException, message: str) -> None:
        """It failed; its turn with it."""
        self.failure = error
        if not self.span.ended:
            self.span.fail(error, message=message)
        if self.turn is not None and self.turn.open:
            self.turn.failed(attr.KIND_REALTIME, error)


class Early:
    """What came of a response before LiveKit took it up."""

    def __init__(self, at_ns: int) -> None:
        self.at_ns = at_ns
        self.metrics: list[RealtimeModelMetrics] = []
        self.end: Mapping[str, Any] | None = None
        self.failure: BaseException | None = None


class Announced:
    """Responses that a server has created and LiveKit has not taken up yet."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Early] = OrderedDict()

    def add(self, response_id: str, at_ns: int) -> None:
        self._known[response_id] = Early(at_ns)
        while len(self._known) > _MAX_ANNOUNCED:
            self._known.popitem(last=False)

    def get(self, response_id: str | None) -> Early | None:
        return self._known.get(response_id) if response_id else None

    def take(self, response_id: str | None) -> Early | None:
        """LiveKit takes it up."""
        return self._known.pop(response_id, None) if response_id else None

    def failed(self) -> Early | None:
        """The one that has failed, and whose plugin has not said why."""
        for one in reversed(self._known.values()):
            if one.end is not None and one.end.get("status") == "failed" and one.failure is None:
                return one
        return None

    def rest(self) -> list[Early]:
        """Those that it never took up."""
        known, self._known = list(self._known.values()), OrderedDict()
        return known


def finish_reason(end: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Why a response that its server calls incomplete ended, by its ``response.done``."""
    details = end.get("status_details")
    reason = details.get("reason") if isinstance(details, Mapping) else None
    if end.get("status") != "incomplete" or not isinstance(reason, str):
        return {}
    return {attr.RESPONSE_FINISH_REASONS: (clip(reason),)}
