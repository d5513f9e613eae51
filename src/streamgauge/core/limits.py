"""Keeps what the calls of each key hold and have used, and refuses what would pass a limit (SPEC §15.2).

Held before a call, settled once after it. Knows no clock, no HTTP and no dialect.
"""

from __future__ import annotations

from collections import defaultdict

from streamgauge.core.keys import KeyLimits
from streamgauge.core.limit_account import Account
from streamgauge.core.limit_terms import (
    Demand,
    Grant,
    Limit,
    Refusal,
    Standing,
    Used,
    highest_cost,
    paid_tokens,
)
from streamgauge.core.price import Money

__all__ = ["Limits"]


_UNBILLED = Used(billed=False)


class Limits:
    """The limits of all keys. Every grant is settled or released, exactly once.

    `now` is in monotonic seconds, `wall` in µs since the epoch. The limits themselves come with
    each call, so that a changed one holds at once.
    """

    __slots__ = ("_accounts", "_holds")

    def __init__(self) -> None:
        self._accounts: defaultdict[str, Account] = defaultdict(Account)
        self._holds = 0

    def __repr__(self) -> str:
        return f"<Limits keys={len(self._accounts)} holds={self.holds}>"

    @property
    def holds(self) -> int:
        """How many calls are not settled."""
        return self._holds

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
        account, read, frames, tokens = self._accounts[key_id], demand.input_tokens, None, 0
        streams, rpm, tpm, called, used = limits.max_streams, limits.rpm, limits.tpm, 0, 0
        requests, written = account.requests, account.tokens
        if streams is not None and account.streams >= streams:
            return account.no_stream(limits, now)
        if rpm is not None:
            called = requests.sum if now < requests.changes_at else requests.total(now)
            if called >= rpm:
                return account.no_request(limits, rpm, now)
        least = most = demand.output_tokens
        if least is None or most is None:
            least, most = min(1, demand.ceiling), demand.ceiling
        if tpm is not None:
            used = written.sum if now < written.changes_at else written.total(now)
            left = tpm - used - account.held_tokens
            if read + least > left:
                return account.no_tokens(limits, tpm, read + least, left, now)
            tokens = left if left < read + most else read + most
            frames = tokens - read if tokens > read else 0
        binding = Limit.MONEY if frames is None else Limit.TOKENS
        money: Money | None = None
        if limits.are_in_money:
            fitting = account.money_to_hold(limits, demand, now, wall)
            if isinstance(fitting, Refusal):
                return fitting
            money = fitting
            account.held[money.currency] += money.nano
            paid = paid_tokens(demand.prices, read, money.nano)
            if paid is not None and (frames is None or paid <= frames):
                frames, binding = paid, Limit.MONEY
        account.streams += 1
        account.held_tokens += tokens
        requests.add(1, now)
        self._holds += 1
        output = most if frames is None or most < frames else frames
        standing = account.standing_at(limits, now, called + 1, used)
        return Grant(key_id, demand, tokens, money, output, frames, binding, standing)

    def counted(self, key_id: str) -> Grant:
        """Return the grant of a call that began while its key had no limits: it runs, and holds nothing."""
        self._holds += 1
        self._accounts[key_id].streams += 1
        return Grant(key_id, Demand(0, 0, 0), 0, None, 0, None, Limit.STREAMS, Standing())

    def served(self, grant: Grant, so_far: Used) -> None:
        """The client has its whole answer, and the row is not closed yet: hold only what it cost.

        Nothing is settled by it. A client that asks for the next answer at once finds its place.
        """
        if grant.settled:
            return
        account, money = self._accounts[grant.key_id], grant.money
        if grant.streams:
            grant.streams = False
            account.streams -= 1
        if so_far.input_tokens is not None and so_far.output_tokens is not None:
            tokens = min(grant.tokens, so_far.input_tokens + so_far.output_tokens)
            account.held_tokens += tokens - grant.tokens
            grant.tokens = tokens
        cost = so_far.cost
        if cost is not None and money is not None and cost.currency == money.currency:
            nano = min(money.nano, cost.nano)
            account.held[money.currency] += nano - money.nano
            grant.money = Money(nano, money.currency)

    def settle(self, grant: Grant, used: Used, now: float, wall: int) -> None:
        """Put what the call used in the place of what it held. `wall`: when it ended.

        What nobody knows is taken as the most it can have been: the request is estimated, the
        output as granted, at the dearest price. Raises ValueError for a grant that is settled.
        """
        account, demand, held = self._accounts[grant.key_id], grant.demand, grant.money
        if grant.settled:
            raise ValueError(f"a grant of key {grant.key_id} is settled")
        grant.settled = True
        self._holds -= 1
        if grant.streams:
            account.streams -= 1
        account.held_tokens -= grant.tokens
        if held is not None:
            account.held[held.currency] -= held.nano
        if not used.billed:
            return
        read = demand.input_tokens if used.input_tokens is None else used.input_tokens
        written = grant.output_tokens if used.output_tokens is None else used.output_tokens
        account.tokens.add(read + written, now)
        if used.cost is not None:
            account.spending.add(used.cost, wall)
        if held is not None and (used.cost is None or used.cost.currency != held.currency):
            nano = highest_cost(demand.prices, read, written)
            account.spending.add(Money(nano, held.currency), wall)

    def release(self, grant: Grant) -> None:
        """Give back what the call held: it used nothing. Its request still counts.

        Raises ValueError for a grant that is settled.
        """
        self.settle(grant, _UNBILLED, 0.0, 0)
