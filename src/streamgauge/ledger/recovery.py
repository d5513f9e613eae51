"""Puts in order what a gateway that died left behind. Trusts the lock: whoever wrote it is dead."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from streamgauge.core.pricing import CostReason
from streamgauge.core.record import Status
from streamgauge.ledger.base import LedgerError, LedgerOpenError, LedgerReadOnly
from streamgauge.ledger.operations import Store
from streamgauge.ledger.spool import SpoolFile, SpoolForeign, spool_path
from streamgauge.ledger.spooler import Spooler

__all__ = ["close_left_open", "recovered_spool"]

_GROUP = 1000

# The attempts first: they are found through the rows that are still open. A clock that went back
# must not make an exchange end before it began.
_ATTEMPTS = """
    UPDATE attempts SET outcome = :crash, finished_at = max(:now, ifnull(started_at, :now))
    WHERE outcome IS NULL
      AND request_id IN (SELECT id FROM requests WHERE status = 'in_flight')
"""
# An open row still tells of its first attempt: those that followed stand in rows of their own.
_LAST = "FROM attempts a WHERE a.request_id = requests.id ORDER BY a.n DESC LIMIT 1"
_REQUESTS = f"""
    UPDATE requests SET status = :crash, success = 0, error_code = NULL,
        finished_at = max(:now, started_at), usage_source = 'none', input_source = 'none',
        tps_source = 'none', cost_reason = :unknown,
        attempts = ifnull((SELECT a.n {_LAST}), attempts),
        upstream = ifnull((SELECT a.upstream {_LAST}), upstream),
        upstream_model = ifnull((SELECT a.model {_LAST}), upstream_model)
    WHERE status = 'in_flight'
"""


def close_left_open(connection: sqlite3.Connection, now_us: int) -> int:
    """Close open rows as `gateway_crash` at `now_us` (µs since the epoch); return how many (F1)."""
    values = {
        "crash": Status.GATEWAY_CRASH.value,
        "unknown": CostReason.USAGE_UNKNOWN.value,
        "now": now_us,
    }
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(_ATTEMPTS, values)
        closed = connection.execute(_REQUESTS, values).rowcount
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return closed


def recovered_spool(ledger: Path, store: Store, size: int) -> Spooler | None:
    """Play what `ledger`'s spool holds into `store`, then return the spool with `size` bytes taken.

    None, and no file any more, for a `size` of 0. Raises LedgerOpenError's kinds: for a disk that
    has not so much space, and when what the spool holds cannot be written; it is then left as it was.
    """
    path = spool_path(ledger)
    if not size and not path.exists():
        return None
    spooler = _opened(path)
    try:
        while spooler.pending:
            spooler.play(store, _GROUP, patient=True)
        if size:
            spooler.allocate(size)
            return spooler
        spooler.remove()
        return None
    except LedgerOpenError:
        spooler.close()
        raise
    except LedgerError as error:
        spooler.close()
        raise LedgerOpenError(
            f"what {path} holds cannot be written to the ledger: {error}"
        ) from error
    except OSError as error:
        spooler.close()
        raise LedgerOpenError(
            f"no {size >> 20} MiB for {path} ({error.strerror}): free some space, "
            f"or set a smaller ledger.spool_mb"
        ) from error


def _opened(path: Path) -> Spooler:
    try:
        return Spooler(SpoolFile(path))
    except SpoolForeign as error:
        raise LedgerOpenError(f"{error}: move it away") from error
    except OSError as error:
        raise LedgerReadOnly(
            f"{path} cannot be written ({error.strerror}): make it writable for this user"
        ) from error
