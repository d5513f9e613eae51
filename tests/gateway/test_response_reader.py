"""One reading of a response, wherever the wire is cut."""

from __future__ import annotations

import itertools
from itertools import pairwise

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.gateway.chunks import one_chunk, whole_chunk
from streamgauge.gateway.response_framing import ResponseError
from streamgauge.gateway.response_reader import ReaderState, ResponseReader

from .upstream_rig import CHUNKED, OK, chunked

GOLDEN = (
    b"HTTP/1.1 100 Continue\r\n\r\n"
    + CHUNKED
    + chunked(b'data: {"a": "\xc3\xa9"}\n\n', b"data: [DONE]\n\n", last=False)
    + b"0\r\nX-Trailer: t\r\n\r\n"
)
GOLDEN_BODY = b'data: {"a": "\xc3\xa9"}\n\ndata: [DONE]\n\n'


def read_in(parts: list[bytes]) -> tuple[ResponseReader, bytes]:
    reader, body = ResponseReader(), b""
    for part in parts:
        reader.feed(part)
        body += reader.take()
    return reader, body


def test_cutting_the_wire_at_any_byte_changes_nothing() -> None:
    cuts = [[GOLDEN[:at], GOLDEN[at:]] for at in range(1, len(GOLDEN))]
    for parts in [[GOLDEN], [bytes([byte]) for byte in GOLDEN], *cuts]:
        reader, body = read_in(parts)
        assert (reader.state.value, body, reader.surplus) == ("complete", GOLDEN_BODY, False)
        assert reader.head is not None
        assert reader.head.reusable


@pytest.mark.parametrize("surplus", [b"HTTP/1.1 200 OK\r\n\r\n", b"x", b"\r\nx"])
@pytest.mark.parametrize(
    "answer", [GOLDEN, OK + b"Content-Length: 2\r\n\r\nok", b"HTTP/1.1 204 No\r\n\r\n"]
)
def test_what_follows_the_message_is_surplus_and_no_body(answer: bytes, surplus: bytes) -> None:
    expected = read_in([answer])[1]
    for parts in ([answer + surplus], [answer, surplus]):
        reader, body = read_in(parts)
        assert (body, reader.surplus, reader.state.value) == (expected, True, "complete")


def test_a_bad_head_is_refused_wherever_it_is_cut() -> None:
    answer = OK + b"A: b\nB: c\r\n\r\n"
    for at in range(1, len(answer)):
        with pytest.raises(ResponseError):
            read_in([answer[:at], answer[at:]])


def test_a_refusal_names_the_line_and_not_what_it_holds() -> None:
    with pytest.raises(ResponseError) as refused:
        read_in([OK + b"A: b\r\nX-Key : sk-secret\r\n\r\n"])
    assert "line 3" in str(refused.value)
    assert "secret" not in str(refused.value)


@settings(deadline=None)
@given(st.lists(st.integers(1, len(GOLDEN) - 1), max_size=8))
def test_cutting_the_wire_at_several_places_changes_nothing(places: list[int]) -> None:
    edges = [0, *sorted(set(places)), len(GOLDEN)]
    parts = [GOLDEN[start:end] for start, end in itertools.pairwise(edges)]
    reader, body = read_in(parts)
    assert (reader.state.value, body, reader.surplus) == ("complete", GOLDEN_BODY, False)


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_are_read_or_refused_and_never_raise_else(data: bytes, at: int) -> None:
    for start in (b"", OK, CHUNKED):
        try:
            reader, _ = read_in([part for part in (start + data[:at], data[at:]) if part])
        except ResponseError:
            continue
        assert "ResponseReader" in repr(reader)


@pytest.mark.parametrize(
    ("head", "reusable"),
    [
        (OK + b"Content-Length: 0\r\n\r\n", True),
        (OK + b"Content-Length: 0\r\nConnection: x-a, Close\r\n\r\n", False),
        (OK + b"Connection: keep-alive\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", False),
        (b"HTTP/1.1 101 Up\r\n\r\n", False),
    ],
)
def test_a_connection_is_kept_only_where_the_head_allows_it(head: bytes, reusable: bool) -> None:
    reader, _ = read_in([head])
    assert reader.head is not None
    assert reader.head.reusable is reusable


def test_the_parser_tells_of_a_size_line_at_its_last_byte() -> None:
    told: list[str] = []

    class Told:
        def on_chunk_header(self) -> None:
            told.append("header")

        def on_chunk_complete(self) -> None:
            told.append("complete")

    parser = httptools.HttpResponseParser(Told())
    parser.feed_data(CHUNKED)
    for part, expected in [
        (b"5\r\n", ["header"]),
        (b"hello\r\n", ["complete"]),
        (b"0\r\n", ["header"]),
    ]:
        told.clear()
        parser.feed_data(part)
        assert told == expected


def test_a_size_has_one_usual_form_and_a_length_one_size() -> None:
    for size in range(1, 5000):
        raw = one_chunk(b"x" * size)
        assert raw == b"%x\r\n%b\r\n" % (size, b"x" * size)
        assert whole_chunk(raw) == (b"x" * size if size < 4096 else None)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"0\r\n\r\n",
        b"05\r\nhello\r\n",
        b"5;a\r\nhello\r\n",
        b"A\r\n0123456789\r\n",
        b"5\r\nhello\r\r",
        b"5\r\nhell\r\n\r\n",
        b"5\r\nhello",
        b"4\r\nhello\r\n",
        b"5\n\nhello\r\n",
    ],
)
def test_what_is_no_usual_chunk_is_left_to_the_parser(raw: bytes) -> None:
    assert whole_chunk(raw) is None


PIECES = st.one_of(
    st.binary(min_size=1, max_size=40),
    st.sampled_from([b"\n", b"\r\n", b"5\r\nhello\r\n", b"a\r\n", b"0\r\n\r\n", b"x" * 300]),
)


@given(
    bodies=st.lists(PIECES, max_size=8),
    cuts=st.lists(st.integers(1, 400), max_size=12),
    odd=st.sampled_from([b"", b"5;ext=1\r\nhello\r\n", b"00A\r\n0123456789\r\n"]),
)
def test_reads_of_one_chunk_change_nothing(
    bodies: list[bytes], cuts: list[int], odd: bytes
) -> None:
    """Each chunk is a read of its own, but where the wire is cut elsewhere."""
    chunks = [one_chunk(body) for body in bodies]
    wire = b"".join([*chunks[:3], odd, *chunks[3:], b"0\r\nx-trailer: t\r\n\r\n"])
    places = {0, len(wire)} | {cut for cut in cuts if cut < len(wire)}
    ends = [sum(map(len, chunks[:count])) for count in range(len(chunks) + 1)]
    places |= {end if count <= 3 else end + len(odd) for count, end in enumerate(ends)}
    marks = sorted(place for place in places if place <= len(wire))
    parts = [wire[start:end] for start, end in pairwise(marks) if start < end]
    expected, body = read_in([CHUNKED, *parts])
    reader, told = ResponseReader(), b""
    reader.feed(CHUNKED)
    for part in parts:
        whole = whole_chunk(part) if reader.between else None
        if whole is None:
            reader.feed(part)
            whole = reader.take()
        told += whole
    assert (told, reader.state, reader.surplus) == (body, expected.state, expected.surplus)
    assert reader.state is ReaderState.COMPLETE


SPOILS = [b"", b"\r\n", b"\n", b"\r", b"\0", b" ", b";a", b'="', b"0", b"F", b"-", b"0\r\n\r\n"]


def read_on(parts: list[bytes], *, quickly: bool) -> tuple[object, ...]:
    """Return what was read of `parts`, as an upstream call reads, up to a refusal."""
    reader, told, refused = ResponseReader(), b"", False
    try:
        for part in parts:
            whole = whole_chunk(part) if quickly and reader.between else None
            if whole is None:
                reader.feed(part)
            told += reader.take() if whole is None else whole
            if reader.state is ReaderState.COMPLETE:
                break
    except ResponseError:
        refused = True
        told += reader.take()
    return told, refused, reader.state, reader.surplus


@settings(deadline=None, max_examples=300)
@given(
    bodies=st.lists(PIECES, min_size=1, max_size=6),
    spoils=st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 9), st.booleans(), st.sampled_from(SPOILS)),
        max_size=3,
    ),
    cuts=st.lists(st.integers(1, 400), max_size=4),
)
def test_a_spoiled_wire_is_read_alike_with_and_without_the_quick_way(
    bodies: list[bytes], spoils: list[tuple[int, int, bool, bytes]], cuts: list[int]
) -> None:
    chunks = [bytearray(one_chunk(body)) for body in bodies] + [bytearray(b"0\r\n\r\n")]
    for place, at, insert, spoil in spoils:
        chunks[place % len(chunks)][at : at if insert else at + 1] = spoil
    wire = b"".join(chunks)
    ends = {sum(map(len, chunks[:count])) for count in range(len(chunks) + 1)}
    marks = sorted(ends | {cut for cut in cuts if cut < len(wire)})
    parts = [CHUNKED, *(wire[start:end] for start, end in pairwise(marks) if start < end)]
    assert read_on(parts, quickly=True) == read_on(parts, quickly=False)


def test_a_whole_chunk_may_be_taken_where_a_size_line_begins_and_nowhere_else() -> None:
    reader = ResponseReader()
    reader.feed(CHUNKED + one_chunk(b"first"))
    assert (reader.take(), reader.between) == (b"first", True)
    for part in (b"6", b"\r", b"\n", b"th\n", b"rd!", b"\r"):
        reader.feed(part)
        assert not reader.between, part
    reader.feed(b"\n")
    assert (reader.take(), reader.between) == (b"th\nrd!", True)
    for part in (b"0\r\n", b"x-trailer: t\r\n"):
        reader.feed(part)
        assert not reader.between, part
    reader.feed(b"\r\n")
    assert (reader.state, reader.between) == (ReaderState.COMPLETE, False)


def test_no_chunk_begins_in_a_body_of_a_stated_length() -> None:
    reader = ResponseReader()
    reader.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n")
    assert not reader.between
    reader.feed(b"hello\r\n")
    assert not reader.between


COUNTED = OK + b"Content-Length: 007\r\n\r\n"


def test_a_body_of_stated_length_is_counted_wherever_it_is_cut() -> None:
    wire = COUNTED + b"seven b"
    for at in range(1, len(wire)):
        reader, body = read_in([wire[:at], wire[at:]])
        assert (reader.state.value, body, reader.surplus) == ("complete", b"seven b", False)
    reader, body = read_in([wire[:-1]])
    assert (reader.state.value, body) == ("body", b"seven ")


@pytest.mark.parametrize(("behind", "surplus"), [(b"\r\n", False), (b"\n", False), (b"\nx", True)])
def test_empty_lines_behind_a_counted_body_are_nothing(behind: bytes, surplus: bool) -> None:
    assert read_in([COUNTED + b"seven b" + behind])[0].surplus is surplus


@pytest.mark.parametrize(
    ("digits", "legal"),
    [(str(2**64 - 1), True), (str(2**64), False), ("9" * 5000, False), ("0" * 5000 + "1", True)],
)
def test_a_length_beyond_every_number_is_refused(digits: str, legal: bool) -> None:
    for status, body in ((b"200", True), (b"204", False)):
        wire = b"HTTP/1.1 %b OK\r\nContent-Length: %b\r\n\r\n" % (status, digits.encode())
        if legal or not body:
            assert read_in([wire])[0].head is not None
        else:
            with pytest.raises(ResponseError, match="overflow"):
                read_in([wire])
