"""Stamps on a whole gateway: the row's hash, the log's pairs of lines, a replay that is flagged."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamgauge.core.integrity import Integrity
from streamgauge.core.integrity_check import Check, Expected, Finding
from streamgauge.core.integrity_text import PROTOCOLS

from ..core.test_replay_watch import prose
from .agents import (
    ASK_TEXT,
    SAID,
    ask_command,
    check_claude_rows,
    check_opencode_rows,
    claude,
    opencode,
)
from .agreement import agreed_rows
from .sdk_calls import ASKED, anthropic_client, chat_chunks, message_events, openai_client
from .stand import Stand, stand
from .test_sdks import ANTHROPIC_TOOL, ARGUMENTS, OPENAI_TOOL, TEXT, TOOL_CALL, text_of

_ONLY_OPENAI = ("/v1/completions", "/v1/responses")
MODES = ("ledger", "comment", "field")
METADATA = ("off", "comment", "chunk", "event", "after_done")
CHAT: dict[str, Any] = {"model": "sim", "messages": ASKED, "stream": True}
MESSAGE: dict[str, Any] = {**CHAT, "max_tokens": 100}
CLIENTS = [
    ("openai", "/v1/chat/completions", CHAT),
    ("openai", "/v1/completions", {"model": "sim", "prompt": "say it", "stream": True}),
    ("anthropic", "/v1/messages", MESSAGE),
    ("responses", "/v1/responses", {"model": "sim", "input": "say it", "stream": True}),
    ("simple", "/v1/chat/completions?protocol=simple", CHAT),
    ("frames", "/v1/chat/completions?protocol=frames", CHAT),
]

pytestmark = [pytest.mark.asyncio]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def proved(protocol: str, mode: str, body: bytes, row: dict[str, Any]) -> tuple[Finding, ...]:
    """Check a body against its stamps and the row."""
    checker = Check(protocol, Integrity(mode), Expected(row["frames_out"], row["stream_sha1"]))
    checker.feed(body)
    findings = checker.findings()
    told = PROTOCOLS[protocol]
    if told.stamps or (mode != "ledger" and not told.lines):
        assert checker.stamps >= checker.frames - 1 > 0
    assert checker.complete
    return findings


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("flavour", ["llamacpp", "openai", "anthropic", "ollama"])
async def test_every_client_can_prove_its_stream(tmp_path: Path, flavour: str, mode: str) -> None:
    sim = {"sim": {"text": TEXT, "reasoning": 2}}
    kind = {"llamacpp": "llamacpp", "openai": "openai"}.get(flavour, flavour)
    async with stand(tmp_path, flavour=flavour, kind=kind, config={"integrity": mode}) as it:
        for protocol, path, body in CLIENTS:
            if flavour in ("anthropic", "ollama") and path in _ONLY_OPENAI:
                continue
            answer = await it.ask(path, {**body, **sim})
            if answer.status != 200 or not answer.body:
                assert flavour not in ("llamacpp", "openai"), (path, answer.body)
                continue
            row = await it.row(answer.id)
            assert row["status"] == "completed", (path, row)
            assert row["stream_sha1"] is not None
            assert not proved(protocol, mode, answer.body, row), (path, answer.body)


@pytest.mark.parametrize("metadata", METADATA)
@pytest.mark.parametrize("mode", MODES)
async def test_our_record_stands_beside_the_stamps(
    tmp_path: Path, mode: str, metadata: str
) -> None:
    config = {"integrity": mode, "metadata": metadata}
    async with stand(tmp_path, flavour="anthropic", config=config, odd=True) as it:
        for protocol, path, body in CLIENTS[:1] + CLIENTS[2:3]:
            answer = await it.ask(path, {**body, "sim": {"text": TEXT}})
            row = await it.row(answer.id)
            assert not proved(protocol, mode, answer.body, row), (path, answer.body)


async def test_integrity_off_leaves_the_column_empty_and_the_bytes_alone(tmp_path: Path) -> None:
    async with stand(tmp_path, config={"integrity": "off", "metadata": "off"}) as it:
        answer = await it.ask("/v1/chat/completions", {**CHAT, "sim": {"text": TEXT}})
        row = await it.row(answer.id)
    assert row["stream_sha1"] is None
    assert b"streamgauge" not in answer.body


# --- the log ---------------------------------------------------------------------------------------


def lines_of(it: Stand, event: str, trace: str) -> list[dict[str, str]]:
    """The fields of a stream's lines."""
    return [
        fields for _, name, fields in it.lines if name == event and fields.get("trace") == trace
    ]


@pytest.mark.parametrize("mode", MODES)
async def test_each_frame_made_is_handed_to_the_socket_once_and_in_order(
    tmp_path: Path, mode: str
) -> None:
    async with stand(tmp_path, config={"integrity": mode}) as it:
        it.debug = True
        sim = {"sim": {"text": TEXT, "gap_ms": 10}}
        answer = await it.ask("/v1/chat/completions", {**CHAT, **sim})
        row = await it.row(answer.id)
        made, written = lines_of(it, "EMIT", answer.id), lines_of(it, "SOCKET_WRITE", answer.id)
        events = [name for _, name, fields in it.lines if fields.get("trace") == answer.id]
    assert made == written
    assert [list(fields) for fields in made[:1]] == [["seq", "sha1", "done", "acc", "raw", "trace"]]
    assert [int(fields["seq"]) for fields in made] == list(range(1, row["frames_out"] + 1))
    assert [fields["done"] for fields in made] == ["false"] * (len(made) - 1) + ["true"]
    frames = [name for name in events if name in ("EMIT", "SOCKET_WRITE")]
    assert frames.index("SOCKET_WRITE") <= 2, "held was at most the role"
    assert frames[2:] != sorted(frames[2:]), "each left when it was made, not all at the end"
    assert events[0] == "stream_start"
    assert "stream_complete" in events
    if mode == "comment":
        stamps = re.findall(rb": streamgauge-frame (\{.*\})", answer.body)
        told = [(s["seq"], s["sha1"], s["acc_len"], s["raw_len"]) for s in map(json.loads, stamps)]
        got = [(int(f["seq"]), f["sha1"], int(f["acc"]), int(f["raw"])) for f in made]
        assert got == told, "the log says what the stamps say"


async def test_no_line_is_written_a_frame_unless_asked_for(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        answer = await it.ask("/v1/chat/completions", {**CHAT, "sim": {"text": TEXT}})
        await it.row(answer.id)
        assert not lines_of(it, "EMIT", answer.id)


async def test_a_stream_without_its_marker_and_one_cut_by_its_client_say_so(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        body = {**CHAT, "sim": {"fault": "cut_before_done", "tokens": 3}}
        answer = await it.ask("/v1/chat/completions", body, odd=True)
        row = await it.row(answer.id)
        assert row["anomalies"] == ["finished_without_marker"]
        assert lines_of(it, "stream_without_marker", answer.id) == [{"trace": answer.id}]
        async with it.client() as client:
            await client.post(
                "/v1/chat/completions", {**CHAT, "sim": {"tokens": 500, "gap_ms": 20}}
            )
            _, headers = await client.head()
            await client.chunk()
        row = await it.row(headers["x-request-id"])
        said = lines_of(it, "stream_cancelled", row["id"])
    assert [fields["reason"] for fields in said] == ["client_disconnected"]


# --- replay ----------------------------------------------------------------------------------------


async def test_an_answer_that_starts_again_is_delivered_whole_and_flagged(tmp_path: Path) -> None:
    said = prose(3000)
    async with stand(tmp_path) as it:
        chunks = await chat_chunks(it, extra_body={"sim": {"text": said + said}})
        [row] = await it.rows()
        warnings = [(level, f) for level, name, f in it.lines if name == "replay_suspected"]
    assert text_of(chunks) == said + said
    assert row["anomalies"] == ["replay_suspected"]
    [(level, fields)] = warnings
    assert level == "warning"
    assert (fields["trace"], fields["kind"], fields["offset"]) == (row["id"], "restart", "3000")
    assert 1 < int(fields["seq"]) < row["frames_out"]


@pytest.mark.parametrize("said", ["hahaha! ok ok ok", "ok " * 500, "x = x + 1\n" * 100])
async def test_laughter_is_delivered_whole_and_not_flagged(tmp_path: Path, said: str) -> None:
    async with stand(tmp_path) as it:
        chunks = await chat_chunks(it, extra_body={"sim": {"text": said}})
        [row] = await agreed_rows(it, 1)
    assert text_of(chunks) == said
    assert row["anomalies"] == []


# --- the SDKs and the agents -----------------------------------------------------------------------


@pytest.mark.parametrize("metadata", ["off", "comment", "chunk", "after_done"])
@pytest.mark.parametrize("mode", MODES)
async def test_openai_reads_stamped_streams_and_calls(
    tmp_path: Path, mode: str, metadata: str
) -> None:
    config = {"integrity": mode, "metadata": metadata}
    async with stand(tmp_path, config=config) as it:
        sim = {"sim": {"text": TEXT, "reasoning": 2}}
        for way in ("sync", "async"):
            chunks = await chat_chunks(
                it, way, stream_options={"include_usage": True}, extra_body=sim
            )
            assert text_of(chunks) == TEXT
            told = [c for c in chunks if "seq" in (c.model_extra.get("streamgauge") or {})]
            assert len(told) == (len(chunks) if mode == "field" else 0)
        async with (
            openai_client(it) as client,
            client.chat.completions.stream(
                model="sim", messages=ASKED, tools=[OPENAI_TOOL], extra_body={"sim": TOOL_CALL}
            ) as stream,
        ):
            async for _ in stream:
                pass
            message = (await stream.get_final_completion()).choices[0].message
        await agreed_rows(it, 3)
    assert json.loads((message.tool_calls or [])[0].function.arguments) == ARGUMENTS


@pytest.mark.parametrize("metadata", ["off", "comment", "chunk"])
@pytest.mark.parametrize("mode", MODES)
async def test_anthropic_reads_stamped_streams_and_calls(
    tmp_path: Path, mode: str, metadata: str
) -> None:
    config = {"integrity": mode, "metadata": metadata}
    async with stand(tmp_path, flavour="anthropic", config=config) as it:
        for way in ("sync", "async"):
            _, message = await message_events(it, way, extra_body={"sim": {"text": TEXT}})
            assert message.content[-1].text == TEXT
        async with (
            anthropic_client(it) as client,
            client.messages.stream(
                model="sim", max_tokens=100, messages=ASKED, tools=[ANTHROPIC_TOOL],
                extra_body={"sim": TOOL_CALL},
            ) as stream,
        ):  # fmt: skip
            message = await stream.get_final_message()
        await agreed_rows(it, 3)
    [call] = [block for block in message.content if block.type == "tool_use"]
    assert call.input == ARGUMENTS


@pytest.mark.timeout(120)
@pytest.mark.parametrize("mode", ["ledger", "comment"])
async def test_claude_code_works_unchanged(
    tmp_path: Path, real_program: Callable[[str], Path], mode: str
) -> None:
    program = real_program("claude")
    async with stand(tmp_path, flavour="anthropic", config={"integrity": mode}) as it:
        account = await claude(program, it, tmp_path, ask_command("Bash"))
        rows = await agreed_rows(it, 2)
    assert (tmp_path / "work" / "proof.txt").read_text() == "proof-42\n"
    check_claude_rows(account, rows)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("mode", ["ledger", "comment"])
async def test_opencode_works_unchanged(
    tmp_path: Path, real_program: Callable[[str], Path], mode: str
) -> None:
    program = real_program("opencode")
    async with stand(tmp_path, config={"integrity": mode}) as it:
        events = await opencode(program, it, tmp_path, ASK_TEXT)
        rows = await agreed_rows(it, 2)
    assert any(SAID in json.dumps(event, ensure_ascii=False) for event in events)
    check_opencode_rows(events, rows)


async def test_many_streams_at_once_keep_their_own_numbers(tmp_path: Path) -> None:
    async with stand(tmp_path, config={"integrity": "comment"}) as it:
        sim = {"sim": {"text": TEXT * 3, "gap_ms": 1}}
        answers = await asyncio.gather(
            *(it.ask("/v1/chat/completions", {**CHAT, **sim}) for _ in range(20))
        )
        for answer in answers:
            assert not proved("openai", "comment", answer.body, await it.row(answer.id))
