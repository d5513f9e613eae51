"""Whatever an upstream sends: decoders never raise, and counts that come out are counts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.core.dialects.base import error_of_answer, mapped_error
from streamgauge.core.dialects.registry import DIALECTS, dialect_of
from streamgauge.core.events import (
    Event,
    Failed,
    Finished,
    ModelNamed,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from streamgauge.core.record import ExchangeRecord
from streamgauge.core.usage import MAX_COUNT

ENDPOINTS = ["chat/completions", "completions", "responses", "embeddings", "messages"]
RECORD = ExchangeRecord(id="a" * 20, owner="o", started_at=1, endpoint="chat/completions")

_keys = st.sampled_from(
    "type model choices index delta message content text thinking reasoning reasoning_content "
    "refusal role tool_calls function function_call name arguments id finish_reason stop_reason "
    "usage prompt_tokens completion_tokens total_tokens input_tokens output_tokens "
    "cache_read_input_tokens cache_creation_input_tokens prompt_tokens_details cached_tokens "
    "completion_tokens_details reasoning_tokens output_tokens_details thinking_tokens cost "
    "timings prompt_n predicted_n prompt_ms cache_n error code status detail msg object x_groq "
    "service_tier content_block partial_json input stop stop_type tokens_predicted response item "
    "output output_index incomplete_details reason summary arguments call_id".split()
)
_words = st.sampled_from(
    "message_start message_delta message_stop content_block_start content_block_delta ping error "
    "text_delta tool_use thinking text response.created response.completed response.failed "
    "response.output_text.delta response.output_item.added function_call reasoning "
    "completed failed incomplete stop".split()
)
_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.integers(0, 99)
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | _words
)
_json = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=6),
    max_leaves=30,
)
_payloads = st.binary(min_size=1, max_size=40) | _json.map(lambda v: json.dumps(v).encode())
_events = st.sampled_from(
    [
        b"",
        b"error",
        b"ping",
        b"message_delta",
        b"content_block_delta",
        b"response.completed",
        b"\xff",
    ]
)


def check(event: Event) -> None:
    if isinstance(event, UsageReported):
        usage = event.usage
        for count in (
            usage.input,
            usage.output,
            usage.cache_read,
            usage.cache_write,
            usage.reasoning,
        ):
            assert count is None or (type(count) is int and 0 <= count <= MAX_COUNT)
    if isinstance(event, TextDelta | ReasoningDelta):
        assert event.text.encode()
    if isinstance(event, ToolCallDelta):
        assert event.arguments.encode()
    label = {ModelNamed: "model", Finished: "reason", Failed: "message"}.get(type(event))
    if label is not None:
        text = getattr(event, label)
        assert "\0" not in text
        assert len(text.encode()) <= 8000


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@given(frames=st.lists(st.tuples(_payloads, _events), max_size=5))
def test_no_frame_raises(endpoint: str, frames: list[tuple[bytes, bytes]]) -> None:
    decoder = dialect_of(endpoint).decoder(endpoint, "openai")
    for payload, event in frames:
        for told in decoder.decode(payload, event):
            check(told)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@given(body=_payloads)
def test_no_answer_raises(endpoint: str, body: bytes) -> None:
    dialect = dialect_of(endpoint)
    for told in dialect.read_answer(endpoint, "openai", body) or ():
        check(told)
    stream = dialect.stream_of(endpoint, body)
    assert stream is None or stream.endswith(b"\n\n")


@pytest.mark.parametrize("depth", [100, 900, *range(940, 1000, 3), 3_000, 100_000])
def test_no_depth_raises(depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    chat = b'"tool_calls":[{"id":"a","function":{"name":"f","arguments":' + deep + b"}}]"
    block = b'{"type":"tool_use","id":"a","name":"f","input":' + deep + b"}"
    bodies = {
        "chat/completions": b'{"choices":[{"message":{' + chat + b'},"delta":{' + chat + b"}}]}",
        "messages": b'{"type":"content_block_start","content_block":%b,"content":[%b]}'
        % (block, block),
    }
    for endpoint, body in bodies.items():
        dialect = dialect_of(endpoint)
        dialect.decoder(endpoint, "openai").decode(body, b"")
        dialect.read_answer(endpoint, "openai", body)
        dialect.stream_of(endpoint, body)


@given(status=st.integers(100, 599), body=_payloads, message=st.text(st.characters()))
def test_no_error_raises(status: int, body: bytes, message: str) -> None:
    error = mapped_error(status, error_of_answer(status, message, body))
    assert 400 <= error.status <= 599
    error.message += message
    for dialect in DIALECTS.values():
        assert "error" in json.loads(dialect.error_body(error, "r"))
        assert dialect.error_frame(error, "r").count(b"\n\n") == 1
