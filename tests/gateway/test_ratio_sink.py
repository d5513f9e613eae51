"""Which finished exchanges teach a ratio, live and from the ledger's rows."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from streamgauge.core.record import ExchangeRecord
from streamgauge.core.routing.ratios import Ratio, Ratios
from streamgauge.gateway.ratio_sink import RatioSink


def record(**more: object) -> ExchangeRecord:
    """Return a finished exchange of 10 tokens read and 30 written, with `more` laid over it."""
    plain = {
        "upstream_model": "m",
        "usage_source": "provider",
        "input_tokens": 10,
        "output_tokens": 30,
    }
    return ExchangeRecord("id", "me", 1, **{**plain, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("more", "learnt"),
    [
        ({}, True),
        ({"usage_source": "timings"}, True),
        ({"usage_source": "running"}, True),
        ({"usage_source": "counted"}, False),
        ({"usage_source": "none"}, False),
        ({"usage_source": None}, False),
        ({"upstream_model": None}, False),
        ({"input_tokens": None}, False),
        ({"output_tokens": None}, False),
    ],
)
def test_only_an_upstream_s_own_counts_teach(more: dict[str, object], learnt: bool) -> None:
    live, seeded = Ratios(), Ratios()
    one = record(**more)
    RatioSink(lambda: live).started(one)
    assert len(live) == 0
    RatioSink(lambda: live).write(one)
    RatioSink(lambda: seeded).seed([asdict(one)])
    expected = Ratio(10, 30, 1) if learnt else None
    assert live.ratio("m") == seeded.ratio("m") == expected


def test_a_key_s_exchanges_are_its_own_and_everybody_s() -> None:
    ratios = Ratios()
    sink = RatioSink(lambda: ratios)
    sink.write(record(key_id="a"))
    sink.write(record(key_id="b", output_tokens=10))
    assert ratios.ratio("m", "a") == Ratio(10, 30, 1)
    assert ratios.ratio("m", "b") == Ratio(10, 10, 1)
    assert ratios.ratio("m") == ratios.ratio("m", "c") == Ratio(20, 40, 2)
