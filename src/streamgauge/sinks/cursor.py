"""Sends closed rows on from a cursor, in a thread of its own, and loses none. Knows no protocol.

An outage of the destination leaves the cursor where it is (FAULTS F18); a row that is refused for
good goes to a file, and the others go on (F19).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from streamgauge.sinks.dead_letters import DeadLetters
from streamgauge.sinks.dropped import Dropped, Drops

__all__ = ["Closed", "CursorSink", "Destination", "Refused", "SinkState", "Source", "Unavailable"]

Closed = tuple[int, int, Mapping[str, Any]]
"""A closed row: its place in the order of closing, its end in ns made unique, its columns."""

Note = Callable[[str, str, list[tuple[str, str]]], None]
"""Takes a log line, from any thread: level, event, fields."""

_POLL_SECONDS = 0.5
_RETRY_SECONDS, _LONGEST_WAIT = 0.5, 60.0
_MANY = 10
"""So many rows refused in a row, and none taken, are no fault of the rows."""

_REST = 2.0
"""Rest after a batch while catching up, as a multiple of the processor time it took: streams share
the interpreter with this thread."""


class Unavailable(Exception):
    """Nothing can be delivered now; the message says why. `after`: seconds asked for, if any."""

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class Refused(Exception):
    """The destination will never take these rows as they are; the message says why."""


class Source(Protocol):
    """Where the rows are. Every method may raise Unavailable. Asked by one thread."""

    def cursor(self) -> tuple[int, str | None]:
        """Return the last row's seq that was delivered, and the state kept with it."""

    def ends(self) -> tuple[int, int]:
        """Return the seqs of the first row there is and of the last; (1, 0) without any."""

    def after(self, seq: int, upto: int, limit: int) -> list[Closed]:
        """Return the first `limit` rows after `seq`, up to `upto`."""

    def keep(self, seq: int, state: str | None) -> None:
        """Remember that all rows up to `seq` were delivered. Returns before that is written."""

    def close(self) -> None:
        """Let the rows go."""


class Destination(Protocol):
    """Where the rows go. Rows may come again after a crash, and must count once then, too."""

    def send(self, rows: Sequence[Closed]) -> None:
        """Deliver all of them, or raise Refused (some may have arrived) or Unavailable."""

    def conclude(self, rows: Sequence[Closed], state: str | None) -> str | None:
        """Deliver what is made of a batch as a whole; return the new state. May raise Unavailable."""

    def dropped(self) -> Sequence[Dropped]:
        """Return what was thrown away of what arrived since this was asked last."""

    def shown(self, row: Closed) -> str:
        """Return the row as it would have been sent, for the dead letters."""

    def close(self) -> None:
        """Let go; also while another thread sends, which then fails soon."""


@dataclass(frozen=True, slots=True)
class SinkState:
    """Of one exporter: rows delivered, given up, and not sent yet; failures; what it waits for.

    `dropped`: what the destination threw away of its own accord, by what it calls that.
    """

    delivered: int = 0
    dead: int = 0
    behind: int = 0
    failures: int = 0
    reason: str | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows that were read; all up to the seq `upto` are among them. `last`: no more were there."""

    rows: list[Closed]
    upto: int
    last: bool


class CursorSink:
    """One exporter. `name` is for people; batches have up to `batch` rows and wait `flush_seconds`."""

    def __init__(
        self,
        name: str,
        source: Source,
        destination: Destination,
        letters: DeadLetters,
        note: Note,
        *,
        batch: int = 500,
        flush_seconds: float = 5.0,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> None:
        """`retry_seconds`: from a failure to the next try, doubled with each up to a minute."""
        self.name = name
        self.state = SinkState()
        self._source = source
        self._destination = destination
        self._letters = letters
        self._note = note
        self._size = batch
        self._flush_seconds = flush_seconds
        self._place: tuple[int, str | None] | None = None
        self._sent: _Batch | None = None
        self._waiting_since: float | None = None
        self._delivered = self._dead = self._behind = self._failures = 0
        self._drops = Drops(name, note)
        self._retry_seconds = self._wait = retry_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"export {name}", daemon=True)

    def start(self) -> None:
        """Begin to export."""
        self._thread.start()

    def hurry(self) -> None:
        """Send what there is now, once, and end."""
        self._stopping.set()

    def stop(self, seconds: float) -> bool:
        """Wait for the end; a call that hangs is cut. Return whether it came within `seconds`."""
        self.hurry()
        if self._thread.ident is None:
            return True
        self._thread.join(seconds)
        self._destination.close()
        self._thread.join(0.5)
        return not self._thread.is_alive()

    def _run(self) -> None:
        wait = 0.0
        while not self._stopping.wait(wait):
            wait = self._turn(flush=False)
        if self.state.reason is None:
            self._turn(flush=True)
        self._source.close()

    def _turn(self, *, flush: bool) -> float:
        """Do one batch if one is due; return the seconds until the next look."""
        began = time.thread_time()
        try:
            delivered = self._step(flush=flush)
        except Unavailable as error:
            return self._failed(str(error), error.after)
        except Exception as error:  # A sink harms nobody by failing, not even by a fault of ours.
            return self._failed(f"{type(error).__name__}: {error}", None)
        self._recovered()
        if not delivered:
            return min(_POLL_SECONDS, self._flush_seconds)
        return (time.thread_time() - began) * _REST

    def _step(self, *, flush: bool) -> bool:
        """Deliver the next batch if it is due; return whether one was."""
        if self._place is None:
            self._place = self._source.cursor()
        seq, state = self._place
        latest = self._look(seq)
        # What has arrived is not sent again only because its conclusion failed.
        batch = self._sent or self._next_batch(seq, latest, flush=flush)
        if batch is None:
            return False
        if self._sent is None:
            self._send(batch.rows, new=seq == 0)
            self._sent = batch
            self._drops.note(self._destination.dropped())
        state = self._destination.conclude(batch.rows, state)
        self._drops.note(self._destination.dropped())
        self._place, self._sent = (batch.upto, state), None
        self._behind = max(0, self._behind - len(batch.rows))
        if batch.last:
            self._waiting_since = None
        self._source.keep(batch.upto, state)
        return True

    def _look(self, seq: int) -> int:
        """Tell how many rows there are behind `seq`; return the last one's."""
        first, latest = self._source.ends()
        # A new destination begins at 0, and retention may have gone far beyond that.
        self._behind = max(0, latest - max(seq, first - 1))
        self._tell(self.state.reason)
        return latest

    def _next_batch(self, seq: int, latest: int, *, flush: bool) -> _Batch | None:
        if not self._behind:
            self._waiting_since = None
            return None
        now = time.monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
        due = flush or now - self._waiting_since >= self._flush_seconds
        if not due and self._behind < self._size:
            return None
        rows = self._source.after(seq, latest, self._size)
        last = len(rows) < self._size
        return _Batch(rows, latest if last else rows[-1][0], last)

    def _send(self, rows: Sequence[Closed], *, new: bool) -> None:
        """Deliver `rows`; halve what is refused until it is known which row is at fault.

        `new`: none was ever delivered there.
        """
        taken, refused = self._sift(rows)
        if refused and not taken and (new or len(rows) >= _MANY):
            # Whoever takes nothing at all is set up wrongly: giving rows up would lose them.
            raise Unavailable(f"takes no row at all: {refused[0][1]}")
        for row, reason in refused:
            self._letters.add(row[0], str(row[2]["id"]), reason, self._destination.shown(row))
            fields = [("sink", self.name), ("id", str(row[2]["id"])), ("reason", reason)]
            self._note("warning", "export_refused", fields)
        self._delivered += taken
        self._dead += len(refused)

    def _sift(self, rows: Sequence[Closed]) -> tuple[int, list[tuple[Closed, str]]]:
        if not rows:
            return 0, []
        try:
            self._destination.send(rows)
        except Refused as error:
            if len(rows) == 1:
                return 0, [(rows[0], str(error))]
            half = len(rows) // 2
            taken, refused = self._sift(rows[:half])
            more, others = self._sift(rows[half:])
            return taken + more, refused + others
        return len(rows), []

    def _failed(self, reason: str, after: float | None) -> float:
        self._failures += 1
        if self.state.reason is None:
            fields = [("sink", self.name), ("reason", reason)]
            self._note("warning", "export_waits", fields)
        self._tell(reason)
        wait = min(_LONGEST_WAIT, max(self._wait, after or self._wait))
        self._wait = min(_LONGEST_WAIT, self._wait * 2)
        return wait

    def _recovered(self) -> None:
        self._wait = self._retry_seconds
        if self.state.reason is not None:
            fields = [("sink", self.name), ("behind", str(self._behind))]
            self._note("info", "export_goes_on", fields)
        self._tell(None)

    def _tell(self, reason: str | None) -> None:
        self.state = SinkState(
            self._delivered, self._dead, self._behind, self._failures, reason, self._drops.counts
        )
