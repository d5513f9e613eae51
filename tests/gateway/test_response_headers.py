"""Whose limits an answer's head tells: the upstream's, or those of the client's key."""

from __future__ import annotations

import pytest

from streamgauge.gateway.http import Header
from streamgauge.gateway.response_headers import from_upstream

UPSTREAM: tuple[Header, ...] = (
    (b"x-ratelimit-remaining-requests", b"9999"),
    (b"anthropic-ratelimit-tokens-limit", b"80000"),
    (b"openai-version", b"2020-10-01"),
    (b"set-cookie", b"a=b"),
)


def test_a_client_without_limits_is_told_those_of_the_upstream() -> None:
    assert from_upstream(UPSTREAM) == list(UPSTREAM[:3])


@pytest.mark.parametrize("name", [b"x-ratelimit-limit-requests", b"anthropic-ratelimit-x"])
def test_a_key_s_own_limits_stand_in_the_place_of_the_upstream_s(name: bytes) -> None:
    own = ((name, b"10"),)
    assert from_upstream(UPSTREAM, own) == [UPSTREAM[2], *own]
