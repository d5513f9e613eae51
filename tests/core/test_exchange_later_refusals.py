"""A later attempt that cannot begin: the exchange ends as the one before, which was called, did."""

from __future__ import annotations

import pytest

from streamgauge.core.actions import AttemptOver, BeginAttempt, Commit, SendAnswer
from streamgauge.core.attempt import Attempt
from streamgauge.core.record import Status

from .playbook import ROLE, SSE, Play, chat_request

OTHER = Attempt("other", "openai", "m")
REFUSALS = [("begin_failed",), ("attempt_failed", "exhausted")]


@pytest.mark.parametrize("refusal", REFUSALS, ids=["ledger", "descriptors"])
def test_a_row_whose_first_attempt_was_called_never_says_that_none_was(
    refusal: tuple[str, ...],
) -> None:
    play = Play(others=[OTHER])
    play.head(500, "application/json", None)
    play.data(b'{"error": {"message": "no"}}')
    play.do("upstream_end", "complete")
    assert len(play.of(BeginAttempt)) == 1
    play.do(*refusal)
    row, [first, second] = play.row, play.of(Commit)[0].attempts
    assert (row.status, row.error_code, row.http_status) == (
        Status.UPSTREAM_ERROR,
        "upstream_error",
        500,
    )
    assert [answer.status for answer in play.of(SendAnswer)] == [500]
    assert (first.outcome, second.outcome) == ("upstream_error", "rejected")
    assert second.error_code in ("ledger_unavailable", "overloaded")
    assert second.may_have_been_billed is False
    assert [over.attempt.n for over in play.of(AttemptOver)] == [1, 2]


def test_behind_a_keep_alive_its_end_is_the_first_one_s_too() -> None:
    play = Play(others=[OTHER])
    play.connect()
    play.do("attempt_head", 200, SSE, None)
    play.data(ROLE)
    play.do("tick", at=16.0)
    play.do("upstream_end", "reset", at=17.0)
    play.do("begin_failed")
    assert play.row.status is Status.STREAM_INCOMPLETE
    assert play.row.http_status == 200


@pytest.mark.parametrize("refusal", REFUSALS, ids=["ledger", "descriptors"])
def test_where_no_upstream_was_reached_it_is_a_refusal_of_ours(refusal: tuple[str, ...]) -> None:
    play = Play(others=[OTHER])
    play.do("start")
    play.do("begun")
    play.do("attempt_failed", "refused")
    play.do(*refusal)
    assert (play.row.status, play.row.http_status) == (Status.REJECTED, 503)


@pytest.mark.parametrize("refusal", REFUSALS, ids=["ledger", "descriptors"])
def test_one_that_was_asked_with_our_option_was_called_and_the_option_is_no_client_s_matter(
    refusal: tuple[str, ...],
) -> None:
    play = Play(chat_request())
    play.answer(400, b'{"error": {"message": "unknown field stream_options"}}')
    play.do(*refusal)
    assert (play.row.status, play.row.http_status, play.whole.status) == (
        Status.UPSTREAM_ERROR,
        503,
        503,
    )
    assert play.row.error_code in ("ledger_unavailable", "overloaded")
    assert b"stream_options" not in play.whole.body
