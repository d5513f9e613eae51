"""Makes the ids of exchanges. It knows nothing of them."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from itertools import count
from time import time_ns

__all__ = ["IdSource"]

_NS_PER_MS = 1_000_000


class IdSource:
    """Unguessable ids in the form of SPEC §8.3, none twice: UUIDs of version 7 without dashes.

    They begin with the time (RFC 9562 §5.7), so that the ledger appends: ids of pure chance changed
    a page of their own in each index, two thirds of what a commit wrote. The other 74 bits are a
    keyed hash of a counter, as hard to guess as the key, and a tenth of the time that asking the
    kernel for chance takes beside a busy ledger thread.
    """

    __slots__ = ("_clock", "_key", "_numbers")

    def __init__(self, clock: Callable[[], int] = time_ns) -> None:
        """`clock` gives nanoseconds since the epoch."""
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._numbers = count()

    def next(self) -> str:
        """Return the next id."""
        number = next(self._numbers).to_bytes(8, "big")
        chance = int.from_bytes(hashlib.blake2b(number, digest_size=10, key=self._key).digest())
        milliseconds = self._clock() // _NS_PER_MS
        # 48 bits of time, version 7, 12 bits of chance, variant 2, 62 bits of chance.
        high, low = chance >> 68, chance & (1 << 62) - 1
        return f"{milliseconds:012x}7{high:03x}{1 << 63 | low:016x}"
