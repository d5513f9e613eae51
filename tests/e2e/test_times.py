"""The row's times and rates against a scripted upstream, and how soon the row is closed."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from pathlib import Path
from typing import Any

import pytest

from streamgauge.ledger.reader import LedgerReader

from ..timed import in_time
from .stand import Stand, stand

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
CLOSED_WITHIN = 0.020  # SPEC §8.1, the median
SLOW_GAPS_MS = (1050, 20_000) if os.environ.get("STREAMGAUGE_FULL") == "1" else (1050,)
LENIENCY = 5  # a timing test asserts five times its figure
TOOL = {"name": "look", "arguments": {"place": "here", "what": "everything"}}


def request(*, stream: bool = True, **sim: Any) -> dict[str, Any]:
    """Return a request that asks `sim` of the simulator."""
    messages = [{"role": "user", "content": "hi"}]
    return {"model": "sim", "max_tokens": 500, "stream": stream, "messages": messages, "sim": sim}


async def row_of(it: Stand, body: dict[str, Any], path: str = CHAT) -> dict[str, Any]:
    """Ask, and return the closed row."""
    return await it.row((await it.ask(path, body)).id)


async def _scripted(it: Stand, nth: int) -> dict[str, Any]:
    script = {"head_ms": 50, "role_ms": 60, "first_ms": 900, "gap_ms": 20, "tokens": 101}
    await asyncio.sleep(nth * 0.037)  # a stall of a busy machine meets them at different places
    return await row_of(it, request(**script))


@pytest.mark.asyncio
async def test_a_scripted_stream_gives_its_own_times_and_rate(tmp_path: Path) -> None:
    async with stand(tmp_path, flavour="openai") as it:
        rows = await asyncio.gather(*(_scripted(it, nth) for nth in range(5)))

    def soonest(name: str) -> float:
        """A busy machine only makes times late: the least late shows what the meter says."""
        return min(float(row[name]) for row in rows)

    assert soonest("latency_ms") == pytest.approx(50, abs=15)
    assert soonest("first_byte_ms") == pytest.approx(60, abs=15)
    assert soonest("ttft_ms") == pytest.approx(900, abs=15)
    assert soonest("stream_duration_ms") == pytest.approx(2900, abs=15)
    assert min(abs(row["generation_tps"] - 50) for row in rows) <= 1
    assert statistics.median(row["gap_p50_ms"] for row in rows) == pytest.approx(20, abs=5)
    assert {(row["tps_source"], row["output_tokens"], row["stalls"]) for row in rows} == {
        ("measured", 101, 0)
    }


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize(
    "sim",
    [{"tool": TOOL, "tokens": 0}, {"reasoning": 20, "tokens": 0}],
    ids=["tool only", "reasoning only"],
)
@pytest.mark.asyncio
async def test_what_is_no_text_has_a_first_token_too(
    sim: dict[str, Any], path: str, tmp_path: Path
) -> None:
    flavour = "openai" if path == CHAT else "anthropic"
    async with stand(tmp_path, flavour=flavour) as it:
        row = await row_of(it, request(first_ms=100, gap_ms=5, **sim), path)
    assert row["status"] == "completed"
    assert row["ttft_ms"] >= 100 - 15 * LENIENCY
    in_time(row["ttft_ms"], 100 + 15 * LENIENCY)
    assert row["ttft_ms"] >= 99
    assert row["usage_source"] == "provider"
    assert row["output_tokens"] > 0


@pytest.mark.asyncio
async def test_an_answer_that_is_no_stream_has_no_first_token(tmp_path: Path) -> None:
    async with stand(tmp_path, flavour="openai") as it:
        row = await row_of(it, request(stream=False, tokens=20))
    assert row["status"] == "completed"
    assert row["output_tokens"] == 20
    assert [row[name] for name in ("ttft_ms", "generation_tps", "gap_p50_ms", "stalls")] == [
        None
    ] * 4


@pytest.mark.timeout(120)
@pytest.mark.parametrize("gap_ms", SLOW_GAPS_MS)
@pytest.mark.asyncio
async def test_a_stream_of_milliseconds_and_a_slow_one_have_rows_of_one_quality(
    gap_ms: int, tmp_path: Path
) -> None:
    async with stand(tmp_path, flavour="openai") as it:
        short, slow = await asyncio.gather(
            row_of(it, request(tokens=3, gap_ms=1)),
            row_of(it, request(tokens=3, gap_ms=gap_ms)),
        )
    assert [name for name in short if short[name] is None] == [
        name for name in slow if slow[name] is None
    ]
    same = ("status", "success", "usage_source", "input_tokens", "output_tokens", "frames_in")
    assert [short[name] for name in same] == [slow[name] for name in same]
    assert (short["stalls"], slow["stalls"]) == (0, 2)
    assert slow["stream_duration_ms"] >= 2 * gap_ms - 15 * LENIENCY
    in_time(slow["stream_duration_ms"], 2 * gap_ms + 15 * LENIENCY)
    assert slow["gap_max_ms"] >= gap_ms - 15 * LENIENCY
    in_time(slow["gap_max_ms"], gap_ms + 15 * LENIENCY)
    in_time(short["stream_duration_ms"], 500)


async def _until_closed(reader: LedgerReader, request_id: str) -> float:
    """Return the monotonic seconds at which the closed row is readable."""
    while (found := reader.exchange(request_id)) is None or found[0]["status"] == "in_flight":
        await asyncio.sleep(0.001)  # another process would poll too
    return time.monotonic()


@pytest.mark.parametrize("fault", [None, "hold_open"])
@pytest.mark.asyncio
async def test_the_row_is_closed_right_after_the_last_byte(
    fault: str | None, tmp_path: Path
) -> None:
    lags: list[float] = []
    async with stand(tmp_path) as it:
        with LedgerReader(tmp_path / "ledger.db") as reader:
            for _ in range(30):
                answer = await it.ask(CHAT, request(tokens=10, gap_ms=1, fault=fault))
                read_at = time.monotonic()
                lags.append(await asyncio.wait_for(_until_closed(reader, answer.id), 5) - read_at)
    print(f"fault={fault} close lag p50={statistics.median(lags) * 1000:.1f} ms")
    in_time(statistics.median(lags), CLOSED_WITHIN * LENIENCY)
