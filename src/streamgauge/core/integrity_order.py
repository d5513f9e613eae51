"""Follows the numbers of one stream's frames: what is missing, repeated, late. It knows no bytes."""

from __future__ import annotations

from collections.abc import Sequence

from streamgauge.core.integrity_finding import Kind

__all__ = ["Order"]

_MISSING_KEPT = 10_000
"""Numbers of missing frames kept, to tell a late frame from a repeated one."""

Place = tuple[Kind, int, str]


class Order:
    """The numbers 1, 2, … as they come. Behind a fault, what follows is measured from there."""

    __slots__ = ("_acc", "_fresh", "_last", "_missing", "forward")

    def __init__(self) -> None:
        self._last = 0
        self._acc = 0
        self._missing: set[int] = set()
        self._fresh = True  # this frame is the next one
        self.forward = True
        """Whether the last frame came behind all before it."""

    def next(self) -> int:
        """Return the number of the frame that should come."""
        return self._last + 1

    def take(self, seq: int) -> Sequence[Place]:
        """Take in the number of the frame that came; return what is wrong with it."""
        expected = self.next()
        self._fresh, self.forward = seq == expected, seq >= expected
        if self._fresh:
            self._last = seq
            return ()
        if seq > expected:
            self._last = seq
            room = _MISSING_KEPT - len(self._missing)  # of all gaps: the numbers are a stranger's
            self._missing.update(range(expected, min(seq, expected + room)))
            gone = f"frame {expected} is" if seq == expected + 1 else f"{expected} to {seq - 1} are"
            return ((Kind.MISSING, expected, f"{gone} not there: {seq} follows {expected - 1}"),)
        if seq in self._missing:
            self._missing.discard(seq)
            return ((Kind.OUT_OF_ORDER, seq, f"frame {seq} comes behind frame {expected - 1}"),)
        return ((Kind.REPEATED, seq, f"frame {seq} comes again behind frame {expected - 1}"),)

    def adds(self, length: int, acc_len: int) -> bool:
        """Return whether `acc_len` fits a frame of `length` characters; it is believed from here on."""
        fits = not self._fresh or acc_len == self._acc + length
        if self.forward:
            self._acc = acc_len
        return fits

    def place(self, sha1: str, sha1s: Sequence[str | None]) -> Sequence[Place]:
        """Find the frame with `sha1` among those that were sent; return what is wrong with it."""
        at = self._last
        if at < len(sha1s) and sha1s[at] in (None, sha1):
            return self.take(at + 1)
        if sha1 in sha1s[at + 1 :]:
            return self.take(sha1s.index(sha1, at + 1) + 1)
        if sha1 in sha1s[:at]:
            missing = [seq for seq in self._missing if sha1s[seq - 1] == sha1]
            return self.take(min(missing) if missing else sha1s.index(sha1) + 1)
        self.take(at + 1)
        return ((Kind.ALTERED, at + 1, f"what came has sha1 {sha1}, which was not sent"),)
