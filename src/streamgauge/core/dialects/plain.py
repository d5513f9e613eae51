"""The `simple` and `frames` protocols as the exchange uses them (SPEC §13.1). It knows no upstream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streamgauge.core.chat import DialectName
from streamgauge.core.dialects.base import ClientDialect, SelfEnding, Telling
from streamgauge.core.dialects.frames import FramesEncoder
from streamgauge.core.dialects.framing import comment_line
from streamgauge.core.dialects.simple import SimpleEncoder, metadata_line
from streamgauge.core.errors import GatewayError
from streamgauge.core.record import ExchangeRecord
from streamgauge.core.sse import encode_frame

__all__ = ["PlainDialect", "frames_dialect", "simple_dialect"]

_CARRIED = frozenset({"comment", "chunk", "event", "after_done"})


@dataclass(frozen=True, slots=True)
class PlainDialect:
    """A protocol of the chat endpoint, for streams. Whatever is no stream is `family`'s.

    `carry`: the bytes that carry our record in a mode. `encoder` makes a fresh one, for what is
    told before an answer has begun.
    """

    name: DialectName
    family: ClientDialect
    encoder: Callable[[Telling], SelfEnding]
    carry: Callable[[str, bytes], bytes]

    def error_status(self, error: GatewayError) -> int:
        """Return the HTTP status of `error`."""
        return self.family.error_status(error)

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """Return the JSON body of an error answer."""
        return self.family.error_body(error, request_id)

    def error_frame(
        self, error: GatewayError, request_id: str, endpoint: str = "chat/completions"
    ) -> bytes:
        """Return what ends a stream of which nothing but signs of life has been sent."""
        return self._fresh(request_id).fail(error)

    def keepalive(self) -> bytes:
        """Return a sign of life for a stream that has not begun (SPEC §4.4)."""
        return self._fresh("").keepalive()

    def metadata(
        self, mode: str, payload: bytes, record: ExchangeRecord, beside: bytes = b""
    ) -> bytes:
        """Return the bytes that carry our record (SPEC §10.1)."""
        return self.carry(mode, payload)

    def _fresh(self, request_id: str) -> SelfEnding:
        return self.encoder(Telling(request_id, "", 0))


def simple_dialect(family: ClientDialect) -> PlainDialect:
    """Return `simple`: lines have no comments, so that every mode is a line of its own."""

    def carry(mode: str, payload: bytes) -> bytes:
        return metadata_line(payload) if mode in _CARRIED else b""

    return PlainDialect("simple", family, SimpleEncoder, carry)


def frames_dialect(family: ClientDialect) -> PlainDialect:
    """Return `frames`: a frame without a stamp would break the count, so that `chunk` is a comment."""

    def carry(mode: str, payload: bytes) -> bytes:
        if mode in ("event", "after_done"):
            return encode_frame(payload, b"streamgauge")
        return comment_line(b"streamgauge", payload) if mode in _CARRIED else b""

    return PlainDialect("frames", family, FramesEncoder, carry)
