"""The thread that commits: groups what is queued, keeps what must not be lost. Knows no SQL."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from queue import Empty, SimpleQueue

from streamgauge.ledger.base import Done, LedgerError, LedgerStats, LedgerUnavailable, Post
from streamgauge.ledger.operations import (
    AddAttempt,
    Begin,
    Close,
    Committed,
    Insert,
    Operation,
    Store,
)
from streamgauge.ledger.rows import Value

__all__ = ["Writer"]

_GROUP = 1000
"""Operations in one commit at most: about 20 ms of work between two fsyncs."""

_PROBE = 128
"""The same while commits fail: a try that is likely to be in vain should be cheap."""

_RETRY_SECONDS = 0.25
_KEPT_INSERTS = 10_000
"""Rejections kept while nothing can be written, some 20 MB: anyone can cause them, none is owed."""

_Answer = tuple[Done, LedgerError | None]


class Writer:
    """Commits operations in the order they came, on its own thread, and tells each its outcome.

    There is no timer: whatever queued while the last commit ran is the next group. When a commit
    fails, begins and attempts are told at once; closes and inserts are kept in order and tried
    again. Only the thread itself touches `_waiting`, `_unbegun` and the store.
    """

    def __init__(self, store: Store, post: Post, *, kept_inserts: int = _KEPT_INSERTS) -> None:
        self._store = store
        self._post = post
        self._kept_inserts = kept_inserts
        self._queue: SimpleQueue[Operation | None] = SimpleQueue()
        self._waiting: deque[Operation] = deque()
        self._unbegun: set[Value] = set()
        self._gate = threading.Lock()
        self._open = True
        self._stopping = False
        self._deadline: float | None = None
        self._reason: str | None = None
        self._commits = self._rows = self._failures = 0
        self._refused = self._double_closes = self._lost_inserts = 0
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    @property
    def reason(self) -> str | None:
        """Why the last commit failed, or None when it did not."""
        return self._reason

    def stats(self) -> LedgerStats:
        """Return the counts, from any thread."""
        waiting = len(self._waiting)
        return LedgerStats(
            queued=self._queue.qsize() + waiting,
            kept=waiting if self._reason is not None else 0,
            commits=self._commits,
            rows=self._rows,
            failures=self._failures,
            refused=self._refused,
            double_closes=self._double_closes,
            lost_inserts=self._lost_inserts,
        )

    def submit(self, operation: Operation) -> None:
        """Queue `operation`; after `stop` its `done` is told LedgerUnavailable."""
        with self._gate:
            if self._open:
                self._queue.put(operation)
                return
        if operation.done is not None:
            self._tell([(operation.done, LedgerUnavailable("the ledger is stopped"))])

    def stop(self, timeout: float) -> bool:
        """Commit what is queued and end the thread; return whether it ended within `timeout`."""
        with self._gate:
            if self._open:
                self._open = False
                self._deadline = time.monotonic() + timeout
                self._queue.put(None)
        # A little longer than the writer's own deadline, so that it can answer what it gives up.
        self._thread.join(timeout + 2 * _RETRY_SECONDS)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while self._gather():
                self._commit_group()
        finally:
            self._end()

    def _gather(self) -> bool:
        """Move what is queued to `_waiting`, blocking while there is nothing to do; False: end."""
        if self._reason is not None:
            self._await_retry()
        elif not self._waiting and not self._stopping:
            self._take(self._queue.get())
        for operation in self._queued():
            self._take(operation)
        if not self._waiting:
            return not self._stopping
        return not (self._reason is not None and self._out_of_time())

    def _queued(self) -> Iterator[Operation | None]:
        while True:
            try:
                yield self._queue.get_nowait()
            except Empty:
                return

    def _await_retry(self) -> None:
        """Wait until the next try is due; a begin or the stop is a reason to try now."""
        retry_at = time.monotonic() + _RETRY_SECONDS
        while (left := retry_at - time.monotonic()) > 0:
            try:
                operation = self._queue.get(timeout=left)
            except Empty:
                return
            self._take(operation)
            if operation is None or isinstance(operation, Begin | AddAttempt):
                return

    def _take(self, operation: Operation | None) -> None:
        match operation:
            case None:
                self._stopping = True
            case Close(request, _, done, rejected):
                begun = request[0] not in self._unbegun
                self._unbegun.discard(request[0])
                # The 503 of a failed begin is a rejection like any other: nothing was called.
                self._waiting.append(operation if begun or not rejected else Insert(request, done))
            case _:
                self._waiting.append(operation)

    def _out_of_time(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _commit_group(self) -> None:
        well = self._reason is None
        group = list(islice(self._waiting, _GROUP if well else _PROBE))
        patient = well or any(isinstance(each, Begin | AddAttempt) for each in self._waiting)
        try:
            committed = self._store.commit(group, patient=patient) if group else self._probe()
        except LedgerUnavailable as error:
            self._fail(error)
            return
        for _ in group:
            self._waiting.popleft()
        self._reason = None
        self._count(committed)
        answers = zip(group, committed.refusals, strict=True)
        self._tell([(each.done, refusal) for each, refusal in answers if each.done is not None])

    def _probe(self) -> Committed:
        """See whether the disk is back with nothing kept: an unready gateway gets no begins."""
        self._store.probe()
        return Committed((), 0, 0)

    def _count(self, committed: Committed) -> None:
        self._commits += 1
        self._rows += committed.rows
        self._double_closes += committed.double_closes
        self._refused += sum(refusal is not None for refusal in committed.refusals)

    def _fail(self, error: LedgerUnavailable) -> None:
        """Tell those who wait before an upstream call; keep what has already happened."""
        self._failures += 1
        self._reason = str(error)
        kept: deque[Operation] = deque()
        told: list[_Answer] = []
        inserts = 0
        for operation in self._waiting:
            inserts += isinstance(operation, Insert)
            full = isinstance(operation, Insert) and inserts > self._kept_inserts
            if not full and not isinstance(operation, Begin | AddAttempt):
                kept.append(operation)
                continue
            self._lost_inserts += full
            if isinstance(operation, Begin):
                self._unbegun.add(operation.request[0])
            if operation.done is not None:
                told.append((operation.done, error))
        self._waiting = kept
        self._tell(told)

    def _end(self) -> None:
        """Answer what will not be written, also when the thread ends by a fault of its own."""
        with self._gate:
            self._open = False
        for operation in self._queued():
            self._take(operation)
        if self._waiting or not self._stopping:
            self._reason = self._reason or "the ledger's writer has ended"
        error = LedgerUnavailable(f"not written: {self._reason}")
        self._tell([(each.done, error) for each in self._waiting if each.done is not None])
        try:
            self._store.close()
        except LedgerUnavailable as fault:
            self._reason = str(fault)

    def _tell(self, answers: Sequence[_Answer]) -> None:
        if not answers:
            return
        try:
            self._post(lambda: self._deliver(answers))
        except RuntimeError:
            return  # The owner's loop is closed: nobody is left to be told.

    def _deliver(self, answers: Sequence[_Answer]) -> None:
        """Call each `done`, on the owner's thread; one that raises does not silence the rest."""
        for i, (done, error) in enumerate(answers):
            try:
                done(error)
            except BaseException:
                self._tell(answers[i + 1 :])
                raise
