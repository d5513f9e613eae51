"""Refusals as clients get them: status, `retry-after` and body in the dialect of their path (SPEC §5.5)."""

from __future__ import annotations

import json

import pytest

from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.gateway.rejections import refusal

PATHS = ("/v1/chat/completions", "/v1/messages")


@pytest.mark.parametrize(
    "code", [ErrorCode.OVERLOADED, ErrorCode.LEDGER_UNAVAILABLE, ErrorCode.SERVER_SHUTDOWN]
)
def test_who_is_shed_is_told_when_to_come_again(code: ErrorCode) -> None:
    for path in PATHS:
        status, headers, body = refusal(path, GatewayError(503, code, "why"), "id")
        anthropic = path == PATHS[1] and code is not ErrorCode.SERVER_SHUTDOWN
        assert status == (529 if anthropic else 503)
        assert dict(headers)[b"retry-after"] == b"1"
        assert json.loads(body)["error"]["code"] == code


@pytest.mark.parametrize("path", PATHS)
def test_a_fault_of_our_own_is_a_500_which_no_wait_is_known_to_cure(path: str) -> None:
    status, headers, body = refusal(path, GatewayError(500, ErrorCode.OVERLOADED, "why"), "id")
    assert (status, json.loads(body)["error"]["code"]) == (500, "overloaded")
    assert b"retry-after" not in dict(headers)


def test_a_wait_that_is_known_is_told_whatever_the_code() -> None:
    error = GatewayError(429, ErrorCode.UNAUTHORIZED, "why", retry_after=7)
    assert dict(refusal(None, error, "id")[1])[b"retry-after"] == b"7"
