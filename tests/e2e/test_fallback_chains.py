"""More than two upstreams, none that is left, and circuits that are open (SPEC §14.2, §14.5)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ..faults.upstream import ScriptedUpstream, scripted
from ..timed import in_time
from .fallback import pair, started
from .fallback_failures import FAILURES
from .fallback_ways import SAID, Way, text_of
from .stand import PATIENT, Stand, stand, until

pytestmark = [pytest.mark.asyncio]
OPENAI = Way("openai", "openai", "openai", True)
BOTH = [OPENAI, Way("anthropic", "openai", "openai", True)]
AT_ONCE_SECONDS = 5 * 0.010
"""Five times what a refusal takes at most (SPEC §15.5)."""


@contextlib.asynccontextmanager
async def chain(
    folder: Path,
    *names: str,
    serves: bool = True,
    timeouts: dict[str, float] | None = None,
    **routing: Any,
) -> AsyncIterator[tuple[Stand, list[ScriptedUpstream]]]:
    """Run a gateway whose default route goes to an upstream for each failure, then to one that serves."""
    async with contextlib.AsyncExitStack() as stack:
        made = []
        for name in names:
            script = FAILURES[name].script
            assert script is not None
            steps = script("openai", True)
            made.append(await stack.enter_async_context(scripted(lambda n, s=steps: s)))
        urls = [each.url for each in made]
        if serves:
            urls.append((await stack.enter_async_context(started())).url)
        same = {"kind": "openai", "timeouts": timeouts or {}}
        ups = [{"name": f"up{n}", "base_url": url, **same} for n, url in enumerate(urls, 1)]
        routes = {"default": {"to": [up["name"] for up in ups]}, **PATIENT, **routing}
        yield (
            await stack.enter_async_context(
                stand(folder, config={"upstreams": ups, "routing": routes})
            ),
            made,
        )


@pytest.mark.parametrize("way", BOTH, ids=lambda way: way.client)
async def test_the_third_serves_when_two_have_failed(way: Way, tmp_path: Path) -> None:
    async with chain(tmp_path, "cut behind the role", "503") as (it, made):
        answer = await it.ask(way.path, way.request())
        row, tries = await it.row(answer.id), await it.attempts(answer.id)
    assert (answer.status, text_of(way, answer)) == (200, SAID)
    assert answer.headers["x-streamgauge-attempts"] == "1/up1, 1/up2, 1/up3"
    assert (row["status"], row["attempts"], row["upstream"]) == ("completed", 3, "up3")
    assert [(one["n"], one["upstream"], one["outcome"]) for one in tries] == [
        (1, "up1", "stream_incomplete"),
        (2, "up2", "upstream_error"),
        (3, "up3", "completed"),
    ]
    assert [len(each.heard) for each in made] == [1, 1]


@pytest.mark.parametrize("way", BOTH, ids=lambda way: way.client)
async def test_when_none_is_left_the_client_is_told_of_the_last(way: Way, tmp_path: Path) -> None:
    async with chain(tmp_path, "an error frame first", "HTML", "503", serves=False) as (it, _):
        answer = await it.ask(way.path, way.request())
        row, tries = await it.row(answer.id), await it.attempts(answer.id)
    assert answer.headers["x-streamgauge-attempts"] == "1/up1, 1/up2, 1/up3"
    assert answer.status == row["http_status"] == 503, "its own status"
    assert answer.json()["error"]["message"] == "not now"
    assert (row["status"], row["delivered"]) == ("upstream_error", "none")
    assert [one["outcome"] for one in tries] == [
        "upstream_error",
        "upstream_protocol_error",
        "upstream_error",
    ]


@pytest.mark.parametrize("way", BOTH, ids=lambda way: way.client)
async def test_where_all_circuits_are_open_the_refusal_comes_at_once(
    way: Way, tmp_path: Path
) -> None:
    bounds = {"breaker": {"failures": 1, "open_seconds": 20}}
    async with chain(tmp_path, "500", "503", serves=False, **bounds) as (it, made):
        await it.ask(way.path, way.request())
        heard = [each.connections for each in made]
        began = time.monotonic()
        answers = [await it.ask(way.path, way.request()) for _ in range(5)]
        took = (time.monotonic() - began) / len(answers)
        rows = {row["id"]: row for row in await it.rows()}
    for answer in answers:
        row = rows[answer.id]
        assert answer.status == row["http_status"] == (529 if way.client == "anthropic" else 503)
        assert 1 <= int(answer.headers["retry-after"]) <= 20
        assert answer.json()["error"]["code"] == "upstream_error"
        assert (row["status"], row["attempts"], row["upstream"]) == ("rejected", 0, None)
        assert row["error_message"].index("up1") < row["error_message"].index("up2")
    assert [each.connections for each in made] == heard, "nobody was called"
    in_time(took, AT_ONCE_SECONDS)


async def test_an_open_circuit_is_passed_over_and_costs_no_attempt(tmp_path: Path) -> None:
    bounds = {"breaker": {"failures": 1, "open_seconds": 20}}
    async with chain(tmp_path, "500", **bounds) as (it, made):
        await it.ask(OPENAI.path, OPENAI.request())
        answer = await it.ask(OPENAI.path, OPENAI.request())
        row = await it.row(answer.id)
    assert (answer.status, text_of(OPENAI, answer)) == (200, SAID)
    assert answer.headers["x-streamgauge-attempts"] == "1/up2"
    assert (row["attempts"], len(made[0].heard)) == (1, 1)


async def test_a_circuit_that_opens_meanwhile_is_passed_over_too(tmp_path: Path) -> None:
    async with chain(tmp_path, "hangs before the head", "500", timeouts={"first_token": 0.8}) as (
        it,
        made,
    ):
        asked = asyncio.create_task(it.ask(OPENAI.path, OPENAI.request()))
        await until(lambda: bool(made[0].heard))
        second = it.gateway.upstreams["up2"]
        second.bound(1, 20, 60)
        second.breaker.failed(time.monotonic())
        answer = await asked
    assert (answer.status, text_of(OPENAI, answer)) == (200, SAID)
    assert answer.headers["x-streamgauge-attempts"] == "1/up1, 1/up3"
    assert made[1].heard == []


async def test_a_request_that_is_to_blame_is_not_asked_elsewhere(tmp_path: Path) -> None:
    async def blames(to: Stand, upstream: ScriptedUpstream) -> None:
        answer = await to.ask(OPENAI.path, OPENAI.request())
        row = await to.row(answer.id)
        assert (answer.status, row["attempts"], len(upstream.heard)) == (422, 1, 1)

    body = json.dumps({"error": {"message": "no such thing"}}).encode()
    head = b"HTTP/1.1 422 Unprocessable Content\r\ncontent-type: application/json\r\n"
    told = head + b"content-length: %d\r\n\r\n" % len(body) + body
    async with scripted(lambda n: [told]) as first, started() as second:
        ups = [
            {"name": "first", "kind": "openai", "base_url": first.url},
            {"name": "second", "kind": "openai", "base_url": second.url},
        ]
        routes = {"default": {"to": ["first", "second"]}}
        async with stand(tmp_path, config={"upstreams": ups, "routing": routes}) as it:
            await blames(it, first)
        assert second.begun == []


@pytest.mark.parametrize("way", BOTH, ids=lambda way: way.client)
async def test_who_left_while_the_first_hung_costs_the_second_nothing(
    way: Way, tmp_path: Path
) -> None:
    failure, limits = FAILURES["hangs before the head"], {"first_token": 0.8}
    async with pair(tmp_path, failure, timeouts=limits) as to:
        async with to.it.client() as client:
            await client.post(way.path, way.request())
            await until(lambda: bool(to.firsts[way.first].heard))
        [row] = await to.it.rows()
        await asyncio.wait_for(to.firsts[way.first].heard[0].gone.wait(), 5)
        assert (row["status"], row["attempts"]) == ("client_disconnected", 1)
        assert to.second.begun == []


@pytest.mark.parametrize(("name", "attempts"), [("503", 2), ("cut behind the role", 1)])
async def test_unread_any_byte_that_passed_counts_as_shown(
    name: str, attempts: int, tmp_path: Path
) -> None:
    async with pair(tmp_path, FAILURES[name], metering=False) as to:
        answer = await to.it.ask(OPENAI.path, OPENAI.request())
        row = await to.it.row(answer.id)
    assert (answer.status, row["attempts"]) == (200, attempts)
    assert row["status"] == ("completed" if attempts == 2 else "stream_incomplete")
    assert (b"[DONE]" in answer.body, b"stream_incomplete" in answer.body) == (
        attempts == 2,
        attempts == 1,
    )
