"""What a key's limits grant, hold and refuse, one rule at a time; any order of calls in test_limits_machine."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from streamgauge.core.errors import ErrorCode
from streamgauge.core.keys import KeyLimits
from streamgauge.core.limit_terms import (
    Demand,
    Grant,
    Limit,
    Refusal,
    Used,
    highest_cost,
    paid_tokens,
)
from streamgauge.core.limits import Limits
from streamgauge.core.price import Money, Price, Rates, Tier
from streamgauge.core.record import Delivered, ExchangeRecord, Status

from ..work import functions_entered

NANO = 1_000_000_000
NOON = int(datetime(2026, 5, 30, 12, tzinfo=UTC).timestamp()) * 1_000_000
HALF_DAY = 43_200.0
PRICE = Price("config", "USD", NANO, 2 * NANO)
"""1000 nano-dollars a token read, 2000 a token written."""


def requests(grant: Grant | Refusal) -> tuple[int | None, int, int]:
    """Return the limit of requests that is told, what is left, and in how many seconds all of it is."""
    told = grant.standing
    return told.rpm, told.requests_left, told.requests_reset


def tokens(grant: Grant | Refusal) -> tuple[int | None, int, int]:
    """Return the same of tokens."""
    told = grant.standing
    return told.tpm, told.tokens_left, told.tokens_reset


def money(nano: int, currency: str = "USD") -> Money:
    return Money(nano, currency)


def demand(
    read: int = 10, written: int | None = 5, price: Price | None = PRICE, ceiling: int = 1000
) -> Demand:
    return Demand(read, written, ceiling, (price,))


class Key:
    """One key with its limits, at noon."""

    def __init__(self, limits: KeyLimits) -> None:
        self.limits = limits
        self.keeper = Limits()

    def ask(self, wanted: Demand | None = None, now: float = 0.0) -> Grant | Refusal:
        return self.keeper.ask("key", self.limits, wanted or demand(), now, NOON)

    def granted(self, wanted: Demand | None = None, now: float = 0.0) -> Grant:
        grant = self.ask(wanted, now)
        assert isinstance(grant, Grant), grant
        return grant

    def refused(self, wanted: Demand | None = None, now: float = 0.0) -> Refusal:
        refusal = self.ask(wanted, now)
        assert isinstance(refusal, Refusal), refusal
        return refusal

    def settle(self, grant: Grant, used: Used, now: float = 0.0) -> None:
        self.keeper.settle(grant, used, now, NOON)

    def left(self) -> int | None:
        return self.keeper.left("key", self.limits, NOON)


# --- streams and requests ---------------------------------------------------------------------


def test_as_many_calls_run_at_once_as_the_key_may_have() -> None:
    key = Key(KeyLimits(max_streams=2))
    first = key.granted()
    key.granted()
    refusal = key.refused()
    assert (refusal.limit, refusal.retry_after) == (Limit.STREAMS, 1.0)
    key.settle(first, Used())
    assert isinstance(key.ask(), Grant)


def test_a_call_that_began_before_its_key_had_limits_is_a_stream_of_it_and_holds_nothing() -> None:
    key = Key(KeyLimits(max_streams=1, tpm=100, per_day=money(NANO)))
    running = key.keeper.counted("key")
    assert (key.keeper.streams("key"), key.keeper.holds) == (1, 1)
    assert key.refused().limit is Limit.STREAMS
    assert key.left() == NANO
    key.settle(running, Used(30, 20, money(NANO // 4)))
    assert (key.keeper.streams("key"), key.keeper.holds) == (0, 0)
    assert key.left() == NANO - NANO // 4
    assert key.granted(demand(40, 10)).streams
    assert key.refused(demand(1, 0)).limit is Limit.STREAMS


def test_keys_do_not_share_their_limits() -> None:
    key = Key(KeyLimits(max_streams=1))
    key.granted()
    assert isinstance(key.keeper.ask("other", key.limits, demand(), 0.0, NOON), Grant)


def test_a_minute_holds_as_many_requests_as_allowed_whatever_became_of_them() -> None:
    key = Key(KeyLimits(rpm=2))
    key.keeper.release(key.granted(now=0.5))
    key.settle(key.granted(now=30.5), Used())
    refusal = key.refused(now=40.0)
    assert refusal.limit is Limit.REQUESTS
    assert requests(refusal) == (2, 0, 51)
    assert refusal.retry_after == 21.0
    assert isinstance(key.ask(now=61.0), Grant)
    key.refused(now=61.0)


def test_a_refusal_takes_nothing() -> None:
    key = Key(KeyLimits(rpm=5, tpm=10, max_streams=1))
    assert key.refused(demand(100, 5)).limit is Limit.TOKENS
    assert key.keeper.holds == 0
    grant = key.granted(demand(5, 5))
    assert requests(grant) == (5, 4, 61)
    assert tokens(grant) == (10, 0, 60)


def test_its_repr_tells_how_much_it_keeps() -> None:
    key = Key(KeyLimits(max_streams=2))
    key.granted()
    assert repr(key.keeper) == "<Limits keys=1 holds=1>"


def test_limits_that_change_hold_at_once() -> None:
    key = Key(KeyLimits(max_streams=1))
    key.granted()
    key.limits = KeyLimits(max_streams=2)
    key.granted()
    key.limits = KeyLimits(max_streams=1)
    key.refused()


# --- tokens -----------------------------------------------------------------------------------


def test_tokens_are_held_as_the_most_they_can_be_and_settled_as_they_were() -> None:
    key = Key(KeyLimits(tpm=100))
    grant = key.granted(demand(10, 50))
    assert (grant.tokens, grant.frames) == (60, 50)
    assert key.refused(demand(10, 50)).retry_after == 1.0
    key.settle(grant, Used(10, 3))
    assert tokens(key.granted(demand(10, 50))) == (100, 27, 60)


def test_an_answer_without_a_bound_holds_what_is_left_and_may_be_as_long() -> None:
    key = Key(KeyLimits(tpm=100))
    grant = key.granted(demand(10, None))
    assert (grant.tokens, grant.frames, grant.binding) == (100, 90, Limit.TOKENS)
    assert key.refused(demand(1, None)).limit is Limit.TOKENS


def test_an_answer_without_a_bound_holds_no_more_than_the_longest_there_is() -> None:
    grant = Key(KeyLimits(tpm=100_000)).granted(demand(10, None, ceiling=500))
    assert (grant.tokens, grant.frames) == (510, 500)


def test_tokens_leave_the_minute_after_it() -> None:
    key = Key(KeyLimits(tpm=100))
    key.settle(key.granted(demand(10, 80)), Used(10, 80), now=0.5)
    assert key.refused(demand(10, 80), now=20.0).retry_after == 41.0
    key.granted(demand(10, 80), now=61.5)


def test_a_request_larger_than_a_minute_may_be_is_not_told_to_wait() -> None:
    refusal = Key(KeyLimits(tpm=100)).refused(demand(90, 11))
    assert (refusal.limit, refusal.retry_after) == (Limit.TOKENS, None)


# --- money ------------------------------------------------------------------------------------


def test_money_is_held_at_its_worst_and_settled_at_the_row_s_cost() -> None:
    key = Key(KeyLimits(per_day=money(50_000)))
    grant = key.granted(demand(10, 5))
    assert (grant.money, grant.frames, key.left()) == (money(20_000), 5, 30_000)
    key.settle(grant, Used(8, 2, money(12_000)))
    assert key.left() == 38_000


def test_a_call_whose_worst_case_is_not_left_is_refused_until_the_day_is_over() -> None:
    key = Key(KeyLimits(per_day=money(50_000)))
    key.keeper.spend("key", money(30_001), NOON)
    refusal = key.refused(demand(10, 5))
    assert (refusal.limit, refusal.retry_after) == (Limit.MONEY, HALF_DAY)
    error = refusal.as_error()
    assert (error.status, error.code) == (402, ErrorCode.LIMIT_REACHED)
    assert error.retry_after == HALF_DAY
    assert "0.00005 USD a day" in error.message
    key.granted(demand(9, 5))


def test_money_that_is_only_held_comes_back_soon() -> None:
    key = Key(KeyLimits(per_day=money(30_000)))
    key.granted(demand(10, 5))
    assert key.refused(demand(10, 5)).retry_after == 1.0


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (
            KeyLimits(per_day=money(30_000)),
            "0.00001 USD of it is left while running calls hold 0.00002 USD, and",
        ),
        (KeyLimits(tpm=20), "5 of them are left while running calls hold 15, and"),
    ],
)
def test_a_refusal_tells_what_is_held_beside_what_is_left(limits: KeyLimits, told: str) -> None:
    key = Key(limits)
    grant = key.granted(demand(10, 5))
    assert told in key.refused(demand(10, 5)).message
    key.settle(grant, Used(10, 5, money(20_000)))
    assert "left, and" in key.refused(demand(10, 5)).message


def test_a_call_that_can_never_be_paid_is_not_told_to_wait() -> None:
    assert Key(KeyLimits(per_day=money(10))).refused(demand(10, 5)).retry_after is None


def test_a_key_without_a_limit_of_money_has_no_sum_left() -> None:
    assert Key(KeyLimits(rpm=5)).left() is None
    assert Key(KeyLimits(per_month=money(7))).left() == 7


def test_the_smaller_of_day_and_month_counts() -> None:
    key = Key(KeyLimits(per_day=money(50_000), per_month=money(60_000)))
    key.keeper.spend("key", money(45_000), NOON - 10 * 86_400_000_000)
    assert key.left() == 15_000
    refusal = key.refused(demand(10, 5))
    assert refusal.retry_after == HALF_DAY + 86_400  # the 30th of May: to the end of the 31st


def test_a_stream_without_a_bound_may_go_as_far_as_its_money() -> None:
    key = Key(KeyLimits(per_day=money(50_000)))
    grant = key.granted(demand(10, None))
    assert (grant.money, grant.frames, grant.output_tokens) == (money(50_000), 20, 20)
    assert grant.binding is Limit.MONEY


def test_the_limit_that_is_reached_first_ends_a_stream() -> None:
    limits = KeyLimits(per_day=money(50_000), tpm=25)
    grant = Key(limits).granted(demand(10, None))
    assert (grant.frames, grant.binding) == (15, Limit.TOKENS)
    grant = Key(replace(limits, tpm=1000)).granted(demand(10, None))
    assert (grant.frames, grant.binding) == (20, Limit.MONEY)


@pytest.mark.parametrize(
    ("price", "told"),
    [(None, "nothing states"), (replace(PRICE, currency="EUR"), "charged in EUR")],
)
def test_what_cannot_be_held_in_the_limit_s_currency_is_refused(
    price: Price | None, told: str
) -> None:
    refusal = Key(KeyLimits(per_day=money(50_000))).refused(demand(price=price))
    assert (refusal.limit, refusal.retry_after) == (Limit.MONEY, None)
    assert told in refusal.message
    assert isinstance(Key(KeyLimits(rpm=5, tpm=500)).ask(demand(price=price)), Grant)


def test_limits_in_two_currencies_leave_nothing_that_could_be_called() -> None:
    limits = KeyLimits(per_day=money(1), per_month=money(1, "EUR"))
    assert Key(limits).refused().limit is Limit.MONEY


def test_what_is_free_needs_no_money() -> None:
    key = Key(KeyLimits(per_day=money(0)))
    grant = key.granted(demand(price=Price("config", "USD", 0, 0)))
    assert (grant.money, grant.frames) == (money(0), None)


def test_a_key_with_money_of_another_currency_spent_has_all_of_its_own() -> None:
    key = Key(KeyLimits(per_day=money(50_000)))
    key.keeper.spend("key", money(49_999, "EUR"), NOON)
    assert key.left() == 50_000


# --- settling ---------------------------------------------------------------------------------


def test_what_nobody_knows_is_settled_as_the_most_it_can_have_been() -> None:
    key = Key(KeyLimits(per_day=money(50_000), tpm=1000))
    key.settle(key.granted(demand(10, 5)), Used())
    assert key.left() == 30_000
    assert tokens(key.granted(demand(0, 1))) == (1000, 984, 60)


def test_a_count_without_a_cost_is_priced_with_the_estimate_of_the_input() -> None:
    key = Key(KeyLimits(per_day=money(50_000)))
    key.settle(key.granted(demand(10, 5)), Used(None, 3))
    assert key.left() == 50_000 - 10_000 - 6_000


def test_a_cost_in_another_currency_is_no_cost_for_the_limit() -> None:
    key = Key(KeyLimits(per_day=money(50_000)))
    key.settle(key.granted(demand(10, 5)), Used(10, 3, money(7, "EUR")))
    assert key.left() == 50_000 - 10_000 - 6_000


def test_what_nobody_bills_is_given_back() -> None:
    key = Key(KeyLimits(per_day=money(50_000), tpm=100))
    key.settle(key.granted(demand(10, 20)), Used(billed=False))
    assert key.left() == 50_000
    key.granted(demand(10, 90, price=Price("config", "USD", 0, 0)))


@pytest.mark.parametrize("twice", ["settle", "release"])
def test_a_grant_is_settled_once(twice: str) -> None:
    key = Key(KeyLimits(max_streams=1))
    grant = key.granted()
    key.keeper.release(grant)
    with pytest.raises(ValueError, match="is settled"):
        key.settle(grant, Used()) if twice == "settle" else key.keeper.release(grant)
    assert key.keeper.streams("key") == 0


def test_who_has_the_whole_answer_may_ask_on_before_its_row_is_closed() -> None:
    key = Key(KeyLimits(max_streams=1, per_day=money(50_000), tpm=100))
    grant = key.granted(demand(10, None))
    assert key.refused(demand(10, None)).limit is Limit.STREAMS
    for _ in range(2):
        key.keeper.served(grant, Used(10, 5, money(20_000)))
    assert key.left() == 30_000
    second = key.granted(demand(10, None))
    assert (second.tokens, second.money) == (85, money(30_000))
    key.settle(grant, Used(10, 6, money(22_000)))
    key.keeper.served(grant, Used())  # too late: nothing
    assert key.keeper.streams("key") == 1
    key.settle(second, Used(1, 1, money(3_000)))
    assert key.left() == 25_000
    assert key.keeper.holds == 0


def test_without_its_cost_a_served_call_goes_on_holding() -> None:
    key = Key(KeyLimits(max_streams=1, per_day=money(50_000)))
    grant = key.granted(demand(10, 5))
    key.keeper.served(grant, Used())
    assert (key.left(), key.keeper.streams("key")) == (30_000, 0)


# --- prices -----------------------------------------------------------------------------------


def test_the_highest_cost_takes_the_dearest_rate_of_each_kind_and_the_tier_of_the_input() -> None:
    dear = Price(
        "config", "USD", NANO, 2 * NANO, cache_read=NANO // 10, cache_write=3 * NANO,
        reasoning=5 * NANO, fee=7, tiers=(Tier(100, Rates(9 * NANO, None)),),
    )  # fmt: skip
    assert highest_cost([dear], 10, 4) == 10 * 3000 + 4 * 5000 + 7
    assert highest_cost([dear], 101, 4) == 101 * 9000 + 7
    assert highest_cost([PRICE, dear, None], 10, 4) == 50_007
    assert highest_cost([], 10, 4) == 0


def test_money_pays_for_as_many_tokens_as_its_dearest_attempt_writes() -> None:
    assert paid_tokens([PRICE], 10, 20_000) == 5
    assert paid_tokens([PRICE, replace(PRICE, output=4 * NANO)], 10, 20_000) == 2
    assert paid_tokens([PRICE], 10, 9_000) == 0
    assert paid_tokens([replace(PRICE, output=0)], 10, 0) is None
    assert paid_tokens([None, PRICE], 10, 20_000) == 5, "what has no price costs nothing known"
    assert paid_tokens([None], 10, 0) is None


@pytest.mark.parametrize("read", range(4))
@pytest.mark.parametrize("written", range(1, 8))
def test_what_was_held_for_an_answer_pays_for_all_of_it_however_it_is_rounded(
    read: int, written: int
) -> None:
    price = Price("config", "sat", 500_000, 1_400_000)  # half of a nano-sat, and 1.4 of them
    held = highest_cost([price], read, written)
    paid = paid_tokens([price], read, held)
    assert paid is not None
    assert paid >= written


# --- rows -------------------------------------------------------------------------------------


def row(**columns: object) -> ExchangeRecord:
    return ExchangeRecord("id", "owner", 0, **columns)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("record", "used"),
    [
        (
            row(
                status=Status.COMPLETED,
                input_tokens=3,
                output_tokens=4,
                cost_nano=5,
                currency="EUR",
            ),
            Used(3, 4, money(5, "EUR")),
        ),
        (row(status=Status.COMPLETED, streaming=True, delivered=Delivered.ALL), Used()),
        (row(status=Status.REJECTED), Used(billed=False)),
        (row(status=Status.UPSTREAM_ERROR, delivered=Delivered.NONE), Used(billed=False)),
        (row(status=Status.UPSTREAM_ERROR, output_tokens=2), Used(None, 2)),
        (
            row(status=Status.CLIENT_DISCONNECTED, streaming=True, delivered=Delivered.NONE),
            Used(None, 0),
        ),
        (
            row(status=Status.CLIENT_DISCONNECTED, streaming=False, delivered=Delivered.NONE),
            Used(),
        ),
    ],
)
def test_a_row_says_what_was_used_and_none_is_unknown(record: ExchangeRecord, used: Used) -> None:
    assert Used.of(record) == used


def test_a_call_is_told_what_the_next_one_would_find() -> None:
    key = Key(KeyLimits(max_streams=2, rpm=5, tpm=100))
    first = key.granted(now=0.5)
    assert tokens(first) == (100, 85, 60)
    key.settle(first, Used(7, 3), now=1.5)
    running = key.granted(now=2.5)
    second = key.granted(now=3.5)
    assert (
        second.standing == key.refused(now=3.5).standing
    )  # no stream is left, and nothing changed
    key.settle(running, Used(billed=False), now=4.0)
    key.settle(second, Used(billed=False), now=4.0)
    key.limits = KeyLimits(rpm=4, tpm=None)
    third = key.granted(now=5.5)
    assert third.standing == key.refused(now=5.5).standing
    assert tokens(third) == (None, 0, 0)
    assert requests(third) == (4, 0, 61)


def test_to_hold_and_to_settle_enter_few_functions() -> None:
    """The price of limits (issue 5) in a form that no busy machine changes; it was 53 once."""
    key = Key(KeyLimits(max_streams=5, rpm=1000, tpm=10**6))
    used = Used(10, 5, money(20_000))
    key.keeper.settle(key.granted(), used, 0.0, NOON)

    def call() -> None:
        grant = key.keeper.ask("key", key.limits, demand(), 0.5, NOON)
        assert isinstance(grant, Grant)
        key.keeper.settle(grant, used, 0.5, NOON)

    assert functions_entered(call) <= 7
