"""Routing over real sockets: who is reached, in what order, and what has been here before (SPEC §14)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from streamgauge.tools.simulator import Simulator

from .stand import PATIENT, Answer, Stand, stand

pytestmark = pytest.mark.asyncio

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
HOP = "x-streamgauge-hop"
AT_ONCE = 20


@contextlib.asynccontextmanager
async def two(
    folder: Path, routing: dict[str, Any], kind: str = "sim", **keys: Any
) -> AsyncIterator[tuple[Stand, Simulator]]:
    """A gateway with the upstreams `sim` and `other`, each a simulator of its own."""
    second = Simulator()
    await second.start(flavour="llamacpp")
    try:
        other = {"name": "other", "kind": kind, "base_url": second.url, **keys.pop("of_other", {})}
        config = {"routing": PATIENT | routing}
        async with stand(folder, kind=kind, config=config, also=[other], **keys) as it:
            yield it, second
    finally:
        await second.aclose()


def body(model: str, stream: bool = True) -> dict[str, Any]:
    return {
        "model": model,
        "stream": stream,
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "hi"}],
        "sim": {"tokens": 3},
    }


def posted(simulator: Simulator) -> list[dict[str, str]]:
    """Return the headers of the calls that it was asked for, pages left out."""
    return [dict(seen.headers) for seen in simulator.requests if seen.method == "POST"]


async def test_two_hundred_interleaved_requests_reach_their_own_upstream_only(
    tmp_path: Path,
) -> None:
    """By name, by model map, by rule and by the upstream's globs; both dialects; streamed or not."""
    routing = {
        "models": [
            {"match": "map-sim-*", "to": ["sim"]},
            {"match": "map-other-*", "to": ["other"]},
        ],
        "rules": [
            {"name": "one", "when": {"header": {"x-team": "sim"}}, "to": ["sim"]},
            {"name": "two", "when": {"header": {"x-team": "other"}}, "to": ["other"]},
        ],
    }
    gate = asyncio.Semaphore(AT_ONCE)

    async def ask(it: Stand, n: int) -> Answer:
        name = ("sim", "other")[n % 2]
        manner = n // 2 % 4
        model = (f"{name}/m-{n}", f"map-{name}-{n}", f"rule-{n}", f"{name}-glob-{n}")[manner]
        headers = {"x_team": name} if manner == 2 else {}
        path = (CHAT, MESSAGES)[n // 8 % 2]
        async with gate:
            return await it.ask(path, body(model, stream=n // 16 % 2 == 0), **headers)

    of_other = {"models": ["other-glob-*", "map-other-*", "rule-*"]}
    models = ["sim-glob-*", "map-sim-*", "rule-*"]
    async with two(tmp_path, routing, models=models, of_other=of_other) as (it, other):
        answers = await asyncio.gather(*(ask(it, n) for n in range(200)))
        rows = {row["id"]: row for row in await it.rows()}
        reached = {"sim": it.simulator, "other": other}
        assert {answer.status for answer in answers} == {200}
        for name, parity in (("sim", 0), ("other", 1)):
            numbers = {int(str(e.model).rpartition("-")[2]) for e in reached[name].begun}
            assert numbers == set(range(parity, 200, 2))
            assert len(reached[name].begun) == 100
            host = reached[name].url.removeprefix("http://")
            assert {headers["host"] for headers in posted(reached[name])} == {host}
        assert [rows[a.id]["upstream"] for a in answers] == ["sim", "other"] * 100
        assert {row["attempts"] for row in rows.values()} == {1}
        routes = {row["route"] for row in rows.values()}
        assert routes == {"explicit", "models:map-sim-*", "models:map-other-*", "rule:one",
                          "rule:two", "models:sim", "models:other"}  # fmt: skip
        assert {a.headers["x-streamgauge-route"] for a in answers} == routes
        planned = [a.headers["x-streamgauge-candidates"] for a in answers]
        assert [one.partition("/")[0] for one in planned] == ["sim", "other"] * 100


async def test_round_robin_takes_turns_and_least_busy_the_idle_one(tmp_path: Path) -> None:
    routing = {
        "models": [
            {"match": "turn", "to": ["sim", "other"], "strategy": "round_robin"},
            {"match": "idle", "to": ["sim", "other"], "strategy": "least_busy"},
        ]
    }
    async with two(tmp_path, routing) as (it, other):
        for _ in range(6):
            assert (await it.ask(CHAT, body("turn"))).status == 200
        assert [len(it.simulator.begun), len(other.begun)] == [3, 3]
        async with it.client() as client:
            await client.post(CHAT, {**body("sim/slow"), "sim": {"tokens": 5000, "gap_ms": 20}})
            await client.head()
            for _ in range(3):
                answer = await it.ask(CHAT, body("idle"))
                assert (await it.row(answer.id))["status"] == "completed"  # and so it is idle
        assert [len(it.simulator.begun), len(other.begun)] == [4, 6]


async def test_a_request_that_is_refused_takes_no_turn(tmp_path: Path) -> None:
    """A client that repeats a name in vain would else turn every other one to the same upstream."""
    routing = {"default": {"to": ["sim", "other"], "strategy": "round_robin"}}
    async with two(tmp_path, routing) as (it, other):
        for name, status in (("a", 200), ("a", 409), ("b", 200), ("b", 409), ("c", 200)):
            answer = await it.ask(CHAT, body("m"), idempotency_key=name)
            assert answer.status == status
        assert [len(it.simulator.begun), len(other.begun)] == [2, 1]


async def test_a_session_stays_with_the_llamacpp_that_has_its_prefix(tmp_path: Path) -> None:
    routing = {"default": {"to": ["sim", "other"], "strategy": "round_robin"}}
    async with two(tmp_path, routing, kind="llamacpp") as (it, _):
        served: dict[str, list[str]] = {"one": [], "two": []}
        for session in ("one", "two", "two", "one", "one", "two", "two", "two"):
            answer = await it.ask(CHAT, body("m"), x_streamgauge_session=session)
            served[session].append((await it.row(answer.id))["upstream"])
        assert served == {"one": ["sim"] * 3, "two": ["other"] * 5}


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_when_no_circuit_lets_a_call_through_the_client_is_told_when_to_come_again(
    path: str, tmp_path: Path
) -> None:
    routing = {"breaker": {"failures": 1, "open_seconds": 50}, "retries": {"budget_percent": 0}}
    async with stand(tmp_path, config={"routing": routing}) as it:
        await it.simulator.aclose()
        first = await it.ask(path, body("m"))
        assert first.status >= 500
        second = await it.ask(path, body("m"))
        assert second.status in (503, 529)
        assert 40 <= int(second.headers["retry-after"]) <= 50
        row = await it.row(second.id)
        assert (row["status"], row["error_code"], row["attempts"]) == (
            "rejected",
            "upstream_error",
            0,
        )


async def test_a_request_that_was_here_before_is_refused_and_others_marks_are_passed_on(
    tmp_path: Path,
) -> None:
    async with stand(tmp_path) as it:
        assert (await it.ask(CHAT, body("m"), x_streamgauge_hop="another-gateway")).status == 200
        (seen,) = (seen for seen in it.simulator.requests if seen.method == "POST")
        marks = [value for name, value in seen.headers if name == HOP]
        assert (len(marks), marks[0]) == (2, "another-gateway")
        for path, mark in ((CHAT, marks[1]), (MESSAGES, f"x, {marks[1]}, y")):
            answer = await it.ask(path, body("m"), x_streamgauge_hop=mark)
            assert answer.status == 400
            assert "come through this gateway already" in answer.json()["error"]["message"]
            row = await it.row(answer.id)
            assert (row["status"], row["error_code"]) == ("rejected", "bad_request")
        asked = len(it.simulator.requests)
        count = f"{MESSAGES}/count_tokens"  # what makes no row would run in a circle unseen
        assert (await it.ask(count, body("m"), x_streamgauge_hop=marks[1])).status == 400
        assert len(it.simulator.requests) == asked
        assert len(posted(it.simulator)) == 1


async def test_a_circle_that_no_configuration_shows_ends_at_its_first_turn(tmp_path: Path) -> None:
    """A name server or a proxy may lead an upstream back to us: here a forwarder does."""
    port = 0

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, there = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pipe(reader, there), pipe(back, writer))

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        loop = {"name": "loop", "kind": "openai", "base_url": url}
        async with stand(tmp_path, also=[loop]) as it:
            port = it.port
            answer = await it.ask(CHAT, body("loop/loop/loop/m"))
            assert answer.status == 400
            assert "leads back to it" in answer.body.decode()
            rows = await it.rows()
            assert sorted(row["status"] for row in rows) == ["rejected", "upstream_error"]
            assert not posted(it.simulator)
    finally:
        server.close()


async def pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()


SPOKEN = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
MIXED = {
    "models": [
        {"match": "near", "to": ["sim/m", "other/m"]},
        {"match": "far", "to": ["other/m", "sim/m"]},
        {"match": "alone", "to": ["other/m"]},
    ]
}


async def test_what_only_its_own_dialect_can_say_goes_to_those_who_speak_it(
    tmp_path: Path,
) -> None:
    """A way on in another dialect must not refuse what the first upstream reads as it is."""
    told = {"messages": [{"role": "user", "content": [SPOKEN]}]}
    async with two(tmp_path, MIXED, "openai", of_other={"kind": "anthropic"}) as (it, second):
        served = await it.ask(CHAT, body("near") | told)
        failed = await it.ask(
            CHAT, body("near", stream=False) | told | {"sim": {"fault": "http_503"}}
        )
        behind = await it.ask(CHAT, body("far") | told)
        refused = await it.ask(CHAT, body("alone") | told)
        assert posted(second) == []
        row, passed = await it.row(served.id), await it.row(behind.id)
    assert (served.status, served.headers["x-streamgauge-attempts"]) == (200, "1/sim")
    assert (row["status"], row["route"], row["upstream_model"]) == ("completed", "models:near", "m")
    assert (failed.status, failed.headers["x-streamgauge-attempts"]) == (503, "1/sim")
    assert (behind.status, behind.headers["x-streamgauge-attempts"]) == (200, "1/sim")
    assert (passed["status"], passed["upstream"], passed["attempts"]) == ("completed", "sim", 1)
    assert (refused.status, "input_audio" in refused.json()["error"]["message"]) == (400, True)


PAGE = {
    "type": "document",
    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
}


async def test_who_cannot_be_told_a_document_is_passed_over_for_who_can(tmp_path: Path) -> None:
    """Both are translated to, so that only the writing of the request tells."""
    told = {"messages": [{"role": "user", "content": [PAGE]}], "max_tokens": 9}
    async with two(tmp_path, MIXED, "llamacpp", of_other={"kind": "openai"}) as (it, second):
        served = await it.ask(MESSAGES, body("near") | told)
        row = await it.row(served.id)
        assert len(posted(second)) == 1
    assert (served.status, served.headers["x-streamgauge-attempts"]) == (200, "1/other")
    assert served.headers["x-streamgauge-upstream"] == "other"
    assert (row["upstream"], row["upstream_model"], row["attempts"]) == ("other", "m", 1)
    assert row["status"] == "completed"
