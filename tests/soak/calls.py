"""Which calls a soak makes: call N of a seed is always the same. It knows no socket and no ledger."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from .extras import Extra, chain_of, extra_of

__all__ = ["FLAVOURS", "UPSTREAMS", "Call", "Way", "call_of"]

FAULT_SHARE = 0.05
MODEL = "qwen"
FLAVOURS = ("llamacpp", "openai", "anthropic")
UPSTREAMS = tuple(f"{flavour}-{policy}" for flavour in FLAVOURS for policy in ("cancel", "drain"))
_SPOKEN = {"openai": ("llamacpp", "openai"), "anthropic": ("llamacpp", "anthropic")}
# Not among them: `refuse_usage_option`, which the gateway remembers, so that later calls would differ.
_UPSTREAM_FAULTS = (
    "cut cut_before_done reset stall first_token_stall no_done no_finish duplicate garbage error_first "
    "error_mid double_done ping_only http_400 http_401 http_429 http_500 http_503 gzip hold_open "
    "no_last_chunk split_bytes stall_head html redirect usage_none"
).split()


class Way(StrEnum):
    """How a client behaves."""

    READ = "read"
    SLOW = "slow"
    LEAVE_BEFORE = "leave_before"
    LEAVE_MIDWAY = "leave_midway"
    STOP = "stop"
    HALF_CLOSE = "half_close"
    BAD_HTTP = "bad_http"
    BAD_JSON = "bad_json"
    DOUBLED_KEY = "doubled_key"
    UNKNOWN_PATH = "unknown_path"
    CUT_BODY = "cut_body"


_ODD_WAYS = tuple(way for way in Way if way is not Way.READ)
_TALKING = frozenset({Way.LEAVE_BEFORE, Way.LEAVE_MIDWAY, Way.STOP, Way.HALF_CLOSE})


@dataclass(frozen=True, slots=True)
class Call:
    """One call: what is asked, what the upstream is told to do wrong, how the client behaves.

    `after`: frames of content before the upstream's fault, or before the client acts. `chance`:
    a number in [0, 1) for whatever else the client has to choose.
    """

    seed: int
    number: int
    dialect: str
    upstream: str
    stream: bool
    tokens: int
    gap_ms: int
    asks_usage: bool
    metadata: str
    way: Way
    fault: str | None
    after: int
    chance: float
    extra: Extra | None = None

    @property
    def id(self) -> str:
        """What joins the journals: it travels in the prompt and as the client's request id."""
        return f"soak-{self.seed}-{self.number}"

    @property
    def flavour(self) -> str:
        """Which server the upstream plays."""
        return self.upstream.partition("-")[0]

    @property
    def drains(self) -> bool:
        """Whether its upstream is read on when the client leaves."""
        return self.upstream.endswith("-drain")

    @property
    def well_formed(self) -> bool:
        """Whether the request is one that goes upstream."""
        return self.way not in REFUSED_WAYS and self.way is not Way.CUT_BODY

    @property
    def path(self) -> str:
        """Where it goes."""
        if self.way is Way.UNKNOWN_PATH:
            return "/v1/nowhere"
        return "/v1/chat/completions" if self.dialect == "openai" else "/v1/messages"

    @property
    def _model(self) -> str:
        if self.extra is not None and self.extra.chain is not None:
            return chain_of(self.flavour, self.extra.chain)
        return f"{self.upstream}/{MODEL}"

    def body(self) -> dict[str, Any]:
        """Return the request's body, with what the simulator shall do in its prompt."""
        sim = {"call_id": self.id, "tokens": self.tokens, "gap_ms": self.gap_ms or None}
        if self.fault is not None:
            sim |= {"fault": self.fault, "after": self.after}
        asked = json.dumps({name: value for name, value in sim.items() if value is not None})
        text = "word " * (self.number % 7) + f"please\nsim: {asked}"
        body: dict[str, Any] = {
            "model": self._model,
            "stream": self.stream,
            "messages": [{"role": "user", "content": text}],
        }
        if self.dialect == "anthropic":
            body["max_tokens"] = 100_000 if self.extra is None or self.extra.key == "wide" else 200
        elif self.asks_usage:
            body["stream_options"] = {"include_usage": True}
        return body


REFUSED_WAYS = frozenset({Way.BAD_HTTP, Way.BAD_JSON, Way.DOUBLED_KEY, Way.UNKNOWN_PATH})
"""Requests that the gateway answers by itself, with an error."""


def call_of(
    seed: int, number: int, fault_share: float = FAULT_SHARE, *, everything: bool = False
) -> Call:
    """Return call `number` of the soak with this seed; `everything`: with an extra."""
    dice = random.Random(f"{seed}/{number}")
    dialect = dice.choice(("openai", "anthropic"))
    flavour = dice.choice(_SPOKEN[dialect])
    stream = dice.random() < 0.9
    tokens = dice.randint(1, 80)
    gap_ms = dice.choice((0, 0, 1, 3))
    way, fault = Way.READ, None
    if dice.random() < fault_share:
        if dice.random() < 0.5:
            fault = dice.choice(_UPSTREAM_FAULTS)
        else:
            way = dice.choice(_ODD_WAYS)
    if way in _TALKING:
        stream, tokens, gap_ms = True, dice.randint(60, 300), dice.randint(2, 6)
    elif way is Way.SLOW:
        stream, tokens, gap_ms = True, 4000, 0
    elif fault == "split_bytes":
        tokens, gap_ms = min(tokens, 10), 0
    elif fault == "hold_open":
        stream = True  # else the connection looks free, and the next call on it is never answered
    call = Call(
        seed,
        number,
        dialect,
        f"{flavour}-{dice.choice(('cancel', 'drain'))}",
        stream,
        tokens,
        gap_ms,
        asks_usage=stream and dice.random() < 0.5,
        metadata=dice.choice(("comment", "comment", "chunk", "off")),
        way=way,
        fault=fault,
        after=dice.randint(0, tokens // 2),
        chance=dice.random(),
    )
    if not everything:
        return call
    plain = way is Way.READ and fault is None
    return replace(call, extra=extra_of(dice, plain=plain, stream=stream, fault_share=fault_share))
