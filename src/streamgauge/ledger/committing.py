"""What to commit next, and what to do when that fails. Knows no thread, no queue and no SQL."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from itertools import chain, islice

from streamgauge.ledger.answers import Answer, Answers
from streamgauge.ledger.base import (
    LedgerDamaged,
    LedgerError,
    LedgerStats,
    LedgerUnavailable,
)
from streamgauge.ledger.operations import (
    AddAttempt,
    Begin,
    Close,
    Committed,
    Maintain,
    Operation,
    Store,
    owed,
)
from streamgauge.ledger.rows import Value
from streamgauge.ledger.spooler import Spooler

__all__ = ["Committer"]

_GROUP = 1000
"""Operations in one commit at most: about 20 ms of work between two fsyncs."""

_PROBE = 128
"""The same while commits fail: a try that is likely to be in vain should be cheap."""

_IDLE_SECONDS = 1.0
"""Nothing to do for so long is a good moment to tidy."""


class Committer:
    """Commits operations in the order they came, and tells each its outcome. For one thread.

    When the database fails, operations go into the spool and count as committed; from there they
    are played back, in order, before anything else is committed. What finds no room there: begins
    and attempts are refused, closes and inserts are kept in memory and tried again.
    """

    def __init__(
        self,
        store: Store,
        spooler: Spooler | None,
        answers: Answers,
        *,
        kept_inserts: int,
        retry_seconds: float,
    ) -> None:
        self._store = store
        self._spooler = spooler
        self._answers = answers
        self._kept_inserts = kept_inserts
        self._retry_seconds = retry_seconds
        self.waiting: deque[Operation] = deque()
        self.kept: deque[Operation] = deque()
        self.chores: deque[Maintain] = deque()
        # Ids whose begin failed and whose close has not come; other threads put in and take out.
        self.unbegun: set[Value] = set()
        self.reason: str | None = None
        # How many begins the last group had.
        self.begun = 0
        self._away_since = self._retry_at = 0.0
        self._played_before = 0
        self._overflowed = self._untidy = self._playing = False
        self._commits = self._rows = self._failures = 0
        self._double_closes = self._lost_inserts = 0
        self._maintained = self._maintenance_failures = 0

    @property
    def healthy(self) -> bool:
        """Whether a begin would be committed now."""
        return self.reason is None or (self._spooler is not None and self._spooler.takes_begins)

    def explain(self) -> str | None:
        """Say why the database cannot be written, and whether the spool helps; None when well."""
        reason = self.reason
        if reason is None or self._spooler is None or self._spooler.takes_begins:
            return reason
        return f"{reason}, and its spool takes no more"

    @property
    def spools(self) -> bool:
        """Whether operations need not wait for the database."""
        return self._spooler is not None

    @property
    def working(self) -> bool:
        """Whether something can be done at once, or is only in memory."""
        if self.waiting or self.kept:
            return True
        pending = self._spooler is not None and self._spooler.pending
        return pending and time.monotonic() >= self._retry_at

    @property
    def owes(self) -> bool:
        """Whether what is only in memory must not be lost."""
        return bool(self.waiting) or any(map(owed, self.kept))

    def hurry(self) -> None:
        """Have the next step try the database."""
        self._retry_at = 0.0

    def pause(self) -> float | None:
        """Return the seconds until `step` has something to do, None for ever."""
        if self.reason is not None:
            return max(0.0, self._retry_at - time.monotonic())
        if self.waiting or self.kept or self.chores:
            return 0.0
        return _IDLE_SECONDS if self._untidy else None

    def step(self) -> None:
        """Commit one group, or try again what failed; then do one piece of maintenance."""
        commits = self._commits
        if self.reason is None or self._spooler is None:
            self._to_database()
        else:
            self._shelter(LedgerUnavailable(self.reason))
            if time.monotonic() >= self._retry_at:
                self._try_again(self._spooler)
        self._do_chore()
        if self.reason is None:
            self._untidy = self._commits > commits
            self._store.tidy(idle=not self._untidy)

    def end(self, stopping: bool) -> None:
        """Answer what will not be written, and let store and spool go."""
        left = [*self.kept, *self.waiting]
        if left or not stopping:
            self.reason = self.reason or "the ledger's writer has ended"
        error = LedgerUnavailable(f"not written: {self.reason}")
        self._answers.tell([(each.done, error) for each in left if each.done is not None])
        stopped = LedgerUnavailable("the ledger is stopped")
        self._answers.tell([(each.done, stopped) for each in self.chores if each.done is not None])
        try:
            self._store.close()
        except LedgerUnavailable as fault:
            self.reason = str(fault)
        if self._spooler is not None:
            self._spooler.close()

    def stats(self, *, queued: int, turned_away: int, waited: int, lost: int) -> LedgerStats:
        """Return the counts, from any thread; those of the queue are given."""
        spooler = self._spooler
        return LedgerStats(
            queued=queued + len(self.waiting) + len(self.kept),
            kept=len(self.kept),
            commits=self._commits,
            rows=self._rows,
            failures=self._failures,
            refused=self._answers.refused,
            double_closes=self._double_closes,
            lost_inserts=self._lost_inserts + lost,
            turned_away=turned_away,
            waited=waited,
            spool_bytes=0 if spooler is None else spooler.used,
            spooled=0 if spooler is None else spooler.spooled,
            replayed=0 if spooler is None else spooler.played,
            maintained=self._maintained,
            maintenance_failures=self._maintenance_failures,
        )

    def _to_database(self) -> None:
        away = self.reason is not None
        group = list(islice(chain(self.kept, self.waiting), _PROBE if away else _GROUP))
        if not group and not away:
            return
        patient = not away or any(isinstance(each, Begin | AddAttempt) for each in self.waiting)
        again = away or bool(self.kept)
        try:
            committed = self._commit(group, patient=patient, again=again)
        except LedgerUnavailable as error:
            self._fail(error)
            return
        for _ in group:
            (self.kept or self.waiting).popleft()
        self._count(committed)
        self.begun = sum(type(each) is Begin for each in group)
        self._recovered()
        answers = zip(group, committed.refusals, strict=True)
        self._answers.tell([(each.done, error) for each, error in answers if each.done is not None])

    def _commit(self, group: Sequence[Operation], *, patient: bool, again: bool) -> Committed:
        if group:
            return self._store.commit(group, patient=patient, again=again)
        # See whether the disk is back with nothing kept: an unready gateway gets no begins.
        self._store.probe()
        return Committed((), 0, 0)

    def _try_again(self, spooler: Spooler) -> None:
        if spooler.pending:
            self._play(spooler)
        else:
            self._to_database()

    def _play(self, spooler: Spooler) -> None:
        """Play a group from the spool; the last one is the end of the outage."""
        try:
            committed = spooler.play(self._store, _GROUP if self._playing else _PROBE)
        except LedgerUnavailable as error:
            self._fail(error)
            return
        self._playing = True
        self._count(committed)
        if not spooler.pending:
            self._recovered()

    def _count(self, committed: Committed) -> None:
        self._commits += 1
        self._rows += committed.rows
        self._double_closes += committed.double_closes
        for refusal in committed.refusals:
            self._answers.note_refusal(refusal)

    def _fail(self, error: LedgerUnavailable) -> None:
        now = time.monotonic()
        self._failures += 1
        self._playing = False
        self._retry_at = now + self._retry_seconds
        if self.reason is None:
            self._away_since = now
            self._overflowed = False
            self._played_before = self._played()
            level = "error" if isinstance(error, LedgerDamaged) else "warning"
            shelter = "spool" if self.spools else "-"
            self._answers.note(level, "ledger_away", reason=error, shelter=shelter)
        self.reason = str(error)
        self._shelter(error)

    def _recovered(self) -> None:
        if self.reason is None:
            return
        self.reason = None
        seconds = f"{time.monotonic() - self._away_since:.1f}"
        replayed = self._played() - self._played_before
        self._answers.note("info", "ledger_back", seconds=seconds, replayed=replayed)

    def _played(self) -> int:
        return 0 if self._spooler is None else self._spooler.played

    def _shelter(self, error: LedgerUnavailable) -> None:
        """Spool what waits; refuse or keep in memory what finds no room."""
        while self.waiting:
            some = [self.waiting.popleft() for _ in range(min(_GROUP, len(self.waiting)))]
            outcomes: Sequence[LedgerError | None] = (
                [error] * len(some) if self._spooler is None else self._spooler.keep(some)
            )
            self._settle(list(zip(some, outcomes, strict=True)))

    def _settle(self, outcomes: Sequence[tuple[Operation, LedgerError | None]]) -> None:
        told: list[Answer] = []
        unowed = sum(not owed(each) for each in self.kept)
        for operation, outcome in outcomes:
            if isinstance(operation, Close):
                self.unbegun.discard(operation.request[0])
            if isinstance(outcome, LedgerUnavailable):
                self._note_overflow(outcome)
                if not isinstance(operation, Begin | AddAttempt):
                    unowed += not owed(operation)
                    if owed(operation) or unowed <= self._kept_inserts:
                        self.kept.append(operation)
                        continue
                    self._lost_inserts += 1
            self._answers.note_refusal(outcome)
            if outcome is not None and isinstance(operation, Begin):
                self.unbegun.add(operation.request[0])
            if operation.done is not None:
                told.append((operation.done, outcome))
        self._answers.tell(told)

    def _note_overflow(self, error: LedgerUnavailable) -> None:
        if self._spooler is not None and not self._overflowed:
            self._overflowed = True
            self._answers.note("error", "spool_full", reason=error)

    def _do_chore(self) -> None:
        if not self.chores:
            return
        chore = self.chores.popleft()
        outcome: LedgerError | None = None
        try:
            if self.reason is not None:
                raise LedgerUnavailable(self.reason)
            self._store.maintain(chore.run)
            self._maintained += 1
        except Exception as error:  # Maintenance is another's code, and streams do not need it.
            self._maintenance_failures += 1
            outcome = LedgerUnavailable(f"{chore.name}: {error}")
            self._answers.note("warning", "maintenance_failed", name=chore.name, reason=error)
        if chore.done is not None:
            self._answers.tell([(chore.done, outcome)])
