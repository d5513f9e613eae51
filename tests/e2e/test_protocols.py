"""The `simple` and `frames` protocols of the chat endpoint: how they are asked for, and what they carry."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from .stand import Answer, frames_of, stand

CHAT = "/v1/chat/completions"
SAID = 'hi\nsim: {"text": "eins zwei drei"}'
ASKED: dict[str, Any] = {
    "model": "sim",
    "stream": True,
    "messages": [{"role": "user", "content": SAID}],
}
LINES, EVENTS = "application/x-ndjson", "text/event-stream; charset=utf-8"

pytestmark = [pytest.mark.asyncio]


def lines(answer: Answer) -> list[dict[str, Any]]:
    """Return the lines of a `simple` answer."""
    return [json.loads(line) for line in answer.body.splitlines()]


def frames(answer: Answer) -> list[dict[str, Any]]:
    """Return the frames of a `frames` answer."""
    return [json.loads(payload) for payload in frames_of(answer.body)]


@pytest.mark.parametrize(
    ("query", "accept", "kind", "dialect"),
    [
        ("", None, EVENTS, "openai"),
        ("?protocol=openai", LINES, EVENTS, "openai"),
        ("?protocol=simple", None, LINES, "simple"),
        ("?beta=x&protocol=simple", "text/event-stream", LINES, "simple"),
        ("", LINES, LINES, "simple"),
        ("", f"{LINES};q=0.9, application/json", LINES, "simple"),
        ("", f"{LINES}, text/event-stream", EVENTS, "openai"),
        ("", "application/json", EVENTS, "openai"),
        ("", f"{LINES};q=0, */*", EVENTS, "openai"),
        ("", f"{LINES}; Q=0.000", EVENTS, "openai"),
        ("", f"{LINES};q=0.4, text/event-stream;q=0.3", LINES, "simple"),
        ("", f"text/event-stream;q=0.5, {LINES};q=0.5", EVENTS, "openai"),
        ("", f"text/event-stream;q=0, {LINES};q=0.1", LINES, "simple"),
        ("", f"{LINES};charset=utf-8;q=x", LINES, "simple"),
        ("", f"{LINES}+other", EVENTS, "openai"),
        ("", "*/*", EVENTS, "openai"),
        ("?protocol=frames", LINES, EVENTS, "frames"),
    ],
)
async def test_the_query_chooses_and_then_accept(
    tmp_path: Path, query: str, accept: str | None, kind: str, dialect: str
) -> None:
    headers = {} if accept is None else {"accept": accept}
    async with stand(tmp_path, flavour="openai", kind="openai") as it:
        answer = await it.ask(CHAT + query, ASKED, **headers)
        row = await it.row(answer.id)
    assert answer.status == 200
    assert answer.headers["content-type"] == kind
    assert answer.headers["x-accel-buffering"] == "no"
    assert (row["dialect"], row["endpoint"]) == (dialect, "chat/completions")
    assert (row["status"], row["usage_source"]) == ("completed", "provider")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (f"{CHAT}?protocol=xml", "protocol is one of openai, simple, frames"),
        (f"{CHAT}?protocol=", "protocol is one of"),
        ("/v1/messages?protocol=simple", "protocol is only for /v1/chat/completions"),
    ],
)
async def test_what_is_no_protocol_is_refused(tmp_path: Path, path: str, message: str) -> None:
    async with stand(tmp_path) as it:
        answer = await it.ask(path, ASKED | {"max_tokens": 9})
        assert it.simulator.begun == []
    assert answer.status == 400
    assert message in answer.json()["error"]["message"]


@pytest.mark.parametrize("kind", ["openai", "anthropic", "ollama"])
@pytest.mark.parametrize("protocol", ["openai", "simple", "frames"])
async def test_a_prompt_is_a_turn_of_the_user(tmp_path: Path, kind: str, protocol: str) -> None:
    body = {"prompt": SAID, "stream": True}
    async with stand(tmp_path, flavour=kind, kind=kind, models=[]) as it:
        answer = await it.ask(f"{CHAT}?protocol={protocol}", body)
        row = await it.row(answer.id)
        [call] = [r for r in it.simulator.requests if r.header("idempotency-key")]
    assert answer.status == 200
    sent = json.loads(call.body)
    assert "prompt" not in sent
    assert [turn["role"] for turn in sent["messages"]] == ["user"]
    assert b"drei" in answer.body
    assert (row["status"], row["requested_model"]) == ("completed", None)


async def test_without_a_stream_the_answer_is_one_completion(tmp_path: Path) -> None:
    async with stand(tmp_path, flavour="ollama", kind="ollama") as it:
        for protocol in ("simple", "frames"):
            answer = await it.ask(f"{CHAT}?protocol={protocol}", ASKED | {"stream": False})
            row = await it.row(answer.id)
            assert answer.headers["content-type"] == "application/json"
            assert answer.json()["choices"][0]["message"]["content"] == "eins zwei drei"
            assert (row["dialect"], row["streaming"]) == (protocol, False)


async def test_lines_say_what_goes_on_and_end_with_done(tmp_path: Path) -> None:
    async with stand(
        tmp_path, flavour="anthropic", kind="anthropic", config={"metadata": "off"}
    ) as it:
        answer = await it.ask(f"{CHAT}?protocol=simple", ASKED)
        row = await it.row(answer.id)
    told = lines(answer)
    assert told[0] == {"type": "status", "status": "thinking"}
    assert [line["content"] for line in told[1:-1]] == ["eins", " zwei", " drei"]
    assert told[-1] == {"type": "done", "finish_reason": "stop"}
    assert row["frames_out"] == len(told)


async def test_frames_count_themselves(tmp_path: Path) -> None:
    async with stand(tmp_path, flavour="anthropic", kind="anthropic") as it:
        answer = await it.ask(f"{CHAT}?protocol=frames", ASKED)
        row = await it.row(answer.id)
    told = frames(answer)
    assert [frame["seq"] for frame in told] == [1, 2, 3, 4]
    assert [frame["content"] for frame in told] == ["eins", " zwei", " drei", ""]
    assert {frame["stream_id"] for frame in told} == {row["id"]}
    assert told[-1]["acc_len"] == told[-1]["raw_len"] == len("eins zwei drei")
    assert told[-1]["frames_out"] == row["frames_out"] == len(told)


@pytest.mark.parametrize("mode", ["off", "comment", "chunk", "event", "after_done"])
@pytest.mark.parametrize("protocol", ["simple", "frames"])
async def test_the_numbers_come_with_the_answer(tmp_path: Path, protocol: str, mode: str) -> None:
    async with stand(tmp_path, config={"metadata": mode}) as it:
        odd = mode == "after_done" or (protocol == "frames" and mode == "event")
        answer = await it.ask(f"{CHAT}?protocol={protocol}", ASKED, odd=odd)
        row = await it.row(answer.id)
    body = answer.body.decode()
    if mode == "off":
        assert "streamgauge" not in body
        return
    if protocol == "simple":
        [told] = [line["streamgauge"] for line in lines(answer) if line["type"] == "metadata"]
    elif mode in ("comment", "chunk"):
        [line] = [x for x in body.splitlines() if x.startswith(": streamgauge ")]
        told = json.loads(line.removeprefix(": streamgauge "))
    else:
        [told] = [frame for frame in frames(answer) if "request_id" in frame]
    assert told["request_id"] == row["id"]
    assert (told["status"], told["output_tokens"]) == ("completed", row["output_tokens"])


@pytest.mark.parametrize(("kind", "fault"), [("openai", "error_mid"), ("ollama", "cut")])
@pytest.mark.parametrize("protocol", ["simple", "frames"])
async def test_an_error_is_the_last_thing(
    tmp_path: Path, protocol: str, kind: str, fault: str
) -> None:
    told_sim = json.dumps({"text": "eins zwei drei vier", "fault": fault, "after": 2})
    turn = {"role": "user", "content": f"hi\nsim: {told_sim}"}
    async with stand(tmp_path, flavour=kind, kind=kind) as it:
        answer = await it.ask(f"{CHAT}?protocol={protocol}", ASKED | {"messages": [turn]})
        row = await it.row(answer.id)
    told = lines(answer) if protocol == "simple" else frames(answer)
    assert "".join(x.get("content", "") for x in told) == "eins zwei"
    last = told[-1]
    assert last["error"]["code"] == row["error_code"]
    assert last["error"]["message"] == row["error_message"]
    assert last["type"] == "done" if protocol == "simple" else last["done"] is True
    assert row["frames_out"] == len(told)


async def test_silence_is_filled_before_and_amid_an_answer(tmp_path: Path) -> None:
    sim = {"text": "eins zwei", "first_ms": 1600, "gap_ms": 1600}
    turn = {"role": "user", "content": f"hi\nsim: {json.dumps(sim)}"}
    config = {"server": {"keepalive_seconds": 1}, "metadata": "off"}
    async with stand(tmp_path, flavour="ollama", kind="ollama", config=config) as it:
        body = ASKED | {"messages": [turn]}
        simple, framed = await asyncio.gather(
            *(it.ask(f"{CHAT}?protocol={name}", body) for name in ("simple", "frames"))
        )
        rows = [await it.row(answer.id) for answer in (simple, framed)]
    told = lines(simple)
    assert [line.get("status") or line.get("content") for line in told[:-1]] == [
        "waiting",
        "thinking",
        "eins",
        "writing",
        " zwei",
    ]
    assert framed.body.count(b": keep-alive\n") == 2
    assert [frame["content"] for frame in frames(framed)] == ["eins", " zwei", ""]
    assert [row["status"] for row in rows] == ["completed", "completed"]
    assert rows[1]["frames_out"] == 3
    assert rows[0]["frames_out"] == len(told) - 2, "signs of life count in nothing"
