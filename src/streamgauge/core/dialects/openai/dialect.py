"""The OpenAI dialect as the exchange uses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from streamgauge.core.chat import DialectName
from streamgauge.core.dialects.base import Decoder
from streamgauge.core.dialects.openai.decode import ChatDecoder
from streamgauge.core.dialects.openai.errors import error_body, error_frame
from streamgauge.core.dialects.openai.metadata import metadata_bytes
from streamgauge.core.dialects.openai.response_stream import response_stream
from streamgauge.core.dialects.openai.responses import ResponsesDecoder
from streamgauge.core.dialects.openai.streams import chat_stream, completion_stream
from streamgauge.core.errors import GatewayError
from streamgauge.core.events import Event
from streamgauge.core.record import ExchangeRecord

__all__ = ["OpenAIDialect"]

_STREAMS: Mapping[str, Callable[[bytes], bytes | None]] = {
    "chat/completions": chat_stream,
    "completions": completion_stream,
    "responses": response_stream,
}
_KEEPALIVE = b": keep-alive\n"


class OpenAIDialect:
    """Stateless. Upstream kinds differ only in extras, all of which are read wherever they come."""

    __slots__ = ()

    @property
    def name(self) -> DialectName:
        """`openai`."""
        return "openai"

    def decoder(self, endpoint: str, kind: str) -> Decoder:
        """Return a fresh decoder for one stream."""
        return ResponsesDecoder() if endpoint == "responses" else ChatDecoder()

    def read_answer(self, endpoint: str, kind: str, body: bytes) -> Sequence[Event] | None:
        """Return the events of an answer that is no stream; None where it is no JSON object."""
        if endpoint == "responses":
            return ResponsesDecoder().read_answer(body)
        return ChatDecoder().read_answer(body)

    def stream_of(self, endpoint: str, body: bytes) -> bytes | None:
        """Return the stream that says the same as the JSON answer `body`, or None."""
        make = _STREAMS.get(endpoint)
        return None if make is None else make(body)

    def error_status(self, error: GatewayError) -> int:
        """Return the HTTP status of `error`, which is its own."""
        return error.status

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """Return the JSON body of an error answer. The request's id goes in a header only."""
        return error_body(error)

    def error_frame(
        self, error: GatewayError, request_id: str, endpoint: str = "chat/completions"
    ) -> bytes:
        """Return the frame that ends a running stream with `error`."""
        return error_frame(error, endpoint)

    def keepalive(self) -> bytes:
        """Return a comment line with no blank line behind it (SPEC §4.4)."""
        return _KEEPALIVE

    def metadata(
        self, mode: str, payload: bytes, record: ExchangeRecord, beside: bytes = b""
    ) -> bytes:
        """Return the bytes that carry our record to the client (SPEC §10.1)."""
        return metadata_bytes(mode, payload, record, beside)
