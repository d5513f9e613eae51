"""The admin's stop on the control listener: what it answers, and to whom it listens."""

from __future__ import annotations

import pytest

from .listener_rig import FakePlane, listening

STREAM = "stream-0123456789"
PATH = f"/admin/streams/{STREAM}/stop"
JSON = "content-type: application/json"


def test_a_stream_that_is_there_is_stopped_once() -> None:
    with listening(FakePlane(streams={STREAM})) as listener:
        first, second = (listener.ask("POST", PATH, JSON, body=b"{}") for _ in range(2))
    assert (first.status, first.json()) == (200, {"id": STREAM, "stopped": True})
    assert (second.status, second.json()["error"]["message"]) == (404, "there is no such stream")


def test_while_the_data_loop_does_not_answer_it_says_so() -> None:
    with listening(FakePlane(busy=True, streams={STREAM})) as listener:
        answer = listener.ask("POST", PATH, JSON, body=b"{}")
    assert answer.status == 503
    assert "did not answer" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", (), 405),
        ("POST", ("content-type: text/plain",), 415),
        ("POST", (JSON, "origin: http://evil.example"), 403),
    ],
)
def test_a_page_of_another_origin_stops_nothing(
    method: str, headers: tuple[str, ...], status: int
) -> None:
    plane = FakePlane(streams={STREAM})
    with listening(plane) as listener:
        answer = listener.ask(method, PATH, *headers, body=b"{}" if method == "POST" else b"")
    assert answer.status == status
    assert plane.streams == {STREAM}


def test_where_a_token_is_set_nobody_stops_anything_without_it() -> None:
    plane = FakePlane(streams={STREAM})
    with listening(plane, token="token-of-the-test") as listener:
        answer = listener.ask("POST", PATH, JSON, body=b"{}")
        shown = "authorization: Bearer token-of-the-test"
        known = listener.ask("POST", PATH, JSON, shown, body=b"{}")
    assert (answer.status, known.status) == (401, 200)
