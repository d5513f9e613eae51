"""What a load client has seen: order, loss, delays, events a read. Knows no socket and no clock."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from streamgauge.tools.bench.wire import STAMP

__all__ = ["Seen", "StreamTally", "quantile"]


def quantile(values: list[float], share: float) -> float | None:
    """Return the value below which `share` of `values` lie (nearest rank), None when there are none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(slots=True)
class Seen:
    """The sums over all streams of a round. Delays in ns: from an event's send to its read.

    `answers_ns`: for each request, from its send to its first event, or to its end when not streamed.
    """

    delays_ns: array[int] = field(default_factory=lambda: array("q"))
    answers_ns: array[int] = field(default_factory=lambda: array("q"))
    requests: int = 0
    reads: int = 0
    lost: int = 0
    reordered: int = 0
    failed: int = 0
    first_failure: str | None = None

    def fail(self, reason: str) -> None:
        """Count a request that failed; the first reason is kept."""
        self.failed += 1
        if self.first_failure is None:
            self.first_failure = reason


class StreamTally:
    """One stream's events as they come. Invariant: `_next` is the number that must come next."""

    __slots__ = ("_events", "_next", "_pending", "_seen", "_sent_ns")

    def __init__(self, seen: Seen, events: int, sent_ns: int) -> None:
        self._seen = seen
        self._events = events
        self._sent_ns = sent_ns
        self._next = 0
        self._pending = b""

    @property
    def begun(self) -> bool:
        """Whether an event has come."""
        return self._next > 0

    def feed(self, body: bytes, now_ns: int) -> None:
        """Take body bytes read at `now_ns`; cut them at blank lines and look at each event."""
        data = self._pending + body if self._pending else body
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        *frames, self._pending = data.split(b"\n\n")
        events = 0
        for frame in frames:
            stamp = STAMP.search(frame)
            if stamp is not None:
                events += 1
                self._event(int(stamp[1]), now_ns - int(stamp[2]), now_ns)
        if events:
            self._seen.reads += 1

    def ended(self) -> None:
        """Count what did not come."""
        self._seen.lost += self._events - self._next
        self._next = self._events

    def _event(self, number: int, delay_ns: int, now_ns: int) -> None:
        seen = self._seen
        if self._next == 0:
            seen.answers_ns.append(now_ns - self._sent_ns)
        if number < self._next:
            seen.reordered += 1
            return
        seen.lost += number - self._next
        self._next = number + 1
        seen.delays_ns.append(delay_ns)
