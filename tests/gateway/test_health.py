"""Upstreams that failed are asked whether they answer again: rarely, one question at a time."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from streamgauge.config.upstream import Upstream as UpstreamConfig
from streamgauge.core.routing.breaker import Breaker, Circuit
from streamgauge.gateway.discovery import Discovery
from streamgauge.gateway.health import Probes
from streamgauge.gateway.upstreams import UpstreamRuntime

from .upstream_rig import both_loops, pool, read_request, until, unused_port, upstream

OK = b"200 OK"
BROKEN = b"503 Service Unavailable"


class Server:
    """A server whose answer to every page can be set; None keeps the asker waiting."""

    def __init__(self) -> None:
        self.status: bytes | None = OK
        self.body = b"{}"
        self.asked: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            self.asked.append((await read_request(reader)).split(b"\r\n")[0])
            if self.status is None:
                await reader.read()
                return
            head = b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (self.status, len(self.body))
            writer.write(head + self.body)


class Rig:
    """Probes at one upstream, of which time is told by the test: seconds from its beginning."""

    def __init__(self, probes: Probes, runtime: UpstreamRuntime, recovered: list[str]) -> None:
        self.probes, self.up, self.recovered = probes, runtime, recovered
        self.start = time.monotonic()

    def tick(self, seconds: float) -> None:
        self.probes.tick([self.up], self.start + seconds)

    async def ask(self, seconds: float) -> None:
        """Tick until a question that is due has been answered."""
        self.tick(seconds)
        self.tick(seconds)
        await self.probes.settle()

    def opens(self) -> None:
        for _ in range(3):
            self.up.breaker.failed(self.start)
        self.up.note_call("status 500")

    def state(self, seconds: float) -> Circuit:
        return self.up.breaker.state(self.start + seconds)


def runtime_at(port: int, kind: str = "llamacpp", path: str = "") -> UpstreamRuntime:
    made = UpstreamRuntime(
        UpstreamConfig.model_validate(
            {"name": "far", "kind": kind, "base_url": f"http://127.0.0.1:{port}{path}"}
        )
    )
    made.breaker = Breaker(3, 30.0)
    return made


@contextlib.asynccontextmanager
async def rig(port: int, chance: float = 0.0, **named: Any) -> AsyncIterator[Rig]:
    recovered: list[str] = []
    async with pool() as made:
        probes = Probes(made, lambda up: recovered.append(up.name), lambda: chance)
        try:
            yield Rig(probes, runtime_at(port, **named), recovered)
        finally:
            await probes.aclose()


@both_loops
async def test_an_upstream_that_is_well_is_never_asked() -> None:
    server = Server()
    async with upstream(server) as far, rig(far.port) as it:
        for second in range(1000):
            await it.ask(second)
    assert server.asked == []


@both_loops
async def test_after_a_failed_call_it_is_asked_every_five_seconds_until_it_answers() -> None:
    server = Server()
    server.status = BROKEN
    async with upstream(server) as far, rig(far.port) as it:
        it.up.breaker.adjust(100, 30.0)
        it.up.note_call("no answer: refused")
        asked = []
        for half in range(60):
            it.tick(half / 2)
            await it.probes.settle()
            asked.append(len(server.asked))
        assert asked[9] == 0
        assert asked[10] == 1, "five seconds after the failure was seen"
        assert 5 <= asked[59] <= 6
        assert (it.up.usable, it.up.last_error, it.recovered) == (False, "status 503", [])
        server.status = OK
        await it.ask(40)
        assert (it.up.usable, it.up.last_error, it.recovered) == (True, None, ["far"])
        count = len(server.asked)
        await it.ask(100)
        assert len(server.asked) == count


@both_loops
async def test_an_open_circuit_is_not_asked_before_its_time_and_then_once() -> None:
    server = Server()
    async with upstream(server) as far, rig(far.port) as it:
        it.opens()
        for tenth in range(299):
            it.tick(tenth / 10)
        assert server.asked == []
        assert it.state(30.1) is Circuit.HALF_OPEN
        it.tick(30.1)
        assert not it.up.breaker.allows(it.start + 30.1), "the question is the probe"
        it.tick(30.2)
        await it.probes.settle()
        assert server.asked == [b"GET /health HTTP/1.1"]
        assert (it.state(30.2), it.up.usable, it.recovered) == (Circuit.CLOSED, True, ["far"])


@both_loops
async def test_a_probe_that_fails_keeps_the_circuit_open() -> None:
    server = Server()
    server.status = BROKEN
    async with upstream(server) as far, rig(far.port) as it:
        it.up.breaker = Breaker(3, 0.05)
        it.opens()
        it.tick(0)
        await it.ask(0.06)
        assert len(server.asked) == 1
        assert it.up.breaker.failures == 4
        assert it.up.breaker.state(time.monotonic()) is not Circuit.CLOSED
        assert (it.up.usable, it.recovered) == (False, [])


@both_loops
async def test_while_a_call_is_the_probe_no_page_is_asked() -> None:
    server = Server()
    async with upstream(server) as far, rig(far.port) as it:
        it.opens()
        it.up.breaker.began(it.start + 30)
        for second in range(31, 60):
            await it.ask(second)
        assert server.asked == []
        it.up.breaker.abandoned(it.start + 60)
        for second in range(61, 64):
            await it.ask(second)
        assert len(server.asked) == 1


@both_loops
async def test_one_question_at_a_time_however_long_it_takes() -> None:
    server = Server()
    server.status = None
    async with upstream(server) as far, rig(far.port) as it:
        it.up.note_call("status 500")
        for second in range(100):
            it.tick(second)
            await asyncio.sleep(0)
        await until(lambda: len(server.asked) == 1)
        assert repr(it.probes) == "<Probes due=0 out=1>"


@both_loops
async def test_pages_that_do_not_come_open_the_circuit_without_a_call() -> None:
    async with rig(unused_port()) as it:
        it.up.note_call("no answer: refused")
        for second in range(20):
            await it.ask(second)
        assert it.state(1) is Circuit.OPEN
        assert it.up.last_error == "no answer: refused"


@both_loops
async def test_a_page_that_comes_forgives_no_failed_call() -> None:
    async with upstream(Server()) as far, rig(far.port) as it:
        for _ in range(2):
            it.up.breaker.failed(it.start)
        it.up.note_call("status 500")
        it.tick(10)
        await it.ask(20)
        assert it.up.usable
        it.up.breaker.failed(it.start + 21)
        assert it.state(21) is Circuit.OPEN


@pytest.mark.parametrize(
    ("kind", "path", "line"),
    [
        ("llamacpp", "", b"GET /health HTTP/1.1"),
        ("vllm", "/v1", b"GET /health HTTP/1.1"),
        ("ollama", "", b"GET /api/version HTTP/1.1"),
        ("sim", "", b"GET /v1/models HTTP/1.1"),
        ("openai", "/v1", b"GET /v1/models HTTP/1.1"),
        ("openrouter", "/api/v1", b"GET /api/v1/models HTTP/1.1"),
        ("anthropic", "", b"GET /v1/models HTTP/1.1"),
    ],
)
@pytest.mark.parametrize("status", [OK, b"401 Unauthorized", b"404 Not Found", b"429 Too Many"])
@both_loops
async def test_each_kind_is_asked_for_a_page_that_costs_nothing_and_any_answer_will_do(
    kind: str, path: str, line: bytes, status: bytes
) -> None:
    server = Server()
    server.status = status
    async with upstream(server) as far, rig(far.port, kind=kind, path=path) as it:
        it.up.note_call("status 500")
        await it.ask(0)
        await it.ask(5)
        assert (server.asked, it.up.usable) == ([line], True)


@both_loops
async def test_gateways_that_lost_the_same_upstream_ask_at_different_moments() -> None:
    server = Server()
    async with upstream(server) as far, rig(far.port, chance=0.9) as it:
        it.opens()
        await it.ask(1)
        await it.ask(30.8)
        assert server.asked == []
        await it.ask(30.9)
        assert len(server.asked) == 1


@both_loops
async def test_that_we_have_no_descriptor_left_is_not_the_upstreams_fault() -> None:
    async with upstream(Server()) as far, rig(far.port) as it:
        it.opens()
        it.tick(1)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            await it.ask(31)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert it.up.breaker.failures == 3
        assert it.up.breaker.allows(it.start + 31), "the place of the probe is free again"
        assert it.up.last_error == "status 500"
        it.tick(32)
        await it.ask(40)
        assert it.up.usable


@both_loops
async def test_an_upstream_that_left_the_configuration_is_asked_no_more() -> None:
    server = Server()
    async with upstream(server) as far, rig(far.port) as it:
        it.up.note_call("status 500")
        it.tick(0)
        for second in range(1, 20):
            it.probes.tick([], it.start + second)
        await it.probes.settle()
        assert (server.asked, repr(it.probes)) == ([], "<Probes due=0 out=0>")


@both_loops
async def test_what_it_serves_is_learnt_anew_when_it_is_back_and_not_asked_for_while_it_is_away() -> (
    None
):
    server = Server()
    async with upstream(server) as far, pool() as made:
        up, discovery, now = runtime_at(far.port), Discovery(made), time.monotonic()
        discovery.refresh(up)
        await discovery.settle()
        known = len(server.asked)
        assert known
        for _ in range(3):
            up.breaker.failed(now)
        up.learnt.asked.clear()
        discovery.refresh(up)
        await discovery.settle()
        assert len(server.asked) == known
        for seconds in (1, 32, 32):
            discovery.tick([up], now + seconds)
        await until(lambda: up.usable and len(server.asked) > known + 1)
        await discovery.settle()
        assert server.asked[known] == b"GET /health HTTP/1.1"
        assert server.asked[known + 1 :] == server.asked[:known]
        await discovery.aclose()


@both_loops
async def test_a_person_who_asks_is_told_and_an_open_circuit_stays_open() -> None:
    server = Server()
    async with upstream(server) as far, rig(far.port) as it:
        assert await it.probes.ask_now(it.up) is None
        it.opens()
        assert await it.probes.ask_now(it.up) is None
        assert it.up.usable
        assert it.state(0) is Circuit.OPEN
        server.status = BROKEN
        assert await it.probes.ask_now(it.up) == "status 503"
        assert not it.up.usable
    assert len(server.asked) == 3


@both_loops
async def test_two_who_ask_an_upstream_that_is_ill_share_the_question() -> None:
    server = Server()
    server.status = BROKEN
    async with upstream(server) as far, rig(far.port) as it:
        it.up.breaker.adjust(100, 30.0)
        it.up.note_call("no answer: refused")
        told = await asyncio.gather(*(it.probes.ask_now(it.up) for _ in range(5)))
    assert told == ["status 503"] * 5
    assert len(server.asked) == 1


@both_loops
@pytest.mark.parametrize(("kind", "body"), [
    ("openai", b'{"data":[{"id":"a"},{"id":["no name"]},{"id":"b"}]}'),
    ("ollama", b'{"models":[{"name":"a"},{"name":["no name"]},{"name":"b"}]}'),
])  # fmt: skip
async def test_models_that_were_listed_outlast_an_answer_that_fails(kind: str, body: bytes) -> None:
    server = Server()
    server.body = body
    async with upstream(server) as far, pool() as made:
        up, discovery = runtime_at(far.port, kind), Discovery(made)
        for server.status, server.body in ((OK, body), (BROKEN, body), (OK, b"{}"), (OK, b"[")):
            up.learnt.asked.clear()
            discovery.refresh(up)
            await discovery.settle()
            assert discovery.models_of(up) == ("a", "b")
        server.body = b'{"data":[],"models":[]}'
        up.learnt.asked.clear()
        discovery.refresh(up)
        await discovery.settle()
        assert discovery.models_of(up) == ()
        await discovery.aclose()


@both_loops
@pytest.mark.parametrize("body", [
    b'{"default_generation_settings":{"n_ctx":%d}}',
    b'[{"n_ctx":%d}]',
    b'{"data":[{"id":"m","max_model_len":%d}]}',
])  # fmt: skip
async def test_a_context_size_that_no_row_could_hold_is_not_believed(body: bytes) -> None:
    server = Server()
    told = []
    async with upstream(server) as far, pool() as made:
        up, discovery = runtime_at(far.port), Discovery(made)
        for size in (4096, 2**53, 2**53 + 1, 2**64 - 1):
            server.body = body % size
            up.learnt.asked.clear()
            up.learnt.contexts.clear()
            discovery.refresh(up, "m")
            await discovery.settle()
            told.append(discovery.context_of(up, "m"))
        await discovery.aclose()
    assert told == [4096, 2**53, None, None]


@both_loops
async def test_the_slots_of_a_server_are_what_it_last_told_of_them() -> None:
    server = Server()
    told = []
    async with upstream(server) as far, pool() as made:
        up, discovery = runtime_at(far.port), Discovery(made)
        for server.body in (
            b'{"data":[]}',
            b'[{"n_ctx":4096},{"n_ctx":4096},{"n_ctx":4096}]',
            b'{"total_slots":4,"default_generation_settings":{"n_ctx":4096}}',
            b'{"total_slots":true}',
            b'{"total_slots":"9"}',
            b"[]",
            b"[",
        ):
            up.learnt.asked.clear()
            discovery.refresh(up)
            await discovery.settle()
            told.append(up.learnt.slots)
        await discovery.aclose()
    assert told == [None, 3, 4, 4, 4, 4, 4]
