"""One client's socket: what its transport tells, and deadlines kept. Knows no dialect, no upstream."""

from __future__ import annotations

import asyncio
from typing import cast

from streamgauge.core.errors import ErrorCode
from streamgauge.gateway.client_application import Application, ClientSettings, EarlyAnswer, Phase
from streamgauge.gateway.client_serving import ClientServing

__all__ = ["Application", "ClientConnection", "ClientSettings", "EarlyAnswer", "Phase"]


class ClientConnection(ClientServing, asyncio.Protocol):
    """One connection from its first byte to its last.

    There is no task and no timer: the server calls `tick` about once a second. `clock` gives the
    monotonic seconds that `tick` is called with. While an answer is under way the socket is read
    on, so that a client that leaves is noticed at once (SPEC §11.1).
    """

    __slots__ = ("__weakref__",)

    def __repr__(self) -> str:
        return f"<ClientConnection {self._socket.peer} {self._phase.value}>"

    @property
    def phase(self) -> Phase:
        """What the connection is doing."""
        return self._phase

    @property
    def idle_since(self) -> float | None:
        """Monotonic seconds since which it waits for a request; None when it does not."""
        idle = self._phase is Phase.IDLE and not self._advancing
        return self._deadline - self._settings.idle_seconds if idle else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket.attach(cast(asyncio.Transport, transport), self._settings.high_water)
        self._reader.peer = self._socket.ip
        self._enter(Phase.IDLE, self._settings.idle_seconds)
        self._application.connection_opened(self)

    def data_received(self, data: bytes) -> None:
        if self._linger is not None:
            if not self._linger.came(len(data), self._clock()):
                self._socket.abort()
            self._deadline = self._linger.deadline
        elif self._phase is not Phase.CLOSED:
            if self._pace is not None:
                self._pace.came(len(data))
            self._reader.feed(data)
            self._advance()

    def eof_received(self) -> bool:
        """FIN (F44, SPEC §4.10). Returns whether the socket stays open for what is unanswered."""
        unserved = self._phase is Phase.ANSWERING or self._socket.blocked or self._advancing
        if self._settings.half_close and unserved and self._phase is not Phase.LINGERING:
            self._eof = True
            return True
        self._leave()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._socket.detach()
        try:
            self._leave()
        finally:
            self._application.connection_closed(self)

    def pause_writing(self) -> None:
        self._socket.blocked = True
        if self._responder is not None:
            self._responder.blocked()

    def resume_writing(self) -> None:
        self._socket.blocked = False
        if self._responder is not None:
            self._responder.writable()
        self._advance()

    def tick(self, now: float) -> None:
        """Keep the deadlines (F45, F46). `now`: monotonic seconds; call about once a second."""
        if self._socket.stalled_for(now) >= self._settings.write_seconds:
            if self._responder is not None:
                self._responder.slow_reader = True
            self.abort()
        elif not self._socket.blocked:
            self._keep_deadlines(now)

    def adopt(self, settings: ClientSettings) -> None:
        """Keep to `settings` from the next request on; one that has begun keeps its own."""
        self._next_settings = settings
        if self._phase is Phase.IDLE:
            self._renew()

    def drain(self) -> None:
        """Serve the request that has begun, if any, then close."""
        self._draining = True
        if self._phase is Phase.IDLE and not self._reader.buffered:
            self._close()

    def turn_away(self, answer: EarlyAnswer, *, linger: bool) -> None:
        """Give `answer` to whatever will be asked, and close; `linger`: once it can have been read."""
        if self._phase is Phase.IDLE:
            if not linger:
                self._answering()
            self._answer(answer, keep_alive=False)

    def _keep_deadlines(self, now: float) -> None:
        if now >= self._deadline:
            self._deadline_passed(now)
        elif self._pace is not None and self._pace.too_slow(now):
            self._refuse(408, ErrorCode.BAD_REQUEST, "The request body came too slowly.")

    def _deadline_passed(self, now: float) -> None:
        match self._phase:
            case Phase.HEAD | Phase.BODY:
                self._refuse(408, ErrorCode.BAD_REQUEST, "The request did not come in time.")
            case Phase.IDLE:
                self._close()
            case Phase.LINGERING if self._socket.pending:
                self._deadline = now + self._settings.linger_seconds
            case Phase.LINGERING:
                self._socket.abort()
            case Phase.ANSWERING | Phase.CLOSED:
                pass
