"""Which attempt follows one that failed, and when. It knows no stream and no row (SPEC §14.2, §14.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streamgauge.core.attempt import Facts
from streamgauge.core.errors import RequestError
from streamgauge.core.record import Status
from streamgauge.core.routing.retries import backoff
from streamgauge.core.verdict import Verdict

__all__ = ["Following", "Tries", "may_be_mended"]

_MENDABLE = frozenset(
    {
        Status.UPSTREAM_ERROR,
        Status.UPSTREAM_TIMEOUT,
        Status.UPSTREAM_PROTOCOL_ERROR,
        Status.STREAM_INCOMPLETE,
    }
)


def may_be_mended(verdict: Verdict) -> bool:
    """Return whether another attempt could end better."""
    return verdict.status in _MENDABLE and not verdict.final and not verdict.quiet


@dataclass(frozen=True, slots=True)
class Following:
    """The next attempt: its place in `Facts.attempts`, and the seconds to wait before it."""

    index: int
    delay: float = 0.0


class Tries:
    """The attempts of one exchange in their order. `index`: the place of the current one."""

    __slots__ = ("_facts", "_failed_at", "_repeats", "index")

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._failed_at: float | None = None
        self._repeats = True  # whether the current attempt may be repeated
        self.index = 0

    def begin(self, refusal_of: Callable[[int], RequestError | None]) -> bool:
        """Stand at the first attempt that can say the request; return whether others were passed over.

        `refusal_of`: what the attempt of a place is not able to say, None where it says all. Raises
        the first one's where none can.
        """
        refusal = first = refusal_of(0)
        if first is None:
            return False
        while refusal is not None:
            if (place := self._next_place(self.index)) is None:
                raise first
            self.index = place
            refusal = refusal_of(place)
        return True

    def another(self) -> bool:
        """Return whether a request that was sent could still be sent elsewhere."""
        return self._next_place(self.index) is not None

    def admitted(self) -> bool:
        """Return whether the current attempt's upstream may be called now."""
        return self._facts.retries.admits(self._facts.attempts[self.index])

    def _next_place(self, behind: int) -> int | None:
        retries, attempts = self._facts.retries, self._facts.attempts
        places = range(behind + 1, len(attempts))
        return next((place for place in places if retries.admits(attempts[place])), None)

    def following(
        self, now: float, refusal_of: Callable[[int], RequestError | None], *, sent: bool
    ) -> Following | None:
        """Return what comes after a failure at `now`, or None; `sent`: request bytes had left.

        What was sent goes elsewhere or nowhere; what was not may be tried there once more, where
        there is nowhere else to go and nothing else was tried. `refusal_of`: as in `begin`.
        """
        retries = self._facts.retries
        if self._failed_at is None:
            self._failed_at = now
        elif retries.chain_seconds and now - self._failed_at > retries.chain_seconds:
            return None
        place = self._next_place(self.index)
        while place is not None and refusal_of(place) is not None:
            place = self._next_place(place)
        if place is not None:
            self.index, self._repeats = place, False
            return Following(place)
        if sent or not self._repeats or not self.admitted() or not retries.spend(now):
            return None
        self._repeats = False
        return Following(self.index, backoff(1, retries.chance()))
