"""More streams than `max_streams`: refused at the head, soon, and everything else goes on (SPEC §15.5)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from streamgauge.tools.simulator import Simulator

from ..timed import TooLate
from .process import GatewayProcess, closed_rows, serving
from .stand import Answer, Client, Stand, frames_of, stand, until

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
LENIENCY = 5  # a timing test asserts five times its figure
REFUSED_WITHIN = 0.010
FULL = bool(os.environ.get("STREAMGAUGE_FULL"))
GOODPUT = 0.9 if FULL else 1 - 0.1 * LENIENCY
SECONDS = 10.0 if FULL else 2.0
BOUND = 20
"""Streams at once in the load test."""
ROUNDS = 3
"""Tries at most: other programs' work in one of them must not fail the test."""
SHORT = {"tokens": 5, "gap_ms": 50}
OFFERED = 3 * BOUND / 0.2
"""Streams a second that are three times what the bound can carry, however slow the disk is."""
HEALTH_WITHIN = 0.1 * LENIENCY


def chat(stream: bool = True, **sim: Any) -> dict[str, Any]:
    """Return a request that asks `sim` of the simulator; both dialects read it."""
    messages = [{"role": "user", "content": "hi"}]
    return {"model": "sim", "stream": stream, "max_tokens": 999, "messages": messages, "sim": sim}


HELD = chat(tokens=999, first_ms=1, gap_ms=30_000)


@contextlib.asynccontextmanager
async def full(
    folder: Path, streams: int = 2, **keys: Any
) -> AsyncIterator[tuple[Stand, list[str]]]:
    """Give a gateway whose `max_streams` are all held, and their ids."""
    config = {"server": {"max_streams": streams}}
    async with stand(folder, config=config, **keys) as it, contextlib.AsyncExitStack() as stack:
        ids = []
        for _ in range(streams):
            client = await stack.enter_async_context(it.client())
            await client.post(CHAT, HELD)
            _, headers = await client.head()
            ids.append(headers["x-request-id"])
        yield it, ids


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [(CHAT, 503, None), (MESSAGES, 529, "overloaded_error"), ("/v1/embeddings", 503, None)],
)
@pytest.mark.asyncio
async def test_one_stream_too_many_is_refused_by_its_head_in_its_dialect(
    path: str, status: int, kind: str | None, tmp_path: Path
) -> None:
    async with full(tmp_path) as (it, ids), it.client() as client:
        head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1000000\r\n\r\n"
        client.writer.write(head.encode())
        answer = await client.answer()
        row = await it.row(answer.id)
        calls = len(it.simulator.begun)
    error = answer.json()["error"]
    assert (answer.status, error["code"]) == (status, "overloaded")
    assert kind is None or error["type"] == kind
    assert answer.headers["retry-after"] == "1"
    assert (row["status"], row["error_code"], row["http_status"]) == (
        "rejected",
        "overloaded",
        status,
    )
    assert (row["success"], row["upstream"], row["attempts"]) == (0, None, 0)
    assert calls == len(ids)


@pytest.mark.asyncio
async def test_an_answer_that_is_no_stream_counts_and_is_refused_too(tmp_path: Path) -> None:
    async with stand(tmp_path, config={"server": {"max_streams": 1}}) as it, it.client() as client:
        await client.post(CHAT, chat(stream=False, head_ms=30_000))
        await until(lambda: len(it.simulator.begun) == 1)
        assert (await it.ask(CHAT, chat(stream=False))).status == 503


@pytest.mark.asyncio
async def test_what_is_no_stream_is_never_refused(tmp_path: Path) -> None:
    async with full(tmp_path) as (it, ids):
        for path in ("/healthz", "/readyz", "/v1/models", f"/v1/streams/{ids[0]}"):
            assert (await it.get(path)).status == 200, path
        count = await it.ask("/v1/messages/count_tokens", chat())
        stopped = await it.ask(f"/v1/streams/{ids[0]}/stop", {})
        assert (count.status, stopped.status) == (200, 200)
        await it.row(ids[0])
        assert (await it.ask(CHAT, chat(tokens=1))).status == 200


@pytest.mark.asyncio
async def test_a_refused_client_keeps_its_connection_when_its_body_is_here(tmp_path: Path) -> None:
    async with full(tmp_path) as (it, ids), it.client() as client:
        for _ in range(3):
            await client.post(CHAT, chat(tokens=1))
            assert (await client.answer()).status == 503
        await it.ask(f"/v1/streams/{ids[0]}/stop", {})
        await it.row(ids[0])
        await client.post(CHAT, chat(tokens=1))
        assert (await client.answer()).status == 200


@pytest.mark.asyncio
async def test_a_refused_client_that_sends_a_large_body_first_still_reads_its_answer(
    tmp_path: Path,
) -> None:
    async with full(tmp_path) as (it, _), it.client() as client:
        await client.post(CHAT, b" " * 20_000_000)
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (503, "close")
        assert await client.reader.read() == b""


@pytest.mark.asyncio
async def test_bodies_that_come_late_pass_the_bound_at_no_time(tmp_path: Path) -> None:
    body = json.dumps(HELD).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n\r\n"
    config = {"server": {"max_streams": 3}}
    async with stand(tmp_path, config=config) as it, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(it.client()) for _ in range(10)]
        for client in clients:
            client.writer.write(head.encode())
        await until(lambda: len(it.gateway._connections) == 10)
        assert (await it.get("/healthz")).status == 200
        for client in clients:
            client.writer.write(body)
        told = [(await client.head())[0] for client in clients]
        assert len(it.gateway.relays) == 3
    assert sorted(told) == [200] * 3 + [503] * 7
    assert len(it.simulator.begun) == 3


@pytest.mark.asyncio
async def test_a_client_that_has_its_whole_answer_does_not_stand_in_its_own_way(
    tmp_path: Path,
) -> None:
    config = {"server": {"max_streams": 1}}
    async with stand(tmp_path, config=config) as it, it.client() as client:
        for _ in range(5):  # its row waits for late usage, on a connection that is held open
            await client.post(CHAT, chat(tokens=2, usage="none", fault="hold_open"))
            answer = await client.answer()
            assert (answer.status, frames_of(answer.body)[-1]) == (200, b"[DONE]")


@dataclass
class Tally:
    """What a load saw: streams that came whole, and seconds until each refusal and health answer.

    `late`: by how many seconds this process itself was woken too late, again and again.
    """

    whole: int = 0
    refused: list[float] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)

    def note(self, answer: Answer, began: float) -> None:
        """Count one answer to a stream request."""
        if answer.status == 503:
            assert answer.json()["error"]["code"] == "overloaded"
            self.refused.append(time.monotonic() - began)
        else:
            assert (answer.status, frames_of(answer.body)[-1]) == (200, b"[DONE]")
            self.whole += 1


async def closed_loop(gateway: GatewayProcess, until_time: float, tally: Tally) -> None:
    """Ask again and again on one connection."""
    async with gateway.client() as client:
        while (began := time.monotonic()) < until_time:
            await client.post(CHAT, chat(**SHORT))
            tally.note(await client.answer(), began)


async def open_loop(gateway: GatewayProcess, rate: float, seconds: float, tally: Tally) -> None:
    """Ask `rate` times a second whatever is answered; connections are kept for later calls."""
    kept: list[Client] = []

    async def one() -> None:
        reused = kept.pop() if kept else None
        client = reused or Client(*await asyncio.open_connection("127.0.0.1", gateway.port))
        began = time.monotonic()
        await client.post(CHAT, chat(**SHORT))
        tally.note(await client.answer(), began)
        kept.append(client)

    began, calls = time.monotonic(), []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        calls.append(asyncio.create_task(one()))
    await asyncio.gather(*calls)
    for client in kept:
        client.abort()


async def watch_health(gateway: GatewayProcess, tally: Tally) -> None:
    """Ask for the health ten times a second, on a connection each."""
    while True:
        began = time.monotonic()
        assert (await gateway.get("/healthz")).status == 200
        tally.health.append(time.monotonic() - began)
        await asyncio.sleep(0.1)


async def watch_ourselves(tally: Tally) -> None:
    """Note how late a busy machine wakes us: a refusal cannot be read sooner than that."""
    while True:
        due = time.monotonic() + 0.005
        await asyncio.sleep(0.005)
        tally.late.append(time.monotonic() - due)


def p99(values: list[float]) -> float:
    """Return the 99th percentile."""
    return sorted(values)[int(len(values) * 0.99)]


@dataclass
class Round:
    """A load at the bound, then one of three times as much."""

    peak: Tally
    over: Tally
    seconds: float

    @property
    def kept(self) -> float:
        """The part of the peak's goodput that was left."""
        return (self.over.whole / self.seconds) / (self.peak.whole / SECONDS)

    def is_good(self) -> bool:
        """Whether the figures hold; a busy machine's own lateness is taken off the slowest."""
        soon = REFUSED_WITHIN * LENIENCY + 3 * p99(self.over.late)
        usual = statistics.median(self.over.refused)
        median = REFUSED_WITHIN * (1 if FULL else LENIENCY)
        healthy = max(self.over.health) <= HEALTH_WITHIN + max(self.over.late)
        refused_soon = usual <= median and p99(self.over.refused) <= soon
        return self.kept >= GOODPUT and refused_soon and healthy

    def __str__(self) -> str:
        over = self.over
        return (
            f"peak {self.peak.whole / SECONDS:.0f}/s, kept {self.kept:.0%} at 3x; refused"
            f" {len(over.refused)}: median {statistics.median(over.refused) * 1000:.1f} ms,"
            f" p99 {p99(over.refused) * 1000:.1f} ms; healthz at most {max(over.health) * 1000:.1f} ms;"
            f" we were late by p99 {p99(over.late) * 1000:.1f}, at most {max(over.late) * 1000:.1f} ms"
        )


async def one_round(gateway: GatewayProcess) -> Round:
    """Measure the peak, then three times as much with the health asked for all the while."""
    peak, over = Tally(), Tally()
    stop_at = time.monotonic() + SECONDS
    await asyncio.gather(*(closed_loop(gateway, stop_at, peak) for _ in range(BOUND)))
    watching = [watch_health(gateway, over), watch_ourselves(over)]
    watchers = [asyncio.create_task(each) for each in watching]
    began = time.monotonic()
    await open_loop(gateway, OFFERED, SECONDS, over)
    seconds = time.monotonic() - began
    for watcher in watchers:
        watcher.cancel()
    assert not any(watcher.done() for watcher in watchers), "health was refused"
    return Round(peak, over, seconds)


@pytest.mark.timeout(180)
@pytest.mark.asyncio
async def test_at_three_times_the_bound_the_goodput_stays_and_the_rest_is_refused_soon(
    tmp_path: Path,
) -> None:
    config = {"server": {"max_streams": BOUND}}
    rounds: list[Round] = []
    async with Simulator() as simulator, serving(tmp_path, simulator, config=config) as gateway:
        while len(rounds) < ROUNDS and not (rounds and rounds[-1].is_good()):
            rounds.append(await one_round(gateway))
            print(rounds[-1])
        whole = sum(each.peak.whole + each.over.whole for each in rounds)
        refused = sum(len(each.over.refused) for each in rounds)
        rows = await closed_rows(tmp_path, whole + refused)
    if not rounds[-1].is_good():
        raise TooLate(str(rounds[-1]))
    for each in rounds:
        assert not each.peak.refused
        assert len(each.over.refused) > each.over.whole
        assert len(each.over.health) >= SECONDS * 3
    assert len(rows) == whole + refused
    assert sum(row["status"] == "rejected" for row in rows) == refused
