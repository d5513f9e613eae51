"""One client connection: reads requests, lets a player answer. It knows no dialect."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast
from urllib.parse import parse_qsl, urlsplit

import httptools

from streamgauge.core.once import Once
from streamgauge.tools.simulator.journal import Entry
from streamgauge.tools.simulator.player import Player
from streamgauge.tools.simulator.script import End, Step

__all__ = ["App", "Connection", "SeenRequest"]

_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request as it came: `path` with its query, header names in lower case."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def bare_path(self) -> str:
        """The path without its query."""
        return urlsplit(self.path).path

    def query(self, name: str) -> str | None:
        """Return the last value of the query field `name`."""
        return dict(parse_qsl(urlsplit(self.path).query)).get(name)

    def header(self, name: str) -> str | None:
        """Return the first value of header `name` (lower case)."""
        return next((value for key, value in self.headers if key == name), None)


class App(Protocol):
    """What answers the requests."""

    keep_alive: float

    def answer(self, request: SeenRequest) -> tuple[Once[Step], Entry, bool]:
        """Return an answer's steps, its journal entry, and whether the entry is to be journaled."""

    def ended(self, entry: Entry) -> None:
        """Take note that the answer of a journaled entry is over."""


class Connection(asyncio.Protocol):
    """Serves one request after the other; reads all the time, to see a leaving peer at once."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, app: App, lost: Callable[[Connection], None]
    ) -> None:
        self._loop = loop
        self._app = app
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: list[SeenRequest] = []
        self._player: Player | None = None
        self._journaled = False
        self._asked_to_close = False
        self._idle: asyncio.TimerHandle | None = None
        self._url = b""
        self._headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set up the transport: a write that waits must be noticed, whatever its size."""
        # No isinstance: uvloop's transports derive from nothing of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        """Parse request bytes; what is no HTTP gets a bare 400."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if self._player is None and self._transport is not None:
                self._transport.write(_BAD_REQUEST)
                self._transport.close()
            return
        self._serve_next()

    def eof_received(self) -> bool:
        """The peer sent FIN: it has left. The transport closes itself."""
        self._peer_gone()
        return False

    def connection_lost(self, _: Exception | None) -> None:
        """The socket is gone, by whomever."""
        self._peer_gone()
        self._transport = None
        if self._idle is not None:
            self._idle.cancel()
        self._lost(self)

    def pause_writing(self) -> None:
        """Nothing to do: `write` has told the player."""

    def resume_writing(self) -> None:
        """The kernel took the last write."""
        if self._player is not None:
            self._player.flushed()

    def on_message_begin(self) -> None:
        """Start reading a request."""
        self._url, self._headers, self._body = b"", [], []

    def on_url(self, url: bytes) -> None:
        """Read a piece of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Read a header field."""
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        """Read a piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """A request is whole: it waits for the ones before it."""
        method = self._parser.get_method().decode("latin-1")
        path = self._url.decode("latin-1")
        self._waiting.append(SeenRequest(method, path, tuple(self._headers), b"".join(self._body)))

    def write(self, data: bytes) -> bool:
        """Hand `data` to the kernel in one write; False when part of it has to wait."""
        if self._transport is None:
            return False
        self._transport.write(data)
        return self._transport.get_write_buffer_size() == 0

    def half_close(self) -> None:
        """Send FIN and go on reading."""
        if self._transport is not None:
            self._transport.write_eof()

    def shut(self) -> None:
        """Drop the connection because the simulator stops."""
        if self._player is not None:
            self._player.stop()
        if self._transport is not None:
            self._transport.abort()

    def _serve_next(self) -> None:
        if not self._waiting or self._player is not None:
            return
        if self._idle is not None:
            self._idle.cancel()
        request = self._waiting.pop(0)
        self._asked_to_close = (request.header("connection") or "").lower() == "close"
        steps, entry, self._journaled = self._app.answer(request)
        self._player = Player(self._loop, self, steps, entry, self._settled, self._ended)
        self._player.play()

    def _peer_gone(self) -> None:
        self._waiting.clear()
        if self._player is not None:
            self._player.gone()

    def _settled(self, entry: Entry) -> None:
        if self._journaled:
            self._app.ended(entry)

    def _ended(self, end: End) -> None:
        self._player = None
        if self._transport is None:
            return
        if end is End.RESET:
            self._reset(self._transport)
        elif end is End.CLOSE or (end is End.KEEP and self._asked_to_close):
            self._transport.close()
        elif self._waiting:
            self._loop.call_soon(self._serve_next)
        else:
            self._idle = self._loop.call_later(self._app.keep_alive, self._transport.close)

    def _reset(self, transport: asyncio.Transport) -> None:
        peer: socket.socket = transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
