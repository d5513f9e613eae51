"""A request that repeats a failed one is known by its key, its session and what it asks for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.chat import ChatRequest, read_chat_request
from streamgauge.core.record import ExchangeRecord, Status
from streamgauge.core.repeats import MAX_BODY, REPEAT_SECONDS, Repeats

ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def request(session: str | None = "s", endpoint: str = "messages", **more: Any) -> ChatRequest:
    """Return a request of a session, streamed unless `more` says otherwise."""
    raw = json.dumps({**ASKED, "stream": True, **more}).encode()
    headers = {} if session is None else {b"x-session-id": session}
    return read_chat_request(endpoint, raw, headers.get)


def row(
    number: int = 1,
    status: Status = Status.STREAM_INCOMPLETE,
    key_id: str | None = None,
    success: bool = False,
) -> ExchangeRecord:
    """Return a closed row."""
    record = ExchangeRecord(f"exchange-{number:08}", "boot", 0, status=status, key_id=key_id)
    record.success = success
    return record


def failed(*rows: ExchangeRecord, asked: ChatRequest | None = None) -> Repeats:
    """Return a memory in which `rows` failed at 0 s, all asked alike."""
    repeats = Repeats()
    for record in rows:
        repeats.ended(record, request() if asked is None else asked, 0.0)
    return repeats


def test_the_same_request_again_is_linked_to_the_last_that_failed() -> None:
    assert failed(row(1), row(2)).find(None, request(), 1.0) == "exchange-00000002"


def test_claude_codes_repeat_without_a_stream_is_the_same_request() -> None:
    whole = read_chat_request("messages", json.dumps(ASKED).encode(), {b"x-session-id": "s"}.get)
    assert failed(row()).find(None, whole, 1.0) == row().id
    assert failed(row()).find(None, request(stream=False), 1.0) == row().id
    assert failed(row()).find(None, request(stream_options={"include_usage": True}), 1.0)


@pytest.mark.parametrize(
    ("key_id", "asked"),
    [
        ("key", request()),
        (None, request("t")),
        (None, request(None)),
        (None, request(endpoint="chat/completions")),
        (None, request(model="n")),
        (None, request(messages=[])),
    ],
    ids=["key", "session", "no session", "endpoint", "model", "messages"],
)
def test_another_request_is_no_repeat(key_id: str | None, asked: ChatRequest) -> None:
    assert failed(row()).find(key_id, asked, 1.0) is None


def test_without_key_and_session_the_body_alone_tells() -> None:
    assert failed(row(), asked=request(None)).find(None, request(None), 1.0) == row().id


@pytest.mark.parametrize("status", list(Status))
def test_what_failed_is_remembered_and_what_was_wished_for_is_not(status: Status) -> None:
    wished = status in (Status.COMPLETED, Status.CANCELLED, Status.SUPERSEDED)
    ended = row(status=status, success=status is Status.COMPLETED)
    assert len(failed(ended)) == (0 if wished else 1)


def test_a_client_that_left_behind_the_end_marker_had_its_answer() -> None:
    assert len(failed(row(status=Status.CLIENT_DISCONNECTED, success=True))) == 0


def test_after_ten_minutes_it_is_a_new_request() -> None:
    assert failed(row()).find(None, request(), REPEAT_SECONDS - 0.1) == row().id
    repeats = failed(row())
    assert repeats.find(None, request(), REPEAT_SECONDS) is None
    assert len(repeats) == 0


def test_a_repeat_that_fails_again_is_remembered_from_its_own_end() -> None:
    repeats = failed(row(1))
    repeats.ended(row(2), request(), 500.0)
    assert repeats.find(None, request(), 1000.0) == row(2).id
    assert len(repeats) == 1


def test_the_oldest_failures_are_forgotten_when_there_are_too_many() -> None:
    repeats = Repeats(most=3)
    for number in range(5):
        repeats.ended(row(number), request(str(number % 4)), float(number))
    assert len(repeats) == 3
    kept = [repeats.find(None, request(session), 5.0) for session in "0123"]
    assert kept == ["exchange-00000004", None, row(2).id, row(3).id]


def test_a_body_that_is_too_long_is_not_looked_at() -> None:
    long = request(system="x" * MAX_BODY)
    repeats = failed(row(), asked=long)
    repeats.ended(row(2), request(), 0.0)
    assert (len(repeats), repeats.find(None, long, 1.0)) == (1, None)


@pytest.mark.parametrize("odd", ["\ud800", 10**30, 1.5, None])
def test_whatever_json_holds_can_be_compared(odd: Any) -> None:
    assert failed(row(), asked=request(odd=odd)).find(None, request(odd=odd), 1.0) == row().id
    assert failed(row(), asked=request(odd=odd)).find(None, request(odd="x"), 1.0) is None


def test_who_failed_twice_is_still_known_when_the_first_is_forgotten() -> None:
    repeats = Repeats(most=1)
    repeats.ended(row(1), request(), 0.0)
    repeats.ended(row(2), request(model="n"), 1.0)
    assert repeats.find(None, request(), 2.0) is None
    assert repeats.find(None, request(model="n"), 2.0) == row(2).id
