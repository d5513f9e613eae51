"""A circuit opens after failures in a row, lets one probe out, and is never deceived by old calls."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamgauge.core.routing.breaker import Breaker, Circuit, Condition, Health, health

FULL = os.environ.get("STREAMGAUGE_FULL") == "1"
CLOSED, OPEN, HALF_OPEN = Circuit.CLOSED, Circuit.OPEN, Circuit.HALF_OPEN
OPENED_AT = 100.0
HALF_OPENS_AT = 110.0


def called(breaker: Breaker, outcome: str, now: float) -> None:
    """One call that begins and ends at `now`."""
    ticket = breaker.began(now)
    getattr(breaker, outcome)(now, ticket)


def opened() -> Breaker:
    """A breaker that has opened at 100 and half-opens at 110."""
    breaker = Breaker(failures=3, open_seconds=10.0)
    for _ in range(3):
        called(breaker, "failed", OPENED_AT)
    return breaker


# -- the circuit

# What happens, in order, to a new breaker of 3 failures, and where it stands then.
IN_A_ROW = [
    ("nothing", [], CLOSED),
    ("two failures", ["failed"] * 2, CLOSED),
    ("three failures", ["failed"] * 3, OPEN),
    ("a success between", ["failed", "failed", "succeeded", "failed", "failed"], CLOSED),
    ("three after a success", ["succeeded", "failed", "failed", "failed"], OPEN),
    ("a client that left between", ["failed", "failed", "abandoned", "failed"], OPEN),
    ("clients that left", ["abandoned"] * 9, CLOSED),
    ("first content does not forgive", ["failed", "failed", "answered", "failed"], OPEN),
]


@pytest.mark.parametrize(
    ("outcomes", "state"), [c[1:] for c in IN_A_ROW], ids=[c[0] for c in IN_A_ROW]
)
def test_three_failures_in_a_row_open_it(outcomes: list[str], state: Circuit) -> None:
    breaker = Breaker(failures=3, open_seconds=10.0)
    for outcome in outcomes:
        called(breaker, outcome, OPENED_AT)
    assert breaker.state(OPENED_AT) is state
    assert breaker.allows(OPENED_AT) is (state is CLOSED)


# What the probe comes to, where the circuit stands a moment later, and whether a call may begin.
PROBES = [
    ("succeeded", CLOSED, True),
    ("answered", CLOSED, True),
    ("failed", OPEN, False),
    ("abandoned", HALF_OPEN, True),
]


@pytest.mark.parametrize(("outcome", "state", "allowed"), PROBES, ids=[c[0] for c in PROBES])
@pytest.mark.parametrize("named", [True, False], ids=["with its ticket", "without"])
def test_one_probe_decides(outcome: str, state: Circuit, allowed: bool, named: bool) -> None:
    breaker = opened()
    ticket = breaker.began(HALF_OPENS_AT)
    assert not breaker.allows(HALF_OPENS_AT + 1), "its place is taken"
    end: Callable[..., None] = getattr(breaker, outcome)
    end(HALF_OPENS_AT + 1, *([ticket] if named else []))
    assert breaker.state(HALF_OPENS_AT + 1) is state
    assert breaker.allows(HALF_OPENS_AT + 1) is allowed


def test_it_half_opens_when_its_time_is_over_and_no_sooner() -> None:
    breaker = opened()
    assert [breaker.state(at) for at in (109.999, 110.0)] == [OPEN, HALF_OPEN]
    assert [breaker.allows(at) for at in (109.999, 110.0)] == [False, True]
    assert breaker.reopens_at(104.0) == 110.0
    assert breaker.reopens_at(110.0) is None


def test_a_failed_probe_opens_it_for_its_whole_time_again() -> None:
    breaker = opened()
    ticket = breaker.began(111.0)
    breaker.failed(115.0, ticket)
    assert [breaker.allows(at) for at in (115.0, 124.9, 125.0)] == [False, False, True]
    assert breaker.reopens_at(115.0) == 125.0


def test_other_bounds_hold_at_once_for_what_was_counted_before() -> None:
    breaker = opened()
    breaker.adjust(2, 5.0)
    assert breaker.state(105.0) is HALF_OPEN
    called(breaker, "succeeded", 105.0)
    called(breaker, "failed", 106.0)
    breaker.adjust(1, 7.0)
    assert breaker.state(106.0) is CLOSED, "only a failure opens it"
    called(breaker, "failed", 106.0)
    assert breaker.reopens_at(106.0) == 113.0


def test_after_recovery_it_takes_three_failures_again() -> None:
    breaker = opened()
    called(breaker, "succeeded", 110.0)
    assert breaker.failures == 0
    for _ in range(2):
        called(breaker, "failed", 111.0)
    assert breaker.state(111.0) is CLOSED


def test_after_recovery_failures_without_a_ticket_are_no_probes() -> None:
    breaker = opened()
    called(breaker, "succeeded", 110.0)
    for _ in range(2):
        breaker.failed(111.0)
    assert (breaker.state(111.0), breaker.failures) == (CLOSED, 2)


def test_a_probe_that_answered_and_then_dies_is_the_first_failure_of_the_next_row() -> None:
    breaker = opened()
    ticket = breaker.began(110.0)
    breaker.answered(111.0, ticket)
    breaker.failed(112.0, ticket)
    assert (breaker.state(112.0), breaker.failures) == (CLOSED, 1)


def test_streams_that_begin_well_and_all_die_open_it() -> None:
    breaker = Breaker(failures=3, open_seconds=10.0)
    for _ in range(3):
        ticket = breaker.began(100.0)
        breaker.answered(101.0, ticket)
        breaker.failed(102.0, ticket)
    assert breaker.state(102.0) is OPEN


# -- calls from before


def test_failures_of_older_calls_do_not_keep_it_open_longer() -> None:
    breaker = Breaker(failures=3, open_seconds=10.0)
    tickets = [breaker.began(99.0) for _ in range(50)]
    for number, ticket in enumerate(tickets):
        breaker.failed(100.0 + number / 10, ticket)
    assert breaker.reopens_at(105.0) == 110.2, "counted from the third"


OUTCOMES = ["succeeded", "answered", "failed", "abandoned"]


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_an_older_call_is_not_taken_for_the_probe(outcome: str) -> None:
    breaker = Breaker(failures=3, open_seconds=10.0)
    old = breaker.began(90.0)
    for _ in range(3):
        called(breaker, "failed", 100.0)
    getattr(breaker, outcome)(105.0, old)
    assert breaker.state(105.0) is OPEN, "nor does it open or close by it"
    late = breaker.began(90.0)
    probe = breaker.began(110.0)
    getattr(breaker, outcome)(111.0, late)
    assert breaker.state(111.0) is HALF_OPEN
    assert not breaker.allows(111.0), "the probe is still out"
    breaker.succeeded(112.0, probe)
    assert breaker.state(112.0) is CLOSED


def test_failures_of_calls_from_before_the_outage_do_not_open_it_once_more() -> None:
    breaker = Breaker(failures=3, open_seconds=10.0)
    old = [breaker.began(99.0) for _ in range(6)]
    for ticket in old[:3]:
        breaker.failed(100.0, ticket)
    called(breaker, "succeeded", 110.0)
    for ticket in old[3:]:
        breaker.failed(111.0, ticket)
    assert (breaker.state(111.0), breaker.failures) == (CLOSED, 0)


def test_a_success_from_before_the_outage_forgives_nothing_after_it() -> None:
    breaker = Breaker(failures=3, open_seconds=10.0)
    old = breaker.began(99.0)
    for _ in range(3):
        called(breaker, "failed", 100.0)
    called(breaker, "succeeded", 110.0)
    called(breaker, "failed", 111.0)
    called(breaker, "failed", 111.0)
    breaker.succeeded(112.0, old)
    called(breaker, "failed", 113.0)
    assert breaker.state(113.0) is OPEN


def test_outcomes_without_a_ticket_change_nothing_while_no_probe_is_out() -> None:
    breaker = opened()
    for outcome in OUTCOMES:
        getattr(breaker, outcome)(105.0)
        assert breaker.reopens_at(105.0) == 110.0
        getattr(breaker, outcome)(110.0)
        assert breaker.state(110.0) is HALF_OPEN


def test_a_call_that_began_without_leave_while_open_is_no_probe() -> None:
    breaker = opened()
    forced = breaker.began(105.0)
    breaker.succeeded(106.0, forced)
    assert breaker.state(106.0) is OPEN
    assert breaker.allows(110.0), "nor does it take the probe's place"


# -- 429 with retry-after


def test_a_cooled_upstream_is_not_called_until_then_and_its_circuit_stays() -> None:
    breaker = Breaker()
    breaker.cool(160.0)
    assert [breaker.allows(at) for at in (100.0, 159.9, 160.0)] == [False, False, True]
    assert breaker.state(100.0) is CLOSED
    assert (breaker.reopens_at(100.0), breaker.reopens_at(160.0)) == (160.0, None)


def test_a_shorter_wait_does_not_take_a_longer_one_back() -> None:
    breaker = Breaker()
    breaker.cool(160.0)
    breaker.cool(120.0)
    assert breaker.reopens_at(100.0) == 160.0


def test_a_wait_and_an_open_circuit_hold_until_both_are_over() -> None:
    longer, shorter = opened(), opened()
    longer.cool(130.0)
    shorter.cool(105.0)
    assert (longer.reopens_at(101.0), shorter.reopens_at(101.0)) == (130.0, 110.0)
    assert not longer.allows(120.0), "half-open, but asked to wait"


def test_while_the_probe_is_out_it_may_be_asked_again_at_any_moment() -> None:
    breaker = opened()
    breaker.began(112.0)
    assert breaker.reopens_at(113.0) == 113.0


# -- health


def after(ok: int, failed: int) -> Breaker:
    """A breaker that never opens, after `failed` and then `ok` calls, one a second from 0."""
    breaker = Breaker(failures=1000)
    for number in range(ok + failed):
        called(breaker, "failed" if number < failed else "succeeded", float(number))
    return breaker


HEALTHS: list[tuple[str, Callable[[], Breaker], float, Condition, str | None]] = [
    ("new", Breaker, 0.0, Condition.OK, None),
    ("one of one", partial(after, 0, 1), 1.0, Condition.DEGRADED, "the last call failed"),
    ("one of nine", partial(after, 8, 1), 9.0, Condition.DEGRADED, "1 of the last 9 calls failed"),
    ("one of ten", partial(after, 9, 1), 9.0, Condition.OK, None),
    (
        "three of twenty",
        partial(after, 17, 3),
        20.0,
        Condition.DEGRADED,
        "3 of the last 20 calls failed",
    ),
    ("two of twenty", partial(after, 18, 2), 20.0, Condition.OK, None),
    ("long ago", partial(after, 0, 2), 301.1, Condition.OK, None),
    (
        "just not long ago",
        partial(after, 0, 2),
        301.0,
        Condition.DEGRADED,
        "the last call failed",
    ),
    ("three calls of 23 too old to see", partial(after, 20, 3), 23.0, Condition.OK, None),
    ("open", opened, 102.0, Condition.UNHEALTHY, "3 failures in a row; a probe in 8 s"),
    (
        "half-open",
        opened,
        110.0,
        Condition.UNHEALTHY,
        "one probe decides whether it is called again",
    ),
]


@pytest.mark.parametrize(
    ("make", "now", "condition", "reason"), [c[1:] for c in HEALTHS], ids=[c[0] for c in HEALTHS]
)
def test_health_tells_how_it_is_and_why(
    make: Callable[[], Breaker], now: float, condition: Condition, reason: str | None
) -> None:
    assert health(make(), now) == Health(condition, reason)


def test_a_failed_probe_is_one_more_failure_in_the_row() -> None:
    breaker = opened()
    called(breaker, "failed", 110.0)
    assert health(breaker, 110.0).reason == "4 failures in a row; a probe in 10 s"


def test_an_upstream_that_asked_for_a_wait_is_degraded_for_so_long() -> None:
    breaker = Breaker()
    breaker.cool(60.0)
    assert health(breaker, 20.0) == Health(Condition.DEGRADED, "it wants no call for another 40 s")
    assert health(breaker, 60.0) == Health(Condition.OK)


def test_its_repr_tells_the_state() -> None:
    assert repr(Breaker()) == "<Breaker closed failures=0 probe=None>"
    assert repr(opened()) == "<Breaker opened at 100.000 failures=3 probe=None>"


# -- any order of calls, against a model that knows every call by itself


class AnyOrder(RuleBasedStateMachine):
    """Callers ask before they call, hold their ticket, and end as they like and in any order."""

    FAILURES, OPEN_SECONDS = 3, 10.0

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(self.FAILURES, self.OPEN_SECONDS)
        self.now = 1000.0
        self.out: dict[int, str] = {}
        self.opened_at: float | None = None
        self.row = 0

    @property
    def half(self) -> bool:
        return self.opened_at is not None and self.now >= self.opened_at + self.OPEN_SECONDS

    @property
    def probes(self) -> list[int]:
        return [ticket for ticket, role in self.out.items() if role == "probe"]

    @rule(seconds=st.sampled_from([0.0, 0.5, 4.0, 9.99, 10.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_call_begins_if_it_may(self) -> None:
        if self.breaker.allows(self.now):
            self.out[self.breaker.began(self.now)] = "probe" if self.half else "call"

    @precondition(lambda self: self.out)
    @rule(data=st.data(), outcome=st.sampled_from([*OUTCOMES, "failed"]))
    def a_call_tells(self, data: st.DataObject, outcome: str) -> None:
        ticket = data.draw(st.sampled_from(sorted(self.out)))
        role = self.out[ticket]
        getattr(self.breaker, outcome)(self.now, ticket)
        if outcome == "answered":
            if role == "probe":
                self._closes()
                self.out[ticket] = "call"  # it goes on as one of the calls of now
            return
        del self.out[ticket]
        if role == "probe":
            self._probe_ended(outcome)
        elif role == "call" and outcome == "succeeded":
            self.row = 0
        elif role == "call" and outcome == "failed":
            self.row += 1
            if self.row == self.FAILURES:
                self._opens()

    def _probe_ended(self, outcome: str) -> None:
        if outcome == "succeeded":
            self._closes()
        elif outcome == "failed":
            self._opens()

    def _opens(self) -> None:
        self.opened_at = self.now
        self.out = dict.fromkeys(self.out, "old")

    def _closes(self) -> None:
        self.opened_at, self.row = None, 0

    @invariant()
    def never_more_than_one_probe_is_out(self) -> None:
        assert len(self.probes) <= 1

    @invariant()
    def it_stands_where_the_model_does(self) -> None:
        expected = CLOSED if self.opened_at is None else HALF_OPEN if self.half else OPEN
        assert self.breaker.state(self.now) is expected
        allowed = expected is CLOSED or (expected is HALF_OPEN and not self.probes)
        assert self.breaker.allows(self.now) is allowed

    @invariant()
    def it_tells_when_it_may_be_called(self) -> None:
        again = self.breaker.reopens_at(self.now)
        assert (again is None) is self.breaker.allows(self.now)
        if again is not None and not self.probes:
            assert self.breaker.allows(again), "the time it tells is right"

    @invariant()
    def its_health_fits(self) -> None:
        found = health(self.breaker, self.now)
        assert (found.condition is Condition.UNHEALTHY) is (self.opened_at is not None)
        assert (found.reason is None) is (found.condition is Condition.OK)

    def teardown(self) -> None:
        """Whatever happened: with all calls over and enough time, one good probe closes it."""
        for ticket in self.out:
            self.breaker.abandoned(self.now, ticket)
        later = self.now + self.OPEN_SECONDS
        assert self.breaker.allows(later)
        called(self.breaker, "succeeded", later)
        assert self.breaker.state(later) is CLOSED


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=1000 if FULL else 100, stateful_step_count=40)


def test_a_circuit_that_one_failure_opens_names_one() -> None:
    breaker = Breaker(failures=1)
    called(breaker, "failed", 0.0)
    assert health(breaker, 10.0).reason == "1 failure; a probe in 20 s"
