"""Makes the ids of exchanges. It knows nothing of them."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from itertools import count
from string import ascii_lowercase, ascii_uppercase, digits
from time import time_ns
from typing import Final

__all__ = ["IdSource"]

_NS_PER_MS: Final = 1_000_000
_DIGITS: Final = digits + ascii_uppercase + ascii_lowercase
"""In the order in which the ledger sorts them."""
_PAIRS: Final = tuple([high + low for high in _DIGITS for low in _DIGITS])


class IdSource:
    """Unguessable ids in the form of SPEC §8.3, none twice.

    Seven digits of base 62 are the milliseconds since the epoch, so that the ledger appends: ids
    of pure chance changed a page of their own in each index. The other 96 bits, in 24 hexadecimal
    digits, are a keyed hash of a counter: as hard to guess as the key, and a tenth of the time that
    asking the kernel for chance takes beside a busy ledger thread. The first ten digits tell ids
    apart for whoever types them, which those of a UUID of version 7 do not.
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
        chance = hashlib.blake2b(number, digest_size=12, key=self._key).hexdigest()
        rest, last = divmod(self._clock() // _NS_PER_MS, 62)
        high, low = divmod(rest, 3844 * 3844)
        middle, low = divmod(low, 3844)
        return f"{_PAIRS[high % 3844]}{_PAIRS[middle]}{_PAIRS[low]}{_DIGITS[last]}{chance}"
