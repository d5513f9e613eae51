"""The simulator on real sockets: journal, pacing, faults, recordings, and clients that hang up."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import time
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import pytest_asyncio
import uvloop

from streamgauge.tools.simulator import FAULTS, Ending, Flavour, Simulator

from .raw_client import DEADLINE, HELLO, Client, Reply, eventually_ended, fetch, unframed

DATA = Path(__file__).parents[1] / "data"
CHAT = "/v1/chat/completions"


@pytest_asyncio.fixture
async def simulator() -> AsyncIterator[Simulator]:
    simulator = Simulator()
    corpus = DATA / "corpus" / "responses.json.gz"
    await simulator.start(captures=DATA / "captures", cases=corpus)
    async with simulator:
        yield simulator


@pytest.mark.asyncio
async def test_the_journal_holds_the_numbers_that_were_sent(simulator: Simulator) -> None:
    asked = {"tokens": 5, "call_id": "c-1"}
    usage = {"include_usage": True}
    _, body, whole = await fetch(simulator, CHAT, asked, stream_options=usage)
    entry = simulator.journal[0]
    assert whole
    assert (entry.call_id, entry.path, entry.model) == ("c-1", CHAT, "m")
    assert b'"completion_tokens":5,"prompt_tokens":2' in body
    assert (entry.prompt_tokens, entry.completion_tokens) == (2, 5)
    assert (entry.frames, entry.bytes) == (body.count(b"data: "), len(body))
    assert entry.ending is Ending.COMPLETE
    assert entry.usage_sent


@pytest.mark.asyncio
async def test_the_journal_file_and_page_have_one_line_a_call(tmp_path: Path) -> None:
    simulator = Simulator()
    await simulator.start(journal=tmp_path / "journal.jsonl", flavour="anthropic")
    async with simulator:
        for number in range(3):
            await fetch(simulator, "/v1/messages", {}, stream=False, user=f"u{number}")
        client = await Client.ask(simulator, "/v1/messages", {"fault": "stall"})
        await client.until(b"w2")
        lines = (tmp_path / "journal.jsonl").read_bytes().splitlines()
        page = await asyncio.to_thread(get, f"{simulator.url}/sim/journal")
        begun = await asyncio.to_thread(get, f"{simulator.url}/sim/calls")
        client.leave()
        await eventually_ended(simulator, 4)
    assert page.splitlines() == lines
    assert [json.loads(line)["call_id"] for line in lines] == ["u0", "u1", "u2"]
    assert [json.loads(line)["ending"] for line in begun.splitlines()] == [*["complete"] * 3, None]


def get(url: str) -> bytes:
    with urlopen(url, timeout=DEADLINE) as response:
        data: bytes = response.read()
        return data


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.asyncio
async def test_a_leaving_client_is_noticed_while_the_simulator_is_silent(
    simulator: Simulator, reset: bool
) -> None:
    client = await Client.ask(simulator, CHAT, {"tokens": 50, "gap_ms": 60_000})
    await client.until(b"w0")
    left = time.time()
    client.leave(reset=reset)
    entry = await eventually_ended(simulator)
    assert entry.ending is Ending.CLIENT_CLOSED
    assert entry.completion_tokens == 1
    assert entry.closed_at is not None
    assert left - 0.01 <= entry.closed_at <= left + 1
    assert entry.close_seen_ms is not None
    assert 0 <= entry.close_seen_ms < 5000


@pytest.mark.asyncio
async def test_tokens_stuck_behind_a_reader_that_reads_nothing_are_not_booked(
    simulator: Simulator,
) -> None:
    client = await Client.ask(simulator, CHAT, {"text": "x" * 9_000_000 + " y"})
    await client.until(b'"role"')
    client.leave(reset=True)
    entry = await eventually_ended(simulator)
    assert (entry.ending, entry.completion_tokens) == (Ending.CLIENT_CLOSED, 0)


@pytest.mark.asyncio
async def test_a_large_write_is_flushed_whole_and_closed_once(simulator: Simulator) -> None:
    troubles: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, trouble: troubles.append(trouble))
    text = "x" * 9_000_000
    _, body, whole = await fetch(simulator, CHAT, {"text": text}, stream=False)
    await asyncio.sleep(0)
    assert whole
    assert text.encode() in body
    assert simulator.journal[0].ending is Ending.COMPLETE
    assert troubles == []


@pytest.mark.asyncio
async def test_the_schedule_is_kept_to_the_last_token(simulator: Simulator) -> None:
    asked = {"tokens": 11, "head_ms": 50, "role_ms": 60, "first_ms": 300, "gap_ms": 20}
    client = await Client.ask(simulator, CHAT, asked)
    began = time.monotonic()
    seen: dict[bytes, float] = {}
    for mark in (b"\r\n\r\n", b'"role"', b'"w0"', b'" w10"', b"[DONE]"):
        await client.until(mark)
        seen[mark] = time.monotonic() - began
    due = {b"\r\n\r\n": 0.05, b'"role"': 0.06, b'"w0"': 0.3, b'" w10"': 0.5, b"[DONE]": 0.5}
    for mark, at in due.items():
        assert at - 0.005 <= seen[mark] <= at + 0.25, mark
    client.leave()


@pytest.mark.asyncio
async def test_llamacpp_closes_after_a_stream_and_keeps_a_plain_answer_open(
    simulator: Simulator,
) -> None:
    client = await Client.ask(simulator, CHAT, {})
    head, body, whole = await client.rest()
    assert b"Keep-Alive: timeout=5" in head
    assert b"Connection: close" not in head
    assert whole
    assert body.endswith(b"data: [DONE]\n\n")
    client = await Client.ask(simulator, CHAT, {}, stream=False)
    await client.until(b'"predicted_per_second"')
    client.send(CHAT, {"messages": HELLO, "stream": False})
    await client.until(b'"predicted_per_second"')
    client.leave()
    assert len(simulator.requests) == 3


ENDINGS = {
    "cut": (Ending.CUT, False),
    "cut_before_done": (Ending.CUT, False),
    "no_done": (Ending.CUT, True),
    "error_mid": (Ending.CUT, True),
    "error_first": (Ending.CUT, True),
    "no_finish": (Ending.COMPLETE, True),
    "duplicate": (Ending.COMPLETE, True),
    "garbage": (Ending.COMPLETE, True),
    "double_done": (Ending.COMPLETE, True),
    "usage_none": (Ending.COMPLETE, True),
    "no_last_chunk": (Ending.COMPLETE, False),
    "split_bytes": (Ending.COMPLETE, True),
}


@pytest.mark.parametrize("path", [CHAT, "/v1/messages"])
@pytest.mark.parametrize("fault", ENDINGS)
@pytest.mark.asyncio
async def test_a_fault_is_on_the_wire_and_in_the_journal(
    simulator: Simulator, fault: str, path: str
) -> None:
    usage = {"include_usage": True}
    _, body, whole = await fetch(
        simulator, f"/fault/{fault}{path}", {"after": 2, "tokens": 6}, stream_options=usage
    )
    entry = simulator.journal[0]
    assert (entry.ending, whole) == ENDINGS[fault]
    assert entry.fault == fault
    mark = b"[DONE]" if path == CHAT else b"event: message_stop"
    assert body.count(mark) == 2 if fault == "double_done" else body.count(mark) <= 1
    assert (mark in body) == (entry.ending is Ending.COMPLETE)
    texts = re.findall(rb'"(?:content|text)":" ?w(\d)"', body)
    repeated = [b"2"] if fault == "duplicate" else []
    assert len(texts) - len(repeated) == entry.completion_tokens
    assert entry.completion_tokens == {"cut": 2, "error_mid": 2, "error_first": 0}.get(fault, 6)


@pytest.mark.asyncio
@pytest.mark.parametrize("flavour", list(Flavour))
async def test_every_flavour_fails_on_each_of_its_routes(flavour: Flavour) -> None:
    simulator = Simulator()
    await simulator.start(flavour=flavour)
    native = ["/api/chat"] if flavour is Flavour.OLLAMA else []
    async with simulator:
        for path in (CHAT, "/v1/messages", *native):
            seen: dict[str, tuple[int, bytes, bool]] = {}
            for fault in ("error_first", "error_mid", "cut", "slow"):
                asked = {"fault": fault, "after": 2, "tokens": 4, "gap_ms": 5}
                _, body, whole = await fetch(simulator, path, asked)
                seen[fault] = (len(re.findall(rb"w\d", body)), body, whole)
            assert {fault: words for fault, (words, _, _) in seen.items()} == {
                "error_first": 0,
                "error_mid": 2,
                "cut": 2,
                "slow": 4,
            }
            for fault in ("error_first", "error_mid"):
                assert b'"Simulated failure."' in seen[fault][1]
            assert [seen[f][2] for f in ("error_mid", "cut", "slow")] == [True, False, True]


@pytest.mark.parametrize("fault", ["stall", "stall_head", "first_token_stall", "ping_only"])
@pytest.mark.asyncio
async def test_a_stall_lasts_until_the_client_leaves(simulator: Simulator, fault: str) -> None:
    client = await Client.ask(simulator, CHAT, {"fault": fault, "after": 1, "gap_ms": 1})
    marks = {"stall": b'"w0"', "first_token_stall": b'"role"', "ping_only": b":\n\n"}
    if fault in marks:
        await client.until(marks[fault])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.until(b" w1"), 0.1)
    assert simulator.journal == []
    client.leave()
    entry = await eventually_ended(simulator)
    assert entry.ending is Ending.CLIENT_CLOSED
    assert entry.completion_tokens == (1 if fault == "stall" else 0)


@pytest.mark.asyncio
async def test_a_connection_held_after_the_marker_was_complete(simulator: Simulator) -> None:
    client = await Client.ask(simulator, CHAT, {"fault": "hold_open"})
    await client.until(b"[DONE]\n\n")
    assert simulator.journal == []
    client.leave()
    assert (await eventually_ended(simulator)).ending is Ending.COMPLETE


@pytest.mark.asyncio
async def test_a_reset_is_a_reset(simulator: Simulator) -> None:
    client = await Client.ask(simulator, CHAT, {"fault": "reset", "after": 3})
    with pytest.raises(ConnectionResetError):
        await client.rest()
    assert simulator.journal[0].ending is Ending.CUT


@pytest.mark.parametrize(
    ("fault", "status", "word"),
    [
        ("http_400", 400, b"invalid_request_error"),
        ("http_401", 401, b"sk-1"),
        ("http_429", 429, b"rate_limit_error"),
        ("429", 429, b"rate_limit_error"),
        ("http_500", 500, b"server_error"),
        ("http_503", 503, b"unavailable_error"),
        ("refuse_usage_option", 400, b"stream_options"),
        ("html", 200, b"<!doctype html>"),
        ("redirect", 307, b""),
    ],
)
@pytest.mark.asyncio
async def test_a_refusal_has_its_status(
    simulator: Simulator, fault: str, status: int, word: bytes
) -> None:
    client = await Client.ask(simulator, CHAT, {"fault": fault}, stream_options={})
    head = await client.until(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert (b"Retry-After: 1" in head) == (status == 429)
    assert (b"Location: /sim/canary" in head) == (fault == "redirect")
    if word:
        await client.until(word)
    client.leave()
    entry = await eventually_ended(simulator)
    assert (entry.ending, entry.completion_tokens) == (Ending.COMPLETE, 0)


@pytest.mark.asyncio
async def test_gzip_is_flushed_frame_by_frame(simulator: Simulator) -> None:
    head, body, whole = await fetch(simulator, CHAT, {"fault": "gzip"})
    assert b"Content-Encoding: gzip" in head
    assert whole
    assert gzip.decompress(body).endswith(b"data: [DONE]\n\n")
    client = await Client.ask(simulator, CHAT, {"fault": "gzip", "gap_ms": 60_000})
    await client.until(b"\r\n\r\n")
    inflater, text = zlib.decompressobj(wbits=31), b""
    while b'"w0"' not in text:
        size = int(await client.until(b"\r\n"), 16)
        text += inflater.decompress((await client.reader.readexactly(size + 2))[:-2])
    client.leave()


@pytest.mark.asyncio
async def test_faults_of_a_plain_answer_cut_it_short(simulator: Simulator) -> None:
    head, body, whole = await fetch(simulator, CHAT, {"fault": "cut"}, stream=False)
    assert head.startswith(b"HTTP/1.1 200")
    assert body
    assert not whole
    assert simulator.journal[0].ending is Ending.CUT


@pytest.mark.asyncio
async def test_an_unknown_fault_and_a_broken_body_are_400(simulator: Simulator) -> None:
    head, body, _ = await fetch(simulator, "/fault/nonsense/v1/chat/completions", {})
    assert head.startswith(b"HTTP/1.1 400")
    assert all(name.encode() in body for name in FAULTS)
    head, *_ = await fetch(simulator, CHAT, {"tokns": 3})
    assert head.startswith(b"HTTP/1.1 400")
    assert len(simulator.journal) == 2


@pytest.mark.parametrize("query", ["", "?split=7", "?split=8"])
@pytest.mark.parametrize(
    ("case", "counts"),
    [
        ("chat_stream_usage", (8, 20)),
        ("chat_stream_nousage", (None, None)),
        ("messages_stream", (8, 20)),
        ("chat_err_context", (None, None)),
        ("health", (None, None)),
    ],
)
@pytest.mark.asyncio
async def test_a_capture_comes_back_byte_for_byte(
    simulator: Simulator, case: str, counts: tuple[int | None, int | None], query: str
) -> None:
    path = f"/capture/{case}{CHAT}{query}"
    client = await Client.ask(simulator, path, {}, messages=HELLO)
    expected = (DATA / "captures" / f"{case}.body").read_bytes()
    head = await client.until(b"\r\n\r\n")
    assert head == (DATA / "captures" / f"{case}.headers").read_bytes()
    if b"chunked" in head:
        wire = await asyncio.wait_for(client.reader.read(), DEADLINE)
        assert unframed(head, wire) == (expected, True)
    else:
        data = await asyncio.wait_for(client.reader.readexactly(len(expected)), DEADLINE)
        assert data == expected
    client.leave()
    entry = await eventually_ended(simulator)
    assert (entry.prompt_tokens, entry.completion_tokens) == counts
    assert (entry.ending, entry.bytes) == (Ending.COMPLETE, len(expected))


@pytest.mark.asyncio
async def test_a_name_cannot_leave_the_captures_folder(simulator: Simulator) -> None:
    for name in ("..%2Fcorpus%2Frequests", "none", ".hidden"):
        head, *_ = await fetch(simulator, f"/capture/{name}{CHAT}", {})
        assert head.startswith(b"HTTP/1.1 404")


@pytest.mark.asyncio
async def test_corpus_cases_are_played_raw(simulator: Simulator) -> None:
    seen: dict[str, bytes] = {}
    for case in ("r134-fin-before-header", "r135-half-header", "r102-cut-after-done", "r160-good"):
        client = await Client.ask(simulator, f"/case/{case}{CHAT}", {})
        seen[case] = await asyncio.wait_for(client.reader.read(), DEADLINE)
        client.leave()
    assert seen["r134-fin-before-header"] == b""
    assert seen["r135-half-header"] == b"HTTP/1.1 200 OK\r\nContent-Ty"
    assert seen["r102-cut-after-done"].endswith(b"data: [DONE]\n\n\r\n")
    assert seen["r160-good"].endswith(b"0\r\n\r\n")
    reset = await Client.ask(simulator, f"/case/r133-reset-after-usage{CHAT}", {})
    # Its script sleeps 0.2 s between the last write and the reset: all of it arrives.
    await reset.until(b'"usage"')
    with pytest.raises(ConnectionResetError):
        await reset.rest()
    hold = await Client.ask(simulator, f"/case/r138-hang-mid{CHAT}", {})
    await hold.until(b"data: ")
    hold.leave()
    assert (await eventually_ended(simulator, 6)).ending is Ending.CLIENT_CLOSED


@pytest.mark.asyncio
async def test_pages_are_those_of_the_flavour(simulator: Simulator) -> None:
    props = json.loads(await asyncio.to_thread(get, f"{simulator.url}/props"))
    assert props["default_generation_settings"]["n_ctx"] == 4096
    slots = json.loads(await asyncio.to_thread(get, f"{simulator.url}/slots"))
    assert {slot["n_ctx"] for slot in slots} == {4096}
    models = json.loads(await asyncio.to_thread(get, f"{simulator.url}/fault/cut/v1/models"))
    assert models["data"][0]["id"] == "sim"
    _, body, _ = await fetch(simulator, "/fault/http_404/health", {})
    assert b"not_found_error" in body
    assert simulator.journal == []


@pytest.mark.asyncio
async def test_closing_ends_open_calls_as_cut(simulator: Simulator) -> None:
    client = await Client.ask(simulator, CHAT, {"fault": "stall"})
    await client.until(b"w2")
    await simulator.aclose()
    assert [entry.ending for entry in simulator.journal] == [Ending.CUT]
    assert simulator.begun == simulator.journal
    client.leave()


@pytest.mark.asyncio
async def test_it_keeps_up_with_a_load_test(simulator: Simulator) -> None:
    began = time.monotonic()
    _, body, whole = await fetch(simulator, CHAT, {"tokens": 20_000})
    took = time.monotonic() - began
    assert whole
    assert body.count(b"data: ") == 20_003
    # 10 000 frames a second are wanted; a fifth of it is asserted, for busy machines.
    assert 20_000 / took > 2_000


def test_it_runs_on_uvloop_too() -> None:
    async def calls() -> Reply:
        async with Simulator() as simulator:
            return await fetch(simulator, CHAT, {"tokens": 200})

    _, body, whole = uvloop.run(calls())
    assert whole
    assert body.count(b"data: ") == 203
