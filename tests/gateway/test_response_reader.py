"""One reading of a response, wherever the wire is cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.gateway.response_reader import ResponseError, ResponseReader

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
        reader.feed(memoryview(part))
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
