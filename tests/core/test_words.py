"""What clients are told when something fails, word for word: people search for these sentences."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.answer import answer_kind
from streamgauge.core.chat import MAX_LABEL, read_chat_request
from streamgauge.core.errors import ErrorCode, GatewayError, RequestError
from streamgauge.core.json_text import MAX_DEPTH, MAX_DIGITS, read_object
from streamgauge.core.nano import nano_from_decimal
from streamgauge.core.record import Status
from streamgauge.core.verdict import (
    CLIENT_LEFT,
    COMPLETED,
    FINISHED_WITHOUT_MARKER,
    LEDGER_UNAVAILABLE,
    OVERLOADED,
    SHUTDOWN,
    STOPPED,
    Verdict,
    after_end,
    failed,
    protocol_error,
    refused,
    timed_out,
)

Told = tuple[str, int, str, str]


def told(verdict: Verdict) -> Told:
    """Return status, HTTP status, code and message of an error that is not quiet."""
    assert verdict.error is not None
    assert not verdict.quiet
    return verdict.status, verdict.error.status, verdict.error.code, verdict.error.message


def upstream(message: str) -> Told:
    return "upstream_error", 502, "upstream_error", message


def protocol(message: str) -> Told:
    return "upstream_protocol_error", 502, "upstream_protocol_error", message


REACHED = "the upstream could not be reached"
RESET = "the upstream reset the connection before it answered"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("dns", upstream("the upstream's name could not be resolved")),
        ("refused", upstream("the upstream refused the connection")),
        ("connect", upstream(REACHED)),
        ("something new", upstream(REACHED)),
        ("tls", upstream("the upstream's TLS handshake failed")),
        ("reset", upstream(RESET)),
        ("closed", upstream("the upstream closed the connection before it answered")),
        (
            "connect_timeout",
            (
                "upstream_timeout",
                504,
                "upstream_timeout",
                "the upstream did not accept the connection in time",
            ),
        ),
        ("protocol", protocol("the upstream's answer is not legal HTTP")),
        (
            "coding",
            protocol("the upstream's answer has a content coding that was not asked for"),
        ),
        (
            "exhausted",
            ("rejected", 503, "overloaded", "the gateway has no descriptor left for a call"),
        ),
    ],
)
def test_a_call_without_a_head(kind: str, expected: Told) -> None:
    assert told(failed(kind)) == expected


CUT = (
    "stream_incomplete",
    502,
    "stream_incomplete",
    "the upstream ended the stream before it was finished",
)


@pytest.mark.parametrize(
    ("kind", "finished", "began", "expected"),
    [
        *((kind, False, True, CUT) for kind in ("complete", "cut", "reset")),
        *((kind, False, False, CUT) for kind in ("complete", "cut")),
        ("reset", False, False, upstream(RESET)),
        *(
            ("protocol", f, b, protocol("the upstream's answer could not be read to its end"))
            for f in (False, True)
            for b in (False, True)
        ),
    ],
)
def test_a_stream_that_ended_early(kind: str, finished: bool, began: bool, expected: Told) -> None:
    assert told(after_end(kind, finished=finished, began=began)) == expected


@pytest.mark.parametrize("kind", ["complete", "cut", "reset"])
def test_a_finished_stream_without_its_marker_ends_quietly(kind: str) -> None:
    assert after_end(kind, finished=True, began=True) is FINISHED_WITHOUT_MARKER
    assert Verdict(Status.STREAM_INCOMPLETE, None, quiet=True) == FINISHED_WITHOUT_MARKER


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (STOPPED, ("cancelled", 499, "stream_cancelled", "the stream was stopped")),
        (SHUTDOWN, ("shutdown", 503, "server_shutdown", "the gateway is shutting down")),
        (
            LEDGER_UNAVAILABLE,
            ("rejected", 503, "ledger_unavailable", "the ledger cannot be written"),
        ),
        (OVERLOADED, told(failed("exhausted"))),
        (
            timed_out("first token", 2.50),
            (
                "upstream_timeout",
                504,
                "upstream_timeout",
                "the upstream's first token took longer than 2.5 s",
            ),
        ),
        (protocol_error("a"), protocol("a")),
        (
            refused(GatewayError(418, ErrorCode.UPSTREAM_AUTH, "a")),
            ("upstream_error", 418, "upstream_auth", "a"),
        ),
    ],
)
def test_each_verdict_of_an_error(verdict: Verdict, expected: Told) -> None:
    assert told(verdict) == expected


def test_the_verdicts_without_an_error() -> None:
    assert Verdict(Status.COMPLETED, None, quiet=False) == COMPLETED
    assert Verdict(Status.CLIENT_DISCONNECTED, None, quiet=False) == CLIENT_LEFT


@pytest.mark.parametrize(
    ("status", "content_type", "streaming", "expected"),
    [
        (302, None, True, upstream("the upstream answered with a redirect")),
        (204, None, True, protocol("the upstream answered with status 204")),
        (
            200,
            "Text/HTML; charset=x; y",
            True,
            protocol("the upstream answered with text/html, not with what was asked for"),
        ),
        (
            200,
            "x" * 90,
            True,
            protocol(f"the upstream answered with {'x' * 80}, not with what was asked for"),
        ),
    ],
)
def test_a_head_that_was_not_asked_for(
    status: int, content_type: str | None, streaming: bool, expected: Told
) -> None:
    found = answer_kind(status, content_type, streaming)
    assert isinstance(found, Verdict)
    assert told(found) == expected


# --- the client's own faults ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"a":1,"a":2}', "the body has a duplicate key in one of its objects"),
        (b'{"a":1e999}', "the body has a number that is too large"),
        (b'{"a":' + b"9" * 4301 + b"}", "the body has an integer of more than 4300 digits"),
        (b'{"a":NaN}', "NaN is not JSON"),
        (b'{"a":-Infinity}', "-Infinity is not JSON"),
        (b'{"a":"\xff"}', "the body is not UTF-8 at byte 6"),
        (b'{"a" 1}', "the body is not JSON: Expecting ':' delimiter at character 5"),
        (b"[" * 100_000, "the body is nested deeper than 128 levels"),
        (b'{"a":' * 129 + b"1" + b"}" * 129, "the body is nested deeper than 128 levels"),
        (b"[]", "the body is not a JSON object"),
    ],
)
def test_a_body_that_is_refused_says_why(raw: bytes, message: str) -> None:
    assert (MAX_DEPTH, MAX_DIGITS) == (128, 4300)
    with pytest.raises(RequestError) as caught:
        read_object(raw)
    error = caught.value
    assert (error.message, str(error), error.status, error.code, error.param) == (
        message,
        message,
        400,
        ErrorCode.BAD_REQUEST,
        None,
    )


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({"model": ""}, "model", "model must be a non-empty string"),
        ({"model": 7}, "model", "model must be a non-empty string"),
        ({"model": "m" * 257}, "model", "model is longer than 256 characters"),
        ({"model": "a\n"}, "model", "model has a character that cannot be printed: U+000A"),
        ({"model": "a\xa0b"}, "model", "model has a character that cannot be printed: U+00A0"),
        ({"stream": 1}, "stream", "stream must be true or false"),
    ],
)
def test_a_field_that_is_refused_says_why(body: dict[str, Any], param: str, message: str) -> None:
    assert MAX_LABEL == 256
    with pytest.raises(RequestError) as caught:
        read_chat_request("messages", json.dumps(body).encode(), lambda name: None)
    assert (caught.value.message, caught.value.param) == (message, param)


@pytest.mark.parametrize(
    ("amount", "message"),
    [
        ("0.1234567891", "more than 9 decimals"),
        ("x", "not a decimal number"),
        ("NaN", "not a possible amount"),
        ("1e19", "not a possible amount"),
    ],
)
def test_an_amount_that_is_refused_says_why(amount: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        nano_from_decimal(amount)
    assert nano_from_decimal("1e18") == 10**27
