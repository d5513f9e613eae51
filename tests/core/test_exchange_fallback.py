"""A failed attempt is followed by the next one while nothing was shown (SPEC §14.2, §14.3)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from streamgauge.core.actions import (
    AttemptOver,
    BeginAttempt,
    BeginRecord,
    CloseUpstream,
    Commit,
    OpenUpstream,
    PauseUpstream,
    SendAnswer,
    SendData,
    WakeAt,
)
from streamgauge.core.attempt import Allowance, Attempt, Limits, Retries
from streamgauge.core.errors import ErrorCode, GatewayError, RequestError
from streamgauge.core.passage import HOLD_BYTES, HOLD_FRAMES
from streamgauge.core.record import Anomaly, Status

from ..grammar_check import faults_of
from .playbook import DONE, FINISH, ROLE, SSE, USAGE, Play, chat_request, chunk, request_of, text
from .upstream_wires import CLIENTS, UPSTREAMS

NEXT = Attempt("next", "openai", "n")
JSON = "application/json"
PROGRESS = chunk(choices=[], prompt_progress={"total": 9, "processed": 3})
ASKED = chat_request(stream_options={"include_usage": True})
WHOLE = json.dumps(
    {"model": "m", "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}
).encode()


def error_body(message: str = "broke") -> bytes:
    return json.dumps({"error": {"message": message}}).encode()


def serve(play: Play, *frames: bytes) -> None:
    """Let the current attempt be answered by a stream to its end."""
    play.do("begun")
    play.do("connected")
    play.do("attempt_head", 200, SSE, None)
    play.data(*(frames or (ROLE, text("ab"), FINISH, USAGE, DONE)))
    play.do("upstream_end", "complete")


def refused(play: Play) -> None:
    play.do("start")
    play.do("begun")
    play.do("attempt_failed", "refused")


def status(code: int) -> Callable[[Play], None]:
    return lambda play: play.answer(code, error_body())


def streamed(*frames: bytes, end: str | None = "cut") -> Callable[[Play], None]:
    return lambda play: play.stream(*frames, end=end)


def hangs(play: Play) -> None:
    play.connect()
    play.do("tick", at=3.0)


def hangs_behind_pings(play: Play) -> None:
    play.stream(b": ping\n\n", ROLE)
    play.do("tick", at=3.0)


MENDED: dict[str, tuple[Callable[[Play], None], Status]] = {
    "refuses": (refused, Status.UPSTREAM_ERROR),
    "times out": (hangs, Status.UPSTREAM_TIMEOUT),
    "hangs behind pings": (hangs_behind_pings, Status.UPSTREAM_TIMEOUT),
    "408": (status(408), Status.UPSTREAM_ERROR),
    "429": (status(429), Status.UPSTREAM_ERROR),
    "500": (status(500), Status.UPSTREAM_ERROR),
    "503": (status(503), Status.UPSTREAM_ERROR),
    "html": (
        lambda play: play.head(200, "text/html"),
        Status.UPSTREAM_PROTOCOL_ERROR,
    ),
    "an error frame first": (
        streamed(chunk(error={"message": "broke"}), end=None),
        Status.UPSTREAM_ERROR,
    ),
    "an error frame behind the role": (
        streamed(ROLE, chunk(error={"message": "broke"}), end=None),
        Status.UPSTREAM_ERROR,
    ),
    "an error object and no stream": (
        lambda play: play.answer(200, error_body()),
        Status.UPSTREAM_ERROR,
    ),
    "dies at once": (streamed(end="cut"), Status.STREAM_INCOMPLETE),
    "is reset at once": (streamed(end="reset"), Status.UPSTREAM_ERROR),
    "dies behind the role": (streamed(ROLE), Status.STREAM_INCOMPLETE),
    "dies behind a ping": (streamed(b": ping\n\n"), Status.STREAM_INCOMPLETE),
    "ends behind the role": (streamed(ROLE, end="complete"), Status.STREAM_INCOMPLETE),
}


@pytest.mark.parametrize("case", MENDED)
@pytest.mark.parametrize("dialect", [None, "openai"])
def test_a_failure_before_content_is_mended_by_the_next_attempt(case: str, dialect: Any) -> None:
    fail, outcome = MENDED[case]
    first = {"limits": Limits(2, 2, 0), "dialect": dialect}
    other = Attempt("next", "openai", "n", dialect=dialect)
    play = Play(request_of("openai"), attempt=first, others=[other])
    fail(play)
    assert not play.of(SendData, SendAnswer), "nothing was shown"
    (over,) = play.of(AttemptOver)
    assert (over.attempt.outcome, over.attempt.upstream) == (outcome, "up")
    serve(play)
    assert faults_of("openai", play.body) == []
    assert (play.body.count(b'"role"'), play.body.count(b"ab")) == (1, 1)
    if dialect is None:
        assert play.body == b"".join((ROLE, text("ab"), FINISH, USAGE, DONE))
    assert [action.place for action in play.of(OpenUpstream)] == [0, 1]
    row, (one, two) = play.row, play.of(Commit)[0].attempts
    assert (row.status, row.attempts, row.upstream, row.upstream_model) == (
        Status.COMPLETED,
        2,
        "next",
        "n",
    )
    assert (one.outcome, two.outcome) == (outcome, Status.COMPLETED)
    assert (two.n, two.upstream, two.output_tokens) == (2, "next", 4)
    begin = play.of(BeginAttempt)[0]
    assert (begin.attempt, begin.over) == (two, one)
    assert play.closes <= 1


@pytest.mark.parametrize("code", [400, 401, 402, 403, 404, 409, 413, 422])
def test_what_blames_the_request_is_not_asked_elsewhere(code: int) -> None:
    play = Play(ASKED, others=[NEXT])
    play.answer(code, error_body())
    assert (play.opens, play.row.status) == (1, Status.UPSTREAM_ERROR)


def test_an_error_frame_that_blames_the_request_is_not_asked_elsewhere() -> None:
    play = Play(ASKED, others=[NEXT])
    play.stream(chunk(error={"message": "too long", "code": 400}), end="complete")
    assert (play.opens, play.row.http_status) == (1, 400)


@pytest.mark.parametrize("end", ["cut", "reset", "error", "stall"])
def test_after_content_there_is_no_second_answer(end: str) -> None:
    play = Play(ASKED, attempt={"limits": Limits(2, 2, 0)}, others=[NEXT])
    play.stream(ROLE, text("a"))
    if end == "stall":
        play.do("tick", at=3.0)
    elif end == "error":
        play.data(chunk(error={"message": "broke"}))
        play.do("upstream_end", "complete")
    else:
        play.do("upstream_end", end)
    assert play.opens == 1
    before, told, error = play.body.partition(ROLE + text("a"))
    assert (before, told, error[:6]) == (b"", ROLE + text("a"), b"data: ")
    assert b'"error"' in error
    assert play.told.endswith("end")
    assert play.row.attempts == 1
    assert play.row.status is not Status.COMPLETED


def test_frames_are_held_until_content_only_while_another_attempt_is_possible() -> None:
    held, free = Play(ASKED, others=[NEXT]), Play(ASKED)
    for play in (held, free):
        play.stream(ROLE)
    assert (held.told, free.told) == ("", "head data")
    held.data(text("a"))
    assert held.body == ROLE + text("a")
    closed = Play(ASKED, others=[NEXT], retries=Retries(admits=lambda attempt: False))
    closed.stream(ROLE)
    assert closed.body == ROLE


LONG = chunk(choices=[], x="y" * 5000)


@pytest.mark.parametrize(
    ("frame", "count"),
    [(ROLE, HOLD_FRAMES + 1), (LONG, HOLD_BYTES // len(LONG) + 1)],
    ids=["frames", "bytes"],
)
def test_no_more_than_the_bounds_is_held(frame: bytes, count: int) -> None:
    play = Play(ASKED, others=[NEXT])
    play.stream(*[frame] * (count - 1))
    assert play.told == ""
    play.data(frame)
    assert play.body == frame * count
    play.do("upstream_end", "cut")
    assert (play.opens, play.row.status) == (1, Status.STREAM_INCOMPLETE)


def test_a_progress_frame_releases_what_stands_before_it() -> None:
    play = Play(ASKED, others=[NEXT])
    play.stream(ROLE, PROGRESS)
    assert play.body == ROLE + PROGRESS
    play.do("upstream_end", "cut")
    assert play.opens == 1


def test_the_marker_releases_an_empty_answer() -> None:
    play = Play(ASKED, others=[NEXT])
    play.stream(ROLE, FINISH, DONE, end="complete")
    assert play.body == ROLE + FINISH + DONE
    assert (play.row.status, play.row.anomalies) == (Status.COMPLETED, [Anomaly.EMPTY_ANSWER])


def test_a_finish_without_a_marker_releases_what_was_held() -> None:
    play = Play(ASKED, others=[NEXT])
    play.stream(ROLE, FINISH, end="cut")
    assert (play.body, play.told[-3:]) == (ROLE + FINISH, "end")
    assert play.row.anomalies == [Anomaly.FINISHED_WITHOUT_MARKER]


def test_after_a_keep_alive_a_failure_is_an_error_end_and_the_next_attempt_still_possible() -> None:
    play = Play(ASKED, attempt={"limits": Limits(30, 2, 0)}, others=[NEXT])
    play.stream(ROLE)
    play.do("tick", at=16.0)
    assert play.body == b": keep-alive\n"
    play.do("upstream_end", "cut")
    assert play.opens == 2
    play.do("tick", at=32.0)
    assert play.body == b": keep-alive\n" * 2
    play.do("begun")
    play.do("attempt_failed", "refused")
    assert play.body.startswith(b': keep-alive\n: keep-alive\ndata: {"error"')
    assert play.told == "head data data data end"
    assert (play.row.status, play.row.http_status, play.row.attempts) == (
        Status.UPSTREAM_ERROR,
        200,
        2,
    )


def test_a_client_that_leaves_while_frames_are_held_was_given_nothing() -> None:
    play = Play(ASKED, others=[NEXT])
    play.stream(ROLE)
    play.do("client_gone")
    assert (play.row.frames_out, play.row.delivered, play.opens) == (0, "none", 1)


def test_the_next_attempt_waits_for_its_own_row() -> None:
    play = Play(ASKED, others=[NEXT])
    play.do("start")
    play.do("attempt_failed", "refused")  # before the first row was committed
    play.do("connected")
    play.do("begun")  # the first one's
    assert play.requests == []
    play.do("begun")
    assert len(play.requests) == 1


def test_attempts_whose_circuit_is_open_are_passed_over() -> None:
    others = [Attempt("shut", "openai", "s"), NEXT]
    play = Play(ASKED, others=others, retries=Retries(admits=lambda each: each.upstream != "shut"))
    refused(play)
    serve(play)
    assert [attempt.upstream for attempt in play.of(Commit)[0].attempts] == ["up", "next"]


def test_an_attempt_that_cannot_say_the_request_is_passed_over() -> None:
    """Anthropic gives one answer, so that two cannot be asked for there."""
    cannot = Attempt("cannot", "anthropic", "a", dialect="anthropic")
    play = Play(request_of("openai", n=2), others=[cannot, NEXT])
    refused(play)
    serve(play)
    assert [attempt.upstream for attempt in play.of(Commit)[0].attempts] == ["up", "next"]
    alone = Play(request_of("openai", n=2), others=[cannot])
    refused(alone)
    assert (alone.opens, alone.row.status) == (1, Status.UPSTREAM_ERROR)


def test_the_first_attempt_is_the_first_that_can_say_the_request() -> None:
    """Without a row of those that cannot: nothing was sent to them."""
    cannot = {"dialect": "anthropic"}
    also = Attempt("cannot either", "anthropic", "a", dialect="anthropic")
    play = Play(request_of("openai", n=2), attempt=cannot, others=[also, NEXT])
    play.do("start")
    begun = play.of(BeginRecord)[0]
    assert (begun.record.upstream, begun.record.upstream_model) == ("next", "n")
    assert (begun.record.attempts, begun.attempt.n, begun.attempt.upstream) == (1, 1, "next")
    serve(play)
    assert [action.place for action in play.of(OpenUpstream)] == [2]
    assert (play.row.status, play.row.attempts, play.row.output_tokens) == ("completed", 1, 4)


@pytest.mark.parametrize("shut", [True, False])
def test_where_no_attempt_can_say_the_request_the_first_ones_reason_is_told(shut: bool) -> None:
    """Be it that the others cannot either, or that their circuits are open."""
    other = NEXT if shut else Attempt("next", "anthropic", "n", dialect="anthropic")
    retries = Retries(admits=lambda each: not shut or each is not NEXT)
    with pytest.raises(RequestError, match="n must be 1") as refused:
        Play(
            request_of("openai", n=2),
            attempt={"dialect": "anthropic"},
            others=[other],
            retries=retries,
        )
    assert refused.value.status == 400


def test_no_attempt_begins_later_than_the_chain_allows() -> None:
    others = [NEXT, Attempt("third", "openai", "t")]
    play = Play(ASKED, attempt={"limits": Limits(0, 0, 0)}, others=others)
    play.do("start")
    play.do("attempt_failed", "refused", at=100.0)
    play.do("attempt_failed", "refused", at=130.1)
    assert (play.opens, play.row.attempts) == (2, 2)
    assert play.row.status is Status.UPSTREAM_ERROR


# --- once more at the same upstream ---------------------------------------------------------------


def spending(budget: int) -> Retries:
    spent = iter(range(budget))
    return Retries(spend=lambda now: next(spent, None) is not None, chance=lambda: 1.0)


@pytest.mark.parametrize("end", [b"", b"\n"])
@pytest.mark.parametrize("others", [[], [NEXT]])
def test_an_error_in_the_last_line_ends_only_the_attempt_that_said_it(
    others: list[Attempt], end: bytes
) -> None:
    play = Play(request_of("openai"), attempt={"dialect": "ollama"}, others=others)
    play.head(content_type=UPSTREAMS["ollama"].media)
    play.data(b'{"error":"broke"}' + end)
    if play.opens == 1:  # else it was read, and its call is closed
        play.do("upstream_end", "complete")
    if others:
        serve(play)
    else:
        assert b"broke" in play.whole.body
    assert (play.opens, play.row.attempts) == (1 + len(others), 1 + len(others))
    assert play.row.status is (Status.COMPLETED if others else Status.UPSTREAM_ERROR)


def test_what_was_never_sent_is_tried_once_more_after_a_pause() -> None:
    play = Play(ASKED, retries=spending(9))
    refused(play)
    assert (play.wakes, play.opens, play.told) == ([0.25], 1, "")
    play.do("tick", at=0.2)
    assert play.opens == 1
    play.do("tick", at=0.25)
    assert play.opens == 2
    play.do("begun")
    play.do("attempt_failed", "refused")
    assert (play.opens, play.row.attempts, play.whole.status) == (2, 2, 502)
    assert [each.may_have_been_billed for each in play.of(Commit)[0].attempts] == [False, False]


def test_a_connection_that_died_before_its_row_was_written_is_sent_nothing() -> None:
    play = Play(ASKED, retries=spending(9))
    play.do("start")
    play.do("connected")
    play.do("attempt_failed", "closed")
    assert play.do("begun") == [], "there is no connection, until the pause is over"
    play.do("tick", at=0.25)
    play.do("connected")
    assert [len(play.requests), len(play.do("begun")), len(play.requests)] == [0, 1, 1]
    play.do("client_gone")
    attempts = play.of(Commit)[0].attempts
    assert [each.may_have_been_billed for each in attempts] == [False, True]


def test_what_was_sent_is_not_repeated_at_the_same_upstream() -> None:
    play = Play(ASKED, retries=spending(9))
    play.connect()
    play.do("attempt_failed", "reset")
    assert (play.opens, play.row.status) == (1, Status.UPSTREAM_ERROR)


def test_without_budget_nothing_is_repeated() -> None:
    play = Play(ASKED, retries=spending(0))
    refused(play)
    assert (play.opens, play.row.attempts) == (1, 1)


@pytest.mark.parametrize("how", ["client_gone", "stop", "supersede", "shutdown"])
def test_who_ends_it_during_the_pause_ends_it(how: str) -> None:
    play = Play(ASKED, retries=spending(9))
    refused(play)
    play.do(how)
    assert (play.opens, play.row.attempts) == (1, 1)
    assert play.of(Commit)[0].attempts[0].outcome == Status.UPSTREAM_ERROR
    play.do("tick", at=5.0)
    assert play.opens == 1


# --- beside it ------------------------------------------------------------------------------------


def test_a_whole_answer_that_fails_is_mended_too() -> None:
    play = Play(chat_request(stream=False), others=[NEXT])
    play.answer(200, b"{broken")
    play.do("begun")
    play.do("connected")
    play.do("attempt_head", 200, JSON, None)
    play.data(WHOLE)
    play.do("upstream_end", "complete")
    assert (play.whole.body, play.row.upstream, play.row.attempts) == (WHOLE, "next", 2)


def test_anomalies_of_a_failed_attempt_stay_on_the_row() -> None:
    play = Play(ASKED, others=[NEXT])
    play.stream(b"data: {broken\n\n", end="cut")
    serve(play)
    assert play.row.anomalies == [Anomaly.BAD_JSON]


def test_a_blocked_client_holds_the_next_upstream_too() -> None:
    play = Play(ASKED, others=[NEXT])
    play.stream(ROLE)
    play.do("client_blocked")
    play.do("upstream_end", "cut")
    play.do("begun")
    play.do("connected")
    assert play.do("attempt_head", 200, SSE, None) == [PauseUpstream()]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_a_translated_answer_begins_once_whoever_served_before(client: Any, upstream: Any) -> None:
    wire = UPSTREAMS[upstream]
    first = {"dialect": upstream}
    other = Attempt("next", "openai", "n", dialect="openai")
    play = Play(request_of(client), attempt=first, others=[other])
    play.connect()
    play.do("attempt_head", 200, wire.media, None)
    play.data(wire.start, wire.alive)
    play.do("upstream_end", "cut")
    assert play.told == ""
    serve(play)
    assert play.row.status is Status.COMPLETED
    assert play.row.upstream == "next"
    assert faults_of(client, play.body) == []


# --- an allowance ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("client", "dialect"), [("openai", None), ("anthropic", "openai")])
def test_a_stream_that_used_up_its_allowance_ends_with_the_error(client: Any, dialect: Any) -> None:
    error = GatewayError(402, ErrorCode.LIMIT_REACHED, "the key's money for today is used up")
    play = Play(request_of(client), attempt={"dialect": dialect}, allowance=Allowance(3, error))
    play.stream(ROLE, text("a"), text("b"))
    assert not play.of(CloseUpstream)
    play.data(text("c"))
    assert play.closes == 1
    assert b"limit_reached" in play.body
    assert play.told.endswith("end")
    row = play.row
    assert (row.status, row.error_code, row.output_tokens) == (
        Status.LIMIT_REACHED,
        "limit_reached",
        3,
    )


def test_the_pause_before_a_repeat_is_asked_for_by_a_wake() -> None:
    play = Play(ASKED, retries=spending(1))
    refused(play)
    assert [type(action) for action in play.log[-2:]] == [AttemptOver, WakeAt]


def test_a_circuit_that_opens_during_the_pause_is_not_called_again() -> None:
    shut: list[bool] = []
    retries = Retries(admits=lambda each: not shut, spend=lambda now: True, chance=lambda: 1.0)
    play = Play(ASKED, retries=retries)
    refused(play)
    shut.append(True)
    play.do("tick", at=0.3)
    assert (play.opens, play.row.attempts, play.whole.status) == (1, 1, 502)
    assert play.row.status is Status.UPSTREAM_ERROR


def test_only_a_single_upstream_is_tried_once_more() -> None:
    play = Play(ASKED, others=[NEXT], retries=spending(9))
    refused(play)
    play.do("begun")
    play.do("attempt_failed", "refused")
    assert (play.opens, play.row.attempts, play.row.upstream) == (2, 2, "next")


@pytest.mark.parametrize(
    ("first", "others", "shut", "called"),
    [
        ({}, [NEXT], "next", ["up", "up"]),
        ({}, [Attempt("cannot", "anthropic", "a", "anthropic")], None, ["up", "up"]),
        ({"dialect": "anthropic"}, [NEXT], None, ["next", "next"]),
    ],
    ids=["circuit open", "cannot say it", "first cannot say it"],
)
def test_an_upstream_that_is_alone_left_is_tried_once_more(
    first: Any, others: list[Attempt], shut: str | None, called: list[str]
) -> None:
    retries = Retries(30.0, lambda each: each.upstream != shut, lambda now: True)
    play = Play(request_of("openai", n=2), attempt=first, others=others, retries=retries)
    refused(play)
    play.do("tick", at=0.3)
    serve(play)
    assert [attempt.upstream for attempt in play.of(Commit)[0].attempts] == called
    assert b'"include_usage"' in play.requests[0]
    assert play.row.status is Status.COMPLETED
