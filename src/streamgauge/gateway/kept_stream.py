"""One stream whose client may lose its connection and come back (SPEC §11.5). Knows no dialect.

Between relay and connection: to the relay it is a responder, to a connection who listens to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.core.resume import FrameBuffer
from streamgauge.gateway.http import ClientEvents, Header, Responder
from streamgauge.gateway.resume_seams import ResumeEvents, StreamStore
from streamgauge.gateway.timers import Timer

__all__ = ["KeptStream"]

_SLICE = 64 * 1024
"""Bytes that a reader who catches up is given at once: our write buffer's own bound (SPEC §4.3)."""
_RESUMED = b": streamgauge resumed\n"
"""Lets the head leave, which waits for the first bytes of the body."""


class _State(Enum):
    WAITING = "waiting"
    """No head of a stream was given: who leaves now knows no id to come back with."""
    OPEN = "open"
    ENDED = "ended"
    """It is at its end, which no client has."""
    READ = "read"
    """A connection was given all of it."""
    GONE = "gone"


class _Reader:
    """A client's connection, and how far it was given the stream."""

    __slots__ = ("_stream", "blocked", "place", "responder")

    def __init__(self, stream: KeptStream, responder: Responder, place: int = 0) -> None:
        self._stream = stream
        self.responder = responder
        self.place = place
        self.blocked = False

    def client_gone(self) -> None:
        self._stream.reader_gone(self)

    def client_blocked(self) -> None:
        self.blocked = True
        self._stream.press()

    def client_writable(self) -> None:
        self.blocked = False
        self._stream.pump(self)


class KeptStream:
    """One stream whose client may lose its connection. Implements Responder for the relay.

    At most one connection reads it. While there is none, what comes is kept until the bound is
    reached; then the upstream waits. `seconds` without a connection are the end of it, or, once a
    client has had it whole, `seconds` after that.
    """

    __slots__ = (
        "_events",
        "_headers",
        "_paused",
        "_reader",
        "_seconds",
        "_state",
        "_store",
        "_timer",
        "buffer",
        "id",
        "key_id",
        "slow_reader",
    )

    def __init__(
        self,
        store: StreamStore,
        stream_id: str,
        key_id: str | None,
        seconds: float,
        responder: Responder,
    ) -> None:
        self.id, self.key_id = stream_id, key_id
        self.buffer = FrameBuffer(stream_id)
        self.slow_reader = False
        self._store = store
        self._seconds = seconds
        self._reader: _Reader | None = _Reader(self, responder)
        self._state = _State.WAITING
        self._events: ResumeEvents | None = None
        self._headers: list[Header] = []
        self._paused = False
        self._timer: Timer | None = None

    def __repr__(self) -> str:
        return f"<KeptStream {self.id} {self._state.value} {self.buffer!r}>"

    def bind(self, events: ResumeEvents) -> None:
        """Tell `events`, the relay, from the subscription on."""
        self._events = events

    # --- from the relay ------------------------------------------------------------------------

    def subscribe(self, events: ClientEvents) -> None:
        """Hear of the first client; `events` is who was bound."""
        if self._reader is not None:
            self._reader.responder.subscribe(self._reader)

    def send_head(self, status: int, headers: Sequence[Header], length: int | None) -> None:
        """Send a head. A body without length is a stream, which is kept from now on."""
        if self._reader is None:
            return
        if length is None:
            self._state = _State.OPEN
            self._headers = [*headers, (b"x-streamgauge-resume", b"%g" % self._seconds)]
            self._store.opened(self)
        self._reader.responder.send_head(status, self._headers or headers, length)

    def send(self, data: bytes) -> None:
        """Keep `data`, and hand it to the client that has all before it."""
        reader, buffer = self._reader, self.buffer
        if self._state is _State.WAITING:
            if reader is not None:
                reader.responder.send(data)
        elif self._state is _State.OPEN:
            live = reader if reader is not None and reader.place == buffer.end else None
            before = buffer.size
            buffer.append(data)
            self._store.bytes += buffer.size - before
            if live is not None:
                live.place = buffer.end
                live.responder.send(data)
            self._fit()

    def end(self) -> None:
        """The stream is whole, and ends for the client that has all of it."""
        reader = self._reader
        if self._state is _State.WAITING:
            self._state = _State.GONE
            if reader is not None:
                reader.responder.end()
        elif self._state is _State.OPEN:
            self._state = _State.ENDED
            if reader is None:
                self._wait()
            elif reader.place == self.buffer.end:
                self._end_reader(reader)

    def abort(self) -> None:
        """Drop the client's connection and all that is kept."""
        self._state = _State.GONE
        self._forget_timer()
        self._store.forgot(self)
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.responder.abort()

    # --- from the readers ----------------------------------------------------------------------

    def attach(self, responder: Responder, after: int) -> None:
        """Let a connection read on behind frame `after`; an older one is dropped.

        Raises GatewayError where that frame was not sent, or what follows it is no longer there.
        """
        place = self.buffer.place_after(after)
        if place is None:
            message = f"what followed frame {after} is no longer kept"
            raise GatewayError(410, ErrorCode.NO_ROUTE, message)
        older, self._reader = self._reader, _Reader(self, responder, place)
        if self._state is not _State.READ:
            self._forget_timer()
        if older is not None:
            older.responder.abort()
        self._begin(self._reader)

    def _begin(self, reader: _Reader) -> None:
        behind = reader.place < self.buffer.end
        if not behind and self._state is not _State.OPEN:
            # It has the end; an EventSource asks again and again until it hears this status.
            reader.responder.send_head(204, self._headers, 0)
            self._end_reader(reader)
            return
        if behind and self._events is not None:
            self._events.client_away()
        reader.responder.send_head(200, self._headers, None)
        reader.responder.send(_RESUMED)
        reader.responder.subscribe(reader)
        self.pump(reader)

    def reader_gone(self, reader: _Reader) -> None:
        """A connection is lost; the client may come back."""
        if reader is not self._reader:
            return
        self._reader = None
        self.slow_reader = bool(getattr(reader.responder, "slow_reader", False))
        if self._state is _State.WAITING:
            self._give_up()
        elif self._state is not _State.READ:
            self._wait()
            if self._events is not None:
                self._events.client_away()
            self.press()
        elif self._timer is None:
            self._give_up()

    def pump(self, reader: _Reader) -> None:
        """Give a reader what it lacks, as far as its socket takes it."""
        buffer = self.buffer
        while reader is self._reader and not reader.blocked and reader.place < buffer.end:
            data, reader.place = buffer.take(reader.place, _SLICE)
            reader.responder.send(data)
        if reader is not self._reader:
            return
        if reader.place == buffer.end:
            if self._state is not _State.OPEN:
                self._end_reader(reader)
                return
            if self._events is not None:
                self._events.client_back()
        self._fit()

    def _end_reader(self, reader: _Reader) -> None:
        """A connection has all of it: only now may the row say so."""
        self._reader = None
        if self._state is not _State.READ:
            self._state = _State.READ
            self._store.read(self)
            self._wait()
        reader.responder.end()  # may serve the connection's next request at once
        if self._events is not None:
            self._events.client_back()
        if self._timer is None and self._state is _State.READ:
            self._give_up()

    @property
    def is_read(self) -> bool:
        """Whether some client has it whole, and none is reading it again."""
        return self._state is _State.READ and self._reader is None

    # --- bounds --------------------------------------------------------------------------------

    def _fit(self) -> None:
        """Keep within the bounds; who is behind what was dropped for them loses its connection."""
        reader, buffer, store = self._reader, self.buffer, self._store
        before = buffer.size
        if reader is not None:
            buffer.trim(store.half, reader.place)
        buffer.trim(store.room_for(before))
        store.bytes += buffer.size - before
        if reader is not None and reader.place < buffer.base:
            reader.responder.abort()
            self.reader_gone(reader)
        self.press()

    def press(self) -> None:
        """Let the upstream wait while a client reads nothing, or nobody reads and all is full."""
        reader, size, store = self._reader, self.buffer.size, self._store
        alone = reader is None and self._state is _State.OPEN
        full = alone and size + store.headroom > store.room_for(size)
        store.note_full(self, full)
        wanted = full if reader is None else reader.blocked
        if wanted is self._paused or self._events is None:
            return
        self._paused = wanted
        if wanted:
            self._events.client_blocked()
        else:
            self._events.client_writable()

    # --- time ----------------------------------------------------------------------------------

    def _wait(self) -> None:
        self._forget_timer()
        self._timer = self._store.call_later(self._seconds, self._time_is_up)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_is_up(self) -> None:
        self._timer = None
        if self._reader is None:
            self._give_up()

    def _give_up(self) -> None:
        """The client has left for good."""
        self._state = _State.GONE
        self._forget_timer()
        self._store.forgot(self)
        if self._events is not None:
            self._events.client_gone()
            self._events = None
