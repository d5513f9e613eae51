"""The frame splitter against the grammar of server-sent events, cut at every place."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.sse import (
    FRAME_LIMIT,
    PASS_FROM,
    READ_UP_TO,
    Frame,
    FrameKind,
    FrameSplitter,
    FrameTooLarge,
    encode_frame,
)

BOM = b"\xef\xbb\xbf"
PIECE = 64 * 1024

Told = tuple[bytes | None, bytes]
"""What a frame says: its payload (None: no data line) and its event's name."""


# --- the oracle: the grammar, line by line, with no thought of speed ----------------------------


def lines_of(wire: bytes) -> Iterable[tuple[bytes, int]]:
    """Yield each finished line and where the next one begins."""
    begin = at = 0
    while at < len(wire):
        size = 2 if wire[at : at + 2] == b"\r\n" else 1
        if wire[at : at + 1] in (b"\r", b"\n"):
            yield wire[begin:at], at + size
            begin = at + size
            at = begin
        else:
            at += 1


def parsed(wire: bytes) -> tuple[list[Told], bytes]:
    """Return what the frames of a whole wire say, and the wire that a splitter gives back."""
    body = wire.removeprefix(BOM)
    told: list[Told] = []
    frame: list[bytes] = []
    whole = 0
    for line, end in lines_of(body):
        if line:
            frame.append(line)
            continue
        if frame:
            told.append(read_fields(frame))
        frame, whole = [], end
    return told, body[:whole]


def read_fields(lines: list[bytes]) -> Told:
    data: list[bytes] = []
    event = b""
    for line in lines:
        if line.startswith(b":"):
            continue
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        if name == b"event":
            event = value
    return (b"\n".join(data) if data else None), event


# --- what the splitter says ----------------------------------------------------------------------


def fed(pieces: Iterable[bytes]) -> list[Frame]:
    splitter = FrameSplitter()
    return [frame for piece in pieces for frame in splitter.feed(piece)]


def told_by(frames: list[Frame]) -> list[Told]:
    ends = (FrameKind.DATA, FrameKind.SILENT)
    return [(frame.payload, frame.event) for frame in frames if frame.kind in ends]


def raw_of(frames: list[Frame]) -> bytes:
    return b"".join(frame.raw for frame in frames)


def cut(wire: bytes, size: int) -> list[bytes]:
    return [wire[at : at + size] for at in range(0, len(wire), size)]


def check(pieces: list[bytes]) -> None:
    frames = fed(pieces)
    told, kept = parsed(b"".join(pieces))
    assert told_by(frames) == told
    assert raw_of(frames) == kept


TABLE: dict[str, tuple[bytes, list[Told]]] = {
    "lf": (b"data: a\n\ndata: b\n\n", [(b"a", b""), (b"b", b"")]),
    "crlf": (b"data: a\r\n\r\ndata: b\r\n\r\n", [(b"a", b""), (b"b", b"")]),
    "cr": (b"data: a\r\rdata: b\r\r", [(b"a", b""), (b"b", b"")]),
    "mixed": (
        b"data: a\n\r\ndata: b\r\n\ndata: c\r\n\rdata: d\n\r",
        [(c, b"") for c in (b"a", b"b", b"c", b"d")],
    ),
    "cr inside a frame": (b"data: a\rdata: b\r\ndata: c\n\n", [(b"a\nb\nc", b"")]),
    "bom": (BOM + b"data: a\n\n", [(b"a", b"")]),
    "only one bom goes": (BOM + BOM + b"data: a\n\ndata: b\n\n", [(None, b""), (b"b", b"")]),
    "a later bom is a name": (b"data: a\n\n" + BOM + b"data: b\n\n", [(b"a", b""), (None, b"")]),
    "comments": (b": hello\n\ndata: a\n:x\ndata: b\n\n:\n\n", [(None, b""), (b"a\nb", b""), (None, b"")]),
    "multi-line": (b"data: a\ndata: b\ndata:\ndata: c\n\n", [(b"a\nb\n\nc", b"")]),
    "no space": (b"data:a\nevent:x\n\n", [(b"a", b"x")]),
    "one space goes": (b"data:  a \n\n", [(b" a ", b"")]),
    "a tab stays": (b"data:\ta\n\n", [(b"\ta", b"")]),
    "data alone": (b"data\n\ndata\ndata\n\n", [(b"", b""), (b"\n", b"")]),
    "data with a colon": (b"data:\n\n", [(b"", b"")]),
    "event only": (b"event: ping\n\n", [(None, b"ping")]),
    "event then data": (b"event: x\ndata: a\n\n", [(b"a", b"x")]),
    "data then event": (b"data: a\nevent: x\n\n", [(b"a", b"x")]),
    "the last event name": (b"event: x\nevent: y\ndata: a\n\n", [(b"a", b"y")]),
    "event and two data": (b"event: x\ndata: a\ndata: b\n\n", [(b"a\nb", b"x")]),
    "an event does not stick": (b"event: x\n\ndata: a\n\n", [(None, b"x"), (b"a", b"")]),
    "id": (b"id: 7\ndata: a\nid\n\nid: 8\n\n", [(b"a", b""), (None, b"")]),
    "retry": (b"retry: 300\n\ndata: a\nretry: x\n\n", [(None, b""), (b"a", b"")]),
    "unknown field": (b"dat: a\ndatas: b\nDATA: c\n data: d\n\n", [(None, b"")]),
    "nul": (b"data: a\x00b\nid: \x00\n\n", [(b"a\x00b", b"")]),
    "colons in data": (b"data: a: b:c\n\n", [(b"a: b:c", b"")]),
    "utf-8": ("data: žluťoučký 🐎\n\n".encode(), [("žluťoučký 🐎".encode(), b"")]),
    "bad utf-8": (b"data: \xff\xfe\xc3\n\n", [(b"\xff\xfe\xc3", b"")]),
    "unicode line ends": ("data: a\x85\u2028\x0b\x0cb\n\n".encode(), [("a\x85\u2028\x0b\x0cb".encode(), b"")]),
    "extra blank lines": (b"\n\n\r\r\ndata: a\n\n\n\n\r\ndata: b\n\n", [(b"a", b""), (b"b", b"")]),
    "tail": (b"data: a\n\ndata: b\n", [(b"a", b"")]),
    "tail without a line end": (b"data: a\n\ndata: b", [(b"a", b"")]),
    "nothing": (b"", []),
    "only a piece of a bom": (BOM[:2], []),
}  # fmt: skip


@pytest.mark.parametrize(("wire", "told"), TABLE.values(), ids=TABLE.keys())
def test_a_wire_is_cut_by_the_grammar_whole_and_split_anywhere(
    wire: bytes, told: list[Told]
) -> None:
    assert parsed(wire)[0] == told, "the oracle itself"
    for trailing in (b"", b"data: tail", b"\n", b"\r\ndata: z\n\n"):
        whole = wire + trailing
        check([whole])
        check(cut(whole, 1))
        check(cut(whole, 3))
        for at in range(len(whole) + 1):
            check([whole[:at], whole[at:]])
            check([b"", whole[:at], b"", whole[at:]])
    assert told_by(fed([wire])) == told


TOKENS = [
    *(b"data: data:x data event:e event id:1 retry:3 : ".split(b" ")),
    *(b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n"),
    *(b" ", b"a", b"{}", b"\x00", "é".encode(), b"\xff", BOM, BOM[:1]),
]


@given(st.lists(st.sampled_from(TOKENS), max_size=24).map(b"".join), st.data())
@settings(max_examples=300)
def test_any_wire_cut_anywhere_reads_as_the_oracle_reads_it(
    wire: bytes, data: st.DataObject
) -> None:
    places = data.draw(st.lists(st.integers(0, len(wire)), max_size=6).map(sorted))
    bounds = [0, *places, len(wire)]
    check([wire[a:b] for a, b in zip(bounds, bounds[1:], strict=False)])
    check(cut(wire, 1))


def test_a_frame_after_a_whole_one_may_come_in_single_bytes() -> None:
    frames = fed([b"data: a\n\n", *cut(b"data: b\n\n", 1), b"d", b"ata: c\n\n"])
    assert told_by(frames) == [(b"a", b""), (b"b", b""), (b"c", b"")]


def test_a_line_feed_behind_a_cut_carriage_return_is_glue() -> None:
    splitter = FrameSplitter()
    (first,) = splitter.feed(b"data: a\r\n\r")
    assert (first.kind, first.raw, first.payload) == (FrameKind.DATA, b"data: a\r\n\r", b"a")
    glue, second = splitter.feed(b"\ndata: b\n\n")
    assert (glue.kind, glue.raw, glue.payload) == (FrameKind.GLUE, b"\n", None)
    assert (second.kind, second.payload) == (FrameKind.DATA, b"b")


@pytest.mark.parametrize("pieces", [[BOM], [BOM[:1], BOM[1:]], [BOM[:2], BOM[2:]], cut(BOM, 1)])
def test_a_leading_bom_is_removed_and_told(pieces: list[bytes]) -> None:
    splitter = FrameSplitter()
    frames = [f for piece in [*pieces, b"data: a\n\n"] for f in splitter.feed(piece)]
    assert raw_of(frames) == b"data: a\n\n"
    assert splitter.bom_removed


def test_a_wire_without_a_bom_says_so() -> None:
    splitter = FrameSplitter()
    splitter.feed(b"\xef\xbb")
    splitter.feed(b"x: \n\n")
    assert not splitter.bom_removed


def test_a_frame_leaves_with_its_blank_line_and_not_before() -> None:
    splitter = FrameSplitter()
    assert splitter.feed(b"data: a\n") == []
    assert [f.raw for f in splitter.feed(b"\n")] == [b"data: a\n\n"]


# --- large frames --------------------------------------------------------------------------------


def data_frame(size: int, ends: bytes = b"\n\n") -> bytes:
    return b"data: " + b"x" * (size - 6 - len(ends)) + ends


@pytest.mark.parametrize("ends", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n"])
@pytest.mark.parametrize("size", [PASS_FROM + 1, PASS_FROM + PIECE, 5 * PIECE + 3])
def test_a_large_frame_passes_in_pieces_and_is_still_read(size: int, ends: bytes) -> None:
    wire = data_frame(size, ends)
    frames = fed([*cut(wire, PIECE), b"data: b\n\n"])
    kinds = [frame.kind for frame in frames if frame.kind is not FrameKind.GLUE]
    assert kinds[0] is FrameKind.PART
    assert set(kinds[:-2]) == {FrameKind.PART}
    assert kinds[-2:] == [FrameKind.DATA, FrameKind.DATA]
    assert told_by(frames) == [(wire[6 : -len(ends)], b""), (b"b", b"")]
    assert raw_of(frames) == wire + b"data: b\n\n"


def test_a_frame_below_the_threshold_waits_for_its_end() -> None:
    wire = data_frame(PASS_FROM - 1)
    splitter = FrameSplitter()
    assert splitter.feed(wire[:-1]) == []
    assert not splitter.inside
    assert [f.raw for f in splitter.feed(wire[-1:])] == [wire]


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
        assert [f.payload for f in frames if f.kind is FrameKind.DATA] == [None, b"b"]


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


# --- encoding ------------------------------------------------------------------------------------


@given(st.binary(max_size=60).map(lambda b: b.replace(b"\r", b"")), st.sampled_from([b"", b"x"]))
@settings(max_examples=100)
def test_an_encoded_frame_is_read_back(payload: bytes, event: bytes) -> None:
    (frame,) = fed([encode_frame(payload, event)])
    assert (frame.kind, frame.payload, frame.event) == (FrameKind.DATA, payload, event)


def test_a_frame_shows_its_kind() -> None:
    assert repr(fed([b"data: a\n\n"])[0]) == "<Frame DATA b'data: a\\n\\n'>"
