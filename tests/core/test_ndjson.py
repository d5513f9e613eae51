"""The line splitter against lines cut by hand, split at every place, and within its caps."""

from __future__ import annotations

import itertools
import time
import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.ndjson import NdjsonSplitter
from streamgauge.core.sse import FRAME_LIMIT, READ_UP_TO, Frame, FrameKind, FrameTooLarge

from ..timed import in_time

BOM = b"\xef\xbb\xbf"
PIECE = 64 * 1024


def fed(pieces: Iterable[bytes]) -> list[Frame]:
    splitter = NdjsonSplitter()
    return [frame for piece in pieces for frame in splitter.feed(piece)]


def payloads_of(frames: list[Frame]) -> list[bytes | None]:
    return [frame.payload for frame in frames if frame.kind is FrameKind.DATA]


def raw_of(frames: list[Frame]) -> bytes:
    return b"".join(frame.raw for frame in frames)


def cut(wire: bytes, size: int) -> list[bytes]:
    return [wire[at : at + size] for at in range(0, len(wire), size)]


def check(pieces: list[bytes]) -> None:
    """Compare with the plain reading: all lines but the last, which has no end."""
    frames = fed(pieces)
    body = b"".join(pieces)
    if len(body) >= len(BOM) or not BOM.startswith(body):
        body = body.removeprefix(BOM)
    *lines, _ = body.split(b"\n")
    assert payloads_of(frames) == [line.strip(b" \t\r") for line in lines if line.strip(b" \t\r")]
    assert raw_of(frames) == b"".join(line + b"\n" for line in lines)


TABLE: dict[str, tuple[bytes, list[bytes]]] = {
    "plain": (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
    "crlf": (b'{"a":1}\r\n{"b":2}\r\n', [b'{"a":1}', b'{"b":2}']),
    "a lone cr ends nothing": (b'{"a":\r1}\n', [b'{"a":\r1}']),
    "blank lines": (b"\n\n \t\r\n{}\n\n", [b"{}"]),
    "white space round a value": (b'  {"a":1}\t \r\n', [b'{"a":1}']),
    "no json at all": (b"<html>\nOllama is running\n", [b"<html>", b"Ollama is running"]),
    "bom": (BOM + b"{}\n", [b"{}"]),
    "only one bom goes": (BOM + BOM + b"{}\n", [BOM + b"{}"]),
    "a later bom stays": (b"{}\n" + BOM + b"{}\n", [b"{}", BOM + b"{}"]),
    "utf-8": ("🐎ů\u2028\x85\n".encode(), ["🐎ů\u2028\x85".encode()]),
    "bad utf-8": (b"\xff\xc3\n\xfe\n", [b"\xff\xc3", b"\xfe"]),
    "nul, vt and ff": (b"\x00\x0b\x0c\n", [b"\x00\x0b\x0c"]),
    "tail": (b'{"a":1}\n{"done":tr', [b'{"a":1}']),
    "nothing": (b"", []),
    "only a piece of a bom": (BOM[:2], []),
    "not quite a bom": (BOM[:2] + b"\n", [BOM[:2]]),
}


@pytest.mark.parametrize(("wire", "told"), TABLE.values(), ids=TABLE.keys())
def test_a_wire_is_cut_into_lines_whole_and_split_anywhere(wire: bytes, told: list[bytes]) -> None:
    for trailing in (b"", b'{"tail"', b"\n", b"\r\n{}\n"):
        whole = wire + trailing
        check([whole])
        check(cut(whole, 1))
        check(cut(whole, 3))
        for at in range(len(whole) + 1):
            check([whole[:at], whole[at:]])
            check([b"", whole[:at], b"", whole[at:]])
    assert payloads_of(fed([wire])) == told


_TOKENS = [b"{", b"}", b'"a"', b"\n", b"\r", b"\r\n", b"\n\n", b" ", b"\x00", b"\xff", BOM, BOM[:1]]


@given(st.lists(st.sampled_from(_TOKENS), max_size=24).map(b"".join), st.data())
@settings(max_examples=300)
def test_any_wire_cut_anywhere_reads_the_same(wire: bytes, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, len(wire)), max_size=6).map(sorted))
    check([wire[a:b] for a, b in itertools.pairwise([0, *places, len(wire)])])
    check(cut(wire, 1))


def test_a_read_of_exactly_one_line_needs_nothing_kept() -> None:
    splitter = NdjsonSplitter()
    assert splitter.read_whole(b'{"a":1}\n') is None, "a byte order mark may still come"
    splitter.feed(b"{}\n")
    assert splitter.read_whole(b'{"a":1}\n') == (b'{"a":1}', b"")
    assert splitter.read_whole(b'{"a":1}\r\n') == (b'{"a":1}', b"")
    assert splitter.feed(b'{"b"')[:] == []
    assert splitter.read_whole(b'{"a":1}\n') is None, "it would break into an unfinished line"
    assert payloads_of(splitter.feed(b":2}\n")) == [b'{"b":2}']


@pytest.mark.parametrize("data", [b"", b"\n", b"{}", b"{}\n{}\n", b"{}\n{", b" {}\n", b"\r\n"])
def test_what_is_not_exactly_one_line_is_left_to_feed(data: bytes) -> None:
    splitter = NdjsonSplitter()
    splitter.feed(b"{}\n")
    assert splitter.read_whole(data) is None


def test_a_leading_bom_is_removed_and_told() -> None:
    splitter = NdjsonSplitter()
    frames = [f for piece in [*cut(BOM, 1), b"{}\n"] for f in splitter.feed(piece)]
    assert (raw_of(frames), splitter.bom_removed) == (b"{}\n", True)


@pytest.mark.parametrize("size", [READ_UP_TO - 1, READ_UP_TO, READ_UP_TO + 1, READ_UP_TO + PIECE])
@pytest.mark.parametrize("piece", [PIECE, 1_000_003, 2**23])
def test_beyond_4_mib_a_line_passes_unread_however_it_is_cut(size: int, piece: int) -> None:
    wire = b"x" * (size - 1) + b"\n" + b"{}\n"
    frames = fed([b"{}\n", *cut(wire, piece)])[1:]
    assert raw_of(frames) == wire
    (large, last) = payloads_of(frames)
    assert last == b"{}"
    assert large == (wire[: size - 1] if size <= READ_UP_TO else None)


def test_the_splitter_is_inside_a_line_that_passes_until_its_end() -> None:
    splitter = NdjsonSplitter()
    splitter.feed(b"x" * READ_UP_TO)
    assert not splitter.inside
    assert [f.kind for f in splitter.feed(b"x")] == [FrameKind.PART]
    assert splitter.inside
    assert splitter.inside_data
    assert splitter.read_whole(b"{}\n") is None
    (end,) = splitter.feed(b"\n")
    assert (end.kind, end.raw, end.payload) == (FrameKind.DATA, b"\n", None)
    assert not splitter.inside
    assert not splitter.inside_data


@pytest.mark.parametrize("piece", [PIECE, FRAME_LIMIT + 9])
def test_a_line_beyond_32_mib_is_too_large_and_memory_stays_flat(piece: int) -> None:
    splitter = NdjsonSplitter()
    chunk = b"x" * PIECE
    tracemalloc.start()
    try:
        for _ in range(FRAME_LIMIT // PIECE):
            splitter.feed(chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * READ_UP_TO
    with pytest.raises(FrameTooLarge):
        splitter.feed(b"x")
    with pytest.raises(FrameTooLarge):
        fed(cut(b"x" * FRAME_LIMIT + b"\n", piece))


def test_a_long_line_in_small_pieces_costs_no_square_of_its_length() -> None:
    pieces = cut(b"x" * 1_000_000 + b"\n", 50)
    began = time.perf_counter()
    assert len(fed(pieces)) == 1
    in_time(time.perf_counter() - began, 5 * 0.1)
