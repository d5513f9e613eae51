"""Sits between a relay and its two connections, and notes what passes. It changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streamgauge.core.exchange import Exchange
from streamgauge.core.record import ExchangeRecord
from streamgauge.gateway.capture.format import Side, Way
from streamgauge.gateway.capture.recording import Flow
from streamgauge.gateway.capture.writer import Tape
from streamgauge.gateway.http import (
    ClientEvents,
    EndKind,
    FailKind,
    Header,
    Responder,
    UpstreamCall,
    UpstreamEvents,
)
from streamgauge.gateway.relay_owner import RelayOwner
from streamgauge.gateway.timers import Timer
from streamgauge.gateway.upstreams import UpstreamRuntime
from streamgauge.ledger.base import Ledger

__all__ = ["TappedEvents", "TappedOwner", "TappedResponder"]

_ASKED: Flow = (Side.CLIENT, Way.IN, None)
_TOLD: Flow = (Side.CLIENT, Way.OUT, None)


class TappedResponder:
    """A Responder, and between it and its owner the ClientEvents."""

    __slots__ = ("_events", "_inner", "_tape")

    def __init__(self, inner: Responder, tape: Tape) -> None:
        self._inner = inner
        self._tape = tape
        self._events: ClientEvents | None = None

    @property
    def slow_reader(self) -> bool:
        """Whether the client was cut because it read nothing."""
        return bool(getattr(self._inner, "slow_reader", False))

    def subscribe(self, events: ClientEvents) -> None:
        """Tell `events` from now on."""
        self._events = events
        self._inner.subscribe(self)

    def send_head(self, status: int, headers: Sequence[Header], length: int | None) -> None:
        """Send the head."""
        self._tape.head(_TOLD, f"HTTP/1.1 {status}", tuple(headers))
        self._inner.send_head(status, headers, length)

    def send(self, data: bytes) -> None:
        """Send bytes of the body."""
        self._tape.data(_TOLD, data)
        self._inner.send(data)

    def end(self) -> None:
        """End the body."""
        self._tape.end(_TOLD, "end")
        self._inner.end()

    def abort(self) -> None:
        """Drop the connection."""
        self._tape.end(_TOLD, "abort")
        self._inner.abort()

    def client_gone(self) -> None:
        """The client left."""
        self._tape.end(_ASKED, "gone")
        if self._events is not None:
            self._events.client_gone()

    def client_blocked(self) -> None:
        """The client's buffer is full."""
        if self._events is not None:
            self._events.client_blocked()

    def client_writable(self) -> None:
        """The client's buffer has room again."""
        if self._events is not None:
            self._events.client_writable()


class _TappedCall:
    """An UpstreamCall."""

    __slots__ = ("_flow", "_inner", "_tape")

    def __init__(self, inner: UpstreamCall, tape: Tape, flow: Flow) -> None:
        self._inner = inner
        self._tape = tape
        self._flow = flow

    def send(self, data: bytes) -> None:
        head, _, body = data.partition(b"\r\n\r\n")
        start, *lines = head.split(b"\r\n")
        fields = (line.partition(b": ") for line in lines)
        headers = tuple((name, value) for name, _, value in fields)
        self._tape.head(self._flow, start.decode("latin-1"), headers)
        if body:
            self._tape.data(self._flow, body)
        self._tape.end(self._flow, "end")
        self._inner.send(data)

    def pause(self) -> None:
        self._inner.pause()

    def resume(self) -> None:
        self._inner.resume()

    def close(self) -> None:
        self._tape.end((Side.UPSTREAM, Way.IN, self._flow[2]), "closed_by_us")
        self._inner.close()


class TappedEvents:
    """The UpstreamEvents of one attempt."""

    __slots__ = ("_flow", "_tape", "inner")

    def __init__(self, inner: UpstreamEvents, tape: Tape, flow: Flow) -> None:
        self.inner = inner
        self._tape = tape
        self._flow = flow

    def upstream_connected(self) -> None:
        self.inner.upstream_connected()

    def upstream_failed(self, kind: FailKind, message: str, sent: bool) -> None:
        self._tape.end(self._flow, f"failed_{kind.value}")
        self.inner.upstream_failed(kind, message, sent)

    def upstream_head(self, status: int, headers: tuple[Header, ...]) -> None:
        self._tape.head(self._flow, f"HTTP/1.1 {status}", headers)
        self.inner.upstream_head(status, headers)

    def upstream_data(self, data: bytes) -> None:
        self._tape.data(self._flow, data)
        self.inner.upstream_data(data)

    def upstream_end(self, kind: EndKind, message: str) -> None:
        self._tape.end(self._flow, kind.value)
        self.inner.upstream_end(kind, message)


class TappedOwner:
    """A relay's owner: the gateway, but that upstream calls go through a tap."""

    __slots__ = ("_attempts", "_inner", "_tape")

    def __init__(self, inner: RelayOwner, tape: Tape) -> None:
        self._inner = inner
        self._tape = tape
        self._attempts = 0

    @property
    def ledger(self) -> Ledger:
        """The books."""
        return self._inner.ledger

    def open_upstream(self, upstream: UpstreamRuntime, events: UpstreamEvents) -> UpstreamCall:
        """Begin a call that tells `events`."""
        self._attempts += 1
        n, tape = self._attempts, self._tape
        told = TappedEvents(events, tape, (Side.UPSTREAM, Way.IN, n))
        call = self._inner.open_upstream(upstream, told)
        return _TappedCall(call, tape, (Side.UPSTREAM, Way.OUT, n))

    def call_later(self, delay: float, call: Callable[[], None]) -> Timer:
        """Run `call` in `delay` seconds."""
        return self._inner.call_later(delay, call)

    def relay_ended(self, exchange: Exchange, record: ExchangeRecord) -> None:
        """The exchange is over."""
        self._tape.close(record)
        self._inner.relay_ended(exchange, record)
