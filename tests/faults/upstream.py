"""An upstream that plays bytes, silences and ends as scripted, and notes what its peer did. No SSE here."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

__all__ = [
    "End",
    "Script",
    "ScriptedUpstream",
    "Step",
    "absent",
    "deaf",
    "head",
    "in_chunks",
    "scripted",
    "split",
]


class End(Enum):
    """What becomes of the connection."""

    KEEP = auto()
    CLOSE = auto()
    RESET = auto()
    HALF = auto()
    """FIN, and then nothing until the peer goes."""
    HOLD = auto()


Step = bytes | float | End
"""Bytes are one write each, a float is so many seconds of silence."""
Script = Sequence[Step]
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(slots=True)
class Heard:
    """One request: `closed_at` in seconds since the epoch, when its peer was seen to go."""

    request: bytes
    connection: int
    closed_at: float | None = None
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class ScriptedUpstream:
    """Answers POSTs by `script(n)`, n from 0 on, and other requests with 404."""

    def __init__(self, script: Callable[[int], Script]) -> None:
        self._script = script
        self.heard: list[Heard] = []
        self.connections = 0
        self.port = 0
        self.scheme = "http"

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        number = self.connections
        try:
            while (request := await _request(reader)) is not None:
                if not request.startswith(b"POST"):
                    # Closed, so that every connection a call can find is one of a call.
                    writer.write(_NOT_FOUND)
                    return
                heard = Heard(request, number)
                self.heard.append(heard)
                if not await _play(self._script(len(self.heard) - 1), reader, writer, heard):
                    return
        except ConnectionError:
            self._gone(number)
        finally:
            writer.close()

    def _gone(self, number: int) -> None:
        for heard in self.heard:
            if heard.connection == number and heard.closed_at is None:
                _note(heard)


def _note(heard: Heard) -> None:
    heard.closed_at = time.time()
    heard.gone.set()


async def _request(reader: asyncio.StreamReader) -> bytes | None:
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    for line in raw.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            raw += await reader.readexactly(int(line.split(b":")[1]))
    return raw


async def _play(
    script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: Heard
) -> bool:
    """Play to the end; return whether the connection serves on."""
    for step in script:
        match step:
            case bytes():
                writer.write(step)
                await writer.drain()
                await asyncio.sleep(0)
            case float():
                if await _peer_left(reader, step):
                    _note(heard)
                    return False
            case End.KEEP:
                return True
            case End.CLOSE:
                return False
            case End.RESET:
                peer: socket.socket = writer.get_extra_info("socket")
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return False
            case End.HALF | End.HOLD:
                if step is End.HALF:
                    writer.write_eof()
                await _peer_left(reader, None)
                _note(heard)
                return False
    return True


async def _peer_left(reader: asyncio.StreamReader, seconds: float | None) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await reader.read(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def head(status: str = "200 OK", **fields: str) -> bytes:
    """Return a response head; a stream in chunks unless `fields` say otherwise."""
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    if "content-length" not in named and "transfer-encoding" not in named:
        named["transfer-encoding"] = "chunked"
    named.setdefault("content-type", "text/event-stream")
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def in_chunks(*pieces: bytes) -> bytes:
    """Return each piece as one chunk, without the last one."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)


@contextlib.contextmanager
def absent() -> Iterator[str]:
    """A port that is taken and does not listen, so that a connect is refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextlib.contextmanager
def deaf() -> Iterator[str]:
    """A port whose queue of connections is full, so that a connect hangs."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(address)
        yield f"http://127.0.0.1:{address[1]}"


def split(data: bytes, sizes: Callable[[], int]) -> list[bytes]:
    """Return `data` in pieces whose sizes are drawn."""
    pieces, at = [], 0
    while at < len(data):
        size = max(sizes(), 1)
        pieces.append(data[at : at + size])
        at += size
    return pieces


@contextlib.asynccontextmanager
async def scripted(
    script: Callable[[int], Script], context: ssl.SSLContext | None = None
) -> AsyncIterator[ScriptedUpstream]:
    """Run an upstream on a port of its own."""
    upstream = ScriptedUpstream(script)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, ssl=context)
    upstream.port = server.sockets[0].getsockname()[1]
    upstream.scheme = "http" if context is None else "https"
    try:
        yield upstream
    finally:
        server.close()
