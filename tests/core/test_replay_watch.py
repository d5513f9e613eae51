"""An upstream that says something twice is noticed, its text is not touched, and laughter is none."""

from __future__ import annotations

import json
import random
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from streamgauge.core.attempt import Attempt
from streamgauge.core.events import (
    Event,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from streamgauge.core.integrity import Integrity
from streamgauge.core.integrity_proof import Proof
from streamgauge.core.replay_watch import ReplayWatch, Suspected, Suspicion
from streamgauge.core.usage import TokenUsage

from .playbook import DONE, FINISH, ROLE, USAGE, Play, chat_request, chunk, request_of, text
from .stamped_streams import CAPTURES, STREAMS, play_of

WORDS = "the a stream of tokens gauge measures how it flows and where, why not; who knows? é 日本".split()


def prose(characters: int, seed: int = 1) -> str:
    """Text that nowhere says the same again."""
    dice = random.Random(seed)
    said = ""
    while len(said) < characters:
        said += f"{dice.choice(WORDS)} {dice.randrange(100)} "
    return said[:characters]


def cut(said: str, size: int = 4) -> list[str]:
    return [said[at : at + size] for at in range(0, len(said), size)]


def watched(*texts: str, kind: Any = TextDelta) -> list[Suspicion]:
    found: list[Suspicion] = []
    watch = ReplayWatch(found.append)
    for each in texts:
        watch.observe(b"{}", (kind(each),))
    return found


# --- an answer that starts again -------------------------------------------------------------------


@pytest.mark.parametrize("kind", [TextDelta, ReasoningDelta])
@pytest.mark.parametrize("before", [400, 1000, 3000, 30_000])
def test_an_answer_that_starts_again_is_found_with_its_place(before: int, kind: Any) -> None:
    said = prose(before)
    found = watched(*cut(said), *cut(said), kind=kind)
    assert found == [Suspicion(Suspected.RESTART, before // 4 + 1, before)]


@settings(deadline=None, max_examples=150)
@given(
    before=st.integers(301, 2000),
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=8),
    again=st.integers(400, 900),
)
def test_the_place_is_the_same_however_the_text_is_cut(
    before: int, sizes: list[int], again: int
) -> None:
    said = prose(before)
    whole, texts, at = said + said[:again] + prose(500, 2), list[str](), 0
    while at < len(whole):
        size = sizes[len(texts) % len(sizes)]
        texts.append(whole[at : at + size])
        at += size
    found = watched(*texts)
    if again >= before:  # said again from its end on: the same as before
        assert {each.offset for each in found} <= {before, 2 * before}
        return
    (place,) = [each for each in found if each.kind is Suspected.RESTART]
    assert place.offset == before
    ends = [sum(map(len, texts[: n + 1])) for n in range(len(texts))]
    assert place.seq == next(n for n, end in enumerate(ends, 1) if end > before)


@pytest.mark.parametrize("before", range(401, 580, 30))
def test_the_frame_is_right_also_where_it_came_before_the_search_began(before: int) -> None:
    """A beginning that is periodic at first is searched for once it is known to be none."""
    said = "-" * 150 + prose(before - 150)
    again = said + said + prose(400, seed=2)
    sizes = [299, 281, 20] + [10] * 40
    ends = [sum(sizes[: n + 1]) for n in range(len(sizes))]
    texts = [again[end - size : end] for end, size in zip(ends, sizes, strict=True)]
    assert watched(*texts) == [Suspicion(Suspected.RESTART, 2, before)]


def test_no_place_is_overlooked_wherever_the_text_is_looked_at() -> None:
    for before in range(401, 640):
        said = prose(before)
        places = watched(*cut(said + said[:400], 50))
        assert [each.offset for each in places] == [before]


def test_an_answer_that_starts_again_and_again_is_told_a_few_times() -> None:
    said = prose(1000)
    assert len(watched(*cut(said) * 20)) == 5


def test_only_a_beginning_long_enough_is_known_again() -> None:
    said = prose(1000)
    assert not watched(*cut(said + said[:190] + prose(800, 2)))
    assert watched(*cut(said + said[:210] + prose(800, 2)))


def test_reasoning_that_the_answer_quotes_is_no_replay() -> None:
    found: list[Suspicion] = []
    watch = ReplayWatch(found.append)
    for each in cut(prose(1000)):
        watch.observe(b"{}", (ReasoningDelta(each),))
    for each in cut(prose(1000)):
        watch.observe(b"{}", (TextDelta(each),))
    assert not found


def test_two_choices_that_say_the_same_are_no_replay() -> None:
    found: list[Suspicion] = []
    watch = ReplayWatch(found.append)
    for each in cut(prose(3000)):
        watch.observe(b"{}", (TextDelta(each, 0),))
        watch.observe(b"{}", (TextDelta(each, 1),))
    watch = ReplayWatch(found.append)
    for choice in (1, 0, 2):
        for each in cut(prose(3000)):
            watch.observe(b"{}", (TextDelta(each, choice),))
    assert not found


# --- what is none ------------------------------------------------------------------------------------

TABLE = "| 0 | 0 | 0 |\n" * 200
CODE = "    self.assertEqual(first.value, second.value)  # the same again\n" * 80
LONG_LINE = (
    "x = some_function(with_many, arguments, and_so_on, until, the_line, is_long, enough, for_this, "
    * 2
)


@pytest.mark.parametrize(
    "said",
    [
        "hahaha! ok ok ok",
        "hahaha! ok ok ok " * 300,
        "ha" * 5000,
        "ok " * 500,
        TABLE,
        "| a | b |\n|---|---|\n" + "| x | y |\n" * 400,
        CODE,
        (LONG_LINE + "\n") * 20,
        "-" * 300 + prose(1000) + "-" * 300 + prose(900, 2),
        "\n" * 5000,
        prose(8000),
        json.dumps([{"id": n, "name": "the same", "more": [0] * 20} for n in range(200)]),
        "".join(f"{n}. item\n" for n in range(1000)),
    ],
    ids=lambda said: said[:12],
)
@pytest.mark.parametrize("size", [1, 3, 60, 400])
def test_honest_repetition_is_no_replay(said: str, size: int) -> None:
    assert not watched(*cut(said, size))


@pytest.mark.parametrize("token", ["ok", " the", "\n", "ha", "0", "<|x|>"])
def test_equal_frames_of_one_token_are_no_replay(token: str) -> None:
    assert not watched(*[token] * 500)
    assert not watched(*[token * 100] * 50)


def test_text_that_is_not_looked_at_any_more_is_not_kept() -> None:
    watch = ReplayWatch(lambda suspicion: None)
    for _ in range(20_000):
        watch.observe(b"{}", (TextDelta("-"),))
        watch.observe(b"{}", (TextDelta(""),))
    run = watch._text
    held = (run._parts, run._lengths, run._before, run._kept)
    assert sum(map(len, held)) < 10_000
    assert run.characters == 20_000


# --- long frames, starts, numbers -------------------------------------------------------------------


@pytest.mark.parametrize("kind", [TextDelta, ReasoningDelta])
def test_the_same_long_frame_twice_in_a_row_is_suspicious(kind: Any) -> None:
    long = prose(300)
    assert watched("a", long, long, "b", kind=kind) == [
        Suspicion(Suspected.LONG_FRAME, 3, 301),
    ]
    assert not watched("a", long, "b", long, kind=kind)
    assert not watched("a", prose(255), prose(255), "b", kind=kind)


def test_long_arguments_twice_in_a_row_are_suspicious() -> None:
    found: list[Suspicion] = []
    watch = ReplayWatch(found.append)
    for _ in range(2):
        watch.observe(b"{}", (ToolCallDelta(0, prose(300)),))
    assert [each.kind for each in found] == [Suspected.LONG_FRAME]


def test_a_second_message_start_is_suspicious() -> None:
    found: list[Suspicion] = []
    watch = ReplayWatch(found.append)
    for events in ((Started(),), (TextDelta("abc"),), (Started(),)):
        watch.observe(b"{}", events)
    assert found == [Suspicion(Suspected.SECOND_START, 3, 3)]


def ids(*frames: tuple[str, str | None, str]) -> list[Suspicion]:
    """Watch chunks by id, role and text."""
    found: list[Suspicion] = []
    watch = ReplayWatch(found.append)
    for id, role, said in frames:
        delta = {"role": role} if role else {}
        payload = json.dumps({"id": id, "choices": [{"delta": {**delta, "content": said}}]})
        watch.observe(payload.encode(), (TextDelta(said),) if said else ())
    return found


@pytest.mark.parametrize("size", [10, 5000])
def test_an_opening_is_known_by_its_id_and_kept_only_while_it_is_small(size: int) -> None:
    found: list[Suspicion] = []
    watch = ReplayWatch(found.append)
    opening = json.dumps({"id": "a", "role": "assistant", "more": "x" * size}).encode()
    watch.observe(opening, ())
    assert (watch._opening == opening) is (size == 10)
    watch.observe(b"{}", (TextDelta("x"),))
    watch.observe(opening.replace(b'"a"', b'"b"'), ())
    assert found == [Suspicion(Suspected.SECOND_START, 3, 1)]


def test_a_new_id_together_with_a_role_is_a_second_start() -> None:
    begun = (("a", "assistant", ""), ("a", None, "x"), ("a", None, "y"))
    assert ids(*begun, ("b", "assistant", ""), ("b", None, "x")) == [
        Suspicion(Suspected.SECOND_START, 4, 2)
    ]
    assert not ids(*begun, ("a", "assistant", ""), ("a", None, "z")), "the same answer goes on"
    assert not ids(*begun, ("b", None, "z"), ("c", None, "z")), "some number each chunk"
    roles = [(str(n), "assistant", "") for n in range(9)]
    assert not ids(*roles), "some say role and a new id in each frame"


def stamped(*seqs: int) -> list[Suspicion]:
    found: list[Suspicion] = []
    watch = ReplayWatch(found.append)
    for seq in seqs:
        stamp = {"stream_id": "s", "seq": seq, "sha1": "0" * 12, "acc_len": 1, "raw_len": 1}
        watch.stamped(b": streamgauge-frame " + json.dumps(stamp).encode() + b"\ndata: {}\n\n")
        watch.observe(b"{}", (TextDelta("a"),))
    return found


def test_a_number_that_another_gateway_said_twice_or_not_is_suspicious() -> None:
    assert stamped(1, 2, 3) == []
    assert stamped(1, 2, 2, 3) == [Suspicion(Suspected.SEQ, 3, 2)]
    assert stamped(1, 3) == [Suspicion(Suspected.SEQ, 2, 1)]


def test_frames_with_stamps_of_their_own_are_followed() -> None:
    found: list[Suspicion] = []
    watch = ReplayWatch(found.append)
    for seq in (1, 2, 2):
        frame = {"done": False, "seq": seq, "stream_id": "s", "acc_len": 1, "raw_len": 1, "sha1": "0", "content": "a"}  # fmt: skip
        watch.observe(json.dumps(frame, separators=(",", ":")).encode(), ())
    assert [each.kind for each in found] == [Suspected.SEQ]


def test_what_was_received_is_told_with_its_text() -> None:
    told: list[tuple[bytes, str]] = []
    watch = ReplayWatch(lambda suspicion: None, lambda *each: told.append(each))
    events: tuple[Event, ...] = (ReasoningDelta("a"), TextDelta("b"), ToolCallDelta(0, "c"))
    watch.observe(b"{1}", (*events, UsageReported(TokenUsage())))
    assert told == [(b"{1}", "abc")]


# --- in an exchange ----------------------------------------------------------------------------------


def answered(*texts: str, **facts: Any) -> tuple[Play, list[Suspicion]]:
    found: list[Suspicion] = []
    proof = Proof(Integrity.LEDGER, suspected=found.append)
    play = Play(chat_request(), proof=proof, **facts)
    play.stream(ROLE, *map(text, texts), FINISH, USAGE, DONE)
    play.do("tick", at=9.0)
    return play, found


def test_a_replay_is_delivered_whole_and_noted_on_the_row() -> None:
    said = prose(3000)
    play, found = answered(*cut(said), *cut(said))
    assert play.body.count(b"data: {") == 2 + 1500
    assert "".join(_texts(play.body)) == said + said
    assert play.row.anomalies == ["replay_suspected"]
    assert found == [Suspicion(Suspected.RESTART, 752, 3000)], "the role's frame is the first"


def _texts(body: bytes) -> list[str]:
    payloads = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: {")]
    choices = [json.loads(payload)["choices"] for payload in payloads]
    return [choice[0]["delta"].get("content", "") for choice in choices if choice]


def test_laughter_is_delivered_whole_and_nothing_is_noted() -> None:
    for texts in (["ha", "ha", "ha", "!", " ok", " ok", " ok"], ["ok"] * 500, cut(CODE)):
        play, found = answered(*texts)
        assert "".join(_texts(play.body)) == "".join(texts)
        assert (play.row.anomalies, found) == ([], [])


@pytest.mark.parametrize("name", STREAMS)
def test_no_stream_of_a_real_server_is_suspected(name: str) -> None:
    assert "replay_suspected" not in play_of(name, Integrity.LEDGER).row.anomalies


def test_every_capture_was_looked_at() -> None:
    streams = {path.stem for path in CAPTURES.glob("*_stream*.body")}
    assert streams <= set(STREAMS)


def test_each_attempt_is_watched_for_itself() -> None:
    """What a failed attempt said and nobody was shown is no first time."""
    found: list[Suspicion] = []
    proof = Proof(Integrity.LEDGER, suspected=found.append)
    play = Play(chat_request(), others=[Attempt("other", "openai", "m")], proof=proof)
    play.stream(ROLE, end="cut")
    play.do("tick", at=5.0)
    play.do("begun")
    play.do("connected")
    play.do("attempt_head", 200, "text/event-stream", None)
    play.data(
        chunk(choices=[{"index": 0, "delta": {"role": "assistant"}}], id="other"), text("a"), DONE
    )
    play.do("tick", at=20.0)
    assert play.row.attempts == 2
    assert not found


def test_nothing_is_watched_where_integrity_is_off() -> None:
    said = prose(1000)
    play = Play(chat_request(), proof=Proof(Integrity.OFF))
    play.stream(ROLE, *map(text, cut(said) * 2), FINISH, USAGE, DONE)
    play.do("tick", at=9.0)
    assert play.row.anomalies == []


def test_a_replay_is_noted_where_nobody_asks_for_its_place() -> None:
    said = cut(prose(1000))
    play = Play(chat_request(), proof=Proof(Integrity.LEDGER))
    play.stream(ROLE, *map(text, said * 2), FINISH, USAGE, DONE)
    play.do("tick", at=9.0)
    assert play.row.anomalies == ["replay_suspected"]


def test_a_translated_attempt_is_watched_also_behind_one_that_was_not_read() -> None:
    found: list[Suspicion] = []
    other = Attempt("other", "ollama", "m", dialect="ollama")
    proof = Proof(Integrity.LEDGER, suspected=found.append)
    play = Play(request_of("openai"), others=[other], metering=False, proof=proof)
    play.head()
    play.do("upstream_end", "cut")
    play.do("begun")
    play.do("connected")
    play.do("attempt_head", 200, "application/x-ndjson", None)
    lines = [
        {"model": "m", "message": {"content": each}, "done": False} for each in cut(prose(600)) * 2
    ]
    play.data(*(json.dumps(line).encode() + b"\n" for line in lines))
    assert [each.kind for each in found] == [Suspected.RESTART]


def test_a_role_whose_id_cannot_be_read_is_no_start() -> None:
    begun = (("a", "assistant", ""), ("a", None, "x"), ("a", None, "y"))
    odd: Any = (7, "assistant", "")
    assert not ids(*begun, odd, ("a", None, "z"))
    assert len(ids(*begun, odd, ("a", None, "z"), ("a", None, "z"), ("b", "assistant", ""))) == 1
