"""Every stream is numbered and hashed as it was sent, whatever it was made of and however it is cut."""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import Any

import pytest

from streamgauge.core.actions import SendData
from streamgauge.core.attempt import Attempt
from streamgauge.core.integrity import Integrity, Marker, Stamper, Style
from streamgauge.core.integrity_check import Kind
from streamgauge.core.integrity_proof import Proof
from streamgauge.core.integrity_stamp import Stamp, with_member
from streamgauge.core.record import Status
from streamgauge.core.sse import FRAME_LIMIT, READ_UP_TO

from .golden_streams import GOLDENS
from .playbook import DONE, FINISH, ROLE, USAGE, Play, chat_request, text
from .stamped_streams import (
    MODES,
    STREAMS,
    check,
    frames_with_data,
    play_of,
    protocol,
    sha1_of,
    text_of,
    whole,
)
from .translated_play import translated

FULL = os.environ.get("STREAMGAUGE_FULL") == "1"
CHAT = Marker((b"[DONE]",))
_STAMP = re.compile(rb": streamgauge-frame (\{[^\r\n]*\})\n")
_CUTS = (None, 1, 7, 1000) if FULL else (None, 7)


def comments_of(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(stamp) for stamp in _STAMP.findall(body)]


def members_of(play: Play) -> list[dict[str, Any]]:
    payloads = (each for each in frames_with_data(play) if each.startswith(b"{"))
    return [json.loads(payload)["streamgauge"] for payload in payloads]


@pytest.mark.parametrize("name", STREAMS)
def test_the_row_has_the_count_and_hash_of_what_was_sent(name: str) -> None:
    off = play_of(name, Integrity.OFF)
    assert off.row.stream_sha1 is None
    for cut in _CUTS:
        play = play_of(name, Integrity.LEDGER, cut=cut)
        payloads = frames_with_data(play)
        assert play.row.frames_out == len(payloads) == off.row.frames_out
        if protocol(play) != "frames":  # there the texts are hashed
            assert play.row.stream_sha1 == sha1_of(payloads)
        if cut is None:
            assert play.body == off.body, "nothing on the wire"
        assert not check(play, play.body)


@pytest.mark.parametrize("name", STREAMS)
def test_a_comment_before_each_frame_has_its_number_and_hash(name: str) -> None:
    plain = play_of(name, Integrity.LEDGER)
    for cut in _CUTS:
        play = play_of(name, Integrity.COMMENT, cut=cut)
        stamps = comments_of(play.body)
        if protocol(play) in ("simple", "frames"):
            assert not stamps, "lines have no comments, and frames have stamps of their own"
            continue
        assert [stamp["seq"] for stamp in stamps] == list(range(1, len(stamps) + 1))
        payloads = frames_with_data(play)
        assert len(stamps) == len(payloads) == play.row.frames_out
        assert [stamp["sha1"] for stamp in stamps] == [_short(p) for p in payloads]
        assert stamps[-1]["acc_len"] == sum(len(p.decode("utf-8", "replace")) for p in payloads)
        assert play.row.stream_sha1 == plain.row.stream_sha1 == sha1_of(payloads)
        if cut is None:
            assert _STAMP.sub(b"", play.body) == plain.body, "without them it is the same stream"
        assert not check(play, play.body)


def _short(payload: bytes) -> str:
    return hashlib.sha1(payload).hexdigest()[:12]


def test_the_stamp_before_the_end_marker_has_the_totals() -> None:
    play = play_of("chat_stream_usage", Integrity.COMMENT)
    *others, last = comments_of(play.body)
    assert (last["frames_out"], last["stream_sha1"]) == (play.row.frames_out, play.row.stream_sha1)
    assert not any("stream_sha1" in stamp for stamp in others)
    assert re.search(rb": streamgauge-frame [^\n]*\ndata: \[DONE\]\n\n$", play.body)
    assert b"\n\n: " not in play.body.replace(b"\n\n: streamgauge-frame", b""), (
        "no blank line behind"
    )


@pytest.mark.parametrize("name", [each for each in STREAMS if " of " not in each])
def test_a_member_of_each_frame_has_the_hash_of_its_text(name: str) -> None:
    plain = play_of(name, Integrity.LEDGER)
    play = play_of(name, Integrity.FIELD)
    stamps, payloads = members_of(play), frames_with_data(play)
    texts = [text_of(payload) for payload in payloads if payload.startswith(b"{")]
    assert [stamp["seq"] for stamp in stamps] == list(range(1, len(stamps) + 1))
    assert [stamp["sha1"] for stamp in stamps] == [_short(each) for each in texts]
    total = len(b"".join(texts).decode())
    assert stamps[-1]["acc_len"] == stamps[-1]["raw_len"] == total
    if play.row.status == "completed":
        assert stamps[-1]["stream_sha1"] == sha1_of(texts) == play.row.stream_sha1
        assert stamps[-1]["frames_out"] == len(stamps)
    assert _without_members(play) == [_loaded(p) for p in frames_with_data(plain)]


def _loaded(payload: bytes) -> Any:
    return json.loads(payload) if payload.startswith(b"{") else payload


def _without_members(play: Play) -> list[Any]:
    loaded = [_loaded(payload) for payload in frames_with_data(play)]
    for each in loaded:
        if isinstance(each, dict):
            del each["streamgauge"]
    return loaded


@pytest.mark.parametrize("metadata", ["off", "comment", "chunk", "event", "after_done"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "name", ["chat_stream_tool", "messages_stream_tool", "simple of openai text"]
)
def test_our_own_record_in_the_stream_is_stamped_like_the_rest(
    name: str, mode: Integrity, metadata: str
) -> None:
    play = play_of(name, mode, metadata=metadata)
    assert play.row.status == "completed"
    assert play.row.frames_out == len(frames_with_data(play))
    assert not check(play, play.body, mode)


def test_a_frame_behind_the_end_marker_is_counted_and_has_no_number() -> None:
    play = play_of("chat_stream_usage", Integrity.COMMENT, metadata="after_done")
    last = comments_of(play.body)[-1]
    assert play.row.frames_out == last["frames_out"] + 1
    assert play.row.stream_sha1 == last["stream_sha1"] == sha1_of(frames_with_data(play)[:-1])


def test_our_record_and_the_stamp_share_the_member_of_a_chunk() -> None:
    play = play_of("chat_stream_usage", Integrity.FIELD, metadata="chunk")
    told = members_of(play)[-1]
    assert told["request_id"] == play.row.id
    assert told["seq"] == len(members_of(play))
    assert play.body.count(b'"streamgauge":') == len(members_of(play)), "no duplicate key"


@pytest.mark.parametrize("metadata", ["chunk", "event"])
@pytest.mark.parametrize(
    "name", ["chat_stream_usage", "messages_stream_tool", "openai of anthropic text"]
)
def test_a_stamp_beside_our_record_counts_what_the_row_counts(name: str, metadata: str) -> None:
    play = play_of(name, Integrity.FIELD, metadata=metadata)
    payloads = [each for each in frames_with_data(play) if b'"request_id"' in each]
    if name.startswith("messages"):  # whose end marker has a stamp of its own
        payloads = frames_with_data(play)[-1:]
    [told] = [json.loads(payload)["streamgauge"] for payload in payloads]
    assert (told["frames_out"], told["stream_sha1"]) == (play.row.frames_out, play.row.stream_sha1)
    miscounted = play.body.replace(b'"frames_out":%d' % told["frames_out"], b'"frames_out":1')
    assert [each.kind for each in check(play, miscounted, row=False)][:1] == [Kind.TOTALS]


def test_the_id_of_an_error_is_no_record() -> None:
    play = Play(chat_request("messages", max_tokens=9), proof=Proof(Integrity.FIELD))
    play.stream(b'data: {"type":"message_start","message":{}}\n\n', end="cut")
    assert b'"request_id":' in play.body
    assert not check(play, play.body)


def test_an_error_end_is_a_frame_like_the_others() -> None:
    for mode in MODES:
        play = Play(chat_request(), proof=Proof(mode))
        play.stream(ROLE, text("a"), end="cut")
        assert b'"error"' in play.body
        assert play.row.frames_out == len(frames_with_data(play)) == 3
        assert not check(play, play.body, mode)


def test_signs_of_life_and_comments_of_the_upstream_have_no_number() -> None:
    for mode in MODES:
        play = Play(chat_request(), proof=Proof(mode), keepalive_seconds=5.0)
        play.head()
        play.do("tick", at=6.0)
        play.data(b": OPENROUTER PROCESSING\n\n", ROLE, text("a"))
        play.do("tick", at=20.0)
        play.data(FINISH, USAGE, DONE)
        play.do("tick", at=30.0)
        assert play.body.count(b": keep-alive\n") == 2
        assert play.row.frames_out == len(frames_with_data(play)) == 5 - (b"usage" not in play.body)
        assert not check(play, play.body, mode)


@pytest.mark.parametrize("proof", [*map(Proof, MODES), Proof(Integrity.OFF, ids=True)])
def test_a_sign_of_life_leaves_at_once_also_behind_comments_that_were_held(proof: Proof) -> None:
    play = Play(chat_request(), proof=proof, keepalive_seconds=5.0)
    play.head()
    play.data(b": OPENROUTER PROCESSING\n\n")
    assert not play.body
    play.do("tick", at=6.0)
    assert play.body.endswith(b": keep-alive\n")
    before = len(play.body)
    play.data(ROLE, text("a"), DONE)
    play.do("tick", at=20.0)
    assert b"keep-alive" not in play.body[before:]
    if proof.ids:
        assert b"\n\n:" not in play.body[:before], "a comment frame would be an event there"
    else:
        assert not check(play, play.body)


@pytest.mark.parametrize("mode", MODES)
def test_pings_of_ours_have_no_number(mode: Integrity) -> None:
    play = Play(chat_request("messages"), proof=Proof(mode), keepalive_seconds=5.0)
    play.head()
    play.do("tick", at=6.0)
    play.data(whole(GOLDENS["anthropic text"].body)[0])
    play.do("tick", at=20.0)
    assert play.body.count(b"event: ping\n") == 2
    play.do("stop")
    assert play.row.frames_out == len(frames_with_data(play)) == 2
    assert not check(play, play.body, mode)


def test_a_ping_of_ours_leaves_no_comment_an_event_of_its_own_in_a_stream_with_ids() -> None:
    proof = Proof(Integrity.OFF, ids=True)
    play = Play(chat_request("messages"), proof=proof, keepalive_seconds=5.0)
    play.head()
    play.data(b": PROCESSING\n\n")
    play.do("tick", at=6.0)
    assert play.body == b': PROCESSING\nevent: ping\ndata: {"type":"ping"}\n\n'


@pytest.mark.parametrize("mode", [Integrity.OFF, *MODES])
@pytest.mark.parametrize("held", [b"", ROLE])
def test_an_error_alone_is_one_frame_whatever_was_held(mode: Integrity, held: bytes) -> None:
    proof, others = Proof(mode), [Attempt("other", "openai", "m")]
    play = Play(chat_request(), others=others, proof=proof, keepalive_seconds=5.0)
    play.connect()
    if held:
        play.do("attempt_head", 200, "text/event-stream", None)
        play.data(held)
    play.do("tick", at=6.0)
    play.do("stop")
    assert play.row.frames_out == len(frames_with_data(play)) == 1
    assert play.row.delivered == "none"


def test_the_status_lines_of_a_slow_upstream_are_signs_of_life() -> None:
    proof = Proof(Integrity.LEDGER)
    play = translated("simple", "anthropic", proof=proof, keepalive_seconds=5.0)
    play.head()
    play.do("tick", at=6.0)
    play.data(GOLDENS["anthropic text"].body)
    play.do("tick", at=20.0)
    alive, *told = frames_with_data(play)
    assert alive == b'{"type":"status","status":"waiting"}'
    assert play.row.frames_out == len(told)
    assert play.row.stream_sha1 == sha1_of(told)


def test_a_stream_that_is_not_read_has_no_hash() -> None:
    play = Play(chat_request(), proof=Proof(Integrity.COMMENT), metering=False)
    play.stream(ROLE, text("a"), DONE, end="complete")
    assert play.row.stream_sha1 is None
    assert play.body == ROLE + text("a") + DONE


def test_a_whole_answer_has_no_hash() -> None:
    play = Play(chat_request(stream=False), proof=Proof(Integrity.COMMENT))
    play.answer(200, b'{"choices":[{"message":{"content":"hi"}}]}')
    assert (play.row.stream_sha1, play.row.frames_out) == (None, None)


def test_a_failed_attempt_leaves_nothing_in_the_numbers() -> None:
    other = Attempt("other", "openai", "m")
    play = Play(chat_request(), others=[other], proof=Proof(Integrity.COMMENT))
    play.stream(ROLE, end="cut")
    if (when := play.exchange._retry_at) is not None:
        play.do("tick", at=when - 1000.0 + 0.01)
    play.do("begun")
    play.do("connected")
    play.do("attempt_head", 200, "text/event-stream", None)
    play.data(ROLE, text("b"), FINISH, USAGE, DONE)
    play.do("tick", at=60.0)
    assert [stamp["seq"] for stamp in comments_of(play.body)] == [1, 2, 3, 4]
    assert not check(play, play.body)


# --- large frames ----------------------------------------------------------------------------------


def _large(characters: int) -> bytes:
    return text("é" * characters)


@pytest.mark.parametrize("mode", MODES)
def test_a_large_frame_that_comes_in_pieces_has_one_stamp(mode: Integrity) -> None:
    wire = b"".join((ROLE, _large(60_000), text("b"), FINISH, USAGE, DONE))
    play = Play(chat_request(stream_options={"include_usage": True}), proof=Proof(mode))
    play.head()
    play.data(*(wire[at : at + 10_000] for at in range(0, len(wire), 10_000)))
    play.do("tick", at=9.0)
    assert play.row.frames_out == len(frames_with_data(play)) == 6
    assert not check(play, play.body, mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("begin", [b": ", b"unknown: ", b'event: ping\ndata: {"type":"ping"'])
def test_a_large_frame_that_has_no_number_passes_whole(mode: Integrity, begin: bytes) -> None:
    large = begin + b"x" * 100_000 + b"\n\n"
    play = Play(chat_request(), proof=Proof(mode))
    play.head()
    play.data(ROLE, large[:80_000], large[80_000:], text("b"), FINISH, DONE)
    play.do("tick", at=9.0)
    assert large in play.body
    assert play.row.frames_out == 4
    assert not check(play, play.body, mode)


@pytest.mark.parametrize("mode", MODES)
def test_of_a_frame_too_large_to_be_read_the_hash_is_unknown(mode: Integrity) -> None:
    wire = b"".join((ROLE, _large(READ_UP_TO // 6 + 10), text("b"), FINISH, DONE))
    play = Play(chat_request(), proof=Proof(mode))
    play.head()
    size = 1 << 20
    play.data(*(wire[at : at + size] for at in range(0, len(wire), size)))
    play.do("tick", at=9.0)
    assert play.row.stream_sha1 is None
    assert play.row.frames_out == 5
    if mode is Integrity.COMMENT:
        assert [stamp["sha1"] for stamp in comments_of(play.body)][1] is None
    assert not check(play, play.body, mode)


def test_a_large_frame_that_is_cut_is_closed_and_counted() -> None:
    for mode in (Integrity.OFF, *MODES):
        play = Play(chat_request(), proof=Proof(mode))
        play.head()
        play.data(ROLE, _large(60_000)[:200_000])
        play.do("upstream_end", "cut")
        assert play.row.frames_out == len(frames_with_data(play)) == 3
        assert play.body.count(b'"error"') == 1


def test_a_sign_of_life_before_the_largest_frame_takes_none_of_its_room() -> None:
    """The comment line and the frame behind it are one frame to whoever reads them."""
    play = Play(chat_request(), proof=Proof(Integrity.LEDGER), keepalive_seconds=5.0)
    play.head()
    play.do("tick", at=6.0)
    play.data(b"data: " + b"x" * (FRAME_LIMIT - 10), b"x\n\n", text("a"), FINISH, DONE)
    play.do("tick", at=9.0)
    row = play.row
    assert (row.status, row.frames_out, row.stream_sha1) == (Status.COMPLETED, 4, None)


def test_what_cannot_be_followed_passes_unchanged() -> None:
    stamper = Stamper("s", CHAT, Style(comments=True))
    piece = b"data: " + b"x" * (8 << 20)
    sent = b"".join(stamper.stamp(data) for data in (piece, *[piece[6:]] * 4))
    assert _STAMP.sub(b"", sent) == piece + piece[6:] * 4
    assert stamper.stamp(b"data: a\n\n") == b"data: a\n\n"
    assert (stamper.frames_out, stamper.stream_sha1) == (None, None)


# --- the stamper by itself --------------------------------------------------------------------------


def test_each_stamp_is_told_when_its_frame_is_made() -> None:
    told: list[Stamp] = []
    play = Play(chat_request(), proof=Proof(Integrity.LEDGER, emitted=told.append))
    play.stream(ROLE, text("é"), FINISH, USAGE, DONE)
    sent = [each.data[6:-2] for each in play.of(SendData)]
    assert [stamp.seq for stamp in told] == list(range(1, len(sent) + 1))
    assert [stamp.sha1 for stamp in told] == [_short(payload) for payload in sent]
    assert [stamp.done for stamp in told] == [False] * (len(sent) - 1) + [True]
    assert told[-1].acc_len == sum(len(payload.decode()) for payload in sent)
    assert told[-1].raw_len == told[-1].acc_len + len(USAGE[6:-2].decode()), "hidden, but received"


def test_frames_of_a_stream_that_may_be_resumed_carry_its_id() -> None:
    play = Play(chat_request(), proof=Proof(Integrity.OFF, ids=True))
    play.stream(ROLE, b": hi\n\n", text("a"), DONE)
    play.do("tick", at=9.0)
    ids = re.findall(rb"^id: (.*)$", play.body, re.M)
    assert ids == [f"{play.facts.id}:{n}".encode() for n in (1, 2, 3)]
    assert b": hi\nid: " in play.body, "a comment frame of its own would be an event there"
    assert play.row.stream_sha1 is None, "it was not asked for"


@pytest.mark.parametrize(
    ("raw", "payload", "event", "stamped"),
    [
        (b"data: {}\n\n", b"{}", b"", b'data: {"streamgauge":{"seq":1}}\n\n'),
        (b'data: {"a":1 } \n\n', b'{"a":1 } ', b"", b'data: {"a":1,"streamgauge":{"seq":1}}\n\n'),
        (
            b': {"a":1}\nevent: e\ndata:{"a":1}\r\r',
            b'{"a":1}',
            b"e",
            b': {"a":1}\nevent: e\ndata:{"a":1,"streamgauge":{"seq":1}}\r\r',
        ),
        (
            b'id: 7\nevent: e\ndata: {"a":\ndata: 1}\n\n',
            b'{"a":\n1}',
            b"e",
            b'id: 7\nevent: e\ndata: {"a":\ndata: 1,"streamgauge":{"seq":1}}\n\n',
        ),
        (
            b'data: {"streamgauge":{"seq":9,"cost":null},"b":2}\n\n',
            b'{"streamgauge":{"seq":9,"cost":null},"b":2}',
            b"",
            b'data: {"streamgauge":{"seq":1,"cost":null},"b":2}\n\n',
        ),
        (
            b'data: {"a":{"streamgauge":5}}\n\n',
            b'{"a":{"streamgauge":5}}',
            b"",
            b'data: {"a":{"streamgauge":5},"streamgauge":{"seq":1}}\n\n',
        ),
        (
            b'data: {"streamgauge":true}\n\n',
            b'{"streamgauge":true}',
            b"",
            b'data: {"streamgauge":{"seq":1}}\n\n',
        ),
        (
            b'data: {"streamgauge" 5}\n\n',
            b'{"streamgauge" 5}',
            b"",
            b'data: {"streamgauge" 5,"streamgauge":{"seq":1}}\n\n',
        ),
    ],
)
def test_a_stamp_is_one_more_member_of_the_frame(
    raw: bytes, payload: bytes, event: bytes, stamped: bytes
) -> None:
    assert with_member(raw, payload, event, b'{"seq":1}') == stamped


def test_what_is_no_json_passes_without_a_stamp_in_it() -> None:
    play = Play(chat_request(), proof=Proof(Integrity.FIELD))
    play.stream(ROLE, b"data: {oops\n\n", text("a"), DONE)
    assert b"data: {oops\n\n" in play.body
    assert [stamp["seq"] for stamp in members_of_json(play)] == [1, 3]


def members_of_json(play: Play) -> list[dict[str, Any]]:
    return [json.loads(p)["streamgauge"] for p in frames_with_data(play) if p.endswith(b"}")]


def test_frames_are_cut_by_hand_as_they_are_sent() -> None:
    assert whole(b"data: a\n\ndata: b\r\n\r\n: c\n") == [
        b"data: a\n\n",
        b"data: b\r\n\r\n",
        b": c\n",
    ]
