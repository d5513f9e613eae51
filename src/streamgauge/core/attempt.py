"""What an exchange is told before it begins: its request, its attempts, its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from streamgauge.core.chat import ChatRequest, UpstreamDialect
from streamgauge.core.conversation import Conversation
from streamgauge.core.dialects.base import Telling
from streamgauge.core.errors import GatewayError
from streamgauge.core.integrity_proof import NO_PROOF, Proof
from streamgauge.core.pricing import Price
from streamgauge.core.transform.chain import NO_TRANSFORMERS, Chain

__all__ = ["Allowance", "Attempt", "Drain", "Facts", "Limits", "Retries"]


class Limits(msgspec.Struct, frozen=True):
    """Deadlines towards one upstream in seconds; 0 is none (SPEC §2.5)."""

    first_token: float = 300.0
    idle: float = 90.0
    total: float = 0.0


class Drain(msgspec.Struct, frozen=True):
    """Bounds of reading on without the client, from its leaving on: seconds, content frames as tokens."""

    max_seconds: float = 30.0
    max_tokens: int = 2000


class Attempt(msgspec.Struct, frozen=True):
    """One try at one upstream.

    `dialect`: the one it is spoken to in, where that is another than the client's; None passes the
    request on as it came. `transformers`: what is done to it, and to the answer (SPEC §14.6).
    `inject_usage`: true, false or force (SPEC §3.1); `refuses_usage`: it answered 400 to the
    option before, `refuses_unsigned`: to reasoning without a signature. `secrets` are removed from
    whatever it says in errors.
    """

    upstream: str
    kind: str
    model: str | None
    dialect: UpstreamDialect | None = None
    transformers: Chain = NO_TRANSFORMERS
    price: Price | None = None
    limits: Limits = Limits()
    drain: Drain = Drain()
    on_disconnect: str = "auto"
    inject_usage: str = "true"
    refuses_usage: bool = False
    refuses_unsigned: bool = False
    running_usage: bool = False
    pass_through_auth: bool = False
    secrets: frozenset[str] = frozenset()
    context_total: Callable[[], int | None] = lambda: None

    def without_usage_option(self) -> Attempt:
        """Return the same try at an upstream that is known to refuse the option (SPEC §3.2)."""
        return replace(self, refuses_usage=True)

    def without_unsigned(self) -> Attempt:
        """Return the same try at an upstream that is known to refuse reasoning nobody signed."""
        return replace(self, refuses_unsigned=True)


def _always(attempt: Attempt) -> bool:
    return True


def _never(now: float) -> bool:
    return False


class Retries(msgspec.Struct, frozen=True):
    """How a failed attempt may be followed by another (SPEC §14.2, §14.3).

    `admits`: whether an attempt's upstream may be called now, as its circuit has it. `spend`: takes
    one repeat out of the gateway's budget. `chance`: a number from 0 to 1. `chain_seconds`: no
    attempt begins later after the first failure; 0 is no bound.
    """

    chain_seconds: float = 30.0
    admits: Callable[[Attempt], bool] = _always
    spend: Callable[[float], bool] = _never
    chance: Callable[[], float] = lambda: 0.5


class Allowance(msgspec.Struct, frozen=True):
    """How many frames of content may still be delivered, and what the client is told behind them."""

    frames: int
    error: GatewayError


class Facts(msgspec.Struct, frozen=True):
    """What is known of an exchange at its start; `started_at` in µs since the epoch.

    `attempts`: in their order, never none; all but the first may be made when they are looked at.
    `conversation`: the request in no dialect's words, where an attempt needs it. `repeats`: the
    failed exchange that this one is the client's next try of (SPEC §11.6).
    """

    id: str
    owner: str
    started_at: int
    request: ChatRequest
    attempts: Sequence[Attempt]
    route: str
    conversation: Conversation | None = None
    client_request_id: str | None = None
    client_app: str | None = None
    key_id: str | None = None
    config_version: str | None = None
    metadata: str = "comment"
    metering: bool = True
    begin_first: bool = True
    keepalive_seconds: float = 15.0
    retries: Retries = Retries()
    allowance: Allowance | None = None
    repeats: str | None = None
    proof: Proof = NO_PROOF

    def reads(self, attempt: Attempt) -> bool:
        """Return whether the attempt's stream is read: to translate it, we must (SPEC §4.9)."""
        return self.metering or attempt.dialect is not None

    def telling(self, attempt: Attempt, tool_names: Mapping[str, str] | None = None) -> Telling:
        """Return what a translated answer says of itself: the client's own name of the model."""
        request = self.request
        return Telling(
            id=self.id,
            model=request.model or attempt.model or "",
            created=self.started_at // 1_000_000,
            include_usage=request.include_usage is True,
            tool_names=tool_names,
        )
