"""Costs over real sockets: each case worked out by hand beside it, and sums that are the rows'."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from streamgauge.ledger import rollup
from streamgauge.ledger.reader import LedgerReader

from .cost_cases import ANTHROPIC, CASES, OPENAI, Case, said
from .stand import Answer, Stand, stand
from .test_reload import begun, changing, chat


async def answered(on: Stand, case: Case, model: str) -> dict[str, Any]:
    """Ask as `case` says and return the row."""
    body: dict[str, Any] = {
        "model": model,
        "stream": True,
        "messages": [{"role": "user", "content": "hi"}],
        "sim": {"tokens": 5, "usage": case.usage, **case.sim},
        **case.asks,
    }
    if case.path == ANTHROPIC:
        body["max_tokens"] = 100
    return await on.row((await on.ask(case.path, body, odd=True)).id)


def recomputed(row: Mapping[str, Any]) -> int:
    """Return the cost by the row's own price and counts, in integers and by no code of the package."""
    price = row["price"]
    for tier in price.get("tiers", []):
        if row["input_tokens"] > tier["above"]:
            price = {**tier, "fee": row["price"]["fee"]}

    def rate(name: str, otherwise: str) -> int:
        return int(Decimal(price.get(name, price.get(otherwise))) * 10**9)

    cached, stored = row["cache_read_tokens"] or 0, row["cache_write_tokens"] or 0
    read, thought = row["input_tokens"] or 0, row["reasoning_tokens"] or 0
    total = (read - cached - stored) * rate("input", "input")
    total += cached * rate("cache_read", "input") + stored * rate("cache_write", "input")
    total += (row["output_tokens"] - thought) * rate("output", "output")
    total += thought * rate("reasoning", "output")
    return (2 * total + 10**6) // (2 * 10**6) + int(Decimal(price["fee"]) * 10**9)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.asyncio
async def test_a_row_s_cost_is_what_one_works_out_by_hand(tmp_path: Path, case: Case) -> None:
    config = {"prices": list(case.prices)}
    async with stand(tmp_path, flavour=case.flavour, kind=case.kind, config=config) as on:
        row = await answered(on, case, case.model)
    assert (row["cost_nano"], row["currency"], row["cost_source"]) == case.cost
    assert row["cost_reason"] == (None if case.cost[0] is not None else "no_price")
    if row["price"] is None:
        assert case.cost[2] in (None, "upstream")
    else:
        assert recomputed(row) == row["cost_nano"]
        assert "service_tiers" not in row["price"], "the row keeps the rates that were used"


RATED = {"input": 15, "output": 75, "currency": "USD"}


@pytest.mark.parametrize(
    ("kind", "usage", "prices", "reason"),
    [
        ("openai", said(2**53 - 1, 5), [RATED], "cost_impossible"),
        ("openrouter", said(3, 5, cost=1e11), [], "no_price"),
    ],
)
@pytest.mark.asyncio
async def test_a_cost_that_no_column_holds_does_not_cost_the_row(
    tmp_path: Path, kind: str, usage: dict[str, Any], prices: list[Any], reason: str
) -> None:
    """Of more than 64 bits SQLite takes no integer, nor the row that it stands in."""
    case = Case("too much", kind, usage, (None, None, None))
    async with stand(tmp_path, flavour=kind, kind=kind, config={"prices": prices}) as on:
        row = await answered(on, case, "m")
    assert (row["status"], row["usage_source"]) == ("completed", "provider")
    assert row["input_tokens"] == usage["prompt_tokens"]
    assert (row["cost_nano"], row["currency"], row["cost_source"]) == (None, None, None)
    assert row["cost_reason"] == reason


@pytest.mark.asyncio
async def test_totals_per_currency_are_the_sums_of_their_rows(tmp_path: Path) -> None:
    """Many currencies in one ledger: what is added up is each of them alone."""
    cases = [case for case in CASES if case.kind == "sim" and case.flavour != "openai"]
    entries = [{**price, "model": f"m{n}"} for n, case in enumerate(cases) for price in case.prices]
    async with stand(tmp_path, flavour="vllm", config={"prices": entries}) as on:
        for _ in range(3):
            rows = [await answered(on, case, f"m{n}") for n, case in enumerate(cases)]
        assert [row["cost_nano"] for row in rows] == [case.cost[0] for case in cases]
        await on.rows()
        with LedgerReader(tmp_path / "ledger.db") as reader, reader.snapshot() as connection:
            (told,) = rollup.usage(connection)
    sums: Counter[str] = Counter()
    for case in cases:
        nano, currency, _ = case.cost
        if nano is not None and currency is not None:
            sums[currency] += 3 * nano
    assert set(sums) == {"USD", "sat", "msat"}
    parts = {name: (cost.exact, cost.estimated) for name, cost in told.costs.items()}
    assert parts == {name: (nano, None) for name, nano in sums.items()}
    assert told.unpriced == 3


@pytest.mark.asyncio
async def test_a_changed_price_touches_no_old_row_and_no_running_stream(tmp_path: Path) -> None:
    usage = said(1000, 100)
    async with changing(tmp_path) as change, change.on.client() as client:
        on = change.on
        await change.to(prices=[{"input": 1, "output": 1, "currency": "USD"}])
        old = await on.row((await on.ask(OPENAI, chat(tokens=2, usage=usage))).id)
        await begun(client, on, tokens=200, gap_ms=5, usage=usage)
        await change.to(prices=[{"input": 7, "output": 7, "currency": "EUR"}])
        new = await on.row((await on.ask(OPENAI, chat(tokens=2, usage=usage))).id)
        running = await on.row((await client.answer()).id)
        again = await on.row(old["id"])
    # 1000 + 100 = 1 100 micro-dollars; seven times that in euros
    assert again == old
    assert [(row["cost_nano"], row["currency"]) for row in (old, running, new)] == [
        (1_100_000, "USD"),
        (1_100_000, "USD"),
        (7_700_000, "EUR"),
    ]
    assert [row["price"]["input"] for row in (old, running, new)] == ["1", "1", "7"]


@pytest.mark.asyncio
async def test_the_client_is_told_the_cost_that_its_row_has(tmp_path: Path) -> None:
    config = {"prices": [{"input": 0, "output": 0, "fee": 21, "currency": "sat"}]}
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    async with stand(tmp_path, config=config) as on:
        answer: Answer = await on.ask(OPENAI, body)
        row = await on.row(answer.id)
    assert answer.headers["x-streamgauge-cost"] == "21.000000000 sat"
    assert (row["cost_nano"], row["currency"]) == (21 * 10**9, "sat")
