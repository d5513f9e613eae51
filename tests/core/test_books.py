"""The times of an attempt: connected, first byte, last token, usage; each attempt has its own."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.core.actions import AttemptOver, Commit
from streamgauge.core.attempt import Attempt
from streamgauge.core.record import AttemptRecord

from .playbook import DONE, FINISH, ROLE, SSE, STARTED_AT, USAGE, Play, chat_request, chunk, text

ASKED = chat_request(stream_options={"include_usage": True})
TIMINGS = chunk(
    choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}],
    timings={
        "prompt_n": 9,
        "prompt_ms": 20.0,
        "predicted_n": 4,
        "predicted_ms": 40.0,
        "cache_n": 0,
    },
)
REFUSED_USAGE = chunk(choices=[], usage={"prompt_tokens": -9, "completion_tokens": 4})
WHOLE: dict[str, Any] = {
    "model": "m",
    "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
}


def play_stream(*timed: tuple[float, bytes], end: str = "complete", **play: Any) -> Play:
    """Connect after 0.2 s, get a head at 0.3 s, then frames at their times, and an end with the last."""
    it = Play(ASKED, **play)
    it.do("start", at=0.1)
    it.do("begun", at=0.15)
    it.do("connected", at=0.2)
    it.do("attempt_head", 200, SSE, None, at=0.3)
    for at, frame in timed:
        it.do("upstream_data", frame, at=at)
    it.do("upstream_end", end)
    return it


def attempts_of(play: Play) -> tuple[AttemptRecord, ...]:
    """Return the closed attempts."""
    (commit,) = play.of(Commit)
    return tuple(commit.attempts)


def times_of(attempt: AttemptRecord) -> tuple[float | None, ...]:
    """Return connected, first byte, last token and usage in ms."""
    return (
        attempt.connected_ms,
        attempt.first_byte_ms,
        attempt.last_token_ms,
        attempt.usage_ms,
    )


def test_a_stream_has_the_times_of_its_connection_its_last_token_and_its_usage() -> None:
    frames = (
        (0.4, ROLE),
        (0.5, text("a")),
        (0.6, text("b")),
        (0.7, FINISH),
        (0.8, USAGE),
        (0.9, DONE),
    )
    (attempt,) = attempts_of(play_stream(*frames))
    assert times_of(attempt) == (200.0, 400.0, 600.0, 800.0)
    assert attempt.started_at == STARTED_AT + 100_000


def test_a_connection_that_is_ready_before_the_row_is_has_its_own_time() -> None:
    play = Play(ASKED)
    play.do("start", at=0.0)
    play.do("connected", at=0.003)
    play.do("begun", at=0.008)
    play.do("attempt_head", 200, SSE, None)
    play.data(ROLE, text("a"), FINISH, USAGE, DONE)
    play.do("upstream_end", "complete")
    assert attempts_of(play)[0].connected_ms == 3.0
    assert play.row.overhead_us == 8000.0


def test_usage_that_is_said_twice_has_the_time_of_its_last_word() -> None:
    (attempt,) = attempts_of(
        play_stream((0.5, text("a")), (0.6, USAGE), (0.7, FINISH), (0.8, USAGE), (0.9, DONE))
    )
    assert attempt.usage_ms == 800.0


def test_usage_behind_the_end_marker_was_said_then() -> None:
    frames = (0.5, text("a")), (0.6, FINISH), (0.7, DONE), (0.8, USAGE)
    play = play_stream(*frames)
    assert attempts_of(play)[0].usage_ms == 800.0
    assert play.row.stream_duration_ms == 700.0


def test_timings_without_usage_are_stated_usage() -> None:
    (attempt,) = attempts_of(play_stream((0.5, text("a")), (0.7, TIMINGS), (0.8, DONE)))
    assert (attempt.last_token_ms, attempt.usage_ms) == (500.0, 700.0)
    assert attempt.output_tokens == 4


@pytest.mark.parametrize("frames", [(), (REFUSED_USAGE,)], ids=["none", "refused"])
def test_what_was_not_stated_has_no_time(frames: tuple[bytes, ...]) -> None:
    timed = [(0.6, frame) for frame in frames]
    (attempt,) = attempts_of(play_stream((0.5, text("a")), *timed, (0.7, FINISH), (0.8, DONE)))
    assert times_of(attempt) == (200.0, 500.0, 500.0, None)


def test_a_stream_without_content_has_no_last_token() -> None:
    (attempt,) = attempts_of(play_stream((0.5, ROLE), (0.6, FINISH), (0.7, USAGE), (0.8, DONE)))
    assert times_of(attempt) == (200.0, 500.0, None, 700.0)


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": 9, "completion_tokens": 4}])
def test_a_whole_answer_stated_its_usage_when_its_body_was_read(usage: Any) -> None:
    play = Play(chat_request(stream=False))
    play.do("start", at=0.1)
    play.do("begun")
    play.do("connected", at=0.2)
    play.do("attempt_head", 200, "application/json", None, at=0.3)
    play.do("upstream_data", json.dumps({**WHOLE, "usage": usage}).encode(), at=0.4)
    play.do("upstream_end", "complete", at=0.5)
    (attempt,) = attempts_of(play)
    assert times_of(attempt) == (200.0, 400.0, None, None if usage is None else 500.0)


@pytest.mark.parametrize("how", ["refused", "timeout"])
def test_an_upstream_that_never_connects_has_none_of_them(how: str) -> None:
    play = Play(ASKED, others=[Attempt("next", "openai", "n")])
    play.do("start", at=0.1)
    play.do("begun")
    play.do("attempt_failed", how, at=0.4)
    play.do("begun", at=0.5)
    play.do("attempt_failed", how, at=0.6)
    assert [times_of(attempt) for attempt in attempts_of(play)] == [(None,) * 4] * 2


def test_each_attempt_has_its_own_times() -> None:
    frames = (0.4, ROLE), (0.5, USAGE)
    play = play_stream(*frames, end="cut", others=[Attempt("next", "openai", "n")])
    (over,) = play.of(AttemptOver)
    assert times_of(over.attempt) == (200.0, 400.0, None, 500.0), "as it is told when it is over"
    play.do("begun", at=0.6)
    play.do("connected", at=0.7)
    play.do("attempt_head", 200, SSE, None, at=0.8)
    for at, frame in ((0.9, text("a")), (1.0, text("b")), (1.1, FINISH), (1.2, USAGE), (1.3, DONE)):
        play.do("upstream_data", frame, at=at)
    play.do("upstream_end", "complete")
    one, two = attempts_of(play)
    assert times_of(one) == (200.0, 400.0, None, 500.0)
    assert times_of(two) == (700.0, 900.0, 1000.0, 1200.0)


def test_an_unread_stream_has_only_its_connection() -> None:
    frames = (0.5, text("a")), (0.6, USAGE), (0.7, DONE)
    (attempt,) = attempts_of(play_stream(*frames, metering=False))
    assert times_of(attempt) == (200.0, 500.0, None, None)


def test_of_an_unread_stream_that_runs_no_frame_and_no_stall_is_known() -> None:
    play = Play(metering=False)
    play.head()
    play.data(text("a"))
    row = play.look("so_far")
    assert (row.frames_in, row.stalls) == (None, None)
    assert row.bytes_in == len(text("a"))


@given(st.lists(st.floats(0, 3, allow_nan=False), min_size=11, max_size=11))
def test_no_time_is_before_what_led_to_it(steps: list[float]) -> None:
    at = [sum(steps[: n + 1]) for n in range(len(steps))]
    play = Play(ASKED)
    play.do("start", at=at[0])
    play.do("begun", at=at[1])
    play.do("connected", at=at[2])
    play.do("attempt_head", 200, SSE, None, at=at[3])
    for nth, frame in enumerate((ROLE, text("a"), text("b"), FINISH, USAGE, DONE), 4):
        play.do("upstream_data", frame, at=at[nth])
    play.do("upstream_end", "complete", at=at[10])
    row, (attempt,) = play.row, attempts_of(play)
    began, finished = attempt.started_at, row.finished_at
    assert began is not None
    assert finished is not None
    told = [0.0, (began - row.started_at) / 1000, attempt.connected_ms, row.latency_ms,
            attempt.first_byte_ms, row.ttft_ms, attempt.last_token_ms, attempt.usage_ms,
            row.stream_duration_ms, (finished - row.started_at) / 1000]  # fmt: skip
    assert None not in told
    assert all(before <= after for before, after in pairwise(told)), told
