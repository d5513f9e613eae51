"""Writes captures in a thread of its own, so that no stream waits for a disk. Knows no socket."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from streamgauge.core.record import ExchangeRecord
from streamgauge.gateway.capture.format import Opening
from streamgauge.gateway.capture.masking import Masking
from streamgauge.gateway.capture.recording import Flow, Recording
from streamgauge.gateway.capture.store import CaptureFolder, FolderRefused
from streamgauge.gateway.http import Header

__all__ = ["CaptureWriter", "Tape", "WriterStats"]

_log = logging.getLogger(__name__)

_QUEUE_BYTES = 16 * 1024 * 1024
"""What may wait for the disk: a second of the fastest stream that was measured."""
_NOTE_BYTES = 200
"""About what a note weighs beside its bytes."""
_LOOK_BYTES = 64 * 1024
"""Written between two looks at the size of the whole folder, at most; less in a small one."""
_LOOK_SECONDS = 60.0
_NAMES_KEPT = 200

_Job = Callable[[], None]


@dataclass(frozen=True, slots=True)
class WriterStats:
    """Captures so far: whole ones, ones with something missing, ones that could not be written.

    `last`: ids of the newest files, oldest first. `error`: why the last one failed.
    """

    whole: int
    incomplete: int
    failed: int
    last: tuple[str, ...]
    error: str | None


class Tape:
    """One exchange's capture as the data loop sees it: notes go in, and nothing ever waits."""

    __slots__ = ("_began", "_clock", "_dropped", "_open", "_writer", "id", "settled")

    def __init__(
        self, writer: CaptureWriter, exchange_id: str, began: float, clock: Callable[[], float]
    ) -> None:
        """`began`: the monotonic second from which times count."""
        self.id = exchange_id
        self._writer = writer
        self._began = began
        self._clock = clock
        self._dropped = 0
        self._open = True
        self.settled = False
        """Whether its file is as it will stay: set by the writer's thread."""

    def head(self, flow: Flow, start: str, headers: tuple[Header, ...]) -> None:
        """Note a message's head; `start` is its first line."""
        t = self._now()
        self._put(len(start) + 50 * len(headers), lambda r: r.head(t, flow, start, headers))

    def data(self, flow: Flow, data: bytes) -> None:
        """Note bytes of a body."""
        t = self._now()
        self._put(len(data), lambda r: r.data(t, flow, data))

    def end(self, flow: Flow, how: str) -> None:
        """Note how a direction ended."""
        t = self._now()
        self._put(0, lambda r: r.end(t, flow, how))

    def close(self, record: ExchangeRecord) -> None:
        """Note the closed row: the last thing. It is small and goes in whatever waits."""
        if self._open:
            self._open = False
            self._writer.close(self.id, self._now(), record, self._dropped)

    def _now(self) -> int:
        return max(0, int((self._clock() - self._began) * 1e6))

    def _put(self, size: int, write: Callable[[Recording], None]) -> None:
        """Hand a note on. Once one found no room the capture has a hole, and no more is taken."""
        if self._open and (self._dropped or not self._writer.put(self.id, size, write)):
            self._dropped += 1


class CaptureWriter:
    """Takes tapes' notes from the loop's thread; everything behind the queue is the writer's own."""

    def __init__(self, queue_bytes: int = _QUEUE_BYTES) -> None:
        self._queue_bytes = queue_bytes
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._put = 0  # bytes that went in, counted by the loop
        self._taken = 0  # and out, counted by the thread
        self._open: dict[str, tuple[Recording, CaptureFolder, Tape]] = {}
        self._whole = self._incomplete = self._failed = 0
        self._last: deque[str] = deque(maxlen=_NAMES_KEPT)
        self._error: str | None = None
        self._closed_bytes = 0
        self._unseen = 0  # bytes written since the folder was looked at
        self._looked: float | None = None

    # --- on the loop ---------------------------------------------------------------------------

    def begin(
        self,
        folder: CaptureFolder,
        opening: Opening,
        secrets: frozenset[str],
        began: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> Tape:
        """Return the tape of a new capture."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="captures", daemon=True)
            self._thread.start()
        tape = Tape(self, opening.id, began, clock)
        self._jobs.put(lambda: self._create(folder, opening, Masking(secrets), tape))
        return tape

    def put(self, exchange_id: str, size: int, write: Callable[[Recording], None]) -> bool:
        """Queue a note of about `size` bytes; False where there is no room."""
        size += _NOTE_BYTES
        if self._put - self._taken + size > self._queue_bytes:
            return False
        self._put += size
        self._jobs.put(lambda: self._note(exchange_id, size, write))
        return True

    def close(self, exchange_id: str, t: int, record: ExchangeRecord, dropped: int) -> None:
        """Queue the end of a capture."""
        self._jobs.put(lambda: self._close(exchange_id, t, record, dropped))

    def stats(self) -> WriterStats:
        """Return what was written so far; plain counters, read at any time."""
        return WriterStats(
            self._whole, self._incomplete, self._failed, tuple(self._last.copy()), self._error
        )

    def stop(self, seconds: float) -> None:
        """Write what waits and end, in `seconds` at most; what was still open stays without an end."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            thread.join(seconds)

    # --- on the thread -------------------------------------------------------------------------

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
        for recording, _, _ in self._open.values():
            recording.abandon()
        self._open.clear()

    def _create(
        self, folder: CaptureFolder, opening: Opening, masking: Masking, tape: Tape
    ) -> None:
        try:
            self._look(folder)
            recording = Recording(folder.create(opening.id), opening, masking)
        except Exception as error:  # see _fail
            self._fail(tape, error)
            return
        self._open[opening.id] = (recording, folder, tape)
        self._unseen += recording.size

    def _note(self, exchange_id: str, size: int, write: Callable[[Recording], None]) -> None:
        self._taken += size
        if (found := self._open.get(exchange_id)) is None:
            return  # it failed, and that was said
        recording, folder, tape = found
        before = recording.size
        try:
            write(recording)
            self._unseen += recording.size - before
            self._look(folder)
            if self._total() > folder.max_bytes:
                raise FolderRefused("capture.max_mb holds no more")
        except Exception as error:  # see _fail
            del self._open[exchange_id]
            recording.abandon()
            self._closed_bytes += recording.size
            self._fail(tape, error)

    def _close(self, exchange_id: str, t: int, record: ExchangeRecord, dropped: int) -> None:
        if (found := self._open.pop(exchange_id, None)) is None:
            return
        recording, folder, tape = found
        before = recording.size
        try:
            recording.close(t, record, dropped)
            self._unseen += recording.size - before
            self._closed_bytes += recording.size
            self._look(folder)
        except Exception as error:  # see _fail
            self._fail(tape, error)
            return
        self._last.append(exchange_id)
        if dropped:
            self._incomplete += 1
            _log.warning("capture %s is incomplete: the disk did not keep up", exchange_id)
        else:
            self._whole += 1
        tape.settled = True

    def _total(self) -> int:
        return self._closed_bytes + self._open_bytes()

    def _open_bytes(self) -> int:
        return sum(recording.size for recording, _, _ in self._open.values())

    def _look(self, folder: CaptureFolder) -> None:
        """Delete what is too old or too much, when enough was written or time has passed."""
        now = time.time()
        every = min(_LOOK_BYTES, folder.max_bytes // 64)
        late = self._looked is None or not 0 <= now - self._looked < _LOOK_SECONDS
        if not late and self._unseen < every and self._total() <= folder.max_bytes:
            return
        self._looked, self._unseen = now, 0
        total = folder.prune(now, self._open.keys())
        self._closed_bytes = total - self._open_bytes()

    def _fail(self, tape: Tape, error: Exception) -> None:
        """Give one capture up. A fault of ours costs no other either: all have this one thread."""
        foreseen = isinstance(error, FolderRefused | OSError)
        self._failed += 1
        self._error = str(error) if foreseen else f"a fault of ours ({type(error).__name__})"
        tape.settled = True
        told = None if foreseen else error
        _log.warning("capture %s cannot be written: %s", tape.id, self._error, exc_info=told)
