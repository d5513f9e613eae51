"""Client connections over real sockets: requests in order, answers, leaving, refusals."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import struct
import weakref
from collections.abc import Callable, Coroutine
from dataclasses import replace

import pytest
import uvloop

from streamgauge.gateway.client_connection import (
    EarlyAnswer,
    Phase,
)
from streamgauge.gateway.http import Request, RequestHead, Responder

from .client_app import (
    GET,
    POST,
    SETTINGS,
    Owner,
    answer,
    answer_path,
    client_of,
    later,
    read_answer,
    serving,
)


@pytest.mark.asyncio
async def test_a_kept_alive_connection_serves_one_request_after_another() -> None:
    async with serving() as app, client_of(app) as (reader, writer):
        for _ in range(3):
            writer.write(POST + b"Content-Length: 2\r\n\r\nhi")
            assert await read_answer(reader) == (200, b"/a")
        assert [request.body for request in app.requests] == [b"hi"] * 3
        assert app.requests[0].head.peer == "127.0.0.1"


@pytest.mark.asyncio
async def test_pipelined_requests_are_served_in_order_each_after_the_last_answers_end() -> None:
    async with (
        serving(later) as app,
        client_of(app, GET + GET.replace(b"/a", b"/b")) as (reader, _),
    ):
        await app.handled.acquire()
        assert len(app.requests) == 1
        answer(app.responders[0], b"first")
        await app.handled.acquire()
        answer(app.responders[1], b"second")
        assert await read_answer(reader) == (200, b"first")
        assert await read_answer(reader) == (200, b"second")


@pytest.mark.asyncio
async def test_a_thousand_pipelined_requests_are_answered_without_recursion() -> None:
    async with serving() as app, client_of(app, GET * 1000) as (reader, _):
        for _ in range(1000):
            assert await read_answer(reader) == (200, b"/a")


@pytest.mark.asyncio
async def test_pipelined_bytes_beyond_the_bound_stop_the_reading_until_the_answer() -> None:
    async with serving(later) as app, client_of(app, GET * 20_000) as (reader, _):
        await app.handled.acquire()
        connection = app.open[0]
        transport = connection._socket._transport
        assert transport is not None
        assert not transport.is_reading()
        app.serve = answer_path
        answer(app.responders[0], b"/a")
        for _ in range(20_000):
            assert (await read_answer(reader))[0] == 200
        assert transport.is_reading()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("request_head", "kept"),
    [
        (b"GET /a HTTP/1.0\r\n\r\n", False),
        (b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", False),
    ],
)
async def test_the_client_decides_whether_the_connection_stays(
    request_head: bytes, kept: bool
) -> None:
    async with serving() as app, client_of(app, request_head) as (reader, writer):
        assert await read_answer(reader) == (200, b"/a")
        if kept:
            writer.write(request_head)
            assert await read_answer(reader) == (200, b"/a")
        else:
            assert await reader.read() == b""


@pytest.mark.asyncio
async def test_http_1_0_gets_a_stream_that_ends_with_the_connection() -> None:
    def stream(request: Request, responder: Responder) -> None:
        responder.send_head(200, [], None)
        responder.send(b"hel")
        responder.send(b"lo")
        responder.end()

    sent = b"GET /a HTTP/1.0\r\n\r\n"
    async with serving(stream) as app, client_of(app, sent) as (reader, _):
        wire = await reader.read()
        assert b"transfer-encoding" not in wire
        assert wire.endswith(b"\r\n\r\nhello")


@pytest.mark.asyncio
async def test_a_waiting_client_is_told_to_continue() -> None:
    head = POST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    async with serving() as app, client_of(app, head) as (reader, writer):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        assert await read_answer(reader) == (200, b"/a")
    async with serving() as app, client_of(app, head + b"hi") as (reader, _):
        assert await read_answer(reader) == (200, b"/a")


@pytest.mark.asyncio
async def test_an_early_answer_comes_before_the_body_and_without_continue() -> None:
    head = POST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    async with serving() as app, client_of(app) as (reader, writer):
        app.early = lambda _: EarlyAnswer(401, [], b"no")
        writer.write(head)
        assert await read_answer(reader) == (401, b"no")
        assert await reader.read() == b""
        assert not app.requests


@pytest.mark.asyncio
async def test_an_early_answer_to_a_request_without_body_keeps_the_connection() -> None:
    async with serving() as app, client_of(app) as (reader, writer):
        app.early = lambda _: EarlyAnswer(404, [], b"no")
        writer.write(GET + GET)
        assert await read_answer(reader) == (404, b"no")
        assert await read_answer(reader) == (404, b"no")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "body",
    [b"Content-Length: 2\r\n\r\nok", b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"],
)
async def test_an_early_answer_to_a_request_whose_body_is_here_keeps_the_connection(
    body: bytes,
) -> None:
    async with serving() as app, client_of(app) as (reader, writer):
        app.early = lambda _: EarlyAnswer(503, [], b"no")
        writer.write(POST + body)
        assert await read_answer(reader) == (503, b"no")
        app.early = lambda _: None
        writer.write(POST + body)
        assert await read_answer(reader) == (200, b"/a")


@pytest.mark.asyncio
async def test_an_early_answer_before_a_broken_body_closes() -> None:
    async with serving() as app, client_of(app) as (reader, writer):
        app.early = lambda _: EarlyAnswer(503, [], b"no")
        writer.write(POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
        assert await read_answer(reader) == (503, b"no")
        assert await reader.read() == b""
        assert not app.refusals


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 3000000\r\n\r\n" + b"a" * 3_000_000,
        b"Transfer-Encoding: chunked\r\n\r\n" + (b"8000\r\n" + b"a" * 0x8000 + b"\r\n") * 90,
    ],
)
async def test_a_client_that_sends_on_still_reads_why_its_body_is_too_large(
    framing: bytes,
) -> None:
    async with serving() as app, client_of(app, POST + framing) as (reader, writer):
        assert (await read_answer(reader))[0] == 413
        await writer.drain()
        assert app.refusals == [("/a", 413, "bad_request")]
        assert await reader.read() == b""


@pytest.mark.asyncio
async def test_a_fin_means_that_the_client_left() -> None:
    async with serving(later) as app, client_of(app, GET) as (reader, writer):
        owner = Owner()
        await app.handled.acquire()
        app.responders[0].subscribe(owner)
        writer.write_eof()
        async with asyncio.timeout(0.5):  # SPEC §11.1 says 0.1 s
            await owner.gone.wait()
        assert not app.responders[0].slow_reader
        answer(app.responders[0], b"too late")
        assert await reader.read() == b""
        await app.closed.acquire()


@pytest.mark.asyncio
async def test_a_reset_means_that_the_client_left() -> None:
    settings = replace(SETTINGS, half_close=True)
    async with serving(later, settings) as app, client_of(app, GET) as (_, w):
        owner = Owner()
        await app.handled.acquire()
        app.responders[0].subscribe(owner)
        sock = w.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        w.transport.abort()
        await owner.gone.wait()
        await app.closed.acquire()


@pytest.mark.asyncio
async def test_with_half_close_a_fin_only_ends_the_requests() -> None:
    settings = replace(SETTINGS, half_close=True)
    async with serving(later, settings) as app, client_of(app, GET + GET) as (reader, writer):
        owner = Owner()
        await app.handled.acquire()
        app.responders[0].subscribe(owner)
        writer.write_eof()
        for n in (0, 1):
            answer(app.responders[n], b"whole")
            assert await read_answer(reader) == (200, b"whole")
        assert await reader.read() == b""
        await app.closed.acquire()
        assert not owner.gone.is_set()


@pytest.mark.asyncio
async def test_with_half_close_many_pipelined_requests_before_the_fin_are_all_answered() -> None:
    settings = replace(SETTINGS, half_close=True)
    async with serving(settings=settings) as app, client_of(app, GET * 500) as (reader, writer):
        writer.write_eof()
        for _ in range(500):
            assert await read_answer(reader) == (200, b"/a")
        assert await reader.read() == b""


@pytest.mark.asyncio
@pytest.mark.parametrize("sent", [b"", b"GET /a", POST + b"Content-Length: 9\r\n\r\nab"])
@pytest.mark.parametrize("half_close", [False, True])
async def test_a_fin_within_a_request_closes_without_an_answer(
    sent: bytes, half_close: bool
) -> None:
    settings = replace(SETTINGS, half_close=half_close)
    async with serving(later, settings) as app, client_of(app, sent) as (reader, writer):
        writer.write_eof()
        assert await reader.read() == b""
        await app.closed.acquire()
        assert not app.requests


@pytest.mark.asyncio
async def test_a_failing_application_gives_a_500_and_a_log_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(request: Request, responder: Responder) -> None:
        responder.send_head(200, [], None)
        raise LookupError("broken")

    async with serving(fail) as app, client_of(app, GET) as (reader, _):
        with caplog.at_level(logging.ERROR):
            assert (await read_answer(reader))[0] == 500
            assert await reader.read() == b""
        assert "handler_failed where=handle" in caplog.text
        assert app.refusals == [("/a", 500, "overloaded")]


@pytest.mark.asyncio
async def test_a_failure_after_bytes_have_left_drops_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(request: Request, responder: Responder) -> None:
        responder.send_head(200, [], None)
        responder.send(b"begun")
        raise LookupError("broken")

    async with serving(fail) as app, client_of(app, GET) as (reader, _):
        wire = await reader.read()
        assert b"0\r\n\r\n" not in wire
        assert wire.count(b"HTTP/1.1") <= 1
        assert "handler_failed" in caplog.text


@pytest.mark.asyncio
async def test_a_failure_in_accept_head_or_after_the_answer_leaves_nobody_waiting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(head: RequestHead) -> EarlyAnswer | None:
        raise LookupError("broken")

    def fail_late(request: Request, responder: Responder) -> None:
        answer(responder, b"done")
        raise LookupError("broken")

    async with serving() as app, client_of(app) as (reader, writer):
        app.early = fail
        writer.write(GET)
        assert (await read_answer(reader))[0] == 500
    async with serving(fail_late) as app, client_of(app, GET + GET) as (reader, _):
        assert await read_answer(reader) == (200, b"done")
        assert await read_answer(reader) == (200, b"done")
    assert caplog.text.count("handler_failed") == 3


@pytest.mark.asyncio
async def test_an_owner_that_aborts_ends_the_connection_without_an_end_of_body() -> None:
    def begin(request: Request, responder: Responder) -> None:
        responder.send_head(200, [], None)
        responder.send(b"begun")
        responder.abort()

    async with serving(begin) as app, client_of(app, GET) as (reader, _):
        with contextlib.suppress(ConnectionResetError):
            assert b"0\r\n\r\n" not in await reader.read()
        await app.closed.acquire()


@pytest.mark.asyncio
async def test_draining_finishes_what_has_begun_and_closes_what_has_not() -> None:
    async with serving(later) as app, client_of(app, GET) as (busy, _), client_of(app) as (idle, _):
        await app.handled.acquire()
        for _ in range(2):
            await app.opened.acquire()
        for connection in list(app.open):
            connection.drain()
        assert await idle.read() == b""
        answer(app.responders[0], b"whole")
        assert await read_answer(busy) == (200, b"whole")
        assert await busy.read() == b""


@pytest.mark.asyncio
async def test_the_socket_is_bounded_and_does_not_wait_to_fill_packets() -> None:
    async with serving() as app, client_of(app, GET):
        await app.handled.acquire()
        transport = app.open[0]._socket._transport
        assert transport is not None
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 256 * 1024
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert "127.0.0.1" in repr(app.open[0])
        assert app.open[0].phase is Phase.IDLE


@pytest.mark.asyncio
async def test_closed_connections_leave_nothing_behind() -> None:
    async with serving() as app:
        seen: list[weakref.ref[object]] = []
        for sent in (GET, b"GE(T / HTTP/1.1\r\n", POST + b"Content-Length: 5\r\n\r\nab"):
            async with client_of(app, sent) as (reader, writer):
                await app.opened.acquire()
                seen.append(weakref.ref(app.open[0]))
                writer.write_eof()
                await reader.read()
                await app.closed.acquire()
        seen += [weakref.ref(responder) for responder in app.responders]
        app.responders.clear()
        app.requests.clear()
        await asyncio.sleep(0)
        gc.collect()
        assert [ref() for ref in seen] == [None] * len(seen)


@pytest.mark.parametrize(
    "scenario",
    [
        test_a_kept_alive_connection_serves_one_request_after_another,
        test_a_thousand_pipelined_requests_are_answered_without_recursion,
        test_pipelined_bytes_beyond_the_bound_stop_the_reading_until_the_answer,
        test_a_waiting_client_is_told_to_continue,
        test_an_early_answer_before_a_broken_body_closes,
        test_a_fin_means_that_the_client_left,
        test_a_reset_means_that_the_client_left,
        test_with_half_close_a_fin_only_ends_the_requests,
        test_with_half_close_many_pipelined_requests_before_the_fin_are_all_answered,
        test_an_owner_that_aborts_ends_the_connection_without_an_end_of_body,
        test_draining_finishes_what_has_begun_and_closes_what_has_not,
        test_the_socket_is_bounded_and_does_not_wait_to_fill_packets,
        test_closed_connections_leave_nothing_behind,
    ],
)
def test_uvloop_behaves_alike(scenario: Callable[[], Coroutine[object, object, None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
