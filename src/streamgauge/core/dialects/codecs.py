"""Which codecs translate from and to which dialect: N readers and writers, M of the other side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamgauge.core.assembly import AssembledMessage
from streamgauge.core.chat import DialectName, UpstreamDialect
from streamgauge.core.conversation import Conversation
from streamgauge.core.dialects.anthropic import read_request as anthropic
from streamgauge.core.dialects.anthropic import whole as anthropic_whole
from streamgauge.core.dialects.anthropic import write_request as anthropic_write
from streamgauge.core.dialects.anthropic.decode import MessagesDecoder
from streamgauge.core.dialects.anthropic.encode import MessagesEncoder
from streamgauge.core.dialects.anthropic.streams import messages_stream
from streamgauge.core.dialects.anthropic.thinking import room_of
from streamgauge.core.dialects.base import Decoder, Encoder, Splitter, Telling, Wish, Written
from streamgauge.core.dialects.frames import FramesEncoder
from streamgauge.core.dialects.ollama import write_request as ollama_write
from streamgauge.core.dialects.ollama.decode import OllamaDecoder
from streamgauge.core.dialects.ollama.streams import chat_line
from streamgauge.core.dialects.openai import read_request as openai
from streamgauge.core.dialects.openai import whole as openai_whole
from streamgauge.core.dialects.openai import write_request as openai_write
from streamgauge.core.dialects.openai.decode import ChatDecoder
from streamgauge.core.dialects.openai.encode import ChatEncoder
from streamgauge.core.dialects.openai.streams import chat_stream
from streamgauge.core.dialects.simple import SimpleEncoder
from streamgauge.core.events import Event
from streamgauge.core.ndjson import NdjsonSplitter
from streamgauge.core.usage import TokenUsage

__all__ = ["CLIENTS", "UPSTREAMS", "ClientCodec", "UpstreamCodec"]


@dataclass(frozen=True, slots=True)
class ClientCodec:
    """How a client's request is read and its answer written.

    `whole`: the body of an answer that is no stream, with the meter's counts.
    `frame_end` closes each frame of a stream.
    """

    read: Callable[[Mapping[str, Any]], Conversation]
    encoder: Callable[[Telling], Encoder]
    whole: Callable[[AssembledMessage, Telling, TokenUsage], bytes]
    frame_end: bytes = b"\n\n"


@dataclass(frozen=True, slots=True)
class UpstreamCodec:
    """How an upstream's request is written and its answer read. `path`: of its chat endpoint.

    `splitter`: makes what cuts its stream, None for server-sent events. `read_answer`: the events
    of an answer that is no stream, `Ended` last; None where the body is no JSON object.
    `stream_of`: the stream that says the same as such an answer, or None. `room`: the most tokens
    that `write` asks for, where it never asks for any number.
    """

    path: str
    write: Callable[[Conversation, Wish], Written]
    decoder: Callable[[], Decoder]
    read_answer: Callable[[bytes], Sequence[Event] | None]
    stream_of: Callable[[bytes], bytes | None]
    splitter: Callable[[], Splitter | None] = lambda: None
    room: Callable[[Conversation], int] | None = None


CLIENTS: Mapping[DialectName, ClientCodec] = {
    "openai": ClientCodec(openai.read_conversation, ChatEncoder, openai_whole.write_answer),
    "anthropic": ClientCodec(
        anthropic.read_conversation, MessagesEncoder, anthropic_whole.write_answer
    ),
    # Protocols for streams: what they ask in, and what is no stream, is OpenAI's.
    "simple": ClientCodec(
        openai.read_conversation, SimpleEncoder, openai_whole.write_answer, frame_end=b"\n"
    ),
    "frames": ClientCodec(openai.read_conversation, FramesEncoder, openai_whole.write_answer),
}
UPSTREAMS: Mapping[UpstreamDialect, UpstreamCodec] = {
    "openai": UpstreamCodec(
        "/v1/chat/completions",
        openai_write.write_request,
        ChatDecoder,
        lambda body: ChatDecoder().read_answer(body),
        chat_stream,
    ),
    "anthropic": UpstreamCodec(
        "/v1/messages",
        anthropic_write.write_request,
        MessagesDecoder,
        lambda body: MessagesDecoder().read_answer(body),
        messages_stream,
        room=room_of,
    ),
    "ollama": UpstreamCodec(
        "/api/chat",
        ollama_write.write_request,
        OllamaDecoder,
        lambda body: OllamaDecoder().read_answer(body),
        chat_line,
        NdjsonSplitter,
    ),
}
