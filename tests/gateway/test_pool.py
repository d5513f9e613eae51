"""Connecting, keeping, and what a stale connection costs: nothing."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from streamgauge.gateway.http import EndKind, FailKind
from streamgauge.gateway.pool import Pool, PoolSettings, Target

from .upstream_rig import (
    ANSWER,
    CHUNKED,
    OK,
    REQUEST,
    Owner,
    answering,
    both_loops,
    call,
    chunked,
    keeping,
    pool,
    read_request,
    reset,
    until,
    unused_port,
    upstream,
)


def open_descriptors() -> int:
    """Count by fstat, which every system has."""
    return sum(is_open(number) for number in range(512))


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


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

    async with upstream(handler) as up, pool(idle_seconds=60) as opened:
        await call(opened, up.target())
        idle.set()
        await until(lambda: opened.stats().idle == 0)
        assert (await call(opened, up.target())).body == b"ok"
        assert up.accepted == 2


@both_loops
async def test_bytes_that_the_loop_has_not_seen_yet_reach_no_call() -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        target = Target("http", "127.0.0.1", listener.getsockname()[1])
        async with pool() as opened:
            first = Owner()
            first.open(opened, target)
            accepted, _ = await loop.sock_accept(listener)
            await loop.sock_recv(accepted, 4096)
            await loop.sock_sendall(accepted, ANSWER)
            await asyncio.wait_for(first.done, 5)
            # No await from here to the open: the loop cannot know of these bytes.
            accepted.send(OK + b"Content-Length: 4\r\n\r\nEVIL")
            second = Owner()
            second.open(opened, target)
            fresh, _ = await asyncio.wait_for(loop.sock_accept(listener), 5)
            await loop.sock_sendall(fresh, ANSWER)
            await asyncio.wait_for(second.done, 5)
            accepted.close()
            fresh.close()
    assert second.body == b"ok"


@both_loops
async def test_a_connection_whose_owner_paused_at_the_end_reads_again() -> None:
    async with upstream(keeping) as up, pool() as opened:
        first = Owner()
        handle = first.open(opened, up.target())
        first.on_data = handle.pause
        await asyncio.wait_for(first.done, 5)
        assert (await call(opened, up.target())).body == b"ok"
        assert up.accepted == 1


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


# ---- the end --------------------------------------------------------------------------


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


@both_loops
async def test_a_call_closed_at_any_turn_of_its_connect_leaves_nothing_open() -> None:
    async with upstream(keeping) as up, pool() as opened:
        for turns in range(8):
            abandoned = Owner(request=None).open(opened, up.target())
            for _ in range(turns):
                await asyncio.sleep(0)
            abandoned.close()
        await until(lambda: opened.stats().open == 0 and not opened._tasks)


@both_loops
async def test_neither_sockets_nor_tasks_are_left_after_load() -> None:
    closed = Target("http", "127.0.0.1", unused_port())
    async with upstream(keeping) as up:
        before = open_descriptors()
        async with pool(idle_per_target=2) as opened:
            for _ in range(5):
                await asyncio.gather(*(call(opened, up.target()) for _ in range(10)))
                await asyncio.gather(*(call(opened, closed) for _ in range(10)))
                for _ in range(10):
                    Owner().open(opened, up.target()).close()
            await until(lambda: opened.stats().open <= 2 and not opened._tasks)
        await until(lambda: open_descriptors() <= before and len(asyncio.all_tasks()) <= 2)
