"""Log lines of running streams: their frames, what looks like a replay, late closes (SPEC §9.2, §9.3).

It decides nothing, and where nobody wants the lines of frames it stands in nobody's way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from streamgauge.core.exchange import Exchange
from streamgauge.core.integrity_stamp import Stamp
from streamgauge.core.replay_watch import Suspicion
from streamgauge.gateway.http import ClientEvents, Header, Responder, UpstreamEvents

__all__ = ["NO_LOG", "Emit", "FrameLog", "LoggedResponder", "StreamLog"]

Emit = Callable[[str, str, list[tuple[str, str]]], None]
"""Writes a line: level, event, fields."""


@runtime_checkable
class _Streaming(Protocol):
    """What is told of an upstream's call and has an exchange, as a relay has."""

    @property
    def exchange(self) -> Exchange:
        """Its exchange."""


class StreamLog:
    """Writes through `emit`; `shows` tells whether lines of a level are wanted."""

    __slots__ = ("_emit", "_shows")

    def __init__(self, emit: Emit, shows: Callable[[str], bool]) -> None:
        self._emit = emit
        self._shows = shows

    def frames(self, trace: str) -> FrameLog | None:
        """Return what logs each frame of a stream, None where nobody wants to know."""
        return FrameLog(self._emit, trace) if self._shows("debug") else None

    def suspected(self, trace: str, suspicion: Suspicion) -> None:
        """A part of an upstream's answer came before, or some of it never did (SPEC §12.2)."""
        place = [("seq", str(suspicion.seq)), ("offset", str(suspicion.offset))]
        fields = [("trace", trace), ("kind", suspicion.kind.value), *place]
        self._emit("warning", "replay_suspected", fields)

    def close_late(self, events: UpstreamEvents) -> None:
        """An upstream's socket was still open 0.5 s after the stream that is told of it closed it."""
        relay = getattr(events, "inner", events)  # a capture's tap may stand before it
        if isinstance(relay, _Streaming):
            trace = relay.exchange.facts.id
            self._emit("warning", "upstream_close_timeout", [("trace", trace)])


class FrameLog:
    """Two lines a frame of one stream: when it is made, and when the socket has its bytes."""

    __slots__ = ("_emit", "_trace", "_unwritten")

    def __init__(self, emit: Emit, trace: str) -> None:
        self._emit = emit
        self._trace = trace
        self._unwritten: deque[list[tuple[str, str]]] = deque()

    def made(self, stamp: Stamp) -> None:
        """A frame was made."""
        fields = [
            ("seq", str(stamp.seq)),
            ("sha1", stamp.sha1 or "-"),
            ("done", "true" if stamp.done else "false"),
            ("acc", str(stamp.acc_len)),
            ("raw", str(stamp.raw_len)),
            ("trace", self._trace),
        ]
        self._unwritten.append(fields)
        self._emit("debug", "EMIT", fields)

    def written(self) -> None:
        """All that was made has been handed to the socket."""
        while self._unwritten:
            self._emit("debug", "SOCKET_WRITE", self._unwritten.popleft())


class LoggedResponder:
    """A Responder that tells a FrameLog what it has handed on."""

    __slots__ = ("_frames", "_inner")

    def __init__(self, inner: Responder, frames: FrameLog) -> None:
        self._inner = inner
        self._frames = frames

    @property
    def slow_reader(self) -> bool:
        """Whether the client was cut because it read nothing."""
        return bool(getattr(self._inner, "slow_reader", False))

    def subscribe(self, events: ClientEvents) -> None:
        """Tell `events` from now on."""
        self._inner.subscribe(events)

    def send_head(self, status: int, headers: Sequence[Header], length: int | None) -> None:
        """Send the status line and headers."""
        self._inner.send_head(status, headers, length)

    def send(self, data: bytes) -> None:
        """Hand `data` to the socket, and say so."""
        self._inner.send(data)
        self._frames.written()

    def end(self) -> None:
        """End the body properly."""
        self._inner.end()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._inner.abort()


def _nothing(level: str, event: str, fields: list[tuple[str, str]]) -> None:
    """Write no line."""


NO_LOG = StreamLog(_nothing, lambda level: False)
