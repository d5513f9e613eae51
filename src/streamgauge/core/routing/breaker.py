"""One upstream's circuit: whether it may be called, and how well it is. Knows no call and no route.

Failures in a row open it, time half-opens it, one probe closes it or opens it again (SPEC §14.5).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

__all__ = ["Breaker", "Circuit", "Condition", "Health", "health"]

_REMEMBERED = 20
"""Calls that health looks back on: few enough to follow a change, enough for a share of 10 %."""
_REMEMBERED_SECONDS = 300.0
"""What is older says nothing of an upstream that is hardly called."""
_DEGRADED_PERCENT = 10


class Circuit(StrEnum):
    """Whether an upstream is called: always, never, or by one probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Condition(StrEnum):
    """How well an upstream is, for people."""

    OK = "ok"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Health:
    """How an upstream is, and why; `reason` is None when all is well."""

    condition: Condition
    reason: str | None = None


class Breaker:
    """Holds: while open nobody is let in; while half-open at most one call, the probe, is out.

    A call is known by the ticket that `began` returns. With it, a call from before the circuit
    opened or closed cannot be taken for the probe, nor for a new failure; without it (None) an
    outcome counts as that of the probe while one is out, else as that of a call of now. Times are
    monotonic seconds.
    """

    __slots__ = (
        "_calls",
        "_cool_until",
        "_failures",
        "_failures_allowed",
        "_next",
        "_open_seconds",
        "_opened_at",
        "_probe",
        "_valid_from",
    )

    def __init__(self, failures: int = 3, open_seconds: float = 30.0) -> None:
        """Open after `failures` in a row, for `open_seconds`."""
        self.adjust(failures, open_seconds)
        self._failures = 0
        self._opened_at: float | None = None
        self._cool_until: float | None = None
        self._next = 1
        self._valid_from = 1
        self._probe: int | None = None
        self._calls: deque[tuple[float, bool]] = deque(maxlen=_REMEMBERED)

    def __repr__(self) -> str:
        opened = "closed" if self._opened_at is None else f"opened at {self._opened_at:.3f}"
        return f"<Breaker {opened} failures={self._failures} probe={self._probe}>"

    def adjust(self, failures: int, open_seconds: float) -> None:
        """Take other bounds from now on; where the circuit stands and what was counted remain."""
        self._failures_allowed = failures
        self._open_seconds = open_seconds

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self._failures

    def state(self, now: float) -> Circuit:
        """Return how the circuit stands."""
        if self._opened_at is None:
            return Circuit.CLOSED
        waited = now >= self._opened_at + self._open_seconds
        return Circuit.HALF_OPEN if waited else Circuit.OPEN

    def allows(self, now: float) -> bool:
        """Return whether a call may begin now."""
        if self._cool_until is not None and now < self._cool_until:
            return False
        if self._opened_at is None:
            return True  # nearly always, and asked in every request
        return self.state(now) is Circuit.HALF_OPEN and self._probe is None

    def reopens_at(self, now: float) -> float | None:
        """Return when a call may begin, at the earliest; None where it may at once.

        While the probe is out that is `now`: its end may be a moment away, and nobody knows.
        """
        return None if self.allows(now) else self.earliest(now)

    def earliest(self, now: float) -> float:
        """Return the first moment from `now` on at which neither circuit nor wait forbids a call."""
        opened = self._opened_at
        waits = (self._cool_until, None if opened is None else opened + self._open_seconds)
        return max([now, *(wait for wait in waits if wait is not None)])

    # --- calls ---------------------------------------------------------------------------------

    def began(self, now: float) -> int:
        """Note that a call begins, in a half-open circuit as its probe. Returns the call's ticket."""
        ticket = self._next
        self._next += 1
        if self._probe is None and self.state(now) is Circuit.HALF_OPEN:
            # Once it closes, older calls count no more, but its own stream may still fail.
            self._probe = self._valid_from = ticket
        return ticket

    def answered(self, now: float, ticket: int | None = None) -> None:
        """Note the first content of a call that goes on: a probe has told enough, and closes.

        It is not `succeeded`: streams that all begin well and then die must still add up.
        """
        if self._is_probe(ticket):
            self._close()

    def succeeded(self, now: float, ticket: int | None = None) -> None:
        """Note a call that ended well."""
        self._calls.append((now, True))
        if self._is_probe(ticket):
            self._close()
        elif self._is_of_now(ticket):
            self._failures = 0

    def failed(self, now: float, ticket: int | None = None) -> None:
        """Note a call that failed, in the middle of its stream too."""
        self._calls.append((now, False))
        if self._is_probe(ticket):
            self._failures += 1
            self._open(now)
        elif self._is_of_now(ticket):
            self._failures += 1
            if self._failures >= self._failures_allowed:
                self._open(now)

    def abandoned(self, now: float, ticket: int | None = None) -> None:
        """Note a call that said nothing of the upstream: its client left early, or it was refused."""
        if self._is_probe(ticket):
            self._probe = None

    def cool(self, until: float) -> None:
        """Let no call begin before `until`, which the caller has capped (FAULTS F33)."""
        self._cool_until = until if self._cool_until is None else max(until, self._cool_until)

    def _is_probe(self, ticket: int | None) -> bool:
        return self._probe is not None and ticket in (None, self._probe)

    def _is_of_now(self, ticket: int | None) -> bool:
        """Whether the circuit is closed, and was when the call began."""
        return self._opened_at is None and (ticket is None or ticket >= self._valid_from)

    def _open(self, now: float) -> None:
        self._opened_at = now
        self._probe = None

    def _close(self) -> None:
        self._opened_at = None
        self._probe = None
        self._failures = 0

    # --- for health ----------------------------------------------------------------------------

    def cooling(self, now: float) -> float | None:
        """Return for how many seconds the upstream wants no call; None when it set no such time."""
        until = self._cool_until
        return None if until is None or now >= until else until - now

    def recent(self, now: float) -> tuple[int, int]:
        """Return how many of the last calls failed, and how many these were."""
        ended = [ok for at, ok in self._calls.copy() if now - at <= _REMEMBERED_SECONDS]
        return ended.count(False), len(ended)


def health(breaker: Breaker, now: float) -> Health:
    """Return how the upstream of `breaker` is, from its circuit and its last calls (SPEC §14.5)."""
    match breaker.state(now):
        case Circuit.OPEN:
            left = breaker.earliest(now) - now
            row = "1 failure" if breaker.failures == 1 else f"{breaker.failures} failures in a row"
            return Health(Condition.UNHEALTHY, f"{row}; a probe in {left:.0f} s")
        case Circuit.HALF_OPEN:
            return Health(Condition.UNHEALTHY, "one probe decides whether it is called again")
        case Circuit.CLOSED:
            return _closed_health(breaker, now)
        case unreachable:
            assert_never(unreachable)


def _closed_health(breaker: Breaker, now: float) -> Health:
    if (seconds := breaker.cooling(now)) is not None:
        return Health(Condition.DEGRADED, f"it wants no call for another {seconds:.0f} s")
    failed, ended = breaker.recent(now)
    if failed * 100 > ended * _DEGRADED_PERCENT:
        which = "the last call" if ended == 1 else f"{failed} of the last {ended} calls"
        return Health(Condition.DEGRADED, f"{which} failed")
    return Health(Condition.OK)
