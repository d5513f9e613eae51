"""What a call tells of its upstream: for its circuit, and for who is asked first (SPEC §14.4, §14.5)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from streamgauge.core.routing.breaker import Circuit

from .stand import stand

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
