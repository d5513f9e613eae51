"""Exchanges with several choices: which have finished, and what is told where one was cut."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.record import Status

from ..grammar_check import OURS, legal
from .playbook import DONE, ROLE, USAGE, Play, chat_request, chunk, last_payload, request_of
from .translated_play import CUT, NO_MARKER, answering
from .upstream_wires import CLIENTS, heard


def piece(choice: int, said: str) -> bytes:
    """Return a chunk with a piece of one choice's text."""
    return chunk(choices=[{"index": choice, "delta": {"content": said}}])


def end(choice: int) -> bytes:
    """Return a chunk with one choice's finish."""
    return chunk(choices=[{"index": choice, "delta": {}, "finish_reason": "stop"}])


SPOKEN = (ROLE, piece(0, "a"), piece(1, "b"))


# --- relayed -------------------------------------------------------------------------------------


def relayed(*frames: bytes, n: Any = 2, ends: str = "cut") -> Play:
    """Return an exchange that asked for `n` answers and whose upstream's stream is over."""
    play = Play(chat_request(n=n, stream_options={"include_usage": True}))
    play.stream(*frames, end=ends)
    return play


@pytest.mark.parametrize("ends", ["complete", "cut", "reset"])
@pytest.mark.parametrize(
    "sent",
    [(*SPOKEN, end(0)), (*SPOKEN, end(1)), (ROLE, piece(0, "a"), end(0)), (*SPOKEN, end(0), USAGE)],
)
def test_a_relayed_choice_that_was_cut_is_told_though_another_had_finished(
    sent: tuple[bytes, ...], ends: str
) -> None:
    play = relayed(*sent, ends=ends)
    body = b"".join(sent)
    assert play.body.startswith(body)
    assert last_payload(play.body)["error"]["code"] == "stream_incomplete"
    assert play.body.count(b"data: ") == len(sent) + 1
    row = play.row
    assert (row.status, row.error_code) == (Status.STREAM_INCOMPLETE, "stream_incomplete")
    assert (row.finish_reason, row.anomalies) == (None, [])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_relayed_choices_that_all_finished_end_quietly_without_a_marker(
    order: tuple[int, int],
) -> None:
    sent = (*SPOKEN, *map(end, order))
    play = relayed(*sent)
    assert play.body == b"".join(sent)
    row = play.row
    assert (row.status, row.error_code) == (Status.STREAM_INCOMPLETE, None)
    assert (row.finish_reason, row.anomalies) == ("stop", NO_MARKER)


@pytest.mark.parametrize("n", [1, 2])
def test_a_marker_is_the_end_whatever_finished(n: int) -> None:
    play = relayed(*SPOKEN, end(0), USAGE, DONE, n=n, ends="complete")
    assert play.body.endswith(DONE)
    row = play.row
    assert (row.status, row.finish_reason, row.anomalies) == (Status.COMPLETED, "stop", [])


# --- translated ----------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [(ROLE, piece(0, "a"), end(0)), (*SPOKEN, end(0))])
def test_a_translated_choice_that_never_finished_is_told_as_cut(frames: tuple[bytes, ...]) -> None:
    play = Play(request_of("openai", n=2), attempt={"dialect": "openai"})
    play.stream(*frames, end="cut")
    told = heard("openai", play.body)
    assert (told.text[:1], told.error is not None, told.ended) == ("a", True, False)
    assert (play.row.status, play.row.anomalies) == (Status.STREAM_INCOMPLETE, [])


@pytest.mark.parametrize("client", CLIENTS)
def test_a_choice_that_still_speaks_is_waited_for(client: str) -> None:
    play = answering(client, "openai", ROLE, piece(0, "a"), end(0))
    for second in range(1, 9):
        play.do("upstream_data", piece(1, "b"), at=float(second))
        play.do("tick")
        play.do("tick", at=second + 0.9)
    play.data(end(1), USAGE, DONE)
    play.do("upstream_end", "complete")
    assert heard(client, play.body).usage == (9, 4)
    assert (play.row.status, play.row.anomalies) == (Status.COMPLETED, [])
    assert play.body.count(b'"b"') == (8 if client == "openai" else 0)


@pytest.mark.parametrize(
    ("client", "first", "told_as_cut"),
    [
        *((client, 1, True) for client in CLIENTS),
        ("openai", 0, True),
        # These tell of the first choice alone, and that one has finished.
        *((client, 0, False) for client in CLIENTS if client != "openai"),
    ],
)
def test_a_choice_that_was_cut_is_not_told_as_whole(
    client: str, first: int, told_as_cut: bool
) -> None:
    play = answering(client, "openai", ROLE, piece(0, "a"), piece(1, "b"))
    play.data(end(first))
    play.do("upstream_end", "cut")
    told, row = heard(client, play.body), play.row
    assert (told.error, told.ended) == ((CUT, False) if told_as_cut else (None, True))
    assert row.status is Status.STREAM_INCOMPLETE
    assert row.anomalies == ([] if told_as_cut else NO_MARKER)


def test_an_openai_client_gets_every_choice_and_others_the_first() -> None:
    frames = (ROLE, piece(0, "a"), piece(1, "b"), end(0), end(1), DONE)
    every = answering("openai", "openai", *frames, request=request_of("openai", n=2))
    assert json.loads(every.requests[0])["n"] == 2
    legal("openai", every.body, OURS)
    assert (every.body.count(b'"content":"b"'), every.body.count(b'"finish_reason":"stop"')) == (
        1,
        2,
    )
    for client in ("anthropic", "simple", "frames"):
        first = answering(client, "openai", *frames)
        assert heard(client, first.body).text == "a"
