"""Large frames through the splitter: they pass in pieces, within bounds of memory and time."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterable

import pytest

from streamgauge.core.sse import (
    FRAME_LIMIT,
    PASS_FROM,
    READ_UP_TO,
    Frame,
    FrameKind,
    FrameSplitter,
    FrameTooLarge,
)

PIECE = 64 * 1024


def fed(pieces: Iterable[bytes]) -> list[Frame]:
    splitter = FrameSplitter()
    return [frame for piece in pieces for frame in splitter.feed(piece)]


def payloads_of(frames: list[Frame]) -> list[bytes | None]:
    return [frame.payload for frame in frames if frame.kind is FrameKind.DATA]


def raw_of(frames: list[Frame]) -> bytes:
    return b"".join(frame.raw for frame in frames)


def cut(wire: bytes, size: int) -> list[bytes]:
    return [wire[at : at + size] for at in range(0, len(wire), size)]


def data_frame(size: int, ends: bytes = b"\n\n") -> bytes:
    return b"data: " + b"x" * (size - 6 - len(ends)) + ends


@pytest.mark.parametrize("ends", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n"])
@pytest.mark.parametrize("size", [PASS_FROM + 9, PASS_FROM + PIECE, 5 * PIECE + 3])
def test_a_large_frame_passes_in_pieces_and_is_still_read(size: int, ends: bytes) -> None:
    wire = data_frame(size, ends)
    frames = fed([*cut(wire, PIECE), b"data: b\n\n"])
    kinds = [frame.kind for frame in frames if frame.kind is not FrameKind.GLUE]
    assert kinds[0] is FrameKind.PART
    assert set(kinds[:-2]) == {FrameKind.PART}
    assert kinds[-2:] == [FrameKind.DATA, FrameKind.DATA]
    assert payloads_of(frames) == [wire[6 : -len(ends)], b"b"]
    assert raw_of(frames) == wire + b"data: b\n\n"


def test_a_frame_below_the_threshold_waits_for_its_end() -> None:
    wire = data_frame(PASS_FROM - 1)
    splitter = FrameSplitter()
    assert splitter.feed(wire[:-1]) == []
    assert not splitter.inside
    assert [f.raw for f in splitter.feed(wire[-1:])] == [wire]


@pytest.mark.parametrize(
    ("begun", "has_data"),
    [
        (b"data: ", True),
        (b"event: a\ndata: ", True),
        (b"ddata: ", False),
        (b": ", False),
        (b"event: ", False),
        (b"data: " + b"x" * READ_UP_TO, True),
        (b": " + b"x" * READ_UP_TO, True),  # it is not kept
    ],
)
def test_a_large_frame_that_was_cut_off_tells_whether_it_has_data(
    begun: bytes, has_data: bool
) -> None:
    splitter = FrameSplitter()
    splitter.feed(begun + b"x" * PASS_FROM)
    assert (splitter.inside, splitter.inside_data) == (True, has_data)
    splitter.feed(b"\n\n")
    assert not splitter.inside_data


def test_the_splitter_is_inside_a_large_frame_until_its_end() -> None:
    splitter = FrameSplitter()
    splitter.feed(data_frame(PASS_FROM + 5)[:-1])
    assert splitter.inside
    splitter.feed(b"\n")
    assert not splitter.inside


@pytest.mark.parametrize("size", [READ_UP_TO, READ_UP_TO + 1, READ_UP_TO + 100_000])
@pytest.mark.parametrize("piece", [PIECE, 1_000_003, 2**23])
def test_beyond_4_mib_a_frame_passes_unread_however_it_is_cut(size: int, piece: int) -> None:
    wire = data_frame(size) + b"data: b\n\n"
    frames = fed([b": begun\n\n", *cut(wire, piece)])[1:]
    assert raw_of(frames) == wire
    large = frames[-2]
    assert large.kind is FrameKind.DATA
    assert (large.payload is not None) is (size <= READ_UP_TO)
    assert (frames[-1].kind, frames[-1].payload) == (FrameKind.DATA, b"b")


@pytest.mark.parametrize("ends", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n"])
def test_the_end_of_an_unread_frame_is_found_wherever_it_is_cut(ends: bytes) -> None:
    head = data_frame(READ_UP_TO + 10, b"")
    for at in range(len(ends) + 1):
        pieces = [head, ends[:at], ends[at:], b"data: b\n\n"]
        frames = fed(pieces)
        assert raw_of(frames) == b"".join(pieces)
        assert payloads_of(frames) == [None, b"b"]


@pytest.mark.parametrize("piece", [PIECE, FRAME_LIMIT * 2])
def test_a_frame_beyond_32_mib_is_refused(piece: int) -> None:
    wire = data_frame(FRAME_LIMIT + 1)
    with pytest.raises(FrameTooLarge):
        fed(cut(wire, piece))


def test_a_frame_of_32_mib_is_legal() -> None:
    wire = data_frame(FRAME_LIMIT)
    sizes = [len(f.raw) for f in fed(cut(wire, 1 << 20))]
    assert sum(sizes) == FRAME_LIMIT


def test_memory_stays_bounded_while_a_huge_frame_passes() -> None:
    splitter, piece = FrameSplitter(), b"x" * PIECE
    splitter.feed(b"data: ")
    tracemalloc.start()
    try:
        for _ in range(FRAME_LIMIT // PIECE - 1):
            splitter.feed(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * 2**20


def test_memory_is_flat_over_many_frames() -> None:
    splitter, frame = FrameSplitter(), data_frame(200)
    tracemalloc.start()
    try:
        for _ in range(20_000):
            splitter.feed(frame)
            splitter.feed(frame[:50])
            splitter.feed(frame[50:] + frame)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024


def test_single_bytes_of_a_large_frame_cost_no_quadratic_time() -> None:
    # Scanning from the frame's start at each byte would read 20 GB: many times the limit.
    before = time.process_time()
    frames = fed(cut(data_frame(200_000), 1))
    assert time.process_time() - before < 5
    assert len(frames[-1].payload or b"") == 200_000 - 8


def test_many_frames_in_one_read_cost_no_quadratic_time() -> None:
    before = time.process_time()
    frames = fed([data_frame(12) * 100_000])
    assert time.process_time() - before < 5
    assert len(frames) == 100_000
