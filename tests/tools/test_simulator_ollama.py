"""The Ollama flavour on real sockets: its own chat, its pages, its errors, its two other routes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import pytest_asyncio

from streamgauge.core.dialects.ollama.decode import OllamaDecoder
from streamgauge.core.events import Event, ToolCallStarted
from streamgauge.core.meter import Meter
from streamgauge.core.ndjson import NdjsonSplitter
from streamgauge.core.reading import StreamReading
from streamgauge.core.usage import Timings, TokenUsage
from streamgauge.tools.simulator import Ending, Simulator

from .raw_client import Client, eventually_ended, fetch

CHAT = "/api/chat"
TOOL = {"name": "get_weather", "arguments": {"city": "Rome", "days": 2}}
PIXEL = "iVBORw0KGgo="

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def simulator() -> AsyncIterator[Simulator]:
    simulator = Simulator()
    await simulator.start(flavour="ollama")
    async with simulator:
        yield simulator


def lines_of(body: bytes) -> list[Any]:
    assert body.endswith(b"\n")
    return [json.loads(line) for line in body.splitlines()]


def read(body: bytes) -> tuple[Meter, list[Event]]:
    reading = StreamReading(OllamaDecoder(), Meter(0.0), NdjsonSplitter())
    pieces = reading.feed(body, 1.0)
    return reading.meter, [event for piece in pieces for event in piece.events]


async def test_a_chat_streams_lines_unless_the_request_says_otherwise(simulator: Simulator) -> None:
    client = await Client.ask(simulator, CHAT, {"tokens": 2}, close=True)
    head, body, whole = await client.rest()
    first, second, last = lines_of(body)
    assert b"Content-Type: application/x-ndjson" in head
    assert whole
    assert [(v["message"]["content"], v["done"]) for v in (first, second)] == [
        ("w0", False),
        (" w1", False),
    ]
    assert list(last) == [
        *("model", "created_at", "message", "done", "done_reason", "total_duration"),
        *("load_duration", "prompt_eval_count", "prompt_eval_duration"),
        *("eval_count", "eval_duration"),
    ]
    assert (last["done"], last["done_reason"]) == (True, "stop")
    assert first["created_at"] != second["created_at"]
    entry = simulator.journal[0]
    assert (entry.ending, entry.stream, entry.frames) == (Ending.COMPLETE, True, 3)
    assert (entry.prompt_tokens, entry.completion_tokens) == (2, 2)

    _, unasked, _ = await fetch(simulator, CHAT, {"tokens": 2}, stream=None)
    assert len(lines_of(unasked)) == 3
    head, body, _ = await fetch(simulator, CHAT, {"tokens": 2}, stream=False)
    answer = json.loads(body)
    assert b"Content-Type: application/json" in head
    assert answer["message"] == {"role": "assistant", "content": "w0 w1"}
    assert (answer["done"], answer["eval_count"]) == (True, 2)


async def test_a_stream_and_a_whole_answer_read_the_same(simulator: Simulator) -> None:
    asked = {"reasoning": 2, "tokens": 3, "tool": [TOOL, TOOL]}
    _, streamed, _ = await fetch(simulator, CHAT, asked)
    _, plain, _ = await fetch(simulator, CHAT, asked, stream=False)
    meter, _ = read(streamed)
    whole = Meter(0.0, streaming=False)
    whole.observe(OllamaDecoder().read_answer(plain) or (), 1.0)
    for one in (meter, whole):
        assert one.ended
        assert one.finish_reason == "stop"
        assert one.booked().usage == TokenUsage(2, simulator.journal[0].completion_tokens)
        assert isinstance(one.timings, Timings)
        assert one.timings.predicted_per_second == 2000.0
        assert not one.anomalies


async def test_calls_come_whole_without_ids_and_are_told_apart(simulator: Simulator) -> None:
    ids: set[str | None] = set()
    for _ in range(2):
        _, body, _ = await fetch(simulator, CHAT, {"tool": [TOOL, TOOL]})
        calls = [v["message"]["tool_calls"] for v in lines_of(body)[:-1]]
        assert calls == [[{"function": TOOL}], [{"function": TOOL}]]
        _, events = read(body)
        ids |= {e.id for e in events if isinstance(e, ToolCallStarted)}
    assert len(ids) == 4


async def test_counts_that_are_0_are_left_out(simulator: Simulator) -> None:
    _, body, _ = await fetch(simulator, CHAT, {"tokens": 0, "cached": 2})
    (last,) = lines_of(body)
    assert not {"prompt_eval_count", "eval_count", "eval_duration"} & set(last)
    _, body, _ = await fetch(simulator, CHAT, {"tokens": 1, "usage": "none"})
    assert "total_duration" not in lines_of(body)[-1]
    _, body, _ = await fetch(simulator, CHAT, {"usage": {"eval_count": 77}})
    assert lines_of(body)[-1]["eval_count"] == 77
    assert [e.completion_tokens for e in simulator.journal] == [0, 1, 77]


async def test_num_predict_cuts_the_answer_short(simulator: Simulator) -> None:
    _, body, _ = await fetch(simulator, CHAT, {}, options={"num_predict": 3})
    last = lines_of(body)[-1]
    assert (last["done_reason"], last["eval_count"]) == ("length", 3)


@pytest.mark.parametrize(
    ("fault", "lines", "last", "ending"),
    [
        ("error_first", 1, {"error": "Simulated failure."}, Ending.CUT),
        ("error_mid", 4, {"error": "Simulated failure."}, Ending.CUT),
        ("no_done", 16, None, Ending.CUT),
        ("double_done", 18, None, Ending.COMPLETE),
        ("duplicate", 18, None, Ending.COMPLETE),
    ],
)
async def test_a_fault_is_on_the_wire_and_in_the_journal(
    simulator: Simulator, fault: str, lines: int, last: object, ending: Ending
) -> None:
    _, body, _ = await fetch(simulator, CHAT, {"fault": fault})
    found = lines_of(body)
    assert len(found) == lines
    assert last in (None, found[-1])
    assert simulator.journal[0].ending is ending


@pytest.mark.parametrize("fault", ["cut", "cut_before_done", "reset"])
async def test_a_cut_ends_the_body_without_its_last_chunk(simulator: Simulator, fault: str) -> None:
    client = await Client.ask(simulator, CHAT, {"fault": fault})
    await client.until(b"w2")
    if fault == "reset":
        with pytest.raises(ConnectionResetError):
            await client.rest()
    else:
        assert b"0\r\n\r\n" not in await client.reader.read()
    assert (await eventually_ended(simulator)).ending is Ending.CUT
    client.leave()


async def test_garbage_is_a_line_that_is_no_json(simulator: Simulator) -> None:
    _, body, _ = await fetch(simulator, CHAT, {"fault": "garbage", "after": 1})
    meter, _ = read(body)
    assert list(meter.anomalies) == ["bad_json"]
    assert (meter.ended, meter.content_frames) == (True, 16)


async def test_blank_lines_are_no_frames(simulator: Simulator) -> None:
    client = await Client.ask(simulator, CHAT, {"fault": "ping_only", "gap_ms": 1})
    await client.until(b"1\r\n\n\r\n1\r\n\n\r\n")
    client.leave()
    assert (await eventually_ended(simulator)).frames == 0


async def test_split_bytes_and_slow_answers_are_whole(simulator: Simulator) -> None:
    _, body, whole = await fetch(simulator, CHAT, {"fault": "split_bytes", "tokens": 2})
    _, slow, _ = await fetch(simulator, CHAT, {"fault": "slow", "gap_ms": 5, "tokens": 2})
    assert whole
    assert len(lines_of(body)) == len(lines_of(slow)) == 3


@pytest.mark.parametrize("fault", ["http_400", "http_429", "http_500"])
async def test_errors_are_a_string(simulator: Simulator, fault: str) -> None:
    head, body, _ = await fetch(simulator, CHAT, {"fault": fault})
    assert f" {fault[-3:]} ".encode() in head
    assert isinstance(json.loads(body)["error"], str)
    assert set(json.loads(body)) == {"error"}


@pytest.mark.parametrize(
    ("message", "word"),
    [
        ({"content": [{"type": "text", "text": "x"}]}, "content"),
        ({"content": "", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}, "string"),
        ({"content": "", "images": ["data:image/png;base64,AAAA"]}, "base64"),
        ({"content": "", "images": [7]}, "base64"),
    ],
)
async def test_a_body_of_another_dialect_is_refused(
    simulator: Simulator, message: dict[str, Any], word: str
) -> None:
    turns = [{"role": "user"} | message]
    head, body, _ = await fetch(simulator, CHAT, {}, messages=turns)
    assert b" 400 " in head
    assert word in json.loads(body)["error"]


async def test_images_and_tool_results_are_named_in_the_answer(simulator: Simulator) -> None:
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": TOOL}]}
    turns = [
        {"role": "user", "content": "look", "images": [PIXEL]},
        call,
        {"role": "tool", "content": "sunny\nand warm", "tool_name": "get_weather"},
    ]
    _, body, _ = await fetch(simulator, CHAT, {"tool": TOOL}, messages=turns, stream=False)
    message = json.loads(body)["message"]
    assert "tool_calls" not in message, "a call that was answered is not made again"
    assert message["content"] == (
        "get_weather said: sunny\nand warm\nimage 1: 8 bytes sha256 "
        "4c4b6a3be1314ab86138bef4314dde022e600960d8689a2c8f8631802d20dab6"
    )


async def test_its_openai_route_words_things_its_own_way(simulator: Simulator) -> None:
    path, usage = "/v1/chat/completions", {"include_usage": True}
    asked = {"reasoning": 1, "tokens": 1, "tool": TOOL, "n": 2}
    _, body, _ = await fetch(simulator, path, asked, stream_options=usage)
    chunks = [json.loads(part[6:]) for part in body.split(b"\n\n")[:-2]]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert all(delta["content"] is not None and delta["role"] == "assistant" for delta in deltas)
    assert deltas[1]["reasoning"] == "r0"
    (call,) = deltas[3]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == TOOL["arguments"]
    assert chunks[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert set(chunks[-1]["usage"]) == {"prompt_tokens", "completion_tokens", "total_tokens"}
    assert {chunk["system_fingerprint"] for chunk in chunks} == {"fp_ollama"}
    _, body, _ = await fetch(simulator, path, {"fault": "http_400"})
    error = json.loads(body)["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", None)


async def test_its_anthropic_route_counts_at_the_end(simulator: Simulator) -> None:
    _, body, _ = await fetch(simulator, "/v1/messages", {"tokens": 1, "reasoning": 1})
    events = [json.loads(part.partition(b"data: ")[2]) for part in body.split(b"\n\n")[:-1]]
    assert events[0]["message"]["usage"] == {"input_tokens": 3, "output_tokens": 0}
    assert events[-2]["usage"] == {"input_tokens": 2, "output_tokens": 2}
    head, _, _ = await fetch(simulator, "/v1/messages/count_tokens", {})
    assert b" 404 " in head


def call(url: str, body: dict[str, Any] | None = None, method: str | None = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data, method=method), timeout=10) as response:
        found: bytes = response.read()
        return found


async def test_it_has_the_pages_of_ollama(simulator: Simulator) -> None:
    url = simulator.url
    assert await asyncio.to_thread(call, url) == b"Ollama is running"
    assert await asyncio.to_thread(call, url, None, "HEAD") == b""
    for page in ("/api/version", "/api/tags", "/api/ps", "/v1/models"):
        assert json.loads(await asyncio.to_thread(call, url + page))
    tags = json.loads(await asyncio.to_thread(call, f"{url}/api/tags"))
    assert json.loads(await asyncio.to_thread(call, f"{url}/api/ps")) == {"models": []}
    await fetch(simulator, CHAT, {})
    running = json.loads(await asyncio.to_thread(call, f"{url}/api/ps"))
    assert tags["models"][0]["model"] == running["models"][0]["model"] == "sim:latest"
    shown = json.loads(await asyncio.to_thread(call, f"{url}/api/show", {"model": "sim"}))
    assert shown["model_info"]["simfamily.context_length"] > running["models"][0]["context_length"]
    with pytest.raises(HTTPError, match="404") as refused:
        await asyncio.to_thread(call, f"{url}/api/show", {"model": "other"})
    assert json.loads(refused.value.read()) == {"error": "model 'other' not found"}
    refused.value.close()


async def test_no_other_flavour_answers_in_lines() -> None:
    async with Simulator() as llamacpp:
        head, _, _ = await fetch(llamacpp, CHAT, {})
    assert b" 404 " in head
