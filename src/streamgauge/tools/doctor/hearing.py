"""Listens to one stream: when its content came, how it ended, what it said of itself. No judgement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from streamgauge.core.chat import UpstreamDialect
from streamgauge.core.dialects.codecs import UPSTREAMS
from streamgauge.core.dialects.refusals import error_of_answer
from streamgauge.core.events import (
    Ended,
    Failed,
    ReasoningDelta,
    TextDelta,
    TimingsReported,
    UsageReported,
)
from streamgauge.core.sse import FrameSplitter, FrameTooLarge
from streamgauge.core.usage import TokenUsage
from streamgauge.tools.doctor.address import Address
from streamgauge.tools.doctor.wire import Answer, call

__all__ = ["Heard", "hear"]

_OK = 200
_TOLD = b": streamgauge {"
_ERROR_BYTES = 1 << 16


@dataclass(slots=True)
class Heard:
    """One stream. `content`: monotonic seconds of each frame with text or reasoning.

    `usage`: what was stated last. `metadata`: the gateway's own record from its comment.
    `refusal`: the message of an answer that is no success. `end_at`: when the end marker came.
    """

    content: list[float] = field(default_factory=list)
    usage: TokenUsage | None = None
    end_at: float | None = None
    failed: str | None = None
    metadata: dict[str, Any] | None = None
    refusal: str | None = None
    comments: int = 0
    left_at: float | None = None

    @property
    def spread(self) -> float | None:
        """Seconds from the first content to the end marker; None where one is missing."""
        if not self.content or self.end_at is None:
            return None
        return self.end_at - self.content[0]


class _Ear:
    """Reads body bytes as frames of one dialect."""

    def __init__(self, dialect: UpstreamDialect, heard: Heard) -> None:
        codec = UPSTREAMS[dialect]
        self._splitter = codec.splitter() or FrameSplitter()
        self._decoder = codec.decoder()
        self._heard = heard

    def take(self, data: bytes, at: float) -> None:
        """Read bytes that came at `at`. Raises FrameTooLarge."""
        heard = self._heard
        for frame in self._splitter.feed(data):
            self._take_comments(frame.raw)
            if not frame.payload:
                continue
            for event in self._decoder.decode(frame.payload, frame.event):
                match event:
                    case TextDelta() | ReasoningDelta() if event.text:
                        heard.content.append(at)
                    case UsageReported() if event.usage != TokenUsage():  # not a tier alone
                        known = heard.usage or TokenUsage()
                        heard.usage = known.updated(event.usage)
                    case TimingsReported() if heard.usage is None:
                        timings = event.timings
                        heard.usage = TokenUsage(timings.prompt_n, timings.predicted_n)
                    case Failed():
                        heard.failed = event.message
                    case Ended() if heard.end_at is None:
                        heard.end_at = at

    def _take_comments(self, raw: bytes) -> None:
        for line in raw.splitlines():
            if not line.startswith(b":"):
                continue
            self._heard.comments += 1
            if line.startswith(_TOLD):
                self._heard.metadata = _object(line[len(_TOLD) - 1 :])


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


async def hear(
    address: Address,
    request: bytes,
    dialect: UpstreamDialect,
    *,
    seconds: float,
    leave: Callable[[Heard], bool] = lambda _: False,
) -> tuple[Answer, Heard]:
    """Listen to the answer of `request` until it ends, `leave` says so, or `seconds` are over.

    Raises Unanswered where no head came.
    """
    heard = Heard()
    ear = _Ear(dialect, heard)
    page = bytearray()

    def listen(answer: Answer, data: bytes, at: float) -> bool:
        if answer.status != _OK:
            page.extend(data[:_ERROR_BYTES])
            return len(page) < _ERROR_BYTES
        try:
            ear.take(data, at)
        except FrameTooLarge:
            answer.cut = "a frame is larger than 32 MiB"
            return False
        return not leave(heard)

    answer = await call(address, request, seconds, listen)
    if answer.left and answer.cut is None:
        heard.left_at = answer.ended_at
    if answer.status != _OK:
        told = error_of_answer(answer.status, answer.media_type, bytes(page))
        heard.refusal = f"status {answer.status}: {told.message}"
    return answer, heard
