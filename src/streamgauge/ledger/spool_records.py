"""A writer's operations as the spool's records, and back. Knows no file and no database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, assert_never

import msgspec

from streamgauge.ledger.base import LedgerError, LedgerForeign, RowRefused
from streamgauge.ledger.operations import AddAttempt, Begin, Close, Insert, Operation, id_of
from streamgauge.ledger.rows import ATTEMPTS, REQUESTS, Row

__all__ = ["RecordReader", "layout_record", "record_of"]

_LARGEST = 2**63 - 1

_Fit = Callable[[Sequence[Any]], Row]


def layout_record() -> bytes:
    """Return a spool's first record: the columns, in whose order all rows after it are written.

    So a later release, with more columns, reads what an earlier one left.
    """
    return msgspec.msgpack.encode(("layout", REQUESTS.names, ATTEMPTS.names))


def record_of(operation: Operation) -> bytes:
    """Return `operation` without its callback, or raise RowRefused for what no ledger takes."""
    try:
        return _record_of(operation)
    except (TypeError, ValueError) as error:
        raise RowRefused(f"the record of {id_of(operation)} cannot be stored: {error}") from error


def _record_of(operation: Operation) -> bytes:
    match operation:
        case Begin(request, attempt):
            return _encode(("begin", request, attempt), (request, attempt))
        case AddAttempt(attempt, _, over):
            rows = (attempt,) if over is None else (attempt, over)
            return _encode(("attempt", *rows), rows)
        case Close(request, attempts, _, rejected):
            return _encode(("close", request, attempts, rejected), (request, *attempts))
        case Insert(request):
            return _encode(("insert", request), (request,))
        case _:
            assert_never(operation)


def _encode(record: tuple[Any, ...], rows: Sequence[Row]) -> bytes:
    for row in rows:
        for value in row:
            if type(value) is int and not -_LARGEST <= value <= _LARGEST:
                raise ValueError("a number beyond 64 bits")
    return msgspec.msgpack.encode(record)


class RecordReader:
    """Makes operations of records, which must come in the order in which they were written."""

    def __init__(self) -> None:
        self._request: _Fit = tuple
        self._attempt: _Fit = tuple

    def operation(self, record: bytes) -> Operation | None:
        """Return the operation, or None for a layout. Its callback tells nobody.

        Raises LedgerForeign for a record that this release did not or could not have written.
        """
        try:
            kind, *values = msgspec.msgpack.decode(record)
            return self._built(kind, values)
        except (msgspec.MsgspecError, TypeError, ValueError, IndexError) as error:
            raise LedgerForeign(f"a record in the spool cannot be read: {error}") from error

    def _built(self, kind: str, values: list[Any]) -> Operation | None:
        match kind, values:
            case "layout", [requests, attempts]:
                self._request = _fitting(requests, REQUESTS.names)
                self._attempt = _fitting(attempts, ATTEMPTS.names)
                return None
            case "begin", [request, attempt]:
                return Begin(self._request(request), self._attempt(attempt), _nobody)
            case "attempt", [attempt]:
                return AddAttempt(self._attempt(attempt), _nobody)
            case "attempt", [attempt, over]:
                return AddAttempt(self._attempt(attempt), _nobody, self._attempt(over))
            case "close", [request, attempts, rejected]:
                rows = tuple(self._attempt(attempt) for attempt in attempts)
                return Close(self._request(request), rows, _nobody, rejected)
            case "insert", [request]:
                return Insert(self._request(request), None)
        raise LedgerForeign(f"the spool holds a record of an unknown kind: {kind!r}")


def _nobody(error: LedgerError | None) -> None:
    """Whoever waited was told when the operation went into the spool."""


def _fitting(written: Sequence[str], wanted: Sequence[str]) -> _Fit:
    """Return what brings a row of the columns `written` into the order `wanted`."""
    if list(written) == list(wanted):
        return tuple
    unknown = sorted(set(written) - set(wanted))
    if unknown:
        raise LedgerForeign(
            f"the spool was written by a newer streamgauge (columns {', '.join(unknown)}): "
            f"start that one"
        )
    places = [written.index(name) if name in written else None for name in wanted]
    return lambda row: tuple(None if place is None else row[place] for place in places)
