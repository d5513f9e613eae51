"""What a call tells of its upstream: for its circuit, and for who is asked first (SPEC §14.4, §14.5)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from streamgauge.core.routing.breaker import Circuit

from .fallback import started
from .stand import stand, until

pytestmark = [pytest.mark.asyncio]
CHAT = "/v1/chat/completions"


def chat(**sim: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "hi"}]
    return {"model": "sim", "stream": True, "messages": messages, "sim": {"tokens": 2, **sim}}


@pytest.mark.parametrize("fault", ["no_done", "cut_before_done"])
async def test_answers_that_lack_only_their_end_marker_open_no_circuit(
    fault: str, tmp_path: Path
) -> None:
    async with stand(tmp_path) as it:
        answers = [await it.ask(CHAT, chat(fault=fault), odd=True) for _ in range(5)]
        rows = [await it.row(answer.id) for answer in answers]
        circuit = it.gateway.upstreams["sim"].breaker
    assert {answer.status for answer in answers} == {200}
    assert all(b"error" not in answer.body for answer in answers)
    assert {row["status"] for row in rows} == {"stream_incomplete"}
    assert (circuit.failures, circuit.state(time.monotonic())) == (0, Circuit.CLOSED)


async def test_a_probe_whose_client_leaves_before_any_content_says_nothing(tmp_path: Path) -> None:
    bounds = {"routing": {"breaker": {"failures": 3, "open_seconds": 0.2}}}
    async with stand(tmp_path, config=bounds) as it:
        circuit = it.gateway.upstreams["sim"].breaker
        for _ in range(3):
            circuit.failed(time.monotonic())
        await until(lambda: circuit.allows(time.monotonic()))
        async with it.client() as client:
            await client.post(CHAT, chat(role_ms=0, first_ms=20_000))
            await client.head()
            assert b"role" in (await client.chunk() or b"")
        await until(lambda: not it.gateway.relays)
        assert circuit.state(time.monotonic()) is Circuit.HALF_OPEN
        assert (await it.ask(CHAT, chat())).status == 200
        assert circuit.state(time.monotonic()) is Circuit.CLOSED


async def test_who_refuses_quickly_is_not_the_one_with_the_lowest_latency(tmp_path: Path) -> None:
    async with started() as other:
        to = {"default": {"to": ["sim", "other"], "strategy": "lowest_latency"}}
        also = [{"name": "other", "kind": "sim", "base_url": other.url}]
        async with stand(tmp_path, config={"routing": to}, also=also) as it:
            first = await it.ask(CHAT, chat(head_ms=100))
            second = await it.ask(CHAT, chat(head_ms=300))
            refuse = {**chat(fault="http_400"), "model": "other/m"}
            refused = [await it.ask(CHAT, refuse) for _ in range(9)]
            last = await it.ask(CHAT, chat())
    served = [a.headers["x-streamgauge-upstream"] for a in (first, second, last)]
    assert {answer.status for answer in refused} == {400}
    assert served == ["sim", "other", "sim"]
