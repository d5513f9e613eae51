"""Reloads in a gateway that serves: a bad file changes nothing, a good one only what begins after it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from streamgauge.cli.reloading import APPLIED, REFUSED, Reloader
from streamgauge.config.environment import Flag
from streamgauge.config.load import LoadOptions, load
from streamgauge.config.problems import ConfigError
from streamgauge.gateway.runtime import open_descriptors, runtime_of
from streamgauge.gateway.upstreams import UpstreamRuntime

from ..config.mistakes import CANARY, MISTAKES
from .stand import Answer, Client, Stand, frames_of, stand, until

CHAT = "/v1/chat/completions"
RELOADS = 200


def chat(**sim: Any) -> dict[str, Any]:
    """Return a streaming request that asks `sim` of the simulator."""
    messages = [{"role": "user", "content": "hi"}]
    return {"model": "sim", "stream": True, "messages": messages, "sim": sim}


@dataclass
class Change:
    """Writes configurations for a stand and reloads them."""

    on: Stand
    reloader: Reloader
    file: Path

    def write(self, **whole: Any) -> None:
        """Write a configuration; upstreams are `local` unless named."""
        whole.setdefault("upstreams", [self.upstream("local")])
        self.file.write_text(json.dumps(whole))

    def upstream(self, name: str, **more: Any) -> dict[str, Any]:
        """Return an upstream at the stand's simulator."""
        return {"name": name, "kind": "sim", "base_url": self.on.simulator.url, **more}

    async def to(self, **whole: Any) -> str:
        """Write a configuration, reload it, and return its version."""
        self.write(**whole)
        return (await self.reloader.reload("test")).loaded.version


@contextlib.asynccontextmanager
async def changing(folder: Path, **config: Any) -> AsyncIterator[Change]:
    """Run a stand whose configuration can be changed."""
    async with stand(folder, config=config) as on:
        file = folder / "streamgauge.yaml"
        flags = (Flag("--port", ("server", "port"), 0),)
        options = LoadOptions(config=file, flags=flags, environ={})
        reloader = Reloader(options, on.gateway, on._note)
        try:
            yield Change(on, reloader, file)
        finally:
            await reloader.aclose()


async def begun(client: Client, on: Stand, **sim: Any) -> None:
    """Begin a stream and wait until its upstream sends."""
    before = len(on.simulator.begun)
    await client.post(CHAT, chat(**sim))
    await until(lambda: any(entry.frames > 2 for entry in on.simulator.begun[before:]))


# -- F6


@pytest.mark.fault("F6", seeds=len(MISTAKES))
@pytest.mark.asyncio
async def test_every_mistake_leaves_the_running_gateway_as_it_was(tmp_path: Path) -> None:
    async with changing(tmp_path) as change, change.on.client() as client:
        on, gateway = change.on, change.on.gateway
        await begun(client, on, tokens=10_000, gap_ms=10)
        before, runtimes = gateway.generation, dict(gateway.upstreams)
        wrong = []
        for mistake in MISTAKES:
            file = tmp_path / f"bad.{mistake.suffix}"
            file.write_text(mistake.text)
            reloader = Reloader(LoadOptions(config=file, environ={}), gateway, on._note)
            try:
                await reloader.reload("test")
                wrong.append(f"{mistake.id}: was taken")
            except ConfigError as error:
                if mistake.report(str(file)) not in map(str, error.problems):
                    wrong.append(f"{mistake.id}: {error}")
            if reloader.counts != {APPLIED: 0, "unchanged": 0, REFUSED: 1}:
                wrong.append(f"{mistake.id}: {reloader.counts}")
            page = (await on.get("/readyz")).json()
            state = page["config"]["state"], page["config"]["version"], page["ready"]
            if state != ("stale", before.version, True) or CANARY in json.dumps(page):
                wrong.append(f"{mistake.id}: /readyz says {page}")
        assert wrong == []
        assert gateway.generation is before
        assert dict(gateway.upstreams) == runtimes
        answer = await on.ask(CHAT, chat(tokens=3))
        row = await on.row(answer.id)
        assert (row["status"], row["config_version"]) == ("completed", before.version)
        assert next(iter(gateway.relays.values())).exchange.record.frames_in != 0
        refused = [fields for _, event, fields in on.lines if event == "config_refused"]
        assert len(refused) == len(MISTAKES) > 25
        assert CANARY not in json.dumps(on.lines)


@pytest.mark.asyncio
async def test_a_good_file_after_a_bad_one_makes_the_state_ok_again(tmp_path: Path) -> None:
    async with changing(tmp_path) as change:
        change.file.write_text("{")
        with pytest.raises(ConfigError):
            await change.reloader.reload("test")
        version = await change.to(metadata="off")
        page = (await change.on.get("/readyz")).json()
    assert page["config"] == {"state": "ok", "version": version, "error": None}


@pytest.mark.asyncio
async def test_a_certificate_that_cannot_be_read_is_a_problem_of_the_file(tmp_path: Path) -> None:
    async with changing(tmp_path) as change:
        before = change.on.gateway.generation
        (tmp_path / "ca.pem").write_text("this is no certificate\n")
        tls = {"ca_file": str(tmp_path / "ca.pem")}
        upstream = change.upstream("local", tls=tls) | {"base_url": "https://127.0.0.1:1"}
        with pytest.raises(ConfigError, match=r"ca\.pem"):
            await change.to(upstreams=[upstream])
        assert change.on.gateway.generation is before


# -- F7


@pytest.mark.fault("F7")
@pytest.mark.asyncio
async def test_running_streams_keep_route_price_and_version_and_new_ones_take_the_new(
    tmp_path: Path,
) -> None:
    async with changing(tmp_path) as change, change.on.client() as client:
        on = change.on
        first, second = change.upstream("first"), change.upstream("second")
        cheap = {"input": "1", "output": "2", "currency": "USD"}
        dear = {"input": "100", "output": "200", "currency": "EUR"}
        old = await change.to(upstreams=[first], prices=[cheap])
        await begun(client, on, tokens=200, gap_ms=5)
        new = await change.to(upstreams=[second], prices=[dear], metadata="off")
        after = await on.ask(CHAT, chat(tokens=3))
        running = await client.answer()
        rows = [await on.row(answer.id) for answer in (running, after)]
    assert old != new
    kept = [(r["upstream"], r["config_version"], r["currency"], r["status"]) for r in rows]
    assert kept == [("first", old, "USD", "completed"), ("second", new, "EUR", "completed")]
    assert [row["price"]["output"] for row in rows] == ["2", "200"]
    assert b": streamgauge {" in running.body, "metadata was on when it began"
    assert b": streamgauge {" not in after.body


@pytest.mark.fault("F7")
@pytest.mark.asyncio
async def test_running_streams_keep_their_deadlines(tmp_path: Path) -> None:
    async with changing(tmp_path) as change, change.on.client() as client:
        on = change.on
        await begun(client, on, tokens=60, gap_ms=25)
        short = change.upstream("sim", timeouts={"total": 0.2})
        await change.to(upstreams=[short])
        cut = await on.ask(CHAT, chat(tokens=60, gap_ms=25))
        running = await client.answer()
        rows = [await on.row(answer.id) for answer in (running, cut)]
    assert [row["status"] for row in rows] == ["completed", "upstream_timeout"]


@pytest.mark.asyncio
async def test_an_open_connection_takes_the_new_limits_with_its_next_request(
    tmp_path: Path,
) -> None:
    long = chat(tokens=1) | {"filler": "x" * (1 << 20)}
    async with changing(tmp_path) as change:
        on = change.on
        async with on.client() as idle, on.client() as busy, on.client() as host:
            for client in (idle, host):
                await client.post(CHAT, chat(tokens=1))
                assert (await client.answer()).status == 200
            await begun(busy, on, tokens=20, gap_ms=10)
            await change.to(server={"max_body_mb": 1})
            ended = await busy.answer()
            assert frames_of(ended.body)[-1] == b"[DONE]"
            for client in (idle, busy):
                await client.post(CHAT, long)
                assert (await client.answer()).status == 413
            await change.to(server={"allowed_hosts": ["localhost"]})
            await host.post(CHAT, chat(tokens=1))  # the same head as before
            assert (await host.answer()).status == 421


@pytest.mark.asyncio
async def test_an_unchanged_upstream_keeps_its_runtime_and_a_changed_one_starts_anew(
    tmp_path: Path,
) -> None:
    async with changing(tmp_path) as change:
        gateway = change.on.gateway
        same, other = change.upstream("same"), change.upstream("other")
        await change.to(upstreams=[same, other])
        await gateway.discovery.settle()
        kept, replaced = gateway.upstreams["same"], gateway.upstreams["other"]
        kept.refuses_usage = replaced.refuses_usage = True
        await change.to(upstreams=[same, {**other, "api_key": "sk-another-key"}])
        await gateway.discovery.settle()
        assert gateway.upstreams["same"] is kept
        assert kept.refuses_usage
        assert gateway.discovery.models_of(kept)
        assert gateway.upstreams["other"] is not replaced
        assert not gateway.upstreams["other"].refuses_usage


@pytest.mark.asyncio
async def test_a_renewed_certificate_file_makes_the_upstream_anew(tmp_path: Path) -> None:
    import trustme

    def renew() -> None:
        trustme.CA().cert_pem.write_to_path(tmp_path / "ca.new")
        os.replace(tmp_path / "ca.new", tmp_path / "ca.pem")

    async with changing(tmp_path) as change:
        renew()
        tls = {"ca_file": str(tmp_path / "ca.pem")}
        secure = change.upstream("tls", tls=tls) | {"base_url": "https://127.0.0.1:1"}
        await change.to(upstreams=[secure])
        first = change.on.gateway.upstreams["tls"]
        await change.to(upstreams=[secure])
        assert change.on.gateway.upstreams["tls"] is first
        renew()
        await change.to(upstreams=[secure])
        assert change.on.gateway.upstreams["tls"] is not first


@pytest.mark.asyncio
async def test_idle_connections_to_an_address_that_is_gone_are_closed(tmp_path: Path) -> None:
    # A flavour that keeps its connections: llama.cpp closes after each answer.
    async with stand(tmp_path, flavour="openai", kind="openai") as on:
        file = tmp_path / "streamgauge.yaml"
        reloader = Reloader(LoadOptions(config=file, environ={}), on.gateway, on._note)
        await on.ask(CHAT, chat(tokens=2))
        await until(lambda: on.gateway.pool.stats().idle == 1)
        elsewhere = {"name": "x", "kind": "sim", "base_url": "http://127.0.0.1:1"}
        file.write_text(json.dumps({"upstreams": [elsewhere]}))
        await reloader.reload("test")
        await until(lambda: on.gateway.pool.stats().open == 0)


@pytest.mark.asyncio
async def test_a_connection_whose_address_went_while_it_served_is_not_kept(tmp_path: Path) -> None:
    async with stand(tmp_path, flavour="openai", kind="openai") as on, on.client() as client:
        file = tmp_path / "streamgauge.yaml"
        reloader = Reloader(LoadOptions(config=file, environ={}), on.gateway, on._note)
        await begun(client, on, tokens=50, gap_ms=5)
        elsewhere = {"name": "x", "kind": "sim", "base_url": "http://127.0.0.1:1"}
        file.write_text(json.dumps({"upstreams": [elsewhere]}))
        await reloader.reload("test")
        answer = await client.answer()
        assert frames_of(answer.body)[-1] == b"[DONE]"
        await until(lambda: on.gateway.pool.stats().open == 0, 1.0)


@pytest.mark.asyncio
async def test_wishes_that_come_together_are_one_reload(tmp_path: Path) -> None:
    async with changing(tmp_path) as change:
        change.write(metadata="off")
        for _ in range(20):
            change.reloader.wish("test")
        await until(lambda: sum(change.reloader.counts.values()) > 0)
        await change.reloader.reload("last")
        # The one that ran, at most one that was asked for meanwhile, and the last.
        assert 2 <= sum(change.reloader.counts.values()) <= 3


@pytest.mark.asyncio
async def test_a_change_between_reading_the_file_and_watching_it_is_noticed(tmp_path: Path) -> None:
    async with changing(tmp_path) as change:
        change.write()
        loaded = load(LoadOptions(config=change.file, environ={}))
        change.write(metadata="off")
        change.reloader.watch(loaded)
        await until(lambda: change.reloader.counts[APPLIED] == 1)
        assert change.on.gateway.generation.config.metadata == "off"


# -- many


async def _ask_until(stop: asyncio.Event, on: Stand, answers: list[Answer]) -> None:
    while not stop.is_set():
        async with on.client() as client:
            for _ in range(5):
                await client.post(CHAT, chat(tokens=5, gap_ms=1))
                answers.append(await client.answer())


@pytest.mark.fault("F7", seeds=RELOADS)
@pytest.mark.asyncio
async def test_two_hundred_reloads_under_load_lose_nothing_and_leak_nothing(tmp_path: Path) -> None:
    async with changing(tmp_path) as change:
        on, gateway = change.on, change.on.gateway
        await on.ask(CHAT, chat(tokens=2))
        await until(lambda: not gateway.relays and gateway.client_sockets == 0)
        await until(lambda: gateway.pool.stats().open == 0)
        at_rest = runtime_of(gateway, open_descriptors())
        stop, answers = asyncio.Event(), list[Answer]()
        meant: dict[str, tuple[str, str]] = {}
        clients = [asyncio.create_task(_ask_until(stop, on, answers)) for _ in range(4)]
        for n in range(RELOADS):
            name, price = f"up-{n % 7}", str(n % 5 + 1)
            upstreams = [change.upstream(name, api_key=f"sk-key-number-{n}")]
            prices = [{"input": price, "output": "2", "currency": "USD"}]
            meant[await change.to(upstreams=upstreams, prices=prices)] = (name, price)
        stop.set()
        await asyncio.gather(*clients)
        await gateway.discovery.settle()
        rows = {row["id"]: row for row in await on.rows()}
        await until(lambda: gateway.client_sockets == 0 and gateway.pool.stats().open == 0)
        await until(lambda: len(asyncio.all_tasks()) <= at_rest.tasks)
        now = runtime_of(gateway, open_descriptors())
        gc.collect()
        runtimes = [each for each in gc.get_objects() if isinstance(each, UpstreamRuntime)]
    assert change.reloader.counts[APPLIED] == RELOADS
    assert len(answers) > RELOADS / 4
    assert {(a.status, a.clean, frames_of(a.body)[-1]) for a in answers} == {(200, True, b"[DONE]")}
    assert {answer.id for answer in answers} <= rows.keys()
    assert {row["status"] for row in rows.values()} == {"completed"}
    assert len(rows) == len(answers) + 1
    assert len(meant) == 35
    dated = [row for row in rows.values() if row["config_version"] in meant]
    assert len(rows) - len(dated) < 20, "those before the first reload"
    for row in dated:
        said = (row["upstream"], row["price"]["input"])
        assert said == meant[row["config_version"]], "one configuration, whole, for each exchange"
    left = [(now.registry, at_rest.registry), (now.tasks, at_rest.tasks), (now.drains, 0)]
    assert [(a, b) for a, b in left if a > b] == []
    assert now.descriptors is not None
    assert at_rest.descriptors is not None
    assert now.descriptors <= at_rest.descriptors + 4, "threads that read files keep none open"
    assert len(runtimes) <= 2, "the one in use, and one that the last exchange may still name"
