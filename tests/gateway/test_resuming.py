"""Streams kept for clients that may come back: bounds, back-pressure, who is dropped, and when."""

from __future__ import annotations

from asyncio import TimerHandle
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from streamgauge.core.errors import GatewayError
from streamgauge.core.resume import FRAME_OVERHEAD
from streamgauge.gateway.http import ClientEvents, Header
from streamgauge.gateway.kept_stream import KeptStream
from streamgauge.gateway.resuming import Bounds, Resuming

SECONDS = 20.0
SMALL = Bounds(stream=4000, total=6000, headroom=500)


class Timer:
    """A call that is to come, and when."""

    def __init__(self, delay: float, call: Callable[[], None]) -> None:
        self.delay, self.call = delay, call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Wall:
    """Keeps the timers that are set; `passes` runs those that were not cancelled."""

    def __init__(self) -> None:
        self.timers: list[Timer] = []

    def call_later(self, delay: float, call: Callable[[], None]) -> TimerHandle:
        self.timers.append(Timer(delay, call))
        return cast(TimerHandle, self.timers[-1])

    def passes(self) -> None:
        due, self.timers = self.timers, []
        for timer in due:
            if not timer.cancelled:
                assert timer.delay == SECONDS
                timer.call()


class Socket:
    """A responder. It takes `room` bytes, then it is blocked."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.room = room
        self.body = b""
        self.head: tuple[int, dict[bytes, bytes], int | None] | None = None
        self.end_word = ""
        self.events: ClientEvents | None = None

    def subscribe(self, events: ClientEvents) -> None:
        self.events = events

    def send_head(self, status: int, headers: Sequence[Header], length: int | None) -> None:
        self.head = status, dict(headers), length

    def send(self, data: bytes) -> None:
        self.body += data
        self.room -= len(data)
        if self.room < 0 and self.events is not None:
            self.events.client_blocked()

    def drains(self, room: int) -> None:
        self.room = room
        assert self.events is not None
        self.events.client_writable()

    def end(self) -> None:
        self.end_word = "end"

    def abort(self) -> None:
        self.end_word = "abort"

    def leaves(self) -> None:
        events, self.events = self.events, None
        assert events is not None
        events.client_gone()


class Relay:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda: self.told.append(name.removeprefix("client_"))


class Rig:
    """Streams of a store with small bounds."""

    def __init__(self, bounds: Bounds = SMALL) -> None:
        self.wall = Wall()
        self.store = Resuming(self.wall.call_later, bounds)

    def stream(self, name: str = "one") -> tuple[KeptStream, Socket, Relay]:
        socket, relay = Socket(), Relay()
        stream = KeptStream(self.store, name, None, SECONDS, socket)
        stream.bind(cast(Any, relay))
        stream.subscribe(cast(Any, relay))
        stream.send_head(200, [(b"content-type", b"text/event-stream")], None)
        return stream, socket, relay


def frame(seq: int, size: int = 100, name: str = "one") -> bytes:
    head = b"id: %b:%d\ndata: " % (name.encode(), seq)
    return head + b"x" * (size - len(head) - 2) + b"\n\n"


def frames(first: int, last: int, name: str = "one") -> bytes:
    return b"".join(frame(seq, name=name) for seq in range(first, last + 1))


def send(stream: KeptStream, first: int, last: int) -> None:
    for seq in range(first, last + 1):
        stream.send(frame(seq, name=stream.id))


def test_a_client_that_stays_is_answered_as_ever() -> None:
    rig = Rig()
    stream, socket, relay = rig.stream()
    send(stream, 1, 3)
    stream.end()
    assert socket.head is not None
    assert socket.head[1][b"x-streamgauge-resume"] == b"20"
    assert (socket.body, socket.end_word) == (frames(1, 3), "end")
    assert "away" not in relay.told
    assert len(rig.store) == 1
    rig.wall.passes()
    assert (len(rig.store), rig.store.bytes) == (0, 0)


def test_who_leaves_before_the_head_knows_nothing_to_come_back_to() -> None:
    rig = Rig()
    socket, relay = Socket(), Relay()
    stream = KeptStream(rig.store, "one", None, SECONDS, socket)
    stream.bind(cast(Any, relay))
    stream.subscribe(cast(Any, relay))
    socket.leaves()
    assert relay.told == ["gone"]
    stream.send_head(200, [], None)
    stream.send(b"late")
    stream.end()
    assert (socket.body, len(rig.store), rig.wall.timers) == (b"", 0, [])


def test_an_answer_with_a_length_is_kept_by_nobody() -> None:
    rig = Rig()
    socket, relay = Socket(), Relay()
    stream = KeptStream(rig.store, "one", None, SECONDS, socket)
    stream.bind(cast(Any, relay))
    stream.subscribe(cast(Any, relay))
    stream.send_head(503, [(b"retry-after", b"1")], 2)
    stream.send(b"{}")
    stream.end()
    assert socket.head == (503, {b"retry-after": b"1"}, 2)
    assert (socket.body, socket.end_word, len(rig.store)) == (b"{}", "end", 0)


def test_half_of_the_bound_is_for_what_was_sent_already() -> None:
    rig = Rig()
    stream, socket, relay = rig.stream()
    send(stream, 1, 60)
    assert rig.store.bytes <= SMALL.stream // 2
    assert relay.told == []
    socket.leaves()
    send(stream, 61, 64)
    back = Socket()
    stream.attach(back, 58)
    assert back.body.partition(b"\n")[2] == frames(59, 64)
    with pytest.raises(GatewayError) as caught:
        stream.attach(Socket(), 5)
    assert (caught.value.status, caught.value.code.value) == (410, "no_route")
    assert back.end_word == ""  # who reads is not disturbed by it


def test_while_nobody_reads_the_upstream_waits_before_the_bound() -> None:
    rig = Rig()
    stream, socket, relay = rig.stream()
    send(stream, 1, 1)
    socket.leaves()
    seq = 1
    while "blocked" not in relay.told:
        seq += 1
        send(stream, seq, seq)
        assert rig.store.bytes <= SMALL.stream
    assert SMALL.stream - SMALL.headroom < rig.store.bytes <= SMALL.stream
    assert rig.store.waiting == 1
    back = Socket()
    stream.attach(back, 1)
    assert back.body.partition(b"\n")[2] == frames(2, seq)
    assert relay.told == ["away", "blocked", "away", "back", "writable"]
    assert rig.store.waiting == 0
    assert rig.store.bytes <= SMALL.stream // 2


def test_what_comes_beyond_the_bound_all_the_same_is_dropped_and_never_skipped() -> None:
    rig = Rig()
    stream, socket, _ = rig.stream()
    send(stream, 1, 1)
    socket.leaves()
    send(stream, 2, 40)  # more than the headroom behind the pause
    assert rig.store.bytes <= SMALL.stream
    with pytest.raises(GatewayError, match="no longer kept"):
        stream.attach(Socket(), 1)


def test_a_reader_that_catches_up_is_given_no_more_than_its_socket_takes() -> None:
    rig = Rig(Bounds(stream=1 << 20, total=1 << 20, headroom=500))
    stream, socket, relay = rig.stream()
    socket.leaves()
    for seq in range(1, 101):
        stream.send(frame(seq, size=4000))
    stream.end()
    back = Socket(room=1000)
    stream.attach(back, 0)
    given = len(back.body)
    assert given < 70_000
    assert relay.told[-1] != "back"
    while not back.end_word:
        back.drains(100_000)
    assert len(back.body) > 400_000
    assert back.body.count(b"id: ") == 100
    assert relay.told[-1] == "back"


def test_a_reader_overtaken_by_the_bound_loses_its_connection() -> None:
    rig = Rig(Bounds(stream=200_000, total=1 << 20, headroom=500))
    stream, socket, relay = rig.stream()
    socket.leaves()
    for seq in range(1, 41):
        stream.send(frame(seq, size=4000))
    slow = Socket(room=10)
    stream.attach(slow, 0)
    given = slow.body.count(b"id: ")
    assert given < 40
    for seq in range(41, 120):  # far more than a paused upstream has left to give
        stream.send(frame(seq, size=4000))
    assert slow.end_word == "abort"
    assert slow.body.count(b"id: ") == given
    assert relay.told.count("away") == 3
    with pytest.raises(GatewayError, match="no longer kept"):
        stream.attach(Socket(), given)


def test_a_newer_reader_takes_the_place_of_the_older_one() -> None:
    rig = Rig()
    stream, socket, relay = rig.stream()
    send(stream, 1, 3)
    newer = Socket()
    stream.attach(newer, 1)
    assert socket.end_word == "abort"
    send(stream, 4, 4)
    assert socket.body == frames(1, 3)
    assert newer.body.partition(b"\n")[2] == frames(2, 4)
    assert socket.events is not None
    socket.leaves()  # late news of the older one are about nobody
    send(stream, 5, 5)
    assert newer.body.endswith(frame(5))
    assert rig.wall.timers == []
    assert "gone" not in relay.told


def test_the_time_begins_again_with_each_absence_and_with_the_end() -> None:
    rig = Rig()
    stream, socket, relay = rig.stream()
    send(stream, 1, 3)
    socket.leaves()
    back = Socket()
    stream.attach(back, 3)
    rig.wall.passes()
    assert "gone" not in relay.told
    back.leaves()
    stream.end()
    assert [timer.cancelled for timer in rig.wall.timers] == [True, False]
    rig.wall.passes()
    assert relay.told[-1] == "gone"
    assert (len(rig.store), rig.store.bytes) == (0, 0)
    stream.send(frame(4))
    assert rig.store.bytes == 0


def test_who_has_the_end_already_is_told_to_stop_asking() -> None:
    rig = Rig()
    stream, socket, relay = rig.stream()
    send(stream, 1, 3)
    socket.leaves()
    stream.end()
    back = Socket()
    stream.attach(back, 3)
    assert back.head is not None
    assert (back.head[0], back.body, back.end_word) == (204, b"", "end")
    assert relay.told[-1] == "back"


def test_a_stream_that_is_being_read_again_outlives_its_time() -> None:
    rig = Rig(Bounds(stream=1 << 20, total=1 << 20, headroom=500))
    stream, _, _ = rig.stream()
    for seq in range(1, 101):
        stream.send(frame(seq, size=4000))
    stream.end()
    again = Socket(room=10)
    stream.attach(again, 0)
    rig.wall.passes()
    assert len(rig.store) == 1
    while not again.end_word:
        again.drains(100_000)
    assert again.body.count(b"id: ") == 100
    assert (len(rig.store), rig.store.bytes) == (0, 0)


def test_the_bound_of_all_is_made_room_in_by_what_was_read() -> None:
    rig = Rig()
    read, _, _ = rig.stream("read")
    send(read, 1, 10)
    read.end()
    for name in ("one", "two"):
        stream, socket, _ = rig.stream(name)
        socket.leaves()
        send(stream, 1, 11)
        assert rig.store.bytes <= SMALL.total
    assert len(rig.store) == 2
    with pytest.raises(GatewayError):
        rig.store.find("read", None)


def test_those_who_wait_for_room_go_on_when_others_have_made_it() -> None:
    rig = Rig()
    first, first_socket, _ = rig.stream("one")
    first_socket.leaves()
    send(first, 1, 14)
    second, second_socket, relay = rig.stream("two")
    second_socket.leaves()
    seq = 0
    while "blocked" not in relay.told:
        seq += 1
        send(second, seq, seq)
    assert rig.store.bytes <= SMALL.total
    assert second.buffer.size < SMALL.stream - SMALL.headroom
    first.abort()
    assert relay.told[-1] == "writable"
    assert rig.store.bytes == second.buffer.size


def test_what_it_counts_is_what_they_hold() -> None:
    rig = Rig()
    stream, _, _ = rig.stream()
    send(stream, 1, 2)
    assert rig.store.bytes == stream.buffer.size == 2 * (100 + FRAME_OVERHEAD)
    rig.store.close()
    assert (len(rig.store), rig.store.bytes) == (0, 0)


def test_another_keys_stream_is_not_there() -> None:
    rig = Rig()
    rig.stream()
    assert rig.store.find("one", None).id == "one"
    for stream_id, key_id in (("one", "other"), ("two", None)):
        with pytest.raises(GatewayError) as caught:
            rig.store.find(stream_id, key_id)
        assert (caught.value.status, caught.value.code.value) == (404, "no_route")
