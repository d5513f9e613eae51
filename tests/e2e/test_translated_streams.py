"""A translated stream as time goes by: no piece is held back, and every end is told as it was."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ..faults.upstream import End, Step, head, in_chunks
from ..grammar_check import OURS, legal
from ..timed import in_time
from .stand import Answer, stand, until
from .translated import (
    DONE,
    LAST,
    NAMED,
    PATHS,
    ROLE,
    UNMARKED,
    USAGE,
    arguments,
    asked,
    behind,
    chunk,
    payloads,
)

FULL = os.environ.get("STREAMGAUGE_FULL") == "1"
LONG = 200_000 if FULL else 10_000
PIECE_SECONDS = 0.005  # the figure for the first byte of an argument
MARKER_SECONDS = 2.0  # WIRE §5.1

pytestmark = [pytest.mark.asyncio]


def written(client: str, answer: Answer) -> str:
    """Return the argument text of an answer with one call."""
    got = ""
    for told in payloads(client, answer):
        match client:
            case "anthropic":
                got += told.get("delta", {}).get("partial_json", "")
            case "openai":
                for choice in told["choices"]:
                    for call in choice["delta"].get("tool_calls", ()):
                        got += call["function"].get("arguments", "")
            case "simple":
                got += told.get("arguments", "")
            case _:
                got += told.get("tool_call", {}).get("arguments", "")
    return got


# --- pieces --------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", ["anthropic", "simple", "frames"])
async def test_no_piece_of_an_argument_waits_for_the_next(tmp_path: Path, client: str) -> None:
    """The upstream says each piece only after the client has the one before."""
    pieces = ['{"', *(f"k{n:02}" for n in range(20)), '":1}']
    sent: list[float] = []
    heard = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not (await reader.readuntil(b"\r\n\r\n")).startswith(b"POST"):
            writer.close()
            return
        writer.write(head() + in_chunks(ROLE, NAMED))
        for piece in pieces:
            heard.clear()
            sent.append(time.monotonic())
            writer.write(in_chunks(arguments(piece)))
            await heard.wait()
        writer.write(in_chunks(chunk({}, "tool_calls"), USAGE, DONE) + LAST)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    up = {"name": "up", "kind": "openai", "base_url": f"http://127.0.0.1:{port}"}
    delays: list[float] = []
    async with stand(tmp_path, config={"upstreams": [up]}) as it, it.client() as reader:
        await reader.post(PATHS[client], asked(client))
        await reader.head()
        for piece in pieces:
            got = b""
            while json.dumps(piece)[1:-1].encode() not in got:
                got += await asyncio.wait_for(reader.chunk(), 5) or b""
            delays.append(time.monotonic() - sent[-1])
            heard.set()
    server.close()
    in_time(statistics.median(delays), 5 * PIECE_SECONDS)


@pytest.mark.parametrize("client", ["anthropic", "frames"])
async def test_long_arguments_in_single_characters_come_whole(tmp_path: Path, client: str) -> None:
    text = json.dumps({"text": "".join(chr(0x61 + n % 26) for n in range(LONG))})
    frames = b"".join(arguments(c) for c in text)
    step = 1 << 16
    pieces = [in_chunks(frames[at : at + step]) for at in range(0, len(frames), step)]
    end = in_chunks(chunk({}, "tool_calls"), USAGE, DONE) + LAST
    script: list[Step] = [head(), in_chunks(ROLE, NAMED), *pieces, end, End.KEEP]
    async with behind(tmp_path, "openai", script) as it:
        answer = await it.ask(PATHS[client], asked(client))
        row = await it.row(answer.id)
    assert written(client, answer) == text
    assert (row["status"], row["input_tokens"], row["output_tokens"]) == ("completed", 7, 3)
    assert row["frames_in"] == len(text) + 5


# --- ends ----------------------------------------------------------------------------------------


def pairs() -> list[tuple[str, str]]:
    """Return upstream and client of the pairs that are translated, and whose finish comes alone."""
    return [(kind, client) for kind in UNMARKED for client in PATHS if client != kind]


def check_closed(client: str, answer: Answer, row: dict[str, Any]) -> None:
    """Check an answer that we closed: whole and legal, and only the row knows."""
    assert answer.status == 200
    legal(client, answer.body, OURS)
    assert b"error" not in answer.body.lower()
    assert row["status"] == "stream_incomplete"
    assert row["success"] is False
    assert "finished_without_marker" in row["anomalies"]
    assert (row["input_tokens"], row["output_tokens"]) == (7, 3)
    assert row["frames_out"] == len(payloads(client, answer)) + (client == "openai")


@pytest.mark.parametrize(("kind", "client"), pairs())
@pytest.mark.parametrize("end", [End.CLOSE, End.RESET, End.KEEP])
async def test_a_cut_behind_the_finish_leaves_a_closed_answer(
    tmp_path: Path, kind: str, client: str, end: End
) -> None:
    last = (LAST,) if end is End.KEEP else (0.05,)
    script = (head(), in_chunks(*UNMARKED[kind]), *last, end)
    async with behind(tmp_path, kind, script) as it:
        answer = await it.ask(PATHS[client], asked(client))
        row = await it.row(answer.id)
    check_closed(client, answer, row)


@pytest.mark.parametrize(("kind", "client"), pairs())
async def test_a_cut_before_the_finish_ends_with_an_error_and_no_marker(
    tmp_path: Path, kind: str, client: str
) -> None:
    said = UNMARKED[kind][: 2 if kind == "openai" else 3]
    async with behind(tmp_path, kind, (head(), in_chunks(*said), LAST, End.KEEP)) as it:
        answer = await it.ask(PATHS[client], asked(client))
        row = await it.row(answer.id)
    legal(client, answer.body, OURS)
    assert "Hallo." in answer.body.decode()
    assert b"[DONE]" not in answer.body
    assert b"message_stop" not in answer.body
    assert payloads(client, answer)[-1]["error"]["message"]
    assert (row["status"], row["delivered"]) == ("stream_incomplete", "part")
    assert row["error_code"] == "stream_incomplete"


async def test_a_missing_marker_is_waited_for_two_seconds_and_no_longer(tmp_path: Path) -> None:
    """Every pair at once: what they wait for is the same clock."""

    async def wait(kind: str, client: str) -> None:
        folder = tmp_path / f"{kind}-{client}"
        folder.mkdir()
        script = (head(), in_chunks(*UNMARKED[kind]), End.HOLD)
        async with behind(folder, kind, script) as it:
            answer = await it.ask(PATHS[client], asked(client))
            row = await it.row(answer.id)
        check_closed(client, answer, row)
        waited = (row["finished_at"] - row["started_at"]) / 1e6
        assert waited >= MARKER_SECONDS
        in_time(waited, 5 * MARKER_SECONDS)

    await asyncio.gather(*(wait(kind, client) for kind, client in pairs()))


async def test_usage_that_comes_late_is_told_and_booked(tmp_path: Path) -> None:
    script = (head(), in_chunks(*UNMARKED["openai"][:3]), 0.3, in_chunks(USAGE, DONE) + LAST)
    async with behind(tmp_path, "openai", (*script, End.KEEP)) as it:
        answer = await it.ask(PATHS["anthropic"], asked("anthropic"))
        row = await it.row(answer.id)
    [delta] = [p for p in payloads("anthropic", answer) if p["type"] == "message_delta"]
    assert (delta["usage"]["input_tokens"], delta["usage"]["output_tokens"]) == (7, 3)
    assert (row["status"], row["input_tokens"], row["output_tokens"]) == ("completed", 7, 3)


async def test_what_nobody_knows_breaks_no_client(tmp_path: Path) -> None:
    odd: Sequence[bytes] = (
        b'event: surprise\ndata: {"what":1}\n\n',
        chunk({"hologram": [1], "content": "Hal"}, surprise={"a": None}),
        b'data: {"object":"weather.report","sun":true}\n\n',
        b'data: {"id":"c","choices":[]}\n\n',
        chunk({"content": "lo"}),
        b'data: {"choices":[{"index":-1,"delta":{"content":"."}}]}\n\n',
        b'data: {"choices":[{"index":-1,"delta":{"content":"."},"logprobs":1}]}\n\n',
        chunk({}, "the_moon_rose"),
    )
    script = (head(), in_chunks(ROLE, *odd, USAGE, DONE) + LAST, End.KEEP)
    async with behind(tmp_path, "openai", script) as it:
        for client in ("anthropic", "simple", "frames"):
            answer = await it.ask(PATHS[client], asked(client))
            row = await it.row(answer.id)
            legal(client, answer.body, OURS)
            assert row["status"] == "completed"
            assert (row["finish_reason"], row["finish_normal"]) == ("the_moon_rose", "other")
            said = [
                p.get("content") or p.get("delta", {}).get("text") for p in payloads(client, answer)
            ]
            assert [text for text in said if text] == ["Hal", "lo", ".", "."]


# --- leaving -------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", ["anthropic", "simple", "frames"])
@pytest.mark.parametrize("kind", ["openai", "llamacpp", "ollama"])
@pytest.mark.parametrize("how", ["cancel", "drain"])
async def test_a_client_that_leaves_amid_a_translation_has_its_right_row(
    tmp_path: Path, client: str, kind: str, how: str
) -> None:
    sim = {"tokens": 40, "gap_ms": 5} if how == "drain" else {"tokens": 5000, "gap_ms": 5}
    turn = {"role": "user", "content": f"hi\nsim: {json.dumps(sim)}"}
    body = asked(client) | {"messages": [turn], "max_tokens": 9000}
    async with stand(tmp_path, flavour=kind, kind=kind, on_disconnect=how) as it:
        async with it.client() as reader:
            await reader.post(PATHS[client], body)
            await reader.head()
            got = b""
            while b"w1" not in got:
                got += await reader.chunk() or b""
        entry = await asyncio.wait_for(it.simulator.until_ended(1), 10)
        await until(lambda: len(it.notes.records) == 1)
        row = await it.row(next(iter(it.notes.records)))
    assert row["status"] == "client_disconnected"
    assert row["delivered"] == "part"
    if how == "drain":
        assert (row["disposition"], row["success"]) == ("drained", True)
        assert entry.ending == "complete"
        assert row["usage_source"] == "provider"
        assert (row["input_tokens"], row["output_tokens"]) == (entry.prompt_tokens, 40)
    else:
        assert (row["disposition"], row["success"]) == ("cancelled", False)
        assert entry.ending == "client_closed"
        assert 2 <= row["output_tokens"] <= entry.completion_tokens
