"""Many frames in one read: those of a pattern are taken together, and all is as if each came alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from streamgauge.core.actions import OpenUpstream, SendData
from streamgauge.core.attempt import Allowance, Attempt
from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.core.integrity import Integrity
from streamgauge.core.integrity_proof import Proof
from streamgauge.core.record import Status
from streamgauge.core.replay_watch import LONG_FRAME
from streamgauge.core.runs import run_of, texts_of

from .playbook import DONE, FINISH, ROLE, USAGE, Play, chat_request, request_of, text
from .test_steady import FRAMES, MESSAGE_ENDS, MESSAGES, both, message_delta, played

BEGIN, END = b'data: {"t":"', b'"}\n\n'
PLAIN = [f" word{number}" for number in range(60)]


def frames(*texts: bytes) -> bytes:
    return b"".join(BEGIN + each + END for each in texts)


def pieces(data: bytes) -> list[bytes] | None:
    found = run_of(data, BEGIN, END)
    if found is None:
        return None
    for raw, texts in found:
        assert texts is None or frames(*texts) == raw
    return [raw for raw, _ in found]


def test_a_run_is_one_piece_behind_its_first_frame() -> None:
    run = frames(b"b", b"c", b"d", b"e")
    expected = [frames(b"a"), frames(b"b"), frames(b"c", b"d", b"e")]
    assert pieces(frames(b"a") + run) == expected
    assert pieces(b"rest" + END + run) == [b"rest" + END, *expected[1:]]
    assert pieces(frames(b"a") + run + BEGIN + b"cut") == [*expected, BEGIN + b"cut"]


def test_what_is_not_plain_stands_between_two_runs() -> None:
    run = frames(*[b"x"] * 5)
    split = [frames(b"x"), frames(*[b"x"] * 4)]
    other = frames(b"\\n", b"y", b'"')
    assert pieces(frames(b"a") + run + other + run) == [frames(b"a"), *split, other, *split]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        frames(b"a"),
        frames(*[b"a"] * 4),
        frames(*[b"a", b"\\"] * 9),
        frames(*[b"a", b"a", b"a", b""] * 9),
        frames(*[b"a", b"a", b"a", b"\xff"] * 9),
        END + BEGIN,
        b"data: {}\n\n" * 20,
    ],
)
def test_where_there_is_no_run_it_is_read_as_one(data: bytes) -> None:
    assert pieces(data) is None


@given(
    texts=st.lists(
        st.sampled_from([b"a", b"word", "é".encode(), b"", b"\n", b'"', b"x" * LONG_FRAME])
    ),
    cut=st.tuples(st.integers(0, 20), st.integers(0, 20)),
)
def test_the_pieces_are_the_read(texts: list[bytes], cut: tuple[int, int]) -> None:
    data = frames(*texts)
    data = data[cut[0] : len(data) - cut[1]]
    found = pieces(data)
    assert found is None or b"".join(found) == data


def test_the_texts_of_whole_frames_alone() -> None:
    glue = END + BEGIN
    assert texts_of(b"a" + glue + b"b", glue) == [b"a", b"b"]
    assert texts_of(b"a", glue) is None
    assert texts_of(b"a" + glue, glue) is None
    assert texts_of(b"a" + glue + b"\xc3", glue) is None
    assert texts_of(b"\xc3" + glue + b"\xa9", glue) is None, "half a character each"


def reads_of(wire: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Cut `wire` into reads of these sizes, over and over."""
    reads, at = list[bytes](), 0
    while at < len(wire):
        size = sizes[len(reads) % len(sizes)]
        reads.append(wire[at : at + size])
        at += size
    return reads


SIZES = st.lists(st.one_of(st.integers(1, 200), st.integers(200, 9000)), min_size=1, max_size=6)
MODES = st.sampled_from(list(Integrity))
RUNS = st.integers(1, 40).map(lambda count: b"".join(map(text, PLAIN[:count])))


@given(said=st.lists(st.one_of(FRAMES, RUNS), max_size=30), sizes=SIZES, mode=MODES)
def test_any_stream_in_any_reads_ends_alike(
    said: list[bytes], sizes: list[int], mode: Integrity
) -> None:
    wire = b"".join([ROLE, text("first"), *said])
    both(reads_of(wire, sizes), mode=mode)
    both(reads_of(wire + FINISH + USAGE + DONE, sizes), mode=mode)


@given(
    said=st.lists(st.one_of(FRAMES, RUNS), max_size=30),
    sizes=SIZES,
    mode=MODES,
    client=st.sampled_from(["anthropic", "simple", "frames"]),
)
def test_any_translated_stream_in_any_reads_ends_alike(
    said: list[bytes], sizes: list[int], mode: Integrity, client: Any
) -> None:
    way = {"request": request_of(client), "attempt": {"dialect": "openai"}, "mode": mode}
    wire = b"".join([ROLE, text("first"), *said])
    both(reads_of(wire, sizes), **way)
    both(reads_of(wire + FINISH + DONE, sizes), **way)


@given(
    said=st.lists(MESSAGES, max_size=40),
    sizes=SIZES,
    mode=MODES,
    client=st.sampled_from(["openai", "anthropic", None]),
)
def test_any_stream_of_messages_in_any_reads_ends_alike(
    said: list[bytes], sizes: list[int], mode: Integrity, client: Any
) -> None:
    way: dict[str, Any] = {"request": chat_request("messages", max_tokens=9)}
    if client is not None:
        way = {"request": request_of(client), "attempt": {"dialect": "anthropic"}}
    run = [message_delta(word) for word in PLAIN[:12]]
    both(reads_of(b"".join([*run, *said, *run, *MESSAGE_ENDS]), sizes), mode=mode, **way)


def test_a_read_is_one_write_however_many_frames_it_has() -> None:
    play = Play(proof=Proof(mode=Integrity.LEDGER))
    play.head()
    play.data(ROLE, text("first"))
    before = len(play.of(SendData))
    wire = b"".join(map(text, PLAIN))
    play.data(wire + text("cut")[:20], text("cut")[20:] + wire)
    assert play.body == b"".join([ROLE, text("first"), wire, text("cut"), wire])
    assert len(play.of(SendData)) == before + 2
    assert play.look("so_far").frames_in == 2 * len(PLAIN) + 3


def test_of_a_read_of_whole_frames_none_is_decoded() -> None:
    play = Play(proof=Proof(mode=Integrity.LEDGER))
    play.head()
    play.data(ROLE, text("first"))
    wire = b"".join(map(text, PLAIN))
    assert play.exchange.passes(wire, 1000.0) == wire
    row = play.look("so_far")
    assert (row.frames_in, row.bytes_in) == (len(PLAIN) + 2, row.bytes_out)


def test_behind_an_error_that_another_attempt_mends_nothing_of_the_read_is_told() -> None:
    play = Play(others=[Attempt("second", "openai", "m")])
    play.head()
    play.read(b"".join([ROLE, b'data: {"error": {"message": "no"}}\n\n', *map(text, PLAIN)]))
    assert len(play.of(OpenUpstream)) == 2
    assert play.body == b""


@pytest.mark.parametrize("most", [30, 61, 62, 63, 7000, 8000])
def test_no_run_goes_beyond_a_bound(most: int) -> None:
    allowance = Allowance(most, GatewayError(402, ErrorCode.LIMIT_REACHED, "no money"))
    wire = b"".join(map(text, PLAIN))
    ours, _ = played([ROLE, text("first"), *[wire] * 200], decoded=False, allowance=allowance)
    assert (ours.row.status, ours.row.output_tokens) == (Status.LIMIT_REACHED, most)
    decoded, _ = played([ROLE, text("first"), *[wire] * 200], decoded=True, allowance=allowance)
    assert asdict(ours.row) == asdict(decoded.row)
    assert ours.body == decoded.body
