"""Content codings undone in steps, alone and behind a socket."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.gateway.http import EndKind, Header
from streamgauge.gateway.inflate import (
    FREE_BYTES,
    PIECE_BYTES,
    RATIO_LIMIT,
    Coding,
    InflateError,
    Inflater,
    inflating,
)

from .upstream_rig import OK, Owner, answering, both_loops, call, pool, upstream

COMPLETE, CUT, PROTOCOL = EndKind.COMPLETE, EndKind.CUT, EndKind.PROTOCOL


def decoded(inflater: Inflater, *parts: bytes) -> bytes:
    """Feed `parts` one by one, and read each out."""
    body = b""
    for part in parts:
        inflater.feed(part)
        while piece := inflater.read():
            assert len(piece) <= PIECE_BYTES
            body += piece
    return body


@settings(deadline=None)
@given(st.binary(max_size=3000), st.sampled_from(["gzip", "zlib", "raw"]), st.integers(1, 50))
def test_inflating_in_any_steps_gives_what_was_coded(body: bytes, form: str, step: int) -> None:
    squeezed = {
        "gzip": gzip.compress(body),
        "zlib": zlib.compress(body),
        "raw": zlib.compress(body)[2:-4],
    }[form]
    inflater = Inflater(Coding.GZIP if form == "gzip" else Coding.DEFLATE)
    parts = [squeezed[at : at + step] for at in range(0, len(squeezed), step)]
    assert decoded(inflater, *parts) == body
    assert inflater.at_end


def test_output_beyond_a_piece_waits_though_all_input_was_taken() -> None:
    body = b"a" * (5 * PIECE_BYTES + 1)
    inflater = Inflater(Coding.GZIP)
    inflater.feed(gzip.compress(body))
    pieces = []
    while piece := inflater.read():
        pieces.append(piece)
    assert [len(piece) for piece in pieces] == [PIECE_BYTES] * 5 + [1]


def test_several_gzip_members_are_one_body() -> None:
    members = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two")
    inflater = Inflater(Coding.GZIP)
    assert decoded(inflater, *(bytes([byte]) for byte in members)) == b"one two"
    assert inflater.at_end


@pytest.mark.parametrize("kept", [1, 5, 12, -8, -1])
def test_an_early_end_is_seen(kept: int) -> None:
    inflater = Inflater(Coding.GZIP)
    decoded(inflater, gzip.compress(b"data: {}\n\n" * 99)[:kept])
    assert not inflater.at_end


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (Coding.GZIP, b"not gzip at all"),
        (Coding.GZIP, gzip.compress(b"a") + b"x"),
        (Coding.GZIP, gzip.compress(b"a")[:-5] + b"\xff" * 5),
        (Coding.DEFLATE, b"\xff\xff\xff"),
        (Coding.DEFLATE, zlib.compress(b"a") + zlib.compress(b"b")),
    ],
    ids=["text", "trailing", "checksum", "no-block", "two-zlib"],
)
def test_other_bytes_than_the_coding_says_are_refused(coding: Coding, body: bytes) -> None:
    with pytest.raises(InflateError):
        decoded(Inflater(coding), body)


def test_a_bomb_is_refused_at_the_ratio_and_a_short_answer_is_not() -> None:
    inflater = Inflater(Coding.GZIP)
    inflater.feed(gzip.compress(b"\x00" * (64 * 1024 * 1024)))
    produced: list[int] = []
    with pytest.raises(InflateError, match="ratio"):
        produced.extend(len(piece) for piece in iter(inflater.read, b""))
    assert 0 < sum(produced) <= FREE_BYTES + RATIO_LIMIT * 70_000
    assert len(decoded(Inflater(Coding.GZIP), gzip.compress(b"\x00" * FREE_BYTES))) == FREE_BYTES


@pytest.mark.parametrize(
    ("value", "coded"),
    [(b"gzip", True), (b"GZip", True), (b"identity, gzip", True), (b"identity", False)],
)
def test_headers_of_a_coded_body_are_dropped(value: bytes, coded: bool) -> None:
    headers: tuple[Header, ...] = (
        (b"content-encoding", value),
        (b"content-length", b"9"),
        (b"x-a", b"b"),
    )
    inflater, kept = inflating(headers)
    assert (inflater is not None) is coded
    assert kept == (((b"x-a", b"b"),) if coded else headers)


@pytest.mark.parametrize("value", [b"br", b"zstd", b"gzip, gzip", b"compress", b"gzip;q=1"])
def test_an_unknown_coding_is_refused(value: bytes) -> None:
    with pytest.raises(InflateError):
        inflating(((b"content-encoding", value),))


def test_an_error_in_an_unknown_coding_keeps_its_head_and_loses_its_words() -> None:
    headers: tuple[Header, ...] = ((b"content-encoding", b"br"), (b"retry-after", b"7"))
    inflater, kept = inflating(headers, 429)
    assert inflater is not None
    assert kept == ((b"retry-after", b"7"),)
    inflater.feed(b"\x8b\x00\x80")
    assert (inflater.read(), inflater.at_end) == (b"", True)
    assert repr(inflater) == "<Inflater unknown in=3 out=0>"


def coded(coding: bytes, body: bytes) -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return OK + length + b"Content-Encoding: " + coding + b"\r\nX-A: b\r\n\r\n" + body


TEXT = b"data: {}\n\n" * 3000
RAW_DEFLATE = zlib.compress(TEXT)[2:-4]


@both_loops
@pytest.mark.parametrize(
    ("coding", "body", "decoded", "end"),
    [
        (b"gzip", gzip.compress(TEXT), TEXT, COMPLETE),
        (b"X-GZIP", gzip.compress(TEXT), TEXT, COMPLETE),
        (b"deflate", zlib.compress(TEXT), TEXT, COMPLETE),
        (b"deflate", RAW_DEFLATE, TEXT, COMPLETE),
        (b"gzip", b"", b"", COMPLETE),
        (b"gzip", gzip.compress(TEXT)[:-9], None, CUT),
        (b"gzip", gzip.compress(TEXT)[:-1], TEXT, CUT),
        (b"gzip", b"not gzip at all", b"", PROTOCOL),
        (b"gzip", gzip.compress(TEXT) + b"more", TEXT, PROTOCOL),
    ],
    ids=[
        "gzip",
        "x-gzip",
        "zlib",
        "raw-deflate",
        "empty",
        "early-end",
        "no-trailer",
        "not-gzip",
        "trailing",
    ],
)
async def test_a_coded_body_is_told_inflated(
    coding: bytes, body: bytes, decoded: bytes | None, end: EndKind
) -> None:
    async with upstream(answering(coded(coding, body))) as up, pool() as opened:
        owner = await call(opened, up.target())
    assert owner.ended is end
    assert owner.headers == ((b"x-a", b"b"),)
    assert max(map(len, owner.pieces), default=0) <= 64 * 1024
    if decoded is None:
        assert TEXT.startswith(owner.body)
        assert owner.body
    else:
        assert owner.body == decoded


@both_loops
async def test_identity_is_no_coding() -> None:
    async with upstream(answering(coded(b"identity", b"plain"))) as up, pool() as opened:
        owner = await call(opened, up.target())
    assert (owner.body, owner.ended) == (b"plain", COMPLETE)


@both_loops
async def test_a_paused_owner_is_told_no_further_inflated_piece_until_it_resumes() -> None:
    body = gzip.compress(bytes(range(256)) * 1200)
    async with upstream(answering(coded(b"gzip", body))) as up, pool() as opened:
        owner = Owner()
        handle = owner.open(opened, up.target())
        owner.on_data = handle.pause
        for count in range(1, 6):
            await asyncio.wait_for(owner.fed.wait(), 5)
            owner.fed.clear()
            assert len(owner.pieces) == count
            assert owner.ended is None
            handle.resume()
        await asyncio.wait_for(owner.done, 5)
    assert (owner.body, owner.ended) == (bytes(range(256)) * 1200, COMPLETE)
