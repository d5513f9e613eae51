"""From which client to which upstreams a request goes, and the text of its answer. No test here."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .stand import Answer, frames_of

__all__ = ["DIALECTS", "SAID", "Way", "text_of"]

DIALECTS = ("openai", "anthropic")
SAID = " ".join(f"w{n}" for n in range(16))
"""What the second upstream answers."""


@dataclass(frozen=True, slots=True)
class Way:
    """From a client's dialect to those of the first and the second upstream."""

    client: str
    first: str
    second: str
    stream: bool

    @classmethod
    def all(cls) -> Iterator[Way]:
        """Yield passed through and translated, at the first and at the second, streamed and not."""
        for ends in itertools.product(DIALECTS, DIALECTS, DIALECTS, (True, False)):
            yield cls(*ends)

    @property
    def model(self) -> str:
        """The model's name, by which it is routed."""
        return f"{self.first}-{self.second}"

    @property
    def path(self) -> str:
        """Where the client asks."""
        return "/v1/messages" if self.client == "anthropic" else "/v1/chat/completions"

    @property
    def tried(self) -> tuple[str, str]:
        """The names of the two upstreams."""
        return f"first-{self.first}", f"second-{self.second}"

    def request(self) -> dict[str, Any]:
        """Return what is asked."""
        messages = [{"role": "user", "content": "hi"}]
        body = {"model": self.model, "messages": messages, "stream": self.stream}
        return body | {"max_tokens": 900} if self.client == "anthropic" else body


def text_of(way: Way, answer: Answer) -> str:
    """Return the text of an answer, piece by piece as it stands there."""
    if not way.stream:
        said = answer.json()
        if way.client == "anthropic":
            return "".join(block["text"] for block in said["content"])
        return str(said["choices"][0]["message"]["content"])
    told = [json.loads(data) for data in frames_of(answer.body) if data != b"[DONE]"]
    if way.client == "anthropic":
        return "".join(t["delta"]["text"] for t in told if t["type"] == "content_block_delta")
    deltas = [choice["delta"] for t in told for choice in t.get("choices", ())]
    return "".join(delta.get("content") or "" for delta in deltas)
