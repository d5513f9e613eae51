"""Which deadline of an attempt has passed (SPEC §2.5). Pure arithmetic on stamps."""

from __future__ import annotations

import msgspec

from streamgauge.core.attempt import Limits
from streamgauge.core.verdict import (
    FINISHED_WITHOUT_MARKER,
    LEDGER_UNAVAILABLE,
    Verdict,
    timed_out,
)

__all__ = ["BEGIN_WAIT", "LATE_USAGE", "MARKER_GRACE", "MARKER_WAIT", "Stamps"]

BEGIN_WAIT = 30.0
"""Seconds that a call waits for its row: a disk that takes longer is as good as away (SPEC §8.1)."""
MARKER_GRACE = 0.01
"""Seconds that the row waits behind the end marker for the transport's own end (F29)."""
LATE_USAGE = 1.0
"""Seconds that an upstream is read on for usage behind a marker or an error (SPEC §5.3, §5.4)."""
MARKER_WAIT = 2.0
"""Seconds that a translated client waits for the end marker once the finish came (WIRE §5.1)."""


class Stamps(msgspec.Struct, gc=False):
    """Monotonic stamps of one attempt. Neither deadline but the total runs while paused."""

    started: float
    sent: float | None = None
    progress: float = 0.0
    """The last thing from the upstream that was no keep-alive."""
    content: bool = False
    finished: float | None = None
    """All was said but the end marker, for which a translated client waits `MARKER_WAIT`."""
    paused: float | None = None
    told: float = 0.0
    """The last bytes to the client."""
    begin: float | None = None
    """Since when its row is on the way to the ledger, where it is waited for."""

    def of_next(self, begin: float | None) -> Stamps:
        """Return the stamps of the exchange's next attempt."""
        return Stamps(self.started, told=self.told, begin=begin)

    def pause(self, now: float) -> None:
        """Back-pressure stops the upstream."""
        if self.paused is None:
            self.paused = now

    def resume(self, now: float) -> None:
        """The upstream is read again: what passed in between counts for nothing."""
        if self.paused is None:
            return
        waited = now - self.paused
        if self.sent is not None:
            self.sent = min(now, self.sent + waited)
        # What was in flight still arrived meanwhile: no stamp may lie in the future.
        self.progress = min(now, self.progress + waited)
        self.paused = None

    def overdue(self, limits: Limits, now: float) -> Verdict | None:
        """Return the verdict of the deadline that has passed, or None."""
        if limits.total and now - self.started > limits.total:
            return timed_out("whole answer", limits.total, final=True)
        if self.begin is not None and now - self.begin > BEGIN_WAIT:
            return LEDGER_UNAVAILABLE
        if self.sent is None or self.paused is not None:
            return None
        if self.finished is not None and now - self.finished > MARKER_WAIT:
            return FINISHED_WITHOUT_MARKER
        if not self.content:
            if limits.first_token and now - self.sent > limits.first_token:
                return timed_out("first token", limits.first_token)
        elif limits.idle and now - self.progress > limits.idle:
            return timed_out("next token", limits.idle)
        return None
