"""Keeps the roll-ups current and the ledger within its age, in small pieces. Knows no thread."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Protocol

from streamgauge.ledger.base import Done, LedgerError
from streamgauge.ledger.doubting_clock import DoubtingClock
from streamgauge.ledger.retention import cutoff_us, delete_older
from streamgauge.ledger.rollup_fill import catch_up

__all__ = ["Later", "Maintain", "Timer", "Upkeep"]

ROLLUP_SECONDS = 1.0
"""What closes within this time is added up row by row when a screen asks; a row takes some 15 µs."""

RETENTION_SECONDS = 3600.0


class Timer(Protocol):
    """What a `Later` returns."""

    def cancel(self) -> None:
        """Keep the call from happening."""


class Later(Protocol):
    """Runs a call after so many seconds, on the owner's thread, such as `loop.call_later`."""

    def __call__(self, seconds: float, call: Callable[[], None], /) -> Timer: ...


class Maintain(Protocol):
    """`SqliteLedger.maintain`: runs a call on the connection, in a transaction of its own."""

    def __call__(
        self, name: str, run: Callable[[sqlite3.Connection], None], done: Done | None, /
    ) -> None: ...


class Upkeep:
    """Roll-ups every second, retention every hour; the first of each at `start`.

    Each call does one batch, and is followed at once by the next while there is more to do, with
    streams' own commits in between. A failed one (disk full, locked) waits for its next turn.
    `retention_days` is asked each time; 0 keeps all. `now_us`, `last_us`, `monotonic`: as in DoubtingClock.
    """

    def __init__(
        self,
        maintain: Maintain,
        later: Later,
        *,
        now_us: Callable[[], int],
        retention_days: Callable[[], int],
        last_us: int | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = DoubtingClock(now_us, monotonic, last_us)
        self._retention_days = retention_days
        self._chores = (
            _Chore("roll-ups", catch_up, ROLLUP_SECONDS, maintain, later),
            _Chore("retention", self._delete_old, RETENTION_SECONDS, maintain, later),
        )

    def start(self) -> None:
        """Begin; `done` callbacks and timers come on the owner's thread, as this call does."""
        for chore in self._chores:
            chore.go()

    def stop(self) -> None:
        """Ask for nothing more. What is queued in the ledger is still done."""
        for chore in self._chores:
            chore.stop()

    def _delete_old(self, connection: sqlite3.Connection) -> bool:
        days, now = self._retention_days(), self._clock.now_us()
        return days > 0 and delete_older(connection, cutoff_us(now, days))


class _Chore:
    """One kind of work: `step` does a batch and returns whether there is more to do."""

    def __init__(
        self,
        name: str,
        step: Callable[[sqlite3.Connection], bool],
        pause: float,
        maintain: Maintain,
        later: Later,
    ) -> None:
        self._name = name
        self._step = step
        self._pause = pause
        self._maintain = maintain
        self._later = later
        self._more = False
        self._stopped = False
        self._timer: Timer | None = None

    def go(self) -> None:
        """Queue one batch."""
        if not self._stopped:
            self._maintain(self._name, self._run, self._done)

    def stop(self) -> None:
        """Queue no more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def _run(self, connection: sqlite3.Connection) -> None:
        self._more = False
        self._more = self._step(connection)

    def _done(self, error: LedgerError | None) -> None:
        if self._stopped:
            return
        if error is None and self._more:
            self.go()
        else:
            self._timer = self._later(self._pause, self.go)
