"""Token counts of an upstream: asked for by the model's name there, and taken only if they are counts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from ..gateway.upstream_rig import read_request
from ..gateway.upstream_rig import upstream as raw_upstream
from .stand import stand

MESSAGES = [{"role": "user", "content": "one two three"}]
PATH = "/v1/messages/count_tokens"


@pytest.mark.asyncio
@pytest.mark.parametrize("asked", ["fast", "there/claude-real", "claude-real"])
async def test_an_upstream_counts_for_the_model_by_its_name_there(
    tmp_path: Path, asked: str
) -> None:
    names: list[str] = []

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _, body = (await read_request(reader)).partition(b"\r\n\r\n")
        if head.startswith(b"POST"):
            names.append(json.loads(body)["model"])
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 19\r\n\r\n{"input_tokens": 3}')

    async with raw_upstream(counting) as there:
        url = f"http://127.0.0.1:{there.port}"
        also = [{"name": "there", "kind": "anthropic", "base_url": url}]
        models = [{"match": "fast", "to": ["there/claude-real"]}, {"match": "*", "to": ["there"]}]
        async with stand(tmp_path, also=also, config={"routing": {"models": models}}) as it:
            answer = await it.ask(PATH, {"messages": MESSAGES, "model": asked})
    assert (answer.status, answer.body) == (200, b'{"input_tokens": 3}')
    assert "x-streamgauge-count" not in answer.headers
    assert names == ["claude-real"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "body",
    [
        b"<html>", b"{}", b"[3]", b"", b'{"input_tokens": null}', b'{"input_tokens": -1}', b'"\xff"',
        pytest.param(b'{"input_tokens": 3, "deep": %b' % (b"[" * 9999), id="deep"),
    ],
)  # fmt: skip
async def test_what_is_no_count_gives_way_to_an_estimate(tmp_path: Path, body: bytes) -> None:
    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    async with raw_upstream(odd) as there:
        url = f"http://127.0.0.1:{there.port}"
        async with stand(tmp_path, kind="llamacpp", base_url=url) as it:
            answer = await it.ask(PATH, {"messages": MESSAGES, "model": "m"})
    assert answer.headers["x-streamgauge-count"] == "estimated"
    assert answer.json() == {"input_tokens": 4 + 4}
