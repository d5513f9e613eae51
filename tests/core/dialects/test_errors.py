"""What the client is told of a failure, ours or an upstream's, in each dialect."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from streamgauge.core.dialects.base import error_of_answer, mapped_error, normal_finish
from streamgauge.core.dialects.registry import DIALECTS, dialect_of
from streamgauge.core.errors import ErrorCode, GatewayError, RequestError

Capture = Callable[[str], bytes]
ID = "req_0123456789abcdef"


@pytest.mark.parametrize(
    ("status", "code", "openai", "anthropic", "anthropic_status"),
    [
        (400, ErrorCode.BAD_REQUEST, "invalid_request_error", "invalid_request_error", 400),
        (401, ErrorCode.UNAUTHORIZED, "authentication_error", "authentication_error", 401),
        (402, ErrorCode.LIMIT_REACHED, "insufficient_quota", "billing_error", 402),
        (403, ErrorCode.UPSTREAM_AUTH, "permission_error", "permission_error", 403),
        (404, ErrorCode.NO_ROUTE, "not_found_error", "not_found_error", 404),
        (409, ErrorCode.BAD_REQUEST, "invalid_request_error", "invalid_request_error", 409),
        (413, ErrorCode.BAD_REQUEST, "invalid_request_error", "request_too_large", 413),
        (429, ErrorCode.LIMIT_REACHED, "rate_limit_error", "rate_limit_error", 429),
        (502, ErrorCode.UPSTREAM_ERROR, "server_error", "api_error", 502),
        (503, ErrorCode.OVERLOADED, "server_error", "overloaded_error", 529),
        (503, ErrorCode.LEDGER_UNAVAILABLE, "server_error", "overloaded_error", 529),
        (503, ErrorCode.UPSTREAM_ERROR, "server_error", "api_error", 503),
        (504, ErrorCode.UPSTREAM_TIMEOUT, "server_error", "timeout_error", 504),
        (529, ErrorCode.UPSTREAM_ERROR, "server_error", "overloaded_error", 529),
    ],
)
def test_the_error_of_each_dialect(
    status: int, code: ErrorCode, openai: str, anthropic: str, anthropic_status: int
) -> None:
    error = GatewayError(status, code, 'no "ü"\n', param="model")
    plain, messages = DIALECTS["openai"], DIALECTS["anthropic"]
    assert plain.error_status(error) == status
    assert json.loads(plain.error_body(error, ID)) == {
        "error": {"message": 'no "ü"\n', "type": openai, "param": "model", "code": code.value}
    }
    assert messages.error_status(error) == anthropic_status
    assert json.loads(messages.error_body(error, ID)) == {
        "type": "error",
        "error": {"type": anthropic, "message": 'no "ü"\n', "code": code.value},
        "request_id": ID,
    }


def test_open_circuits_are_an_overload_to_anthropic_clients() -> None:
    error = GatewayError(503, ErrorCode.UPSTREAM_ERROR, "not called", retry_after=9)
    assert DIALECTS["openai"].error_status(error) == 503
    assert DIALECTS["anthropic"].error_status(error) == 529
    body = json.loads(DIALECTS["anthropic"].error_body(error, ID))
    assert body["error"] == {
        "type": "overloaded_error",
        "message": "not called",
        "code": "upstream_error",
    }


def test_an_error_frame_is_the_body_in_one_frame() -> None:
    error = RequestError("a\n\nb\ud800")
    for name, head in (("openai", b"data: {"), ("anthropic", b"event: error\ndata: {")):
        frame = DIALECTS[name].error_frame(error, ID)
        assert frame.startswith(head)
        assert frame.endswith(b"}\n\n")
        assert frame.count(b"\n\n") == 1
        body = DIALECTS[name].error_body(error, ID)
        assert frame.partition(b"data: ")[2].strip() == body


def test_the_responses_error_frame_is_an_event_of_its_own() -> None:
    frame = DIALECTS["openai"].error_frame(RequestError("no"), ID, "responses")
    assert frame.startswith(
        b'event: error\ndata: {"type":"error","message":"no","code":"bad_request"'
    )


@pytest.mark.parametrize(
    ("body", "message", "kind"),
    [
        (b'{"error":{"message":"m","type":"t","param":null,"code":"c"}}', "m", "t"),
        (b'{"error":"m"}', "m", None),
        (b'{"detail":"m"}', "m", None),
        (b'{"detail":[{"loc":["body"],"msg":"m"},{"msg":"n"}]}', "m; n", None),
        (b'{"error":{"code":400,"message":"m","type":"t","n_ctx":4096}}', "m", "t"),
        (b'{"type":"error","error":{"type":"t","message":"m"},"request_id":"r"}', "m", "t"),
        (b'{"code":500,"message":"m","type":"t"}', "m", "t"),
        (b'{"error":{"code":429,"message":"m","metadata":{"raw":"x"}}}', "m", None),
        (b'\xef\xbb\xbf{"error":"m\xff"}', "m\ufffd", None),
        (b'"m"', "m", None),
        (b'[{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}]', "m", None),
        (b"{}", "the upstream reported an error without a message", None),
        (
            b'{"error":{"message":7,"type":[]}}',
            "the upstream reported an error without a message",
            None,
        ),
    ],
)
def test_an_error_body_in_any_shape_is_read(body: bytes, message: str, kind: str | None) -> None:
    refusal = error_of_answer(400, "application/json", body)
    assert (refusal.message, refusal.type, refusal.json) == (message, kind, True)


@pytest.mark.parametrize(
    "body", [b"<h1>oops</h1>", b"", b"7", b"[]", b"[7]", b"[[]]", b"{", b"\x00" * 9, b"[" * 9999]
)
def test_a_page_is_no_message(body: bytes) -> None:
    refusal = error_of_answer(500, "text/html; charset=x", body)
    assert not refusal.json
    assert refusal.message == "the upstream answered with status 500 and no JSON (text/html)"


@pytest.mark.parametrize(
    "status", [400, 402, 404, 408, 409, 413, 422, 429, 500, 502, 503, 529, 599]
)
def test_json_errors_keep_status_message_and_type(status: int) -> None:
    refusal = error_of_answer(
        status, None, b'{"error":{"message":"m","type":"exceed_context_size_error"}}'
    )
    error = mapped_error(status, refusal)
    assert (error.status, error.code, error.message) == (status, ErrorCode.UPSTREAM_ERROR, "m")
    told = json.loads(DIALECTS["openai"].error_body(error, ID))["error"]
    assert (told["type"], told["code"]) == ("exceed_context_size_error", "upstream_error")
    known = json.loads(DIALECTS["anthropic"].error_body(error, ID))["error"]["type"]
    assert known.endswith("_error") or known == "request_too_large"
    assert known != "exceed_context_size_error"


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, b'{"error":"key sk-12345678"}', ErrorCode.UPSTREAM_AUTH),
        (403, b"<html>", ErrorCode.UPSTREAM_AUTH),
        (405, b'{"error":"m"}', ErrorCode.UPSTREAM_ERROR),
        (418, b'{"error":"m"}', ErrorCode.UPSTREAM_ERROR),
        (500, b"<html>", ErrorCode.UPSTREAM_ERROR),
        (429, b"slow down", ErrorCode.UPSTREAM_ERROR),
        (101, b"", ErrorCode.UPSTREAM_PROTOCOL_ERROR),
        (204, b"", ErrorCode.UPSTREAM_PROTOCOL_ERROR),
        (300, b"", ErrorCode.UPSTREAM_ERROR),
        (302, b"", ErrorCode.UPSTREAM_ERROR),
        (307, b'{"error":"m"}', ErrorCode.UPSTREAM_ERROR),
    ],
)
def test_everything_else_is_a_502(status: int, body: bytes, code: ErrorCode) -> None:
    error = mapped_error(status, error_of_answer(status, None, body))
    assert (error.status, error.code) == (502, code)
    assert "sk-" not in error.message
    assert "<" not in error.message


def test_with_the_clients_own_key_the_client_learns_of_its_refusal() -> None:
    refusal = error_of_answer(401, None, b'{"error":{"message":"bad key sk-12345678","type":"x"}}')
    error = mapped_error(401, refusal, pass_through_auth=True)
    assert (error.status, error.message) == (401, "bad key [redacted]")


@pytest.mark.parametrize(
    ("case", "status", "start"),
    [
        ("chat_err_badjson", 400, "[json.exception.parse_error.101]"),
        ("chat_err_context", 400, "request (6005 tokens) exceeds"),
        ("messages_err_context", 400, "request (6005 tokens) exceeds"),
        ("notfound", 404, "File Not Found"),
    ],
)
def test_recorded_errors_keep_their_words_in_both_dialects(
    capture: Capture, case: str, status: int, start: str
) -> None:
    error = mapped_error(status, error_of_answer(status, "application/json", capture(case)))
    for dialect in DIALECTS.values():
        assert json.loads(dialect.error_body(error, ID))["error"]["message"].startswith(start)


@pytest.mark.parametrize(
    ("normal", "reasons"),
    [
        ("stop", "stop end_turn stop_sequence eos STOP completed pause_turn"),
        (
            "length",
            "length max_tokens max_output_tokens limit MAX_TOKENS model_context_window_exceeded",
        ),
        ("tool_calls", "tool_calls tool_use function_call"),
        ("content_filter", "content_filter refusal SAFETY"),
        ("error", "error failed insufficient_system_resource"),
        ("other", "load unload x"),
    ],
)
def test_finish_reasons_have_a_normal_form(normal: str, reasons: str) -> None:
    assert {normal_finish(reason) for reason in reasons.split()} == {normal}
    assert normal_finish(None) is None


def test_each_endpoint_has_its_dialect() -> None:
    assert dialect_of("messages").name == "anthropic"
    assert dialect_of("embeddings").name == "openai"
    with pytest.raises(KeyError):
        dialect_of("models")
