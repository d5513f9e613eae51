"""Records as rows: copied at the call, safe to bind, cheap."""

from __future__ import annotations

import json
import math
import sqlite3
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.errors import ErrorCode
from streamgauge.core.record import Anomaly
from streamgauge.ledger.rows import ATTEMPTS, REQUESTS, storable_text

from .ledger_rig import a_record, an_attempt, closed

ANY_TEXT = st.text(st.characters(categories=None) | st.sampled_from("\0\ud800\udfff"))


def column(record: Any, name: str) -> Any:
    return dict(zip(REQUESTS.names, REQUESTS.row(record), strict=True))[name]


@settings(deadline=None)
@given(ANY_TEXT)
def test_any_text_can_be_stored_and_keeps_its_length(text: str) -> None:
    stored = storable_text(text)
    connection = sqlite3.connect(":memory:")
    assert connection.execute("SELECT ?, length(?)", (stored, stored)).fetchone() == (
        stored,
        len(text),
    )
    connection.close()
    assert [s for t, s in zip(text, stored, strict=True) if s != t] == ["\ufffd"] * sum(
        t == "\0" or "\ud800" <= t <= "\udfff" for t in text
    )


@pytest.mark.parametrize("text", ["", "plain", "gemma-3 ü 漢 😀"])
def test_sound_text_is_left_alone(text: str) -> None:
    assert storable_text(text) == text


def test_enums_become_plain_text_and_booleans_numbers() -> None:
    record = closed(a_record("r"), streaming=False, error_code=ErrorCode.LIMIT_REACHED)
    for name, value in (("status", "completed"), ("error_code", "limit_reached")):
        assert column(record, name) == value
        assert type(column(record, name)) is str
    assert (column(record, "success"), column(record, "streaming")) == (1, 0)
    assert type(column(record, "success")) is int


def test_anomalies_are_a_json_array() -> None:
    assert column(a_record("r"), "anomalies") == "[]"
    noted = a_record("r", anomalies=[Anomaly.SECOND_MARKER, "bad\ud800"])
    assert json.loads(column(noted, "anomalies")) == ["second_marker", "bad\ufffd"]


def test_unknown_stays_none_and_zero_stays_zero() -> None:
    record = a_record("r", input_tokens=0, ttft_ms=0.0, success=None)
    assert (column(record, "input_tokens"), column(record, "ttft_ms")) == (0, 0.0)
    assert column(record, "output_tokens") is None
    assert column(record, "success") is None


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_lacks_is_unknown(number: float) -> None:
    assert column(a_record("r", ttft_ms=number), "ttft_ms") is None


def test_a_row_is_a_copy() -> None:
    record = a_record("r", anomalies=["bad_json"])
    row = REQUESTS.row(record)
    record.anomalies.append("model_changed")
    closed(record)
    assert row == REQUESTS.row(a_record("r", anomalies=["bad_json"]))


def test_copying_costs_the_loop_little() -> None:
    record = closed(a_record("r" * 26, client_app="claude-cli/1.0", upstream="sim", ttft_ms=1.5))
    attempt = an_attempt("r" * 26)
    best = min(_seconds(record, attempt) for _ in range(20))
    assert best < 5 * 15e-6


def _seconds(record: Any, attempt: Any) -> float:
    start = time.perf_counter()
    for _ in range(100):
        REQUESTS.row(record)
        ATTEMPTS.row(attempt)
    return (time.perf_counter() - start) / 100
