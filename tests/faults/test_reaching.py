"""Reaching the upstream, and its silence until the first token: F20–F25, each with many seeds."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from ..e2e.stand import Answer, Stand, stand, until
from .oracle import check_row, read_wire
from .trial import check_error, check_marker_end, dice_of, seeded, trial
from .upstream import End, absent, deaf, head, in_chunks, scripted
from .wires import Wire, wire_of

LAST_CHUNK = b"0\r\n\r\n"
NO_ADDRESS = ("nobody.invalid", "no-such-host.invalid")


async def ask(it: Stand, wire: Wire, *, stream: bool) -> tuple[Answer, dict[str, Any]]:
    """Ask, and return the answer with its row."""
    answer = await it.ask(wire.path, wire.request(stream=stream), x_streamgauge_meta="off")
    return answer, await it.row(answer.id)


def check_failure(wire: Wire, answer: Answer, row: dict[str, Any], status: int, name: str) -> None:
    """The client got an HTTP error in its dialect, the row says the same by `name`, nothing is counted."""
    assert answer.status == row["http_status"] == status
    check_error(wire, answer.json(), name)
    assert (row["status"], row["error_code"]) == (name, name)
    assert (row["delivered"], row["success"]) == ("none", False)
    assert (row["usage_source"], row["output_tokens"]) == ("none", None)
    assert (row["ttft_ms"], row["frames_out"]) in ((None, None), (None, 0))


@pytest.mark.fault("F20")
@seeded
@pytest.mark.asyncio
async def test_an_upstream_that_is_not_there_is_a_502(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F20", seed)
    wire = wire_of(dice)
    with absent() as there:
        url = there if seed % 2 else there.replace("127.0.0.1", dice.choice(NO_ADDRESS))
        async with stand(tmp_path, base_url=url) as it:
            answer, row = await ask(it, wire, stream=dice.random() < 0.5)
            tries = await it.attempts(answer.id)
    check_failure(wire, answer, row, 502, "upstream_error")
    assert [bool(each["may_have_been_billed"]) for each in tries] == [False] * len(tries)


@pytest.mark.fault("F21")
@seeded
@pytest.mark.asyncio
async def test_a_connect_that_hangs_ends_at_its_deadline(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F21", seed)
    wire = wire_of(dice)
    limit = dice.choice((0.2, 0.3, 0.4))
    with deaf() as url:
        async with stand(tmp_path, base_url=url, timeouts={"connect": limit}) as it:
            answer, row = await ask(it, wire, stream=dice.random() < 0.5)
    check_failure(wire, answer, row, 504, "upstream_timeout")
    assert row["finished_at"] - row["started_at"] >= limit * 1e6


@pytest.mark.fault("F22")
@seeded
@pytest.mark.asyncio
async def test_a_bad_certificate_is_never_ignored(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F22", seed)
    wire = wire_of(dice)
    known, stranger = trustme.CA(), trustme.CA()
    trusted = tmp_path / "ca.pem"
    known.cert_pem.write_to_path(str(trusted))
    issuer, name = dice.choice(((stranger, "127.0.0.1"), (known, "another.example")))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer.issue_cert(name).configure_cert(context)
    async with (
        scripted(lambda n: [head(), End.HOLD], context) as upstream,
        stand(tmp_path, base_url=upstream.url, tls={"ca_file": str(trusted)}) as it,
    ):
        answer, row = await ask(it, wire, stream=dice.random() < 0.5)
    check_failure(wire, answer, row, 502, "upstream_error")
    assert "TLS" in answer.json()["error"]["message"]
    assert upstream.heard == [], "nothing was said to it"


@pytest.mark.fault("F23")
@seeded
@pytest.mark.asyncio
async def test_a_death_before_the_headers_is_noted_as_perhaps_billed(
    seed: int, tmp_path: Path
) -> None:
    dice = dice_of("F23", seed)
    wire = wire_of(dice)
    started = head()[: dice.choice((0, 0, 1, 9, 40))]
    end = dice.choice((End.RESET, End.CLOSE))
    steps = [*([started] if started else []), 0.02, end]
    async with trial(tmp_path, lambda n: steps) as (it, upstream):
        answer, row = await ask(it, wire, stream=dice.random() < 0.5)
        tries = await it.attempts(answer.id)
    # A head that was begun and properly ended is an answer, though none that is legal.
    torn = started and end is End.CLOSE
    check_failure(wire, answer, row, 502, "upstream_protocol_error" if torn else "upstream_error")
    assert len(upstream.heard) == 1, "on a fresh connection nothing is sent twice"
    assert [each["may_have_been_billed"] for each in tries] == [1]


@pytest.mark.fault("F24")
@seeded
@pytest.mark.asyncio
async def test_a_stale_connection_costs_no_call(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F24", seed)
    wire = wire_of(dice)
    raw = head() + in_chunks(*wire.data()) + LAST_CHUNK
    whole = [raw]  # in one write: a connection whose last chunk is late is not kept
    # The first answer keeps the connection, and then the server drops it: before the next
    # request comes, or just when it has come.
    race = seed % 2 == 1
    first = [*whole, End.KEEP] if race else [*whole, 0.01, dice.choice((End.CLOSE, End.RESET))]
    dropped = [dice.choice((End.CLOSE, End.RESET))]
    scripts = [first, dropped, [*whole, End.KEEP]] if race else [first, [*whole, End.KEEP]]
    # Of these kinds no pages are asked for, which would use the connection in between.
    async with trial(tmp_path, lambda n: scripts[n], kind=wire.dialect) as (it, upstream):
        one, _ = await ask(it, wire, stream=True)
        if not race:
            await until(lambda: not it.gateway.pool.stats().idle)
        two, row = await ask(it, wire, stream=True)
        tries = await it.attempts(two.id)
    check_marker_end(wire, one)
    check_marker_end(wire, two)
    check_row(row, read_wire(b"".join(wire.data())), status="completed", attempts=1)
    assert len(tries) == 1
    used = [each.connection for each in upstream.heard]
    assert used == ([used[0], used[0], used[-1]] if race else [used[0], used[-1]])
    assert used[0] != used[-1], "the last one is fresh"


@pytest.mark.fault("F25")
@seeded
@pytest.mark.asyncio
async def test_a_hang_before_the_headers_is_a_504(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F25/head", seed)
    wire = wire_of(dice)
    part = head()[: dice.choice((0, 5, 30))]
    steps = [*([part] if part else []), End.HOLD]
    async with trial(tmp_path, lambda n: steps, timeouts={"first_token": 0.3}) as (it, upstream):
        answer, row = await ask(it, wire, stream=dice.random() < 0.5)
        await asyncio.wait_for(upstream.heard[0].gone.wait(), 5)
    check_failure(wire, answer, row, 504, "upstream_timeout")


@pytest.mark.fault("F25")
@seeded
@pytest.mark.asyncio
async def test_pings_do_not_extend_the_wait_for_the_first_token(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F25/token", seed)
    wire = wire_of(dice)
    ping = in_chunks(b": wait\n\n")
    starts = in_chunks(*wire.data()[: wire.contents[0]]) if dice.random() < 0.5 else b""
    steps = [head() + starts, *([ping, 0.05] * 200), End.HOLD]
    limits = {"first_token": 0.4}
    async with trial(tmp_path, lambda n: steps, timeouts=limits) as (it, upstream):
        answer, row = await ask(it, wire, stream=True)
        await asyncio.wait_for(upstream.heard[0].gone.wait(), 5)
    assert (row["status"], row["error_code"]) == ("upstream_timeout", "upstream_timeout")
    assert row["finished_at"] - row["started_at"] < 5_000_000
    assert row["ttft_ms"] is None
    assert b"upstream_timeout" in answer.body
    assert answer.status == (200 if starts else 504)
