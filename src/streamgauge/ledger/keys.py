"""The store of client keys in a SQLite ledger, also while a gateway has it. Knows no HTTP (§15.1)."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from streamgauge.core.keys import (
    SECRET_BYTES,
    Caller,
    KeyLimits,
    KeyRing,
    digest_of,
    key_text,
    shown_part,
)
from streamgauge.ledger.base import LedgerError, LedgerForeign, LedgerLocked, LedgerOpenError
from streamgauge.ledger.key_rows import KeyRow, check_of, columns_of, read_rows, ring_of
from streamgauge.ledger.key_secret import KeySecretMissing, made_secret, read_secret
from streamgauge.ledger.lock import LedgerLock
from streamgauge.ledger.presence import is_there
from streamgauge.ledger.reader import LedgerReader
from streamgauge.ledger.schema import APPLICATION_ID, LATEST, open_for_writing, opening

__all__ = ["KeyRefused", "KeyStore", "KeyUnfit", "NewKey", "RingReader", "list_keys"]

_BUSY_SECONDS = 5.0
"""A gateway's transactions take milliseconds; what takes longer is stuck."""
_MAKING_SECONDS, _OLDER_SECONDS, _LOOK_SECONDS = 5.0, 0.5, 0.02
"""How long a ledger may take to be made by another, or one that is seen half-way, and between two looks."""
_FIRST_WITH_KEYS = 3


class KeyRefused(LedgerError):
    """There is no such key, or its state does not allow it."""


class KeyUnfit(KeyRefused):
    """The key would have limits that cannot be kept together."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made: the only time that its text is anywhere. `expired`: it opens nothing as it stands."""

    key_id: str
    text: str = field(repr=False)
    label: str
    expired: bool = False


class KeyStore:
    """Writes keys over a connection of its own; each change is one immediate transaction.

    Opening makes the ledger where there is none. It raises LedgerOpenError's kinds, LedgerLocked
    among them for an older ledger that a gateway has open. `now_us`: the wall clock in µs.
    """

    def __init__(self, path: Path, now_us: Callable[[], int]) -> None:
        self._path = path
        self._now_us = now_us
        _make_ready(path)
        with opening(path):
            self._connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
            self._connection.execute("PRAGMA synchronous = FULL")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    def create(self, caller: Caller, expires_at: int | None = None) -> NewKey:
        """Store a new key for `caller`, whose `key_id` is given here; `expires_at`: µs, epoch.

        Raises KeyUnfit.
        """
        _check(caller.limits)
        named = replace(caller, key_id=f"key_{secrets.token_hex(8)}")
        text, digests = self._new_text()
        columns = {
            "key_id": named.key_id,
            "created_at": self._now_us(),
            **digests,
            **columns_of(named, expires_at),
        }
        places = ", ".join("?" * len(columns))
        with self._changing():
            self._connection.execute(
                f"INSERT INTO client_keys ({', '.join(columns)}) VALUES ({places})",
                tuple(columns.values()),
            )
        return NewKey(named.key_id, text, named.label)

    def rotate(self, key_id: str, grace_seconds: float = 0.0) -> NewKey:
        """Give the key a new text; the old one opens for `grace_seconds` more, one before not.

        Raises KeyRefused for a key that is not there or revoked.
        """
        text, digests = self._new_text()
        now = self._now_us()
        with self._changing():
            row = self._living(key_id)
            old = row.key.digest if grace_seconds else None
            until = now + round(grace_seconds * 1_000_000) if grace_seconds else None
            changes = {**digests, "rotated_at": now, "old_digest": old, "old_until": until}
            self._update(key_id, changes)
        expired = row.key.state.why_dead(now) is not None
        return NewKey(key_id, text, row.key.caller.label, expired)

    def revoke(self, key_id: str) -> None:
        """Let the key open nothing any more, for good. Raises KeyRefused if there is none."""
        with self._changing():
            if self._found(key_id).key.state.revoked_at is None:
                self._update(key_id, {"revoked_at": self._now_us()})

    def change(self, key_id: str, changes: dict[str, Any]) -> None:
        """Set columns of a key that is not revoked. Raises KeyRefused, and changes nothing then."""
        with self._changing():
            self._living(key_id)
            self._update(key_id, changes)
            if any(name.startswith("per_") for name in changes):
                _check(self._found(key_id).key.caller.limits)

    def _new_text(self) -> tuple[str, dict[str, Any]]:
        """Return a new key, and what is stored of it."""
        secret = self._secret()
        text = key_text(secrets.token_bytes(SECRET_BYTES))
        return text, {"digest": digest_of(secret, text.encode()), "shown": shown_part(text)}

    def _secret(self) -> bytes:
        with self._changing():
            (check,) = self._one("SELECT secret_check FROM keys_state")
            live = self._one("SELECT 1 FROM client_keys WHERE revoked_at IS NULL LIMIT 1")
            # Where each key is revoked, none is lost by a new secret.
            secret = made_secret(self._path) if live is None else read_secret(self._path)
            if check is not None and check != check_of(secret) and live is not None:
                raise KeySecretMissing(f"the secret beside {self._path} is another ledger's")
            self._connection.execute("UPDATE keys_state SET secret_check = ?", (check_of(secret),))
        return secret

    def _found(self, key_id: str) -> KeyRow:
        for row in read_rows(self._connection):
            if row.key.caller.key_id == key_id:
                return row
        raise KeyRefused(f"there is no key {key_id!r}: `streamgauge keys ls` lists them")

    def _living(self, key_id: str) -> KeyRow:
        row = self._found(key_id)
        if row.key.state.revoked_at is not None:
            raise KeyRefused(f"key {key_id} is revoked, for good: make a new one")
        return row

    def _update(self, key_id: str, changes: dict[str, Any]) -> None:
        sets = ", ".join(f"{name} = ?" for name in changes)
        self._connection.execute(
            f"UPDATE client_keys SET {sets} WHERE key_id = ?", (*changes.values(), key_id)
        )

    def _one(self, query: str) -> Any:
        return next(iter(self._connection.execute(query).fetchall()), None)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with opening(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")


class RingReader:
    """Reads the keys of a ledger for a gateway, over a read-only connection of its own.

    It belongs to one thread at a time. Raises LedgerOpenError's kinds.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with opening(path):
            uri = f"{path.resolve().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(
                uri, uri=True, isolation_level=None, check_same_thread=False
            )

    def close(self) -> None:
        """Let the file go."""
        self._connection.close()

    def version(self) -> int:
        """Return a number that changes whenever a key does."""
        with opening(self._path):
            rows = self._connection.execute("SELECT version FROM keys_state").fetchall()
            return int(rows[0][0])

    def read(self) -> tuple[int, KeyRing]:
        """Return the version and all keys at that version.

        Raises KeySecretMissing when there are keys and their secret is not to be had.
        """
        with opening(self._path):
            self._connection.execute("BEGIN")
            try:
                (state,) = self._connection.execute("SELECT * FROM keys_state").fetchall()
                rows = read_rows(self._connection)
            finally:
                self._connection.execute("COMMIT")
        _, version, check = state
        try:
            return version, ring_of(read_secret(self._path), check, rows)
        except KeySecretMissing:
            if any(row.key.state.revoked_at is None for row in rows):
                raise
            return version, ring_of(b"", None, rows)  # Nothing is lost that would have opened.


def _check(limits: KeyLimits) -> None:
    if (mistake := limits.mistake) is not None:
        raise KeyUnfit(mistake)


def list_keys(path: Path) -> list[KeyRow]:
    """Return all keys of the ledger at `path`, the oldest first. Raises LedgerOpenError's kinds."""
    with LedgerReader(path) as reader:
        if reader.schema < _FIRST_WITH_KEYS:
            return []
        with reader.snapshot() as connection:
            return read_rows(connection)


def _make_ready(path: Path) -> None:
    """Make or migrate the ledger where that is needed: under its lock, as a gateway would.

    One that is not there yet may be in the making, by a gateway that starts or another of us.
    """
    patience = _MAKING_SECONDS if _schema_of(path) is None else _OLDER_SECONDS
    until = time.monotonic() + patience
    while _schema_of(path) != LATEST:
        try:
            lock = LedgerLock(path, owner="keys")
        except LedgerLocked:
            if time.monotonic() >= until:  # a gateway of an older release keeps it as it is
                raise
            time.sleep(_LOOK_SECONDS)  # a file has no event to wait for
            continue
        try:
            open_for_writing(path).close()
        finally:
            lock.release()


def _schema_of(path: Path) -> int | None:
    """Return the ledger's schema, None where there is no ledger yet. Raises LedgerForeign."""
    if not is_there(path) or not path.stat().st_size:
        return None
    with opening(path), closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as connection:
        own = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if not own and not tables:
        return None  # about to be made: the file comes before what is in it
    if not own:
        raise LedgerForeign(f"{path} is a database of another program, not a streamgauge ledger")
    if version > LATEST:
        raise LedgerOpenError(f"ledger {path} was written by a newer streamgauge: use that one")
    return version
