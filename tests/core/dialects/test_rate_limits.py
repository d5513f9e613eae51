"""The headers that tell a key's limits, letter by letter, as the two vendors write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from streamgauge.core.chat import DialectName
from streamgauge.core.dialects.rate_limits import rate_limit_headers
from streamgauge.core.limit_terms import Standing

WALL = int(datetime(2026, 2, 28, 23, 59, 30, tzinfo=UTC).timestamp()) * 1_000_000 + 999_999
BOTH = Standing(60, 59, 1, 5000, 0, 61)


def told(dialect: DialectName, standing: Standing) -> dict[str, str]:
    headers = rate_limit_headers(dialect, standing, WALL)
    return {name.decode(): value.decode() for name, value in headers}


@pytest.mark.parametrize("dialect", ["openai", "simple", "frames"])
def test_openai_s_form(dialect: DialectName) -> None:
    assert told(dialect, BOTH) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "5000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "1m1s",
    }


def test_anthropic_s_form_with_times_of_rfc_3339() -> None:
    assert told("anthropic", BOTH) == {
        "anthropic-ratelimit-requests-limit": "60",
        "anthropic-ratelimit-requests-remaining": "59",
        "anthropic-ratelimit-requests-reset": "2026-02-28T23:59:31Z",
        "anthropic-ratelimit-tokens-limit": "5000",
        "anthropic-ratelimit-tokens-remaining": "0",
        "anthropic-ratelimit-tokens-reset": "2026-03-01T00:00:31Z",
    }


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_a_limit_that_is_not_there_is_not_told(dialect: DialectName) -> None:
    assert told(dialect, Standing()) == {}
    assert all("requests" in name for name in told(dialect, Standing(1, 1)))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (60, "1m0s"), (3600, "1h0m0s"), (7384, "2h3m4s")]
)
def test_a_wait_is_written_in_hours_minutes_and_seconds(seconds: int, text: str) -> None:
    standing = Standing(1, 1, seconds)
    assert told("openai", standing)["x-ratelimit-reset-requests"] == text
