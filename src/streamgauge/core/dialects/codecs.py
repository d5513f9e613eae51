"""Which codecs translate from and to which dialect: N readers and writers, M of the other side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamgauge.core.conversation import Conversation
from streamgauge.core.dialects.base import Decoder, Encoder, Splitter, Telling, Wish, Written
from streamgauge.core.events import Event
from streamgauge.core.usage import TokenUsage

__all__ = ["CLIENTS", "UPSTREAMS", "ClientCodec", "UpstreamCodec"]


@dataclass(frozen=True, slots=True)
class ClientCodec:
    """How a client's request is read and its answer written.

    `whole`: the body of an answer that is no stream, from its events and the meter's counts.
    `frame_end` closes each frame of a stream.
    """

    read: Callable[[Mapping[str, Any]], Conversation]
    encoder: Callable[[Telling], Encoder]
    whole: Callable[[Sequence[Event], Telling, TokenUsage], bytes]
    frame_end: bytes = b"\n\n"


@dataclass(frozen=True, slots=True)
class UpstreamCodec:
    """How an upstream's request is written and its answer read. `path`: of its chat endpoint.

    `splitter`: makes what cuts its stream, None for server-sent events. `read_answer`: the events
    of an answer that is no stream, `Ended` last; None where the body is no JSON object.
    `stream_of`: the stream that says the same as such an answer, or None.
    """

    path: str
    write: Callable[[Conversation, Wish], Written]
    decoder: Callable[[], Decoder]
    read_answer: Callable[[bytes], Sequence[Event] | None]
    stream_of: Callable[[bytes], bytes | None]
    splitter: Callable[[], Splitter | None] = lambda: None


CLIENTS: Mapping[str, ClientCodec] = {}
UPSTREAMS: Mapping[str, UpstreamCodec] = {}
