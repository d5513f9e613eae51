"""Answers and requests of absurd size: memory stays flat, and the row tells (SPEC §4.7, S16, S17, F36)."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from streamgauge.tools.simulator import Simulator

from .process import closed_rows, serving
from .stand import DATA, stand

CHAT = "/v1/chat/completions"
GROWTH_MIB = 16
BODY = {"model": "sim", "stream": True, "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.fault("F36")
@pytest.mark.parametrize(
    ("case", "status"),
    [
        ("r080-50mb-no-newline", "upstream_protocol_error"),
        ("r081-50mb-event-many-lines", "upstream_protocol_error"),
        ("r083-comment-flood", "completed"),
        ("r085-gzip-bomb", "upstream_protocol_error"),
    ],
)
@pytest.mark.asyncio
async def test_an_absurd_answer_does_not_grow_the_process(
    case: str, status: str, tmp_path: Path
) -> None:
    cases = tmp_path / "cases.json"
    cases.write_bytes(gzip.decompress((DATA / "corpus" / "responses.json.gz").read_bytes()))
    simulator = Simulator()
    await simulator.start(captures=DATA / "captures", cases=cases)
    async with simulator:
        config = {
            "upstreams": [
                {"name": "plain", "kind": "sim", "base_url": simulator.url, "models": ["warm"]},
                {
                    "name": "absurd",
                    "kind": "sim",
                    "base_url": f"{simulator.url}/case/{case}",
                    "models": ["sim"],
                },
            ]
        }
        async with serving(tmp_path, simulator, config=config) as gateway:
            warm = {**BODY, "model": "warm", "sim": {"tokens": 2000}}
            await gateway.ask(CHAT, warm)
            before = gateway.resident_mib()
            gateway.forget_peak()
            # How much of a frame that is no JSON passes before it is given up, the reads decide.
            answer = await gateway.ask(CHAT, BODY, odd=True)
            grown = gateway.peak_mib() - before
            rows = await closed_rows(tmp_path, 2)
    print(f"{case}: grown by {grown:.1f} MiB, {len(answer.body)} bytes to the client")
    (row,) = (row for row in rows if row["requested_model"] == "sim")
    assert row["status"] == status
    assert answer.clean
    assert grown < GROWTH_MIB


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip"])
@pytest.mark.asyncio
async def test_an_encoded_request_body_is_a_415_with_a_row(coding: str, tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        raw = gzip.compress(json.dumps(BODY).encode())
        answer = await it.ask(CHAT, raw, content_encoding=coding)
        row = await it.row(answer.id)
        assert not it.simulator.begun
    assert (answer.status, answer.json()["error"]["code"]) == (415, "bad_request")
    assert (row["status"], row["http_status"]) == ("rejected", 415)
