"""When the head goes out, what it says, and how failures read in both dialects (SPEC §4.5, §5.5)."""

from __future__ import annotations

import asyncio
import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ..faults.upstream import scripted
from ..timed import in_time
from .stand import stand

OPENAI = ("/v1/chat/completions", {"model": "m", "stream": True, "messages": []})
ANTHROPIC = ("/v1/messages", {"model": "m", "stream": True, "max_tokens": 9, "messages": []})
BOTH = pytest.mark.parametrize(("path", "body"), [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])


def _code(path: str, error: Any) -> str:
    assert error["type"] == "error" if path == "/v1/messages" else "type" not in error
    return str(error["error"]["code"])


@BOTH
@pytest.mark.asyncio
async def test_the_stream_head_is_the_one_of_the_spec(
    path: str, body: dict[str, Any], tmp_path: Path
) -> None:
    async with stand(tmp_path) as it:
        answer = await it.ask(path, body)
    headers = answer.headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "no-transform" in headers["cache-control"]
    assert (headers["x-accel-buffering"], headers["connection"]) == ("no", "keep-alive")
    assert headers["x-request-id"] == headers["request-id"] == headers["x-streamgauge-stream-id"]
    assert headers["x-streamgauge-attempts"] == "1/sim"


@pytest.mark.fault("F20")
@BOTH
@pytest.mark.asyncio
async def test_a_missing_upstream_is_a_502_with_a_row(
    path: str, body: dict[str, Any], tmp_path: Path
) -> None:
    async with stand(tmp_path) as it:
        await it.simulator.aclose()
        answer = await it.ask(path, body)
        row = await it.row(answer.id)
    assert (answer.status, _code(path, answer.json())) == (502, "upstream_error")
    assert (row["status"], row["http_status"], row["usage_source"]) == (
        "upstream_error",
        502,
        "none",
    )


@BOTH
@pytest.mark.asyncio
async def test_a_bad_request_is_a_400_in_its_dialect_with_a_row(
    path: str, body: dict[str, Any], tmp_path: Path
) -> None:
    async with stand(tmp_path) as it:
        answer = await it.ask(path, b'{"model":"m","model":"n"}')
        row = await it.row(answer.id)
    assert (answer.status, _code(path, answer.json())) == (400, "bad_request")
    assert (row["status"], row["error_code"]) == ("rejected", "bad_request")


@pytest.mark.fault("F25")
@BOTH
@pytest.mark.asyncio
async def test_silence_is_broken_by_a_keep_alive_and_then_a_failure_is_an_error_end(
    path: str, body: dict[str, Any], tmp_path: Path
) -> None:
    config = {"server": {"keepalive_seconds": 0.5}}
    limits = {"first_token": 1.5}
    async with stand(tmp_path, prefix="/fault/stall_head", config=config, timeouts=limits) as it:
        answer = await it.ask(path, body)
        row = await it.row(answer.id)
    assert answer.status == 200
    first = answer.chunks[0][1]
    assert first == b": keep-alive\n" or b"event: ping" in first
    assert b"upstream_timeout" in answer.chunks[-1][1]
    assert (row["status"], row["frames_in"], row["ttft_ms"]) == ("upstream_timeout", 0, None)


@pytest.mark.asyncio
async def test_an_endpoint_that_the_upstream_has_not_has_no_route(tmp_path: Path) -> None:
    async with stand(tmp_path, kind="anthropic") as it:
        answer = await it.ask("/v1/embeddings", {"model": "m", "input": "hi"})
        row = await it.row(answer.id)
    assert (answer.status, _code("/v1/embeddings", answer.json())) == (404, "no_route")
    assert row["status"] == "rejected"


@pytest.mark.asyncio
async def test_a_ledger_that_cannot_be_written_is_a_503_before_any_upstream_call(
    tmp_path: Path,
) -> None:
    async with stand(tmp_path, max_page_count=27, spool_bytes=64 << 10) as it:
        answers = [await it.ask(*OPENAI)]
        while answers[-1].status == 200 and len(answers) < 500:  # until disk and spool are full
            answers.append(await it.ask(*OPENAI))
        calls = len(it.simulator.requests)
        long = "x" * 250  # no smaller a row than the one that found no room
        openai = await it.ask(*OPENAI, user_agent=long)
        anthropic = await it.ask(*ANTHROPIC, user_agent=long)
        ready = await it.get("/readyz")
        posts = it.simulator.requests[calls:]
    assert len(answers) > 1
    assert (openai.status, _code(OPENAI[0], openai.json())) == (503, "ledger_unavailable")
    assert (anthropic.status, _code(ANTHROPIC[0], anthropic.json())) == (529, "ledger_unavailable")
    assert (ready.status, posts) == (503, [])


@pytest.mark.asyncio
async def test_secrets_are_in_no_answer_row_or_log_line(tmp_path: Path) -> None:
    canaries = {
        "api_key": "sk-canary-upstream-key-0001",
        "header": "canary-header-value-0002",
        "client": "sk-canary-client-key-0003",
        "query": "canary-query-0004",
        "prompt": "canary-prompt-0005",
    }
    keys = {"api_key": canaries["api_key"], "headers": {"x-team": canaries["header"]}}
    body = {**OPENAI[1], "messages": [{"role": "user", "content": canaries["prompt"]}]}
    told: list[bytes] = []
    async with stand(tmp_path, **keys) as it:
        for fault in ("http_401", "http_500", "error_first", "error_mid", "garbage", "cut"):
            for path in (OPENAI[0], ANTHROPIC[0]):
                answer = await it.ask(
                    f"{path}?key={canaries['query']}",
                    {**body, "max_tokens": 9, "sim": {"fault": fault}},
                    odd=fault == "garbage",
                    authorization=f"Bearer {canaries['client']}",
                )
                told += [answer.body, repr(answer.headers).encode()]
        bad = await it.ask(OPENAI[0], b"{" + canaries["prompt"].encode())
        told.append(bad.body)
        told.append(json.dumps(await it.rows()).encode())
        told.append(repr(it.lines).encode())
        seen = repr([request.headers for request in it.simulator.requests])
    told += [file.read_bytes() for file in tmp_path.glob("ledger.db*")]
    hits = {name for name, value in canaries.items() if any(value.encode() in t for t in told)}
    assert hits == set()
    assert canaries["api_key"] in seen, "the upstream itself is shown its key"
    assert canaries["client"] not in seen
    assert canaries["query"] not in seen


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        ("200 OK", "text/event-stream", b'data: {"error":{"message":"no"}}\n\n'),
        ("200 OK", "application/json", b'{"choices":[{"message":{"content":"a"}}]}'),
        ("500 Oops", "application/json", b'{"error":{"message":"no"}}'),
    ],
    ids=["stream", "whole", "error"],
)
@pytest.mark.asyncio
async def test_a_header_of_an_upstream_that_repeats_its_key_tells_it_nobody(
    status: str, kind: str, body: bytes, tmp_path: Path
) -> None:
    told = "openai-key: sk+canary-1\r\nx-ratelimit-for: sk%2Bcanary-1\r\nopenai-version: 1\r\n"
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{told}content-length: {len(body)}\r\n\r\n"
    async with scripted(lambda _: [head.encode() + body]) as up:
        one = {"name": "up", "kind": "openai", "base_url": up.url, "api_key": "sk+canary-1"}
        async with stand(tmp_path, config={"upstreams": [one]}) as it:
            stream = kind == "text/event-stream"
            answer = await it.ask(OPENAI[0], {**OPENAI[1], "stream": stream})
    assert b"sk+canary-1" in up.heard[0].request
    assert answer.headers["openai-version"] == "1"
    assert answer.headers["openai-key"] == answer.headers["x-ratelimit-for"] == "[redacted]"


@pytest.mark.asyncio
async def test_frames_arrive_one_by_one_and_soon(tmp_path: Path) -> None:
    body = {**OPENAI[1], "sim": {"tokens": 15, "gap_ms": 100}}
    async with stand(tmp_path) as it:
        began = time.monotonic()
        answer = await it.ask(OPENAI[0], body)
        row = await it.row(answer.id)
    contents = [at for at, piece in answer.chunks if b'"content":"' in piece or b'" w' in piece]
    gaps = [later - earlier for earlier, later in pairwise(contents)]
    assert len(contents) >= 14
    in_time(max(gaps), 0.2)  # no frame waits for the next one
    in_time(contents[0] - began, 0.5)
    assert row["gap_p50_ms"] > 90
    in_time(row["gap_p50_ms"], 110)


@pytest.mark.asyncio
async def test_the_log_line_is_exactly_the_one_of_the_spec(tmp_path: Path) -> None:
    from streamgauge.sinks.logline import encode_logfmt

    case = "chat_stream_usage"
    async with stand(tmp_path, kind="llamacpp", prefix=f"/capture/{case}") as it:
        path, body = OPENAI
        asked = {**body, "model": "chain-tiny", "stream_options": {"include_usage": True}}
        answer = await it.ask(path, asked)
        row = await it.row(answer.id)
        (fields,) = [f for _, event, f in it.lines if event == "exchange"]
    line = encode_logfmt(fields.items())
    assert line == (
        f"model=chain-tiny tokens={row['input_tokens']}/{row['output_tokens']} "
        f"tps={row['generation_tps']:.1f}/{row['generation_ms']:.0f}ms ctx:{row['context_percent']:.1f}% stream finish=stop "
        f"status=completed upstream=sim ttft={row['ttft_ms']:.0f}ms "
        f"dur={row['stream_duration_ms']:.0f}ms cost=- usage=provider id={row['id']}"
    )


@pytest.mark.asyncio
async def test_many_streams_at_once_keep_apart(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        texts = [f"answer number {n} is mine" for n in range(50)]
        asked = (it.ask(OPENAI[0], {**OPENAI[1], "sim": {"text": text}}) for text in texts)
        answers = await asyncio.gather(*asked)
    for text, answer in zip(texts, answers, strict=True):
        payloads = [p for p in answer.body.split(b"\n") if p.startswith(b"data: {")]
        deltas = [json.loads(p[6:])["choices"] for p in payloads]
        said = "".join(c[0]["delta"].get("content") or "" for c in deltas if c)
        assert said == text


@BOTH
@pytest.mark.asyncio
async def test_an_upstream_s_wait_is_told_though_its_words_cannot_be_read(
    path: str, body: dict[str, Any], tmp_path: Path
) -> None:
    head = (
        b"HTTP/1.1 429 Slow\r\ncontent-encoding: br\r\nretry-after: 7\r\ncontent-length: 3\r\n\r\n"
    )
    kind = "anthropic" if path == "/v1/messages" else "openai"
    async with scripted(lambda _: [head + b"\x8b\x00\x80"]) as up:
        config = {"upstreams": [{"name": "up", "kind": kind, "base_url": up.url}]}
        async with stand(tmp_path, config=config) as it:
            answer = await it.ask(path, body)
            row = await it.row(answer.id)
    assert (answer.status, answer.headers["retry-after"]) == (502, "7")
    assert (row["status"], row["error_code"]) == ("upstream_error", "upstream_error")
    assert "status 429" in json.loads(answer.body)["error"]["message"]
