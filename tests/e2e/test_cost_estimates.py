"""`POST /v1/cost` over real sockets: an estimate by route, price and learnt ratio, and no call."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from streamgauge.cli.ratio_seed import seed_ratios
from streamgauge.core.routing.ratios import Ratio, Ratios
from streamgauge.gateway.ratio_sink import RatioSink
from streamgauge.tools.simulator import Simulator

from .cost_cases import ANTHROPIC, OPENAI, said
from .process import closed_rows, serving
from .stand import Stand, stand
from .test_reload import changing, chat

COST = "/v1/cost"
# 13 signs of text are 4 tokens, a message 4 more (docs/wire.md): 8 in all
ASKED = {"model": "m", "messages": [{"role": "user", "content": "one two three"}]}
PRICES = {"prices": [{"input": 1, "output": 10, "fee": "0.001", "currency": "USD"}]}


async def cost(on: Any, body: Any, **headers: str) -> dict[str, Any]:
    """Return the estimate for `body`."""
    answer = await on.ask(COST, body, **headers)
    assert answer.status == 200, answer.body
    told: dict[str, Any] = answer.json()
    return told


async def ask(on: Stand, read: int, written: int, **more: Any) -> None:
    """Let one exchange of these counts be booked."""
    await on.row((await on.ask(OPENAI, chat(tokens=1, usage=said(read, written), **more))).id)


@pytest.mark.asyncio
async def test_an_estimate_is_the_price_of_the_route_that_would_be_taken(tmp_path: Path) -> None:
    async with stand(tmp_path, config=PRICES) as on:
        begun = len(on.simulator.begun)
        told = await cost(on, {**ASKED, "max_tokens": 50})
        assert len(on.simulator.begun) == begun, "the upstream was called"
        assert await on.rows() == []
    assert told == {
        "object": "cost_estimate",
        "estimated": True,
        "model": "m",
        "requested_model": "m",
        "upstream": "sim",
        "route": told["route"],
        "input_tokens": 8,
        "output_tokens": 50,
        "output_from": "max_tokens",
        "ratio": None,
        # 8 x 1 + 50 x 10 = 508 micro-dollars, and a fee of 1 000
        "cost_nano": 1_508_000,
        "currency": "USD",
        "cost_source": "config",
        "cost_reason": None,
        "price": {
            "source": "config",
            "currency": "USD",
            "input": "1",
            "output": "10",
            "fee": "0.001",
            "upstream": "*",
            "model": "*",
        },
    }


@pytest.mark.asyncio
async def test_what_was_answered_before_says_how_much_will_be(tmp_path: Path) -> None:
    body = {**ASKED, "model": "sim"}
    async with stand(tmp_path, config=PRICES) as on:
        unknown = await cost(on, body)
        await ask(on, 100, 200)
        await ask(on, 300, 1200)
        learnt = await cost(on, body)
        capped = await cost(on, {**body, "max_completion_tokens": 20})
        other = await cost(on, {**body, "model": "other"})
    assert (unknown["output_tokens"], unknown["cost_nano"], unknown["cost_reason"]) == (
        None,
        None,
        "output_unknown",
    )
    # 1400 written for 400 read: 3.5, so 28 for 8; 8 x 1 + 28 x 10 = 288, and the fee
    assert learnt["ratio"] == {"value": 3.5, "samples": 2}
    assert (learnt["output_tokens"], learnt["output_from"]) == (28, "ratio")
    assert learnt["cost_nano"] == 1_288_000
    assert (capped["output_tokens"], capped["output_from"]) == (20, "max_tokens")
    assert other["ratio"] is None


@pytest.mark.asyncio
async def test_what_an_anthropic_upstream_is_asked_for_bounds_an_answer_that_nobody_else_does(
    tmp_path: Path,
) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    cap = [{"max_tokens": {"cap": 70}}]
    async with stand(tmp_path / "a", config=PRICES, kind="anthropic") as on:
        plain, thinking = (
            await cost(on, ASKED),
            await cost(on, {**ASKED, "reasoning_effort": "low"}),
        )
    async with stand(tmp_path / "b", config=PRICES, kind="anthropic", transformers=cap) as on:
        capped = await cost(on, ASKED)
    for told, most in ((plain, 4096), (thinking, 4096 + 1024), (capped, 70)):
        assert (told["output_tokens"], told["output_from"]) == (most, "max_tokens")


@pytest.mark.asyncio
async def test_counts_of_our_own_teach_nothing(tmp_path: Path) -> None:
    async with stand(tmp_path, flavour="openai") as on:
        answer = await on.ask(OPENAI, chat(tokens=9, usage="none"))
        assert (await on.row(answer.id))["usage_source"] == "counted"
        assert (await cost(on, {**ASKED, "model": "sim"}))["ratio"] is None


@pytest.mark.asyncio
async def test_a_reload_changes_the_price_and_keeps_what_was_learnt(tmp_path: Path) -> None:
    body = {**ASKED, "model": "sim"}
    async with changing(tmp_path) as change:
        await ask(change.on, 10, 20)
        await change.to(prices=[{"input": 7, "output": 0, "currency": "sat"}])
        told = await cost(change.on, body)
    # 8 x 7 = 56 millionths of a sat
    assert (told["cost_nano"], told["currency"]) == (56_000, "sat")
    assert told["ratio"] == {"value": 2.0, "samples": 1}


@pytest.mark.parametrize(
    ("more", "headers"),
    [
        ({"system": "abcd"}, {}),
        ({"tools": [{"name": "ls", "input_schema": {"type": "object"}}]}, {}),
        ({}, {"anthropic_version": "2023-06-01"}),
    ],
)
@pytest.mark.asyncio
async def test_anthropics_requests_are_known_and_refused_in_their_own_words(
    tmp_path: Path, more: dict[str, Any], headers: dict[str, str]
) -> None:
    async with stand(tmp_path, config=PRICES, models=["m"]) as on:
        told = await cost(on, {**ASKED, **more}, **headers)
        wrong = await on.ask(COST, {**ASKED, **more, "messages": 7}, **headers)
        lost = await on.ask(COST, {**ASKED, **more, "model": "nobody"}, **headers)
        assert await on.rows() == []
    assert told["input_tokens"] >= 8
    assert (wrong.status, wrong.json()["type"]) == (400, "error")
    assert (lost.status, lost.json()["error"]["code"]) == (404, "no_route")


@pytest.mark.asyncio
async def test_openais_refusals_are_openais(tmp_path: Path) -> None:
    async with stand(tmp_path, config=PRICES) as on:
        for body in (b"{", b"[]", {"model": "m"}, {**ASKED, "messages": 7}, {**ASKED, "model": 7}):
            answer = await on.ask(COST, body)
            assert (answer.status, answer.json()["error"]["code"]) == (400, "bad_request")
        assert (await on.get(COST)).status == 405
        assert await on.rows() == []


@pytest.mark.asyncio
async def test_the_service_tier_and_the_number_of_answers_that_are_asked_for_count(
    tmp_path: Path,
) -> None:
    tiers = [{"name": "flex", "input": 2, "output": 5}]
    config = {"prices": [{"input": 4, "output": 10, "service_tiers": tiers, "currency": "USD"}]}
    async with stand(tmp_path, config=config) as on:
        body = {**ASKED, "max_tokens": 10, "n": 3}
        usual, flex = await cost(on, body), await cost(on, {**body, "service_tier": "flex"})
    # three answers of 10: 8 x 4 + 30 x 10 = 332; at flex 8 x 2 + 30 x 5 = 166 micro-dollars
    assert (usual["cost_nano"], flex["cost_nano"]) == (332_000, 166_000)
    assert flex["price"]["service_tier"] == "flex"


@pytest.mark.asyncio
async def test_a_model_without_a_price_says_why_it_has_no_cost(tmp_path: Path) -> None:
    async with stand(tmp_path) as on:
        told = await cost(on, {**ASKED, "max_tokens": 5})
    assert (told["cost_nano"], told["currency"], told["price"]) == (None, None, None)
    assert told["cost_reason"] == "no_price"


@pytest.mark.asyncio
async def test_the_ratios_of_the_ledger_are_those_that_were_learnt_live(tmp_path: Path) -> None:
    async with stand(tmp_path) as on:
        await ask(on, 10, 20)
        await ask(on, 30, 20)
        await on.ask(ANTHROPIC, {**ASKED, "model": "b", "max_tokens": 3})
        await on.rows()
        live = on.gateway.generation.ratios
    seeded, own = Ratios(), Ratios()
    await seed_ratios(tmp_path / "ledger.db", "somebody else", RatioSink(lambda: seeded))
    await seed_ratios(tmp_path / "ledger.db", "boot-of-the-test", RatioSink(lambda: own))
    assert seeded.ratio("sim") == live.ratio("sim") == Ratio(40, 40, 2)
    assert seeded.ratio("b") == live.ratio("b") is not None
    assert len(own) == 0, "its own rows reach a gateway by its sink, and would count twice"


@pytest.mark.asyncio
async def test_a_ledger_that_cannot_be_read_stops_nothing(tmp_path: Path) -> None:
    ratios = Ratios()
    await seed_ratios(tmp_path / "none.db", "me", RatioSink(lambda: ratios))
    (tmp_path / "odd.db").write_bytes(b"no database" * 100)
    await seed_ratios(tmp_path / "odd.db", "me", RatioSink(lambda: ratios))
    assert len(ratios) == 0


@pytest.mark.asyncio
async def test_a_gateway_that_starts_again_knows_what_was_learnt_before(tmp_path: Path) -> None:
    simulator = Simulator()
    await simulator.start()
    try:
        async with serving(tmp_path, simulator) as first:
            await first.ask(OPENAI, chat(tokens=1, usage=said(10, 20)))
            await closed_rows(tmp_path, 1)
        async with serving(tmp_path, simulator) as second:
            told, began = None, time.monotonic()
            while told is None:  # the ledger is read while it serves already
                assert time.monotonic() < began + 10, "nothing was learnt from the ledger"
                told = (await cost(second, {**ASKED, "model": "sim"}))["ratio"]
    finally:
        await simulator.aclose()
    assert told == {"value": 2.0, "samples": 1}
