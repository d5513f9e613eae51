"""Keeps what the calls of each key hold and have used, and refuses what would pass a limit (SPEC §15.2).

Held before a call, settled once after it. Knows no clock, no HTTP and no dialect.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from streamgauge.core.keys import KeyLimits
from streamgauge.core.limit_account import Account
from streamgauge.core.limit_terms import (
    Demand,
    Grant,
    Limit,
    Refusal,
    Used,
    highest_cost,
    paid_tokens,
)
from streamgauge.core.price import Money

__all__ = ["Limits"]


@dataclass(slots=True)
class _Held:
    """What one running call holds now. `slot`: it still counts as a stream."""

    grant: Grant
    tokens: int
    nano: int
    slot: bool = True


class Limits:
    """The limits of all keys. Every grant is settled or released, exactly once.

    `now` is in monotonic seconds, `wall` in µs since the epoch. The limits themselves come with
    each call, so that a changed one holds at once.
    """

    __slots__ = ("_accounts", "_next", "_running")

    def __init__(self) -> None:
        self._accounts: defaultdict[str, Account] = defaultdict(Account)
        self._running: dict[int, _Held] = {}
        self._next = 1

    def __repr__(self) -> str:
        return f"<Limits keys={len(self._accounts)} holds={self.holds}>"

    @property
    def holds(self) -> int:
        """How many calls are not settled."""
        return len(self._running)

    def streams(self, key_id: str) -> int:
        """Return how many calls of a key count as its streams."""
        return self._accounts[key_id].streams if key_id in self._accounts else 0

    def left(self, key_id: str, limits: KeyLimits, wall: int) -> int | None:
        """Return the money, in nano-units, that a call may still take; None is no limit."""
        return self._accounts[key_id].left(limits, wall)

    def spend(self, key_id: str, money: Money, at: int) -> None:
        """Add what a key spent at `at` (µs since the epoch) without a grant, or before the start."""
        self._accounts[key_id].spending.add(money, at)

    # --- one call ------------------------------------------------------------------------------

    def ask(
        self, key_id: str, limits: KeyLimits, demand: Demand, now: float, wall: int
    ) -> Grant | Refusal:
        """Return what the call is given, or why it is refused; a refusal changes nothing."""
        account = self._accounts[key_id]
        refusal = account.refuse_stream(limits, now) or account.refuse_request(limits, now)
        if refusal is not None:
            return refusal
        tokens = account.tokens_to_hold(limits, demand, now)
        if isinstance(tokens, Refusal):
            return tokens
        money = account.money_to_hold(limits, demand, now, wall)
        if isinstance(money, Refusal):
            return money
        return self._grant(key_id, limits, demand, tokens, money, now)

    def _grant(
        self,
        key_id: str,
        limits: KeyLimits,
        demand: Demand,
        tokens: int | None,
        money: Money | None,
        now: float,
    ) -> Grant:
        account, held_tokens = self._accounts[key_id], 0 if tokens is None else tokens
        frames, binding = _bound(demand, tokens, money)
        nano = 0 if money is None else money.nano
        account.streams += 1
        account.requests.add(1, now)
        account.held_tokens += held_tokens
        if money is not None:
            account.held[money.currency] += nano
        grant = Grant(
            number=self._next,
            key_id=key_id,
            demand=demand,
            tokens=held_tokens,
            money=money,
            output_tokens=_least(demand.most_output, frames),
            frames=frames,
            binding=binding,
            standing=account.standing(limits, now),
        )
        self._next += 1
        self._running[grant.number] = _Held(grant, grant.tokens, nano)
        return grant

    def served(self, grant: Grant, so_far: Used) -> None:
        """The client has its whole answer, and the row is not closed yet: hold only what it cost.

        Nothing is settled by it. A client that asks for the next answer at once finds its place.
        """
        held = self._running.get(grant.number)
        if held is None:
            return
        account = self._accounts[grant.key_id]
        if held.slot:
            held.slot = False
            account.streams -= 1
        if so_far.input_tokens is not None and so_far.output_tokens is not None:
            self._hold(held, tokens=min(held.tokens, so_far.input_tokens + so_far.output_tokens))
        cost = so_far.cost
        if cost is not None and grant.money is not None and cost.currency == grant.money.currency:
            self._hold(held, nano=min(held.nano, cost.nano))

    def settle(self, grant: Grant, used: Used, now: float, wall: int) -> None:
        """Put what the call used in the place of what it held. `wall`: when it ended.

        What nobody knows is taken as the most it can have been: the request is estimated, the
        output as granted, at the dearest price. Raises ValueError for a grant that is settled.
        """
        self.release(grant)
        account = self._accounts[grant.key_id]
        if not used.billed:
            return
        demand = grant.demand
        read = demand.input_tokens if used.input_tokens is None else used.input_tokens
        written = grant.output_tokens if used.output_tokens is None else used.output_tokens
        account.tokens.add(read + written, now)
        if used.cost is not None:
            account.spending.add(used.cost, wall)
        held = grant.money
        if held is not None and (used.cost is None or used.cost.currency != held.currency):
            nano = highest_cost(demand.prices, read, written)
            account.spending.add(Money(nano, held.currency), wall)

    def release(self, grant: Grant) -> None:
        """Give back what the call held: it used nothing. Its request still counts.

        Raises ValueError for a grant that is settled.
        """
        held = self._running.pop(grant.number, None)
        if held is None:
            raise ValueError(f"grant {grant.number} is settled")
        account = self._accounts[grant.key_id]
        account.streams -= held.slot
        self._hold(held, tokens=0, nano=0)

    def _hold(self, held: _Held, *, tokens: int | None = None, nano: int | None = None) -> None:
        """Hold so much from now on."""
        account = self._accounts[held.grant.key_id]
        if tokens is not None:
            account.held_tokens += tokens - held.tokens
            held.tokens = tokens
        if nano is not None and held.grant.money is not None:
            account.held[held.grant.money.currency] += nano - held.nano
            held.nano = nano


def _least(*counts: int | None) -> int:
    return min(count for count in counts if count is not None)


def _bound(demand: Demand, tokens: int | None, money: Money | None) -> tuple[int | None, Limit]:
    """Return the frames of content that what is held pays for, and which limit ends them."""
    paid = None if money is None else paid_tokens(demand.prices, demand.input_tokens, money.nano)
    of_tokens = None if tokens is None else max(0, tokens - demand.input_tokens)
    if of_tokens is not None and (paid is None or of_tokens < paid):
        return of_tokens, Limit.TOKENS
    return paid, Limit.MONEY
