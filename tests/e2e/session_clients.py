"""Clients that share a session: each says which words are its own, and reads its stream to the end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

from streamgauge.core.record import AttemptRecord, ExchangeRecord, Status
from streamgauge.ledger.base import Done, Ledger
from streamgauge.ledger.passing import PassingLedger

from ..grammar_check import legal
from .stand import Client, frames_of

__all__ = [
    "CHAT",
    "MESSAGES",
    "SESSION_MODE",
    "TOOLS",
    "SlowClosing",
    "Stream",
    "Told",
    "begin",
    "finish",
    "first_of",
    "talk",
    "text_of",
]

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
SESSION_MODE = {"sessions": {"supersede": "session"}}
_SCHEMA = {"type": "object", "properties": {}}
TOOLS = {
    CHAT: [{"type": "function", "function": {"name": "f", "parameters": _SCHEMA}}],
    MESSAGES: [{"name": "f", "input_schema": _SCHEMA}],
}
_WORDS = 400


def talk(word: str, words: int = _WORDS, gap_ms: float = 5, **more: Any) -> dict[str, Any]:
    """Return a request for a stream that says `word` again and again, and nothing else."""
    sim = {"text": " ".join([word] * words), "gap_ms": gap_ms}
    messages = [{"role": "user", "content": "hi"}]
    asked = {"model": "sim", "max_tokens": 9000, "stream": True, "messages": messages}
    return {**asked, "sim": sim, **more}


@dataclass
class Stream:
    """One that has begun. `seen`: the bytes of its body so far."""

    client: Client
    id: str
    seen: bytes


@dataclass
class Told:
    """What a client got. `error`: the code it was ended with. `at`: monotonic seconds of the end."""

    id: str
    text: str
    error: str | None
    at: float

    def is_of(self, word: str) -> bool:
        """Return whether its text is `word` again and again, up to a cut."""
        said = f"{self.text} " if self.error is None else self.text
        return (f"{word} " * (_WORDS + 1)).startswith(said)


async def begin(
    client: Client, path: str, body: dict[str, Any], session: str | None = None, **headers: str
) -> Stream:
    """Begin a stream, in a session by `x-session-id`; return once a chunk of it has come."""
    named = headers if session is None else {"x_session_id": session, **headers}
    await client.post(path, body, **named)
    status, heads = await client.head()
    assert status == 200, heads
    return Stream(client, heads["x-streamgauge-stream-id"], await client.chunk() or b"")


async def finish(stream: Stream) -> Told:
    """Read a stream to its proper end."""
    client, body = stream.client, stream.seen
    while piece := await client.chunk():
        body += piece
    at = time.monotonic()
    assert piece == b"", "the body has no proper end"
    legal("anthropic" if client.path.startswith(MESSAGES) else "openai", body)
    return Told(stream.id, text_of(body), _error(body), at)


async def first_of(client: Client) -> Stream | Told:
    """Read a posted request's head and first chunk, or all of the error that comes instead."""
    status, heads = await client.head()
    if status == 200:
        return Stream(client, heads["x-streamgauge-stream-id"], await client.chunk() or b"")
    assert status == 499, heads
    body = json.loads(await client.reader.readexactly(int(heads["content-length"])))
    return Told(heads["x-request-id"], "", body["error"]["code"], time.monotonic())


def _payloads(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(frame) for frame in frames_of(body) if frame != b"[DONE]"]


def text_of(body: bytes) -> str:
    """Return the text in a stream of either dialect."""
    said = []
    for payload in _payloads(body):
        for choice in payload.get("choices", []):
            said.append(choice["delta"].get("content") or "")
        if payload.get("type") == "content_block_delta":
            said.append(payload["delta"].get("text", ""))
    return "".join(said)


def _error(body: bytes) -> str | None:
    last = frames_of(body)[-1]
    if last == b"[DONE]":
        return None
    code: str | None = json.loads(last).get("error", {}).get("code")
    return code


class SlowClosing(PassingLedger):
    """A ledger that takes `seconds` to close the row of a superseded stream."""

    __slots__ = ("pending", "seconds")

    def __init__(self, inner: Ledger, seconds: float) -> None:
        super().__init__(inner)
        self.seconds = seconds
        self.pending = 0

    def close(
        self,
        record: ExchangeRecord,
        attempts: Sequence[AttemptRecord],
        done: Done | None = None,
    ) -> None:
        """Close it, after a while."""
        if record.status is not Status.SUPERSEDED or not self.seconds:
            return super().close(record, attempts, done)
        self.pending += 1
        late, tries = copy(record), [copy(attempt) for attempt in attempts]
        asyncio.get_running_loop().call_later(self.seconds, self._close, late, tries, done)
        return None

    def _close(
        self, record: ExchangeRecord, attempts: Sequence[AttemptRecord], done: Done | None
    ) -> None:
        self.pending -= 1
        super().close(record, attempts, done)
