"""How a stream breaks off, and what must then hold: F26–F32 and F52, each with many seeds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ..e2e.stand import frames_of
from .oracle import check_row, read_wire
from .trial import (
    check_error,
    check_error_end,
    check_marker_end,
    check_quiet_end,
    dice_of,
    seeded,
    seeded_seldom,
    trial,
)
from .upstream import End, Script, head, in_chunks, split
from .wires import Wire, wire_of

LAST_CHUNK = b"0\r\n\r\n"
QUIET = "finished_without_marker"


def script_of(dice: random.Random, sent: bytes, *rest: bytes | float | End) -> Script:
    """Return the steps that send `sent` as a stream, cut into reads by the dice, and then the rest."""
    chunks = split(sent, lambda: dice.choice((1, 7, 80, 300, 5000)))
    raw = head() + in_chunks(*chunks)
    return [*split(raw, lambda: dice.choice((3, 40, 200, 2000))), *rest]


def cut_of(dice: random.Random, wire: Wire, *, finished: bool) -> bytes:
    """Return a part of the stream by the dice: cut anywhere before its finish, or behind it."""
    whole = b"".join(wire.data())
    cuts = [whole[:at] for at in range(1, len(whole))]
    return dice.choice([cut for cut in cuts if (read_wire(cut).finish is not None) is finished])


@pytest.mark.fault("F26")
@seeded
@pytest.mark.asyncio
async def test_a_stall_between_tokens_ends_in_a_timeout(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F26", seed)
    wire = wire_of(dice)
    stop = dice.choice(wire.contents) + 1
    sent = b"".join(wire.data()[:stop])
    truth = read_wire(sent)
    steps = script_of(dice, sent, End.HOLD)
    async with trial(tmp_path, lambda n: steps, timeouts={"idle": 0.3}) as (it, upstream):
        answer = await it.ask(wire.path, wire.request(), x_streamgauge_meta="off")
        row = await it.row(answer.id)
        assert upstream.heard[0].gone
    check_error_end(wire, answer, sent, "upstream_timeout")
    check_row(row, truth, status="upstream_timeout", delivered="part", disposition="cancelled")


@pytest.mark.fault("F27")
@pytest.mark.parametrize("end", [End.RESET, End.CLOSE, End.HALF], ids=lambda end: end.name)
@seeded_seldom
@pytest.mark.asyncio
async def test_a_stream_that_breaks_off_says_so(seed: int, end: End, tmp_path: Path) -> None:
    dice = dice_of(f"F27/{end.name}", seed)
    wire = wire_of(dice)
    sent = cut_of(dice, wire, finished=False)
    truth = read_wire(sent)
    # A reset overtakes what it finds unread: the silence lets the bytes arrive.
    steps = script_of(dice, sent, 0.1, end)
    async with trial(tmp_path, lambda n: steps) as (it, _):
        answer = await it.ask(wire.path, wire.request(), x_streamgauge_meta="off")
        row = await it.row(answer.id)
    if not truth.frames:
        code = "upstream_error" if end is End.RESET else "stream_incomplete"
        assert answer.status == 502
        check_error(wire, answer.json(), code)
        check_row(row, truth, status=code)
        return
    check_error_end(wire, answer, sent, "stream_incomplete")
    check_row(row, truth, status="stream_incomplete", delivered="part", frames_in=truth.frames)


@pytest.mark.fault("F28")
@seeded
@pytest.mark.asyncio
async def test_a_cut_behind_the_finish_ends_quietly(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F28", seed)
    wire = wire_of(dice)
    sent = cut_of(dice, wire, finished=True) if seed % 2 else b"".join(wire.data()[:-1])
    truth = read_wire(sent)
    steps = script_of(dice, sent, 0.1, dice.choice((End.CLOSE, End.RESET)))
    async with trial(tmp_path, lambda n: steps, odd=True) as (it, _):
        answer = await it.ask(wire.path, wire.request(), x_streamgauge_meta="off")
        row = await it.row(answer.id)
    check_quiet_end(answer, sent)
    check_row(row, truth, status="stream_incomplete", success=False)
    assert QUIET in row["anomalies"]
    if sent.endswith(b"\n\n") and seed % 2 == 0:
        assert row["usage_source"] == "provider"


@pytest.mark.fault("F29")
@seeded
@pytest.mark.asyncio
async def test_a_missing_last_chunk_behind_the_marker_is_only_noted(
    seed: int, tmp_path: Path
) -> None:
    dice = dice_of("F29", seed)
    wire = wire_of(dice)
    sent = b"".join(wire.data())
    torn = LAST_CHUNK[: dice.randrange(4)]
    raw = head() + in_chunks(sent) + torn
    steps = [*split(raw, lambda: dice.choice((200, 2000, 9000))), End.CLOSE]
    async with trial(tmp_path, lambda n: steps) as (it, _):
        answer = await it.ask(wire.path, wire.request(), x_streamgauge_meta="off")
        row = await it.row(answer.id)
    check_marker_end(wire, answer)
    assert answer.body == sent
    check_row(row, read_wire(sent), status="completed", delivered="all")
    assert row["anomalies"] == ["missing_last_chunk"]


@pytest.mark.fault("F30")
@seeded
@pytest.mark.asyncio
async def test_a_connection_held_open_behind_the_marker_ends_at_once(
    seed: int, tmp_path: Path
) -> None:
    dice = dice_of("F30", seed)
    wire = wire_of(dice)
    sent = b"".join(wire.data())
    steps = script_of(dice, sent, End.HOLD)
    async with trial(tmp_path, lambda n: steps) as (it, upstream):
        answer = await it.ask(wire.path, wire.request(), x_streamgauge_meta="off")
        row = await it.row(answer.id)
        await upstream.heard[0].gone.wait()
    check_marker_end(wire, answer)
    check_row(row, read_wire(sent), status="completed", delivered="all", anomalies=[])
    assert row["finished_at"] - row["started_at"] < 900_000, "it has not waited for late usage"


@pytest.mark.fault("F31")
@seeded
@pytest.mark.asyncio
async def test_an_error_as_the_first_frame_is_an_http_error(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F31", seed)
    wire = wire_of(dice)
    sent = b": hello\n\n" * dice.randint(0, 3) + wire.failure("Out of memory.")
    steps = script_of(dice, sent, LAST_CHUNK, dice.choice((End.KEEP, End.CLOSE)))
    async with trial(tmp_path, lambda n: steps) as (it, _):
        answer = await it.ask(wire.path, wire.request())
        row = await it.row(answer.id)
    assert answer.status == row["http_status"] >= 500
    check_error(wire, answer.json(), "upstream_error")
    assert "Out of memory." in answer.json()["error"]["message"]
    assert (row["status"], row["delivered"], row["usage_source"]) == (
        "upstream_error",
        "none",
        "none",
    )


@pytest.mark.fault("F32")
@seeded
@pytest.mark.asyncio
async def test_an_error_in_the_stream_is_its_end(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F32", seed)
    wire = wire_of(dice)
    stop = dice.choice(wire.contents) + 1
    sent = b"".join(wire.data()[:stop])
    late = b"".join(wire.data()[-1:]) if dice.random() < 0.5 else b""
    steps = script_of(dice, sent + wire.failure("Broke.") + late, LAST_CHUNK, End.CLOSE)
    async with trial(tmp_path, lambda n: steps) as (it, _):
        answer = await it.ask(wire.path, wire.request(), x_streamgauge_meta="off")
        row = await it.row(answer.id)
    assert (answer.status, answer.clean) == (200, True)
    assert answer.body.startswith(sent)
    (last,) = frames_of(answer.body[len(sent) :])
    assert b"Broke." in last
    truth = read_wire(sent)
    check_row(row, truth, status="upstream_error", delivered="part", success=False)
    assert ("partial_usage" in row["anomalies"]) is (truth.read is not None)


@pytest.mark.fault("F52")
@pytest.mark.parametrize("kind", ["twice before the marker", "text behind it", "two markers"])
@seeded_seldom
@pytest.mark.asyncio
async def test_what_is_sent_too_much_is_not_summed(seed: int, kind: str, tmp_path: Path) -> None:
    dice = dice_of(f"F52/{kind}", seed)
    wire, other = wire_of(dice, "openai"), wire_of(dice, "openai")
    once, again = b"".join(wire.data()), b"".join(other.data())
    marker = wire.data()[-1]
    sent = {
        "twice before the marker": b"".join(wire.data()[:-1]) + again,
        "text behind it": once + other.frames[other.contents[0]].data,
        "two markers": once + marker,
    }[kind]
    steps = script_of(dice, sent, LAST_CHUNK, End.CLOSE)
    if kind != "twice before the marker":
        # In one write, since a row is closed 10 ms behind the marker.
        steps = [head() + in_chunks(sent) + LAST_CHUNK, End.CLOSE]
    async with trial(tmp_path, lambda n: steps, odd=True) as (it, _):
        answer = await it.ask(wire.path, wire.request(), x_streamgauge_meta="off")
        row = await it.row(answer.id)
    whole = sent if kind == "twice before the marker" else once
    check_marker_end(wire, answer)
    assert answer.body == whole
    check_row(row, read_wire(whole), status="completed", success=True)
    noted = {"text behind it": "data_after_marker", "two markers": "second_marker"}
    if kind in noted:
        assert noted[kind] in row["anomalies"]
