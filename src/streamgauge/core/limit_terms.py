"""The words between a call and its key's limits: what it may use, what it is given, what it used.

Pure values; `limits.py` keeps the sums. Those of every call are structs, which are made in half the
time that a frozen dataclass takes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.core.price import Money, Price, Rates
from streamgauge.core.record import Delivered, ExchangeRecord, Status

__all__ = [
    "Demand",
    "Grant",
    "Limit",
    "Refusal",
    "Spent",
    "Standing",
    "Used",
    "highest_cost",
    "paid_tokens",
]

_RATE_UNIT = 1_000_000


class Limit(StrEnum):
    """Which of a key's limits (SPEC §15.2)."""

    STREAMS = "streams"
    REQUESTS = "requests"
    TOKENS = "tokens"
    MONEY = "money"

    @property
    def status(self) -> int:
        """The HTTP status of a refusal (SPEC §5.5)."""
        return 402 if self is Limit.MONEY else 429


class Standing(msgspec.Struct, frozen=True, gc=False):
    """What the rate-limit headers tell of requests and tokens by the minute; `rpm` or `tpm` None: no limit.

    `*_left`: what remains of it. `*_reset`: in how many whole seconds, rounded up, all of it does.
    """

    rpm: int | None = None
    requests_left: int = 0
    requests_reset: int = 0
    tpm: int | None = None
    tokens_left: int = 0
    tokens_reset: int = 0


class Demand(msgspec.Struct, frozen=True, gc=False):
    """What a call may use at most.

    `output_tokens`: as the request bounds them, None where it does not; `ceiling`: no answer is
    longer than so many tokens. `prices`: of each planned attempt, None for one without a price.
    """

    input_tokens: int
    output_tokens: int | None
    ceiling: int
    prices: tuple[Price | None, ...] = ()

    @property
    def least_output(self) -> int:
        """Output without which the call is not worth beginning: all, where it is bounded."""
        return min(1, self.ceiling) if self.output_tokens is None else self.output_tokens

    @property
    def most_output(self) -> int:
        """Output that it will not pass."""
        return self.ceiling if self.output_tokens is None else self.output_tokens


class Grant(msgspec.Struct, gc=False):
    """What a call was given, to be settled once. `tokens`, `money`: what it still holds of its key's.

    `output_tokens`: how many tokens of output that was at most. `frames`: the frames of content
    after which `binding` is certainly reached, as each is a token or more; None is no bound.
    `streams`: whether it counts as a stream of its key; not once its client has its whole answer.
    """

    key_id: str
    demand: Demand
    tokens: int
    money: Money | None
    output_tokens: int
    frames: int | None
    binding: Limit
    standing: Standing
    streams: bool = True
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call may not begin. `retry_after`: seconds, None where waiting changes nothing."""

    limit: Limit
    message: str
    retry_after: float | None
    standing: Standing

    def as_error(self) -> GatewayError:
        """Return what the client is told; the dialect's own headers are not in it yet."""
        wait = None if self.retry_after is None else max(1, math.ceil(self.retry_after))
        code = ErrorCode.LIMIT_REACHED
        return GatewayError(self.limit.status, code, self.message, retry_after=wait)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a key spent in the day that begins at `day`, in µs since the epoch (UTC)."""

    key_id: str
    day: int
    money: Money


class Used(msgspec.Struct, frozen=True, gc=False):
    """What a call came to; None is unknown. `billed`: somebody may ask money for it."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: Money | None = None
    billed: bool = True

    @classmethod
    def of(cls, record: ExchangeRecord, *, called: bool = True) -> Used:
        """Return what a row says. An upstream that refused, and nothing else, bills nothing.

        `called`: an upstream has the request, and did not refuse it.
        """
        cost = None
        if record.cost_nano is not None and record.currency is not None:
            cost = Money(record.cost_nano, record.currency)
        output = record.output_tokens
        if output is not None:
            return cls(record.input_tokens, output, cost)
        if record.streaming and record.delivered is Delivered.NONE:
            output = 0  # cut before its first frame
        refused = record.status in (Status.REJECTED, Status.UPSTREAM_ERROR)
        return cls(record.input_tokens, output, cost, cost is not None or (called and not refused))


def highest_cost(prices: Iterable[Price | None], input_tokens: int, output_tokens: int) -> int:
    """Return what so many tokens cost at most, in nano-units, rounded up.

    At the dearest of `prices`, all input at the dearest of its rates (written to a cache, say),
    all output at that of reasoning where it is dearer.
    """
    highest = 0
    for price in prices:
        if price is not None:
            rates = _rates(price, input_tokens)
            total = input_tokens * _input_rate(rates) + output_tokens * _output_rate(rates)
            highest = max(highest, -(-total // _RATE_UNIT) + price.fee)
    return highest


def paid_tokens(prices: Iterable[Price | None], input_tokens: int, nano: int) -> int | None:
    """Return how many tokens of output `nano` pays for beside the input; None: any number."""
    paid = None
    for price in prices:
        if price is None:
            continue
        rates = _rates(price, input_tokens)
        if rate := _output_rate(rates):
            left = (nano - price.fee) * _RATE_UNIT - input_tokens * _input_rate(rates)
            count = max(0, left // rate)
            paid = count if paid is None else min(paid, count)
    return paid


def _rates(price: Price, input_tokens: int) -> Rates | Price:
    """Return the rates that hold; those of a price without tiers are its own members."""
    return price.rates_for(input_tokens) if price.tiers else price


def _input_rate(rates: Rates | Price) -> int:
    read, write = rates.cache_read, rates.cache_write
    rate = rates.input if read is None or read < rates.input else read
    return rate if write is None or write < rate else write


def _output_rate(rates: Rates | Price) -> int:
    if rates.output is None:
        return 0  # it has no output
    return rates.output if rates.reasoning is None else max(rates.output, rates.reasoning)
