"""Real InfluxDB and Prometheus, and an OTLP receiver: what they hold is what the ledger holds (I8, I9)."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from streamgauge.ledger.reader import LedgerReader
from streamgauge.sinks.influx import FIELDS
from streamgauge.tools.simulator import Simulator

from .dashboards import queries
from .process import GatewayProcess, closed_rows, serving
from .proxies import free_port
from .receivers import Influx, OtlpReceiver, influxdb, prometheus, receiving
from .stand import PATIENT, until

FULL = os.environ.get("STREAMGAUGE_FULL") == "1"
EXCHANGES = 2000
AFTER_A_KILL = 600 if FULL else 150
CLIENTS = 12
WITHIN = 30.0
PRICES = [
    {"model": "priced*", "input": 2, "output": 10, "currency": "USD"},
    {"model": "dear", "input": 3, "output": 9, "fee": 1, "currency": "EUR"},
]
MODELS = ["priced-small", "priced-large", "dear", "free"]
Row = dict[str, Any]


def request_of(dice: random.Random) -> tuple[str, Any]:
    """Return a path and a body: streams and whole answers, failures, nonsense, made-up names."""
    model = dice.choice(MODELS) if dice.random() < 0.8 else f"made up, {dice.getrandbits(40):x}"
    sim: Row = {"tokens": dice.randint(0, 12)}
    if (kind := dice.random()) < 0.08:
        sim |= {
            "fault": dice.choice(["cut", "error_mid", "no_done", "http_500"]),
            "after": dice.randint(0, 3),
        }
    elif kind < 0.12:
        return "/v1/chat/completions", b'{"model": '
    body = {
        "model": model,
        "stream": dice.random() < 0.7,
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "hi"}],
        "sim": sim,
    }
    return dice.choice(["/v1/chat/completions", "/v1/messages"]), body


async def ask(gateway: GatewayProcess, dice: random.Random) -> None:
    """Make one exchange; some clients leave before its end."""
    path, body = request_of(dice)
    leaves = dice.random() < 0.05
    async with gateway.client() as client:
        client.odd = True
        await client.post(path, body)
        if leaves:
            await client.head()
            client.abort()
        else:
            await client.answer()


async def load(gateway: GatewayProcess, count: int, seed: int) -> None:
    """Make `count` exchanges, some at once."""
    dice = random.Random(seed)
    left = iter(range(count))

    async def one_after_the_other() -> None:
        for _ in left:
            await ask(gateway, dice)

    await asyncio.gather(*(one_after_the_other() for _ in range(CLIENTS)))


def settings(**exporters: Any) -> Row:
    return {
        "prices": PRICES,
        "routing": PATIENT,
        "exporters": {name: {"flush_seconds": 0.2, **each} for name, each in exporters.items()},
    }


def total(rows: Iterable[Row], column: str) -> int:
    return sum(row[column] for row in rows if row[column] is not None)


def assert_points_are_the_rows(influx: Influx, rows: list[Row]) -> None:
    """See that InfluxDB holds a point for each row, with the row's own numbers, and no other."""
    points = influx.query("SELECT * FROM llm_request")
    assert len(points) == len(rows)
    of_id = {point["id"]: point for point in points}
    assert len(of_id) == len(rows)
    for row in rows:
        point = of_id[row["id"]]
        wanted = {name: row[name] for name in FIELDS}
        assert {name: point.get(name) for name in FIELDS} == wanted
        assert point["status"] == row["status"]
        assert 0 <= point["time"] - row["finished_at"] * 1000 < 1000
    (sums,) = influx.query("SELECT count(id) AS n, sum(output_tokens) AS tokens FROM llm_request")
    assert (sums["n"], sums["tokens"]) == (len(rows), total(rows, "output_tokens"))


async def reached(condition: Callable[[], bool]) -> None:
    """Wait until `condition`, which asks another process, holds; the assertion is the caller's."""
    try:
        async with asyncio.timeout(WITHIN):
            while not await asyncio.to_thread(condition):
                await asyncio.sleep(0.05)
    except TimeoutError:
        return


def holds(influx: Influx, count: int) -> bool:
    found = influx.query("SELECT count(id) AS n FROM llm_request")
    return bool(found) and found[0]["n"] >= count


def asked(url: str, query: str) -> float | None:
    """Return what Prometheus answers to a query of one number."""
    with urlopen(f"{url}/api/v1/query?{urlencode({'query': query})}", timeout=10) as answer:
        found = json.load(answer)["data"]["result"]
    return float(found[0]["value"][1]) if found else None


def assert_prometheus_agrees(url: str, rows: list[Row]) -> None:
    of_status = Counter(row["status"] for row in rows)
    for status, count in of_status.items():
        assert asked(url, f'sum(streamgauge_requests_total{{status="{status}"}})') == count
    for column, source in (("input_tokens", "input_source"), ("output_tokens", "usage_source")):
        for told in {row[source] for row in rows if row[column] is not None}:
            these = [row for row in rows if row[source] == told]
            query = f'sum(streamgauge_{column}_total{{source="{told}"}})'
            assert asked(url, query) == total(these, column)
    for currency in ("USD", "EUR"):
        these = [row for row in rows if row["currency"] == currency]
        query = f'sum(streamgauge_cost_nano_total{{currency="{currency}"}})'
        assert total(these, "cost_nano") > 0
        assert asked(url, query) == total(these, "cost_nano")
    waits = [row["ttft_ms"] for row in rows if row["ttft_ms"] is not None]
    assert asked(url, "sum(streamgauge_ttft_seconds_count)") == len(waits)
    assert asked(url, "sum(streamgauge_ttft_seconds_sum)") == pytest.approx(sum(waits) / 1000)
    anomalies = sum(len(row["anomalies"]) for row in rows)
    assert (asked(url, "sum(streamgauge_anomalies_total)") or 0.0) == anomalies
    assert asked(url, "sum(streamgauge_export_dead_letters_total)") == 0


def assert_otlp_agrees(to: OtlpReceiver, rows: list[Row]) -> None:
    spans = {
        attribute.value.string_value: span
        for span in to.spans.values()
        for attribute in span.attributes
        if attribute.key == "streamgauge.id"
    }
    assert spans.keys() == {row["id"] for row in rows}
    assert len(to.spans) == len(rows)
    for row in rows:
        span = spans[row["id"]]
        assert span.start_time_unix_nano == row["started_at"] * 1000
        assert span.end_time_unix_nano == row["finished_at"] * 1000
        told = {each.key: each.value for each in span.attributes}
        assert told["gen_ai.operation.name"].string_value == "chat"
        if row["output_tokens"] is not None:
            assert told["gen_ai.usage.output_tokens"].int_value == row["output_tokens"]
    assert sum(p.count for p in to.points["gen_ai.client.operation.duration"]) == timed(rows)
    usage = to.points["gen_ai.client.token.usage"]
    for kind in ("input", "output"):
        of_kind = [p for p in usage if any(a.value.string_value == kind for a in p.attributes)]
        assert sum(p.sum for p in of_kind) == total(rows, f"{kind}_tokens")
    assert sum(p.as_int for p in to.points["streamgauge.cost_nano"]) == total(rows, "cost_nano")


@pytest.mark.asyncio
@pytest.mark.timeout(180)
async def test_after_2000_mixed_exchanges_counts_and_sums_are_the_ledgers(
    tmp_path: Path, real_program: Callable[[str], Path]
) -> None:
    databases, watcher = real_program("influxd"), real_program("prometheus")
    port = await free_port()
    simulator = Simulator()
    await simulator.start(flavour="llamacpp")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(simulator.aclose)
        influx = await stack.enter_async_context(influxdb(databases, tmp_path / "influx", port))
        to = stack.enter_context(receiving(OtlpReceiver()))
        assert isinstance(to, OtlpReceiver)
        config = settings(influxdb={"url": influx.url, "database": "gauge"}, otlp={"url": to.url})
        gateway = await stack.enter_async_context(
            serving(tmp_path, simulator, config=config, control=0)
        )
        scraped = prometheus(watcher, tmp_path / "prom", await free_port(), gateway.control_port)
        url = await stack.enter_async_context(scraped)
        await load(gateway, EXCHANGES, seed=1)
        rows = await closed_rows(tmp_path, EXCHANGES, WITHIN)
        assert len(rows) == EXCHANGES
        assert len({row["status"] for row in rows}) >= 4
        await reached(partial(holds, influx, EXCHANGES))
        await reached(lambda: len(to.spans) == EXCHANGES and not behind(url))
        await reached(lambda: asked(url, "sum(streamgauge_requests_total)") == EXCHANGES)
        assert_points_are_the_rows(influx, rows)
        assert_otlp_agrees(to, rows)
        assert_prometheus_agrees(url, rows)
        samples = "min(count_over_time(streamgauge_requests_total[10m]))"
        await reached(lambda: (asked(url, samples) or 0) >= 2)  # of fewer there is no rate
        await asyncio.to_thread(assert_dashboards_show_something, influx, url)
        labels = {tag["model"] for tag in models_in(influx)}
        assert labels == {"priced*", "dear", "other", "none"}


def assert_dashboards_show_something(influx: Influx, url: str) -> None:
    """See that real servers take every query of deploy/grafana, and that nearly all find something."""
    empty = [query for query in queries("influxdb") if not influx.query(query)]
    empty += [query for query in queries("prometheus") if asked(url, query) is None]
    # The simulator says nothing of these.
    rare = ("cache", "reasoning", "anomal", "context_", "prompt_tps", "dead_letters", 'source" !=')
    assert [query for query in empty if not any(word in query for word in rare)] == []


def models_in(influx: Influx) -> list[Row]:
    found = influx.query('SHOW TAG VALUES FROM llm_request WITH KEY = "model"')
    return [{"model": each["value"]} for each in found]


def behind(url: str) -> bool:
    return asked(url, "sum(streamgauge_export_behind)") != 0


@pytest.mark.asyncio
@pytest.mark.timeout(120)
async def test_after_an_outage_and_after_kill_9_nothing_is_lost_and_nothing_is_twice(
    tmp_path: Path, real_program: Callable[[str], Path]
) -> None:
    program, port = real_program("influxd"), await free_port()
    simulator = Simulator()
    await simulator.start(flavour="llamacpp")
    dice = random.Random(3)
    with receiving(OtlpReceiver()) as to:
        assert isinstance(to, OtlpReceiver)
        config = settings(
            influxdb={"url": f"http://127.0.0.1:{port}", "database": "gauge", "batch": 40},
            otlp={"url": to.url, "batch": 40},
        )
        try:
            async with influxdb(program, tmp_path / "influx", port):
                await until_killed(tmp_path, simulator, config, dice)
            # InfluxDB is away: the gateway serves and books on, is killed, and starts again.
            await until_killed(tmp_path, simulator, config, dice)
            async with serving(tmp_path, simulator, config=config) as gateway:
                await load(gateway, AFTER_A_KILL, seed=4)
                async with influxdb(program, tmp_path / "influx", port) as influx:
                    await load(gateway, AFTER_A_KILL // 2, seed=5)
                    rows = await closed_rows(tmp_path, 3 * AFTER_A_KILL, WITHIN)
                    assert "gateway_crash" in {row["status"] for row in rows}
                    await reached(partial(holds, influx, len(rows)))
                    await reached(lambda: metrics_hold(to, timed(rows)))
                    assert_points_are_the_rows(influx, rows)
                    assert_otlp_agrees(to, rows)
        finally:
            await simulator.aclose()


def timed(rows: list[Row]) -> int:
    return sum(row["status"] != "gateway_crash" for row in rows)


def metrics_hold(to: OtlpReceiver, count: int) -> bool:
    points = to.points.get("gen_ai.client.operation.duration", [])
    return sum(point.count for point in points) >= count


async def until_killed(
    folder: Path, simulator: Simulator, config: Row, dice: random.Random
) -> None:
    """Serve, and kill the gateway while clients are being served and rows exported."""
    async with serving(folder, simulator, config=config) as gateway:
        wanted = closed_count(folder) + AFTER_A_KILL
        loading = asyncio.create_task(load(gateway, 100_000, seed=dice.randrange(1000)))
        await until(lambda: closed_count(folder) >= wanted, WITHIN)
        await gateway.kill()
        (error,) = await asyncio.gather(loading, return_exceptions=True)
        assert isinstance(error, OSError | asyncio.IncompleteReadError)


def closed_count(folder: Path) -> int:
    with LedgerReader(folder / "ledger.db") as reader, reader.snapshot() as connection:
        return int(connection.execute("SELECT count(*) FROM closings").fetchone()[0])
