"""The shared corpus of bad answers, played at a call as a careful HTTP client would report it."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamgauge.gateway.http import EndKind, FailKind

from .upstream_rig import Handler, Owner, both_loops, call, pool, read_request, reset, upstream

CORPUS = Path(__file__).parents[1] / "data" / "corpus" / "responses.json.gz"
COMPLETE, CUT, RESET, PROTOCOL = EndKind.COMPLETE, EndKind.CUT, EndKind.RESET, EndKind.PROTOCOL
FAILED = FailKind
OUTCOMES: dict[str, EndKind | FailKind | None] = {
    "r084": COMPLETE,
    "r085": PROTOCOL,
    "r087": PROTOCOL,
    "r100": CUT,
    "r102": CUT,
    "r103": CUT,
    "r104": COMPLETE,
    "r105": COMPLETE,
    "r106": COMPLETE,
    "r107": FAILED.PROTOCOL,
    "r108": FAILED.PROTOCOL,
    "r110": PROTOCOL,
    "r111": PROTOCOL,
    "r114": FAILED.PROTOCOL,
    "r115": FAILED.PROTOCOL,
    "r116": FAILED.PROTOCOL,
    "r117": FAILED.PROTOCOL,
    "r119": PROTOCOL,
    "r121": FAILED.PROTOCOL,
    "r122": FAILED.PROTOCOL,
    "r124": COMPLETE,
    "r125": COMPLETE,
    "r126": COMPLETE,
    "r127": COMPLETE,
    "r128": COMPLETE,
    "r129": COMPLETE,
    "r130": FAILED.RESET,
    "r131": RESET,
    "r133": RESET,
    "r134": FAILED.CLOSED,
    "r135": FAILED.PROTOCOL,
    "r136": None,
    "r137": None,
    "r138": None,
    "r139": None,
    "r140": COMPLETE,
    "r141": COMPLETE,
    "r144": COMPLETE,
    "r145": COMPLETE,
}


def corpus() -> dict[str, dict[str, Any]]:
    cases = json.loads(gzip.decompress(CORPUS.read_bytes()))["cases"]
    return {case["id"][:4]: case for case in cases}


CASES = corpus()


def written(step: dict[str, Any]) -> Iterator[bytes]:
    """The writes of one step; a drip goes byte by byte, without its pauses."""
    if "dripb64" in step:
        yield from (bytes([byte]) for byte in base64.b64decode(step["dripb64"]))
    elif "b64" in step:
        yield from [base64.b64decode(step["b64"])] * step.get("rep", 1)


def playing(case: dict[str, Any], played: asyncio.Event) -> Handler:
    """A handler that plays a case's steps; `played` is set where it holds the connection."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for step in case["steps"]:
            for part in written(step):
                writer.write(part)
                await writer.drain()
            if step.get("end") == "rst":
                reset(writer)
            elif step.get("end") == "hold":
                played.set()
                await reader.read()

    return handler


@both_loops
@pytest.mark.parametrize("name", sorted(OUTCOMES))
async def test_the_corpus_ends_as_a_careful_client_reports(name: str) -> None:
    played = asyncio.Event()
    expected = OUTCOMES[name]
    async with upstream(playing(CASES[name], played)) as up, pool() as opened:
        owner = Owner()
        handle = owner.open(opened, up.target())
        if expected is None:
            await asyncio.wait_for(played.wait(), 5)
            handle.close()
            assert not owner.done.done()
            return
        await asyncio.wait_for(owner.done, 20)
        if CASES[name]["http"] != "clean" or name in ("r104", "r105", "r106", "r144"):
            assert opened.stats().idle == 0 or owner.status in (302, 307)
    told = owner.failed[0] if owner.failed is not None else owner.ended
    assert told is expected


@both_loops
async def test_a_bomb_is_stopped_long_before_it_is_inflated() -> None:
    async with upstream(playing(CASES["r085"], asyncio.Event())) as up, pool() as opened:
        owner = await call(opened, up.target())
    assert "ratio" in owner.message
    assert len(owner.body) < 16 * 1024 * 1024
