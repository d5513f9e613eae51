"""A capture is read once; what is none, or is broken, is told with its line."""

from __future__ import annotations

import io

import pytest

from streamgauge.gateway.capture.format import Closing, Line, Opening, Side, Way, encode_line
from streamgauge.tools.capture.reading import CaptureError, CaptureReader, is_capture, message_of

OPENING = Opening(
    streamgauge_capture=1, id="x" * 32, started_at=5, dialect="openai", endpoint="chat/completions",
    protocol="openai", streaming=True, integrity="ledger", metadata="comment",
    requested_model=None, route="default", attempts=[{"upstream": "a"}],
)  # fmt: skip
LINES = [
    Line(t=1, side=Side.CLIENT, dir=Way.IN, head="POST / HTTP/1.1\r\na: b: c"),
    Line(t=2, side=Side.UPSTREAM, dir=Way.IN, n=2, head="HTTP/1.1 200\r\nContent-Type: x"),
    Line(t=3, side=Side.UPSTREAM, dir=Way.IN, n=2, data="é\n"),
    Line(t=4, side=Side.UPSTREAM, dir=Way.IN, n=2, b64=b"\xff\0"),
    Line(t=5, side=Side.UPSTREAM, dir=Way.IN, n=2, end="complete"),
]
CLOSING = Closing(
    closed=6, complete=True, dropped=0, frames=1, stream_sha1=None, sha1s=["a", None], masked=[2],
    row={"id": "x"},
)  # fmt: skip
WHOLE = b"".join(map(encode_line, [OPENING, *LINES, CLOSING]))


def read(data: bytes) -> tuple[CaptureReader, list[Line]]:
    reader = CaptureReader(io.BytesIO(data))
    return reader, list(reader.lines())


def test_what_was_written_is_read() -> None:
    reader, lines = read(WHOLE)
    assert (reader.opening, lines, reader.closing, reader.cut) == (OPENING, LINES, CLOSING, False)
    told = message_of(lines, Side.UPSTREAM, Way.IN, 2)
    assert (told.status, told.header("content-type"), told.end, told.ended) == (
        200,
        "x",
        "complete",
        5,
    )
    assert (told.body, told.began) == ("é\n".encode() + b"\xff\0", 2)
    asked = message_of(lines, Side.CLIENT, Way.IN)
    assert (asked.header("a"), asked.status, asked.body) == ("b: c", None, b"")
    assert message_of(lines, Side.UPSTREAM, Way.IN, 1).head is None


def test_keys_of_a_later_release_are_passed_over() -> None:
    newer = WHOLE.replace(b'"t":1,', b'"t":1,"colour":"red",')
    assert read(newer)[1] == LINES


@pytest.mark.parametrize(("key", "value"), [("protocol", "openai"), ("integrity", "ledger")])
def test_words_that_this_release_does_not_know_are_named(key: str, value: str) -> None:
    other = WHOLE.replace(f'"{key}":"{value}"'.encode(), f'"{key}":"{value}2"'.encode())
    with pytest.raises(CaptureError, match=rf"line 1: .*{key} '{value}2' is not known"):
        read(other)


def test_lines_are_read_once() -> None:
    reader, _ = read(WHOLE)
    with pytest.raises(RuntimeError):
        iter(reader.lines())


def test_a_file_that_ends_within_a_line_says_so() -> None:
    for cut in range(len(encode_line(OPENING)), len(WHOLE)):
        reader, lines = read(WHOLE[:cut])
        assert reader.closing is None
        assert lines == LINES[: len(lines)]
        assert reader.cut is not WHOLE[:cut].endswith(b"\n")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "line 1: this is no capture"),
        (b"{}\n", "line 1: this is no capture"),
        (b"data: x\n\n", "line 1: this is no JSON object"),
        (b'{"streamgauge_capture":9}\n', "line 1: format 9; this release reads format 1"),
        (b'{"streamgauge_capture":1}\n', "line 1: .*missing required field"),
        (WHOLE + b"{}\n", "line 8: something follows the closing line"),
        (encode_line(OPENING) + b"[1]\n", "line 2: this is no JSON object"),
        (encode_line(OPENING) + b'{"t":1,"side":"client","dir":"in"}\n', "line 2: one of head"),
        (encode_line(OPENING) + b'{"t":1,"side":"moon","dir":"in","end":"x"}\n', "line 2: Invalid"),
    ],
)
def test_what_is_none_is_told_with_its_line(data: bytes, message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        read(data)


def test_captures_and_bodies_are_told_apart_by_their_beginning() -> None:
    assert is_capture(WHOLE[:256])
    for other in (b"", b"data: {}", b'{"type":"delta"}', b'data: {"streamgauge_capture":1}'):
        assert not is_capture(other)
