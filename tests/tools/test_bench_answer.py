"""The bench's reader of answers: whole, byte by byte, with trailing data, cut short."""

from __future__ import annotations

import pytest

from streamgauge.tools.bench.answer import Answer, BadAnswer

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nDate: today\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n1;ext=1\r\n \r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"
)
SIZED = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
UNTIL_CLOSE = b"HTTP/1.0 200 OK\r\n\r\nhello"
CASES = [(CHUNKED, b"hello 0123456789"), (SIZED, b"hello")]


@pytest.mark.parametrize(("wire", "body"), CASES, ids=["chunked", "sized"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_an_answer_is_read_however_it_is_cut(wire: bytes, body: bytes, size: int) -> None:
    answer = Answer()
    found = b"".join(answer.feed(wire[at : at + size]) for at in range(0, len(wire), size))
    assert (answer.status, answer.done, found) == (200, True, body)
    answer.closed()


@pytest.mark.parametrize("cut", range(len(CHUNKED)))
def test_an_answer_cut_short_is_not_done_and_says_so_at_the_close(cut: int) -> None:
    answer = Answer()
    answer.feed(CHUNKED[:cut])
    assert not answer.done
    with pytest.raises(BadAnswer):
        answer.closed()


def test_without_a_length_the_close_ends_the_body() -> None:
    answer = Answer()
    assert answer.feed(UNTIL_CLOSE) == b"hello"
    assert not answer.done
    answer.closed()
    assert answer.done


@pytest.mark.parametrize(
    "empty", [b"HTTP/1.1 204 No\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]
)
def test_an_answer_without_a_body_is_done_after_its_head(empty: bytes) -> None:
    answer = Answer()
    assert answer.feed(empty) == b""
    assert answer.done


@pytest.mark.parametrize(
    "wire",
    [
        b"SSH-2.0-x\r\n\r\n",
        SIZED + b"!",
        CHUNKED + b"!",
        CHUNKED.replace(b"5\r\n", b"x\r\n"),
        CHUNKED.replace(b"5\r\nhello", b"4\r\nhello"),
        CHUNKED.replace(b"hello\r\n", b"hello\n\n"),
    ],
    ids=["no-http", "more-than-said", "trailing", "no-size", "chunk-too-long", "wrong-line-end"],
)
def test_bad_framing_is_an_error(wire: bytes) -> None:
    with pytest.raises(BadAnswer):
        Answer().feed(wire)
