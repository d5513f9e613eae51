"""The sums of one key, and what they leave for a call: to hold, or why it is refused (SPEC §15.2).

Decides and changes nothing; `limits.py` does. Knows no clock, no HTTP and no dialect.
"""

from __future__ import annotations

from collections import defaultdict

from streamgauge.core.keys import KeyLimits
from streamgauge.core.limit_terms import Demand, Limit, Refusal, Standing, highest_cost
from streamgauge.core.limit_windows import SLOTS, MinuteWindow, Span, Spending, seconds_left
from streamgauge.core.price import Money

__all__ = ["Account"]

_SOON = 1.0
"""Seconds to wait for what running calls hold: when they end, nobody knows."""
_MINUTE = 60
_Sums = list[tuple[Span, Money]]


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
        return self.standing_at(limits, now, self.requests.total(now), self.tokens.total(now))

    def standing_at(self, limits: KeyLimits, now: float, called: int, used: int) -> Standing:
        """Return it where the sums of the last minute are known: `called` requests, `used` tokens."""
        rpm, tpm, held, second = limits.rpm, limits.tpm, self.held_tokens, int(now)
        requests = tokens = requests_reset = tokens_reset = 0
        if rpm is not None:
            requests = rpm - called if rpm > called else 0
            if called:
                requests_reset = self.requests.last + SLOTS - second
        if tpm is not None:
            tokens = tpm - used - held if tpm - used > held else 0
            if held:
                tokens_reset = _MINUTE
            elif used:
                tokens_reset = self.tokens.last + SLOTS - second
        return Standing(rpm, requests, requests_reset, tpm, tokens, tokens_reset)

    def left(self, limits: KeyLimits, wall: int) -> int | None:
        """Return the nano-units that no day or month has spent and no call holds; None: no limit."""
        sums = _sums_of(limits)
        return self._left(sums, wall) if sums else None

    def _left(self, sums: _Sums, wall: int) -> int:
        spent, held = self.spending.spent, self.held
        least = [m.nano - spent(s, m.currency, wall) - held[m.currency] for s, m in sums]
        return min(least)

    def no_stream(self, limits: KeyLimits, now: float) -> Refusal:
        """Refuse a call, as many run as may at once."""
        message = f"no stream of the key is free: it may have {limits.max_streams} at once"
        return Refusal(Limit.STREAMS, message, _SOON, self.standing(limits, now))

    def no_request(self, limits: KeyLimits, rpm: int, now: float) -> Refusal:
        """Refuse a call, the last minute had as many as it may."""
        message = f"no request of the key is left: it may have {rpm} a minute"
        wait = self.requests.wait(rpm - 1, now)
        return Refusal(Limit.REQUESTS, message, wait, self.standing(limits, now))

    def no_tokens(self, limits: KeyLimits, tpm: int, least: int, left: int, now: float) -> Refusal:
        """Refuse a call that may take `least` tokens, more than are left of the last minute's."""
        held = f" while running calls hold {self.held_tokens}" if self.held_tokens else ""
        message = (
            f"the key has {tpm} tokens a minute, {max(0, left)} of them are left{held}, "
            f"and the request may take {least}"
        )
        # When what runs is given back, nobody knows: what has been used leaves the window by itself.
        wait = self.tokens.wait(tpm - self.held_tokens - least, now)
        if least > tpm:
            wait = None
        elif wait is None or wait == 0.0:
            wait = _SOON
        return Refusal(Limit.TOKENS, message, wait, self.standing(limits, now))

    def money_to_hold(
        self, limits: KeyLimits, demand: Demand, now: float, wall: int
    ) -> Money | Refusal:
        """Return the money to hold: all that the call may cost, or what is left of the limits."""
        sums = _sums_of(limits)
        if foreign := _foreign(demand, sums):
            return Refusal(Limit.MONEY, foreign, None, self.standing(limits, now))
        left = self._left(sums, wall)
        currency = sums[0][1].currency
        least = highest_cost(demand.prices, demand.input_tokens, demand.least_output)
        if least and least > left:
            return self._no_money(limits, sums, least, left, now, wall)
        if demand.output_tokens is not None:
            return Money(least, currency)
        most = highest_cost(demand.prices, demand.input_tokens, demand.most_output)
        return Money(min(most, max(0, left)), currency)

    def _no_money(
        self, limits: KeyLimits, sums: _Sums, least: int, left: int, now: float, wall: int
    ) -> Refusal:
        currency = sums[0][1].currency
        held = self.held[currency]
        running = f" while running calls hold {Money(held, currency)}" if held else ""
        message = (
            f"the key may spend {' and '.join(f'{m} a {s.value}' for s, m in sums)}, "
            f"{Money(max(0, left), currency)} of it is left{running}, "
            f"and the request may cost {Money(least, currency)}"
        )
        wait = self._money_wait(sums, least, wall)
        return Refusal(Limit.MONEY, message, wait, self.standing(limits, now))

    def _money_wait(self, sums: _Sums, least: int, wall: int) -> float | None:
        """Return when there may be money again: soon, where it is only held, else the next window."""
        if any(least > most.nano for _, most in sums):
            return None
        full = [
            seconds_left(span, wall)
            for span, most in sums
            if self.spending.spent(span, most.currency, wall) + least > most.nano
        ]
        return max(full, default=_SOON)


def _sums_of(limits: KeyLimits) -> _Sums:
    if limits.per_day is None:
        return [] if limits.per_month is None else [(Span.MONTH, limits.per_month)]
    day = (Span.DAY, limits.per_day)
    return [day] if limits.per_month is None else [day, (Span.MONTH, limits.per_month)]


def _foreign(demand: Demand, sums: _Sums) -> str | None:
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
