"""What whole frames on the wire say, read in the plainest way: the judge of what the gateway books."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Truth", "check_row", "read_wire"]

_WORDS = ("content", "reasoning", "reasoning_content")
_DELTAS = ("text", "thinking", "partial_json")


@dataclass(slots=True)
class Truth:
    """`frames`: whole ones with data. `contents`: those with text, reasoning or arguments."""

    frames: int = 0
    contents: int = 0
    read: int | None = None
    written: int | None = None
    finish: str | None = None
    marked: bool = False
    odd: set[str] = field(default_factory=set)

    @property
    def status(self) -> str:
        """How a stream ends whose upstream says nothing more."""
        return "completed" if self.marked else "stream_incomplete"

    @property
    def sources(self) -> tuple[str, str]:
        """Where output and input count come from (SPEC §6.3)."""
        if self.written is not None:
            return "provider", "provider"
        if self.read is not None:
            return "counted", "provider"
        return ("counted", "none") if self.contents else ("none", "none")

    @property
    def counts(self) -> tuple[int | None, int | None]:
        """Input and output tokens as they are to be booked."""
        if self.written is not None:
            return self.read, self.written
        return self.read, None if self.sources[0] == "none" else self.contents


def read_wire(sent: bytes) -> Truth:
    """Read the whole frames of `sent`, up to the end marker; what comes of a frame cut short is nothing."""
    truth = Truth()
    *whole, _ = sent.split(b"\n\n")
    for frame in whole:
        data = [line[6:] for line in frame.split(b"\n") if line.startswith(b"data: ")]
        if not data or truth.marked:
            continue
        truth.frames += b'"type":"ping"' not in data[0]
        if data[0] == b"[DONE]":
            truth.marked = True
        else:
            _read(truth, json.loads(data[0]))
    return truth


def _read(truth: Truth, said: dict[str, Any]) -> None:
    kind = said.get("type")
    if kind is None:
        _read_chunk(truth, said)
    elif kind == "message_start":
        truth.read = _whole_input(said["message"]["usage"])
    elif kind == "content_block_delta":
        truth.contents += any(said["delta"].get(name) for name in _DELTAS)
    elif kind == "message_delta":
        truth.finish, truth.written = said["delta"]["stop_reason"], said["usage"]["output_tokens"]
    elif kind == "message_stop":
        truth.marked = True


def _whole_input(usage: dict[str, Any]) -> int:
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return sum(usage[name] for name in names if name in usage)


def _read_chunk(truth: Truth, said: dict[str, Any]) -> None:
    for choice in said["choices"]:
        delta = choice["delta"]
        words = any(delta.get(name) for name in _WORDS)
        called = any(call["function"].get("arguments") for call in delta.get("tool_calls") or ())
        truth.contents += bool(words or called)
        truth.finish = choice["finish_reason"] or truth.finish
    if said.get("usage"):
        truth.read = said["usage"]["prompt_tokens"]
        truth.written = said["usage"]["completion_tokens"]


def check_row(row: dict[str, Any], truth: Truth, **wanted: Any) -> None:
    """Compare a row with the truth: counts, sources, finish, and whatever else is `wanted`."""
    assert (row["input_tokens"], row["output_tokens"]) == truth.counts
    assert (row["usage_source"], row["input_source"]) == truth.sources
    assert row["finish_reason"] == truth.finish
    assert {name: row[name] for name in wanted} == wanted
