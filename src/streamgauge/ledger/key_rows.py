"""Rows of `client_keys` as keys, and what a screen shows of them. Opens nothing."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamgauge.core.keys import Caller, ClientKey, KeyLimits, KeyRing, KeyState, digest_of
from streamgauge.core.pricing import Money
from streamgauge.ledger.key_secret import KeySecretMissing

__all__ = ["KeyRow", "check_of", "columns_of", "limits_columns", "read_rows", "ring_of"]

_CHECKED = b"streamgauge client keys"
"""Not of a key's form, so that its digest opens nothing."""

_SELECT = (
    "SELECT key_id, label, shown, digest, old_digest, old_until, created_at, rotated_at, "
    "expires_at, revoked_at, last_used_at, models, max_streams, rpm, tpm, per_day_nano, "
    "per_day_currency, per_month_nano, per_month_currency FROM client_keys ORDER BY rowid"
)


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One key with what only people look at. Times: µs since the epoch, None is unknown or never."""

    key: ClientKey
    shown: str
    created_at: int
    rotated_at: int | None
    last_used_at: int | None

    def as_json(self, now_us: int) -> dict[str, Any]:
        """Return what `keys ls` tells of it: never the key, nor its digest."""
        caller, state = self.key.caller, self.key.state
        limits = caller.limits
        return {
            "id": caller.key_id,
            "label": caller.label,
            "shown": self.shown,
            "state": state.why_dead(now_us) or "active",
            "created_at": self.created_at,
            "last_used_at": self.last_used_at,
            "rotated_at": self.rotated_at,
            "expires_at": state.expires_at,
            "revoked_at": state.revoked_at,
            "models": list(caller.models),
            "max_streams": limits.max_streams,
            "rpm": limits.rpm,
            "tpm": limits.tpm,
            "per_day": None if limits.per_day is None else str(limits.per_day),
            "per_month": None if limits.per_month is None else str(limits.per_month),
        }


def read_rows(connection: sqlite3.Connection) -> list[KeyRow]:
    """Return all keys, the oldest first, whatever their state."""
    return [_row(values) for values in connection.execute(_SELECT).fetchall()]


def ring_of(secret: bytes, check: bytes | None, rows: Sequence[KeyRow]) -> KeyRing:
    """Return the ring of `rows`. Raises KeySecretMissing when `secret` is another ledger's."""
    if check is not None and check != check_of(secret):
        raise KeySecretMissing(
            "the secret of the client keys is not the one that they were made with: "
            "put the file back that was beside the ledger (docs/keys.md)"
        )
    return KeyRing.of(secret, [row.key for row in rows])


def check_of(secret: bytes) -> bytes:
    """Return what `keys_state.secret_check` is for `secret`."""
    return digest_of(secret, _CHECKED)


def columns_of(caller: Caller, expires_at: int | None) -> dict[str, Any]:
    """Return the columns that `create` and `set` may give."""
    return {
        "label": caller.label,
        "models": json.dumps(caller.models),
        "expires_at": expires_at,
        **limits_columns(caller.limits),
    }


def limits_columns(limits: KeyLimits) -> dict[str, Any]:
    """Return the columns of `limits`."""
    day, month = limits.per_day, limits.per_month
    return {
        "max_streams": limits.max_streams,
        "rpm": limits.rpm,
        "tpm": limits.tpm,
        "per_day_nano": None if day is None else day.nano,
        "per_day_currency": None if day is None else day.currency,
        "per_month_nano": None if month is None else month.nano,
        "per_month_currency": None if month is None else month.currency,
    }


def _row(values: Sequence[Any]) -> KeyRow:
    (
        key_id, label, shown, digest, old_digest, old_until, created_at, rotated_at,
        expires_at, revoked_at, last_used_at, models, max_streams, rpm, tpm, *money,
    ) = values  # fmt: skip
    limits = KeyLimits(max_streams, rpm, tpm, _money(*money[:2]), _money(*money[2:]))
    caller = Caller(key_id, label, tuple(json.loads(models)), limits)
    key = ClientKey(caller, digest, KeyState(expires_at, revoked_at), old_digest, old_until)
    return KeyRow(key, shown, created_at, rotated_at, last_used_at)


def _money(nano: int | None, currency: str | None) -> Money | None:
    return None if nano is None or currency is None else Money(nano, currency)
