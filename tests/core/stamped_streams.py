"""Streams to clients as the gateway stamps them: captures, goldens and translations, in every mode."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from pathlib import Path
from typing import Any

from streamgauge.core.integrity import Integrity
from streamgauge.core.integrity_check import Check, Expected, Finding
from streamgauge.core.integrity_proof import Proof

from .golden_streams import GOLDENS
from .playbook import Play, chat_request, request_of
from .upstream_wires import UPSTREAMS

__all__ = [
    "CAPTURES",
    "MODES",
    "STREAMS",
    "check",
    "frames_with_data",
    "play_of",
    "protocol",
    "sha1_of",
    "text_of",
    "whole",
]

CAPTURES = Path(__file__).parents[1] / "data" / "captures"
MODES = (Integrity.LEDGER, Integrity.COMMENT, Integrity.FIELD)
_RELAYED = sorted(
    path.stem
    for pattern in ("chat_stream_*", "messages_stream*", "completions_oai")
    for path in CAPTURES.glob(f"{pattern}.body")
)
_EMPTY = ("nothing but a marker", "an error with nothing before it")
"""Of these a client gets an HTTP error, and no stream."""
_TRANSLATED = [
    f"{client} of {name}"
    for client in ("openai", "anthropic", "simple", "frames")
    for name in GOLDENS
    if name not in _EMPTY
]
STREAMS = [*_RELAYED, *_TRANSLATED]
_BLANK = re.compile(rb"(?<=\n)\n|(?<=\r)\r(?!\n)|(?<=\n)\r\n|(?<=\r\n)\r\n")


def play_of(name: str, mode: Integrity, *, cut: int | None = None, **facts: Any) -> Play:
    """Play a stream; `cut`: bytes a read, else all at once."""
    client, _, golden = name.partition(" of ")
    if golden:
        wire, dialect = GOLDENS[golden].body, GOLDENS[golden].upstream
        same = client == dialect
        attempt: dict[str, Any] = {} if same else {"dialect": dialect}
        play = Play(request_of(client), attempt=attempt, proof=Proof(mode), **facts)  # type: ignore[arg-type]
        media = "text/event-stream" if same else UPSTREAMS[dialect].media
    else:
        wire, media = (CAPTURES / f"{name}.body").read_bytes(), "text/event-stream"
        endpoint = "messages" if name.startswith("messages") else "chat/completions"
        endpoint = "completions" if name.startswith("completions") else endpoint
        more = {} if endpoint == "messages" else {"stream_options": {"include_usage": True}}
        play = Play(chat_request(endpoint, **more), kind="llamacpp", proof=Proof(mode), **facts)
    play.head(content_type=media)
    size = cut or len(wire)
    play.data(*(wire[at : at + size] for at in range(0, len(wire), size)))
    if "DONE" not in repr(play.exchange):
        play.do("upstream_end", "complete")
    if "DONE" not in repr(play.exchange):
        play.do("tick", at=play.now + 5)
    return play


def protocol(play: Play) -> str:
    """The protocol of what a client was sent."""
    return play.facts.request.dialect


def check(play: Play, body: bytes, mode: Integrity | None = None, row: bool = True) -> tuple[Finding, ...]:  # fmt: skip
    """Check `body` against its own stamps and, with `row`, against the row."""
    expected = Expected(play.row.frames_out, play.row.stream_sha1) if row else None
    checker = Check(protocol(play), mode, expected)
    checker.feed(body)
    return checker.findings()


def whole(body: bytes, lines: bool = False) -> list[bytes]:
    """Cut a stream into its frames, by hand."""
    if lines:
        return [line + b"\n" for line in body.split(b"\n") if line]
    frames, start = [], 0
    for blank in _BLANK.finditer(body):
        frames.append(body[start : blank.end()])
        start = blank.end()
    return [*frames, body[start:]] if body[start:] else frames


def frames_with_data(play: Play) -> list[bytes]:
    """The payloads that a client was sent, by hand: data lines joined by LF, pings not."""
    if protocol(play) == "simple":
        return [line for line in play.body.split(b"\n") if line]
    payloads = []
    for frame in whole(play.body):
        lines = re.split(rb"\r\n|\r|\n", frame)
        data = [re.sub(rb"^data: ?", b"", line) for line in lines if line.startswith(b"data")]
        if data and b"event: ping" not in lines and b'{"type":"ping"' not in data[0]:
            payloads.append(b"\n".join(data))
    return payloads


def sha1_of(pieces: list[bytes]) -> str:
    """SHA-1 over pieces, each followed by LF."""
    return hashlib.sha1(b"".join(piece + b"\n" for piece in pieces)).hexdigest()


def text_of(payload: bytes) -> bytes:
    """The text that a chat or messages frame adds, by plain json."""
    told = json.loads(payload)
    parts: list[str] = []
    for choice in told.get("choices", ()):
        delta = choice.get("delta") or {}
        parts += [delta.get("reasoning_content") or "", delta.get("content") or ""]
        calls = delta.get("tool_calls") or ()
        parts += [(call.get("function") or {}).get("arguments") or "" for call in calls]
        parts.append(choice.get("text") or "")
    delta = told.get("delta") or {}
    parts += [delta.get(key) or "" for key in ("thinking", "text", "partial_json")]
    return "".join(itertools.chain(parts)).encode()
