"""How LiveKit decides that a user's turn is over: the trigger, the detector's prediction, and the delays."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from . import livekit_api
from .agents import agent_id
from .values import clip, value

if TYPE_CHECKING:
    from livekit.agents import EotPredictionEvent
    from livekit.agents.voice.agent_activity import AgentActivity

__all__ = ["EndOfTurn", "EndOfTurnCheck", "EndOfTurnTimes"]


class EndOfTurnTimes(Protocol):
    """When the user spoke, in unix seconds, according to LiveKit at the end of a turn; None if unknown."""

    stopped_speaking_at: float | None
    transcription_delay: float | None


class EndOfTurn(Protocol):
    """LiveKit's ``_EndOfTurnInfo``: one end-of-turn decision."""

    new_transcript: str
    skip_reply: bool
    metrics: EndOfTurnTimes


class EndOfTurnCheck:
    """The current check of one session: a new check replaces it, just as LiveKit cancels the earlier one."""

    def __init__(self) -> None:
        #: id of the agent that the user spoke to, at the latest decision
        self.agent: str | None = None
        self._trigger: str | None = None
        self._prediction: EotPredictionEvent | None = None
        self._delays: tuple[float, float] | None = None

    def begins(self, activity: AgentActivity, trigger: str) -> None:
        """LiveKit checks whether the turn is over; ``trigger`` (``vad``, ``stt``, ``manual``) is the cause."""
        self._trigger = trigger
        self._delays = livekit_api.endpointing_delays(activity)

    def predicted(self, prediction: EotPredictionEvent) -> None:
        """Store the detector's prediction. LiveKit does not ask again until the user speaks."""
        self._prediction = prediction

    def speaks_on(self) -> None:
        """The user speaks (again): the prediction for the silence before is void."""
        self._prediction = None

    def decided(self, activity: AgentActivity) -> dict[str, AttributeValue]:
        """Return attributes of LiveKit's decision, which ends the check."""
        self.agent = agent_id(activity.agent)
        prediction, self._prediction = self._prediction, None
        trigger, self._trigger = self._trigger, None
        out: dict[str, AttributeValue] = {}
        mode = livekit_api.turn_detection(activity)
        if isinstance(mode, str):
            out[attr.EOU_DETECTION] = clip(mode)
        elif mode is not None:
            out[attr.EOU_DETECTION] = "model"
            if isinstance(model := value(getattr(mode, "model", None)), str):
                out[attr.EOU_DETECTOR] = model
        if trigger is None:
            return out
        out[attr.EOU_TRIGGER] = trigger
        unlikely = False
        if prediction is not None:
            out[attr.EOU_PROBABILITY] = float(prediction.probability)
            out[attr.EOU_THRESHOLD] = float(prediction.threshold)
            unlikely = prediction.probability < prediction.threshold
        if self._delays is not None:
            shortest, longest = self._delays
            chosen = longest if unlikely else shortest
            delays = ((attr.EOU_DELAY, chosen), (attr.EOU_MIN_DELAY, shortest), (attr.EOU_MAX_DELAY, longest))
            out.update({name: seconds for name, seconds in delays if math.isfinite(seconds)})
        return out
