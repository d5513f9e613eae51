"""What the gateway reads of a request, and the only patches a body may get."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from streamgauge.core.chat import (
    ENDPOINTS,
    MAX_LABEL,
    ChatRequest,
    read_chat_request,
    upstream_body,
)
from streamgauge.core.errors import RequestError

from .playbook import chat_request

RECORDED = Path(__file__).parents[1] / "data" / "recorded"


def read(
    body: Mapping[str, Any] | bytes, endpoint: str = "chat/completions", **headers: str
) -> ChatRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    return read_chat_request(endpoint, raw, named.get)


def test_the_fields_that_matter_are_read_and_the_body_kept() -> None:
    raw = (
        b'{"model":"m", "stream":true, "n":3, "stream_options":{"include_usage":false}, "x":[1e2]}'
    )
    request = read(raw)
    assert request.dialect == "openai"
    assert request.endpoint == "chat/completions"
    assert (request.model, request.stream, request.n) == ("m", True, 3)
    assert request.include_usage is False
    assert request.session_id is None
    assert request.raw == raw
    assert request.fields["x"] == [100.0]


def test_absent_and_null_fields_state_nothing() -> None:
    for body in ({}, {"model": None, "stream": None, "n": None, "stream_options": None}):
        request = read(body)
        assert (request.model, request.stream, request.n) == (None, False, 1)
        assert request.include_usage is None


@pytest.mark.parametrize("endpoint", sorted(ENDPOINTS))
def test_the_endpoint_names_the_dialect_and_embeddings_never_stream(endpoint: str) -> None:
    request = read({"stream": True}, endpoint)
    assert request.dialect == ("anthropic" if endpoint == "messages" else "openai")
    assert request.stream is (endpoint != "embeddings")


@pytest.mark.parametrize(
    "body",
    [
        {"stream": "true"},
        {"stream": 1},
        {"stream": []},
        {"model": 7},
        {"model": ["m"]},
        {"model": ""},
        {"model": "m" * (MAX_LABEL + 1)},
        {"model": "m\0x"},
        {"model": "m\r\nX-Evil: 1"},
        {"model": "m\x7f"},
        {"model": "m\ud800"},
        b"[]",
        b'{"model":"a","model":"b"}',
    ],
)
def test_an_unusable_field_is_a_400(body: Mapping[str, Any] | bytes) -> None:
    with pytest.raises(RequestError) as caught:
        read(body)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "model", ["../../etc/passwd", "<img src=x>", "qwen 3 14B", "모델", "m" * MAX_LABEL]
)
def test_a_strange_but_harmless_model_name_is_left_to_routing(model: str) -> None:
    assert read({"model": model}).model == model


@pytest.mark.parametrize("n", [True, 0, -1, "2", 2.0, [], {}])
def test_an_odd_n_is_the_upstreams_to_judge(n: object) -> None:
    assert read({"n": n}).n == 1


@pytest.mark.parametrize(
    ("endpoint", "n"),
    [("chat/completions", 2), ("completions", 2), ("messages", 1), ("responses", 1)],
)
def test_answers_are_asked_for_only_where_the_dialect_can(endpoint: str, n: int) -> None:
    assert chat_request(endpoint, n=2).n == n


@pytest.mark.parametrize(
    "options", ["x", 1, [], True, {"include_usage": "yes"}, {"include_usage": None}]
)
def test_odd_stream_options_state_nothing(options: object) -> None:
    assert read({"stream_options": options}).include_usage is None


def test_the_session_comes_from_the_first_place_that_has_one() -> None:
    body = {"metadata": {"user_id": '{"session_id":"json"}'}}
    headers = {
        "x_streamgauge_session": "ours",
        "x_claude_code_session_id": "claude",
        "x_session_id": "generic",
    }
    for expected in ("ours", "claude", "generic", "json"):
        assert read(body, "messages", **headers).session_id == expected
        if headers:
            headers.pop(next(iter(headers)))


@pytest.mark.parametrize(
    ("user_id", "session"),
    [
        ("user_ab_account__session_12-34", "12-34"),
        ("a_session_b_session_c", "c"),
        ('{"device_id":"d","account_uuid":"","session_id":"u-1"}', "u-1"),
        ('{"session_id":7}', None),
        ('{"session_id":', None),
        ("{" * 100_000, None),
        ("[1]", None),
        ("plain", None),
        ("x_session_", None),
        ("", None),
        (7, None),
        (None, None),
    ],
)
def test_the_session_in_a_user_id_has_two_forms(user_id: object, session: str | None) -> None:
    assert read({"metadata": {"user_id": user_id}}, "messages").session_id == session


@pytest.mark.parametrize("metadata", [None, [], "x", 1, {}])
def test_odd_metadata_holds_no_session(metadata: object) -> None:
    assert read({"metadata": metadata}).session_id is None


def test_a_session_id_is_bounded_and_printable() -> None:
    assert read({}, x_session_id=" a\tb\x00c\n ").session_id == "abc"
    assert read({}, x_session_id="x" * 1000).session_id == "x" * MAX_LABEL
    assert read({}, x_session_id="\x01", x_streamgauge_session="").session_id is None


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDED.glob("*.jsonl")))
def test_what_real_clients_send_is_read(name: str) -> None:
    for line in (RECORDED / f"{name}.jsonl").read_text().splitlines():
        call = json.loads(line)
        endpoint = call["path"].partition("?")[0].removeprefix("/v1/")
        if call["body"] is None or endpoint not in ENDPOINTS:
            continue
        headers = {key.lower().encode(): value for key, value in call["headers"]}
        request = read_chat_request(endpoint, json.dumps(call["body"]).encode(), headers.get)
        assert request.model == call["body"]["model"]
        assert request.session_id is not None


def test_without_a_patch_the_body_goes_on_as_it_came() -> None:
    raw = b' { "model" : "m" , "stream":true, "top_k" : 4.0e1 }\n'
    assert upstream_body(read(raw)) is read(raw).raw or upstream_body(read(raw)) == raw
    assert upstream_body(read(raw), model="m") == raw
    assert upstream_body(read(b"\xef\xbb\xbf" + raw)) == raw
    with pytest.raises(RequestError):
        read(b"\xef\xbb\xbf\xef\xbb\xbf" + raw)


def test_each_patch_changes_its_own_bytes_only() -> None:
    raw = b'{"model": "a", "stream": true,"x":"\\u00e9"}'
    assert (
        upstream_body(read(raw), model='b"ü')
        == '{"model": "b\\"ü", "stream": true,"x":"\\u00e9"}'.encode()
    )
    assert upstream_body(read(raw), include_usage=True) == (
        b'{"stream_options":{"include_usage":true},"model": "a", "stream": true,"x":"\\u00e9"}'
    )
    assert upstream_body(read(raw), running_usage="llamacpp").startswith(
        b'{"timings_per_token":true,'
    )
    assert json.loads(upstream_body(read(raw), include_usage=True, running_usage="vllm"))[
        "stream_options"
    ] == {"include_usage": True, "continuous_usage_stats": True}
    assert upstream_body(read(raw), running_usage="vllm") == raw  # it needs the usage frame
    assert upstream_body(read(raw), running_usage="openai") == raw


def test_the_clients_other_stream_options_survive() -> None:
    request = read(
        b'{"stream":true,"stream_options": {"include_obfuscation":false, "include_usage":false}}'
    )
    assert upstream_body(request, include_usage=True) == (
        b'{"stream":true,"stream_options": {"include_obfuscation":false, "include_usage":true}}'
    )
    assert upstream_body(request) == request.raw


def test_what_the_client_asked_for_is_never_taken_away_or_overruled() -> None:
    asked = read(
        b'{"stream":true,"timings_per_token":false,"stream_options":{"include_usage":true}}'
    )
    assert upstream_body(asked) == asked.raw
    assert upstream_body(asked, include_usage=True, running_usage="llamacpp") == asked.raw
    odd = read(b'{"stream":true,"stream_options":"x"}')
    assert upstream_body(odd, include_usage=True, running_usage="vllm") == odd.raw


@pytest.mark.parametrize("endpoint", ["messages", "responses", "embeddings"])
def test_only_streams_that_know_the_option_get_it(endpoint: str) -> None:
    request = read(b'{"stream":true}', endpoint)
    assert upstream_body(request, include_usage=True, running_usage="llamacpp") == request.raw
    calm = read(b'{"stream":false}')
    assert upstream_body(calm, include_usage=True, running_usage="llamacpp") == calm.raw


def test_the_body_is_not_shown_in_a_repr() -> None:
    assert "secret" not in repr(read({"model": "m", "messages": ["secret"]}))
