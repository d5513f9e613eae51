"""The frames that are ours, byte by byte: metadata, errors, keep-alives (SPEC §4.4, §5.5, §10.1)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.dialects.framing import comment_line, json_bytes, json_frame
from streamgauge.core.dialects.refusals import UpstreamStatusError
from streamgauge.core.dialects.registry import DIALECTS
from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.core.record import ExchangeRecord

TOLD = b'{"a":1}'
OPENAI, ANTHROPIC = DIALECTS["openai"], DIALECTS["anthropic"]


def record(endpoint: str | None = "chat/completions", **more: Any) -> ExchangeRecord:
    return ExchangeRecord("id7", "owner", 1_700_000_000_999_999, endpoint=endpoint, **more)


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC])
@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("comment", b': streamgauge {"a":1}\n'),
        ("event", b'event: streamgauge\ndata: {"a":1}\n\n'),
        ("after_done", b'event: streamgauge\ndata: {"a":1}\n\n'),
        ("off", b""),
        ("from the future", b""),
    ],
)
def test_metadata_that_is_no_chunk_is_alike_in_both_dialects(
    dialect: Any, mode: str, told: bytes
) -> None:
    assert dialect.metadata(mode, TOLD, record()) == told


@pytest.mark.parametrize(
    ("endpoint", "kind"),
    [("chat/completions", "chat.completion.chunk"), ("completions", "text_completion")],
)
def test_the_openai_chunk_is_one_without_choices(endpoint: str, kind: str) -> None:
    chunk = OPENAI.metadata("chunk", TOLD, record(endpoint, requested_model="m"))
    assert chunk == (
        b'data: {"id":"chatcmpl-id7","object":"' + kind.encode() + b'","created":1700000000,'
        b'"model":"m","choices":[],"streamgauge":{"a":1}}\n\n'
    )


@pytest.mark.parametrize("endpoint", ["responses", "embeddings", None])
def test_where_no_chunk_says_nothing_it_is_the_comment(endpoint: str | None) -> None:
    assert OPENAI.metadata("chunk", TOLD, record(endpoint)) == b': streamgauge {"a":1}\n'


@pytest.mark.parametrize(
    ("names", "model"),
    [
        ({"requested_model": "a", "upstream_model": "b", "response_model": "c"}, "c"),
        ({"requested_model": "a", "upstream_model": "b"}, "b"),
        ({"requested_model": "a"}, "a"),
        ({}, ""),
    ],
)
def test_the_chunk_names_the_model_that_answered(names: dict[str, str], model: str) -> None:
    chunk = OPENAI.metadata("chunk", TOLD, record(**names))
    assert json.loads(chunk[6:])["model"] == model


def test_the_anthropic_chunk_is_a_ping_that_holds_the_record() -> None:
    told = ANTHROPIC.metadata("chunk", TOLD, record("messages"))
    assert told.startswith(b"event: ping\ndata: {")
    assert json.loads(told.partition(b"data: ")[2]) == {"type": "ping", "streamgauge": {"a": 1}}


def test_keep_alives() -> None:
    assert OPENAI.keepalive() == b": keep-alive\n"
    assert ANTHROPIC.keepalive() == b'event: ping\ndata: {"type":"ping"}\n\n'


# --- errors --------------------------------------------------------------------------------------

PLAIN = GatewayError(404, ErrorCode.NO_ROUTE, "no", param="model")


@pytest.mark.parametrize(
    ("error", "openai", "anthropic"),
    [
        (PLAIN, "not_found_error", "not_found_error"),
        (GatewayError(500, ErrorCode.UPSTREAM_ERROR, "no"), "server_error", "api_error"),
        (GatewayError(599, ErrorCode.UPSTREAM_ERROR, "no"), "server_error", "api_error"),
        (
            GatewayError(499, ErrorCode.STREAM_CANCELLED, "no"),
            "invalid_request_error",
            "invalid_request_error",
        ),
        (
            UpstreamStatusError(500, ErrorCode.UPSTREAM_ERROR, "no", upstream_type="billing_error"),
            "billing_error",
            "billing_error",
        ),
        (
            UpstreamStatusError(429, ErrorCode.UPSTREAM_ERROR, "no", upstream_type="odd"),
            "odd",
            "rate_limit_error",
        ),
        (UpstreamStatusError(429, ErrorCode.UPSTREAM_ERROR, "no"), "rate_limit_error", None),
    ],
)
def test_the_type_is_the_upstreams_where_clients_know_it(
    error: GatewayError, openai: str, anthropic: str | None
) -> None:
    told = json.loads(OPENAI.error_body(error, "r"))["error"]
    assert told["type"] == openai
    told = json.loads(ANTHROPIC.error_body(error, "r"))["error"]
    assert told["type"] == (anthropic or openai)


def test_each_error_frame() -> None:
    inner = b'{"message":"no","type":"not_found_error","param":"model","code":"no_route"}'
    assert OPENAI.error_frame(PLAIN, "r") == b'data: {"error":' + inner + b"}\n\n"
    assert OPENAI.error_frame(PLAIN, "r", "completions") == OPENAI.error_frame(PLAIN, "r")
    assert OPENAI.error_frame(PLAIN, "r", "responses") == (
        b'event: error\ndata: {"type":"error","message":"no","code":"no_route","param":"model",'
        b'"error":' + inner + b"}\n\n"
    )
    assert ANTHROPIC.error_frame(PLAIN, "r") == (
        b'event: error\ndata: {"type":"error","error":{"type":"not_found_error","message":"no",'
        b'"code":"no_route"},"request_id":"r"}\n\n'
    )


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (503, ErrorCode.OVERLOADED, 529),
        (503, ErrorCode.LEDGER_UNAVAILABLE, 529),
        (503, ErrorCode.SERVER_SHUTDOWN, 503),
        (502, ErrorCode.OVERLOADED, 502),
    ],
)
def test_our_own_overload_is_529_for_anthropic_clients(
    status: int, code: ErrorCode, told: int
) -> None:
    error = GatewayError(status, code, "no")
    assert (ANTHROPIC.error_status(error), OPENAI.error_status(error)) == (told, status)


def test_our_json_is_compact_and_can_be_encoded() -> None:
    assert json_bytes({"a": ["ü", "\ud800"]}) == '{"a":["ü","\ufffd"]}'.encode()
    assert json_frame({"a": 1}) == b'data: {"a":1}\n\n'
    assert json_frame({"a": 1}, b"x") == b'event: x\ndata: {"a":1}\n\n'
    assert comment_line(b"n", b"p") == b": n p\n"
