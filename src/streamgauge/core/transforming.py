"""Changes the events of an answer before they are written in the client's dialect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from streamgauge.core.dialects.base import Encoder, SelfEnding
from streamgauge.core.errors import GatewayError
from streamgauge.core.events import Event
from streamgauge.core.transform.chain import Chain
from streamgauge.core.transform.think_tags import ThinkEvents
from streamgauge.core.transform.tool_call_repair import RepairEvents
from streamgauge.core.usage import TokenUsage

__all__ = ["EventTransform", "TransformingEncoder", "event_transforms", "transformed"]


class EventTransform(Protocol):
    """Changes the events of one answer, in order, and may hold some of them back."""

    def feed(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return the events that are certain now."""

    def end(self) -> Sequence[Event]:
        """Return what was held."""


def event_transforms(chain: Chain, note: Callable[[str], None]) -> list[EventTransform]:
    """Return fresh transforms for one answer. `note` is told the name of an anomaly."""
    transforms: list[EventTransform] = [ThinkEvents()] if chain.think_tags else []
    return [*transforms, RepairEvents(note)] if chain.tool_call_repair else transforms


def transformed(transforms: Sequence[EventTransform], events: Sequence[Event]) -> Sequence[Event]:
    """Return the events of a whole answer, changed."""
    for transform in transforms:
        events = [*transform.feed(events), *transform.end()]
    return events


class TransformingEncoder:
    """Writes an answer that was changed before. Implements Encoder and SelfEnding.

    `failing`: writes the dialect's error frame, where the encoder has none of its own.
    """

    __slots__ = ("_encoder", "_failing", "_transforms")

    def __init__(
        self,
        encoder: Encoder,
        transforms: Sequence[EventTransform],
        failing: Callable[[GatewayError], bytes],
    ) -> None:
        self._encoder = encoder
        self._transforms = transforms
        self._failing = failing

    @property
    def finished(self) -> bool:
        """Whether a finish reason was seen."""
        return self._encoder.finished

    def encode(self, events: Sequence[Event]) -> bytes:
        """Return the frames that say what is certain of `events`."""
        for transform in self._transforms:
            events = transform.feed(events)
        return self._encoder.encode(events) if events else b""

    def _rest(self) -> bytes:
        events: Sequence[Event] = ()
        for transform in self._transforms:
            events = [*transform.feed(events), *transform.end()]
        return self._encoder.encode(events) if events else b""

    def end(self, usage: TokenUsage, added: bytes = b"") -> bytes:
        """Return what was held and what closes the answer."""
        return self._rest() + self._encoder.end(usage, added)

    def fail(self, error: GatewayError) -> bytes:
        """Return what was held and the last frames of an answer that failed."""
        rest, own = self._rest(), self._encoder
        return rest + (own.fail(error) if isinstance(own, SelfEnding) else self._failing(error))

    def keepalive(self) -> bytes:
        """Return the encoder's sign of life, b"" where the dialect's own fits."""
        return self._encoder.keepalive() if isinstance(self._encoder, SelfEnding) else b""
