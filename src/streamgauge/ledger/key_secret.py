"""The secret under which client keys are kept, in a file beside the ledger. Knows no key."""

from __future__ import annotations

import secrets
from pathlib import Path

from streamgauge.ledger.base import LedgerOpenError
from streamgauge.ledger.new_file import FileRefused, new_file

__all__ = ["KeySecretMissing", "made_secret", "read_secret", "secret_path"]

_BYTES = 32
"""As long as the digest: more adds nothing to HMAC-SHA-256 (RFC 2104 §3)."""


class KeySecretMissing(LedgerOpenError):
    """The ledger has keys, and the secret that they were digested under is not to be had."""


def secret_path(ledger: Path) -> Path:
    """Return where the secret of `ledger` lies: beside the real file, whatever name was used."""
    real = ledger.resolve()
    return real.with_name(real.name + ".keys-secret")


def read_secret(ledger: Path) -> bytes:
    """Return the secret. Raises KeySecretMissing when it is not there, unreadable or no secret."""
    path = secret_path(ledger)
    try:
        secret = bytes.fromhex(path.read_text(encoding="ascii"))
    except FileNotFoundError as error:
        raise KeySecretMissing(
            f"{path} is missing, without which no client key of ledger {ledger} can be known: "
            f"put it back from a backup; or revoke all keys, and make and hand out new ones"
        ) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it holds no secret"
        raise KeySecretMissing(f"{path} cannot be read: {reason}") from None
    if len(secret) != _BYTES:
        raise KeySecretMissing(f"{path} cannot be read: it holds no secret")
    return secret


def made_secret(ledger: Path) -> bytes:
    """Return the secret, made now (0600) if there is none. Raises KeySecretMissing."""
    path = secret_path(ledger)
    if not path.exists():
        try:
            with new_file(path, replace=False) as file:
                file.write_text(secrets.token_hex(_BYTES) + "\n", encoding="ascii")
        except FileRefused as error:
            if not path.exists():
                why = "it is a link that leads nowhere" if path.is_symlink() else error
                raise KeySecretMissing(f"{path} cannot be made: {why}") from error
            # Someone else made it in the same instant: that one holds.
    return read_secret(ledger)
