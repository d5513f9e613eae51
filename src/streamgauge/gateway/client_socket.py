"""A client's transport and what must be remembered of it. Knows bytes and sizes, no HTTP."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios

__all__ = ["ClientSocket", "WriteWatch"]

# The kernel doubles what is asked for: its own bound is then SPEC §4.3's 256 KiB.
_SEND_BUFFER = 128 * 1024
_INT = struct.Struct("i")


class WriteWatch:
    """Compares what was written with what still waits, from one look to the next.

    What the peer has taken is counted up to what its own kernel has acknowledged. Ours takes bytes
    in gulps, once a third of its send buffer is free: by those, a slow reader reads nothing for long.
    `written`: bytes handed to the transport so far.
    """

    __slots__ = ("_since", "_taken", "written")

    def __init__(self) -> None:
        self.written = 0
        self._taken = 0
        self._since: float | None = None

    def stalled_for(self, pending: int, now: float, queued: int = 0) -> float:
        """Return for how many seconds nothing was taken, as far as looked at; 0.0 if nothing waits.

        `pending`: bytes still in the transport's buffer; `queued`: in the kernel's.
        """
        taken = self.written - pending - queued
        if not pending or taken != self._taken or self._since is None:
            self._since = now if pending else None
            self._taken = taken
            return 0.0
        return now - self._since


class ClientSocket:
    """One transport, its send buffers bounded. Once it closes, every call does nothing.

    `blocked`: the write buffer passed `high_water` bytes and has not drained since.
    `reading_held`: reading is paused, so that a client that leaves is not noticed.
    """

    __slots__ = ("_transport", "_watch", "blocked", "ip", "peer", "reading_held")

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._watch = WriteWatch()
        self.reading_held = False
        self.blocked = False
        self.ip = "-"
        self.peer = "-"

    def attach(self, transport: asyncio.Transport, high_water: int) -> None:
        """Take `transport` over and set its options."""
        self._transport = transport
        transport.set_write_buffer_limits(high=high_water)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.ip, self.peer = str(peer[0]), f"{peer[0]}:{peer[1]}"
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def detach(self) -> None:
        """Forget the transport: it is lost."""
        self._transport = None

    @property
    def alive(self) -> bool:
        """Whether there is a transport that is not closing."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def pending(self) -> int:
        """Bytes written that the kernel has not taken."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def stalled_for(self, now: float) -> float:
        """Return for how many seconds the client has taken nothing of what waits for it."""
        pending = self.pending
        return self._watch.stalled_for(pending, now, self._queued() if pending else 0)

    def _queued(self) -> int:
        """Return the bytes that our kernel holds and the client's has not acknowledged."""
        sock = None if self._transport is None else self._transport.get_extra_info("socket")
        if sock is None:
            return 0
        try:
            told = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(_INT.size))
        except OSError:  # not every kernel tells it: then what ours takes is all there is to see
            return 0
        queued: int = _INT.unpack(told)[0]
        return queued

    def write(self, data: bytes) -> None:
        """Hand `data` to the transport."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            self._watch.written += len(data)
            transport.write(data)

    def hold_reading(self, held: bool) -> None:
        """Pause or resume reading."""
        transport = self._transport
        if held == self.reading_held or transport is None or transport.is_closing():
            return
        self.reading_held = held
        if held:
            transport.pause_reading()
        else:
            transport.resume_reading()

    def shut_writing(self) -> None:
        """Send FIN after what was written, where the transport can (TLS cannot)."""
        if self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()

    def close(self) -> None:
        """Close once what was written has left."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()
