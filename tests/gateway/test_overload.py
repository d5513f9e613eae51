"""Who is refused and who makes room, and what a closing row is told, on made-up numbers."""

from __future__ import annotations

import asyncio
import errno
import resource
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streamgauge.core.errors import GatewayError
from streamgauge.core.record import ExchangeRecord
from streamgauge.core.verdict import State, Status, failed
from streamgauge.gateway.client_application import EarlyAnswer
from streamgauge.gateway.client_patience import BodyPace, Linger
from streamgauge.gateway.descriptors import DescriptorBudget, raise_limit
from streamgauge.gateway.dial import DialError, Target, dial
from streamgauge.gateway.http import FailKind
from streamgauge.gateway.overload import Guest, Overload
from streamgauge.gateway.pool import Pool, PoolSettings
from streamgauge.gateway.pulse import LoopPulse
from streamgauge.gateway.relay import Relay
from streamgauge.gateway.watchdog import stack_of
from streamgauge.gateway.witness import WitnessedLedger
from streamgauge.ledger.base import Ledger


class Sitting:
    """A connection that is idle since a number of seconds, or is not."""

    def __init__(self, idle: float | None) -> None:
        self.idle_since = None if idle is None else time.monotonic() - idle
        self.answer: EarlyAnswer | None = None
        self.lingers: bool | None = None
        self.drained = False

    def drain(self) -> None:
        self.drained = True

    def turn_away(self, answer: EarlyAnswer, *, linger: bool) -> None:
        self.answer, self.lingers = answer, linger


def overload(guests: list[Sitting], room: int = 1000, spare: int = 4) -> Overload:
    """Return one with `room` sockets."""
    loop = asyncio.get_running_loop()
    made = Overload(
        loop, cast(Ledger, None), lambda: 0, Pool(loop, PoolSettings()), cast("list[Guest]", guests)
    )
    made._budget = DescriptorBudget(room, spare)
    return made


def relays(*states: tuple[State, bool]) -> dict[str, Relay]:
    """Return relays whose exchanges are in `states`, draining or not."""
    made = {
        str(n): SimpleNamespace(exchange=SimpleNamespace(state=state, draining=draining))
        for n, (state, draining) in enumerate(states)
    }
    return cast("dict[str, Relay]", made)


@pytest.mark.parametrize(
    ("states", "most", "refused"),
    [
        ([], 0, False),
        ([(State.STREAMING, False)] * 5, 0, False),
        ([(State.STREAMING, False)] * 4, 5, False),
        ([(State.STREAMING, False)] * 5, 5, True),
        ([(State.CONNECTING, False), (State.DRAINING, True)], 2, True),
        ([(State.STREAMING, False), (State.DRAINING, False)], 2, False),
    ],
)
@pytest.mark.asyncio
async def test_streams_count_until_their_client_has_all(
    states: list[tuple[State, bool]], most: int, refused: bool
) -> None:
    made = overload([])
    if not refused:
        made.check_stream(relays(*states), most)
        return
    with pytest.raises(GatewayError) as caught:
        made.check_stream(relays(*states), most)
    assert (caught.value.status, caught.value.code) == (503, "overloaded")


@pytest.mark.asyncio
async def test_the_longest_idle_go_first_and_the_young_and_busy_stay() -> None:
    idle = [Sitting(float(10 + n)) for n in range(32)]
    guests = [*idle, Sitting(None), Sitting(0.2)]
    overload(guests, room=33).welcome(cast(Guest, guests[-1]))
    assert [guest.drained for guest in guests] == [False] * 29 + [True] * 3 + [False] * 2
    assert guests[-1].answer is None


@pytest.mark.parametrize(
    ("beyond", "turned_away", "lingers"),
    [(0, False, None), (4, False, None), (5, True, True), (6, True, True), (7, True, False)],
)
@pytest.mark.asyncio
async def test_without_an_idle_one_a_newcomer_may_ask_until_the_spare_places_are_taken(
    beyond: int, turned_away: bool, lingers: bool | None
) -> None:
    guests = [Sitting(None) for _ in range(9 + beyond)] + [Sitting(0.0)]
    made = overload(guests, room=10)
    made.welcome(cast(Guest, guests[-1]))
    answer = guests[-1].answer
    assert (answer is not None, guests[-1].lingers) == (turned_away, lingers)
    if answer is not None:
        headers = dict(answer.headers)
        assert answer.status == 503
        assert headers[b"x-request-id"] == headers[b"request-id"]
        assert len(headers[b"x-request-id"]) >= 16
    with pytest.raises(GatewayError, match="descriptor"):
        made.check_stream({}, 0)


def test_the_budget_leaves_a_reserve_below_the_limit() -> None:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    budget = DescriptorBudget.of_process()
    assert limit // 2 < budget.room < limit - 64
    assert budget.spare == 32


def test_the_limit_is_raised_to_what_is_allowed() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(500, before[1]), before[1]))
    try:
        assert raise_limit() == before[1]
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


class Full(asyncio.SelectorEventLoop):
    """A loop in a process without a descriptor left."""

    async def create_connection(self, *_: Any, **__: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")


def test_a_dial_without_a_descriptor_is_our_fault_and_refused() -> None:
    loop = Full()
    try:
        with pytest.raises(DialError) as caught:
            loop.run_until_complete(dial(loop, Target("http", "127.0.0.1", 1), asyncio.Protocol))
    finally:
        loop.close()
    assert caught.value.kind is FailKind.EXHAUSTED
    verdict = failed(caught.value.kind.value)
    assert verdict.error is not None
    assert (verdict.status, verdict.error.status) == (Status.REJECTED, 503)


def test_a_body_is_too_slow_by_the_window_and_not_by_the_moment() -> None:
    pace = BodyPace(rate=100, window=10, now=0.0)
    pace.came(1000)
    assert [pace.too_slow(now) for now in (5.0, 9.9, 10.0)] == [False] * 3
    pace.came(999)
    assert [pace.too_slow(now) for now in (11.0, 19.9, 20.0)] == [False, False, True]


def test_lingering_ends_by_time_and_by_bytes() -> None:
    linger = Linger(2.0, 5.0, 100, now=10.0)
    assert linger.deadline == 12.0
    assert linger.came(60, 11.0)
    assert linger.deadline == 13.0
    assert linger.came(40, 14.5)
    assert linger.deadline == 15.0
    assert not linger.came(1, 14.6)


class Kept:
    """A ledger that keeps what it is told to close."""

    def __init__(self) -> None:
        self.closed: list[ExchangeRecord] = []

    def close(self, record: ExchangeRecord, attempts: Any, done: Any) -> None:
        self.closed.append(record)


def closed(*, wall_off: int = 0, due: float | None = None, started: float = 100.0) -> list[str]:
    """Close a row of 10 s at monotonic 110; `due`: when the loop's beat should have been."""
    pulse = LoopPulse(cast(asyncio.AbstractEventLoop, None))
    pulse._due = due
    kept = Kept()
    ledger = WitnessedLedger(
        cast(Ledger, kept), pulse, lambda: 20_000_000 + wall_off, lambda: started + 10.0
    )
    row = ExchangeRecord(
        id="x" * 16,
        owner="o",
        started_at=10_000_000,
        finished_at=20_000_000,
        dialect="openai",
        endpoint="chat/completions",
        anomalies=["bad_json"],
    )
    ledger.close(row, (), lambda _: None)
    assert kept.closed == [row]
    return row.anomalies


@pytest.mark.parametrize(
    ("wall_off", "due", "seen"),
    [
        (0, None, []),
        (4_900_000, 110.2, []),
        (-4_900_000, 109.5, []),
        (5_100_000, None, ["clock_jump"]),
        (-3_600_000_000, None, ["clock_jump"]),
        (0, 108.9, ["loop_lag"]),
        (3_600_000_000, 105.0, ["clock_jump", "loop_lag"]),
        (0, 99.0, []),
    ],
)
def test_a_closing_row_is_told_of_jumps_and_stalls(
    wall_off: int, due: float | None, seen: list[str]
) -> None:
    assert closed(wall_off=wall_off, due=due) == sorted(["bad_json", *seen])


@pytest.mark.asyncio
async def test_a_late_beat_is_remembered_for_what_ran_before_it() -> None:
    pulse = LoopPulse(asyncio.get_running_loop())
    now = time.monotonic()
    pulse._due = now - 1.5
    pulse._beat()
    assert pulse.stalled_since(now - 2.0, time.monotonic())
    assert not pulse.stalled_since(now - 1.0, time.monotonic())
    assert 1500 <= pulse.lag_ms < 3000
    pulse.stop()
    assert pulse.overdue(now + 99) == 0.0


def test_the_stack_of_a_thread_that_is_gone_is_unknown() -> None:
    assert stack_of(1) == "-"
