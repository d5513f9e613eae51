"""kill -9 at any instant: nothing lost, nothing double, what was open is closed once (F1, F2)."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from streamgauge.core.record import Status
from streamgauge.ledger.sqlite import SqliteLedger

from .ledger_rig import NOW, Owner, a_record, an_attempt, closed, rows_in
from .subprocesses import start
from .test_outage import locked

WORKING = """
ledger, round = opened(sys.argv[1]), sys.argv[2]
import itertools, threading
room = threading.Semaphore(1000)

def begun(id, error):
    say("begun", id, error)
    room.release()

for i in itertools.count():
    id = f"{round}-{i}"
    record, attempt = rows(id)
    room.acquire()
    ledger.begin(record, attempt, lambda error, id=id: begun(id, error))
    if i % 3:
        record.status, record.success = Status.COMPLETED, True
        attempt.outcome = "completed"
        ledger.close(record, [attempt], lambda error, id=id: say("closed", id, error))
    if i % 50 == 49:
        sys.stdout.flush()
"""
ROUNDS = 8


def killed_after(lines: int, path: Path, number: int) -> tuple[set[str], set[str]]:
    """Run a gateway's work, kill it when it has told `lines` outcomes; return begun and closed."""
    with start(WORKING, path, number) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        told += process.stdout.readlines()
    assert process.returncode == -9
    outcomes = [line.split() for line in told if line.endswith("\n")]
    assert {error for _, _, error in outcomes} == {"None"}
    begun = {id for word, id, _ in outcomes if word == "begun"}
    return begun, {id for word, id, _ in outcomes if word == "closed"}


@pytest.mark.fault("F1", seeds=ROUNDS)
def test_kills_lose_nothing_and_double_nothing(
    path: Path, opened: Callable[..., SqliteLedger], record_property: Callable[..., None]
) -> None:
    seed = random.randrange(10**6)
    record_property("seed", seed)
    dice = random.Random(seed)
    begun: set[str] = set()
    ended: set[str] = set()
    recovered = 0
    for number in range(ROUNDS):
        more_begun, more_ended = killed_after(dice.randint(1, 400), path, number)
        begun |= more_begun
        ended |= more_ended
        ledger = opened()
        recovered += ledger.recovered
        ledger.stop(5)
    statuses = dict(rows_in(path, "SELECT id, status FROM requests"))
    assert begun <= statuses.keys(), seed
    assert {id for id in ended if statuses[id] != "completed"} == set(), seed
    assert set(statuses.values()) == {"completed", "gateway_crash"}, seed
    assert sum(status == "gateway_crash" for status in statuses.values()) == recovered, seed
    assert rows_in(path, "SELECT count(*) FROM attempts WHERE outcome IS NULL") == [(0,)]
    assert rows_in(path, "SELECT count(*) FROM attempts") == [(len(statuses),)]
    assert rows_in(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.fixture
def left_open(path: Path, opened: Callable[..., SqliteLedger], owner: Owner) -> Path:
    """Leave two rows in flight, one with a finished first attempt, and one closed."""
    ledger = opened()
    for id in ("open", "later", "closed"):
        started = NOW + 60_000_000 if id == "later" else NOW
        ledger.begin(
            a_record(id, started_at=started, error_code="stale"),
            an_attempt(id, started_at=started, outcome="upstream_error" if id == "open" else None),
            owner.done(id),
        )
    ledger.attempt(an_attempt("open", 2), owner.done("second"))
    ledger.close(closed(a_record("closed")), [an_attempt("closed", outcome="completed")],
                 owner.done("end"))  # fmt: skip
    owner.wait("open", "second", "later", "end")
    ledger.stop(5)
    return path


def test_a_start_closes_what_was_left_open(
    left_open: Path, opened: Callable[..., SqliteLedger]
) -> None:
    ledger = opened(now_us=lambda: NOW + 9)
    assert ledger.recovered == 2
    crash = Status.GATEWAY_CRASH.value
    query = "SELECT id, status, success, finished_at, error_code FROM requests ORDER BY rowid"
    assert rows_in(left_open, query) == [
        ("open", crash, 0, NOW + 9, None),
        ("later", crash, 0, NOW + 60_000_000, None),
        ("closed", "completed", 1, NOW + 5_000, None),
    ]
    query = "SELECT request_id, n, outcome FROM attempts ORDER BY 1, 2"
    assert rows_in(left_open, query) == [
        ("closed", 1, "completed"),
        ("later", 1, crash),
        ("open", 1, "upstream_error"),
        ("open", 2, crash),
    ]


def test_a_crashed_row_says_that_no_count_is_known(
    left_open: Path, opened: Callable[..., SqliteLedger]
) -> None:
    opened().stop(5)
    columns = "usage_source, input_source, tps_source, cost_reason, input_tokens, output_tokens"
    query = f"SELECT {columns} FROM requests WHERE status = 'gateway_crash'"
    told = ("none", "none", "none", "usage_unknown", None, None)
    assert rows_in(left_open, query) == [told] * 2


def test_the_next_start_finds_nothing_more(
    left_open: Path, opened: Callable[..., SqliteLedger]
) -> None:
    opened(now_us=lambda: NOW + 9).stop(5)
    before = rows_in(left_open, "SELECT * FROM requests")
    assert opened(now_us=lambda: NOW + 99).recovered == 0
    assert rows_in(left_open, "SELECT * FROM requests") == before


def test_a_late_close_of_a_dead_owners_row_changes_nothing(
    left_open: Path, opened: Callable[..., SqliteLedger], owner: Owner
) -> None:
    ledger = opened()
    ledger.close(closed(a_record("open")), [], owner.done("late"))
    assert owner.wait("late") == [None]
    assert ledger.stats().double_closes == 1
    assert rows_in(left_open, "SELECT status FROM requests WHERE id = 'open'") == [
        ("gateway_crash",)
    ]


def test_a_crashed_row_tells_of_the_attempt_that_was_running(
    path: Path, opened: Callable[..., SqliteLedger], owner: Owner
) -> None:
    ledger = opened()
    record = a_record("open", upstream="first", upstream_model="m", attempts=1)
    first = an_attempt("open", upstream="first", model="m", outcome="upstream_error")
    ledger.begin(record, first, owner.done("open"))
    ledger.attempt(an_attempt("open", 2, upstream="second", model="n"), owner.done("second"))
    owner.wait("open", "second")
    ledger.stop(5)
    opened().stop(5)
    query = "SELECT status, attempts, upstream, upstream_model FROM requests"
    assert rows_in(path, query) == [("gateway_crash", 2, "second", "n")]


@pytest.mark.parametrize("away", [False, True], ids=["database", "spool"])
def test_how_an_attempt_ended_that_another_followed_outlives_a_crash(
    away: bool, path: Path, opened: Callable[..., SqliteLedger], owner: Owner
) -> None:
    ledger = opened(spool_bytes=1 << 20)
    first = an_attempt("open", upstream="first", model="m")
    ledger.begin(a_record("open"), first, owner.done("open"))
    owner.wait("open")
    first.outcome, first.http_status, first.finished_at = "upstream_error", 503, NOW + 7
    with locked(path) if away else contextlib.nullcontext():
        second = an_attempt("open", 2, upstream="second")
        ledger.attempt(second, owner.done("second"), first)
        assert owner.wait("second") == [None]
        first.outcome = "what it becomes later"
    ledger.stop(5)
    opened(spool_bytes=1 << 20, now_us=lambda: NOW + 9).stop(5)
    query = "SELECT n, outcome, http_status, finished_at FROM attempts ORDER BY n"
    assert rows_in(path, query) == [
        (1, "upstream_error", 503, NOW + 7),
        (2, Status.GATEWAY_CRASH.value, None, NOW + 9),
    ]
