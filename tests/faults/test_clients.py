"""Clients that leave, half close, or leave all at once: F41–F44, each with many seeds."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from ..e2e.stand import Answer, Client, Stand, until
from ..timed import in_time
from .oracle import check_row, read_wire
from .trial import check_marker_end, dice_of, seeded, seeded_seldom, trial
from .upstream import End, head, in_chunks
from .wires import Wire, wire_of

LAST_CHUNK = b"0\r\n\r\n"
CLOSED_WITHIN = 0.5
MOMENTS = ("before the headers", "before the first token", "after it", "before usage")


def leave(client: Client, how: str) -> float:
    """Close by FIN or reset; return when, in seconds since the epoch."""
    if how == "reset":
        peer: socket.socket = client.writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.abort()
    return time.time()


async def only_row(it: Stand) -> dict[str, Any]:
    """Wait for the only row, and return it."""
    await until(lambda: len(it.notes.records) == 1)
    return await it.row(next(iter(it.notes.records)))


async def read_to(client: Client, sent: bytes) -> None:
    """Read until the client has all of `sent`."""
    if not sent:
        return
    await client.head()
    got = b""
    while len(got) < len(sent):
        piece = await client.chunk()
        assert piece
        got += piece


def frames_before(wire: Wire, moment: str) -> int | None:
    """Return how many frames have come when the client leaves; None: not even a head."""
    return {
        "before the headers": None,
        "before the first token": wire.contents[0],
        "after it": wire.contents[len(wire.contents) // 2] + 1,
        "before usage": wire.contents[-1] + 1,
    }[moment]


@pytest.mark.fault("F41")
@pytest.mark.parametrize("policy", ["cancel", "drain"])
@pytest.mark.parametrize("moment", MOMENTS)
@seeded_seldom
@pytest.mark.asyncio
async def test_a_client_that_leaves_is_cancelled_or_drained(
    seed: int, moment: str, policy: str, tmp_path: Path
) -> None:
    dice = dice_of(f"F41/{moment}/{policy}", seed)
    wire, how = wire_of(dice), dice.choice(("fin", "reset"))
    count = frames_before(wire, moment)
    data = wire.data()
    sent, rest = b"".join(data[: count or 0]), b"".join(data[count or 0 :])
    begin = [] if count is None else [head() + in_chunks(sent)]
    more = [] if count is not None else [head()]
    if policy == "drain":
        steps = [*begin, 0.15, *more, in_chunks(rest), LAST_CHUNK, End.KEEP]
    else:
        steps = [*begin, End.HOLD]
    keys = {"on_disconnect": policy}
    async with trial(tmp_path, lambda n: steps, **keys) as (it, upstream), it.client() as client:
        await client.post(wire.path, wire.request(), x_streamgauge_meta="off")
        await until(lambda: bool(upstream.heard))
        await read_to(client, sent)
        left_at = leave(client, how)
        if policy == "cancel":
            await asyncio.wait_for(upstream.heard[0].gone.wait(), 5)
            closed_at = upstream.heard[0].closed_at
            assert closed_at is not None
            in_time(closed_at - left_at, CLOSED_WITHIN)
        row = await only_row(it)
    truth = read_wire(sent if policy == "cancel" else b"".join(data))
    expected = "cancelled" if policy == "cancel" else "drained"
    check_row(row, truth, status="client_disconnected", disposition=expected)
    assert row["success"] is (policy == "drain")
    assert row["delivered"] == ("part" if sent else "none")
    assert row["drain_ms"] is not None


@pytest.mark.fault("F42")
@seeded
@pytest.mark.asyncio
async def test_who_leaves_behind_the_marker_had_it_all(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F42", seed)
    wire = wire_of(dice)
    sent = b"".join(wire.data())
    steps = [head() + in_chunks(sent), 0.05, LAST_CHUNK, dice.choice((End.KEEP, End.CLOSE))]
    keys = {"on_disconnect": dice.choice(("cancel", "drain"))}
    async with trial(tmp_path, lambda n: steps, **keys) as (it, _), it.client() as client:
        await client.post(wire.path, wire.request(), x_streamgauge_meta="off")
        await read_to(client, sent)
        leave(client, dice.choice(("fin", "reset")))
        row = await only_row(it)
    check_row(row, read_wire(sent), status="completed", success=True, delivered="all")


@pytest.mark.fault("F43")
@seeded
@pytest.mark.asyncio
async def test_when_many_leave_at_once_drains_are_capped(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F43", seed)
    wire = wire_of(dice)
    many, most = dice.randint(8, 30), dice.randint(1, 7)
    at = wire.contents[0] + 1
    sent, rest = b"".join(wire.data()[:at]), b"".join(wire.data()[at:])
    steps = [head() + in_chunks(sent), 0.6, in_chunks(rest) + LAST_CHUNK, End.CLOSE]
    keys = {"on_disconnect": "drain", "drain": {"max_streams": most, "max_seconds": 10}}
    async with (
        trial(tmp_path, lambda n: steps, **keys) as (it, _),
        contextlib.AsyncExitStack() as s,
    ):
        clients = [await s.enter_async_context(it.client()) for _ in range(many)]
        for client in clients:
            await client.post(wire.path, wire.request(), x_streamgauge_meta="off")
        for client in clients:
            await read_to(client, sent)
        for client in clients:
            leave(client, dice.choice(("fin", "reset")))
        await until(lambda: len(it.notes.records) == many, 10)
        rows = [await it.row(name) for name in list(it.notes.records)]
        assert all(up.drains == 0 for up in it.gateway.upstreams.values())
    ends = sorted(row["disposition"] for row in rows)
    assert ends == ["drain_capped"] * (many - most) + ["drained"] * most
    for row in rows:
        drained = row["disposition"] == "drained"
        check_row(row, read_wire(sent + rest if drained else sent), status="client_disconnected")
        assert ("drain_capped" in row["anomalies"]) is not drained


@pytest.mark.fault("F44")
@pytest.mark.parametrize("half_close", [False, True])
@seeded
@pytest.mark.asyncio
async def test_a_fin_behind_the_request_means_gone_unless_half_close_is_set(
    seed: int, half_close: bool, tmp_path: Path
) -> None:
    dice = dice_of(f"F44/{half_close}", seed)
    wire = wire_of(dice)
    at = dice.choice((0, *wire.contents))
    early, late = b"".join(wire.data()[:at]), b"".join(wire.data()[at:])
    begin = [head() + in_chunks(early)] if at else []
    steps = [*begin, 0.1, *([] if at else [head()]), in_chunks(late) + LAST_CHUNK, End.CLOSE]
    config = {"server": {"half_close": half_close}}
    async with trial(tmp_path, lambda n: steps, config=config) as (it, _), it.client() as client:
        await client.post(wire.path, wire.request(), x_streamgauge_meta="off")
        client.writer.write_eof()
        answer: Answer | None = None
        if half_close:
            answer = await client.answer()
        row = await only_row(it)
    if answer is None:
        assert (row["status"], row["success"]) == ("client_disconnected", False)
        return
    check_marker_end(wire, answer)
    check_row(row, read_wire(early + late), status="completed", delivered="all")
