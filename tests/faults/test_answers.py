"""Answers that are not what was asked for, or too much of it: F33–F37 and F40, each with many seeds."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from ..e2e.process import GatewayProcess, closed_rows, serving
from .oracle import Truth, check_row, read_wire
from .trial import FULL, check_error, check_marker_end, dice_of, seeded, seeded_seldom, trial
from .upstream import End, Script, head, in_chunks, scripted, split
from .wires import Wire, wire_of

LAST_CHUNK = b"0\r\n\r\n"
MOST_GROWN_MIB = 16
WAITS = ("0", "1", "59.5", "60", "61", "86400", "99999999999999", "-5", "nan", "inf", "soon", "")


def plain(status: str, body: bytes, kind: str = "application/json", **fields: str) -> Script:
    """Return an answer with a length."""
    length = {"content_length": str(len(body)), "content_type": kind}
    return [head(status, **length, **fields) + body, End.CLOSE]


@pytest.mark.fault("F33")
@seeded
@pytest.mark.asyncio
async def test_an_absurd_wait_is_capped(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F33", seed)
    wire = wire_of(dice)
    wait = WAITS[seed % len(WAITS)]
    body = json.dumps({"error": {"message": "slow down", "type": "rate_limit_error"}}).encode()
    steps = plain("429 Too Many Requests", body, retry_after=wait)
    async with trial(tmp_path, lambda n: steps) as (it, _):
        answer = await it.ask(wire.path, wire.request(stream=dice.random() < 0.5))
        row = await it.row(answer.id)
    told = answer.headers.get("retry-after")
    assert told is None or 0 <= int(told) <= 60
    assert (told is None) is (wait in ("-5", "nan", "soon", ""))
    assert (answer.status, row["http_status"], row["status"]) == (429, 429, "upstream_error")
    assert "slow down" in answer.json()["error"]["message"]
    check_error(wire, answer.json(), "upstream_error")


ODD: dict[str, Script] = {
    "HTML": plain("200 OK", b"<html>Sign in</html>", "text/html; charset=utf-8"),
    "HTML error page": plain("503 Service Unavailable", b"<html>Down</html>", "text/html"),
    "204": [b"HTTP/1.1 204 No Content\r\n\r\n", End.KEEP],
    "101": [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", End.HOLD],
    "no HTTP": [b"SSH-2.0-OpenSSH_9.6\r\n\r\n", End.CLOSE],
    "an image": plain("200 OK", b"\x89PNG\r\n", "image/png"),
}


@pytest.mark.fault("F34")
@pytest.mark.parametrize("kind", ODD)
@seeded_seldom
@pytest.mark.asyncio
async def test_what_is_no_answer_is_a_502(seed: int, kind: str, tmp_path: Path) -> None:
    dice = dice_of(f"F34/{kind}", seed)
    wire = wire_of(dice)
    first = ODD[kind][0]
    assert isinstance(first, bytes)
    steps = [*split(first, lambda: dice.choice((4, 30, 500))), *ODD[kind][1:]]
    async with trial(tmp_path, lambda n: steps) as (it, _):
        answer = await it.ask(wire.path, wire.request(stream=dice.random() < 0.5))
        row = await it.row(answer.id)
    code = "upstream_error" if kind == "HTML error page" else "upstream_protocol_error"
    assert answer.status in (502, 503)
    check_error(wire, answer.json(), code)
    assert (row["status"], row["delivered"], row["success"]) == (code, "none", False)
    assert not any(word in answer.body for word in (b"Sign in", b"Down", b"PNG", b"SSH"))


@pytest.mark.fault("F34")
@seeded
@pytest.mark.asyncio
async def test_json_for_a_stream_becomes_the_stream(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F34/json", seed)
    wire = wire_of(dice)
    raw = b"".join(part for part in plain("200 OK", wire.whole) if isinstance(part, bytes))
    steps = [*split(raw, lambda: dice.choice((10, 200, 4000))), End.CLOSE]
    async with trial(tmp_path, lambda n: steps) as (it, _):
        answer = await it.ask(wire.path, wire.request(), x_streamgauge_meta="off")
        row = await it.row(answer.id)
    assert answer.headers["content-type"].startswith("text/event-stream")
    check_marker_end(wire, answer)
    assert (row["status"], row["delivered"], row["usage_source"]) == (
        "completed",
        "all",
        "provider",
    )
    assert (row["input_tokens"], row["output_tokens"]) == (wire.prompt, wire.tokens)


@pytest.mark.fault("F35")
@seeded
@pytest.mark.asyncio
async def test_a_redirect_is_not_followed(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F35", seed)
    wire = wire_of(dice)
    async with scripted(lambda n: [head(), End.CLOSE]) as canary:
        status = dice.choice(("301 Moved", "302 Found", "303 See", "307 Temporary", "308 Moved"))
        steps = plain(status, b"", location=f"{canary.url}/v1/chat/completions")
        async with trial(tmp_path, lambda n: steps) as (it, _):
            answer = await it.ask(wire.path, wire.request(stream=dice.random() < 0.5))
            row = await it.row(answer.id)
        assert canary.connections == 0
    assert (answer.status, row["status"]) == (502, "upstream_error")
    check_error(wire, answer.json(), "upstream_error")
    assert canary.url not in answer.body.decode()


async def _grown(gateway: GatewayProcess, wire: Wire) -> tuple[bytes, dict[str, str], float]:
    """Ask and throw away what comes; return the tail, the head's fields and the growth in MiB."""
    before, most, tail = gateway.resident_mib(), 0.0, b""
    async with gateway.client() as client:
        await client.post(wire.path, wire.request(), x_streamgauge_meta="off")
        _, fields = await client.head()
        if "content-length" in fields:
            tail = await client.reader.readexactly(int(fields["content-length"]))
            return tail, fields, gateway.resident_mib() - before
        while piece := await client.chunk():
            most = max(most, gateway.resident_mib() - before)
            tail = (tail + piece)[-4000:]
    return tail, fields, most


def _bomb(dice: Any, wire: Wire) -> Script:
    """Return 50 MB of blanks in a line, or the same as a small gzip body."""
    line = b": " + b" " * 1_000_000
    packed = dice.random() < 0.5
    if packed:
        deflater = zlib.compressobj(wbits=31)
        body = deflater.compress(b"data: ") + b"".join(deflater.compress(line) for _ in range(50))
        body += deflater.flush()
        return [head(content_encoding="gzip") + in_chunks(body) + LAST_CHUNK, End.CLOSE]
    return [head() + in_chunks(b"data: "), *[in_chunks(line)] * 50, LAST_CHUNK, End.CLOSE]


@pytest.mark.fault("F36")
@seeded_seldom
@pytest.mark.asyncio
async def test_a_line_of_50_mb_ends_in_an_error_and_memory_stays_flat(
    seed: int, tmp_path: Path
) -> None:
    dice = dice_of("F36", seed)
    wire = wire_of(dice)
    steps = _bomb(dice, wire)
    small = [head() + in_chunks(*wire.data()) + LAST_CHUNK, End.CLOSE]
    async with (
        scripted(lambda n: steps if n else small) as upstream,
        serving(tmp_path, upstream) as gateway,
    ):
        await _grown(gateway, wire)
        tail, _, grown = await _grown(gateway, wire)
        rows = [row for row in await closed_rows(tmp_path, 2) if row["status"] != "completed"]
    assert grown < MOST_GROWN_MIB
    assert [row["status"] for row in rows] == ["upstream_protocol_error"]
    assert b"upstream_protocol_error" in tail


@pytest.mark.fault("F37")
@seeded
@pytest.mark.asyncio
async def test_a_legal_frame_of_2_mb_passes_whole_and_is_metered(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F37/large", seed)
    wire = wire_of(dice, plain=True)
    at = wire.contents[0]
    frames = wire.data()
    long = dice.randint(2_000_000, 2_500_000)
    frames[at] = frames[at].replace(b"w0", b"w" * long)
    sent = b"".join(frames)
    steps = [head() + in_chunks(sent) + LAST_CHUNK, End.CLOSE]
    async with trial(tmp_path, lambda n: steps) as (it, _):
        answer = await it.ask(wire.path, wire.request(), x_streamgauge_meta="off")
        row = await it.row(answer.id)
    assert answer.body == sent
    check_row(row, read_wire(sent), status="completed", bytes_out=len(sent), anomalies=[])


@pytest.mark.fault("F37")
@seeded
@pytest.mark.asyncio
async def test_as_many_frames_as_come_are_relayed_and_counted(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F37/many", seed)
    wire = wire_of(dice, plain=True)
    many = 100_000 if FULL and seed < 2 else dice.randint(2_000, 5_000)
    frames = wire.data()
    at = wire.contents[0]
    sent = b"".join([*frames[:at], frames[at] * many, *frames[at + 1 :]])
    steps = [head(), *(in_chunks(piece) for piece in split(sent, lambda: 60_000)), LAST_CHUNK]
    async with trial(tmp_path, lambda n: [*steps, End.CLOSE]) as (it, _):
        answer = await it.ask(wire.path, wire.request(), x_streamgauge_meta="off")
        row = await it.row(answer.id)
    assert answer.body == sent
    truth = Truth(frames=many - 1 + read_wire(b"".join(frames)).frames)
    assert (row["status"], row["frames_in"], row["frames_out"]) == (
        "completed",
        truth.frames,
        truth.frames,
    )


IMPOSSIBLE = ("-1", "1e999", "NaN", '"12"', "9223372036854775808", "true", "12.5", "[3]", "{}")


@pytest.mark.fault("F40")
@seeded
@pytest.mark.asyncio
async def test_impossible_usage_is_passed_on_and_not_believed(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F40", seed)
    wire = wire_of(dice, plain=True)
    bad = IMPOSSIBLE[seed % len(IMPOSSIBLE)]
    name = b'"output_tokens":' if wire.anthropic else b'"completion_tokens":'
    frames = wire.data()
    for at, frame in enumerate(frames):
        told = b"message_delta" in frame if wire.anthropic else b'"completion_tokens"' in frame
        if told:
            front, _, rest = frame.partition(name)
            digits = len(rest) - len(rest.lstrip(b"0123456789"))
            doubled = b"0," + name if seed % 7 == 6 else b""
            frames[at] = front + name + doubled + bad.encode() + rest[digits:]
    sent = b"".join(frames)
    steps = [head() + in_chunks(sent) + LAST_CHUNK, End.CLOSE]
    async with trial(tmp_path, lambda n: steps, odd=True) as (it, _):
        answer = await it.ask(wire.path, wire.request(), x_streamgauge_meta="off")
        row = await it.row(answer.id)
    assert answer.body == sent, "the bytes are unchanged"
    check_marker_end(wire, answer)
    counted = len(wire.contents)
    assert row["status"] == "completed"
    assert row["anomalies"], "it is noted"
    assert row["usage_source"] in ("counted", "timings")
    assert row["output_tokens"] in (counted, wire.tokens)
