"""What is kept of a stream for a client that comes back, and where it reads on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.core.errors import RequestError
from streamgauge.core.integrity import Integrity
from streamgauge.core.integrity_proof import Proof
from streamgauge.core.integrity_text import new_stamper
from streamgauge.core.record import Delivered, Status
from streamgauge.core.resume import FRAME_OVERHEAD, FrameBuffer, asked_after
from streamgauge.core.sse import FrameSplitter

from .playbook import DONE, FINISH, ROLE, USAGE, Play, text

ID = "stream-of-a-test"


def frame(seq: int, said: bytes = b"x") -> bytes:
    """Return a frame as a stamper writes it where ids are asked for."""
    return b"id: %b:%d\ndata: %b\n\n" % (ID.encode(), seq, said)


def kept(*pieces: bytes) -> FrameBuffer:
    """Return a buffer that was given `pieces`."""
    buffer = FrameBuffer(ID)
    for piece in pieces:
        buffer.append(piece)
    return buffer


def behind(buffer: FrameBuffer, seq: int) -> bytes | None:
    """Return all that a client gets that has frame `seq`."""
    place = buffer.place_after(seq)
    return None if place is None else buffer.take(place, 1 << 30)[0]


# --- the buffer ----------------------------------------------------------------------------------


@given(st.lists(st.binary(min_size=1, max_size=6), min_size=1, max_size=9), st.data())
def test_however_it_came_a_client_reads_on_behind_each_frame(
    said: list[bytes], data: st.DataObject
) -> None:
    frames = [frame(n, b"%d" % len(each)) for n, each in enumerate(said, 1)]
    groups: list[bytes] = [b""]
    for each in frames:
        if data.draw(st.booleans()):
            groups.append(b"")
        groups[-1] += data.draw(st.sampled_from([b"", b": alive\n"])) + each
    buffer = kept(*[group for group in groups if group])
    assert buffer.seq == len(frames)
    for seq in range(len(frames)):
        found = behind(buffer, seq)
        assert found is not None
        assert found.startswith(frames[seq])
        assert found.count(b"id: ") == len(frames) - seq
    assert behind(buffer, len(frames)) == b""


def test_pieces_of_a_large_frame_belong_to_it() -> None:
    buffer = kept(frame(1), b"id: %b:2\ndata: aaa" % ID.encode(), b"bbb", b"ccc\n\n", frame(3))
    assert behind(buffer, 1) == b"id: stream-of-a-test:2\ndata: aaabbbccc\n\n" + frame(3)
    assert behind(buffer, 2) == frame(3)


def test_its_repr_tells_which_frames_are_there() -> None:
    assert repr(kept(frame(1), frame(2))).startswith("<FrameBuffer 1 to 2, ")


def test_lines_that_only_look_like_ours_begin_no_frame() -> None:
    forged = frame(1)[:-1] + b"data: id: %b:2\nid: %b:9\ndata\n\n" % (ID.encode(), ID.encode())
    buffer = kept(forged + frame(2))
    assert buffer.seq == 2
    assert behind(buffer, 0) == forged + frame(2)
    assert behind(buffer, 1) == frame(2)


def test_what_was_dropped_is_never_skipped() -> None:
    buffer = kept(*[frame(n) for n in range(1, 10)])
    cost = len(frame(1)) + FRAME_OVERHEAD
    buffer.trim(5 * cost)
    assert buffer.size <= 5 * cost
    first = next(seq for seq in range(9) if buffer.place_after(seq) is not None)
    assert first == 4
    assert behind(buffer, 4) == b"".join(frame(n) for n in range(5, 10))
    assert all(buffer.place_after(seq) is None for seq in range(4))


def test_the_rest_of_a_dropped_frame_is_no_place_to_begin() -> None:
    buffer = kept(b"id: %b:1\ndata: a" % ID.encode(), b"b\n\n", frame(2))
    buffer.trim(buffer.size - 1)
    assert behind(buffer, 0) is None
    assert behind(buffer, 1) == frame(2)


def test_what_a_reader_lacks_is_not_dropped_for_the_sake_of_what_was_sent() -> None:
    buffer = kept(*[frame(n) for n in range(1, 5)])
    place = buffer.place_after(2)
    assert place is not None
    buffer.trim(0, place)
    assert behind(buffer, 2) == frame(3) + frame(4)
    assert behind(buffer, 1) is None


def test_it_is_taken_in_slices() -> None:
    buffer = kept(*[frame(n) for n in range(1, 8)])
    place, slices = buffer.place_after(0), []
    assert place is not None
    while place < buffer.end:
        piece, place = buffer.take(place, 2 * len(frame(1)))
        slices.append(piece)
    assert [each.count(b"id: ") for each in slices] == [2, 2, 2, 1]
    assert b"".join(slices) == b"".join(frame(n) for n in range(1, 8))


def test_a_frame_that_was_not_sent_is_nothing_to_read_on_from() -> None:
    with pytest.raises(RequestError, match="the last one is 2"):
        kept(frame(1), frame(2)).place_after(3)


# --- where a client wants to go on ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "last_event_id", "after"),
    [
        ("", None, 0),
        ("after=7", None, 7),
        ("beta=true&after=12&x=1", None, 12),
        ("after=7", f"{ID}:9", 9),
        ("", f"{ID}:0", 0),
        ("before=3", "", 0),
    ],
)
def test_the_last_event_id_comes_before_the_query(
    query: str, last_event_id: str | None, after: int
) -> None:
    assert asked_after(ID, query, last_event_id) == after


@pytest.mark.parametrize(
    ("query", "last_event_id"),
    [
        ("after=", None),
        ("after=-1", None),
        ("after=1.5", None),
        ("after=9999999999999999", None),
        ("after=1", "another:1"),
        ("", f"{ID}:"),
        ("", "7"),
        ("", f"{ID}:+1"),
        ("", f"{ID}:٣"),
    ],
)
def test_what_is_no_frame_of_the_stream_is_refused(query: str, last_event_id: str | None) -> None:
    with pytest.raises(RequestError) as caught:
        asked_after(ID, query, last_event_id)
    assert caught.value.status == 400


# --- the lines that an upstream writes itself ----------------------------------------------------


@pytest.mark.parametrize("mode", [Integrity.OFF, Integrity.COMMENT, Integrity.FIELD])
def test_an_upstreams_own_ids_give_way(mode: Integrity) -> None:
    stamper = new_stamper(ID, "openai", "chat/completions", Proof(mode=mode, ids=True))
    assert stamper is not None
    theirs = (
        b"id: 77\ndata: {}\n\n"
        b"id\n\n: hello\n\nid: 9\r\n\r\n"
        b'data: {"id":1}\r\nid:78\r\n\r\n'
        b"event: ping\nid: 3\ndata: {}\n\n"
        b"data: [DONE]\n\n"
    )
    sent = stamper.stamp(theirs)
    lines = sent.replace(b"\r\n", b"\n").split(b"\n")
    assert [line for line in lines if line.startswith(b"id")] == [
        b"id: %b:%d" % (ID.encode(), seq) for seq in (1, 2, 3)
    ]
    # A blank line behind anything but data would be an empty event to those who have read an id.
    assert all(b"data: " in each for each in sent.replace(b"\r\n", b"\n").split(b"\n\n")[:-1])
    buffer = kept(sent)
    assert buffer.seq == 3
    assert (behind(buffer, 2) or b"").endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    "named", [b"event: ping\n\n", b"retry: 9\r\nevent:x\r\nid: 7\r\n\r\n", b"event\r\r"]
)
def test_a_name_without_data_does_not_name_the_next_frame(named: bytes) -> None:
    stamper = new_stamper(ID, "openai", "chat/completions", Proof(ids=True))
    assert stamper is not None
    sent = stamper.stamp(b"data: {}\n\n" + named + b'data: {"a":1}\n\n')
    assert b"event" not in sent
    assert (b"retry: 9\n" in sent) is (b"retry" in named)
    assert kept(sent).seq == 2


# --- the exchange --------------------------------------------------------------------------------


def play() -> Play:
    """Return a stream in which something was sent."""
    it = Play(proof=Proof(ids=True), metadata="off")
    it.stream(ROLE, text("a"))
    return it


def test_the_row_waits_for_a_client_that_is_away_at_the_end() -> None:
    it = play()
    it.do("client_away")
    it.data(text("b"), FINISH, USAGE, DONE)
    it.do("upstream_end", "complete")
    assert it.told.split()[-1] == "end"
    assert [it.do("tick", at=at) for at in (1.0, 60.0)] == [[], []]
    assert it.do("upstream_data", text("late")) == []
    it.do("client_back", at=70.0)
    assert (it.row.status, it.row.delivered) == (Status.COMPLETED, Delivered.ALL)
    assert it.row.output_tokens == 4


def test_an_end_that_is_never_fetched_was_left() -> None:
    it = play()
    it.do("client_away")
    it.data(FINISH, USAGE, DONE)
    it.do("upstream_end", "complete")
    it.do("client_gone", at=30.0)
    row = it.row
    assert (row.status, row.success, row.delivered) == (
        Status.CLIENT_DISCONNECTED,
        True,
        Delivered.PART,
    )
    assert row.disposition is not None
    assert row.disposition.value == "read_to_end"


@pytest.mark.parametrize("name", ["stop", "shutdown"])
def test_who_ends_a_stream_with_an_unfetched_end_closes_its_row(name: str) -> None:
    it = play()
    it.do("client_away")
    it.data(FINISH, USAGE, DONE)
    it.do("upstream_end", "complete")
    assert it.do("supersede") == []
    it.do(name)
    assert it.row.status is Status.CLIENT_DISCONNECTED


@pytest.mark.parametrize("name", ["client_back", "client_gone", "stop", "shutdown"])
def test_who_fetches_an_end_whose_row_is_closed_closes_none(name: str) -> None:
    it = play()
    it.do("client_away")
    it.data(FINISH, USAGE, DONE)
    it.do("upstream_end", "complete")
    it.do(name)
    row = replace(it.row)
    assert [it.do(each) for each in ("client_away", "client_back", "client_back")] == [[], [], []]
    assert it.row == row


def test_the_time_can_be_up_between_the_marker_and_the_upstreams_end() -> None:
    it = play()
    it.do("client_away")
    it.data(FINISH, USAGE, DONE)
    assert it.do("client_gone") == []
    it.do("upstream_end", "complete")
    assert it.row.status is Status.CLIENT_DISCONNECTED


def test_a_client_that_is_back_before_the_end_makes_no_difference() -> None:
    it = play()
    it.do("client_away")
    it.data(text("b"))
    it.do("client_back")
    it.data(FINISH, USAGE, DONE)
    it.do("upstream_end", "complete")
    assert (it.row.status, it.row.delivered) == (Status.COMPLETED, Delivered.ALL)


def test_a_failure_needs_no_client_to_be_booked() -> None:
    it = play()
    it.do("client_away")
    it.do("upstream_end", "cut")
    assert it.row.status is Status.STREAM_INCOMPLETE


def test_an_absent_client_is_left_like_any_other_when_its_time_is_up() -> None:
    it = play()
    it.do("client_away")
    it.do("client_gone", at=9.0)
    assert it.row.status is Status.CLIENT_DISCONNECTED
    assert it.closes == 1


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("cuts", [(), (0,), (1,), (0, 1)], ids=str)
def test_a_ping_before_a_frame_comes_again_to_whom_has_not_that_frame(
    cuts: tuple[int, ...], end: bytes
) -> None:
    ping = b'event: ping\ndata: {"type":"ping","streamgauge":{}}\n\n'
    wires = [
        b"id: s:1\ndata: a" + end * 2,
        ping + b"id: s:2\ndata: b" + end * 2,
        b"id: s:3\ndata: c" + end * 2,
    ]
    writes, waiting = [], b""
    for place, wire in enumerate(wires):
        waiting += wire
        if place in cuts:
            writes.append(waiting)
            waiting = b""
    buffer = FrameBuffer("s")
    for data in (*writes, waiting):
        buffer.append(data)
    place = buffer.place_after(1)
    assert place is not None
    assert buffer.take(place, 1 << 20)[0] == wires[1] + wires[2]
    place = buffer.place_after(2)
    assert place is not None
    assert buffer.take(place, 1 << 20)[0] == wires[2]


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 1000])
def test_an_upstream_with_other_line_ends_can_be_taken_up_behind_each_frame(cut: int) -> None:
    ping = b'event: ping\r\ndata: {"type":"ping"}\r\n\r\n'
    wire = b"".join(b"data: {}\r\n\r\n" + ping for _ in range(3)) + b"data: [DONE]\r\n\r\n"
    stamper = new_stamper(ID, "openai", "chat/completions", Proof(ids=True))
    assert stamper is not None
    splitter = FrameSplitter()
    buffer, sent = FrameBuffer(ID), []
    for at in range(0, len(wire), cut):
        for frame_ in splitter.feed(wire[at : at + cut]):  # as they are passed on
            if said := stamper.stamp(frame_.raw):
                buffer.append(said)
                sent.append(said)
    assert buffer.seq == 4
    body = b"".join(sent)
    for seq in range(4):
        rest = behind(buffer, seq)
        assert rest is not None
        assert body.endswith(rest)
        assert rest.startswith((b"event: ping", b"id: "))
    assert behind(buffer, 4) in (b"", b"\n")


def test_our_record_behind_the_end_marker_has_an_id_of_its_own() -> None:
    it = Play(proof=Proof(ids=True), metadata="after_done")
    it.stream(ROLE, text("a"), FINISH, USAGE, DONE, end="complete")
    buffer = FrameBuffer(it.row.id)
    buffer.append(it.body)
    assert it.row.frames_out == buffer.seq == 5
    record = behind(buffer, 4)
    assert record is not None
    assert record.startswith(b"id: exchange-id-00001:5\nevent: streamgauge\ndata: {")
