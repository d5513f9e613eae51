"""How slow a body may come, and how long a refused client is listened to. Knows no socket."""

from __future__ import annotations

__all__ = ["BodyPace", "Linger"]


class BodyPace:
    """Compares what comes of a body with a least rate, one window after the other (FAULTS S5).

    A whole window is looked at, not a moment: a client on a bad line pauses for seconds and is
    not slow. `rate` in bytes a second, `window` and `now` in seconds.
    """

    __slots__ = ("_came", "_least", "_since", "_window")

    def __init__(self, rate: float, window: float, now: float) -> None:
        self._least = rate * window
        self._window = window
        self._since = now
        self._came = 0

    def came(self, size: int) -> None:
        """Count `size` bytes of the body, its framing included."""
        self._came += size

    def too_slow(self, now: float) -> bool:
        """Return whether the window that is over brought less than the least."""
        if now - self._since < self._window:
            return False
        slow = self._came < self._least
        self._since, self._came = now, 0
        return slow


class Linger:
    """What a client that was refused may still send before it is cut: seconds and bytes.

    Unread bytes at a close make the kernel send a reset, which overtakes the answer (RFC 9112
    §9.6). Each arrival gives `seconds` more, up to `limit` seconds and `size` bytes in all.
    """

    __slots__ = ("_last", "_left", "_seconds", "deadline")

    def __init__(self, seconds: float, limit: float, size: int, now: float) -> None:
        self._seconds = seconds
        self._last = now + limit
        self._left = size
        self.deadline = now + seconds

    def came(self, size: int, now: float) -> bool:
        """Return whether `size` bytes more are borne; `deadline` moves on with them."""
        self._left -= size
        self.deadline = min(now + self._seconds, self._last)
        return self._left >= 0
