"""Random work in random weather, cut at a random instant: after it each id has one row, closed once."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from streamgauge.core.record import Status
from streamgauge.ledger.base import LedgerError, LedgerUnavailable
from streamgauge.ledger.operations import (
    AddAttempt,
    Begin,
    Close,
    Committed,
    Insert,
    Operation,
)
from streamgauge.ledger.rows import ATTEMPTS, REQUESTS
from streamgauge.ledger.schema import open_for_writing
from streamgauge.ledger.spool import SpoolFile, spool_path
from streamgauge.ledger.spooler import Spooler
from streamgauge.ledger.sqlite import SqliteLedger
from streamgauge.ledger.store import SqliteStore
from streamgauge.ledger.writer import Writer

from .ledger_rig import a_record, an_attempt, closed, rows_in

SEEDS = range(60) if os.environ.get("STREAMGAUGE_FULL") == "1" else range(5)
STEPS = 150


@dataclass
class Told:
    """What the ledger promised, as of now."""

    begun: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)

    def copy(self) -> Told:
        return Told(set(self.begun), set(self.refused), set(self.ended))


class Crash:
    """Copies the files of a ledger, as a crash would leave them, at the `at`-th place passed."""

    def __init__(self, path: Path, folder: Path, told: Told, at: int) -> None:
        self.path, self.folder, self.told = path, folder, told
        self._left = at
        self.promised: Told | None = None
        self.place = ""

    def passes(self, place: str) -> bool:
        """Say that the writer is at `place`; True when the files were copied there."""
        self._left -= 1
        if self._left:
            return False
        self.place, self.promised = place, self.told.copy()
        self.folder.mkdir()
        for file in self.path.parent.glob("ledger.db*"):
            shutil.copy(file, self.folder / file.name)
        (self.folder / "ledger.db-shm").unlink(missing_ok=True)
        return True


class Weather:
    """The real store, which is away at times, and at times commits and does not say so (F15)."""

    def __init__(self, store: SqliteStore, crash: Crash, dice: random.Random) -> None:
        self._store, self._crash, self._dice = store, crash, dice
        self.away = threading.Event()

    def commit(
        self, operations: Sequence[Operation], *, patient: bool, again: bool = False
    ) -> Committed:
        self._crash.passes("before a commit")
        self._look()
        committed = self._store.commit(operations, patient=patient, again=again)
        self._crash.passes("after a commit")
        if self._dice.random() < 0.1:
            raise LedgerUnavailable("the acknowledgement was lost")
        return committed

    def _look(self) -> None:
        if self.away.is_set():
            raise LedgerUnavailable("away")

    def maintain(self, run: Callable[[sqlite3.Connection], None]) -> None:
        self._look()
        self._store.maintain(run)

    def probe(self) -> None:
        self._look()
        self._store.probe()

    def tidy(self, *, idle: bool) -> None:
        self._store.tidy(idle=idle)

    def close(self) -> None:
        self._store.close()


class CrashingSpool(SpoolFile):
    """The real spool, which passes the places where a crash matters."""

    def __init__(self, path: Path, crash: Crash, dice: random.Random) -> None:
        super().__init__(path)
        self._crash, self._dice = crash, dice

    def append(self, frames: Sequence[bytes]) -> None:
        before, begin = self.path.read_bytes(), self.end
        super().append(frames)
        if self._crash.passes("in an append"):
            cut = self._dice.randint(begin, self.end)
            torn = self.path.read_bytes()[:cut] + before[cut:]
            (self._crash.folder / self.path.name).write_bytes(torn)
        self._crash.passes("after an append")

    def reset(self) -> None:
        self._crash.passes("before a reset")
        super().reset()
        self._crash.passes("after a reset")


class Work:
    """Exchanges that begin, try again, end and are refused, in an order that the dice choose."""

    def __init__(self, writer: Writer, told: Told, dice: random.Random) -> None:
        self.writer, self.told, self.dice = writer, told, dice
        self.number = 0
        self.live: list[str] = []
        self.tries: dict[str, int] = {}
        self.begins: set[str] = set()
        self.closes: set[str] = set()
        self.more = threading.Condition()

    def step(self) -> None:
        """Do one thing."""
        kind = self.dice.random()
        if kind < 0.45 or not self.live:
            self.begin()
        elif kind < 0.55:
            id = self.dice.choice(self.live)
            if id not in self.told.begun:
                return  # An upstream is called when its begin is committed, not before.
            self.tries[id] += 1
            attempt = ATTEMPTS.row(an_attempt(id, self.tries[id]))
            self.writer.submit(AddAttempt(attempt, lambda error: None))
        elif kind < 0.9:
            self.close(self.live.pop(self.dice.randrange(len(self.live))))
        else:
            self.number += 1
            rejected = a_record(f"no{self.number}", status=Status.REJECTED, success=False)
            self.writer.submit(Insert(REQUESTS.row(rejected), None))

    def begin(self) -> None:
        self.number += 1
        id = f"r{self.number}"
        request = REQUESTS.row(a_record(id, client_app="x" * self.dice.choice((1, 300))))
        self.begins.add(id)
        self.live.append(id)
        self.tries[id] = 1
        self.writer.submit(Begin(request, ATTEMPTS.row(an_attempt(id)), self._begun(id)))

    def close(self, id: str) -> None:
        record = closed(a_record(id))
        if id in self.told.refused:
            record.status, record.success = Status.REJECTED, False
        self.closes.add(id)
        row = REQUESTS.row(record)
        attempts = tuple(
            ATTEMPTS.row(an_attempt(id, n, outcome=record.status))
            for n in range(1, self.tries[id] + 1)
        )
        rejected = record.status == Status.REJECTED
        self.writer.submit(Close(row, attempts, self._ended(id), rejected))

    def wait(self) -> None:
        """Wait until every begin was answered."""
        with self.more:
            answered = self.told.begun | self.told.refused
            assert self.more.wait_for(
                lambda: self.begins <= self.told.begun | self.told.refused, 20
            ), self.begins - answered

    def _begun(self, id: str) -> Callable[[LedgerError | None], None]:
        def done(error: LedgerError | None) -> None:
            with self.more:
                assert id not in self.told.begun | self.told.refused
                (self.told.begun if error is None else self.told.refused).add(id)
                self.more.notify_all()

        return done

    def _ended(self, id: str) -> Callable[[LedgerError | None], None]:
        def done(error: LedgerError | None) -> None:
            assert error is None
            self.told.ended.add(id)

        return done


def check(path: Path, told: Told, work: Work) -> None:
    """Start on `path` as the next gateway would, and hold its rows against what was promised."""
    ledger = SqliteLedger(path, owner="next", now_us=lambda: 9, post=lambda call: call())
    ledger.stop(10)
    rows = dict(rows_in(path, "SELECT id, status FROM requests"))
    assert told.begun <= rows.keys()
    assert "in_flight" not in rows.values()
    assert rows_in(path, "SELECT count(*) FROM attempts WHERE outcome IS NULL") == [(0,)]
    assert {id for id in told.ended & told.begun if rows[id] != "completed"} == set()
    assert told.ended <= rows.keys()
    assert {id for id, status in rows.items() if status == "completed"} <= work.closes
    firsts = {id for (id,) in rows_in(path, "SELECT request_id FROM attempts WHERE n = 1")}
    assert told.begun <= firsts <= rows.keys() | work.begins
    assert rows_in(path, "PRAGMA integrity_check") == [("ok",)]
    again = SqliteLedger(path, owner="then", now_us=lambda: 99, post=lambda call: call())
    again.stop(10)
    assert (again.recovered, again.stats().replayed) == (0, 0)
    assert dict(rows_in(path, "SELECT id, status FROM requests")) == rows


@pytest.mark.fault("F12")
@pytest.mark.parametrize("seed", SEEDS)
def test_any_order_of_work_and_weather_gives_each_id_one_row_closed_once(
    tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    (tmp_path / "live").mkdir()
    path = tmp_path / "live" / "ledger.db"
    told = Told()
    crash = Crash(path, tmp_path / "crashed", told, dice.randint(3, 150))
    store = Weather(SqliteStore(open_for_writing(path), path, busy_ms=50), crash, dice)
    file = CrashingSpool(spool_path(path), crash, dice)
    spooler = Spooler(file)
    spooler.allocate(dice.choice((20, 30, 200)) << 10)
    writer = Writer(store, lambda call: call(), spooler=spooler, retry_seconds=0.01)
    work = Work(writer, told, dice)
    for i in range(20 * STEPS):
        if i >= STEPS and crash.promised is not None:
            break
        work.step()
        if dice.random() < 0.08:
            (store.away.clear if store.away.is_set() else store.away.set)()
        if dice.random() < 0.5:
            work.wait()
    store.away.clear()
    for id in work.live:
        work.close(id)
    assert writer.stop(30)
    assert crash.promised is not None, "the run passed too few places"
    print(f"seed {seed}: {crash.place}; {writer.stats()}")
    check(crash.folder / "ledger.db", crash.promised, work)
    assert told.ended == work.closes
    assert (writer.stats().kept, writer.stats().double_closes, writer.stats().refused) == (0, 0, 0)
    assert rows_in(path, "SELECT count(*) FROM requests WHERE status = 'in_flight'") == [(0,)]
    check(path, told, work)
