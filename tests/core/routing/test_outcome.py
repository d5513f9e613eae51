"""What an attempt's end tells of its upstream: a request at fault is no fault of the upstream's."""

from __future__ import annotations

import pytest

from streamgauge.core.record import AttemptRecord, Status
from streamgauge.core.routing.outcome import Outcome, outcome_of

GOOD, FAULTY, SILENT = Outcome.GOOD, Outcome.FAULTY, Outcome.SILENT


@pytest.mark.parametrize(
    ("status", "http", "last_token", "outcome"),
    [
        (Status.COMPLETED, 200, 5.0, GOOD),
        (Status.COMPLETED, None, None, GOOD),
        (Status.UPSTREAM_ERROR, None, None, FAULTY),
        (Status.UPSTREAM_ERROR, 200, 5.0, FAULTY),
        (Status.UPSTREAM_ERROR, 500, 5.0, FAULTY),
        (Status.UPSTREAM_ERROR, 503, 5.0, FAULTY),
        (Status.UPSTREAM_ERROR, 399, 5.0, FAULTY),
        (Status.UPSTREAM_ERROR, 400, 5.0, GOOD),
        (Status.UPSTREAM_ERROR, 401, 5.0, GOOD),
        (Status.UPSTREAM_ERROR, 499, 5.0, GOOD),
        (Status.UPSTREAM_ERROR, 408, 5.0, SILENT),
        (Status.UPSTREAM_ERROR, 425, 5.0, SILENT),
        (Status.UPSTREAM_ERROR, 429, 5.0, SILENT),
        (Status.UPSTREAM_TIMEOUT, None, None, FAULTY),
        (Status.UPSTREAM_PROTOCOL_ERROR, 200, 5.0, FAULTY),
        (Status.STREAM_INCOMPLETE, 200, 5.0, FAULTY),
        (Status.CLIENT_DISCONNECTED, None, None, SILENT),
        (Status.CLIENT_DISCONNECTED, 200, None, SILENT),
        (Status.CLIENT_DISCONNECTED, 500, None, SILENT),
        (Status.CLIENT_DISCONNECTED, 200, 5.0, GOOD),
        (Status.CANCELLED, None, None, SILENT),
        (Status.SUPERSEDED, 200, 0.0, GOOD),
        (None, None, None, SILENT),
    ],
)
def test_how_an_attempt_speaks_for_its_upstream(
    status: Status | None, http: int | None, last_token: float | None, outcome: Outcome
) -> None:
    attempt = AttemptRecord("id", 1, "up", "openai")
    attempt.outcome, attempt.error_code = status, "upstream_error"
    attempt.http_status, attempt.first_byte_ms, attempt.last_token_ms = http, 5.0, last_token
    assert outcome_of(attempt) is outcome


@pytest.mark.parametrize("status", [Status.STREAM_INCOMPLETE, Status.UPSTREAM_TIMEOUT])
def test_an_answer_that_lacks_only_its_end_marker_speaks_well(status: Status) -> None:
    attempt = AttemptRecord("id", 1, "up", "openai", http_status=200)
    attempt.outcome, attempt.last_token_ms = status, 5.0
    assert outcome_of(attempt) is GOOD
