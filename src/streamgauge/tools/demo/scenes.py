"""What the demo's clients ask for and how they behave. Sends nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

__all__ = ["CANCELLING", "DRAINING", "SCENES", "Conduct", "Scene"]

CANCELLING = "sim"
"""The upstream whose calls are closed when their client leaves; also the default route."""
DRAINING = "sim-drain"
"""The upstream whose answers are read to their end when their client leaves."""

_PACE = {"first_ms": 40, "gap_ms": 10}
"""A hundred tokens a second: the whole demo takes some seconds, and each stream can be interrupted."""
_ANSWER_LIMIT = 1024


class Conduct(StrEnum):
    """What a client does with its answer."""

    READS = "reads"
    LEAVES = "leaves"
    STOPS = "stops"


@dataclass(frozen=True, slots=True)
class Scene:
    """One exchange. `control`: what the simulator is asked for, beside its pace (SPEC §18.1).

    `after`: data frames that the client reads before it leaves or stops the stream.
    """

    dialect: str
    upstream: str
    prompt: str
    control: Mapping[str, Any]
    conduct: Conduct = Conduct.READS
    after: int = 0

    @property
    def path(self) -> str:
        """The endpoint of the dialect."""
        return "/v1/messages" if self.dialect == "anthropic" else "/v1/chat/completions"

    def body(self, call_id: str) -> bytes:
        """Return the request's body; the simulator books its call as `call_id`."""
        asked: dict[str, Any] = {
            "model": f"{self.upstream}/demo",
            "stream": True,
            "messages": [{"role": "user", "content": self.prompt}],
            "sim": {**_PACE, **self.control, "call_id": call_id},
        }
        if self.dialect == "anthropic":
            asked["max_tokens"] = _ANSWER_LIMIT
        return msgspec.json.encode(asked)


# Answers that are interrupted are long, so that also on a slow machine their client is in time.
SCENES = (
    Scene(
        "openai",
        CANCELLING,
        "Say in a few words why two sets of books should agree.",
        {"tokens": 64},
    ),
    Scene("anthropic", CANCELLING, "Count from one to seventy, with commas.", {"tokens": 70}),
    Scene(
        "openai",
        DRAINING,
        "Tell me a story; I shall leave before its end.",
        {"tokens": 80},
        Conduct.LEAVES,
        after=12,
    ),
    Scene(
        "openai",
        CANCELLING,
        "Tell me another story; I shall leave again.",
        {"tokens": 200},
        Conduct.LEAVES,
        after=18,
    ),
    Scene(
        "openai",
        CANCELLING,
        "Break off in the middle.",
        {"fault": "cut", "after": 20, "tokens": 64},
    ),
    Scene("openai", CANCELLING, "Say nothing of usage.", {"fault": "usage_none", "tokens": 60}),
    Scene(
        "openai",
        CANCELLING,
        "Go on until you are stopped.",
        {"tokens": 200},
        Conduct.STOPS,
        after=10,
    ),
)
