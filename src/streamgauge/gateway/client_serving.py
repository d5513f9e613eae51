"""Requests in and answers out on one client's connection, in turn. Knows no asyncio call-back.

`client_connection.py` is the rest of it: what the transport tells, and the deadlines.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable

from streamgauge.core.errors import ErrorCode, RequestError
from streamgauge.gateway.client_application import Application, ClientSettings, EarlyAnswer, Phase
from streamgauge.gateway.client_patience import BodyPace, Linger
from streamgauge.gateway.client_responder import ClientResponder, ResponderState
from streamgauge.gateway.client_socket import ClientSocket
from streamgauge.gateway.http import Request, RequestHead
from streamgauge.gateway.http_text import CONTINUE
from streamgauge.gateway.request_reader import RequestReader

__all__ = ["READING", "ClientServing"]

_log = logging.getLogger(__name__)

# Pipelined requests served in one go; then other sockets have their turn.
_BURST = 32

READING = (Phase.IDLE, Phase.HEAD, Phase.BODY)
"""Phases in which the next bytes are a request's."""


class ClientServing:
    """Serves requests one at a time, in order; a responder lives from its request to its answer."""

    __slots__ = (
        "_advancing",
        "_application",
        "_clock",
        "_deadline",
        "_draining",
        "_eof",
        "_head",
        "_linger",
        "_next_settings",
        "_pace",
        "_phase",
        "_reader",
        "_responder",
        "_settings",
        "_socket",
        "_unread",
        "write",
    )

    def __init__(
        self,
        settings: ClientSettings,
        application: Application,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._application = application
        self._clock = clock
        self._phase = Phase.IDLE
        self._socket = ClientSocket()
        # For the responder, which writes each frame: straight to the socket, a call less.
        self.write: Callable[[bytes], None] = self._socket.write
        self._reader = RequestReader(settings.allowed_hosts, settings.max_body)
        self._responder: ClientResponder | None = None
        self._head: RequestHead | None = None
        self._unread: RequestHead | None = None  # of the request whose body is still coming
        self._deadline = math.inf
        self._next_settings: ClientSettings | None = None
        self._linger: Linger | None = None
        self._pace: BodyPace | None = None
        self._advancing = False
        self._draining = False
        self._eof = False

    def abort(self) -> None:
        """Drop the connection at once; a responder's owner is told that its client is gone."""
        self._leave()
        self._socket.abort()

    def answered(self, keep_alive: bool) -> None:
        """Go on to the next request, or close. For the responder."""
        self._responder = self._head = None
        if not keep_alive or self._draining:
            self._finish()
            return
        if self._next_settings is not None:
            self._renew()
        self._enter(Phase.IDLE, self._settings.idle_seconds)
        if self._reader.buffered or self._eof or self._socket.reading_held:
            self._advance()  # else nothing is left to do until bytes come

    def _renew(self) -> None:
        """Between two requests, take the settings that came meanwhile."""
        settings, self._next_settings = self._next_settings, None
        if settings is not None:
            self._settings = settings
            self._reader.limit(settings.allowed_hosts, settings.max_body)

    def _enter(self, phase: Phase, seconds: float) -> None:
        self._phase = phase
        self._pace = None
        self._deadline = self._clock() + seconds

    def _answering(self) -> None:
        self._phase = Phase.ANSWERING
        self._pace = None
        self._deadline = math.inf

    def _advance(self) -> None:
        """Read and serve what is buffered. An answer given at once re-enters: the loop goes on."""
        if not self._advancing:
            self._advancing = True
            self._serve_burst()

    def _serve_burst(self) -> None:
        left, more = _BURST, False
        try:
            while left and self._step():
                left -= 1
            more = not left
        except RequestError as refusal:
            self._refuse(refusal.status, refusal.code, refusal.message)
        finally:
            self._advancing = more
        if more:
            asyncio.get_running_loop().call_soon(self._serve_burst)
        else:
            self._adjust_reading()

    def _step(self) -> bool:
        """Read one request, or what has come of it. Returns whether there may be more to do."""
        if self._socket.blocked or self._phase not in READING:
            return False
        return self._read_body() if self._phase is Phase.BODY else self._read_head()

    def _read_head(self) -> bool:
        head = self._reader.read_head()
        if head is None:
            if self._phase is Phase.IDLE and self._reader.buffered:
                self._enter(Phase.HEAD, self._settings.header_seconds)
            return False
        self._head = head
        try:
            early = self._application.accept_head(head)
        except Exception:  # a fault of ours must not leave the client waiting: logged, and a 500
            self._failed("accept_head", None)
            return False
        if early is not None:
            self._answer_early(early)
            return True
        if self._reader.wants_continue:
            self.write(CONTINUE)
        return self._read_body()

    def _read_body(self) -> bool:
        body = self._reader.read_body()
        if body is None or self._head is None:
            self._wait_for_body()
            return False
        self._unread = None
        request = Request(self._head, body, self._clock())
        self._answering()
        responder = self._respond(self._reader.keep_alive)
        try:
            self._application.handle(request, responder)
        except Exception:  # as above
            self._failed("handle", responder)
        return self._phase is not Phase.ANSWERING

    def _wait_for_body(self) -> None:
        settings = self._settings
        if self._phase is not Phase.BODY:
            self._unread = self._head
            self._enter(Phase.BODY, settings.body_seconds)
        if self._pace is None:
            self._pace = BodyPace(settings.body_rate, settings.body_window, self._clock())

    def _answer_early(self, early: EarlyAnswer) -> None:
        here = self._body_is_here()
        if here:
            self._answering()
        self._answer(early, here and self._reader.keep_alive)

    def _body_is_here(self) -> bool:
        """Take the body of a request refused by its head, where it has come along with it."""
        try:
            return self._reader.read_body() is not None
        except RequestError:
            return False

    def _respond(self, keep_alive: bool) -> ClientResponder:
        method = "GET" if self._head is None else self._head.method
        last = self._draining or (self._eof and not self._reader.buffered)
        responder = ClientResponder(self, method, self._reader.minor, keep_alive and not last)
        self._responder = responder
        return responder

    def _refuse(self, status: int, code: ErrorCode, message: str) -> None:
        """Answer in the dialect that the path looks like, and close."""
        reader, self._unread = self._reader, None
        head = reader.refused if self._head is None else self._head
        headers, body = self._application.bad_request(reader.path, status, code, message, head)
        self._answer(EarlyAnswer(status, headers, body), keep_alive=False)

    def _answer(self, answer: EarlyAnswer, keep_alive: bool) -> None:
        responder = self._respond(keep_alive)
        responder.send_head(answer.status, answer.headers, len(answer.body))
        responder.send(answer.body)
        responder.end()

    def _failed(self, where: str, responder: ClientResponder | None) -> None:
        """Our own fault, in an except block: log it, and never leave the client waiting."""
        _log.exception("handler_failed where=%s client=%s", where, self._socket.peer)
        if responder is not None:
            if responder.state is ResponderState.DONE:
                return
            if not responder.unsent:
                self.abort()
                return
            responder.lost()
        # The list of codes is closed (SPEC §5.5), and every other one blames the request or an
        # upstream, or tells of a shutdown, a limit or the ledger. This one says what a client can
        # act on: the gateway itself cannot serve it just now. The status and the log say more.
        self._refuse(500, ErrorCode.OVERLOADED, "The gateway failed on this request.")

    def _adjust_reading(self) -> None:
        """Hold reading while pipelined bytes pile up; close when half-closed and all is served."""
        socket = self._socket
        waits = socket.blocked or self._phase is Phase.ANSWERING
        if not self._eof:
            held = waits and self._reader.buffered > self._settings.high_water
            if held is not socket.reading_held:
                socket.hold_reading(held)
        elif not waits and self._phase in READING:
            self._close()

    def _finish(self) -> None:
        """Close after the last answer. Unread bytes would make the kernel send a reset after it,
        so what the client still sends is read and dropped for a while (RFC 9112 §9.6)."""
        served = self._phase is Phase.ANSWERING
        read = served and not self._reader.buffered and not self._socket.reading_held
        if read or self._eof or not self._socket.alive:
            self._close()
            return
        settings = self._settings
        self._reader.drop()
        self._linger = Linger(
            settings.linger_seconds, settings.body_seconds, settings.max_body, self._clock()
        )
        self._enter(Phase.LINGERING, settings.linger_seconds)
        self._socket.shut_writing()
        self._adjust_reading()

    def _close(self) -> None:
        """Close once what was written has left."""
        self._leave()
        self._socket.close()

    def _leave(self) -> None:
        """Become closed; the owner of an answer in progress, or of a request, is told, once."""
        unread, self._unread = self._unread, None
        self._phase = Phase.CLOSED
        self._reader.drop()
        responder, self._responder = self._responder, None
        self._head = None
        if responder is not None:
            responder.lost()
        elif unread is not None:
            self._application.request_lost(unread)
