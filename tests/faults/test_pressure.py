"""Clients that do not read, drip what they send, or only sit there, seed by seed: F45–F47."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import time
from pathlib import Path

import pytest

from streamgauge.tools.simulator import Simulator

from ..e2e.process import closed_rows, serving
from ..e2e.stand import Client, Stand, frames_of, stand, until
from ..timed import in_time
from .trial import check_marker_end, dice_of, seeded, seeded_seldom, trial
from .upstream import End, head, in_chunks
from .wires import wire_of

LAST_CHUNK = b"0\r\n\r\n"
POURED = 30_000_000
MOST_TAKEN = 4 * 1024 * 1024
"""Bytes that fit between an upstream and a client that reads nothing: our bound and the kernel's buffers."""
FEW = 80


async def never_reading(it: Stand, path: str, body: object) -> socket.socket:
    """Ask on a socket that nobody reads."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, ("127.0.0.1", it.port))
    data = json.dumps(body).encode()
    first = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(data)}\r\n\r\n"
    await loop.sock_sendall(raw, first.encode() + data)
    return raw


@pytest.mark.fault("F45")
@seeded_seldom
@pytest.mark.asyncio
async def test_a_reader_that_never_reads_is_cut_and_others_are_not(
    seed: int, tmp_path: Path
) -> None:
    dice = dice_of("F45", seed)
    wire, other = wire_of(dice, plain=True), wire_of(dice)
    frame = wire.frames[wire.contents[0]].data
    block = in_chunks(frame * dice.randint(20, 200))
    start = head() + in_chunks(*wire.data()[: wire.contents[0]])
    hose = [start, *[block] * (POURED // len(block)), End.HOLD]
    whole = [head() + in_chunks(*other.data()) + LAST_CHUNK, End.CLOSE]
    readers = dice.randint(1, 4)
    config = {"server": {"write_seconds": 1}}
    policy = dice.choice(("cancel", "drain"))
    keys = {"config": config, "on_disconnect": policy, "drain": {"max_seconds": 1}}
    async with trial(tmp_path, lambda n: hose if n < readers else whole, **keys) as (it, upstream):
        with contextlib.ExitStack() as held:
            for _ in range(readers):
                held.enter_context(await never_reading(it, wire.path, wire.request()))
            await until(lambda: len(upstream.heard) == readers)
            answers = [await it.ask(other.path, other.request()) for _ in range(5)]
            await until(lambda: len(it.notes.records) == readers + len(answers), 15)
        rows = [await it.row(name) for name in list(it.notes.records)]
    for answer in answers:
        check_marker_end(other, answer)
    cut = [row for row in rows if row["status"] != "completed"]
    assert [row["status"] for row in cut] == ["client_disconnected"] * readers
    assert all("slow_reader" in row["anomalies"] for row in cut)
    assert all(row["bytes_out"] < MOST_TAKEN for row in cut)


async def _drip(client: Client, data: bytes) -> None:
    for byte in data:
        client.writer.write(bytes([byte]))
        await asyncio.sleep(0.05)  # the dripping itself: nothing is waited for


@pytest.mark.fault("F46")
@pytest.mark.parametrize("what", ["header", "body"])
@seeded
@pytest.mark.asyncio
async def test_a_dripped_request_is_given_up_in_time(seed: int, what: str, tmp_path: Path) -> None:
    dice = dice_of(f"F46/{what}", seed)
    wire = wire_of(dice)
    body = json.dumps(wire.request()).encode()
    lines = f"POST {wire.path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n\r\n"
    request = lines.encode() + body
    at = (
        dice.randrange(1, len(lines) - 60)  # what is dripped must not complete the head
        if what == "header"
        else dice.randrange(len(lines), len(request) - 60)
    )
    config = {"server": {"header_seconds": 0.5, "body_seconds": 0.5}}
    async with stand(tmp_path, config=config) as it, it.client() as client:
        began = time.monotonic()
        client.writer.write(request[:at])
        dripping = asyncio.create_task(_drip(client, request[at : at + 40]))
        answer = await asyncio.wait_for(client.answer(), 10)
        took = time.monotonic() - began
        dripping.cancel()
        rows = await it.rows()
        assert not it.simulator.begun
    assert answer.status == 408
    assert took >= 0.5
    in_time(took, 5)
    told = [(row["status"], row["http_status"]) for row in rows]
    assert told == ([] if what == "header" else [("rejected", 408)])


def _idle(dice: random.Random, port: int) -> socket.socket:
    """Return a connection that says nothing, or only a part of a head."""
    raw = socket.create_connection(("127.0.0.1", port))
    raw.sendall(dice.choice((b"", b"", b"G", b"POST /v1/messages HTTP/1.1\r\n")))
    return raw


@pytest.mark.fault("F47")
@seeded_seldom
@pytest.mark.asyncio
async def test_calls_go_on_among_idle_connections_and_without_descriptors(
    seed: int, tmp_path: Path
) -> None:
    dice = dice_of("F47", seed)
    limit, crowd = dice.randint(FEW, 2 * FEW), dice.randint(2 * FEW, 4 * FEW)
    body = {"model": "m", "stream": True, "messages": [], "sim": {"tokens": dice.randint(1, 9)}}
    async with (
        Simulator() as simulator,
        serving(tmp_path, simulator, descriptors=limit) as gateway,
    ):
        served = shed = 0
        with contextlib.ExitStack() as stack:
            for _ in range(crowd):
                with contextlib.suppress(ConnectionError):
                    stack.enter_context(_idle(dice, gateway.port))
            deadline = time.monotonic() + 20
            while served < 10:
                assert time.monotonic() < deadline, f"{served} served, {shed} shed"
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                    answer = await gateway.ask("/v1/chat/completions", body)
                    assert answer.status in (200, 503)
                    whole = answer.status == 200 and frames_of(answer.body)[-1] == b"[DONE]"
                    served += whole
                    shed += not whole
            began = gateway.cpu_seconds()
            await asyncio.sleep(1.0)  # what is measured: the cost of doing nothing for a second
            spent = gateway.cpu_seconds() - began
            health = await gateway.get("/healthz")
        rows = await closed_rows(tmp_path, served)
    assert health.status == 200
    assert spent < 0.5, "it does not spin"
    assert sum(row["status"] == "completed" for row in rows) == served
    assert {row["status"] for row in rows} <= {"completed", "rejected"}
