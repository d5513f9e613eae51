"""Why an exchange ended so, in words: every status, disposition and anomaly has its text."""

from __future__ import annotations

import re
from dataclasses import asdict
from itertools import product
from typing import Any

import pytest

from streamgauge.core.record import Anomaly, Delivered, Disposition, Status
from streamgauge.ledger.oddities import ODDITIES, meaning_of
from streamgauge.ledger.reasons import ENDINGS, why

from ..cli.books import an_attempt, an_exchange

ROW = asdict(an_exchange("x"))


def told(*attempts: dict[str, Any], **values: Any) -> str:
    plain = {"delivered": Delivered.PART, "http_status": 200, "frames_in": 20, "frames_out": 20}
    return why({**ROW, **plain, **values}, attempts)


def attempt(n: int, **values: Any) -> dict[str, Any]:
    return asdict(an_attempt(an_exchange("x"), n, **values))


def test_every_status_and_every_anomaly_has_its_text() -> None:
    assert list(ENDINGS) == list(Status)
    assert list(ODDITIES) == list(Anomaly)
    assert all(len(text) > 20 for text in ODDITIES.values())
    assert len(set(ODDITIES.values())) == len(Anomaly)
    assert meaning_of("of_a_later_release") == ""


@pytest.mark.parametrize("status", Status)
def test_whatever_a_row_holds_there_are_sentences(status: Status) -> None:
    for disposition, delivered, streaming, frames, http, anomaly, first in product(
        [*Disposition, None], [*Delivered, None], [True, False, None], [0, 1, 20, None],
        [200, 499, 503, None], [None, "slow_reader", "finished_without_marker"], [None, 3.0],
    ):  # fmt: skip
        text = told(
            status=status, disposition=disposition, delivered=delivered, streaming=streaming,
            frames_in=frames, frames_out=frames, http_status=http, first_byte_ms=first,
            anomalies=[anomaly] if anomaly else [], finish_reason=None, success=None,
        )  # fmt: skip
        assert re.fullmatch(r"([A-Z][^.]+\. ?){1,4}", text), text
        assert not re.search(r"None|  |\( *\)|; *\.", text), text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"status": Status.SHUTDOWN, "error_code": "overloaded"},
         "The gateway failed after 20 frames, which its log tells; "
         "the client got an error end."),
        ({"status": Status.COMPLETED},
         "The upstream sent its end marker, and the client was there to the end."),
        ({"status": Status.COMPLETED, "streaming": False, "finish_normal": "length",
          "finish_reason": "max_tokens"},
         "The upstream's whole answer came, and the client was there to take it; "
         "the model was cut off by a token limit (max_tokens)."),
        ({"status": Status.STREAM_INCOMPLETE, "disposition": Disposition.READ_TO_END},
         "The upstream closed the stream without its end marker after 20 frames; "
         "the client got an error end."),
        ({"status": Status.STREAM_INCOMPLETE, "anomalies": ["finished_without_marker"]},
         "The upstream gave a finish reason (stop), but closed the stream without its end marker; "
         "the client's stream ended likewise, without an error."),
        ({"status": Status.UPSTREAM_TIMEOUT, "anomalies": ["finished_without_marker"],
          "disposition": Disposition.CANCELLED},
         "The upstream gave a finish reason (stop), then neither its end marker nor an end before "
         "a deadline passed; the client's stream ended without an error. "
         "The upstream's connection was closed, its answer unfinished."),
        ({"status": Status.STREAM_INCOMPLETE, "streaming": False, "http_status": 502},
         "The upstream broke off its answer; the client got HTTP 502."),
        ({"status": Status.CLIENT_DISCONNECTED, "disposition": Disposition.DRAINED, "success": True,
          "drain_ms": 690.0, "frames_in": 84, "frames_out": 18},
         "The client closed its connection after 18 frames. "
         "The upstream was read on, for 690 ms, to its end marker, for its final numbers."),
        ({"status": Status.CLIENT_DISCONNECTED, "disposition": Disposition.DRAIN_CAPPED,
          "frames_out": 1},
         "The client closed its connection after 1 frame. "
         "The upstream was read on for its final numbers until `drain` or a limit of its key allowed "
         "no more."),
        ({"status": Status.CLIENT_DISCONNECTED, "disposition": Disposition.CANCELLED,
          "frames_in": None, "frames_out": None, "first_byte_ms": None, "http_status": None},
         "The client closed its connection before the upstream had answered. "
         "The upstream's connection was closed, its answer unfinished."),
        ({"status": Status.CLIENT_DISCONNECTED, "disposition": Disposition.CANCELLED,
          "anomalies": ["slow_reader"]},
         "The client stayed, but read nothing for write_seconds, so it was cut off after 20 frames. "
         "The upstream's connection was closed, its answer unfinished."),
        ({"status": Status.CANCELLED, "disposition": Disposition.CANCELLED},
         "Somebody used the stop endpoint after 20 frames; the client got an error end. "
         "The upstream's connection was closed, its answer unfinished."),
        ({"status": Status.UPSTREAM_ERROR, "delivered": Delivered.NONE, "http_status": 502,
          "error_message": "the upstream refused the connection"},
         "The upstream failed or refused the call (the upstream refused the connection); "
         "the client got HTTP 502."),
        ({"status": Status.UPSTREAM_ERROR, "error_message": "Overloaded."},
         "The upstream reported an error after 20 frames (Overloaded); the client got an error end."),
        ({"status": Status.UPSTREAM_TIMEOUT, "frames_in": 0, "http_status": 504,
          "error_message": "the upstream's first token took longer than 300 s"},
         "A deadline passed before the first frame (the upstream's first token took longer than "
         "300 s); the client got HTTP 504."),
        ({"status": Status.REJECTED, "error_code": "no_route", "disposition": None,
          "error_message": "no upstream serves the model"},
         "The gateway refused the request (no_route: no upstream serves the model); "
         "nothing was sent upstream."),
        ({"status": "of_a_later_release"},
         "This release does not know the status 'of_a_later_release'."),
    ],
)  # fmt: skip
def test_the_words(values: dict[str, Any], text: str) -> None:
    assert told(**values) == text


def test_several_attempts_are_told_each() -> None:
    text = told(
        attempt(1, upstream="one", outcome="upstream_error", http_status=503),
        attempt(2, upstream="two", outcome=None, http_status=None),
    )
    assert text.endswith(
        " There were 2 attempts: 1 at one: upstream_error (HTTP 503), 2 at two: not ended."
    )


def test_a_long_message_is_cut() -> None:
    text = told(status=Status.UPSTREAM_ERROR, error_message="x" * 1000)
    assert f"({'x' * 300}…)" in text
