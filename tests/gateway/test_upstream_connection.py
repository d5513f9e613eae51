"""What an upstream call tells of every kind of answer, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from streamgauge.gateway.http import EndKind, FailKind

from ..timed import in_time
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

COMPLETE, CUT, RESET, PROTOCOL = EndKind.COMPLETE, EndKind.CUT, EndKind.RESET, EndKind.PROTOCOL

BODIES = [
    pytest.param(OK + b"Content-Length: 2\r\n\r\nok", b"ok", COMPLETE, id="length"),
    pytest.param(OK + b"Content-Length: 0\r\n\r\n", b"", COMPLETE, id="length-zero"),
    pytest.param(CHUNKED + chunked(b"a", b"bc"), b"abc", COMPLETE, id="chunked"),
    pytest.param(OK + b"\r\nuntil the close", b"until the close", COMPLETE, id="close-delimited"),
    pytest.param(b"HTTP/1.0 200 OK\r\n\r\nold", b"old", COMPLETE, id="http-1.0"),
    pytest.param(b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", b"x", COMPLETE, id="no-reason"),
    pytest.param(OK + b"Content-Length: 9\r\n\r\nshort", b"short", CUT, id="short-length"),
    pytest.param(CHUNKED + chunked(b"abc", last=False), b"abc", CUT, id="no-last-chunk"),
    pytest.param(CHUNKED + b"5\r\nab", b"ab", CUT, id="cut-inside-a-chunk"),
    pytest.param(CHUNKED + chunked(b"a", last=False) + b"zz\r\n", b"a", PROTOCOL, id="bad-size"),
    pytest.param(CHUNKED + chunked(b"a", last=False) + b"F" * 17, b"a", PROTOCOL, id="huge-size"),
    pytest.param(CHUNKED + b"2\nok\r\n0\r\n\r\n", b"", PROTOCOL, id="bare-lf-after-size"),
    pytest.param(CHUNKED + b"2\r\nokX", b"ok", PROTOCOL, id="chunk-longer-than-stated"),
    pytest.param(CHUNKED + b"1\r\na\r\n0\r\nX-T: 1\r\n\r\n", b"a", COMPLETE, id="trailers"),
    pytest.param(CHUNKED + b"1;x=y\r\na\r\n0\r\n\r\n", b"a", COMPLETE, id="chunk-extension"),
    pytest.param(CHUNKED + b"1;" + b"x" * 140_000, b"", PROTOCOL, id="endless-extension"),
    pytest.param(CHUNKED + b"0\r\nX: " + b"x" * 140_000, b"", PROTOCOL, id="endless-trailer"),
    pytest.param(b"HTTP/1.1 204 No\r\n\r\nbody", b"", COMPLETE, id="204-has-no-body"),
    pytest.param(b"HTTP/1.1 304 No\r\nContent-Length: 4\r\n\r\n", b"", COMPLETE, id="304"),
    pytest.param(b"HTTP/1.1 101 Up\r\nUpgrade: x\r\n\r\nraw", b"", PROTOCOL, id="101"),
    pytest.param(
        b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\n" + CHUNKED + chunked(b"a"),
        b"a",
        COMPLETE,
        id="informational-heads-skipped",
    ),
]


@both_loops
@pytest.mark.parametrize(("answer", "body", "end"), BODIES)
async def test_a_body_ends_as_its_framing_says(answer: bytes, body: bytes, end: EndKind) -> None:
    async with upstream(answering(answer)) as up, pool() as opened:
        owner = await call(opened, up.target())
    assert (owner.body, owner.ended) == (body, end)
    assert owner.order[:2] == ["connected", "head"]


HEADS = [
    pytest.param(b"hello there\n", id="http-0.9"),
    pytest.param(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", id="http-2"),
    pytest.param(b"HTTP/2.0 200 OK\r\n\r\n", id="version"),
    pytest.param(b"HTTP/1.1 2000 OK\r\n\r\n", id="long-status"),
    pytest.param(b"HTTP/1.1  200 OK\r\n\r\n", id="two-spaces"),
    pytest.param(b"HTTP/1.1 200OK\r\n\r\n", id="status-without-space"),
    pytest.param(OK + b"A : b\r\n\r\n", id="space-before-colon"),
    pytest.param(OK + b"A: b\x00c\r\n\r\n", id="nul"),
    pytest.param(OK + b"A: b\rSet-Cookie: x\r\n\r\n", id="bare-cr"),
    pytest.param(OK + b"A: b\nB: c\r\n\r\n", id="bare-lf"),
    pytest.param(b"HTTP/1.1 200 OK\nA: b\n\nbody", id="only-bare-lf"),
    pytest.param(OK + b"A: b\r\n folded\r\n\r\n", id="obs-fold"),
    pytest.param(OK + b": b\r\n\r\n", id="no-name"),
    pytest.param(OK + b"no colon\r\n\r\n", id="no-colon"),
    pytest.param(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\na", id="two-lengths"),
    pytest.param(OK + b"Content-Length: 1, 1\r\n\r\na", id="length-list"),
    pytest.param(OK + b"Content-Length: +1\r\n\r\na", id="signed-length"),
    pytest.param(OK + b"Content-Length: " + b"9" * 30 + b"\r\n\r\na", id="length-over-64-bit"),
    pytest.param(OK + b"Content-Length: \r\n\r\na", id="empty-length"),
    pytest.param(
        OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", id="length-and-coding"
    ),
    pytest.param(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", id="coded-transfer"),
    pytest.param(OK + b"Transfer-Encoding: identity\r\n\r\n", id="identity-transfer"),
    pytest.param(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", id="chunked-in-1.0"),
    pytest.param(OK + b"A: b\r\n" * 201 + b"\r\n", id="201-fields"),
    pytest.param(OK + b"A: " + b"a" * 70_000, id="64-kib"),
    pytest.param(b"HTTP/1.1 100 Go\r\n\r\n" * 4000, id="endless-informational"),
]


@both_loops
@pytest.mark.parametrize("answer", HEADS)
async def test_a_head_that_can_be_read_in_two_ways_is_refused(answer: bytes) -> None:
    async with upstream(answering(answer, end="hold")) as up, pool() as opened:
        owner = await call(opened, up.target())
    assert owner.failed == (FailKind.PROTOCOL, True)
    assert owner.order == ["connected", "failed"]


@both_loops
@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip, gzip"])
async def test_a_coding_that_cannot_be_undone_is_refused_by_its_name(coding: bytes) -> None:
    answer = OK + b"Content-Encoding: " + coding + b"\r\n\r\nx"
    async with upstream(answering(answer, end="hold")) as up, pool() as opened:
        owner = await call(opened, up.target())
    assert owner.failed == (FailKind.CODING, True)
    assert owner.order == ["connected", "failed"]


@both_loops
async def test_an_error_in_such_a_coding_is_told_by_its_head_alone() -> None:
    head = (
        b"HTTP/1.1 429 Slow\r\nContent-Encoding: br\r\nRetry-After: 7\r\nContent-Length: 3\r\n\r\n"
    )
    async with upstream(answering(head + b"\x8b\x00\x80")) as up, pool() as opened:
        owner = await call(opened, up.target())
    assert owner.order == ["connected", "head", "end"]


@both_loops
@pytest.mark.parametrize(
    ("answer", "end", "kind"),
    [
        (b"", "fin", FailKind.CLOSED),
        (b"", "rst", FailKind.RESET),
        (b"HTTP/1.1 200 OK\r\nContent-Ty", "fin", FailKind.PROTOCOL),
        (b"HTTP/1.1 100 Go on\r\n\r\n", "fin", FailKind.PROTOCOL),
    ],
)
async def test_a_connection_lost_before_the_head_is_a_failure(
    answer: bytes, end: str, kind: FailKind
) -> None:
    async with upstream(answering(answer, end=end)) as up, pool() as opened:
        owner = await call(opened, up.target())
        assert up.accepted == 1
    assert owner.failed == (kind, True)


@both_loops
async def test_a_reset_in_the_body_is_told_after_what_came() -> None:
    got_body = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED + chunked(b"abc", last=False))
        await got_body.wait()
        reset(writer)

    async with upstream(handler) as up, pool() as opened:
        owner = Owner()
        owner.on_data = got_body.set
        owner.open(opened, up.target())
        await asyncio.wait_for(owner.done, 10)
    assert (owner.body, owner.ended) == (b"abc", RESET)


@both_loops
async def test_head_answers_have_no_body_whatever_they_state() -> None:
    answer = OK + b"Content-Length: 500\r\nContent-Encoding: gzip\r\n\r\n"
    async with upstream(answering(answer, end="hold")) as up, pool() as opened:
        owner = await call(opened, up.target(), b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert opened.stats().idle == 1
    assert (owner.body, owner.ended) == (b"", COMPLETE)
    assert (b"content-length", b"500") in owner.headers


@both_loops
async def test_all_chunks_of_one_read_are_one_piece() -> None:
    async with upstream(answering(CHUNKED + chunked(b"a", b"b", b"c"))) as up, pool() as opened:
        owner = await call(opened, up.target())
    assert owner.pieces == [b"abc"]


@both_loops
async def test_header_names_are_lower_case_and_values_stripped() -> None:
    answer = OK + b"X-A:  b c \t\r\nContent-Length:0\r\n\r\n"
    async with upstream(answering(answer)) as up, pool() as opened:
        owner = await call(opened, up.target())
    assert owner.headers == ((b"x-a", b"b c"), (b"content-length", b"0"))


@both_loops
async def test_an_unasked_answer_is_refused_before_anything_is_sent() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"Content-Length: 0\r\n\r\n")
        await reader.read()

    async with upstream(handler) as up, pool() as opened:
        owner = Owner(request=None)
        owner.open(opened, up.target())
        await asyncio.wait_for(owner.done, 10)
    assert owner.failed == (FailKind.PROTOCOL, False)


@both_loops
async def test_a_close_before_the_request_was_sent_says_so() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        return

    async with upstream(handler) as up, pool() as opened:
        owner = Owner(request=None)
        owner.open(opened, up.target())
        await asyncio.wait_for(owner.done, 10)
    assert owner.failed == (FailKind.CLOSED, False)


@both_loops
async def test_sending_twice_is_a_fault_of_the_caller() -> None:
    async with upstream(answering(end="hold")) as up, pool() as opened:
        owner = Owner()
        handle = owner.open(opened, up.target())
        with pytest.raises(RuntimeError):
            handle.send(REQUEST)
        await owner.connected
        with pytest.raises(RuntimeError):
            handle.send(REQUEST)
        handle.close()
        handle.send(REQUEST)


@both_loops
async def test_a_paused_call_stops_the_upstream_and_loses_nothing() -> None:
    piece, count = b"x" * 65536, 200
    stalled_at: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + b"Content-Length: %d\r\n\r\n" % (len(piece) * count))
        for number in range(count):
            writer.write(piece)
            try:
                await asyncio.wait_for(writer.drain(), 0.5)
            except TimeoutError:
                if not stalled_at.done():
                    stalled_at.set_result(number)
                await writer.drain()
        if not stalled_at.done():
            stalled_at.set_result(count)

    async with upstream(handler) as up, pool() as opened:
        owner = Owner()
        handle = owner.open(opened, up.target())
        owner.on_data = handle.pause
        assert await asyncio.wait_for(stalled_at, 10) < count
        assert len(owner.pieces) == 1
        owner.on_data = lambda: None
        handle.resume()
        await asyncio.wait_for(owner.done, 10)
    assert (len(owner.body), owner.ended) == (len(piece) * count, COMPLETE)


@both_loops
async def test_the_receive_buffer_is_bounded() -> None:
    async with upstream(answering(end="hold")) as up, pool() as opened:
        owner = Owner()
        handle = owner.open(opened, up.target())
        await owner.connected
        (connection,) = opened._open
        assert connection._transport is not None
        sock = connection._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 256 * 1024
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        handle.close()


@both_loops
@pytest.mark.parametrize("when", ["head", "data", "later"])
async def test_close_is_seen_by_the_peer_at_once_and_nothing_more_is_told(when: str) -> None:
    gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED + chunked(b"a", last=False))
        try:
            await reader.read()
        except ConnectionError:
            pass
        finally:
            gone.set_result(time.monotonic())

    async with upstream(handler) as up, pool() as opened:
        owner = Owner()
        handle = owner.open(opened, up.target())
        left: list[float] = []

        def leave() -> None:
            left.append(time.monotonic())
            handle.close()
            handle.close()

        if when == "head":
            owner.on_head = leave
        elif when == "data":
            owner.on_data = leave
        else:
            await asyncio.wait_for(owner.fed.wait(), 5)
            leave()
        closed = await asyncio.wait_for(gone, 5)
        in_time(closed - left[0], 0.5)  # five times the figure of 0.1 s
        assert "end" not in owner.order
        assert ("data" in owner.order) is (when != "head")
        assert "done" in repr(handle)


@both_loops
async def test_a_call_opened_inside_the_end_of_another_uses_its_connection() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_request(reader):
            writer.write(OK + b"Content-Length: 2\r\n\r\nok")

    async with upstream(handler) as up, pool() as opened:
        first, second = Owner(), Owner()

        def follow() -> None:
            second.open(opened, up.target())

        first.on_end = follow
        first.open(opened, up.target())
        await asyncio.wait_for(second.done, 5)
        assert up.accepted == 1
    assert (second.body, second.ended) == (b"ok", COMPLETE)


@both_loops
async def test_a_stream_dripped_byte_by_byte_arrives_whole() -> None:
    parts = [bytes([byte]) for byte in CHUNKED + chunked(b"ab", b"c")]
    async with upstream(answering(*parts)) as up, pool() as opened:
        owner = await call(opened, up.target())
    assert (owner.body, owner.ended) == (b"abc", COMPLETE)
