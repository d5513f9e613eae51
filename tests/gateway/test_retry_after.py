"""What is made of an upstream's `retry-after`: seconds, fractions and dates, within a cap (SPEC §5.5)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from streamgauge.gateway.response_headers import retry_after, seconds_of


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("0", "0"), ("7", "7"), ("0.2", "1"), ("1.5", "2"), ("60", "60"), ("3600", "60"),
        ("inf", "60"), ("nan", None), ("-1", None), ("soon", None), ("", None), (None, None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", "0"), ("Wed, 21 Oct 9000 07:28:00 GMT", "60"),
        ("Wed, 21 Oct 9000 07:28:00", None), ("Wed, 41 Oct 9000 07:28:00 GMT", None),
        ("Wed, 21 Oct 99999999999999999999 07:28:00 GMT", None),
        ("Wed, 21 Oct 9000 07:28:00 +99999999999999", None),
    ],
)  # fmt: skip
def test_a_wait_is_told_in_whole_seconds_up_to_a_minute(
    value: str | None, told: str | None
) -> None:
    assert retry_after(value) == told


def test_a_date_is_the_time_until_then() -> None:
    then = datetime.now(UTC) + timedelta(seconds=30)
    told = seconds_of(format_datetime(then, usegmt=True), 60.0)
    assert told is not None
    assert 25 < told <= 30
    assert seconds_of(format_datetime(then, usegmt=True), 10.0) == 10.0
