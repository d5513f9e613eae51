"""The stop endpoint: the upstream is closed, the client is told in its dialect, the row says so."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from ..timed import in_time
from .stand import Client, Stand, frames_of, stand

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
CLOSED_WITHIN = 0.5  # SPEC §11.2
TALKING = {"tokens": 5000, "gap_ms": 5}
SILENT = {"fault": "stall", "after": 2}
UNKNOWN = "0" * 32


def request(**sim: Any) -> dict[str, Any]:
    """Return a streaming request that asks `sim` of the simulator."""
    messages = [{"role": "user", "content": "hi"}]
    return {"model": "sim", "max_tokens": 9000, "stream": True, "messages": messages, "sim": sim}


async def begin(client: Client, path: str, sim: dict[str, Any]) -> str:
    """Begin a stream and read its first chunks; return its id."""
    await client.post(path, request(**sim))
    _, headers = await client.head()
    assert await client.chunk()
    return headers["x-streamgauge-stream-id"]


async def rest(client: Client) -> bytes:
    """Read the stream to its end, which is a proper one."""
    pieces = []
    while piece := await client.chunk():
        pieces.append(piece)
    assert piece == b"", "the body has no proper end"
    return b"".join(pieces)


async def stop_by_path(it: Stand, stream_id: str) -> Any:
    """Stop a stream by its own address."""
    return await it.ask(f"/v1/streams/{stream_id}/stop", b"")


async def stop_by_body(it: Stand, stream_id: str) -> Any:
    """Stop a stream as chat front ends do."""
    return await it.ask("/v1/chat/stop", {"trace_id": stream_id})


@pytest.mark.parametrize("stop", [stop_by_path, stop_by_body])
@pytest.mark.parametrize("sim", [TALKING, SILENT], ids=["talking", "silent"])
@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.asyncio
async def test_a_stop_closes_the_upstream_and_tells_the_client(
    path: str, sim: dict[str, Any], stop: Any, tmp_path: Path
) -> None:
    # `drain` too: a stop is not a client that leaves.
    async with stand(tmp_path, on_disconnect="drain") as it, it.client() as client:
        stream_id = await begin(client, path, sim)
        asked_at = time.time()
        answer = await stop(it, stream_id)
        entry = await asyncio.wait_for(it.simulator.until_ended(1), 5)
        body = await rest(client)
        row = await it.row(stream_id)
        again = await stop(it, stream_id)
    assert answer.status == 200
    assert entry.ending == "client_closed"
    assert entry.closed_at is not None
    in_time(entry.closed_at - asked_at, CLOSED_WITHIN)
    error = json.loads(frames_of(body)[-1])
    assert error["error"]["code"] == "stream_cancelled"
    assert error.get("type") == ("error" if path == MESSAGES else None)
    assert b"[DONE]" not in body
    assert b"message_stop" not in body
    assert (row["status"], row["success"]) == ("cancelled", False)
    assert (row["delivered"], row["disposition"]) == ("part", "cancelled")
    assert row["error_code"] == "stream_cancelled"
    assert again.status == 404


@pytest.mark.asyncio
async def test_a_stop_before_the_headers_is_an_http_error(tmp_path: Path) -> None:
    async with stand(tmp_path) as it, it.client() as client:
        await client.post(CHAT, request(head_ms=30_000))
        while not it.gateway.relays or not it.simulator.begun:
            await asyncio.sleep(0.002)
        stream_id = next(iter(it.gateway.relays))
        assert (await stop_by_path(it, stream_id)).status == 200
        answer = await client.answer()
        row = await it.row(stream_id)
    assert answer.json()["error"]["code"] == "stream_cancelled"
    assert answer.status == row["http_status"] == 499
    assert (row["status"], row["delivered"]) == ("cancelled", "none")


@pytest.mark.parametrize("stop", [stop_by_path, stop_by_body])
@pytest.mark.asyncio
async def test_an_unknown_stream_is_404_and_others_go_on(stop: Any, tmp_path: Path) -> None:
    async with stand(tmp_path) as it, it.client() as client:
        stream_id = await begin(client, CHAT, {"tokens": 40, "gap_ms": 5})
        answer = await stop(it, UNKNOWN)
        body = await rest(client)
        row = await it.row(stream_id)
        rows = await it.rows()
    assert (answer.status, answer.json()["error"]["code"]) == (404, "no_route")
    assert frames_of(body)[-1] == b"[DONE]"
    assert row["status"] == "completed"
    assert len(rows) == 1, "a stop makes no row"
