"""What every pair of the matrix is asked, and what its answer must be, whatever the dialects."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

__all__ = [
    "CASES",
    "CLIENTS",
    "LIKE_OPENAI",
    "PIXEL",
    "PIXEL_BYTES",
    "UPSTREAMS",
    "Case",
    "Said",
]

CLIENTS = ("openai", "anthropic", "simple", "frames")
UPSTREAMS = ("openai", "llamacpp", "vllm", "openrouter", "anthropic", "ollama")
LIKE_OPENAI = frozenset({"openai", "llamacpp", "vllm", "openrouter", "ollama"})
"""Upstreams that an OpenAI client reaches as they are."""

_SYSTEM = "Be brief.\n\nBe kind."
_TEXT = 'Grüße, 你好 und 👩‍🚀!\n\n<b>Zwei</b> Zeilen & "Anführung" \\ fertig.'
_REASONING = "Zuerst denke ich: 1 < 2.\nDann 'sage' ich es."
_WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}}
_ARGUMENTS = {"city": 'Malmö "Süd"', "days": [1, 2], "deep": {"null": None, "no": False}}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PIXEL_BYTES = b64decode(PIXEL)


@dataclass(frozen=True, slots=True)
class Said:
    """What a client assembled. `calls`: name and arguments each. `finish` in OpenAI's words.

    `usage`: input and output tokens, None where the client was not told. `error`: its message.
    `times`: seconds at which pieces of text came, in a stream.
    """

    request_id: str
    status: int = 200
    text: str = ""
    reasoning: str = ""
    calls: tuple[tuple[str, Any], ...] = ()
    ids: tuple[str, ...] = ()
    finish: str | None = None
    usage: tuple[int | None, int | None] | None = None
    error: str | None = None
    raw: bytes = field(default=b"", repr=False)
    times: tuple[float, ...] = ()
    headers: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Case:
    """One question. `sim`: what the simulator is told in the prompt. `fails`: no whole answer.

    `partial`: the text that comes before a failure in the stream. `status`: of the row.
    """

    name: str
    sim: dict[str, Any]
    text: str = ""
    reasoning: str = ""
    calls: tuple[tuple[str, Any], ...] = ()
    image: bool = False
    finish: str | None = "stop"
    status: str = "completed"
    partial: str = ""
    limit: int = 900

    @property
    def tokens(self) -> int:
        """Return how many tokens the simulator reads: words, the system's included."""
        return len(_SYSTEM.split()) + len(self.prompt.split())

    @property
    def fails(self) -> bool:
        """Whether the upstream fails."""
        return self.status != "completed"

    @property
    def prompt(self) -> str:
        """The user's text."""
        return f"please say it\nsim: {json.dumps(self.sim)}"

    def request(self, dialect: str, *, stream: bool) -> dict[str, Any]:
        """Return the body of the request in the client's dialect."""
        body: dict[str, Any] = {"model": "sim", "max_tokens": self.limit, "stream": stream}
        content: Any = self.prompt
        if self.image:
            content = [{"type": "text", "text": self.prompt}, _image(dialect)]
        body["messages"] = [{"role": "user", "content": content}]
        if dialect == "anthropic":
            body["system"] = _SYSTEM
        else:
            body["messages"].insert(0, {"role": "system", "content": _SYSTEM})
        if dialect in ("simple", "frames"):
            body["stream_options"] = {"include_usage": True}
        if self.calls:
            body["tools"] = [_tool(dialect, name) for name in ("weather", "clock")]
        return body


def _image(dialect: str) -> dict[str, Any]:
    if dialect == "anthropic":
        source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
        return {"type": "image", "source": source}
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}


def _tool(dialect: str, name: str) -> dict[str, Any]:
    if dialect == "anthropic":
        return {"name": name, "description": f"The {name}", "input_schema": _WEATHER}
    function = {"name": name, "description": f"The {name}", "parameters": _WEATHER}
    return {"type": "function", "function": function}


def _calls(*calls: tuple[str, Any]) -> dict[str, Any]:
    return {"tool": [{"name": name, "arguments": arguments} for name, arguments in calls]}


_ONE = (("weather", _ARGUMENTS),)
_THREE = (*_ONE, ("clock", {}), ("weather", {"city": "Ålesund"}))
_SEEN = f"image 1: {len(PIXEL_BYTES)} bytes sha256 {sha256(PIXEL_BYTES).hexdigest()}"
_WORDS = "eins zwei drei vier fünf sechs"
_PART = "eins zwei drei"

CASES = {
    case.name: case
    for case in (
        Case("text", {"text": _TEXT}, _TEXT),
        Case("reasoning", {"text": _TEXT, "reasoning": _REASONING}, _TEXT, _REASONING),
        Case("one_call", {"text": "So.", **_calls(*_ONE)}, "So.", calls=_ONE, finish="tool_calls"),
        Case("parallel_calls", _calls(*_THREE), calls=_THREE, finish="tool_calls"),
        Case("image", {}, _SEEN, image=True),
        Case("error_first", {"text": _WORDS, "fault": "error_first"}, status="upstream_error"),
        Case(
            "error_mid",
            {"text": _WORDS, "fault": "error_mid"},
            status="upstream_error",
            partial=_PART,
        ),
        Case("cut", {"text": _WORDS, "fault": "cut"}, status="stream_incomplete", partial=_PART),
        Case("length", {"text": _WORDS}, _PART, finish="length", limit=3),
        Case("slow", {"text": _WORDS, "fault": "slow", "gap_ms": 20}, _WORDS),
    )
}
