"""Makes the passage of an attempt's stream: relayed as it is, or translated."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from streamgauge.core.attempt import Attempt, Facts
from streamgauge.core.deadlines import Stamps
from streamgauge.core.dialects.anthropic.call_frames import MessagesCallFrames
from streamgauge.core.dialects.anthropic.decode import MessagesDecoder
from streamgauge.core.dialects.anthropic.encode import MessagesEncoder
from streamgauge.core.dialects.anthropic.think_frames import MessagesThinkFrames
from streamgauge.core.dialects.base import Encoder, PlainEncoder
from streamgauge.core.dialects.codecs import CLIENTS, UPSTREAMS
from streamgauge.core.dialects.frames import FramesEncoder
from streamgauge.core.dialects.openai.call_frames import ChatCallFrames
from streamgauge.core.dialects.openai.decode import ChatDecoder
from streamgauge.core.dialects.openai.encode import ChatEncoder
from streamgauge.core.dialects.openai.think_frames import ChatThinkFrames
from streamgauge.core.dialects.registry import SPOKEN, dialect_of
from streamgauge.core.errors import GatewayError
from streamgauge.core.integrity import Stamper
from streamgauge.core.meter import Meter
from streamgauge.core.passage import Hold, Passage
from streamgauge.core.reading import StreamReading
from streamgauge.core.record import ExchangeRecord
from streamgauge.core.relaying import Relaying
from streamgauge.core.replay_watch import ReplayWatch
from streamgauge.core.rewriting import RewritingReading
from streamgauge.core.steady import Steady
from streamgauge.core.transform.chain import Chain
from streamgauge.core.transform.frames import FrameRewriter
from streamgauge.core.transforming import TransformingEncoder, event_transforms
from streamgauge.core.translating import Translating

__all__ = ["new_passage", "steady_of"]

_FRAMES: Mapping[
    str, tuple[Callable[[], FrameRewriter], Callable[[Callable[[str], None]], FrameRewriter]]
] = {
    "chat/completions": (ChatThinkFrames, ChatCallFrames),
    "messages": (MessagesThinkFrames, MessagesCallFrames),
}
"""What tells reasoning from text in an endpoint's frames, and what repairs tool calls in them."""


def new_passage(
    facts: Facts,
    attempt: Attempt,
    meter: Meter,
    *,
    hide_usage: bool,
    metadata: Callable[[], bytes],
    hold: Hold,
    watch: ReplayWatch | None = None,
    tool_names: Mapping[str, str] | None = None,
) -> Passage:
    """Return the passage of the stream that `attempt` has opened.

    `hide_usage`: its usage-only frames are ours. `hold`: what is kept back at first. `watch`
    looks at every frame of the upstream. `tool_names`: as `Written` has them.
    """
    request = facts.request
    if attempt.dialect is None:
        decoder = dialect_of(request.endpoint).decoder(request.endpoint, attempt.kind)
        rewriters = _rewriters(request.endpoint, attempt.transformers, meter)
        return Relaying(
            RewritingReading(decoder, meter, rewriters, watch)
            if rewriters
            else StreamReading(decoder, meter, watch=watch),
            hide_usage=hide_usage,
            mode=facts.metadata,
            metadata=metadata,
            hold=hold,
        )
    upstream, client = UPSTREAMS[attempt.dialect], CLIENTS[request.dialect]
    reading = StreamReading(upstream.decoder(), meter, upstream.splitter(), watch)
    encoder = _encoder(facts, attempt, meter, tool_names)
    return Translating(
        reading,
        encoder,
        frame_end=client.frame_end,
        hold=hold,
        mode=facts.metadata,
        metadata=metadata,
    )


def _rewriters(endpoint: str, chain: Chain, meter: Meter) -> list[FrameRewriter]:
    """Return what rewrites frames of a stream that passes as it is; mostly nothing does."""
    if not chain.reads_answers or endpoint not in _FRAMES:
        return []
    think, calls = _FRAMES[endpoint]
    rewriters: list[FrameRewriter] = [think()] if chain.think_tags else []
    return [*rewriters, calls(meter.note)] if chain.tool_call_repair else rewriters


def _encoder(
    facts: Facts, attempt: Attempt, meter: Meter, tool_names: Mapping[str, str] | None
) -> Encoder:
    request, chain = facts.request, attempt.transformers
    telling = facts.telling(attempt, tool_names)
    if chain.text is not None and request.dialect == "frames":
        encoder: Encoder = FramesEncoder(telling, chain.text())
    else:
        encoder = CLIENTS[request.dialect].encoder(telling)
    if not chain.reads_answers:
        return encoder

    def failing(error: GatewayError) -> bytes:
        return SPOKEN[request.dialect].error_frame(error, facts.id, request.endpoint)

    return TransformingEncoder(encoder, event_transforms(chain, meter.note), failing)


def steady_of(
    passage: Passage,
    stamper: Stamper | None,
    books: tuple[ExchangeRecord, Stamps],
    most_frames: int,
) -> Steady | None:
    """Return what may take in the frames of `passage`; None where each has to be changed or told."""
    encoder: PlainEncoder | None = None
    if isinstance(passage, Translating):
        if not isinstance(passage.encoder, ChatEncoder | MessagesEncoder):
            return None
        encoder = passage.encoder
    elif not isinstance(passage, Relaying) or not passage.reading.hands_on:
        return None
    decoder = passage.reading.decoder
    if not isinstance(decoder, ChatDecoder | MessagesDecoder) or (
        stamper is not None and not stamper.plain
    ):
        return None
    return Steady(passage, decoder, encoder, stamper, books, most_frames)
