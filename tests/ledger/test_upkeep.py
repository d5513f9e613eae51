"""Upkeep in small pieces: at once while there is more, else when its time has come."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from streamgauge.ledger import rollup
from streamgauge.ledger.base import Done, LedgerUnavailable
from streamgauge.ledger.rollup_sql import DAY_US
from streamgauge.ledger.schema import open_for_writing
from streamgauge.ledger.sqlite import SqliteLedger
from streamgauge.ledger.upkeep import RETENTION_SECONDS, ROLLUP_SECONDS, Upkeep

from .ledger_rig import Owner, rows_in
from .made_ledger import START, make


@dataclass
class Alarm:
    seconds: float
    call: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Shell:
    """Does what it is told at once, and rings when the test says so."""

    connection: sqlite3.Connection
    alarms: list[Alarm] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    fails_after: int = 1000

    def later(self, seconds: float, call: Callable[[], None], /) -> Alarm:
        self.alarms.append(Alarm(seconds, call))
        return self.alarms[-1]

    def maintain(
        self, name: str, run: Callable[[sqlite3.Connection], None], done: Done | None, /
    ) -> None:
        assert done is not None
        self.done.append(name)
        if len(self.done) > self.fails_after:
            done(LedgerUnavailable("disk full"))
            return
        self.connection.execute("BEGIN IMMEDIATE")
        run(self.connection)
        self.connection.execute("COMMIT")
        done(None)


def upkeep_of(shell: Shell, days: int) -> Upkeep:
    return Upkeep(
        shell.maintain, shell.later,
        now_us=lambda: START + 40 * DAY_US, retention_days=lambda: days,
    )  # fmt: skip


def test_batches_follow_each_other_until_all_is_done(path: Path) -> None:
    make(path, 1300, days=3)
    with closing(open_for_writing(path)) as connection:
        shell = Shell(connection)
        upkeep_of(shell, days=30).start()
        assert shell.done == ["roll-ups"] * 3 + ["retention"] * 7
        assert [alarm.seconds for alarm in shell.alarms] == [ROLLUP_SECONDS, RETENTION_SECONDS]
        assert connection.execute("SELECT count(*) FROM requests").fetchone() == (0,)
        (told,) = rollup.usage(connection)
        assert told.exchanges == 1300
        shell.alarms[0].call()
        assert len(shell.done) == 11


def test_no_retention_keeps_all(path: Path) -> None:
    make(path, 10)
    with closing(open_for_writing(path)) as connection:
        upkeep_of(Shell(connection), days=0).start()
        assert connection.execute("SELECT count(*) FROM requests").fetchone() == (10,)


def test_a_clock_that_jumps_ahead_deletes_nothing_for_a_day(path: Path) -> None:
    make(path, 10)
    hours = ahead = 0
    with closing(open_for_writing(path)) as connection:
        shell = Shell(connection)
        Upkeep(
            shell.maintain,
            shell.later,
            now_us=lambda: START + DAY_US + (hours * 3600 + ahead) * 1_000_000,
            retention_days=lambda: 30,
            monotonic=lambda: 7.0 + hours * 3600,
        ).start()
        ahead = 365 * 86_400
        left = []
        for _ in range(26):
            hours += 1
            shell.alarms[-1].call()
            left.append(connection.execute("SELECT count(*) FROM requests").fetchone()[0])
    assert left == [10] * 24 + [0, 0]


def test_a_failure_waits_for_the_next_turn(path: Path) -> None:
    make(path, 1300)
    with closing(open_for_writing(path)) as connection:
        shell = Shell(connection, fails_after=1)
        upkeep_of(shell, days=0).start()
        assert shell.done == ["roll-ups", "roll-ups", "retention"]
        shell.fails_after = 1000
        shell.alarms[0].call()
        assert shell.done.count("roll-ups") == 4


def test_stopped_it_asks_for_nothing_more(path: Path) -> None:
    make(path, 10)
    with closing(open_for_writing(path)) as connection:
        shell = Shell(connection)
        upkeep = upkeep_of(shell, days=0)
        upkeep.start()
        upkeep.stop()
        assert [alarm.cancelled for alarm in shell.alarms] == [True, True]
        shell.alarms[0].call()
        assert len(shell.done) == 2


def test_a_ledger_does_it_between_its_commits(
    path: Path, opened: Callable[..., SqliteLedger], owner: Owner
) -> None:
    make(path, 1300, days=3)
    ledger = opened()
    alarms: list[Alarm] = []

    def later(seconds: float, call: Callable[[], None], /) -> Alarm:
        alarms.append(Alarm(seconds, call))
        return alarms[-1]

    Upkeep(
        ledger.maintain, later, now_us=lambda: START + 40 * DAY_US, retention_days=lambda: 30
    ).start()
    while len(alarms) < 2:
        owner.run_one()
    assert rows_in(path, "SELECT rolled_up_to FROM rollup_state") == [(1300,)]
    # Retention may have had its first turns before the roll-ups were through, and waits an hour.
    alarms[-1].call()
    alarms[0].call()
    while len(alarms) < 4:
        owner.run_one()
    assert rows_in(path, "SELECT count(*) FROM requests") == [(0,)]
    assert ledger.healthy
