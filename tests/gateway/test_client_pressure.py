"""Slow clients over real sockets: dripped requests, idle connections, readers that do not read."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import replace

import pytest
import uvloop

from streamgauge.gateway.client_connection import (
    ClientConnection,
    ClientSettings,
    EarlyAnswer,
    Phase,
)
from streamgauge.gateway.client_responder import ClientResponder
from streamgauge.gateway.client_socket import WriteWatch
from streamgauge.gateway.http import Header, Request, RequestHead, Responder

SETTINGS = ClientSettings(
    allowed_hosts=("x",),
    max_body=1000,
    header_seconds=10,
    body_seconds=60,
    write_seconds=60,
    half_close=False,
)
GET = b"GET /v1/messages HTTP/1.1\r\nHost: x\r\n\r\n"
PIECE = b"a" * 8192


class Pourer:
    """Owns one answer and sends as long as its client takes it."""

    def __init__(self, pieces: int) -> None:
        self.left = pieces
        self.now = 0.0
        self.received = asyncio.Semaphore(0)
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()
        self.begun = asyncio.Event()
        self.gone = asyncio.Event()
        self.blocked = asyncio.Event()
        self.writable = asyncio.Event()
        self.refusals: list[tuple[str | None, int, str]] = []
        self.connection: ClientConnection | None = None
        self.responder: ClientResponder | None = None

    @property
    def open(self) -> ClientConnection:
        assert self.connection is not None
        return self.connection

    @property
    def pending(self) -> int:
        transport = self.open._socket._transport
        assert transport is not None
        return transport.get_write_buffer_size()

    def accept_head(self, head: RequestHead) -> EarlyAnswer | None:
        return None

    def handle(self, request: Request, responder: Responder) -> None:
        assert isinstance(responder, ClientResponder)
        self.responder = responder
        responder.subscribe(self)
        responder.send_head(200, [], None)
        self.begun.set()
        self.pour()

    def pour(self) -> None:
        assert self.responder is not None
        while self.left and not self.blocked.is_set():
            self.left -= 1
            self.responder.send(PIECE)
        if not self.left:
            self.responder.end()

    def client_gone(self) -> None:
        assert not self.gone.is_set()
        self.gone.set()

    def client_blocked(self) -> None:
        self.blocked.set()

    def client_writable(self) -> None:
        self.blocked.clear()
        self.writable.set()
        self.pour()

    def bad_request(
        self,
        path: str | None,
        status: int,
        code: str,
        message: str,
        head: RequestHead | None,
    ) -> tuple[Sequence[Header], bytes]:
        self.refusals.append((path, status, code))
        return [], b"{}"

    def request_lost(self, head: RequestHead) -> None:
        self.lost = head.path

    def connection_opened(self, connection: object) -> None:
        assert isinstance(connection, ClientConnection)
        self.connection = connection
        self.opened.set()

    def connection_closed(self, connection: object) -> None:
        self.closed.set()

    def tick_at(self, now: float) -> None:
        self.now = now
        self.open.tick(now)


class Counted(ClientConnection):
    """Tells its application when bytes have come, so that a test need not guess."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        assert isinstance(self._application, Pourer)
        self._application.received.release()


@contextlib.asynccontextmanager
async def pouring(
    pieces: int = 0, settings: ClientSettings = SETTINGS
) -> AsyncIterator[tuple[Pourer, socket.socket]]:
    """Give a server and a client's raw socket, which reads only when told to."""
    app = Pourer(pieces)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Counted(settings, app, clock=lambda: app.now), "127.0.0.1", 0
    )
    async with server, asyncio.timeout(20):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
            client.setblocking(False)
            await loop.sock_connect(client, server.sockets[0].getsockname())
            await app.opened.wait()
            yield app, client
        app.open.abort()
        await app.closed.wait()


async def read_to_end(client: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    wire = bytearray()
    while data := await loop.sock_recv(client, 65536):
        wire += data
    return bytes(wire)


async def send(app: Pourer, client: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(client, data)
    await app.received.acquire()


@pytest.mark.asyncio
async def test_a_dripped_header_is_given_up_at_its_deadline_from_the_first_byte() -> None:
    async with pouring() as (app, client):
        app.tick_at(5.0)
        await send(app, client, GET[:20])
        app.tick_at(14.0)
        await send(app, client, GET[20:30])
        app.tick_at(14.9)
        assert app.open.phase is Phase.HEAD
        app.tick_at(15.0)
        assert (await read_to_end(client)).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert app.refusals == [("/v1/messages", 408, "bad_request")]


@pytest.mark.asyncio
async def test_a_body_that_comes_fast_enough_is_given_up_at_its_deadline_all_the_same() -> None:
    async with pouring(settings=replace(SETTINGS, max_body=1 << 20)) as (app, client):
        head = GET[:-2].replace(b"GET", b"POST") + b"Content-Length: 54000\r\n\r\n"
        await send(app, client, head)
        for second in range(1, 9):
            await send(app, client, b"x" * 6000)
            app.tick_at(second * 7.0)
        assert app.open.phase is Phase.BODY
        app.tick_at(60.0)
        assert (await read_to_end(client)).startswith(b"HTTP/1.1 408 ")
        assert app.refusals == [("/v1/messages", 408, "bad_request")]
        assert not app.begun.is_set()


@pytest.mark.asyncio
async def test_a_dripped_body_is_given_up_once_a_window_brought_too_little() -> None:
    async with pouring(settings=replace(SETTINGS, max_body=1 << 20)) as (app, client):
        head = GET[:-2].replace(b"GET", b"POST") + b"Content-Length: 9000\r\n\r\n"
        await send(app, client, head)
        await send(app, client, b"x" * 5000)
        app.tick_at(10.0)
        assert app.open.phase is Phase.BODY
        for second in range(11, 20):
            await send(app, client, b"x")
            app.tick_at(second)
            assert app.open.phase is Phase.BODY
        app.tick_at(20.0)
        assert (await read_to_end(client)).startswith(b"HTTP/1.1 408 ")
        assert app.refusals == [("/v1/messages", 408, "bad_request")]
        assert not app.begun.is_set()


@pytest.mark.asyncio
async def test_a_refused_client_is_cut_when_it_has_sent_more_than_any_body() -> None:
    async with pouring() as (app, client):
        await send(app, client, b"GE(T / HTTP/1.1\r\n")
        assert app.open.phase is Phase.LINGERING
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                await asyncio.get_running_loop().sock_sendall(client, b"x" * 65536)
        await app.closed.wait()


@pytest.mark.asyncio
async def test_an_idle_connection_is_closed_without_a_word() -> None:
    async with pouring() as (app, client):
        app.tick_at(74.9)
        assert app.open.phase is Phase.IDLE
        app.tick_at(75.0)
        assert await read_to_end(client) == b""


@pytest.mark.asyncio
async def test_a_silent_answer_has_no_deadline_here() -> None:
    async with pouring(1) as (app, client):
        app.blocked.set()
        await send(app, client, GET)
        app.tick_at(100_000.0)
        assert app.open.phase is Phase.ANSWERING


@pytest.mark.asyncio
async def test_a_refused_client_that_never_closes_is_dropped_after_a_while() -> None:
    async with pouring() as (app, client):
        await send(app, client, b"GE(T / HTTP/1.1\r\n")
        assert app.open.phase is Phase.LINGERING
        app.tick_at(1.0)
        await send(app, client, b"more")
        app.tick_at(2.5)
        assert app.open.phase is Phase.LINGERING
        app.tick_at(3.1)
        await app.closed.wait()


@pytest.mark.asyncio
async def test_a_refused_client_that_never_stops_sending_is_dropped_in_the_end() -> None:
    async with pouring() as (app, client):
        await send(app, client, b"GE(T / HTTP/1.1\r\n")
        for second in range(1, 60):
            app.tick_at(second)
            await send(app, client, b"more")
        assert app.open.phase is Phase.LINGERING
        app.tick_at(60.0)
        await app.closed.wait()


@pytest.mark.asyncio
async def test_a_newcomer_that_is_turned_away_reads_why_though_it_asks_after_that() -> None:
    async with pouring() as (app, client):
        app.open.turn_away(EarlyAnswer(503, [], b"full"), linger=True)
        assert app.open.phase is Phase.LINGERING
        await send(app, client, GET)
        wire = await read_to_end(client)
        assert wire.startswith(b"HTTP/1.1 503 ")
        assert wire.endswith(b"full")
        assert not app.begun.is_set()


@pytest.mark.asyncio
async def test_a_newcomer_is_closed_at_once_where_there_is_no_place_to_wait() -> None:
    async with pouring() as (app, client):
        app.open.turn_away(EarlyAnswer(503, [], b"full"), linger=False)
        assert (await read_to_end(client)).endswith(b"full")
        await app.closed.wait()


@pytest.mark.asyncio
async def test_a_connection_is_idle_from_its_last_answer_to_its_next_request() -> None:
    async with pouring(1) as (app, client):
        app.now = 7.0
        assert app.open.idle_since == 0.0
        await send(app, client, GET[:9])
        assert app.open.idle_since is None
        await send(app, client, GET[9:])
        await app.begun.wait()
        assert app.open.idle_since == 7.0


@pytest.mark.asyncio
async def test_the_last_answer_is_not_cut_while_its_client_still_reads() -> None:
    close = GET[:-2] + b"Connection: close\r\n\r\n"
    async with pouring(1 << 20, replace(SETTINGS, high_water=1 << 20)) as (app, client):
        await send(app, client, close + b"stray")
        await app.blocked.wait()
        app.left = 0
        app.pour()
        assert app.open.phase is Phase.LINGERING
        while app.open._socket.blocked:
            await asyncio.get_running_loop().sock_recv(client, 65536)
        assert app.pending
        app.tick_at(10.0)
        assert (await read_to_end(client)).endswith(b"\r\n0\r\n\r\n")


@pytest.mark.asyncio
async def test_an_answer_begun_while_draining_says_that_it_is_the_last() -> None:
    head = GET[:-2].replace(b"GET", b"POST") + b"Content-Length: 2\r\n\r\n"
    async with pouring(1) as (app, client):
        await send(app, client, head)
        app.open.drain()
        await send(app, client, b"hi")
        assert b"connection: close\r\n" in await read_to_end(client)


@pytest.mark.asyncio
async def test_a_reader_that_never_reads_blocks_its_stream_within_the_bound() -> None:
    async with pouring(1 << 30) as (app, client):
        await send(app, client, GET)
        await app.blocked.wait()
        assert app.pending <= SETTINGS.high_water + len(PIECE) + 16
        sent = ((1 << 30) - app.left) * len(PIECE)
        assert sent < 2 << 20


@pytest.mark.asyncio
async def test_a_reader_that_goes_on_gets_every_byte() -> None:
    pieces = 400
    close = GET[:-2] + b"Connection: close\r\n\r\n"
    async with pouring(pieces) as (app, client):
        await send(app, client, close)
        await app.blocked.wait()
        wire = await read_to_end(client)
        assert app.writable.is_set()
        assert wire.count(PIECE) == pieces
        assert wire.endswith(b"\r\n0\r\n\r\n")


@pytest.mark.asyncio
async def test_a_reader_that_reads_nothing_for_write_seconds_is_cut() -> None:
    async with pouring(1 << 30) as (app, client):
        await send(app, client, GET)
        await app.blocked.wait()
        app.tick_at(100.0)
        app.tick_at(159.9)
        assert not app.gone.is_set()
        app.tick_at(160.0)
        assert app.gone.is_set()
        assert app.responder is not None
        assert app.responder.slow_reader
        app.responder.send(b"too late")
        app.responder.end()
        await app.closed.wait()


@pytest.mark.asyncio
async def test_a_reader_that_reads_now_and_then_is_not_cut() -> None:
    async with pouring(1 << 30) as (app, client):
        await send(app, client, GET)
        loop = asyncio.get_running_loop()
        for round_number in range(1, 5):
            await app.blocked.wait()
            app.tick_at(round_number * 50.0)
            app.writable.clear()
            while not app.writable.is_set():
                await loop.sock_recv(client, 65536)
        app.tick_at(250.0)
        assert not app.gone.is_set()


@pytest.mark.asyncio
async def test_a_reader_that_reads_a_little_each_time_is_not_cut_for_the_kernels_gulps() -> None:
    async with pouring(1 << 30) as (app, client):
        await send(app, client, GET)
        await app.blocked.wait()
        loop, kernel = asyncio.get_running_loop(), app.open._socket
        for number in range(1, 5):
            app.tick_at(number * 70.0)
            assert not app.gone.is_set()
            taken = kernel._watch.written - app.pending - kernel._queued()
            while kernel._watch.written - app.pending - kernel._queued() == taken:
                await loop.sock_recv(client, 4096)


@pytest.mark.asyncio
async def test_the_unread_end_of_an_answer_is_not_waited_for_longer_than_that() -> None:
    close = GET[:-2] + b"Connection: close\r\n\r\n"
    async with pouring(1 << 20) as (app, client):
        await send(app, client, close)
        await app.blocked.wait()
        app.left = 0
        app.pour()
        assert app.open.phase is Phase.CLOSED
        app.tick_at(1.0)
        assert not app.closed.is_set()
        app.tick_at(61.0)
        await app.closed.wait()


@pytest.mark.asyncio
async def test_the_next_pipelined_request_waits_until_the_client_has_read() -> None:
    async with pouring(1 << 20, replace(SETTINGS, idle_seconds=20)) as (app, client):
        await send(app, client, GET + GET)
        await app.blocked.wait()
        first = app.responder
        app.left = 0
        app.pour()
        assert app.responder is first
        app.tick_at(30.0)  # its head is here: no deadline of the client's runs
        assert app.open.phase is Phase.IDLE
        app.blocked.clear()
        loop = asyncio.get_running_loop()
        while app.responder is first:
            await loop.sock_recv(client, 65536)


def test_the_watch_counts_from_the_last_byte_taken() -> None:
    watch = WriteWatch()
    watch.written += 100
    assert watch.stalled_for(40, 10.0) == 0.0
    assert watch.stalled_for(40, 15.0) == 5.0
    watch.written += 10
    assert watch.stalled_for(50, 16.0) == 6.0
    assert watch.stalled_for(49, 17.0) == 0.0
    assert watch.stalled_for(0, 90.0) == 0.0
    watch.written += 1
    assert watch.stalled_for(1, 200.0) == 0.0


def test_hosts_are_compared_in_one_form() -> None:
    hosts = replace(SETTINGS, allowed_hosts=["LocalHost", "::1", "[::2]"]).allowed_hosts
    assert hosts == {"localhost", "[::1]", "[::2]"}


@pytest.mark.parametrize(
    "scenario",
    [
        test_a_dripped_header_is_given_up_at_its_deadline_from_the_first_byte,
        test_a_refused_client_that_never_closes_is_dropped_after_a_while,
        test_a_dripped_body_is_given_up_once_a_window_brought_too_little,
        test_a_refused_client_is_cut_when_it_has_sent_more_than_any_body,
        test_a_newcomer_that_is_turned_away_reads_why_though_it_asks_after_that,
        test_a_reader_that_never_reads_blocks_its_stream_within_the_bound,
        test_a_reader_that_goes_on_gets_every_byte,
        test_a_reader_that_reads_nothing_for_write_seconds_is_cut,
        test_a_reader_that_reads_now_and_then_is_not_cut,
        test_a_reader_that_reads_a_little_each_time_is_not_cut_for_the_kernels_gulps,
        test_the_unread_end_of_an_answer_is_not_waited_for_longer_than_that,
        test_the_next_pipelined_request_waits_until_the_client_has_read,
    ],
)
def test_uvloop_behaves_alike(scenario: Callable[[], Coroutine[object, object, None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
