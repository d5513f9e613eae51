"""Frames that differ in their text alone: taken in at once, and counted as if each were decoded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from streamgauge.core.actions import Commit
from streamgauge.core.attempt import Allowance, Limits
from streamgauge.core.dialects.anthropic.decode import MessagesDecoder
from streamgauge.core.dialects.openai.decode import ChatDecoder
from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.core.events import TextDelta
from streamgauge.core.integrity import Integrity
from streamgauge.core.integrity_proof import Proof
from streamgauge.core.meter import Meter
from streamgauge.core.record import Anomaly, Status
from streamgauge.core.replay_watch import Suspicion

from .playbook import (
    DONE,
    FINISH,
    ROLE,
    START,
    USAGE,
    Play,
    chat_request,
    chunk,
    request_of,
    text,
)

CALL = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{}"}}
MESSAGE_ENDS = (
    b'event: message_delta\ndata: {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, '
    b'"usage": {"output_tokens": 30}}\n\n',
    b'event: message_stop\ndata: {"type": "message_stop"}\n\n',
)
PLAIN = [f" word{number}" for number in range(30)]


def said(words: Sequence[str], **more: Any) -> list[bytes]:
    return [chunk(choices=[{"index": 0, "delta": {"content": word}}], **more) for word in words]


def message_delta(text: str, kind: str = "text") -> bytes:
    delta = {"type": f"{kind}_delta", kind: text}
    payload = {"type": "content_block_delta", "index": 0, "delta": delta}
    return f"event: content_block_delta\ndata: {json.dumps(payload)}\n\n".encode()


def played(frames: Sequence[bytes], *, decoded: bool, **more: Any) -> tuple[Play, list[Suspicion]]:
    """Return the play of a stream, and what looked like a replay; `decoded`: no read may pass."""
    told: list[Suspicion] = []
    proof = Proof(mode=more.pop("mode", Integrity.LEDGER), suspected=told.append)
    play = Play(more.pop("request", chat_request()), proof=proof, **more)
    play.head()
    for number, frame in enumerate(frames):
        play.now = number * 0.02
        if decoded:
            play.exchange._steady = None  # else it takes what is alike within a read
            play.do("upstream_data", frame)
        else:
            play.read(frame)
    play.do("upstream_end", "complete")
    return play, told


def both(frames: Sequence[bytes], **more: Any) -> None:
    """Check that a stream ends alike, whether its frames may pass or each is decoded."""
    ours, suspected = played(frames, decoded=False, **more)
    all_decoded, expected = played(frames, decoded=True, **more)
    assert ours.body == all_decoded.body
    assert asdict(ours.row) == asdict(all_decoded.row)
    assert suspected == expected
    assert ours.exchange.parsed_frames == all_decoded.exchange.parsed_frames


@pytest.mark.parametrize("reading", ["so_far", "parsed_frames", "client_gone", "shutdown"])
def test_who_looks_or_ends_it_at_any_frame_finds_all_counted_that_passed(reading: str) -> None:
    frames = [ROLE, *said(PLAIN[:9])]
    plays = [Play(proof=Proof(mode=Integrity.LEDGER)) for _ in range(2)]
    for play in plays:
        play.head()
        for frame in frames:
            passes = play is plays[0]
            play.read(frame) if passes else play.do("upstream_data", frame)
    if reading == "parsed_frames":
        assert [play.exchange.parsed_frames for play in plays] == [len(frames)] * 2
        return
    ours, decoded = (
        asdict(play.look("so_far") if reading == "so_far" else play.do(reading) and play.row)
        for play in plays
    )
    assert ours == decoded
    assert ours["frames_in"] == len(frames)


def is_steady(play: Play) -> bool:
    steady = play.exchange._steady
    return steady is not None and steady.ready


def passing(frames: Sequence[bytes], **more: Any) -> int:
    """Return how many reads pass, of a play of its own."""
    play = Play(more.pop("request", chat_request()), **more)
    play.head()
    count = 0
    for frame in frames:
        if play.exchange.passes(frame, START) is not None:
            count += 1
        else:
            play.do("upstream_data", frame)
    return count


@pytest.mark.parametrize("mode", list(Integrity))
def test_a_plain_stream_passes_and_its_row_is_that_of_a_decoded_one(mode: Integrity) -> None:
    frames = [ROLE, *said(PLAIN), FINISH, USAGE, DONE]
    both(frames, mode=mode)
    expected = len(PLAIN) - 1 if mode in (Integrity.OFF, Integrity.LEDGER) else 0
    assert passing(frames, proof=Proof(mode=mode)) == expected


@pytest.mark.parametrize("kind", ["text", "thinking"])
def test_so_do_the_deltas_of_messages(kind: str) -> None:
    frames = [message_delta(word, kind) for word in PLAIN]
    request = chat_request("messages", max_tokens=9)
    both(frames, request=request)
    assert passing(frames, request=request) == len(PLAIN) - 2  # the first is looked at for a BOM


def test_so_does_reasoning() -> None:
    frames = [chunk(choices=[{"index": 0, "delta": {"reasoning_content": w}}]) for w in PLAIN]
    both(frames)
    assert passing(frames) == len(PLAIN) - 2


@pytest.mark.parametrize(
    "other",
    [
        text('a "quoted" word'),
        text("a\nline"),
        text("back\\slash"),
        text("x" * 300),
        text(""),
        text("a").replace(b'"a"', b'"\xff"'),
        text("a").replace(b'"a"', b'"\x01"'),
        text("a").replace(b'"a"', b'"a","content":"b"'),
        chunk(choices=[{"index": 1, "delta": {"content": "a"}}]),
        chunk(choices=[{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]),
        chunk(choices=[{"index": 0, "delta": {"content": "a"}}], usage={"completion_tokens": 3}),
        chunk(choices=[{"index": 0, "delta": {"content": "a"}}], model="other"),
        text("a") + text('"'),
        text("a") + text("b") + b": ping\n\n",
        text("a") + text("b")[:-1],
        text("a")[:-1],
        b": ping\n\n",
        text("a").replace(b"\n", b"\r\n"),
        b"event: error\n" + text("a"),
    ],
    ids=lambda frame: repr(frame[-60:]),
)
def test_what_is_anything_else_is_decoded(other: bytes) -> None:
    play = Play()
    play.head()
    for frame in (ROLE, *said(PLAIN[:3])):
        play.read(frame)
    before = asdict(play.look("so_far"))
    assert play.exchange.passes(other, START) is None
    assert asdict(play.look("so_far")) == before
    both([ROLE, *said(PLAIN[:3]), other, *said(PLAIN[3:]), FINISH, DONE])


def test_words_that_stand_elsewhere_in_the_frame_are_not_taken_for_the_text() -> None:
    frames = [*said(["m", "c", "choices", "m", "m"]), *said(PLAIN)]
    both(frames)
    assert passing(frames) >= len(PLAIN) - 1


@pytest.mark.parametrize("index", [0, 1])
def test_an_answer_that_starts_again_is_suspected_where_it_would_be(index: int) -> None:
    words = [f" word{number}" for number in range(80)]
    frames = [chunk(choices=[{"index": index, "delta": {"content": word}}]) for word in words]
    _, suspected = played([ROLE, *frames, *frames], decoded=False)
    assert len(suspected) == (index == 0)
    both([ROLE, *frames, *frames])


def test_a_role_in_every_frame_of_reasoning_is_seen() -> None:
    deltas = [{"role": "assistant", "reasoning_content": word} for word in PLAIN[:6]]
    frames = [chunk(choices=[{"index": 0, "delta": delta}]) for delta in deltas]
    both([ROLE, *frames, frames[0].replace(b'"c"', b'"d"')])


def test_of_two_places_with_the_same_words_neither_is_taken() -> None:
    play = Play()
    play.head()
    play.data(ROLE, chunk(provider="hello there", choices=[{"delta": {"content": "hello there"}}]))
    assert not is_steady(play)
    play.data(chunk(provider="hello there", choices=[{"delta": {"content": "hello you"}}]))
    assert is_steady(play)


def test_a_text_that_stands_where_a_marker_would_be_told_is_decoded() -> None:
    play = Play(proof=Proof(mode=Integrity.LEDGER))
    play.head()
    play.data(ROLE, b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n')
    assert is_steady(play)
    play.data(b'data: {"choices":[{"delta":{"refusal":null,"content":"a"}}]}\n\n')
    assert is_steady(play)
    play = Play(chat_request("messages", max_tokens=9))
    play.head()
    early = b'data: {"delta":{"text":"a"},"type":"content_block_delta"}\n\n'
    play.data(early, early)
    assert not is_steady(play)


def test_frames_that_look_like_a_ping_have_no_number_though_they_have_text() -> None:
    begin = b'data: {"type":"ping","id":"chatcmpl-12345678","choices":[{"delta":{"content":"'
    frames = [begin + word.encode() + b'"}}]}\n\n' for word in PLAIN]
    both([ROLE, *frames, FINISH, DONE])
    assert passing([ROLE, *frames], proof=Proof(mode=Integrity.LEDGER)) == 0


def test_a_steady_stream_is_not_idle() -> None:
    play = Play(attempt={"limits": Limits(0, 2, 0)})
    play.head()
    play.data(ROLE, *said(PLAIN[:3]))
    for frame in said(PLAIN[3:]):
        play.now += 1.5
        play.read(frame)
        play.do("tick")
    assert play.of(Commit) == []


def test_a_new_pattern_takes_the_place_of_the_old_one() -> None:
    frames = said(PLAIN[:10])
    others = [frame.replace(b'"c"', b'"d"') for frame in frames]
    assert passing([ROLE, *frames, *others, *frames]) == 27
    both([ROLE, *frames, *others, *frames])
    assert passing([ROLE, *(frames + others) * 10]) == 20 * 9


def test_a_stream_whose_frames_never_match_is_not_tried_for_ever() -> None:
    frames = [chunk(obfuscation="x" * number, choices=[]) for number in range(40)]
    frames = [f.replace(b"[]", b'[{"index":0,"delta":{"content":"ab"}}]') for f in frames]
    play = Play()
    play.head()
    asked: list[bytes] = []
    play.read(frames[0])
    steady = play.exchange._steady
    assert steady is not None
    plain = steady._decoder.plain
    steady._decoder = type(
        "Asked", (), {"plain": lambda _, p, e: (asked.append(p), plain(p, e))[1]}
    )()
    for frame in frames[1:]:
        assert play.exchange.passes(frame, START) is None
        play.do("upstream_data", frame)
    assert 2 <= len(asked) <= 2 * 8
    both(frames)


def test_frames_without_text_are_no_reason_to_stop_trying() -> None:
    progress = [chunk(choices=[], prompt_progress={"processed": number}) for number in range(30)]
    play = Play()
    play.head()
    for number, frame in enumerate([*progress, ROLE, *said(PLAIN[:3])]):
        play.now = number * 0.01
        play.read(frame)
    assert is_steady(play)


def test_nothing_passes_once_the_client_has_left_or_the_answer_is_over() -> None:
    for act in ("client_gone", "stop", "shutdown"):
        play = Play(attempt={"on_disconnect": "drain"})
        play.head()
        play.data(ROLE, *said(PLAIN[:3]))
        assert is_steady(play)
        play.do(act)
        assert play.exchange.passes(text(" more"), START) is None


def test_a_steady_stream_ends_at_its_allowance_and_not_one_frame_later() -> None:
    error = GatewayError(402, ErrorCode.LIMIT_REACHED, "no money")
    frames = [ROLE, *said([f" word{number}" for number in range(400)])]
    assert passing(frames, allowance=Allowance(300, error)) > 100
    play, _ = played(frames, decoded=False, allowance=Allowance(300, error))
    assert (play.row.status, play.row.output_tokens) == (Status.LIMIT_REACHED, 300)
    both(frames, allowance=Allowance(300, error))


def test_a_steady_stream_needs_no_sign_of_life() -> None:
    play = Play(keepalive_seconds=1.0)
    play.head()
    play.data(ROLE, *said(PLAIN[:3]))
    for frame in said(PLAIN[3:]):
        play.now += 0.9
        play.read(frame)
        assert play.do("tick") == []
    assert play.do("tick", at=play.now + 1.1) != []


def test_content_behind_a_finish_keeps_a_translated_stream_alive() -> None:
    way = {"request": request_of("anthropic"), "attempt": {"dialect": "openai"}}
    play = Play(**way)
    play.head()
    play.data(ROLE, *said(PLAIN[:3]), FINISH)
    for frame in said(PLAIN[3:]):
        play.now += 1.5
        play.read(frame)
        play.do("tick")
    assert play.of(Commit) == []


def test_a_meter_that_raises_harms_no_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Play()
    play.head()
    play.data(ROLE, *said(PLAIN[:3]))
    steady = play.exchange._steady
    assert steady is not None

    meter = steady._meter

    def broken(self: Meter, times: Sequence[float]) -> None:
        raise ArithmeticError

    monkeypatch.setattr(Meter, "observe_texts", broken)
    assert play.exchange.passes(text(" more"), START) == text(" more")
    assert play.look("so_far").frames_in == 5
    assert Anomaly.METER_ERROR in meter.anomalies


@pytest.mark.parametrize("thinking", [False, True])
def test_what_openai_says_passes_to_an_anthropic_client(thinking: bool) -> None:
    key = "reasoning_content" if thinking else "content"
    frames = [chunk(choices=[{"index": 0, "delta": {key: word}}]) for word in PLAIN]
    way = {"request": request_of("anthropic"), "attempt": {"dialect": "openai"}}
    for mode in Integrity:
        both([ROLE, *frames, FINISH, USAGE, DONE], mode=mode, **way)
    assert passing([ROLE, *frames], **way) == len(PLAIN) - 1


@pytest.mark.parametrize("kind", ["text", "thinking"])
def test_what_anthropic_says_passes_to_an_openai_client(kind: str) -> None:
    frames = [message_delta(word, kind) for word in PLAIN]
    way = {"request": request_of("openai"), "attempt": {"dialect": "anthropic"}}
    for mode in Integrity:
        both([*frames, *MESSAGE_ENDS], mode=mode, **way)
    assert passing(frames, **way) == len(PLAIN) - 1


def test_an_encoder_that_cannot_say_what_it_would_write_is_asked_frame_by_frame() -> None:
    play = Play(request_of("anthropic"), attempt={"dialect": "openai"})
    play.head()
    play.data(ROLE)
    steady = play.exchange._steady
    assert steady is not None
    steady._encoder = type("Mute", (), {"plain": lambda _, event: None})()
    play.data(*said(PLAIN))
    assert not is_steady(play)
    assert play.body.count(b"content_block_delta\n") == len(PLAIN)


def test_translated_a_text_goes_to_the_block_that_is_open() -> None:
    thoughts = [chunk(choices=[{"index": 0, "delta": {"reasoning": word}}]) for word in PLAIN[:5]]
    words = said(PLAIN[5:10])
    called = [chunk(choices=[{"index": 0, "delta": {"tool_calls": [CALL]}}])]
    frames = [ROLE, *thoughts, *words, *thoughts, *called, *words, *words, FINISH, DONE]
    way = {"request": request_of("anthropic"), "attempt": {"dialect": "openai"}}
    both(frames, **way)
    both([frame for pair in zip(thoughts, words, strict=True) for frame in pair], **way)


def test_translated_a_text_behind_a_call_without_arguments_goes_to_its_own_block() -> None:
    words = said(PLAIN[:10])
    begun = {**CALL, "function": {"name": "f", "arguments": ""}}
    called = chunk(choices=[{"index": 0, "delta": {"tool_calls": [begun]}}])
    way = {"request": request_of("anthropic"), "attempt": {"dialect": "openai"}}
    both([ROLE, *words, called, *words, FINISH, DONE], **way)
    many = [chunk(id=f"c{n}", choices=[{"delta": {"content": "ab"}}]) for n in range(12)]
    both([ROLE, *many, *words, called, *words, FINISH, DONE], **way)


def test_translated_thinking_behind_a_signature_goes_to_its_own_block() -> None:
    thoughts = [message_delta(word, "thinking") for word in PLAIN[:6]]
    signed = {"type": "signature_delta", "signature": "s"}
    sign = {"type": "content_block_delta", "index": 0, "delta": signed}
    frames = [*thoughts, f"data: {json.dumps(sign)}\n\n".encode(), *thoughts, *MESSAGE_ENDS]
    both(frames, request=request_of("openai"), attempt={"dialect": "anthropic"})
    both(frames, request=request_of("anthropic"), attempt={"dialect": "anthropic"})


def test_nothing_is_numbered_behind_what_its_name_says_is_the_end() -> None:
    frames = [message_delta(word) for word in PLAIN[:5]]
    named = b'event: message_stop\ndata: {"type": "content_block_stop", "index": 0}\n\n'
    both([*frames, named, *frames, *MESSAGE_ENDS], request=chat_request("messages", max_tokens=9))


@pytest.mark.parametrize("client", ["simple", "frames"])
def test_protocols_that_number_or_remember_are_written_frame_by_frame(client: Any) -> None:
    way = {"request": request_of(client), "attempt": {"dialect": "openai"}}
    both([ROLE, *said(PLAIN), FINISH, DONE], **way)
    assert passing([ROLE, *said(PLAIN)], **way) == 0


def test_a_decoder_promises_nothing_of_what_it_cannot_read_or_what_is_called_an_error() -> None:
    payload = b'{"choices":[{"index":0,"delta":{"content":"a"}}]}'
    assert ChatDecoder().plain(payload, b"") == TextDelta("a")
    assert ChatDecoder().plain(payload, b"error") is None
    delta = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}'
    assert MessagesDecoder().plain(delta, b"content_block_delta") == TextDelta("a")
    assert MessagesDecoder().plain(delta, b"message_delta") is None
    for decoder in (ChatDecoder(), MessagesDecoder()):
        assert decoder.plain(b"{", b"") is None
        assert decoder.plain(b'{"type":"message_stop","choices":[]}', b"") is None


WORDS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(PLAIN),
    st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=300),
)
BEGUN = {**CALL, "function": {"name": "f", "arguments": ""}}
CALLS = [
    chunk(choices=[{"index": index, "delta": {"tool_calls": [call]}}])
    for index in (0, 1)
    for call in (CALL, BEGUN, {"index": 1, "function": {"arguments": "[1]"}})
]
FRAMES = st.one_of(
    st.sampled_from(CALLS),
    WORDS.map(lambda word: chunk(choices=[{"index": 1, "delta": {"content": word}}])),
    WORDS.map(text),
    WORDS.map(text),
    WORDS.map(text),
    WORDS.map(lambda word: chunk(choices=[{"index": 0, "delta": {"reasoning": word}}])),
    WORDS.map(lambda word: text(word).replace(b'"c"', b'"d"')),
    st.sampled_from([ROLE, b": ping\n\n", b"\n", FINISH, USAGE, DONE, text("a") * 2, b"data: {"]),
    st.tuples(WORDS, st.integers(1, 60)).map(lambda cut: text(cut[0])[: cut[1]]),
)


@given(
    frames=st.lists(FRAMES, max_size=40),
    mode=st.sampled_from(list(Integrity)),
    metadata=st.sampled_from(["off", "comment", "chunk"]),
)
def test_any_stream_ends_alike(frames: list[bytes], mode: Integrity, metadata: str) -> None:
    both([ROLE, *frames], mode=mode, metadata=metadata)
    both([ROLE, *frames, FINISH, DONE], mode=mode, metadata=metadata)


@given(
    frames=st.lists(FRAMES, max_size=40),
    mode=st.sampled_from(list(Integrity)),
    client=st.sampled_from(["anthropic", "simple", "frames"]),
)
def test_any_translated_stream_ends_alike(
    frames: list[bytes], mode: Integrity, client: Any
) -> None:
    way = {"request": request_of(client), "attempt": {"dialect": "openai"}, "mode": mode}
    both([ROLE, *frames], **way)
    both([ROLE, *frames, FINISH, DONE], **way)


def message(**members: Any) -> bytes:
    return f"event: {members['type']}\ndata: {json.dumps(members)}\n\n".encode()


def block(index: int, **content: Any) -> bytes:
    return message(type="content_block_start", index=index, content_block=content)


def delta(index: int, **content: Any) -> bytes:
    return message(type="content_block_delta", index=index, delta=content)


INDEX = st.integers(0, 2)
MESSAGES = st.one_of(
    WORDS.map(message_delta),
    WORDS.map(message_delta),
    WORDS.map(lambda word: message_delta(word, "thinking")),
    st.tuples(INDEX, WORDS).map(lambda told: delta(told[0], type="text_delta", text=told[1])),
    INDEX.map(lambda index: delta(index, type="signature_delta", signature="s")),
    INDEX.map(lambda index: delta(index, type="input_json_delta", partial_json="{}")),
    INDEX.map(lambda index: block(index, type="text", text="")),
    INDEX.map(lambda index: block(index, type="tool_use", id=f"t{index}", name="f", input={})),
    INDEX.map(lambda index: message(type="content_block_stop", index=index)),
    st.sampled_from([message(type="ping"), b": c\n\n", *MESSAGE_ENDS]),
    WORDS.map(lambda word: message_delta(word).replace(b"event: content_block_delta", b"event: x")),
)


@given(
    frames=st.lists(MESSAGES, max_size=40),
    mode=st.sampled_from(list(Integrity)),
    client=st.sampled_from(["openai", "anthropic", None]),
)
def test_any_stream_of_messages_ends_alike(
    frames: list[bytes], mode: Integrity, client: Any
) -> None:
    """`client` None: relayed as it is."""
    way: dict[str, Any] = {"request": chat_request("messages", max_tokens=9)}
    if client is not None:
        way = {"request": request_of(client), "attempt": {"dialect": "anthropic"}}
    both(frames, mode=mode, **way)
