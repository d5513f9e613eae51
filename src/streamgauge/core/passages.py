"""Makes the passage of an attempt's stream: relayed as it is, or translated."""

from __future__ import annotations

from collections.abc import Callable

from streamgauge.core.attempt import Attempt, Facts
from streamgauge.core.dialects.codecs import CLIENTS, UPSTREAMS
from streamgauge.core.dialects.registry import dialect_of
from streamgauge.core.meter import Meter
from streamgauge.core.passage import Passage
from streamgauge.core.reading import StreamReading
from streamgauge.core.relaying import Relaying
from streamgauge.core.translating import Translating

__all__ = ["new_passage"]


def new_passage(
    facts: Facts,
    attempt: Attempt,
    meter: Meter,
    *,
    hide_usage: bool,
    metadata: Callable[[], bytes],
    released: bool,
) -> Passage:
    """Return the passage of the stream that `attempt` has opened.

    `hide_usage`: its usage-only frames are ours. `released`: the client has the head already.
    """
    request = facts.request
    if attempt.dialect is None:
        decoder = dialect_of(request.endpoint).decoder(request.endpoint, attempt.kind)
        return Relaying(
            StreamReading(decoder, meter),
            hide_usage=hide_usage,
            mode=facts.metadata,
            metadata=metadata,
            released=released,
        )
    upstream, client = UPSTREAMS[attempt.dialect], CLIENTS[request.dialect]
    reading = StreamReading(upstream.decoder(), meter, upstream.splitter())
    encoder = client.encoder(facts.telling(attempt))
    return Translating(
        reading, encoder, frame_end=client.frame_end, mode=facts.metadata, metadata=metadata
    )
