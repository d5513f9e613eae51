"""A raw upstream, an owner that notes what it is told, and a runner for both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import pytest
import uvloop

from streamgauge.gateway.http import EndKind, FailKind, Header, UpstreamCall
from streamgauge.gateway.pool import Pool, PoolSettings, Target

__all__ = [
    "ANSWER",
    "CHUNKED",
    "OK",
    "REQUEST",
    "Handler",
    "Owner",
    "Upstream",
    "answering",
    "both_loops",
    "call",
    "chunked",
    "keeping",
    "pool",
    "read_request",
    "reset",
    "until",
    "unused_port",
    "upstream",
]

REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: upstream\r\nContent-Length: 2\r\n\r\n{}"
_LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]

OK = b"HTTP/1.1 200 OK\r\n"
ANSWER = OK + b"Content-Length: 2\r\n\r\nok"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run the coroutine `test` on asyncio's loop and on uvloop; no task may outlive it."""

    async def checked(*args: Any, **kwargs: Any) -> None:
        await test(*args, **kwargs)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not [task for task in others if task.get_name().startswith("upstream-connect")]

    @functools.wraps(test)
    def run(loop_factory: Callable[[], asyncio.AbstractEventLoop], *args: Any, **kw: Any) -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(checked(*args, **kw))

    signature = inspect.signature(test)
    added = inspect.Parameter("loop_factory", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[added, *signature.parameters.values()]
    )
    parametrized: Callable[..., None] = pytest.mark.parametrize(
        "loop_factory", _LOOPS, ids=["asyncio", "uvloop"]
    )(run)
    return parametrized


class Owner:
    """An UpstreamEvents that sends `request` when connected, and notes the rest."""

    def __init__(self, request: bytes | None = REQUEST) -> None:
        self.request = request
        self.call: UpstreamCall | None = None
        self.order: list[str] = []
        self.status: int | None = None
        self.headers: tuple[Header, ...] = ()
        self.pieces: list[bytes] = []
        self.failed: tuple[FailKind, bool] | None = None
        self.ended: EndKind | None = None
        self.message = ""
        self.on_head: Callable[[], None] = lambda: None
        self.on_data: Callable[[], None] = lambda: None
        self.on_end: Callable[[], None] = lambda: None
        loop = asyncio.get_running_loop()
        self.connected: asyncio.Future[None] = loop.create_future()
        self.answered: asyncio.Future[None] = loop.create_future()
        self.fed: asyncio.Event = asyncio.Event()
        self.done: asyncio.Future[None] = loop.create_future()

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def open(self, pool: Pool, target: Target) -> UpstreamCall:
        """Open a call, and note its handle."""
        self.call = pool.open(target, self)
        assert self.order == [], "told before the handle was there"
        return self.call

    def upstream_connected(self) -> None:
        self._note("connected")
        self.connected.set_result(None)
        if self.request is not None:
            assert self.call is not None
            self.call.send(self.request)

    def upstream_failed(self, kind: FailKind, message: str, sent: bool) -> None:
        self._note("failed")
        self.failed, self.message = (kind, sent), message
        self.done.set_result(None)

    def upstream_head(self, status: int, headers: tuple[Header, ...]) -> None:
        self._note("head")
        self.status, self.headers = status, headers
        self.answered.set_result(None)
        self.on_head()

    def upstream_data(self, data: bytes) -> None:
        assert data
        self._note("data")
        self.pieces.append(data)
        self.fed.set()
        self.on_data()

    def upstream_end(self, kind: EndKind, message: str) -> None:
        self._note("end")
        self.ended, self.message = kind, message
        self.done.set_result(None)
        self.on_end()

    def _note(self, what: str) -> None:
        assert not self.done.done(), f"{what} after the end"
        self.order.append(what)


class Upstream:
    """A listening raw server; `accepted` counts its connections."""

    def __init__(self) -> None:
        self.port = 0
        self.accepted = 0
        self.requests: list[bytes] = []

    def target(self, **fields: Any) -> Target:
        """Return the target of this server."""
        given: dict[str, Any] = {"scheme": "http", "host": "127.0.0.1", "port": self.port}
        return Target(**(given | fields))


@contextlib.asynccontextmanager
async def upstream(
    handler: Handler, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Upstream]:
    """Serve `handler`, one call a connection; each request read by it is its own business."""
    served = Upstream()
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.accepted += 1
        writers.append(writer)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, 0, ssl=tls)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def pool(**settings: Any) -> AsyncIterator[Pool]:
    """Yield a pool, and see that nothing of it is left."""
    made = Pool(asyncio.get_running_loop(), PoolSettings(**settings))
    try:
        yield made
    finally:
        await made.aclose()
    stats = made.stats()
    assert (stats.open, stats.idle, stats.connecting) == (0, 0, 0)


async def call(pool: Pool, target: Target, request: bytes = REQUEST) -> Owner:
    """Run one call to its end."""
    owner = Owner(request)
    owner.open(pool, target)
    await asyncio.wait_for(owner.done, 10)
    return owner


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Read one request with its content-length body."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.split(b":")[1]))
    return head


def chunked(*chunks: bytes, last: bool = True) -> bytes:
    """Return `chunks` in chunked coding."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return body + (b"0\r\n\r\n" if last else b"")


def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection by RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def answering(*parts: bytes, end: str = "fin") -> Handler:
    """A handler that reads one request, writes `parts` one by one, and ends as told."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for part in parts:
            writer.write(part)
            await writer.drain()
        if end == "rst":
            reset(writer)
        elif end == "hold":
            await reader.read()

    return handler


async def keeping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request of a connection."""
    while True:
        await read_request(reader)
        writer.write(ANSWER)


async def until(true: Callable[[], bool]) -> None:
    """Let the loop run until `true`, for at most 5 s."""

    async def turn() -> None:
        while not true():
            await asyncio.sleep(0)

    await asyncio.wait_for(turn(), 5)


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
