"""All streams that are kept for clients that lost their connection (SPEC §11.5). Knows no dialect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from streamgauge.config.sessions import Sessions
from streamgauge.core.attempt import Facts
from streamgauge.core.errors import ErrorCode, RequestError
from streamgauge.core.record import ExchangeRecord, Status
from streamgauge.core.resume import asked_after
from streamgauge.gateway.http import RequestHead, Responder
from streamgauge.gateway.kept_stream import KeptStream
from streamgauge.gateway.resume_seams import Kept
from streamgauge.gateway.timers import Timer

__all__ = ["Bounds", "Resuming", "with_ids"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bytes kept of one stream and of all. `headroom`: what may still come of a paused upstream.

    4 MiB are some 20 000 frames of a chat. Half of it is for what was sent already, and may have
    been lost on its way: sockets on both sides hold less. The other half is for an absence.
    """

    stream: int = 4 << 20
    total: int = 256 << 20
    headroom: int = 512 << 10


class Resuming:
    """The kept streams by their ids, within `bounds`. `bytes`: what all of them hold."""

    def __init__(
        self, call_later: Callable[[float, Callable[[], None]], Timer], bounds: Bounds
    ) -> None:
        self.call_later = call_later
        self.bytes = 0
        self._bounds = bounds
        self._streams: dict[str, Kept] = {}
        self._read: dict[str, Kept] = {}
        self._full: set[Kept] = set()

    def __len__(self) -> int:
        return len(self._streams)

    def __repr__(self) -> str:
        return f"<Resuming {len(self._streams)} streams, {self.bytes} bytes>"

    @property
    def waiting(self) -> int:
        """How many upstreams wait because nobody reads their stream and there is no room."""
        return len(self._full)

    def keep(
        self, head: RequestHead, facts: Facts, settings: Sessions, responder: Responder
    ) -> KeptStream | None:
        """Return what stands before `responder` where the stream is to be kept, else None."""
        seconds = settings.resume_seconds
        if not seconds or not _asks_resume(head, facts):
            return None
        return KeptStream(self, facts.id, facts.key_id, seconds, responder)

    def find(self, stream_id: str, key_id: str | None) -> Kept:
        """Return a stream of its owner. Raises RequestError; another key's is not there (S3)."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.key_id != key_id:
            raise RequestError("there is no such stream", status=404, code=ErrorCode.NO_ROUTE)
        return stream

    def answer(
        self, stream_id: str, head: RequestHead, responder: Responder, key_id: str | None
    ) -> None:
        """Let a client read a stream on. Raises GatewayError."""
        after = asked_after(stream_id, head.query, head.header(b"last-event-id"))
        self.find(stream_id, key_id).attach(responder, after)

    def exchange_ended(self, record: ExchangeRecord) -> None:
        """Keep no stream whose row says that its client has left."""
        stream = self._streams.get(record.id)
        if stream is not None and record.status is Status.CLIENT_DISCONNECTED:
            stream.abort()

    def close(self) -> None:
        """Forget everything: the gateway stops."""
        for stream in list(self._streams.values()):
            stream.abort()

    # --- for the streams -----------------------------------------------------------------------

    @property
    def half(self) -> int:
        """How much of what was sent already is kept while a client is there."""
        return self._bounds.stream // 2

    @property
    def headroom(self) -> int:
        """What may still come of an upstream that was told to wait."""
        return self._bounds.headroom

    def opened(self, stream: Kept) -> None:
        """It can be found from now on."""
        self._streams[stream.id] = stream

    def read(self, stream: Kept) -> None:
        """It was read to its end: others may need its room more."""
        self._read[stream.id] = stream

    def forgot(self, stream: Kept) -> None:
        """It is gone, with what it kept; those that were full go on."""
        if self._streams.pop(stream.id, None) is None:
            return
        self._read.pop(stream.id, None)
        self._full.discard(stream)
        self.bytes -= stream.buffer.size
        for waiting in list(self._full):
            waiting.press()

    def room_for(self, size: int) -> int:
        """Return how much a stream that holds `size` may hold; what was read gives way first."""
        total = self._bounds.total
        while self._read and self.bytes + self._bounds.headroom > total:
            done = next(iter(self._read.values()))
            del self._read[done.id]
            if done.is_read:
                done.abort()
        return min(self._bounds.stream, total - self.bytes + size)

    def note_full(self, stream: Kept, full: bool) -> None:
        """Look at it again when there is more room, if it is `full`."""
        if full:
            self._full.add(stream)
        else:
            self._full.discard(stream)


def _asks_resume(head: RequestHead, facts: Facts) -> bool:
    """Return whether a client wants its stream kept, and can be: frames must carry ids.

    Lines of JSON have no place for one, and what is not read (`metering: off`) no frames.
    """
    if head.header(b"x-streamgauge-resume") != "1":
        return False
    return facts.request.stream and facts.request.dialect != "simple" and facts.metering


def with_ids(facts: Facts) -> Facts:
    """Return the facts of a stream whose frames carry `id: <stream>:<seq>`."""
    return replace(facts, proof=replace(facts.proof, ids=True))
