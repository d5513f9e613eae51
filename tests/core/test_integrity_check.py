"""Whatever happens to a stream on its way is found in its own stamps, with the frame's number."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from streamgauge.core.integrity import Integrity, short_sha1
from streamgauge.core.integrity_check import Check, Expected, Finding, Kind
from streamgauge.core.integrity_proof import Proof
from streamgauge.core.integrity_text import PROTOCOLS, protocol_of
from streamgauge.core.sse import FRAME_LIMIT, READ_UP_TO

from .playbook import DONE, FINISH, ROLE, USAGE, Play, chat_request, request_of, text
from .stamped_streams import MODES, check, frames_with_data, play_of, protocol, sha1_of, whole

TIMES = 1000 if os.environ.get("STREAMGAUGE_FULL") == "1" else 20
NAMES = (
    "chat_stream_usage",
    "chat_stream_tool",
    "messages_stream_tool",
    "anthropic of openai thought and calls",
    "openai of ollama text",
    "simple of openai text",
    "frames of openai thought and calls",
)
Harm = Callable[[random.Random, list[bytes]], int]
"""Does something to a list of frames; returns the index of the first that is not as it was."""


def dropped(dice: random.Random, frames: list[bytes]) -> int:
    at = dice.randrange(len(frames))
    del frames[at]
    return at


def repeated(dice: random.Random, frames: list[bytes]) -> int:
    at = dice.randrange(len(frames))
    frames.insert(at, frames[at])
    return at


def reordered(dice: random.Random, frames: list[bytes]) -> int:
    at = dice.randrange(len(frames) - 1)
    frames[at], frames[at + 1] = frames[at + 1], frames[at]
    return at


def cut(dice: random.Random, frames: list[bytes]) -> int:
    at = dice.randrange(len(frames))
    frames[at:] = [frames[at][: dice.randrange(len(frames[at]) - 1)]]
    return at


def flipped(dice: random.Random, frames: list[bytes]) -> int:
    """Change a byte of the text that a frame adds, or where it adds none, of its data."""
    at = dice.randrange(len(frames))
    frame = frames[at]
    start = frame.find(b"{", max(0, frame.rfind(b"\ndata:"), frame.find(b"data:")))
    start = start if start >= 0 else frame.find(b"[DONE]")
    byte = dice.randrange(start, len(frame.rstrip(b"\r\n")))
    frames[at] = frame[:byte] + bytes([frame[byte] ^ (1 << dice.randrange(8))]) + frame[byte + 1 :]
    return at


def _data_frames(play: Play) -> list[bytes]:
    lines = protocol(play) == "simple"
    return [each for each in whole(play.body, lines) if each.startswith(b"{") or b"data" in each]


@pytest.mark.parametrize("harm", [dropped, repeated, reordered, cut, flipped])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_harm_to_a_stream_is_found_by_its_stamps_and_its_row(
    name: str, mode: Integrity, harm: Harm
) -> None:
    play = play_of(name, mode)
    assert not check(play, b"".join(_data_frames(play)), mode)
    dice = random.Random(f"{name} {mode} {harm.__name__}")
    stamped = mode is not Integrity.LEDGER and protocol(play) in ("openai", "anthropic")
    for _ in range(TIMES):
        frames = _data_frames(play)
        at = harm(dice, frames)
        body = b"".join(frames)
        if body == play.body or (harm is flipped and not _covered(play, mode, body)):
            continue
        found = check(play, body, mode)
        assert found, (at, body)
        if stamped and harm is not flipped:
            assert found[0].seq in (at + 1, at + 2), (at, found)
        if stamped and harm is flipped and mode is Integrity.COMMENT:
            assert at + 1 in {finding.seq for finding in found}, (at, found)


def _covered(play: Play, mode: Integrity, body: bytes) -> bool:
    """Whether what is hashed was changed: of payloads every byte is, else only the text in them."""
    if mode is not Integrity.FIELD and protocol(play) != "frames":
        return True
    checker = Check(protocol(play), mode)
    checker.feed(body)
    return checker.stream_sha1 != play.row.stream_sha1


@pytest.mark.parametrize("mode", [Integrity.COMMENT, Integrity.FIELD])
def test_the_mode_is_found_out(mode: Integrity) -> None:
    play = play_of("chat_stream_usage", mode)
    checker = Check("openai")
    for at in range(0, len(play.body), 11):
        checker.feed(play.body[at : at + 11])
    assert not checker.findings()
    assert checker.mode is mode
    assert checker.complete
    assert checker.stream_sha1 == play.row.stream_sha1
    assert checker.frames == play.row.frames_out


def test_an_unstamped_stream_is_compared_with_hashes_that_were_kept() -> None:
    play = play_of("chat_stream_usage", Integrity.LEDGER)
    sha1s = [short_sha1(payload) for payload in frames_with_data(play)]
    frames = _data_frames(play)

    def found(body: list[bytes]) -> list[tuple[Kind, int]]:
        checker = Check("openai", Integrity.LEDGER, Expected(sha1s=sha1s))
        checker.feed(b"".join(body))
        return [(finding.kind, finding.seq) for finding in checker.findings()]

    assert found(frames) == []
    assert found(frames[:3] + frames[4:]) == [(Kind.MISSING, 4)]
    assert found(frames[:4] + frames[3:]) == [(Kind.REPEATED, 4)]
    swapped = [*frames[:2], frames[3], frames[2], *frames[4:]]
    assert found(swapped) == [(Kind.MISSING, 3), (Kind.OUT_OF_ORDER, 3)]
    assert found([*frames[:2], text("other"), *frames[3:]]) == [(Kind.ALTERED, 3)]


def test_what_stands_beside_the_text_of_a_stamped_frame_is_held_against_hashes_that_were_kept() -> (
    None
):
    play = play_of("frames of openai thought and calls", Integrity.LEDGER)
    sha1s = [short_sha1(payload) for payload in frames_with_data(play)]
    altered = play.body.replace(b'"finish_reason":"', b'"finish_reason":"x')
    assert altered != play.body

    def found(body: bytes, *, own_stamps: bool) -> list[tuple[Kind, int]]:
        expected = Expected(sha1s=sha1s)
        checker = Check("frames", Integrity.LEDGER, expected, own_stamps=own_stamps)
        checker.feed(body)
        return [(finding.kind, finding.seq) for finding in checker.findings()]

    assert found(play.body, own_stamps=False) == found(altered, own_stamps=True) == []
    assert found(altered, own_stamps=False) == [(Kind.ALTERED, len(sha1s))]


def _kinds(findings: tuple[Finding, ...]) -> list[tuple[Kind, int]]:
    return [(finding.kind, finding.seq) for finding in findings]


def _comment_play() -> Play:
    play = Play(chat_request(), proof=Proof(Integrity.COMMENT))
    play.stream(ROLE, text("a"), text("b"), FINISH, USAGE, DONE)
    play.do("tick", at=9.0)
    return play


def test_each_kind_of_harm_has_its_name_and_its_place() -> None:
    play = _comment_play()
    frames = whole(play.body)
    joined = b"".join

    def kinds(changed: list[bytes]) -> list[tuple[Kind, int]]:
        return _kinds(check(play, joined(changed), row=False))

    assert kinds(frames) == []
    assert kinds(frames[:1] + frames[2:]) == [(Kind.MISSING, 2)]
    assert kinds(frames[:2] + frames[1:]) == [(Kind.REPEATED, 2)]
    assert kinds([frames[1], frames[0], *frames[2:]]) == [(Kind.MISSING, 1), (Kind.OUT_OF_ORDER, 1)]
    assert kinds(frames[:-1]) == [(Kind.INCOMPLETE, 5)]
    assert kinds([*frames[:-1], frames[-1][:-5]]) == [(Kind.INCOMPLETE, 5)]
    assert kinds([*frames, text("c")]) == [(Kind.AFTER_END, 6)]
    assert kinds([frames[0], text("a"), *frames[2:]])[0] == (Kind.UNSTAMPED, 2)
    other = frames[1].replace(b'"stream_id":"exchange', b'"stream_id":"strange')
    assert kinds([frames[0], other, *frames[2:]])[0] == (Kind.FOREIGN, 2)
    first = frames[0].replace(b'"stream_id":"exchange', b'"stream_id":"strange')
    checker = Check("openai", Integrity.COMMENT, stream_id=play.row.id)
    checker.feed(joined([first, *frames[1:]]))
    assert _kinds(checker.findings()) == [(Kind.FOREIGN, 1), (Kind.MISSING, 1)]
    longer = [frame.replace(b'"a"', b'"ab"') for frame in frames]
    assert kinds(longer) == [(Kind.ALTERED, 2), (Kind.LENGTH, 2)]
    lost = [frame.replace(b'"frames_out":5', b'"frames_out":6') for frame in frames]
    assert kinds(lost) == [(Kind.TOTALS, 5)]
    wrong = play.row.stream_sha1 or ""
    lost = [frame.replace(wrong.encode(), b"0" * 40) for frame in frames]
    assert kinds(lost) == [(Kind.TOTALS, 5)]


def test_the_place_is_the_byte_at_which_the_frame_begins() -> None:
    play = _comment_play()
    frames = whole(play.body)
    body = b"".join([*frames[:2], frames[2].replace(b'"b"', b'"B"'), *frames[3:]])
    (finding,) = check(play, body, row=False)
    assert (finding.kind, finding.seq) == (Kind.ALTERED, 3)
    assert finding.offset == len(frames[0] + frames[1])
    assert str(finding).startswith(f"seq 3 byte {finding.offset}: altered: sha1 ")


def test_a_row_alone_tells_a_whole_stream_from_another() -> None:
    play = play_of("messages_stream", Integrity.LEDGER)
    assert _kinds(check(play, play.body, Integrity.LEDGER)) == []
    changed = play.body.replace(b'"message_delta"', b'"message_Delta"', 1)
    assert [kind for kind, _ in _kinds(check(play, changed, Integrity.LEDGER))] == [Kind.TOTALS]


@pytest.mark.parametrize("mode", [Integrity.COMMENT, Integrity.FIELD])
def test_stamps_of_a_gateway_behind_the_rows_are_none_of_the_rows_stream(mode: Integrity) -> None:
    behind = play_of("chat_stream_usage", mode)
    inner = behind.body.replace(behind.row.id.encode(), b"another-gateways-stream")
    play = Play(
        chat_request(), proof=Proof(Integrity.LEDGER)
    )  # it hides the usage that it asks for
    play.stream(inner, end="complete")
    row = play.row
    assert b"another-gateways-stream" in play.body
    for changed, found in ((play.body, []), (play.body.replace(b"model", b"Model", 1), ["totals"])):
        checker = Check("openai", None, Expected(row.frames_out, row.stream_sha1, stream_id=row.id))
        checker.feed(changed)
        assert [finding.kind.value for finding in checker.findings()] == found
        assert (checker.strange, checker.stamps) == (True, 0)


def test_a_stream_that_ended_with_an_error_is_complete_as_it_is() -> None:
    play = Play(chat_request("messages"), proof=Proof(Integrity.COMMENT))
    play.head()
    play.data(b'event: message_start\ndata: {"type":"message_start","message":{}}\n\n')
    play.do("stop")
    assert b"event: error\n" in play.body
    assert not check(play, play.body, row=False)


@pytest.mark.parametrize("marker", [b" [DONE]", b"\t[DONE]", b"[DONE] \t", b"[DONE]\ndata:"])
@pytest.mark.parametrize("mode", MODES)
def test_an_end_marker_with_a_blank_too_many_is_one_for_all(mode: Integrity, marker: bytes) -> None:
    play = Play(chat_request(), proof=Proof(mode), metadata="after_done")
    play.stream(ROLE, text("a"), FINISH, USAGE, b"data: " + marker + b"\n\n", end="complete")
    assert play.row.status == "completed"
    assert b"event: streamgauge\n" in play.body
    assert not check(play, play.body)
    assert not check(play, play.body, row=False)


@pytest.mark.parametrize("mode", MODES)
def test_what_only_begins_like_an_end_marker_is_none_for_anyone(mode: Integrity) -> None:
    play = Play(chat_request(), proof=Proof(mode))
    play.stream(ROLE, b"data: [DONE]x\n\n", text("a"), FINISH, USAGE, DONE, end="complete")
    assert play.row.status == "completed"
    payloads = frames_with_data(play)
    assert play.row.frames_out == len(payloads)
    if mode is not Integrity.FIELD:  # which has a hash of the texts
        assert play.row.stream_sha1 == sha1_of(payloads)
    assert not check(play, play.body)
    assert not check(play, play.body, row=False)


def test_what_has_no_place_for_a_stamp_lacks_none_and_hides_nothing() -> None:
    play = Play(chat_request(), proof=Proof(Integrity.FIELD))
    play.stream(ROLE, b"data: [1]\n\n", text("a"), FINISH, USAGE, DONE, end="complete")
    assert not check(play, play.body, row=False)
    frames = whole(play.body)
    bare = [*frames[:2], text("a"), *frames[3:]]
    assert Kind.UNSTAMPED in [kind for kind, _ in _kinds(check(play, b"".join(bare), row=False))]
    other = [*frames[:2], b"data: [2]\n\n", *frames[3:]]
    assert check(play, b"".join(other), row=False), "the totals lack its text"


def test_comment_lines_may_stand_behind_the_last_frame() -> None:
    play = _comment_play()
    assert not check(play, play.body + b": keep-alive\n", row=False)
    assert _kinds(check(play, play.body + b"data: x", row=False)) == [(Kind.INCOMPLETE, 6)]


@pytest.mark.parametrize("name", NAMES)
def test_the_protocol_shows_in_the_first_bytes(name: str) -> None:
    play = play_of(name, Integrity.COMMENT)
    assert protocol_of(play.body) == protocol(play)
    assert protocol_of(b": hi\n\n") is None
    assert (
        protocol_of(b'event: response.created\ndata: {"type":"response.created"}\n\n')
        == "responses"
    )
    assert protocol_of(b'data: {"type":"response.created"}\n\n') == "responses"


def test_a_frame_of_the_frames_protocol_whose_stamp_cannot_be_read_has_none() -> None:
    play = play_of("frames of openai thought and calls", Integrity.OFF)
    frames = whole(play.body)
    at = next(n for n, frame in enumerate(frames) if b'"content":"' in frame)
    broken = frames[at].replace(b'"content":"', b'"content":""', 1)
    body = b"".join([*frames[:at], broken, *frames[at + 1 :]])
    found = _kinds(check(play, body, row=False))
    assert (Kind.UNSTAMPED, at + 1) in found


# --- odd streams ------------------------------------------------------------------------------------


def fed(
    *pieces: bytes, mode: Integrity | None = None, sha1s: list[str | None] | None = None
) -> Check:
    checker = Check("openai", mode, Expected(sha1s=sha1s or ()))
    for piece in pieces:
        checker.feed(piece)
    return checker


def test_behind_a_frame_that_is_too_large_nothing_is_read() -> None:
    checker = fed(ROLE, b"data: " + b"x" * FRAME_LIMIT, b"\n\n" + DONE)
    (finding,) = checker.findings()
    assert (finding.kind, finding.seq, finding.offset) == (Kind.INCOMPLETE, 2, len(ROLE))
    assert "32 MiB" in str(finding)
    assert not checker.complete


def test_a_byte_order_mark_is_no_part_of_the_first_frame() -> None:
    bom = b"\xef\xbb\xbf"
    assert not fed(bom + ROLE + DONE).findings()
    (finding,) = fed(bom + ROLE, text("a"), b"data: cut").findings()
    assert finding.offset == len(bom + ROLE + text("a"))


def test_a_large_frame_that_is_read_in_pieces_has_its_stamp_and_its_place() -> None:
    play = Play(chat_request(), proof=Proof(Integrity.COMMENT))
    play.stream(ROLE, text("x" * 200_000), text("b"), FINISH, DONE)
    body = play.body.replace(b'"b"', b'"c"')
    pieces = [body[at : at + 10_000] for at in range(0, len(body), 10_000)]
    (finding,) = fed(*pieces).findings()
    assert (finding.kind, finding.seq) == (Kind.ALTERED, 3)
    assert finding.offset == sum(map(len, whole(play.body)[:2]))


def test_frames_before_the_first_stamp_have_none() -> None:
    frames = whole(_comment_play().body)
    plain = [frame[frame.index(b"data:") :] for frame in frames[:2]]
    found = _kinds(fed(*plain, *frames[2:]).findings())
    assert found[0] == (Kind.UNSTAMPED, 1)
    assert "2 frames have no stamp" in str(fed(*plain, *frames[2:]).findings()[0])
    assert not fed(*frames).findings()


def test_a_frame_too_large_to_be_read_keeps_its_place_among_the_hashes() -> None:
    large = text("x" * READ_UP_TO)
    sent = [ROLE, large, text("b"), DONE]
    sha1s = [None if each is large else short_sha1(each[6:-2]) for each in sent]
    assert not fed(*sent, mode=Integrity.LEDGER, sha1s=sha1s).findings()
    found = _kinds(fed(ROLE, large, text("c"), DONE, mode=Integrity.LEDGER, sha1s=sha1s).findings())
    assert found == [(Kind.ALTERED, 3)]


@pytest.mark.parametrize(
    ("last", "complete"),
    [
        (b'{"error":{"message":"m"}}', True),
        (b'{"type":"error","error":{}}', True),
        (b'{"error" oops', False),
        (b'["error"]', False),
        (b'{"error":null}', False),
    ],
)
def test_only_an_error_that_can_be_read_ends_a_stream_without_its_marker(
    last: bytes, complete: bool
) -> None:
    checker = fed(ROLE, b"data: " + last + b"\n\n")
    assert checker.complete is complete
    assert _kinds(checker.findings()) == ([] if complete else [(Kind.INCOMPLETE, 3)])


def test_our_record_is_no_text_of_the_frames_protocol() -> None:
    added = PROTOCOLS["frames"].texts()
    assert added(b'{"request_id":"a"}', b"streamgauge") is None


@pytest.mark.parametrize("begun", [False, True])
def test_signs_of_life_in_lines_are_no_frames_for_whoever_checks_them(begun: bool) -> None:
    play = Play(request_of("simple"), attempt={"dialect": "openai"}, proof=Proof(Integrity.LEDGER))
    play.head()
    play.do("tick", at=16.0)
    if begun:
        play.data(text("a"))
        play.do("tick", at=32.0)
    play.do("stop", at=33.0)
    assert b'"waiting"' in play.body
    assert (b'"writing"' in play.body) is begun
    found = Check("simple", Integrity.LEDGER, Expected(play.row.frames_out, play.row.stream_sha1))
    found.feed(play.body)
    assert found.findings() == ()
