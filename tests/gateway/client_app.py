"""An application behind one client connection that keeps what it is told, and clients of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence

from streamgauge.gateway.client_connection import (
    ClientConnection,
    ClientSettings,
    EarlyAnswer,
)
from streamgauge.gateway.client_responder import ClientResponder
from streamgauge.gateway.http import Header, Request, RequestHead, Responder

__all__ = [
    "GET",
    "POST",
    "SETTINGS",
    "App",
    "Client",
    "Owner",
    "Serve",
    "answer",
    "answer_path",
    "client_of",
    "later",
    "read_answer",
    "serving",
]

SETTINGS = ClientSettings(
    allowed_hosts=("x",),
    max_body=100_000,
    header_seconds=10,
    body_seconds=60,
    write_seconds=60,
    half_close=False,
)
GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: x\r\n"


Serve = Callable[[Request, ClientResponder], None]


class App:
    """Serves with `serve`; keeps what it was told."""

    def __init__(self, serve: Serve) -> None:
        self.now = 0.0
        self.serve = serve
        self.early: Callable[[RequestHead], EarlyAnswer | None] = lambda head: None
        self.requests: list[Request] = []
        self.responders: list[ClientResponder] = []
        self.refusals: list[tuple[str | None, int, str]] = []
        self.lost: list[str] = []
        self.open: list[ClientConnection] = []
        self.handled = asyncio.Semaphore(0)
        self.opened = asyncio.Semaphore(0)
        self.closed = asyncio.Semaphore(0)
        self.address: tuple[str, int] = ("", 0)

    def accept_head(self, head: RequestHead) -> EarlyAnswer | None:
        return self.early(head)

    def handle(self, request: Request, responder: Responder) -> None:
        assert isinstance(responder, ClientResponder)
        self.requests.append(request)
        self.responders.append(responder)
        self.handled.release()
        self.serve(request, responder)

    def bad_request(
        self,
        path: str | None,
        status: int,
        code: str,
        message: str,
        head: RequestHead | None,
    ) -> tuple[Sequence[Header], bytes]:
        self.refusals.append((path, status, code))
        return [(b"content-type", b"application/json")], json.dumps({"code": code}).encode()

    def request_lost(self, head: RequestHead) -> None:
        self.lost.append(head.path)

    def connection_opened(self, connection: object) -> None:
        assert isinstance(connection, ClientConnection)
        self.open.append(connection)
        self.opened.release()

    def connection_closed(self, connection: object) -> None:
        assert isinstance(connection, ClientConnection)
        self.open.remove(connection)
        self.closed.release()


class Owner:
    """Keeps what a responder's owner is told."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    def client_gone(self) -> None:
        assert not self.gone.is_set()
        self.gone.set()

    def client_blocked(self) -> None: ...

    def client_writable(self) -> None: ...


def answer(responder: Responder, body: bytes) -> None:
    responder.send_head(200, [], len(body))
    responder.send(body)
    responder.end()


def answer_path(request: Request, responder: Responder) -> None:
    answer(responder, request.head.path.encode())


def later(request: Request, responder: Responder) -> None:
    """Leave the answer to the test."""


@contextlib.asynccontextmanager
async def serving(
    serve: Serve = answer_path, settings: ClientSettings = SETTINGS
) -> AsyncIterator[App]:
    app = App(serve)
    loop = asyncio.get_running_loop()
    failures: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, context: failures.append(context))
    server = await loop.create_server(
        lambda: ClientConnection(settings, app, clock=lambda: app.now), "127.0.0.1", 0
    )
    app.address = server.sockets[0].getsockname()
    async with server, asyncio.timeout(20):
        yield app
        for connection in list(app.open):
            connection.abort()
    assert not failures


Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def client_of(app: App, sent: bytes = b"") -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(*app.address)
    writer.write(sent)
    try:
        yield reader, writer
    finally:
        writer.close()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one answer with a stated length."""
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    return int(head.split(b" ")[1]), await reader.readexactly(int(fields[b"content-length"]))
