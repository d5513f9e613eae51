"""The Anthropic dialect as the exchange uses it."""

from __future__ import annotations

from collections.abc import Sequence

from streamgauge.core.chat import DialectName
from streamgauge.core.dialects.anthropic.decode import MessagesDecoder
from streamgauge.core.dialects.anthropic.errors import error_body, error_frame, error_status
from streamgauge.core.dialects.anthropic.streams import messages_stream
from streamgauge.core.dialects.base import Decoder
from streamgauge.core.dialects.framing import comment_line
from streamgauge.core.errors import GatewayError
from streamgauge.core.events import Event
from streamgauge.core.record import ExchangeRecord
from streamgauge.core.sse import encode_frame

__all__ = ["AnthropicDialect"]

_PING = encode_frame(b'{"type":"ping"}', b"ping")


class AnthropicDialect:
    """Stateless. One endpoint, `messages`."""

    __slots__ = ()

    @property
    def name(self) -> DialectName:
        """`anthropic`."""
        return "anthropic"

    def decoder(self, endpoint: str, kind: str) -> Decoder:
        """Return a fresh decoder for one stream."""
        return MessagesDecoder()

    def read_answer(self, endpoint: str, kind: str, body: bytes) -> Sequence[Event] | None:
        """Return the events of an answer that is no stream; None where it is no JSON object."""
        return MessagesDecoder().read_answer(body)

    def stream_of(self, endpoint: str, body: bytes) -> bytes | None:
        """Return the stream that says the same as the JSON answer `body`, or None."""
        return messages_stream(body)

    def error_status(self, error: GatewayError) -> int:
        """Return the HTTP status of `error`: our own overload is 529 here."""
        return error_status(error)

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """Return the JSON body of an error answer."""
        return error_body(error, request_id)

    def error_frame(
        self, error: GatewayError, request_id: str, endpoint: str = "messages"
    ) -> bytes:
        """Return the `error` event that ends a running stream."""
        return error_frame(error, request_id)

    def keepalive(self) -> bytes:
        """Return a `ping` event (SPEC §4.4)."""
        return _PING

    def metadata(
        self, mode: str, payload: bytes, record: ExchangeRecord, beside: bytes = b""
    ) -> bytes:
        """Return a comment, a `ping` or a named event with `payload`, by `mode` (SPEC §10.1)."""
        if mode == "comment":
            return comment_line(b"streamgauge", payload)
        if mode == "chunk":
            return encode_frame(b'{"type":"ping","streamgauge":' + payload + b"}", b"ping")
        return encode_frame(payload, b"streamgauge") if mode in ("event", "after_done") else b""
