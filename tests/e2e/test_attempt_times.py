"""When an attempt was connected, said its last token and stated its usage: on real sockets, in order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from .fallback import pair
from .fallback_failures import FAILURES
from .fallback_ways import Way
from .stand import Stand, stand

pytestmark = [pytest.mark.asyncio]
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
TIMES = ("connected_ms", "first_byte_ms", "last_token_ms", "usage_ms")
EARLY = 2.0  # by so many ms a timer of the simulator may be
STREAM = Way("openai", "openai", "openai", stream=True)
WHOLE = Way("openai", "openai", "openai", stream=False)


def request(*, stream: bool = True, **sim: Any) -> dict[str, Any]:
    """Return a request that asks `sim` of the simulator."""
    messages = [{"role": "user", "content": "hi"}]
    return {"model": "sim", "max_tokens": 500, "stream": stream, "messages": messages, "sim": sim}


async def told(
    it: Stand, body: dict[str, Any], path: str = CHAT
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Ask; return the closed row and its one attempt."""
    id = (await it.ask(path, body)).id
    (attempt,) = await it.attempts(id)
    return await it.row(id), attempt


def in_order(row: dict[str, Any], attempts: Sequence[dict[str, Any]]) -> None:
    """Check that nothing is before what led to it, in the row and in its last attempt."""
    last, start = attempts[-1], row["started_at"]
    times = [0.0, (last["started_at"] - start) / 1000, last["connected_ms"], row["latency_ms"],
             last["first_byte_ms"], row["ttft_ms"], last["last_token_ms"], last["usage_ms"],
             row["stream_duration_ms"], (row["finished_at"] - start) / 1000]  # fmt: skip
    known = [time for time in times if time is not None]
    assert all(before <= after for before, after in pairwise(known)), times


@pytest.mark.parametrize(
    ("flavour", "path"), [("openai", CHAT), ("llamacpp", CHAT), ("anthropic", MESSAGES)]
)
async def test_a_stream_has_all_its_times_in_order(flavour: str, path: str, tmp_path: Path) -> None:
    async with stand(tmp_path, flavour=flavour) as it:
        script = {"head_ms": 40, "role_ms": 50, "first_ms": 80, "gap_ms": 10, "tokens": 11}
        row, attempt = await told(it, request(**script), path)
    assert None not in [attempt[name] for name in TIMES]
    in_order(row, [attempt])
    assert row["latency_ms"] - attempt["connected_ms"] >= 40 - EARLY
    assert attempt["last_token_ms"] - attempt["connected_ms"] >= 180 - EARLY
    assert attempt["last_token_ms"] > row["ttft_ms"]
    assert attempt["usage_ms"] >= attempt["last_token_ms"]


@pytest.mark.parametrize(("flavour", "path"), [("openai", CHAT), ("anthropic", MESSAGES)])
async def test_a_whole_answer_stated_its_usage_with_its_body(
    flavour: str, path: str, tmp_path: Path
) -> None:
    async with stand(tmp_path, flavour=flavour) as it:
        row, attempt = await told(it, request(stream=False, tokens=5, head_ms=30), path)
    in_order(row, [attempt])
    assert row["latency_ms"] - attempt["connected_ms"] >= 30 - EARLY
    assert attempt["usage_ms"] == row["stream_duration_ms"]
    assert attempt["last_token_ms"] is None, "nobody sees when a whole answer said it"


async def test_a_reused_connection_was_had_when_it_was_taken(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        before = it.gateway.pool.stats()
        assert before.idle == before.open > 0, "kept from the look at its models"
        row, attempt = await told(it, request(tokens=3, first_ms=60))
        assert it.gateway.pool.stats().open <= before.open
    in_order(row, [attempt])
    assert attempt["connected_ms"] > 0
    assert row["ttft_ms"] - attempt["connected_ms"] >= 60 - EARLY


async def test_usage_that_nobody_stated_has_no_time(tmp_path: Path) -> None:
    async with stand(tmp_path, flavour="openai") as it:
        row, attempt = await told(it, request(tokens=5, usage="none"))
    assert row["usage_source"] == "counted"
    assert attempt["usage_ms"] is None
    assert attempt["last_token_ms"] is not None
    in_order(row, [attempt])


@pytest.mark.parametrize("way", [STREAM, WHOLE], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    ("failure", "connects"), [("refuses", False), ("does not accept", False), ("503", True)]
)
async def test_each_attempt_of_a_fallback_has_its_own_times(
    failure: str, connects: bool, way: Way, tmp_path: Path
) -> None:
    async with pair(tmp_path, FAILURES[failure]) as to:
        id = (await to.it.ask(way.path, way.request())).id
        first, second = attempts = await to.it.attempts(id)
        row = await to.it.row(id)
    ended = (first["finished_at"] - row["started_at"]) / 1000
    if connects:
        assert 0 < first["connected_ms"] <= ended
    else:
        assert [first[name] for name in TIMES] == [None] * len(TIMES)
    assert (first["last_token_ms"], first["usage_ms"]) == (None, None)
    assert second["connected_ms"] >= ended
    assert second["usage_ms"] > second["connected_ms"]
    in_order(row, attempts)


async def test_an_upstream_that_is_never_reached_leaves_the_times_unknown(tmp_path: Path) -> None:
    async with stand(tmp_path, base_url="http://127.0.0.1:1") as it:
        id = (await it.ask(CHAT, request())).id
        attempts, row = await it.attempts(id), await it.row(id)
    assert row["status"] == "upstream_error"
    assert [attempt["n"] for attempt in attempts] == [1, 2], "it is tried once more"
    assert {attempt[name] for attempt in attempts for name in TIMES} == {None}
