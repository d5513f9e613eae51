"""A capture, served again as an upstream: the same row, the same stream; faster, or with a fault."""

from __future__ import annotations

import asyncio
import os
import sys
from codecs import BOM_UTF8
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from streamgauge.tools.capture.reading import CaptureError
from streamgauge.tools.replay import FAULTS, Recorded, Replay, recorded_of, steps_of
from streamgauge.tools.simulator.script import Write

from ..timed import in_time
from .captured import CHAT, WAYS, asking, capturing, file_of
from .process import SOURCES
from .stand import Answer, frames_of, stand, until

EQUAL = (
    "input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens", "usage_source",
    "input_source", "frames_in", "frames_out", "bytes_in", "finish_reason", "finish_normal", "status",
    "success", "error_code", "delivered", "response_model", "anomalies", "prompt_tps",
)  # fmt: skip
MESSAGES = "/v1/messages"
ENDS = [None, "cut", "no_done", "error_mid", "gzip", "no_last_chunk"]
if os.environ.get("STREAMGAUGE_FULL") == "1":
    ENDS += ["reset", "no_finish", "double_done", "usage_none", "split_bytes", "http_500", "html"]


async def replayed(
    folder: Path, recorded: Recorded, path: str = CHAT, stream: bool = True, kind: str = "sim"
) -> tuple[Answer, dict[str, Any]]:
    """Send the same request to a gateway in front of a replay; return its answer and its row."""
    folder.mkdir()
    async with Replay(recorded) as upstream:
        there = [{"name": "sim", "kind": kind, "base_url": upstream.url}]
        async with stand(folder, config={"upstreams": there}, odd=True) as it:
            answer = await it.ask(path, asking(stream))
            return answer, await it.row(answer.id)


@pytest.mark.parametrize("fault", ENDS)
@pytest.mark.asyncio
async def test_a_replayed_capture_gives_an_equal_row_and_an_equal_stream_hash(
    fault: str | None, tmp_path: Path
) -> None:
    for n, (path, stream) in enumerate(((CHAT, True), (MESSAGES, True), (CHAT, False))):
        folder = tmp_path / str(n)
        async with capturing(folder, odd=True) as it:
            first = await it.ask(path, asking(stream, tokens=20, fault=fault))
            before = await it.row(first.id)
            file = await file_of(it, first.id)
        again, after = await replayed(folder / "again", recorded_of(file), path, stream)
        assert {name: before[name] for name in EQUAL} == {name: after[name] for name in EQUAL}
        assert first.status == again.status
        if b"request_id" not in b"".join(frames_of(first.body)):  # ours, in Anthropic's errors
            assert before["stream_sha1"] == after["stream_sha1"]
            assert frames_of(first.body) == frames_of(again.body)
        assert (before["stream_sha1"] is not None) is (stream and first.status == 200)


@pytest.mark.parametrize("protocol", ["anthropic", "frames", "simple"])
@pytest.mark.asyncio
async def test_a_translated_stream_is_equal_too(protocol: str, tmp_path: Path) -> None:
    async with capturing(tmp_path / "first", kind="llamacpp") as it:
        first = await it.ask(WAYS[protocol], asking())
        before = await it.row(first.id)
        file = await file_of(it, first.id)
    again, after = await replayed(
        tmp_path / "again", recorded_of(file), WAYS[protocol], kind="llamacpp"
    )
    assert {name: before[name] for name in EQUAL} == {name: after[name] for name in EQUAL}
    if protocol != "simple":  # whose last line holds the row, times and all
        own = [first.id.encode(), again.id.encode()]  # a message's id is the exchange's own
        told = [frame.replace(own[0], b"ID") for frame in frames_of(first.body)]
        assert told == [frame.replace(own[1], b"ID") for frame in frames_of(again.body)]


async def gap(recorded: Recorded, **more: Any) -> float:
    """Return the seconds from the first to the last frame of a replay."""
    async with Replay(recorded, **more) as upstream:
        host, _, port = upstream.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
        )
        await reader.readuntil(b"data: ")
        loop = asyncio.get_running_loop()
        began = loop.time()
        await reader.readuntil(b"[DONE]")
        writer.close()
        return loop.time() - began


@pytest.mark.asyncio
async def test_it_keeps_its_pace_or_is_as_much_faster_as_wanted(tmp_path: Path) -> None:
    async with capturing(tmp_path) as it:
        answer = await it.ask(CHAT, asking(tokens=21, gap_ms=20))
        recorded = recorded_of(await file_of(it, answer.id))
    paced = await gap(recorded)
    assert paced > 0.3
    in_time(paced, 0.4 * 5)
    in_time(await gap(recorded, speed=100), 0.2)
    assert await gap(recorded, speed=0.5) > 0.6


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.asyncio
async def test_every_fault_can_be_planted_in_what_was_captured(fault: str, tmp_path: Path) -> None:
    async with capturing(tmp_path) as it:
        first = await it.ask(CHAT, asking(tokens=20))
        recorded = recorded_of(await file_of(it, first.id))
    folder = tmp_path / "again"
    folder.mkdir()
    async with Replay(recorded, fault=fault, after=4) as upstream:
        there = {"name": "sim", "kind": "sim", "base_url": upstream.url}
        there["timeouts"] = {"first_token": 0.3, "idle": 0.3}
        async with stand(folder, config={"upstreams": [there]}, odd=True) as it:
            answer = await it.ask(CHAT, asking())
            row = await it.row(answer.id)
    sent, got = frames_of(first.body), frames_of(answer.body)
    match fault:
        case "cut" | "reset":
            assert (row["status"], got[:4], len(got)) == ("stream_incomplete", sent[:4], 5)
        case "stall":
            assert (row["status"], got[:4], len(got)) == ("upstream_timeout", sent[:4], 5)
        case "first_token_stall":
            assert (row["status"], row["delivered"]) == ("upstream_timeout", "none")
        case "duplicate":
            assert (row["status"], got) == ("completed", [*sent[:5], *sent[4:]])
        case "garbage":
            assert (row["status"], got[:4], got[5:]) == ("completed", sent[:4], sent[4:])
            assert "bad_json" in row["anomalies"]
        case _:
            assert (row["status"], got) == ("completed", sent)


@pytest.mark.asyncio
async def test_what_we_closed_ourselves_goes_on_in_silence(tmp_path: Path) -> None:
    async with capturing(tmp_path / "first") as it:
        async with it.client() as client:
            await client.post(CHAT, asking(tokens=400, gap_ms=5))
            _, headers = await client.head()
            await client.chunk()
        recorded = recorded_of(await file_of(it, headers["x-request-id"]))
    assert not recorded.whole
    async with Replay(recorded) as upstream:
        there = {"name": "sim", "kind": "sim", "base_url": upstream.url, "timeouts": {"idle": 0.3}}
        (tmp_path / "again").mkdir()
        async with stand(tmp_path / "again", config={"upstreams": [there]}) as it:
            row = await it.row((await it.ask(CHAT, asking())).id)
    assert row["status"] == "upstream_timeout"


async def through(folder: Path, upstream: Replay, stream: bool = True) -> tuple[Answer, Any]:
    """Ask a gateway in front of a replay; return its answer and its row."""
    folder.mkdir()
    there = {"name": "sim", "kind": "sim", "base_url": upstream.url}
    there["timeouts"] = {"first_token": 0.3, "idle": 0.3}
    async with stand(folder, config={"upstreams": [there]}, odd=True) as it:
        answer = await it.ask(CHAT, asking(stream))
        return answer, await it.row(answer.id)


@pytest.mark.parametrize("fault", ["duplicate", "garbage", "double_done"])
@pytest.mark.parametrize(
    ("captured", "status"),
    [("cut", "stream_incomplete"), ("reset", "stream_incomplete"), ("stall", "upstream_timeout")],
)
@pytest.mark.asyncio
async def test_a_fault_that_ends_nothing_leaves_the_end_that_was_captured(
    captured: str, status: str, fault: str, tmp_path: Path
) -> None:
    async with capturing(tmp_path / "first", odd=True, timeouts={"idle": 0.3}) as it:
        first = await it.ask(CHAT, asking(tokens=20, fault=captured, after=6))
        recorded = recorded_of(await file_of(it, first.id))
    async with Replay(recorded, fault=fault) as upstream:
        answer, row = await through(tmp_path / "again", upstream)
    more = len(frames_of(answer.body)) - len(frames_of(first.body))
    assert (row["status"], more) == (status, int(fault != "double_done"))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.asyncio
async def test_an_answer_that_is_no_stream_ends_in_its_middle_or_as_it_did(
    fault: str, tmp_path: Path
) -> None:
    async with capturing(tmp_path / "first") as it:
        first = await it.ask(CHAT, asking(stream=False, tokens=20))
        recorded = recorded_of(await file_of(it, first.id))
    async with Replay(recorded, fault=fault) as upstream:
        answer, row = await through(tmp_path / "again", upstream, stream=False)
    expected = {"cut": "stream_incomplete", "reset": "stream_incomplete"}
    expected |= {"stall": "upstream_timeout", "first_token_stall": "upstream_timeout"}
    assert row["status"] == expected.get(fault, "completed")
    if fault not in expected:
        assert answer.body == first.body
    elif fault != "first_token_stall":
        assert row["bytes_in"] == len(recorded.body) // 2


@pytest.mark.asyncio
async def test_what_was_cut_within_a_frame_is_sent_behind_a_fault_too(tmp_path: Path) -> None:
    async with capturing(tmp_path) as it:
        first = await it.ask(CHAT, asking(tokens=4))
        recorded = recorded_of(await file_of(it, first.id))
    pieces = [data for _, data in recorded.pieces]
    cut = replace(recorded, pieces=((0.0, BOM_UTF8), (0.0, b"".join(pieces)[:-7])), whole=False)
    sent = b""
    for step in steps_of(cut, 1.0, "double_done"):
        sent += step.data if isinstance(step, Write) else b""
    assert b": [DON" not in sent
    assert sent.endswith(b"\r\ndata: [\r\n")


@pytest.mark.asyncio
async def test_without_an_answer_there_is_nothing_to_replay(tmp_path: Path) -> None:
    async with capturing(tmp_path, base_url="http://127.0.0.1:1") as it:
        answer = await it.ask(CHAT, asking())
        file = await file_of(it, answer.id)
    with pytest.raises(CaptureError, match="no upstream answered"):
        recorded_of(file)
    with pytest.raises(CaptureError, match="no upstream answered in attempt 7"):
        recorded_of(file, 7)


@pytest.mark.asyncio
async def test_the_verb_serves_it_and_its_list_of_models(tmp_path: Path) -> None:
    async with capturing(tmp_path) as it:
        first = await it.ask(CHAT, asking(tokens=3))
        file = await file_of(it, first.id)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streamgauge", "replay", "--port", "0", "--speed", "10", str(file)),
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(SOURCES)},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        url = line.decode().strip().removeprefix("ready replay=")
        (tmp_path / "again").mkdir()
        there = [{"name": "sim", "kind": "sim", "base_url": url}]
        async with stand(tmp_path / "again", config={"upstreams": there}) as it:
            await until(lambda: it.gateway.upstreams["sim"].usable)
            models = (await it.get("/v1/models")).json()
            answer = await it.ask(CHAT, asking())
    finally:
        process.terminate()
        assert await process.wait() == 0
    assert [model["id"] for model in models["data"]] == ["sim"]
    assert frames_of(answer.body) == frames_of(first.body)
