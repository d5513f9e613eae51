"""What befalls a translated stream from outside: a stop, silence, a slow reader, an unasked form."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from ..faults.upstream import End, Step, head, in_chunks
from ..grammar_check import OURS, legal
from .matrix import CLIENTS
from .stand import Answer, stand
from .translated import (
    DONE,
    FINISH,
    LAST,
    PATHS,
    ROLE,
    USAGE,
    asked,
    behind,
    chunk,
    payloads,
)

pytestmark = [pytest.mark.asyncio]

# An upstream of another dialect than the client's, whoever it is.
OTHER = {"openai": "anthropic", "anthropic": "openai", "simple": "ollama", "frames": "ollama"}
_SIGNS = {"anthropic": b'{"type":"ping"}', "simple": b'"type":"status"'}
EACH = pytest.mark.parametrize("client", CLIENTS)


def saying(client: str, **sim: Any) -> dict[str, Any]:
    """Return a streaming request that asks `sim` of the simulator in its prompt."""
    turn = {"role": "user", "content": f"hi\nsim: {json.dumps(sim)}"}
    return asked(client) | {"messages": [turn], "max_tokens": 90_000}


def text_of(client: str, answer: Answer) -> str:
    """Return the visible text of a stream."""
    text = ""
    for told in payloads(client, answer):
        match client:
            case "anthropic":
                text += told.get("delta", {}).get("text", "")
            case "openai":
                text += "".join(c["delta"].get("content") or "" for c in told.get("choices", ()))
            case _:
                text += told.get("content", "")
    return text


def failure_of(client: str, answer: Answer) -> dict[str, Any]:
    """Return the error that a stream ends with."""
    error: dict[str, Any] = payloads(client, answer)[-1]["error"]
    return error


@EACH
@pytest.mark.parametrize("how", ["stop", "shutdown"])
async def test_a_stream_that_is_ended_says_so(tmp_path: Path, client: str, how: str) -> None:
    kind = OTHER[client]
    async with stand(tmp_path, flavour=kind, kind=kind) as it, it.client() as reader:
        await reader.post(PATHS[client], saying(client, tokens=5000, gap_ms=5))
        _, headers = await reader.head()
        body = b""
        while b"w1" not in body:
            body += await reader.chunk() or b""
        name = headers["x-streamgauge-stream-id"]
        if how == "stop":
            assert (await it.ask(f"/v1/streams/{name}/stop", {})).status == 200
        else:
            it.gateway.end_all()
        while piece := await reader.chunk():
            body += piece
        assert piece == b"", "the body ends by its framing"
        row = await it.row(name)
    legal(client, body, OURS)
    answer = Answer(200, headers, body, clean=True)
    code = {"stop": "stream_cancelled", "shutdown": "server_shutdown"}[how]
    told = failure_of(client, answer)
    assert told.get("code") == code
    assert row["status"] == {"stop": "cancelled", "shutdown": "shutdown"}[how]
    assert row["error_code"] == code
    assert row["frames_out"] == len(payloads(client, answer))


async def test_silence_before_and_amid_a_translation_is_filled(tmp_path: Path) -> None:
    """All clients at once: what they wait for is the same clock."""

    async def wait(client: str) -> None:
        (folder := tmp_path / client).mkdir()
        kind = OTHER[client]
        config = {"server": {"keepalive_seconds": 1}}
        async with stand(folder, flavour=kind, kind=kind, config=config) as it:
            body = saying(client, text="eins zwei", first_ms=1600, gap_ms=1600)
            answer = await it.ask(PATHS[client], body)
            row = await it.row(answer.id)
        legal(client, answer.body, OURS)
        assert text_of(client, answer) == "eins zwei"
        assert row["status"] == "completed"
        sign = _SIGNS.get(client, b": keep-alive")
        # The first status line of `simple` is none of life: it begins the answer.
        assert answer.body.count(sign) == (3 if client == "simple" else 2)
        assert row["ttft_ms"] > 1500, "no sign of life is a token"

    await asyncio.gather(*(wait(client) for client in CLIENTS))


@EACH
@pytest.mark.parametrize("mode", ["off", "chunk", "event", "after_done"])
async def test_the_numbers_come_in_every_mode(tmp_path: Path, client: str, mode: str) -> None:
    kind = OTHER[client]
    async with stand(tmp_path, flavour=kind, kind=kind, config={"metadata": mode}) as it:
        odd = mode in ("event", "after_done")
        answer = await it.ask(PATHS[client], saying(client, text="eins zwei"), odd=odd)
        row = await it.row(answer.id)
    count = answer.body.count(b'"request_id":')
    assert count == (0 if mode == "off" else 1)
    if count:
        assert row["id"].encode() in answer.body.split(b'"request_id":')[1]
    assert row["status"] == "completed"
    # A ping and a comment are no frames.
    pings = client == "anthropic" and mode == "chunk"
    assert row["frames_out"] == len(payloads(client, answer)) - pings + (client == "openai")


@EACH
async def test_unmetered_translations_still_translate(tmp_path: Path, client: str) -> None:
    kind = OTHER[client]
    async with stand(tmp_path, flavour=kind, kind=kind, config={"metering": False}) as it:
        answer = await it.ask(PATHS[client], saying(client, text="eins zwei"))
        row = await it.row(answer.id)
    assert text_of(client, answer) == "eins zwei"
    assert row["status"] == "completed"


@EACH
async def test_a_slow_reader_gets_all_of_a_long_translation(tmp_path: Path, client: str) -> None:
    kind = OTHER[client]
    words = " ".join(f"wort{n:06}" for n in range(12_000))
    async with stand(tmp_path, flavour=kind, kind=kind) as it, it.client() as reader:
        await reader.post(PATHS[client], saying(client, text=words))
        await reader.head()
        sock = reader.writer.get_extra_info("socket")
        assert sock is not None
        body = b""
        for _ in range(5):
            body += await reader.chunk() or b""
            await asyncio.sleep(0.05)  # the time that this reader takes
        while piece := await reader.chunk():
            body += piece
        row = await it.row(next(iter(it.notes.records)))
    legal(client, body, OURS)
    assert text_of(client, Answer(200, {}, body, clean=True)) == words
    assert (row["status"], row["output_tokens"]) == ("completed", 12_000)


WHOLE = {
    "openai": {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hallo."},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    },
    "anthropic": {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "Hallo."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 7, "output_tokens": 3},
    },
    "ollama": {
        "model": "m",
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", "content": "Hallo."},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 7,
        "eval_count": 3,
    },
}


@pytest.mark.parametrize("kind", WHOLE)
@EACH
async def test_a_whole_answer_to_a_stream_request_becomes_a_stream(
    tmp_path: Path, client: str, kind: str
) -> None:
    body = json.dumps(WHOLE[kind]).encode()
    said = head(content_type="application/json", content_length=str(len(body))) + body
    async with behind(tmp_path, kind, (said, End.KEEP)) as it:
        answer = await it.ask(PATHS[client], asked(client))
        row = await it.row(answer.id)
    if (client, kind) == ("openai", "ollama"):
        # This client reaches Ollama at its chat endpoint, which never answers so.
        assert row["status"] == "upstream_protocol_error"
        return
    legal(client, answer.body, OURS)
    assert text_of(client, answer) == "Hallo."
    assert (row["status"], row["input_tokens"], row["output_tokens"]) == ("completed", 7, 3)


@EACH
async def test_a_stream_to_a_request_for_none_is_refused(tmp_path: Path, client: str) -> None:
    script: list[Step] = [head(), in_chunks(ROLE, FINISH, USAGE, DONE) + LAST, End.KEEP]
    async with behind(tmp_path, "openai", script) as it:
        answer = await it.ask(PATHS[client], asked(client, stream=False))
    assert answer.status == 502
    assert answer.json()["error"]["code"] == "upstream_protocol_error"


@EACH
async def test_an_answer_of_nothing_is_legal_where_it_was_finished(
    tmp_path: Path, client: str
) -> None:
    async with behind(
        tmp_path, "openai", (head(), in_chunks(ROLE, FINISH, USAGE, DONE) + LAST, End.KEEP)
    ) as it:
        answer = await it.ask(PATHS[client], asked(client))
        row = await it.row(answer.id)
    legal(client, answer.body, OURS)
    assert row["status"] == "completed"


@pytest.mark.parametrize("client", ["anthropic", "simple", "frames"])
async def test_an_end_without_finish_or_content_is_an_error(tmp_path: Path, client: str) -> None:
    """A clean end of nothing would make OpenCode ask again for ever (WIRE §0.4)."""
    async with behind(tmp_path, "openai", (head(), in_chunks(ROLE, DONE) + LAST, End.KEEP)) as it:
        answer = await it.ask(PATHS[client], asked(client))
        row = await it.row(answer.id)
    assert row["status"] != "completed"
    if answer.status == 200:
        legal(client, answer.body, OURS)
        assert failure_of(client, answer)["message"]
    async with behind(
        tmp_path,
        "openai",
        (head(), in_chunks(ROLE, chunk({"content": "So."}), DONE) + LAST, End.KEEP),
    ) as it:
        answer = await it.ask(PATHS[client], asked(client))
        row = await it.row(answer.id)
    legal(client, answer.body, OURS)
    assert (row["status"], row["finish_reason"]) == ("completed", None)
