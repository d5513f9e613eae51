"""An upstream is down and fifty clients keep asking: few attempts, one probe, everybody back (F51)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from streamgauge.core.routing.breaker import Circuit
from streamgauge.tools.simulator import Simulator

from ..gateway.upstream_rig import read_request, reset
from .stand import Answer, Stand, stand, until

CHAT = "/v1/chat/completions"
FULL = os.environ.get("STREAMGAUGE_FULL") == "1"
SEEDS = 20 if FULL else 2  # each another way to be down, and other times
CLIENTS = 50
PAUSE_SECONDS = 0.2
"""Between a client's requests: 250 a second in all, which leaves two cores room for the rest."""
ANSWER_MS = 100
"""How long an answer takes: time enough for twenty other calls, if anything let them in."""
DOWNS = ("refuses", "fails", "resets")


def chat(**sim: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "hi"}]
    return {"model": "sim", "stream": True, "messages": messages, "sim": {"tokens": 2, **sim}}


def breaker(open_seconds: float) -> dict[str, Any]:
    """The `routing` section with that bound."""
    return {"breaker": {"failures": 3, "open_seconds": open_seconds}}


@dataclass
class Crowd:
    """Clients that ask again and again, whatever they are answered."""

    on: Stand
    answers: list[tuple[float, Answer]] = field(default_factory=list)
    asking: list[asyncio.Task[None]] = field(default_factory=list)
    stopped: bool = False

    async def ask(self, number: int) -> None:
        await asyncio.sleep(PAUSE_SECONDS * number / CLIENTS)  # an even load, no flood in one turn
        while not self.stopped:
            began = time.time()
            self.answers.append((began, await self.on.ask(CHAT, chat(first_ms=ANSWER_MS))))
            await asyncio.sleep(PAUSE_SECONDS)

    async def stop(self) -> None:
        """Let everybody have the answer that is on its way, and ask no more."""
        self.stopped = True
        await asyncio.gather(*self.asking)

    def statuses(self, since: float, before: float) -> Counter[int]:
        """What those who asked in that time were answered."""
        return Counter(a.status for at, a in self.answers if since <= at < before)


@contextlib.asynccontextmanager
async def crowd(on: Stand) -> AsyncIterator[Crowd]:
    made = Crowd(on)
    made.asking = [asyncio.create_task(made.ask(number)) for number in range(CLIENTS)]
    try:
        yield made
    finally:
        await made.stop()


class Broken:
    """What answers on the port of an upstream that is down; `refuses`: nothing does."""

    def __init__(self, how: str, head: bytes = b"503 Service Unavailable\r\n") -> None:
        self.how, self.head = how, head
        self.asked = 0

    @contextlib.asynccontextmanager
    async def on(self, port: int) -> AsyncIterator[None]:
        if self.how == "refuses":
            yield
            return
        server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        try:
            yield
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            request = await read_request(reader)
            self.asked += request.startswith(b"POST")
            if self.how == "resets":
                return reset(writer)
            end = b"Content-Length: 2\r\nConnection: close\r\n\r\n{}"
            writer.write(b"HTTP/1.1 " + self.head + end)
        writer.close()


@contextlib.asynccontextmanager
async def started(port: int = 0) -> AsyncIterator[Simulator]:
    made = Simulator()
    await made.start(port=port)
    try:
        yield made
    finally:
        await made.aclose()


def port_of(simulator: Simulator) -> int:
    return int(simulator.url.rpartition(":")[2])


async def tried(on: Stand, since: float, before: float, name: str = "sim") -> tuple[int, int, int]:
    """Return the requests begun in that time, their attempts, and those at upstream `name`."""
    rows = [r for r in await on.rows() if since <= r["started_at"] / 1e6 < before]
    several = [r["id"] for r in rows if r["attempts"] > 1 or r["upstream"] == name]
    made = [attempt for id in several for attempt in await on.attempts(id)]
    there = sum(attempt["upstream"] == name for attempt in made)
    return len(rows), sum(row["attempts"] for row in rows), there


def assert_one_probe(back: Simulator) -> None:
    """Nothing else reached the upstream, back again, before its first answer was there."""
    if back.requests[0].method == "GET":
        return  # a page was the probe, and is answered in the turn in which it comes
    first, second = back.begun[:2]
    assert first.ended_at is not None
    assert second.began_at is not None
    assert second.began_at >= first.ended_at


async def outage(it: Stand, down: Broken, seconds: float) -> tuple[Crowd, float, float]:
    """Take the stand's simulator away from fifty clients for so long, and wait until all are back."""
    async with crowd(it) as many:
        await until(lambda: len(many.answers) >= CLIENTS)
        port = port_of(it.simulator)
        since = time.time()  # three failures on its way out are enough to open the circuit
        await it.simulator.aclose()
        async with down.on(port):
            await asyncio.sleep(seconds)  # the outage itself
            before = time.time()
        async with started(port) as back:
            await until(lambda: len(back.journal) >= 2 * CLIENTS, seconds=60)
            await many.stop()
            assert_one_probe(back)
    return many, since, before


async def check_few_attempts(folder: Path, down: Broken, seconds: float, open_for: float) -> None:
    async with stand(folder, config={"routing": breaker(open_for)}) as it:
        many, since, before = await outage(it, down, seconds)
        requests, attempts, _ = await tried(it, since, before)
        sim = it.gateway.upstreams["sim"]
        assert (sim.breaker.state(time.monotonic()), sim.usable) == (Circuit.CLOSED, True)
    assert requests > CLIENTS * seconds, "they went on asking"
    assert attempts * 10 <= requests * 12
    assert 1 <= attempts <= 2 * CLIENTS + seconds / open_for, "those under way at first, and probes"
    assert many.statuses(since, before).keys() <= {502, 503}
    if down.how != "refuses":
        assert 1 <= down.asked <= 2 * CLIENTS + seconds / open_for, "the other side's own count"


def outages() -> Iterator[Any]:
    """How it is down, for how long, and how long the circuit is open; the last three as in life.

    Each is down for longer than the circuit is open: one probe at least falls into it.
    """
    for seed in range(SEEDS):
        dice = random.Random(f"F51/{seed}")
        times = dice.uniform(1.2, 1.8), dice.uniform(0.3, 0.5)
        yield pytest.param(DOWNS[seed % 3], *times, id=str(seed))
    for down in DOWNS if FULL else ():
        yield pytest.param(down, 32.0, 30.0, id=f"{down} for 32 s")


@pytest.mark.fault("F51")
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("down", "seconds", "open_for"), list(outages()))
@pytest.mark.asyncio
async def test_a_dead_upstream_is_asked_little_and_one_probe_brings_all_back(
    down: str, seconds: float, open_for: float, tmp_path: Path
) -> None:
    await check_few_attempts(tmp_path, Broken(down), seconds, open_for)


@pytest.mark.fault("F51")
@pytest.mark.asyncio
async def test_with_a_second_upstream_nobody_notices_and_the_first_is_left_alone(
    tmp_path: Path,
) -> None:
    async with started() as second:
        both = {"default": {"to": ["sim", "second"]}, **breaker(0.5)}
        other = {"name": "second", "kind": "sim", "base_url": second.url}
        async with stand(tmp_path, config={"routing": both}, also=[other]) as it:
            many, since, before = await outage(it, Broken("refuses"), 1.5)
            requests, attempts, at_first = await tried(it, since, before)
    assert set(many.statuses(since, before)) == {200}
    assert requests > CLIENTS
    assert attempts * 10 <= requests * 12
    assert 1 <= at_first <= CLIENTS + 1.5 / 0.5


@pytest.mark.asyncio
async def test_two_hundred_in_a_row_are_served_by_the_second_and_spend_no_budget(
    tmp_path: Path,
) -> None:
    async with started() as second:
        never = {"retries": {"budget_percent": 0}, "breaker": {"failures": 1000}}
        both = {"default": {"to": ["sim", "second"]}, **never}
        other = {"name": "second", "kind": "sim", "base_url": second.url}
        async with stand(tmp_path, config={"routing": both}, also=[other]) as it:
            await it.simulator.aclose()
            answers = [await it.ask(CHAT, chat(tokens=1)) for _ in range(200)]
            rows = await it.rows()
    assert {answer.status for answer in answers} == {200}
    assert {row["attempts"] for row in rows} == {2}


@pytest.mark.fault("F33")
@pytest.mark.asyncio
async def test_an_upstream_that_wants_a_wait_gets_it_but_not_for_ever(tmp_path: Path) -> None:
    busy = Broken("fails", b"429 Too Many Requests\r\nRetry-After: 99999999\r\n")
    async with stand(tmp_path, config={"routing": {"retries": {"max_retry_after": 1}}}) as it:
        port = port_of(it.simulator)
        await it.simulator.aclose()
        async with busy.on(port):
            assert (await it.ask(CHAT, chat())).status == 429
            circuit = it.gateway.upstreams["sim"].breaker
            left = circuit.reopens_at(time.monotonic())
            refused = await it.ask(CHAT, chat())
            asked = busy.asked
            await until(lambda: circuit.allows(time.monotonic()), seconds=5)
            assert (await it.ask(CHAT, chat())).status == 429
    assert left is not None
    assert left - time.monotonic() <= 1
    assert (refused.status, refused.headers["retry-after"], asked) == (503, "1", 1)
    assert busy.asked == 2


@pytest.mark.asyncio
async def test_a_probe_that_finds_nobody_is_not_repeated(tmp_path: Path) -> None:
    async with stand(tmp_path, config={"routing": breaker(0.2)}) as it:
        await it.simulator.aclose()
        circuit = it.gateway.upstreams["sim"].breaker
        for _ in range(3):
            circuit.failed(time.monotonic())
        await until(lambda: circuit.allows(time.monotonic()))
        refused = await it.ask(CHAT, chat())
        row = await it.row(refused.id)
    assert (refused.status, row["attempts"]) == (502, 1)


@pytest.mark.asyncio
async def test_a_probe_that_streams_on_holds_nobody_up(tmp_path: Path) -> None:
    async with stand(tmp_path, config={"routing": breaker(0.2)}) as it, it.client() as client:
        circuit = it.gateway.upstreams["sim"].breaker
        for _ in range(3):
            circuit.failed(time.monotonic())
        await until(lambda: circuit.allows(time.monotonic()))
        await client.post(CHAT, chat(tokens=999, first_ms=1000, gap_ms=100))
        await client.head()
        with pytest.raises(AssertionError, match="did not come to hold"):
            await until(
                lambda: circuit.allows(time.monotonic()), seconds=0.6
            )  # a head is no content
        await until(lambda: circuit.state(time.monotonic()) is Circuit.CLOSED)
        assert (await it.ask(CHAT, chat())).status == 200
        assert len(it.gateway.relays) >= 1, "the long one goes on"


@pytest.mark.asyncio
async def test_readiness_comes_back_without_a_call(tmp_path: Path) -> None:
    async with stand(tmp_path, config={"routing": breaker(0.2)}) as it:
        port = port_of(it.simulator)
        await it.simulator.aclose()
        for _ in range(3):
            await it.ask(CHAT, chat())
        assert (await it.get("/readyz")).status == 503
        async with started(port) as back:
            await until(lambda: it.gateway.upstreams["sim"].usable, seconds=25)
            assert (await it.get("/readyz")).status == 200
            assert (back.begun, back.requests[0].method) == ([], "GET")
