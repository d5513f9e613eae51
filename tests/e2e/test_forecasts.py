"""What only asks where a request would go, `count_tokens` and `/v1/cost`, is told what a call would find."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from streamgauge.tools.simulator import Simulator

from .stand import PATIENT, Stand, stand
from .test_routing import CHAT, MESSAGES, body, two

pytestmark = pytest.mark.asyncio

COUNT, COST = f"{MESSAGES}/count_tokens", "/v1/cost"
SAID = [{"role": "user", "content": "one two three"}]
RULES = {
    "models": [{"match": "claude-*", "to": ["other/made-here"]}],
    "rules": [
        {"name": "team", "when": {"header": {"x-team": "red"}}, "to": ["other"]},
        {"name": "word", "when": {"keyword": ["nightly"]}, "to": ["other/night"]},
    ],
    "default": {"to": ["sim", "other"]},
}


def asked(model: str = "m", said: str = "one two three") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": said}]}


def counted(simulator: Simulator) -> list[str]:
    """Return the models that it was asked to count for."""
    seen = [each for each in simulator.requests if "count_tokens" in each.path]
    return [json.loads(each.body)["model"] for each in seen]


def shut(it: Stand, *names: str) -> None:
    """Open the circuits of these upstreams."""
    for name in names:
        breaker = it.gateway.upstreams[name].breaker
        breaker.adjust(1, 60.0)
        breaker.failed(time.monotonic())


async def test_a_count_is_asked_of_the_upstream_and_model_that_the_message_would_reach(
    tmp_path: Path,
) -> None:
    async with two(tmp_path, RULES) as (it, other):
        await it.ask(COUNT, asked("claude-x"))
        await it.ask(COUNT, asked(), x_team="red")
        await it.ask(COUNT, asked(said="the nightly run"))
        await it.ask(COUNT, asked("other/plain"))
        assert counted(it.simulator) == []
        assert counted(other) == ["made-here", "m", "night", "plain"]
        await it.ask(COUNT, asked())
        assert counted(it.simulator) == ["m"]


async def test_a_count_is_not_asked_of_an_upstream_whose_circuit_is_open_and_is_always_told(
    tmp_path: Path,
) -> None:
    async with two(tmp_path, RULES) as (it, other):
        shut(it, "sim")
        elsewhere = await it.ask(COUNT, asked())
        assert (len(counted(it.simulator)), len(counted(other))) == (0, 1)
        shut(it, "other")
        estimated = await it.ask(COUNT, asked())
        assert (len(counted(it.simulator)), len(counted(other))) == (0, 1)
    assert "x-streamgauge-count" not in elsewhere.headers
    assert (estimated.status, estimated.json()) == (200, {"input_tokens": 8})
    assert estimated.headers["x-streamgauge-count"] == "estimated"


async def test_where_nobody_serves_a_model_its_tokens_are_estimated(tmp_path: Path) -> None:
    async with stand(tmp_path, models=["qwen*"], config={"routing": PATIENT}) as it:
        assert (await it.ask(MESSAGES, body("gpt-5"))).status == 404
        told = await it.ask(COUNT, asked("gpt-5"))
    assert (told.status, told.headers["x-streamgauge-count"]) == (200, "estimated")


async def test_a_cost_is_that_of_the_route_by_header_by_price_and_by_circuit(
    tmp_path: Path,
) -> None:
    cheapest = {**RULES, "default": {"to": ["sim", "other"], "strategy": "cheapest"}}
    prices = [
        {"upstream": "sim", "input": 5, "output": 5, "currency": "USD"},
        {"upstream": "other", "input": 1, "output": 1, "currency": "USD"},
    ]
    config = {"routing": PATIENT | cheapest, "prices": prices}
    also = [{"name": "other", "kind": "sim", "base_url": "http://127.0.0.1:9"}]
    async with stand(tmp_path, config=config, also=also) as it:
        by_header = (await it.ask(COST, asked(), x_team="red")).json()
        by_price = (await it.ask(COST, asked())).json()
        shut(it, "other")
        by_circuit = (await it.ask(COST, asked())).json()
        shut(it, "sim")
        nobody = await it.ask(COST, asked())
    assert (by_header["upstream"], by_header["route"]) == ("other", "rule:team")
    assert [by_price["upstream"], by_price["price"]["input"]] == ["other", "1"]
    assert [by_circuit["upstream"], by_circuit["price"]["input"]] == ["sim", "5"]
    assert (nobody.status, nobody.json()["upstream"]) == (200, "other")


async def test_who_only_asks_takes_no_turn(tmp_path: Path) -> None:
    turns = {"default": {"to": ["sim", "other"], "strategy": "round_robin"}}
    async with two(tmp_path, turns) as (it, other):
        for _ in range(2):
            would = (await it.ask(COST, asked())).json()["upstream"]
            assert (await it.ask(COST, asked())).json()["upstream"] == would
            await it.ask(COUNT, asked())
            row = await it.row((await it.ask(CHAT, body("m"))).id)
            assert row["upstream"] == would
        assert (len(it.simulator.begun), len(other.begun)) == (1, 1)
