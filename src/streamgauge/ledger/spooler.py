"""Where operations go while the database is away, and the way back. Knows no thread and no SQL."""

from __future__ import annotations

from collections.abc import Sequence

from streamgauge.ledger.base import LedgerError, LedgerUnavailable, RowRefused
from streamgauge.ledger.operations import Begin, Committed, Operation, Store, owed
from streamgauge.ledger.spool import SpoolFile, frame_size
from streamgauge.ledger.spool_records import RecordReader, layout_record, record_of

__all__ = ["Spooler"]

_LARGE = 8192
"""Bytes that a begin does not exceed."""

_REJECTED_SHARE, _BEGIN_SHARE = 0.5, 0.75
"""How full the spool may be for each kind: what anyone can cause stops first, and what was begun
keeps room for its end."""


class Spooler:
    """Keeps operations in a spool, in order, and plays them into a store. For one thread.

    Playing is by id: what is played twice, after a crash between the store's commit and the
    spool's reset, is stored once.
    """

    def __init__(self, file: SpoolFile) -> None:
        self._file = file
        self._size = file.size - file.start
        self._position = file.start
        self._reader = RecordReader()
        self._works = True
        self._spooled = self._played = 0

    @property
    def pending(self) -> bool:
        """Whether anything was kept and not played yet."""
        return self._position < self._file.end

    @property
    def takes_begins(self) -> bool:
        """Whether the last write succeeded, and there is room for any begin."""
        return self._works and self.used + _LARGE <= self._size * _BEGIN_SHARE

    @property
    def used(self) -> int:
        """Bytes taken by what waits, and by what was played since the last reset."""
        return self._file.end - self._file.start

    @property
    def spooled(self) -> int:
        """Operations kept, since the start."""
        return self._spooled

    @property
    def played(self) -> int:
        """Operations played into the store, since the start."""
        return self._played

    def keep(self, operations: Sequence[Operation]) -> list[LedgerError | None]:
        """Append what there is room for, in one write; None for each that a crash cannot take.

        Else RowRefused, or LedgerUnavailable for want of room or of a working disk.
        """
        outcomes: list[LedgerError | None] = []
        records: list[bytes] = [] if self.used else [layout_record()]
        length = sum(map(frame_size, records))
        for operation in operations:
            try:
                record = record_of(operation)
                length = self._with_room(operation, length + frame_size(record))
            except (RowRefused, LedgerUnavailable) as error:
                outcomes.append(error)
            else:
                records.append(record)
                outcomes.append(None)
        return self._written(records, outcomes)

    def _with_room(self, operation: Operation, length: int) -> int:
        """Return `length`, the bytes to be appended, if they leave room enough."""
        if self.used + length > self._size * _share(operation):
            raise LedgerUnavailable(f"spool {self._file.path} is full")
        return length

    def _written(
        self, records: list[bytes], outcomes: list[LedgerError | None]
    ) -> list[LedgerError | None]:
        count = outcomes.count(None)
        if not count:
            return outcomes
        try:
            self._file.append(records)
        except OSError as error:
            self._works = False
            fault = LedgerUnavailable(f"spool {self._file.path}: {error.strerror}")
            return [fault if outcome is None else outcome for outcome in outcomes]
        self._works = True
        self._spooled += count
        return outcomes

    def play(self, store: Store, limit: int, *, patient: bool = False) -> Committed:
        """Play at most `limit` records; after the last one the spool is reset.

        `patient`: as for `Store.commit`. Raises LedgerUnavailable when the store takes nothing:
        nothing is forgotten then.
        """
        try:
            records, behind = self._file.frames(self._position, limit)
        except OSError as error:
            raise LedgerUnavailable(f"spool {self._file.path}: {error.strerror}") from error
        found = [self._reader.operation(record) for record in records]
        operations = [operation for operation in found if operation is not None]
        committed = store.commit(operations, patient=patient, again=True)
        self._position = behind
        self._played += len(operations)
        if not self.pending:
            self._reset()
        return committed

    def _reset(self) -> None:
        try:
            self._file.reset()
        except OSError:
            return  # What was played stays in it and is passed over; the next reset comes.
        self._position = self._file.start

    def allocate(self, size: int) -> None:
        """Take `size` bytes of disk for an empty spool, or raise OSError."""
        self._file.allocate(size)
        self._position = self._file.start
        self._size = self._file.size - self._file.start

    def remove(self) -> None:
        """Remove the file, with nothing pending."""
        self._file.remove()

    def close(self) -> None:
        """Let the file go; what is pending is played at the next start."""
        self._file.close()


def _share(operation: Operation) -> float:
    if not owed(operation):
        return _REJECTED_SHARE
    return _BEGIN_SHARE if isinstance(operation, Begin) else 1.0
