"""Proxies that meddle with what passes, and upstreams that do one thing wrong, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

__all__ = ["Meddling", "Page", "fake_upstream", "meddling", "page", "sse"]

Head = Callable[[str], str]


@dataclass(frozen=True)
class Meddling:
    """What a proxy does. `lines`: changes each line of an answer's head, "" drops it.

    `body`: changes each piece of a stream. `hold`: the stream passes when it is whole.
    `deaf`: reads on when its client has left. `cut_after`: seconds of silence after which it closes.
    `most`: bytes of a request's body. `version`: of its answers. `blind`: paths that it answers
    itself, with 404.
    """

    lines: Head = lambda line: line
    body: Callable[[bytes], bytes] = lambda piece: piece
    hold: bool = False
    deaf: bool = False
    cut_after: float | None = None
    most: int = 1 << 30
    version: str = "1.1"
    blind: str = "\0"


@contextlib.asynccontextmanager
async def meddling(port: int, how: Meddling) -> AsyncIterator[str]:
    """Run a proxy before the gateway on `port`; yield its URL."""

    serving: set[asyncio.Task[None]] = set()  # asyncio forgets the task when the client has gone

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await _pass(port, how, reader, writer)
        writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0, limit=1 << 22)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def _pass(
    port: int, how: Meddling, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Pass one request on in HTTP/1.0, so that its answer needs no framing, and close."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next(
        (int(x[15:]) for x in head.lower().split("\r\n") if x[:15] == "content-length:"), 0
    )
    if length > how.most:
        return writer.write(b"HTTP/1.1 413 Too Large\r\nserver: fake\r\ncontent-length: 0\r\n\r\n")
    body = await reader.readexactly(length)
    if how.blind in head.split("\r\n")[0]:
        return writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
    back, forth = await asyncio.open_connection("127.0.0.1", port)
    forth.write(head.replace(" HTTP/1.1\r\n", " HTTP/1.0\r\n", 1).encode() + body)
    leaving = asyncio.create_task(reader.read(1))
    answering = asyncio.create_task(_answer(how, back, writer))
    try:
        waited = {answering} if how.deaf else {answering, leaving}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (answering, leaving):
            task.cancel()
        await asyncio.gather(answering, leaving, return_exceptions=True)
        forth.close()


async def _answer(how: Meddling, back: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    status, *lines = (await back.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
    framed = any(line.lower().startswith("content-length") for line in lines)
    kept = [line for line in lines if not line.lower().startswith("connection")]
    kept = [new for line in kept if (new := how.lines(line))]
    chunked = not framed and how.version == "1.1"
    kept += ["transfer-encoding: chunked"] * chunked
    first = f"HTTP/{how.version} {status.split(' ', 1)[1]}"
    writer.write("\r\n".join([first, *kept, "", ""]).encode())
    held = b""
    while piece := await asyncio.wait_for(back.read(1 << 16), how.cut_after):
        piece = piece if framed else how.body(piece)
        if how.hold and not framed:
            held += piece
        elif piece:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
    if held:
        writer.write(b"%x\r\n%b\r\n" % (len(held), held))
    writer.write(b"0\r\n\r\n" if chunked else b"")
    await writer.drain()


# --- upstreams ----------------------------------------------------------------------------------

Page = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Answers one request, whose head and body were read."""


@contextlib.asynccontextmanager
async def fake_upstream(pages: Mapping[str, Page]) -> AsyncIterator[str]:
    """Serve `pages` by path, one request a connection, everything else with 404; yield the URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            if "content-length: " in head:
                await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
            answer = pages.get(head.split(" ")[1], page(b"{}", 404))
            await answer(reader, writer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def page(body: bytes, status: int = 200, headers: str = "") -> Page:
    """Return a page of JSON. `headers`: whole lines, each with its line end."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kind = "" if "content-type:" in headers else "content-type: application/json\r\n"
        head = f"HTTP/1.1 {status} X\r\n{kind}{headers}"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)

    return answer


def sse(frames: list[bytes], gap: float = 0.01) -> Page:
    """Return a stream of `frames`, `gap` seconds apart; 0 sends them in one piece."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        for frame in frames:
            writer.write(b"data: " + frame + b"\n\n")
            if gap:
                await asyncio.sleep(gap)

    return answer
