"""One upstream socket, reused from call to call; it knows no HTTP and not which call is next."""

from __future__ import annotations

import asyncio
import math
import select
import socket
import ssl
from collections.abc import Callable, Hashable
from typing import Protocol, cast

from streamgauge.gateway.http import FailKind

__all__ = ["RECEIVE_BUFFER_BYTES", "ConnectionOwner", "ConnectionUser", "UpstreamConnection"]

RECEIVE_BUFFER_BYTES = 128 * 1024
"""Asked of the kernel, which doubles it for its bookkeeping: 256 KiB a socket (SPEC §4.3)."""


class ConnectionUser(Protocol):
    """The call that a connection serves now."""

    def received(self, data: bytes) -> None:
        """Bytes came."""

    def lost(self, kind: FailKind, message: str, *, orderly: bool) -> None:
        """The connection is gone. `orderly`: ended on purpose (FIN, with TLS close_notify)."""

    def close(self) -> None:
        """End the call, telling its owner nothing."""


class ConnectionOwner(Protocol):
    """The pool, which knows every connection until its last moment."""

    def connection_unusable(self, connection: UpstreamConnection) -> None:
        """An idle connection was ended by its peer, or sent bytes nobody asked for."""

    def connection_closed(self, connection: UpstreamConnection) -> None:
        """The socket is closed."""


class UpstreamConnection(asyncio.BufferedProtocol):
    """A socket with at most one user. It reads while idle too, so that a FIN is seen at once."""

    __slots__ = (
        "_buffer",
        "_opened",
        "_owner",
        "_paused",
        "_poll",
        "_transport",
        "idle_since",
        "key",
        "reused",
        "user",
    )

    def __init__(
        self,
        key: Hashable,
        buffer: memoryview,
        owner: ConnectionOwner,
        opened: Callable[[UpstreamConnection], None],
    ) -> None:
        """`buffer` is shared by all connections of a loop: each read is copied out of it at once.

        Its size bounds a read, and so what a client that reads nothing costs (SPEC §4.3): uvloop
        would read 256 kB. `opened` is called when the socket is ready, before a byte of it is read.
        """
        self.key = key
        self.user: ConnectionUser | None = None
        self.reused = False
        self.idle_since = math.inf
        self._buffer = buffer
        self._owner = owner
        self._opened = opened
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._poll = select.poll()

    def __repr__(self) -> str:
        if self._transport is None or self._transport.is_closing():
            state = "closed"
        elif self.user is not None:
            state = "busy"
        else:
            state = "idle"
        return f"<UpstreamConnection {state}{' reused' if self.reused else ''}>"

    @property
    def closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self._transport is None or self._transport.is_closing()

    @property
    def unsent(self) -> bool:
        """Whether bytes written still wait for the socket."""
        return self._transport is not None and self._transport.get_write_buffer_size() > 0

    @property
    def quiet(self) -> bool:
        """Whether it is open with nothing to read, not even what the loop has not seen yet.

        A FIN would cost a resend, and bytes sent unasked would be taken for the next answer.
        """
        if self._transport is None or self._transport.is_closing():
            return False
        return not self._poll.poll(0)

    def write(self, data: bytes) -> None:
        """Hand `data` to the socket; a socket already lost tells so through `lost`."""
        if self._transport is not None:
            self._transport.write(data)

    def pause(self) -> None:
        """Stop reading."""
        if self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on; does nothing on a connection that reads."""
        if not self._paused:
            return
        self._paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once; the user, if any, is told nothing."""
        self.user = None
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's call-back: the socket (with TLS: the handshake) is ready."""
        self._transport = cast("asyncio.Transport", transport)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll.register(sock.fileno(), select.POLLIN)  # POLLHUP and POLLERR come unasked
        self._opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """asyncio's call-back. A memoryview: asyncio's TLS writes into slices of it."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """asyncio's call-back: `nbytes` are in the buffer."""
        if self.user is not None:
            self.user.received(bytes(self._buffer[:nbytes]))
        else:
            self._owner.connection_unusable(self)

    def eof_received(self) -> None:
        """asyncio's call-back: the peer will send no more, which for a client is the end."""
        orderly = self._ended_on_purpose()
        self._tell_lost(FailKind.CLOSED, "the upstream closed the connection", orderly=orderly)
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's call-back: the socket is closed."""
        kind, message = _loss(exc)
        self._tell_lost(kind, message, orderly=False)
        self._transport = None
        self._owner.connection_closed(self)

    def _tell_lost(self, kind: FailKind, message: str, *, orderly: bool) -> None:
        user, self.user = self.user, None
        if user is not None:
            user.lost(kind, message, orderly=orderly)
        else:
            self._owner.connection_unusable(self)

    def _ended_on_purpose(self) -> bool:
        # RFC 8446 §6.1: without close_notify the end may be an attacker's. asyncio calls
        # eof_received in both cases; the TLS object reads as ended only after the alert.
        if self._transport is None:
            return False
        tls = self._transport.get_extra_info("ssl_object")
        if tls is None:
            return True
        try:
            return not tls.read(1)
        except ssl.SSLZeroReturnError:
            return True
        except ssl.SSLError:
            return False


def _loss(error: Exception | None) -> tuple[FailKind, str]:
    if error is None:
        return FailKind.CLOSED, "the upstream closed the connection"
    if isinstance(error, ssl.SSLError):
        return FailKind.TLS, f"TLS: {error.reason or 'failed'}"
    return FailKind.RESET, "the upstream reset the connection"
