"""Any order of calls, ends, aborts and hours: no limit is passed, and nothing stays held."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streamgauge.core.keys import KeyLimits
from streamgauge.core.limit_terms import Demand, Grant, Refusal, Used, highest_cost
from streamgauge.core.limits import Limits
from streamgauge.core.price import Money, Price

FULL = bool(os.environ.get("STREAMGAUGE_FULL"))
NANO = 1_000_000_000
DAY_US = 86_400_000_000
PRICES = (
    Price("config", "USD", NANO, 2 * NANO),
    Price("config", "USD", NANO // 3, 7 * NANO, reasoning=8 * NANO, fee=1),
    Price("config", "USD", 0, 0),
)
LIMITS = st.builds(
    KeyLimits,
    max_streams=st.none() | st.integers(0, 3),
    rpm=st.none() | st.integers(0, 6),
    tpm=st.none() | st.integers(0, 200),
    per_day=st.none() | st.integers(0, 400_000).map(lambda nano: Money(nano, "USD")),
    per_month=st.none() | st.integers(0, 900_000).map(lambda nano: Money(nano, "USD")),
)
DEMANDS = st.builds(
    Demand,
    input_tokens=st.integers(0, 40),
    output_tokens=st.none() | st.integers(0, 60),
    ceiling=st.integers(60, 100),
    prices=st.lists(st.sampled_from(PRICES), min_size=1, max_size=2).map(tuple),
)


def day_of(wall: int) -> date:
    """Return the day (UTC) of µs since the epoch."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=wall)).date()


def month_of(wall: int) -> tuple[int, int]:
    """Return year and month (UTC)."""
    day = day_of(wall)
    return day.year, day.month


class AnyOrder(RuleBasedStateMachine):
    """One key. The model is the plain list of all that happened."""

    @initialize(limits=LIMITS)
    def begin(self, limits: KeyLimits) -> None:
        self.limits = limits
        self.keeper = Limits()
        self.now, self.wall = 1000.0, 20_000 * DAY_US
        self.running: list[Grant] = []
        self.begun: list[float] = []
        self.tokens: list[tuple[float, int]] = []
        self.spent: list[tuple[int, int]] = []

    @rule(demand=DEMANDS)
    def ask(self, demand: Demand) -> None:
        answer = self.keeper.ask("key", self.limits, demand, self.now, self.wall)
        if isinstance(answer, Refusal):
            assert answer.retry_after is None or answer.retry_after > 0
            return
        self.running.append(answer)
        self.begun.append(self.now)
        worst = demand.most_output if answer.frames is None else answer.frames
        assert worst >= demand.least_output
        if answer.money is not None and answer.frames is not None:
            paid = highest_cost(demand.prices, demand.input_tokens, answer.frames)
            assert paid <= answer.money.nano  # its frames cost no more than it holds

    @precondition(lambda self: self.running)
    @rule(data=st.data(), known=st.booleans(), first_served=st.booleans())
    def settle(self, data: st.DataObject, known: bool, first_served: bool) -> None:
        grant = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        read = data.draw(st.integers(0, grant.demand.input_tokens))
        written = data.draw(st.integers(0, grant.output_tokens))
        cost = highest_cost(grant.demand.prices[:1], read, written)
        used = Used(read, written, Money(cost, "USD")) if known else Used()
        if first_served:
            self.keeper.served(grant, used)
        self.keeper.settle(grant, used, self.now, self.wall)
        if not known:
            read, written = grant.demand.input_tokens, grant.output_tokens
            cost = 0
            if grant.money is not None:
                cost = highest_cost(grant.demand.prices, read, written)
        self.tokens.append((self.now, read + written))
        self.spent.append((self.wall, cost))
        with pytest.raises(ValueError, match="is settled"):
            self.keeper.settle(grant, used, self.now, self.wall)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        grant = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.keeper.release(grant)

    @rule(seconds=st.floats(0, 70))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.wall += int(seconds * 1e6)

    @rule(hours=st.integers(1, 40))
    def sleep(self, hours: int) -> None:
        self.now += hours * 3600
        self.wall += hours * 3_600_000_000

    @invariant()
    def nothing_passes_its_limit(self) -> None:
        limits = self.limits
        assert self.keeper.holds == len(self.running)
        assert self.keeper.streams("key") == len(self.running)
        if limits.max_streams is not None:
            assert len(self.running) <= limits.max_streams
        if limits.rpm is not None:
            assert sum(when > self.now - 60 for when in self.begun) <= limits.rpm
        if limits.tpm is not None:
            used = sum(count for when, count in self.tokens if when > self.now - 60)
            assert used + sum(grant.tokens for grant in self.running) <= limits.tpm

    @invariant()
    def no_day_costs_more_than_it_may(self) -> None:
        held = sum(grant.money.nano for grant in self.running if grant.money is not None)
        assert held >= 0
        for most, window in ((self.limits.per_day, day_of), (self.limits.per_month, month_of)):
            if most is not None:
                now = window(self.wall)
                spent = sum(nano for when, nano in self.spent if window(when) == now)
                assert spent + held <= most.nano

    def teardown(self) -> None:
        for grant in getattr(self, "running", []):
            self.keeper.release(grant)
        if hasattr(self, "keeper"):
            assert self.keeper.holds == 0
            left = self.keeper.left("key", KeyLimits(per_day=Money(0, "USD")), self.wall)
            today = sum(nano for when, nano in self.spent if day_of(when) == day_of(self.wall))
            assert left == -today  # nothing is held that nobody holds


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=2000 if FULL else 150, stateful_step_count=40, deadline=None
)
