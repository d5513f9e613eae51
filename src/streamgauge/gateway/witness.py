"""Notes on a closing row what only the process saw: a jump of the clock, a stall of the loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from streamgauge.core.record import Anomaly, AttemptRecord, ExchangeRecord
from streamgauge.gateway.pulse import LoopPulse
from streamgauge.ledger.base import Done, Ledger
from streamgauge.ledger.passing import PassingLedger

__all__ = ["WitnessedLedger"]

_CLOCK_JUMP_US: Final = 5_000_000
"""More than a clock that is only slewed (500 ppm) strays from the monotonic one in two hours."""


class WitnessedLedger(PassingLedger):
    """A ledger whose closed rows carry `clock_jump` and `loop_lag` where they apply (F9, F48).

    A row's times come from one look at the wall clock and from the monotonic one, so that no jump
    harms them; what is noted is that other rows and logs may be dated differently.
    """

    __slots__ = ("_clock", "_now_us", "_pulse")

    def __init__(
        self,
        ledger: Ledger,
        pulse: LoopPulse,
        now_us: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(ledger)
        self._pulse = pulse
        self._now_us = now_us
        self._clock = clock

    def close(
        self,
        record: ExchangeRecord,
        attempts: Sequence[AttemptRecord],
        done: Done | None = None,
    ) -> None:
        """As `Ledger.close`, with the anomalies that were seen here added to `record`."""
        finished_at = record.finished_at
        if finished_at is not None:
            if abs(self._now_us() - finished_at) > _CLOCK_JUMP_US:
                _note(record, Anomaly.CLOCK_JUMP)
            now = self._clock()
            if self._pulse.stalled_since(now - (finished_at - record.started_at) / 1e6, now):
                _note(record, Anomaly.LOOP_LAG)
        self._inner.close(record, attempts, done)


def _note(record: ExchangeRecord, seen: Anomaly) -> None:
    record.anomalies = sorted({*record.anomalies, seen})
