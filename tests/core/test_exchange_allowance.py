"""A stream whose key has little left, with many frames in one read (SPEC §15.4)."""

from __future__ import annotations

import json

import pytest

from streamgauge.core.actions import Commit
from streamgauge.core.attempt import Allowance, Attempt
from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.core.record import Disposition, Status

from .playbook import DONE, FINISH, ROLE, USAGE, Play, chat_request, text

ASKED = chat_request(stream_options={"include_usage": True})
ERROR = GatewayError(402, ErrorCode.LIMIT_REACHED, "no money")
BROKEN = b"data: " + json.dumps({"error": {"message": "broke"}}).encode() + b"\n\n"


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_no_frame_behind_the_last_one_passes_though_it_came_in_the_same_read(
    line_end: bytes,
) -> None:
    play = Play(ASKED, allowance=Allowance(3, ERROR))
    read = b"".join([ROLE, *map(text, "abcdefgh"), FINISH, USAGE, DONE])
    play.stream(read.replace(b"\n", line_end))
    assert (play.row.status, play.row.output_tokens) == (Status.LIMIT_REACHED, 3)
    assert b'"c"' in play.body
    assert b'"d"' not in play.body
    assert play.closes == 1


def test_an_answer_within_its_allowance_is_the_same_as_without_one() -> None:
    read = b"".join([ROLE, text("a"), text("b"), FINISH, USAGE, DONE])
    play, free = Play(ASKED, allowance=Allowance(3, ERROR)), Play(ASKED)
    for each in (play, free):
        each.stream(read, end="complete")
        assert (each.row.status, each.row.usage_source) == (Status.COMPLETED, "provider")
    assert play.body == free.body


def test_a_drain_goes_no_further_than_the_allowance() -> None:
    play = Play(ASKED, attempt={"on_disconnect": "drain"}, allowance=Allowance(3, ERROR))
    play.stream(text("a"))
    play.do("client_gone")
    play.data(text("b"))
    assert not play.of(Commit)
    play.data(b"".join([*map(text, "cdef"), FINISH, USAGE, DONE]))
    row = play.row
    assert (row.status, row.disposition) == (Status.CLIENT_DISCONNECTED, Disposition.DRAIN_CAPPED)
    assert (row.output_tokens, row.usage_source, play.closes) == (3, "counted", 1)


def test_a_drain_that_ends_within_the_allowance_is_read_to_its_numbers() -> None:
    play = Play(ASKED, attempt={"on_disconnect": "drain"}, allowance=Allowance(3, ERROR))
    play.stream(text("a"))
    play.do("client_gone")
    play.data(text("b") + FINISH + USAGE + DONE)
    play.do("upstream_end", "complete")
    assert (play.row.disposition, play.row.usage_source) == (Disposition.DRAINED, "provider")


def test_what_stands_behind_an_error_is_not_read_as_the_next_attempt_s() -> None:
    play = Play(ASKED, others=[Attempt("next", "openai", "n")], allowance=Allowance(3, ERROR))
    play.stream(BROKEN + text("late"))
    play.do("begun")
    play.do("connected")
    play.do("attempt_head", 200, "text/event-stream", None)
    play.data(text("a") + FINISH + USAGE + DONE)
    play.do("upstream_end", "complete")
    assert (play.row.status, play.row.upstream) == (Status.COMPLETED, "next")
    assert b"late" not in play.body
