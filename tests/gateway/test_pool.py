"""Connecting, keeping, and what a stale connection costs: nothing."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from streamgauge.gateway.http import EndKind, FailKind
from streamgauge.gateway.pool import Pool, PoolSettings, Target

from .upstream_rig import (
    CHUNKED,
    OK,
    REQUEST,
    Owner,
    answering,
    both_loops,
    call,
    chunked,
    pool,
    read_request,
    reset,
    upstream,
)

ANSWER = OK + b"Content-Length: 2\r\n\r\nok"


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


# ---- reuse ----------------------------------------------------------------------------


@both_loops
async def test_one_connection_serves_call_after_call() -> None:
    async with upstream(keeping) as up, pool() as opened:
        for _ in range(20):
            assert (await call(opened, up.target())).ended is EndKind.COMPLETE
        assert up.accepted == 1
        assert opened.stats().open == opened.stats().idle == 1
        assert "idle=1" in repr(opened)


@both_loops
async def test_calls_at_the_same_time_have_a_connection_each() -> None:
    async with upstream(keeping) as up, pool(idle_per_target=3) as opened:
        owners = await asyncio.gather(*(call(opened, up.target()) for _ in range(8)))
        assert {owner.body for owner in owners} == {b"ok"}
        assert up.accepted == 8
        await until(lambda: opened.stats().open == 3)
        assert opened.stats().idle == 3


@both_loops
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(OK + b"Content-Length: 2\r\nConnection: close\r\n\r\nok", id="close"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", id="http-1.0"),
        pytest.param(ANSWER + b"more than stated", id="surplus"),
        pytest.param(CHUNKED + chunked(b"ok") + ANSWER, id="second-answer"),
        pytest.param(b"HTTP/1.1 204 No\r\n\r\nok", id="body-on-204"),
    ],
)
async def test_a_connection_is_dropped_unless_both_may_keep_it(answer: bytes) -> None:
    async with upstream(answering(answer, end="hold")) as up, pool() as opened:
        for _ in range(2):
            owner = await call(opened, up.target())
            assert owner.ended is EndKind.COMPLETE
            assert owner.body in (b"ok", b"")
            assert opened.stats().idle == 0
        assert up.accepted == 2


@both_loops
async def test_a_request_that_asks_for_the_close_gets_it() -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with upstream(keeping) as up, pool() as opened:
        await call(opened, up.target(), request)
        assert opened.stats().idle == 0


@both_loops
async def test_an_answer_before_the_whole_request_was_written_ends_the_connection() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        await writer.drain()
        await asyncio.Event().wait()

    body = 30_000_000
    request = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % body + bytes(body)
    async with upstream(handler) as up, pool() as opened:
        owner = await call(opened, up.target(), request)
        assert (owner.body, opened.stats().idle) == (b"ok", 0)


@both_loops
async def test_bytes_on_an_idle_connection_end_it_and_reach_no_call() -> None:
    idle = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(ANSWER)
        await idle.wait()
        writer.write(OK + b"Content-Length: 4\r\n\r\nEVIL")
        await reader.read()

    async with upstream(handler) as up, pool() as opened:
        await call(opened, up.target())
        idle.set()
        await until(lambda: opened.stats().idle == 0)
        assert (await call(opened, up.target())).body == b"ok"
        assert up.accepted == 2


@both_loops
async def test_idle_connections_are_closed_when_their_time_is_over() -> None:
    async with upstream(keeping) as up, pool(idle_seconds=0.05) as opened:
        await call(opened, up.target())
        assert opened.stats().idle == 1
        await until(lambda: opened.stats().open == 0)


@both_loops
async def test_targets_share_no_connection() -> None:
    async with upstream(keeping) as one, upstream(keeping) as two, pool() as opened:
        await call(opened, one.target())
        await call(opened, two.target())
        assert opened.stats().idle == 2
        assert (one.accepted, two.accepted) == (1, 1)


# ---- stale connections (F24) ----------------------------------------------------------


@both_loops
@pytest.mark.parametrize("end", ["fin", "rst"])
async def test_an_upstream_that_closes_after_each_answer_fails_no_call(end: str) -> None:
    answer = CHUNKED + chunked(b"ok")
    async with upstream(answering(answer, end=end)) as up, pool() as opened:
        for _ in range(200):
            owner = await call(opened, up.target())
            assert (owner.body, owner.failed) == (b"ok", None), owner.message


def closing_after(answers: int, end: str) -> Callable[..., object]:
    """A handler that reads one request more than it answers on each connection."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(answers):
            await read_request(reader)
            writer.write(ANSWER)
        await read_request(reader)
        if end == "rst":
            reset(writer)

    return handler


@both_loops
@pytest.mark.parametrize("end", ["fin", "rst"])
async def test_a_reused_connection_closed_unanswered_costs_one_silent_resend(end: str) -> None:
    seen: list[bytes] = []
    first = True

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal first
        seen.append(await read_request(reader))
        writer.write(ANSWER)
        if first:
            first = False
            seen.append(await read_request(reader))
            if end == "rst":
                reset(writer)
            return
        await reader.read()

    async with upstream(handler) as up, pool() as opened:
        await call(opened, up.target())
        owner = await call(opened, up.target())
        assert owner.order == ["connected", "head", "data", "end"]
        assert up.accepted == 2
    assert seen == [REQUEST] * 3


@both_loops
async def test_the_resend_on_a_fresh_connection_is_the_last() -> None:
    first = True

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal first
        await read_request(reader)
        if first:
            first = False
            writer.write(ANSWER)
            await read_request(reader)

    async with upstream(handler) as up, pool() as opened:
        await call(opened, up.target())
        owner = await call(opened, up.target())
        assert owner.failed == (FailKind.CLOSED, True)
        assert up.accepted == 2


@both_loops
async def test_an_answer_byte_forbids_the_resend() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(ANSWER)
        await read_request(reader)
        writer.write(b"H")

    async with upstream(handler) as up, pool() as opened:
        await call(opened, up.target())
        owner = await call(opened, up.target())
        assert owner.failed == (FailKind.PROTOCOL, True)
        assert up.accepted == 1


@both_loops
async def test_a_connection_that_dies_between_connected_and_send_is_replaced() -> None:
    leave = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(ANSWER)
        if not leave.is_set():
            await leave.wait()
            return
        await reader.read()

    async with upstream(handler) as up, pool() as opened:
        await call(opened, up.target())
        owner = Owner(request=None)
        handle = owner.open(opened, up.target())
        await owner.connected
        leave.set()
        await until(lambda: up.accepted == 2)
        handle.send(REQUEST)
        await asyncio.wait_for(owner.done, 5)
    assert (owner.body, owner.order.count("connected")) == (b"ok", 1)


@both_loops
async def test_a_resend_that_cannot_connect_says_that_the_request_had_left() -> None:
    server: list[asyncio.Server] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await read_request(reader)
            writer.write(ANSWER)
            await read_request(reader)
        finally:
            server[0].close()
            writer.close()

    server.append(await asyncio.start_server(serve, "127.0.0.1", 0))
    target = Target("http", "127.0.0.1", server[0].sockets[0].getsockname()[1])
    async with pool() as opened:
        await call(opened, target)
        owner = await call(opened, target)
    assert owner.failed == (FailKind.REFUSED, True)


# ---- connecting -----------------------------------------------------------------------


@both_loops
async def test_a_closed_port_is_refused() -> None:
    async with pool() as opened:
        owner = await call(opened, Target("http", "127.0.0.1", unused_port()))
    assert owner.failed == (FailKind.REFUSED, False)


@both_loops
async def test_a_name_of_several_addresses_is_refused_only_by_all() -> None:
    async with upstream(keeping) as up, pool() as opened:
        assert (await call(opened, up.target(host="localhost"))).body == b"ok"
        owner = await call(opened, Target("http", "localhost", unused_port()))
    assert owner.failed == (FailKind.REFUSED, False)


@both_loops
@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".invalid", "a..b"])
async def test_a_name_without_address_is_a_dns_failure(host: str) -> None:
    async with pool() as opened:
        owner = await call(opened, Target("http", host, 80))
    assert owner.failed == (FailKind.DNS, False)


@both_loops
async def test_another_error_of_the_socket_is_a_connect_failure() -> None:
    async with pool() as opened:
        owner = await call(opened, Target("http", "255.255.255.255", 9))
    assert owner.failed == (FailKind.CONNECT, False)
    assert os.strerror(errno.EIO) not in owner.message


def full_listener() -> list[socket.socket]:
    """A listener whose backlog is full, so that a further connect hangs; and what fills it."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = []
    for _ in range(3):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    return [listener, *fillers]


@both_loops
async def test_a_connect_that_hangs_ends_at_its_deadline() -> None:
    sockets = full_listener()
    try:
        async with pool() as opened:
            port = sockets[0].getsockname()[1]
            owner = await call(opened, Target("http", "127.0.0.1", port, connect_timeout=0.1))
    finally:
        for sock in sockets:
            sock.close()
    assert owner.failed == (FailKind.CONNECT_TIMEOUT, False)
    assert "0.1 s" in owner.message


@both_loops
async def test_closing_a_call_while_it_connects_leaves_nothing() -> None:
    sockets = full_listener()
    try:
        async with pool() as opened:
            owner = Owner()
            handle = owner.open(opened, Target("http", "127.0.0.1", sockets[0].getsockname()[1]))
            assert opened.stats().connecting == 1
            handle.close()
            assert opened.stats().connecting == 0
            await until(lambda: not opened._tasks)
    finally:
        for sock in sockets:
            sock.close()
    assert owner.order == []


@both_loops
async def test_closing_a_call_inside_connected_sends_nothing() -> None:
    got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            got.set_result(await reader.read())
        except ConnectionError:
            got.set_result(b"")

    class Leaver(Owner):
        def upstream_connected(self) -> None:
            assert self.call is not None
            self.call.close()

    async with upstream(handler) as up, pool() as opened:
        Leaver().open(opened, up.target())
        assert await asyncio.wait_for(got, 5) == b""


@both_loops
async def test_closing_a_reused_call_before_it_was_told_tells_nothing() -> None:
    async with upstream(keeping) as up, pool() as opened:
        await call(opened, up.target())
        owner = Owner()
        owner.open(opened, up.target()).close()
        await until(lambda: opened.stats().open == 0)
    assert owner.order == []


# ---- the environment, the end ---------------------------------------------------------


@both_loops
async def test_proxy_variables_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port()}")
    async with upstream(keeping) as up, pool() as opened:
        assert (await call(opened, up.target())).body == b"ok"


@both_loops
async def test_redirects_are_told_and_not_followed() -> None:
    async with upstream(keeping) as canary:
        there = b"http://127.0.0.1:%d/" % canary.port
        answer = b"HTTP/1.1 307 Go\r\nLocation: " + there + b"\r\nContent-Length: 0\r\n\r\n"
        async with upstream(answering(answer)) as up, pool() as opened:
            owner = await call(opened, up.target())
        assert (owner.status, owner.ended, canary.accepted) == (307, EndKind.COMPLETE, 0)


@both_loops
async def test_closing_the_pool_ends_calls_silently_and_refuses_new_ones() -> None:
    async with upstream(answering(CHUNKED, end="hold")) as up:
        opened = Pool(asyncio.get_running_loop(), PoolSettings())
        owner = Owner()
        owner.open(opened, up.target())
        await asyncio.wait_for(owner.answered, 5)
        await opened.aclose()
        assert owner.order == ["connected", "head"]
        assert opened.stats().open == 0
        with pytest.raises(RuntimeError):
            owner.open(opened, up.target())
        await opened.aclose()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
@both_loops
async def test_neither_sockets_nor_tasks_are_left_after_load() -> None:
    closed = Target("http", "127.0.0.1", unused_port())
    async with upstream(keeping) as up, pool(idle_per_target=2) as opened:
        await call(opened, up.target())
        tasks = len(asyncio.all_tasks())
        for _ in range(5):
            await asyncio.gather(*(call(opened, up.target()) for _ in range(10)))
            await asyncio.gather(*(call(opened, closed) for _ in range(10)))
            for _ in range(10):
                Owner().open(opened, up.target()).close()
        await until(lambda: opened.stats().open <= 2 and len(asyncio.all_tasks()) <= tasks + 2)


def test_a_target_is_plain_or_has_a_tls_context() -> None:
    with pytest.raises(ValueError, match="TLS"):
        Target("https", "127.0.0.1", 443)
    with pytest.raises(ValueError, match="scheme"):
        Target("ftp", "127.0.0.1", 21)
