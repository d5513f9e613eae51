"""The first upstream fails before its first content, and the second serves: one clean answer (SPEC §14.2)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from .fallback import Pair, pair
from .fallback_checks import check_only_first, check_served, check_shown
from .fallback_failures import FAILURES, Failure, behind_content
from .fallback_ways import SAID, Way, text_of
from .stand import Answer, frames_of

pytestmark = [pytest.mark.asyncio]
STREAMS = [way for way in Way.all() if way.stream]


async def ask(to: Pair, way: Way) -> Answer:
    return await to.it.ask(way.path, way.request())


@pytest.mark.parametrize("name", FAILURES)
async def test_the_second_serves_one_clean_answer(name: str, tmp_path: Path) -> None:
    failure = FAILURES[name]
    ways = failure.ways()
    async with pair(tmp_path, failure) as to:
        answers = await asyncio.gather(*(ask(to, way) for way in ways))
        await check_served(to, failure, list(zip(ways, answers, strict=True)))
        assert len(to.second.journal) == len(ways)
        if name.startswith("hangs"):
            heard = [each for first in to.firsts.values() for each in first.heard]
            assert len(heard) == len(ways)
            await asyncio.gather(*(asyncio.wait_for(each.gone.wait(), 5) for each in heard))


@pytest.mark.parametrize("end", ["cut", "reset", "error", "stall"])
async def test_behind_content_there_is_no_second_answer(end: str, tmp_path: Path) -> None:
    fails = Failure("", True, lambda dialect, stream: behind_content(end, dialect))
    outcome = {"error": "upstream_error", "stall": "upstream_timeout"}.get(end, "stream_incomplete")
    limits = {"first_token": 30, "idle": 0.3}
    async with pair(tmp_path, fails, timeouts=limits) as to:
        answers = await asyncio.gather(*(ask(to, way) for way in STREAMS))
        books = await to.books()
        for way, answer in zip(STREAMS, answers, strict=True):
            assert "w0" in text_of(way, answer), way
            assert b"w1" not in answer.body, way
            check_only_first(to, way, outcome, answer, *books[answer.id])
        assert to.second.begun == []


@pytest.mark.parametrize("begins", [False, True])
async def test_a_keep_alive_sends_the_head_and_the_second_still_serves(
    begins: bool, tmp_path: Path
) -> None:
    name = "hangs behind role and pings" if begins else "hangs before the head"
    limits, server = {"first_token": 1.2}, {"keepalive_seconds": 0.2}
    async with pair(tmp_path, FAILURES[name], timeouts=limits, server=server) as to:
        answers = await asyncio.gather(*(ask(to, way) for way in STREAMS))
        books = await to.books()
        for way, answer in zip(STREAMS, answers, strict=True):
            check_shown(way, answer)
            alive, first = (b"event: ping", b"message_start")
            if way.client == "openai":
                alive, first = b":", b'"role"'
            assert answer.body.startswith(alive), (way, answer.body[:80])
            assert answer.body.index(alive) < answer.body.index(first), way
            assert answer.headers["x-streamgauge-attempts"] == f"1/{way.tried[0]}", "as it was then"
            row, tries = books[answer.id]
            assert (row["status"], row["delivered"], row["attempts"]) == ("completed", "all", 2)
            assert [one["outcome"] for one in tries] == ["upstream_timeout", "completed"]
            assert to.calls(answer.id) == ["1 first", "2 second"]


async def test_behind_a_keep_alive_a_failure_of_all_is_an_error_end(tmp_path: Path) -> None:
    limits, server = {"first_token": 1.2}, {"keepalive_seconds": 0.2}
    async with pair(
        tmp_path, FAILURES["hangs before the head"], timeouts=limits, server=server
    ) as to:
        await to.second.aclose()
        answers = await asyncio.gather(*(ask(to, way) for way in STREAMS))
        books = await to.books()
        for way, answer in zip(STREAMS, answers, strict=True):
            assert (answer.status, answer.clean) == (200, True), way
            assert json.loads(frames_of(answer.body)[-1])["error"]["code"] == "upstream_error"
            row, tries = books[answer.id]
            assert (row["status"], row["delivered"]) == ("upstream_error", "none"), way
            assert [one["upstream"] for one in tries][:2] == list(way.tried), way


async def test_one_that_wants_a_wait_is_left_alone_while_the_second_serves(tmp_path: Path) -> None:
    def busy(dialect: str, stream: bool) -> Any:
        head = (
            b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 86400\r\ncontent-length: 2\r\n\r\n{}"
        )
        return [head]

    way = next(Way.all())
    fails = Failure("upstream_error", False, busy)
    longest = {"retries": {"max_retry_after": 30}}
    async with pair(tmp_path, fails, routing=longest) as to:
        first, *others = [await ask(to, way) for _ in range(4)]
        await check_served(to, fails, [(way, first)])
        assert [(a.status, text_of(way, a)) for a in others] == [(200, SAID)] * 3
        tried = [a.headers["x-streamgauge-attempts"] for a in others]
        circuit = to.it.gateway.upstreams[way.tried[0]].breaker
        left = circuit.cooling(asyncio.get_running_loop().time())
    assert tried == [f"1/{way.tried[1]}"] * 3
    assert len(to.firsts[way.first].heard) == 1
    assert left is not None
    assert 0 < left <= 30
