"""Makes the ids of exchanges. It knows nothing of them."""

from __future__ import annotations

import hashlib
import secrets
from itertools import count

__all__ = ["IdSource"]


class IdSource:
    """Unguessable ids in the form of SPEC §8.3, none twice.

    A keyed hash of a counter: as hard to guess as the key, and a tenth of the time that asking the
    kernel for chance takes beside a busy ledger thread.
    """

    __slots__ = ("_key", "_numbers")

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._numbers = count()

    def next(self) -> str:
        """Return the next id."""
        number = next(self._numbers).to_bytes(8, "big")
        return hashlib.blake2b(number, digest_size=16, key=self._key).hexdigest()
