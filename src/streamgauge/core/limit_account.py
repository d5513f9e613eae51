"""The sums of one key, and what they leave for a call: to hold, or why it is refused (SPEC §15.2).

Decides and changes nothing; `limits.py` does. Knows no clock, no HTTP and no dialect.
"""

from __future__ import annotations

from collections import defaultdict

from streamgauge.core.keys import KeyLimits
from streamgauge.core.limit_terms import Demand, Limit, Quota, Refusal, Standing, highest_cost
from streamgauge.core.limit_windows import MinuteWindow, Span, Spending, seconds_left
from streamgauge.core.price import Money

__all__ = ["Account"]

_SOON = 1.0
"""Seconds to wait for what running calls hold: when they end, nobody knows."""
_MINUTE = 60.0


class Account:
    """The sums of one key. Held sums are what its running calls hold, and never below zero."""

    __slots__ = ("held", "held_tokens", "requests", "spending", "streams", "tokens")

    def __init__(self) -> None:
        self.streams = 0
        self.requests = MinuteWindow()
        self.tokens = MinuteWindow()
        self.held_tokens = 0
        self.held: defaultdict[str, int] = defaultdict(int)
        self.spending = Spending()

    def standing(self, limits: KeyLimits, now: float) -> Standing:
        """Return how the limits by the minute stand."""
        requests = tokens = None
        if limits.rpm is not None:
            requests = _quota(limits.rpm, self.requests, 0, now)
        if limits.tpm is not None:
            tokens = _quota(limits.tpm, self.tokens, self.held_tokens, now)
        return Standing(requests, tokens)

    def left(self, limits: KeyLimits, wall: int) -> int | None:
        """Return the nano-units that no day or month has spent and no call holds; None: no limit."""
        sums = _sums_of(limits)
        return self._left(sums, wall) if sums else None

    def _left(self, sums: list[tuple[Span, Money]], wall: int) -> int:
        return min(
            most.nano - self.spending.spent(span, most.currency, wall) - self.held[most.currency]
            for span, most in sums
        )

    def refuse_stream(self, limits: KeyLimits, now: float) -> Refusal | None:
        """Refuse a call while as many run as may at once."""
        if limits.max_streams is None or self.streams < limits.max_streams:
            return None
        message = f"the key has {limits.max_streams} streams at once, and all are running"
        return Refusal(Limit.STREAMS, message, _SOON, self.standing(limits, now))

    def refuse_request(self, limits: KeyLimits, now: float) -> Refusal | None:
        """Refuse a call while the last minute had as many as it may."""
        if limits.rpm is None or self.requests.total(now) < limits.rpm:
            return None
        message = f"the key has {limits.rpm} requests a minute, and all are used"
        wait = self.requests.wait(limits.rpm - 1, now)
        return Refusal(Limit.REQUESTS, message, wait, self.standing(limits, now))

    def tokens_to_hold(self, limits: KeyLimits, demand: Demand, now: float) -> int | Refusal | None:
        """Return the tokens to hold, all that the call may take or what is left; None: no limit."""
        if limits.tpm is None:
            return None
        left = limits.tpm - self.tokens.total(now) - self.held_tokens
        least = demand.input_tokens + demand.least_output
        if least <= left:
            return min(left, demand.input_tokens + demand.most_output)
        message = (
            f"the key has {limits.tpm} tokens a minute, {max(0, left)} of them are left, "
            f"and the request may take {least}"
        )
        # When what runs is given back, nobody knows: what has been used leaves the window by itself.
        wait = self.tokens.wait(limits.tpm - self.held_tokens - least, now)
        if least > limits.tpm:
            wait = None
        elif wait is None or wait == 0.0:
            wait = _SOON
        return Refusal(Limit.TOKENS, message, wait, self.standing(limits, now))

    def money_to_hold(
        self, limits: KeyLimits, demand: Demand, now: float, wall: int
    ) -> Money | Refusal | None:
        """Return the money to hold, all that the call may cost or what is left; None: no limit."""
        sums = _sums_of(limits)
        if not sums:
            return None
        if foreign := _foreign(demand, sums):
            return Refusal(Limit.MONEY, foreign, None, self.standing(limits, now))
        left = self._left(sums, wall)
        currency = sums[0][1].currency
        least = highest_cost(demand.prices, demand.input_tokens, demand.least_output)
        if least and least > left:
            message = (
                f"the key may spend {' and '.join(f'{m} a {s.value}' for s, m in sums)}, "
                f"{Money(max(0, left), currency)} of it is left, "
                f"and the request may cost {Money(least, currency)}"
            )
            wait = self._money_wait(sums, least, wall)
            return Refusal(Limit.MONEY, message, wait, self.standing(limits, now))
        if demand.output_tokens is not None:
            return Money(least, currency)
        most = highest_cost(demand.prices, demand.input_tokens, demand.most_output)
        return Money(min(most, max(0, left)), currency)

    def _money_wait(self, sums: list[tuple[Span, Money]], least: int, wall: int) -> float | None:
        """Return when there may be money again: soon, where it is only held, else the next window."""
        if any(least > most.nano for _, most in sums):
            return None
        full = [
            seconds_left(span, wall)
            for span, most in sums
            if self.spending.spent(span, most.currency, wall) + least > most.nano
        ]
        return max(full, default=_SOON)


def _quota(limit: int, window: MinuteWindow, held: int, now: float) -> Quota:
    used = window.total(now) + held
    reset = window.wait(0, now)
    whole = _MINUTE if held or reset is None else reset
    return Quota(limit, max(0, limit - used), whole)


def _sums_of(limits: KeyLimits) -> list[tuple[Span, Money]]:
    if limits.per_day is None:
        return [] if limits.per_month is None else [(Span.MONTH, limits.per_month)]
    day = (Span.DAY, limits.per_day)
    return [day] if limits.per_month is None else [day, (Span.MONTH, limits.per_month)]


def _foreign(demand: Demand, sums: list[tuple[Span, Money]]) -> str | None:
    """Say why a call cannot be held against a sum: unlike currencies are never added up (§7.2)."""
    for _, most in sums:
        for price in demand.prices:
            if price is None:
                why = "nothing states what this model costs"
            elif price.currency != most.currency:
                why = f"this model is charged in {price.currency}"
            else:
                continue
            return f"the key has a limit in {most.currency}, and {why}"
    return None
