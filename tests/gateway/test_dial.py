"""Connecting: each failure by its kind, deadlines, and what is not read or followed."""

from __future__ import annotations

import asyncio
import socket

import pytest

from streamgauge.gateway.http import EndKind, FailKind
from streamgauge.gateway.pool import Target

from .upstream_rig import (
    Owner,
    answering,
    both_loops,
    call,
    keeping,
    pool,
    until,
    unused_port,
    upstream,
)


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


def test_a_target_is_plain_or_has_a_tls_context() -> None:
    with pytest.raises(ValueError, match="TLS"):
        Target("https", "127.0.0.1", 443)
    with pytest.raises(ValueError, match="scheme"):
        Target("ftp", "127.0.0.1", 21)
