"""The thread that commits, and the queue before it. Knows no SQL and no policy of failure."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from enum import IntEnum
from math import inf
from queue import Empty, SimpleQueue

from streamgauge.ledger.answers import Answers
from streamgauge.ledger.base import LedgerStats, LedgerUnavailable, Notice, Post
from streamgauge.ledger.committing import Committer
from streamgauge.ledger.operations import (
    AddAttempt,
    Begin,
    Close,
    Insert,
    Maintain,
    Operation,
    Store,
)
from streamgauge.ledger.spooler import Spooler

__all__ = ["Writer"]

_QUEUE = 10_000
"""Operations queued before begins are refused, some 30 MB: five seconds of the slowest disk that
is worth having (2 000 exchanges/s)."""

_KEPT_INSERTS = 10_000
"""Rejections kept while nothing can be written, some 20 MB: anyone can cause them, none is owed."""

_COMPANY_SECONDS = 0.005
"""How long what nobody waits for stays for a begin to be committed with: of short requests two
commits in five were of closes alone, at 0.3 ms of CPU each."""

_CROWD = 6
"""Begins in one group from which the next begin waits for others: a few clients wait for nothing."""

_CROWD_SECONDS = 0.0015
"""How long it waits: of 32 clients' short requests half the commits, at 0.3 ms of CPU each."""

_RETRY_SECONDS = 0.25
"""From a failed commit to the next try."""

_REJECTED_SECONDS = 1.0
"""How long a stop tries to write rejections, which are not owed, on a disk that fails."""

_STUCK_SECONDS = 10.0
"""How long one commit may take before the ledger counts as away; a living disk takes seconds."""

_GRACE_SECONDS = 0.5
"""Beyond a stop's deadline, so that the thread can answer what it gives up."""


class _Call(IntEnum):
    """What the thread has been told since it last took what is queued."""

    NONE = 0
    PATIENT = 1
    URGENT = 2
    STOP = 3


_CALLS: Mapping[type, _Call] = {
    Close: _Call.PATIENT,
    Insert: _Call.PATIENT,
    Maintain: _Call.PATIENT,
    Begin: _Call.URGENT,
    AddAttempt: _Call.URGENT,
    type(None): _Call.STOP,
}


class Writer:
    """Takes operations from any thread, and has them committed on its own, in their order.

    Whatever queued while the last commit ran is the next group: no begin waits for a timer, unless
    the last group was a crowd, which the next will be too if it is given a moment. What nobody
    waits for stays a moment for company. Only the thread touches the store and, but for reading
    counts, the committer.
    """

    def __init__(
        self,
        store: Store,
        post: Post,
        *,
        spooler: Spooler | None = None,
        notice: Notice | None = None,
        queue: int = _QUEUE,
        kept_inserts: int = _KEPT_INSERTS,
        retry_seconds: float = _RETRY_SECONDS,
        company_seconds: float = _COMPANY_SECONDS,
        crowd_seconds: float = _CROWD_SECONDS,
        stuck_seconds: float = _STUCK_SECONDS,
    ) -> None:
        self._answers = Answers(post, notice)
        self._committer = Committer(
            store,
            spooler,
            self._answers,
            kept_inserts=kept_inserts,
            retry_seconds=retry_seconds,
        )
        self._bound = queue
        self._company_seconds = company_seconds
        self._crowd_seconds = crowd_seconds
        self._stuck_seconds = stuck_seconds
        self._committing: float | None = None  # since when, in monotonic seconds
        self._queue: deque[Operation | Maintain | None] = deque()
        self._calls: SimpleQueue[_Call] = SimpleQueue()
        self._called = _Call.NONE
        self._gate = threading.Lock()
        self._open = True
        self._stopping = False
        self._deadline = self._patience = inf
        self._turned_away = self._waited = self._lost = 0
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Whether a begin would be committed now, in the database or in the spool."""
        return self._committer.healthy and self._stuck is None

    @property
    def reason(self) -> str | None:
        """Why the database cannot be written, or None."""
        return self._stuck or self._committer.explain()

    @property
    def _stuck(self) -> str | None:
        since = self._committing
        seconds = 0.0 if since is None else time.monotonic() - since
        if seconds <= self._stuck_seconds:
            return None
        return f"its disk has not answered for {seconds:.0f} s"

    def stats(self) -> LedgerStats:
        """Return the counts, from any thread."""
        return self._committer.stats(
            queued=len(self._queue),
            turned_away=self._turned_away,
            waited=self._waited,
            lost=self._lost,
        )

    def submit(self, operation: Operation | Maintain) -> None:
        """Queue `operation`; its `done` is told LedgerUnavailable when that cannot be.

        After the stop nothing is queued; when the queue is full, what has not begun is not. A
        close is queued all the same: there are no more of them than begins that were let in.
        """
        refusal = "the ledger is stopped"
        with self._gate:
            if self._open:
                if self._committer.unbegun:
                    operation = self._known(operation)
                full = len(self._queue) + len(self._committer.waiting) >= self._bound
                if not full or not self._turns_away(operation):
                    self._put(operation)
                    return
                refusal = "the ledger is too slow: its queue is full"
        if operation.done is not None:
            self._answers.tell([(operation.done, LedgerUnavailable(refusal))])

    def stop(self, timeout: float) -> bool:
        """Commit what is queued and end the thread; return whether it ended within `timeout`."""
        with self._gate:
            if self._open:
                self._open = False
                now = time.monotonic()
                self._deadline = now + timeout
                self._patience = now + min(timeout, _REJECTED_SECONDS)
                self._put(None)
        self._thread.join(timeout + _GRACE_SECONDS)
        return not self._thread.is_alive()

    def _put(self, operation: Operation | Maintain | None) -> None:
        """Queue it, and call the thread unless it was called as urgently before."""
        self._queue.append(operation)
        call = _CALLS[type(operation)]
        if self._called < call:
            self._called = call
            self._calls.put(call)

    def _known(self, operation: Operation | Maintain) -> Operation | Maintain:
        """Mark the 503 of a begin that failed as a rejection like any other: nothing was called."""
        if not isinstance(operation, Close) or operation.request[0] not in self._committer.unbegun:
            return operation
        self._committer.unbegun.discard(operation.request[0])
        return replace(operation, owed=False) if operation.rejected else operation

    def _turns_away(self, operation: Operation | Maintain) -> bool:
        """Return whether `operation`, which found the queue full, may be turned away; count it."""
        match operation:
            case Begin() | AddAttempt():
                self._turned_away += 1
                if isinstance(operation, Begin):
                    self._committer.unbegun.add(operation.request[0])
                return True
            case Close(owed=True):
                self._waited += 1
                return False
            case Insert() | Close():
                self._lost += 1
                return True
            case _:
                return False

    def _run(self) -> None:
        try:
            while self._gather():
                self._committing = time.monotonic()
                self._committer.step()
                self._committing = None
        finally:
            self._committing = None
            self._end()

    def _gather(self) -> bool:
        """Wait for something to do, and take what is queued; False at the end."""
        if self._stopping and self._finished():
            return False
        self._wait(self._committer.pause())
        self._take_queued()
        return True

    def _take_queued(self) -> None:
        # In this order: what is queued from now on is taken here, or calls once more.
        self._called = _Call.NONE
        while self._queue:
            self._take(self._queue.popleft())

    def _finished(self) -> bool:
        """Whether a stop has nothing left to do, or no time for it."""
        if not self._committer.working:
            return True
        return self._committer.reason is not None and self._out_of_time()

    def _wait(self, seconds: float | None) -> None:
        """Wait at most `seconds` for a call; what is patient waits for company, or out an outage."""
        until = None if seconds is None else time.monotonic() + seconds
        committer = self._committer
        while (call := self._next_call(until)) is _Call.PATIENT:
            if committer.reason is None or committer.spools:
                soon = time.monotonic() + self._company_seconds
                until = soon if until is None else min(soon, until)
        if call is _Call.URGENT and committer.begun >= _CROWD and committer.reason is None:
            # Nothing calls more urgently than a begin but a stop, which ends this at once.
            self._next_call(time.monotonic() + self._crowd_seconds)

    def _next_call(self, until: float | None) -> _Call | None:
        """Return the next call, or None where there is none until then, in monotonic seconds."""
        if until is None:
            return self._calls.get()
        left = until - time.monotonic()
        try:
            return self._calls.get(timeout=left) if left > 0 else self._calls.get_nowait()
        except Empty:
            return None

    def _take(self, operation: Operation | Maintain | None) -> None:
        match operation:
            case None:
                self._stopping = True
                self._committer.hurry()
            case Maintain():
                self._committer.chores.append(operation)
            case Close():
                self._committer.unbegun.discard(operation.request[0])
                self._committer.waiting.append(operation)
            case _:
                self._committer.waiting.append(operation)

    def _out_of_time(self) -> bool:
        until = self._deadline if self._committer.owes else self._patience
        return time.monotonic() >= until

    def _end(self) -> None:
        """Answer what will not be written, also when the thread ends by a fault of its own."""
        with self._gate:
            self._open = False
        self._take_queued()
        self._committer.end(self._stopping)
