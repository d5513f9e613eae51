"""What the log says of running streams, and that who asks for none of it pays nothing for it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streamgauge.core.integrity_stamp import Stamp
from streamgauge.core.replay_watch import Suspected, Suspicion
from streamgauge.gateway.http import UpstreamEvents
from streamgauge.gateway.pool import Pool, PoolSettings
from streamgauge.gateway.stream_log import NO_LOG, LoggedResponder, StreamLog
from streamgauge.gateway.upstream_connection import UpstreamConnection

Line = tuple[str, str, dict[str, str]]


def log_of(lines: list[Line], level: str = "debug") -> StreamLog:
    order = ["debug", "info", "warning"]
    return StreamLog(
        lambda level, event, fields: lines.append((level, event, dict(fields))),
        lambda asked: order.index(asked) >= order.index(level),
    )


class Inner:
    """A responder that writes down what it is asked."""

    slow_reader = True

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines

    def __getattr__(self, name: str) -> Any:
        return lambda *args: self.lines.append(("inner", name, {}))


STAMP = Stamp(7, "0123456789ab", 3, 5)
FIELDS = {"seq": "7", "sha1": "0123456789ab", "done": "false", "acc": "3", "raw": "5", "trace": "t"}


def test_a_frame_is_told_when_it_is_made_and_when_the_socket_has_it() -> None:
    lines: list[Line] = []
    frames = log_of(lines).frames("t")
    assert frames is not None
    responder = LoggedResponder(cast("Any", Inner(lines)), frames)
    frames.made(STAMP)
    frames.made(Stamp(8, None, 3, 5, done=True, stream_sha1="x"))
    assert [event for _, event, _ in lines] == ["EMIT", "EMIT"]
    responder.send(b"both")
    assert [event for _, event, _ in lines[2:]] == ["send", "SOCKET_WRITE", "SOCKET_WRITE"]
    assert lines[0] == ("debug", "EMIT", FIELDS)
    assert lines[3] == ("debug", "SOCKET_WRITE", FIELDS)
    assert lines[4][2] == {**FIELDS, "seq": "8", "sha1": "-", "done": "true"}
    responder.send(b": a comment\n")
    assert [event for _, event, _ in lines[5:]] == ["send"], "each frame is told once"


def test_everything_else_goes_straight_to_the_responder() -> None:
    lines: list[Line] = []
    frames = log_of(lines).frames("t")
    assert frames is not None
    responder = LoggedResponder(cast("Any", Inner(lines)), frames)
    responder.subscribe(cast("Any", None))
    responder.send_head(200, (), None)
    responder.end()
    responder.abort()
    assert [event for _, event, _ in lines] == ["subscribe", "send_head", "end", "abort"]
    assert responder.slow_reader


def test_nobody_stands_in_the_way_of_a_stream_whose_frames_nobody_wants() -> None:
    assert log_of([], "info").frames("t") is None
    assert NO_LOG.frames("t") is None


def test_a_suspicion_is_a_warning_with_its_place() -> None:
    lines: list[Line] = []
    log_of(lines, "warning").suspected("t", Suspicion(Suspected.RESTART, 9, 3000))
    place = {"trace": "t", "kind": "restart", "seq": "9", "offset": "3000"}
    assert lines == [("warning", "replay_suspected", place)]


# --- a socket that does not close -------------------------------------------------------------------


class Stuck:
    """A connection that does not close."""

    def __init__(self) -> None:
        self.aborted = 0

    def abort(self) -> None:
        self.aborted += 1


def events_of(trace: str) -> UpstreamEvents:
    """What a relay is to the pool: it has an exchange."""
    exchange = SimpleNamespace(facts=SimpleNamespace(id=trace))
    return cast("UpstreamEvents", SimpleNamespace(exchange=exchange))


@pytest.mark.asyncio
async def test_a_socket_that_is_not_closed_in_time_is_told_and_aborted_again() -> None:
    loop = asyncio.get_running_loop()
    lines: list[Line] = []
    told = asyncio.Event()
    log = log_of(lines)

    def late(events: UpstreamEvents) -> None:
        log.close_late(events)
        told.set()

    pool = Pool(loop, PoolSettings(), late)
    stuck = Stuck()
    connection = cast("UpstreamConnection", stuck)
    pool._open.add(connection)
    began = loop.time()
    pool.discard(connection, events_of("t"))
    assert stuck.aborted == 1
    await asyncio.wait_for(told.wait(), 2.5)
    assert loop.time() - began >= 0.45
    assert lines == [("warning", "upstream_close_timeout", {"trace": "t"})]
    assert stuck.aborted == 2
    pool.connection_closed(connection)
    await pool.aclose()


@pytest.mark.asyncio
async def test_a_socket_that_closes_in_time_is_not_told() -> None:
    loop = asyncio.get_running_loop()
    told: list[UpstreamEvents] = []
    pool = Pool(loop, PoolSettings(), told.append)
    connection = cast("UpstreamConnection", Stuck())
    pool._open.add(connection)
    pool.discard(connection, events_of("t"))
    pool.discard(None, events_of("none"))
    pool.connection_closed(connection)
    looked = asyncio.Event()
    loop.call_later(0.6, looked.set)
    await asyncio.wait_for(looked.wait(), 3)
    assert told == []
    await pool.aclose()


def test_who_is_no_stream_is_not_told_of() -> None:
    lines: list[Line] = []
    log = log_of(lines)
    log.close_late(cast("UpstreamEvents", object()))
    log.close_late(cast("UpstreamEvents", SimpleNamespace(inner=events_of("tapped"))))
    assert [fields["trace"] for _, _, fields in lines] == ["tapped"]
