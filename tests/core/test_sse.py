"""The frame splitter against the grammar of server-sent events, cut at every place."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.sse import (
    Frame,
    FrameKind,
    FrameSplitter,
    encode_frame,
)

BOM = b"\xef\xbb\xbf"

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
    "comments": (
        b": hello\n\ndata: a\n:x\ndata: b\n\n:\n\n",
        [(None, b""), (b"a\nb", b""), (None, b"")],
    ),
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
    "unicode line ends": (
        "data: a\x85\u2028\x0b\x0cb\n\n".encode(),
        [("a\x85\u2028\x0b\x0cb".encode(), b"")],
    ),
    "extra blank lines": (b"\n\n\r\r\ndata: a\n\n\n\n\r\ndata: b\n\n", [(b"a", b""), (b"b", b"")]),
    "tail": (b"data: a\n\ndata: b\n", [(b"a", b"")]),
    "tail without a line end": (b"data: a\n\ndata: b", [(b"a", b"")]),
    "nothing": (b"", []),
    "only a piece of a bom": (BOM[:2], []),
}


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
    check([wire[a:b] for a, b in itertools.pairwise(bounds)])
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


# --- encoding ------------------------------------------------------------------------------------


@given(st.binary(max_size=60).map(lambda b: b.replace(b"\r", b"")), st.sampled_from([b"", b"x"]))
@settings(max_examples=100)
def test_an_encoded_frame_is_read_back(payload: bytes, event: bytes) -> None:
    (frame,) = fed([encode_frame(payload, event)])
    assert (frame.kind, frame.payload, frame.event) == (FrameKind.DATA, payload, event)


def test_a_frame_shows_its_kind() -> None:
    assert repr(fed([b"data: a\n\n"])[0]) == "<Frame DATA b'data: a\\n\\n'>"


@pytest.mark.parametrize(
    ("wire", "kinds"),
    [
        (b"\n\n\n", [FrameKind.GLUE] * 3),
        (b": a\n\nevent: x\n\nid: 1\n\n", [FrameKind.SILENT] * 3),
        (b"data: a\n\n\ndata\n\n", [FrameKind.DATA, FrameKind.GLUE, FrameKind.DATA]),
    ],
)
def test_each_piece_has_its_kind(wire: bytes, kinds: list[FrameKind]) -> None:
    for pieces in ([b": first\n\n" + wire], [b": first\n\n", *cut(wire, 1)]):
        assert [frame.kind for frame in fed(pieces)][1:] == kinds


def test_only_behind_a_whole_beginning_is_a_read_taken_for_one_frame() -> None:
    splitter = FrameSplitter()
    assert splitter.read_whole(b"data: a\n\n") is None, "a BOM may still come"
    splitter.feed(b"data: a\n\n")
    assert splitter.read_whole(b"data: b\n\n") == (b"b", b"")
    assert splitter.read_whole(b"event: x\ndata: b\n\n") == (b"b", b"x")
    splitter.feed(b"data")
    assert splitter.read_whole(b"data: c\n\n") is None
    assert [f.payload for f in splitter.feed(b": c\n\n")] == [b"c"]
    large = b"data: " + b"x" * 70_000 + b"\n\n"
    assert splitter.read_whole(large) is None
    assert [f.raw for f in splitter.feed(large)] == [large]
