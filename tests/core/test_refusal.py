"""What an upstream's refusal becomes for the client: mapped, and without secrets (SPEC §5.5, S11)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from streamgauge.core.answer import Answer, AnswerKind
from streamgauge.core.attempt import Attempt
from streamgauge.core.dialects.registry import SPOKEN
from streamgauge.core.events import Failed
from streamgauge.core.refusal import (
    error_of,
    error_of_stream,
    is_own_shape,
    names_option,
    redacted,
    redacted_bytes,
)

KEY, LONGER = "sk-secret-12345", "sk-secret-12345-more"


def attempt(**more: Any) -> Attempt:
    return Attempt("up", "openai", "m", secrets=frozenset({KEY, LONGER, "abc"}), **more)


def refusal(status: int, body: bytes, content_type: str | None = "application/json") -> Answer:
    answer = Answer(AnswerKind.REFUSED, status, content_type, None)
    answer.collect(body)
    return answer


def said(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "t"}}).encode()


# --- secrets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"bad key {KEY}.", "bad key [redacted]."),
        (f"{LONGER} {KEY}", "[redacted] [redacted]"),
        (f"{KEY}{KEY}", "[redacted][redacted]"),
        ("abc is no secret", "abc is no secret"),
        ("nothing", "nothing"),
        ("", ""),
    ],
)
def test_known_secrets_are_replaced_the_longest_first(text: str, expected: str) -> None:
    secrets = attempt().secrets
    assert redacted(text, secrets) == expected
    assert redacted_bytes(text.encode(), secrets) == expected.encode()


ODD = 'k"e\\y/+&<=é:😀\\'
SPELT = {
    "in JSON": json.dumps(ODD, ensure_ascii=False)[1:-1],
    "in JSON of ASCII": json.dumps(ODD)[1:-1],
    "in JSON with escaped slashes": json.dumps(ODD)[1:-1].replace("/", "\\/"),
    "in JSON that is safe in HTML": json.dumps(ODD)[1:-1]
    .replace("&", "\\u0026")
    .replace("<", "\\u003C"),
    "in JSON in JSON": json.dumps(json.dumps(ODD))[3:-3],
    "in a URL": quote(ODD, safe=""),
    "in a path": quote(ODD).lower(),
}


@pytest.mark.parametrize("way", SPELT)
def test_a_secret_is_known_however_it_was_escaped(way: str) -> None:
    text = 'data: {"error":"no key \\"%s\\"\\n"}'
    said, hidden = text % SPELT[way], text % "[redacted]"
    assert redacted(said, {ODD}) == hidden
    assert redacted_bytes(said.encode(), {ODD}) == hidden.encode()
    assert redacted(f"no key {ODD}!", {ODD}) == "no key [redacted]!"


def test_a_secret_with_one_letter_in_another_case_is_none() -> None:
    assert redacted("a/secret A/Secret", {"a/secret"}) == "[redacted] A/Secret"


def test_every_other_byte_of_a_frame_stays() -> None:
    frame = b"data: \xff\x00" + KEY.encode() + b"\r\n\r\n"
    assert redacted_bytes(frame, [KEY]) == b"data: \xff\x00[redacted]\r\n\r\n"


# --- error answers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "expected", "message"),
    [
        *(
            (s, said("no"), (s, "upstream_error"), "no")
            for s in (400, 402, 404, 408, 409, 413, 422, 429)
        ),
        *((s, said("no"), (s, "upstream_error"), "no") for s in (500, 503, 529)),
        (400, b'{"detail": "no"}', (400, "upstream_error"), "no"),
        (400, b'"no"', (400, "upstream_error"), "no"),
        (401, said("key?"), (502, "upstream_auth"), "credentials"),
        (403, said("key?"), (502, "upstream_auth"), "credentials"),
        (418, said("tea"), (502, "upstream_error"), "tea"),
        (500, b"<h1>secret page</h1>", (502, "upstream_error"), "status 500"),
        (429, b"", (502, "upstream_error"), "status 429"),
    ],
)
def test_an_error_status_keeps_what_the_client_may_know(
    status: int, body: bytes, expected: tuple[int, str], message: str
) -> None:
    error = error_of(refusal(status, body), attempt())
    assert (error.status, error.code) == expected
    assert message in error.message
    assert "secret page" not in error.message
    assert "key?" not in error.message


@pytest.mark.parametrize("status", [401, 403])
def test_with_the_clients_own_key_the_refusal_is_the_clients(status: int) -> None:
    error = error_of(refusal(status, said("your key")), attempt(pass_through_auth=True))
    assert (error.status, error.message) == (status, "your key")


def test_a_refusal_tells_no_secret() -> None:
    error = error_of(refusal(400, said(f"key {LONGER} of abc")), attempt())
    assert "secret" not in error.message
    assert error.message.endswith("of abc")


def test_no_member_of_a_refusal_tells_one() -> None:
    body = {"error": {"message": KEY, "type": f"a {KEY}", "param": f"x.{KEY}", "code": KEY}}
    error = error_of(refusal(400, json.dumps(body).encode()), attempt())
    assert KEY not in repr(vars(error)) + repr(error.args)
    for dialect in SPOKEN.values():
        assert KEY.encode() not in dialect.error_body(error, "id")


@pytest.mark.parametrize(
    ("failure", "more", "expected"),
    [
        (None, {}, (502, "upstream_error")),
        (Failed("no"), {}, (502, "upstream_error")),
        (Failed("no", status=429), {}, (429, "upstream_error")),
        (Failed("no", status=599), {}, (599, "upstream_error")),
        (Failed("no", status=200), {}, (502, "upstream_error")),
        (Failed("no", status=600), {}, (502, "upstream_error")),
        (Failed("no", status=401), {}, (502, "upstream_auth")),
        (Failed("no", status=403), {}, (502, "upstream_auth")),
        (Failed("no", status=401), {"pass_through_auth": True}, (401, "upstream_error")),
    ],
)
def test_an_error_in_the_stream_has_a_status(
    failure: Failed | None, more: dict[str, Any], expected: tuple[int, str]
) -> None:
    error = error_of_stream(failure, attempt(**more))
    assert (error.status, error.code) == expected
    assert error.message


@pytest.mark.parametrize("status", [None, 401, 500])
def test_an_error_in_the_stream_tells_no_secret(status: int | None) -> None:
    assert KEY not in error_of_stream(Failed(f"key {KEY}", status=status), attempt()).message


# --- shapes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "openai", "anthropic"),
    [
        (b'{"error": {"message": "no"}}', True, False),
        (b'{"error": "no"}', True, False),
        (b'{"type": "error", "error": {"type": "api_error", "message": "no"}}', True, True),
        (b'{"type": "error", "error": "no"}', True, False),
        (b'{"type": "error", "message": "no"}', True, False),
        (b'{"type": "response.failed"}', True, False),
        (b'{"message": "no"}', False, False),
        (b'{"error": null}', False, False),
        (b'{"error": 500}', False, False),
        (b'["error"]', False, False),
        (b"no json", False, False),
        (b"", False, False),
        (b'"\xff"', False, False),
        (b"[" * 100_000, False, False),
    ],
)
def test_an_error_frame_is_the_dialects_own_or_not(
    payload: bytes, openai: bool, anthropic: bool
) -> None:
    assert is_own_shape("openai", payload) is openai
    assert is_own_shape("anthropic", payload) is anthropic


@pytest.mark.parametrize(
    ("body", "ours"),
    [
        (b"unknown field stream_options", True),
        (b"include_usage is not permitted", True),
        (b"continuous_usage_stats", True),
        (b'"timings_per_token"', True),
        (b"unknown field temperature", False),
        (b"", False),
    ],
)
def test_a_refusal_names_the_option_that_we_added(body: bytes, ours: bool) -> None:
    assert names_option(body) is ours


def test_of_two_secrets_one_within_the_other_nothing_of_the_longer_stays() -> None:
    secrets = {"zz-secret", "a-zz-secret"}
    assert redacted("a-zz-secret zz-secret", secrets) == "[redacted] [redacted]"
    assert redacted_bytes(b"a-zz-secret zz-secret", secrets) == b"[redacted] [redacted]"
    assert redacted("123456 12345", {"123456", "12345"}) == "[redacted] 12345"
    assert redacted_bytes(b"123456 12345", {"123456", "12345"}) == b"[redacted] 12345"


def test_a_failure_that_nothing_describes_has_words_of_ours() -> None:
    error = error_of_stream(None, attempt())
    assert (error.status, error.code, error.message) == (
        502,
        "upstream_error",
        "the upstream reported an error",
    )
