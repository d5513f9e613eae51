"""Limits failed tries at a key or a token, by address (FAULTS S23). Time is an argument."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["FailedTries"]

_AT_ONCE = 10.0
"""Enough for a person who mistypes and for a dashboard whose token was just changed."""
_PER_SECOND = 0.5
"""At this pace a token of 64 bits stands for longer than anyone waits."""
_MAX_ADDRESSES = 1024


class FailedTries:
    """How many failures each address has left. An address that was forgotten has all of them."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def seconds_to_wait(self, address: str, now: float) -> float:
        """Return 0 while the address may try, else the seconds until it may; `now`: monotonic."""
        left = self._left_of(address, now)
        return 0.0 if left >= 1 else (1 - left) / _PER_SECOND

    def failed(self, address: str, now: float) -> None:
        """Count one failed try."""
        self._left[address] = (self._left_of(address, now) - 1, now)
        self._left.move_to_end(address)
        if len(self._left) > _MAX_ADDRESSES:
            self._left.popitem(last=False)

    def _left_of(self, address: str, now: float) -> float:
        left, since = self._left.get(address, (_AT_ONCE, now))
        return min(_AT_ONCE, left + (now - since) * _PER_SECOND)
