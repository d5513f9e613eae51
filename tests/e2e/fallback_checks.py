"""What must hold when a first upstream failed: at the client, in the books, at the upstreams. No test here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..grammar_check import OURS, legal
from .fallback import Pair
from .fallback_failures import Failure
from .fallback_ways import SAID, Way, text_of
from .stand import Answer, frames_of

__all__ = ["check_only_first", "check_served", "check_shown"]


def check_stream(way: Way, answer: Answer) -> None:
    """The body is one legal stream with one beginning and one end."""
    legal(way.client, answer.body, OURS if way.client != way.second else None)
    ends = {"openai": (b'"role"', b"[DONE]"), "anthropic": (b'"message_start"', b'"message_stop"')}
    start, marker = ends[way.client]
    assert (answer.body.count(start), answer.body.count(marker)) == (1, 1)


def check_shown(way: Way, answer: Answer) -> None:
    """The client saw the second's answer, and nothing else."""
    assert (answer.status, answer.clean) == (200, True), (way, answer.body)
    assert text_of(way, answer) == SAID, way
    if way.stream:
        check_stream(way, answer)


async def check_served(to: Pair, failure: Failure, answers: Sequence[tuple[Way, Answer]]) -> None:
    """Each client saw the second's answer alone; the books tell of both attempts."""
    books = await to.books()
    for way, answer in answers:
        check_shown(way, answer)
        check_books(to, way, failure, answer, *books[answer.id])


def check_books(
    to: Pair,
    way: Way,
    failure: Failure,
    answer: Answer,
    row: dict[str, Any],
    tries: list[dict[str, Any]],
) -> None:
    """Head, row, attempts and journals say that the first failed so, and that the second served."""
    first, second = way.tried
    assert answer.headers["x-streamgauge-attempts"] == f"1/{first}, 1/{second}"
    assert answer.headers["x-streamgauge-upstream"] == second
    told = ("status", "delivered", "attempts", "upstream", "usage_source", "output_tokens")
    assert tuple(row[name] for name in told) == ("completed", "all", 2, second, "provider", 16)
    assert row["success"], way
    one, two = tries
    assert (one["n"], one["upstream"], one["outcome"]) == (1, first, failure.outcome), way
    assert one["error_code"] == failure.outcome, way
    assert bool(one["may_have_been_billed"]) is failure.billed, way
    assert (two["n"], two["upstream"], two["outcome"]) == (2, second, "completed"), way
    assert (bool(one["output_tokens"]), two["output_tokens"]) == (False, 16), way
    assert one["finished_at"] <= two["started_at"] <= two["finished_at"], way
    reached = ["1 first"] if failure.url is None else []
    assert to.calls(answer.id) == [*reached, "2 second"], way


def check_only_first(
    to: Pair,
    way: Way,
    outcome: str,
    answer: Answer,
    row: dict[str, Any],
    tries: list[dict[str, Any]],
) -> None:
    """The client saw a part and then an error as the end; nobody else was called."""
    *shown, last = frames_of(answer.body)
    assert (answer.status, answer.clean) == (200, True), way
    assert json.loads(last)["error"]["message"], way
    ends = (b"[DONE]", b"message_stop")
    assert not any(end in frame for frame in shown for end in ends), way
    assert (row["status"], row["delivered"], row["attempts"]) == (outcome, "part", 1), way
    assert [one["upstream"] for one in tries] == [way.tried[0]], way
    assert answer.headers["x-streamgauge-attempts"] == f"1/{way.tried[0]}"
    assert to.calls(answer.id) == ["1 first"], way
