"""What a dialect gives to the exchange: decoding, errors, framing. It knows no dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import msgspec

from streamgauge.core.chat import DialectName
from streamgauge.core.dialects.finish import normal_finish
from streamgauge.core.dialects.refusals import (
    UpstreamRefusal,
    UpstreamStatusError,
    error_of_answer,
    mapped_error,
)
from streamgauge.core.errors import GatewayError
from streamgauge.core.events import Event, ReasoningDelta, TextDelta
from streamgauge.core.record import ExchangeRecord
from streamgauge.core.sse import Frame
from streamgauge.core.usage import TokenUsage

__all__ = [
    "ClientDialect",
    "Decoder",
    "Dialect",
    "Encoder",
    "PlainDecoder",
    "PlainEncoder",
    "SelfEnding",
    "Splitter",
    "Telling",
    "UpstreamRefusal",
    "UpstreamStatusError",
    "Wish",
    "Written",
    "error_of_answer",
    "mapped_error",
    "normal_finish",
]


class Decoder(Protocol):
    """Reads the frames of one stream, in order. One instance a stream: it keeps state."""

    def decode(self, payload: bytes, event: bytes) -> Sequence[Event]:
        """Return what a frame says. `payload`: its data lines joined by LF, never empty.

        `event`: the frame's event name or b"". Never raises for anything that an upstream can
        send: what cannot be read is `Noted`.
        """


class PlainDecoder(Protocol):
    """A decoder that tells a frame of text from all others without remembering it."""

    def plain(self, payload: bytes, event: bytes) -> TextDelta | ReasoningDelta | None:
        """Return the one thing that `decode` would say now, and that would change nothing.

        None: it says more, or something else, or not for certain.
        """


class Splitter(Protocol):
    """Cuts a byte stream into frames, keeping every byte."""

    @property
    def bom_removed(self) -> bool:
        """Whether a leading byte order mark was dropped."""

    @property
    def inside(self) -> bool:
        """Whether part of an unfinished frame has been passed on."""

    @property
    def inside_data(self) -> bool:
        """Whether that frame has data, if it ended here."""

    def read_whole(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Return payload and event where `data` is exactly one plain frame, else change nothing."""

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that `data` completes, in order. Raises FrameTooLarge."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the writer of an upstream's request is told beside the conversation."""

    kind: str
    model: str | None
    stream: bool
    include_usage: bool = True
    running_usage: bool = False


class Written(msgspec.Struct, frozen=True, gc=False):
    """A request's body, and the names of what this dialect could not say (SPEC §13.3).

    `tool_names`: by the name that a tool has in `body`, the client's, where they differ.
    """

    body: bytes
    lost: tuple[str, ...] = ()
    tool_names: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Telling:
    """What a translated answer says of itself. `created`: seconds since the epoch.

    `include_usage`: the client asked for usage in its stream. `tool_names`: as `Written` has them.
    """

    id: str
    model: str
    created: int
    include_usage: bool = False
    tool_names: Mapping[str, str] | None = None


class Encoder(Protocol):
    """Writes one translated answer for a client. One instance an answer: it keeps state."""

    @property
    def finished(self) -> bool:
        """Whether a finish reason was seen."""

    def encode(self, events: Sequence[Event]) -> bytes:
        """Return the frames that say `events`. Content is never held, finish and usage are."""

    def end(self, usage: TokenUsage, added: bytes = b"") -> bytes:
        """Return what closes the answer: open blocks, finish, usage, `added`, the end marker.

        `usage`: the meter's counts; input includes what was cached. `added`: whole frames, or a
        comment line, that stand just before the end marker's frame (SPEC §10.1).
        """


class PlainEncoder(Protocol):
    """An encoder to which another piece of what it writes just now changes nothing."""

    def plain(self, event: TextDelta | ReasoningDelta) -> bytes | None:
        """Return what `encode` would write for one more piece of text or reasoning now.

        None: it would write more than that, or would remember it.
        """


@runtime_checkable
class SelfEnding(Protocol):
    """An encoder whose errors and signs of life depend on what it has written, as stamps do."""

    def fail(self, error: GatewayError) -> bytes:
        """Return the last frames of an answer that failed."""

    def keepalive(self) -> bytes:
        """Return what to send between frames while the upstream is silent (SPEC §4.4)."""


class ClientDialect(Protocol):
    """What a client is told in, beside its answer. Endpoints are named without `/v1/`."""

    @property
    def name(self) -> DialectName:
        """The dialect's name, as rows have it."""

    def error_status(self, error: GatewayError) -> int:
        """Return the HTTP status that `error` has in this dialect."""

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """Return the JSON body of an error answer."""

    def error_frame(
        self, error: GatewayError, request_id: str, endpoint: str = "chat/completions"
    ) -> bytes:
        """Return the frame that ends a running stream with `error`."""

    def keepalive(self) -> bytes:
        """Return what to send between frames while the upstream is silent (SPEC §4.4)."""

    def metadata(
        self, mode: str, payload: bytes, record: ExchangeRecord, beside: bytes = b""
    ) -> bytes:
        """Return the bytes that carry our record to the client in `mode` (SPEC §10.1).

        `payload`: one JSON object on one line. `off` and an unknown mode carry nothing. `beside`:
        the payload of another frame of the stream, where there is one.
        """


class Dialect(ClientDialect, Protocol):
    """One API family: what its upstreams say is read too, e.g. of `chat/completions`."""

    def decoder(self, endpoint: str, kind: str) -> Decoder:
        """Return a fresh decoder for one stream of `endpoint` from an upstream of `kind`."""

    def read_answer(self, endpoint: str, kind: str, body: bytes) -> Sequence[Event] | None:
        """Return the events of an answer that is no stream, `Ended` last.

        None: the body is no JSON object.
        """

    def stream_of(self, endpoint: str, body: bytes) -> bytes | None:
        """Return the legal stream that says the same as the JSON answer `body`.

        None: the body is not an answer of this endpoint. OpenAI's usage stands in a frame of its
        own. An error object becomes the stream's error frame.
        """
