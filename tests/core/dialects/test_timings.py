"""llama.cpp's timings: which numbers are believed (WIRE §6.2)."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from streamgauge.core.dialects.timings import timings_events, timings_of
from streamgauge.core.events import Event, Noted, TimingsReported
from streamgauge.core.record import Anomaly
from streamgauge.core.usage import MAX_COUNT, Timings

ODD = Noted(Anomaly.TYPE_MISMATCH)
WHOLE = {
    "prompt_n": 1,
    "prompt_ms": 2.5,
    "prompt_per_second": 3.5,
    "predicted_n": 4,
    "predicted_ms": 5.5,
    "predicted_per_second": 6.5,
    "cache_n": 7,
}


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        (WHOLE, (TimingsReported(Timings(**WHOLE)),)),  # type: ignore[arg-type]
        ({}, ()),
        ({"other": 1}, ()),
        (dict.fromkeys(WHOLE), ()),
        (dict.fromkeys(WHOLE, 0), (TimingsReported(Timings(0, 0.0, 0.0, 0, 0.0, 0.0, 0)),)),
        ({"prompt_n": MAX_COUNT}, (TimingsReported(Timings(MAX_COUNT)),)),
        ({"prompt_n": MAX_COUNT + 1}, (ODD,)),
        ({"cache_n": -1, "prompt_n": 3}, (TimingsReported(Timings(3)), ODD)),
        ({"predicted_n": -1}, (ODD,)),
        ({"predicted_n": 1.5}, (ODD,)),
        ({"predicted_n": True}, (ODD,)),
        ({"prompt_ms": True}, (ODD,)),
        ({"prompt_ms": "1"}, (ODD,)),
        ({"prompt_ms": -0.5, "cache_n": 2}, (TimingsReported(Timings(cache_n=2)), ODD)),
        ({"predicted_ms": 3}, (TimingsReported(Timings(predicted_ms=3.0)),)),
        ([], (ODD,)),
        (7, (ODD,)),
    ],
)
def test_each_number_is_believed_for_itself(stated: Any, told: tuple[Event, ...]) -> None:
    found = timings_events(msgspec.Raw(json.dumps(stated).encode()))
    assert found == timings_of(stated) == told
    assert repr(found) == repr(told), "also the types of the numbers"


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e400"])
def test_a_time_that_is_no_number_is_not_believed(number: bytes) -> None:
    assert timings_events(msgspec.Raw(b'{"prompt_ms":' + number + b"}")) == (ODD,)


@pytest.mark.parametrize(
    ("value", "read"),
    [(Decimal("1.5"), 1.5), (Decimal("NaN"), None), (MAX_COUNT, float(MAX_COUNT)), (2e16, None)],
)
def test_a_time_may_be_any_number_up_to_the_largest_count(value: Any, read: float | None) -> None:
    told = timings_of({"prompt_per_second": value})
    assert told == ((ODD,) if read is None else (TimingsReported(Timings(prompt_per_second=read)),))


def test_what_cannot_be_read_at_all_is_odd() -> None:
    assert timings_events(msgspec.Raw(b"{")) == (ODD,)
