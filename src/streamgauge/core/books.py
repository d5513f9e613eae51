"""The books of one exchange: its row and those of its attempts, from the open ones to the closed."""

from __future__ import annotations

from dataclasses import replace

from streamgauge.core.actions import BeginAttempt, BeginRecord, Commit
from streamgauge.core.attempt import Attempt, Facts
from streamgauge.core.closing import (
    book,
    check_consistency,
    close_attempt,
    may_have_been_billed,
)
from streamgauge.core.meter import Meter
from streamgauge.core.record import (
    Anomaly,
    AttemptRecord,
    Delivered,
    Disposition,
    ExchangeRecord,
    Status,
)
from streamgauge.core.starting import new_attempt_record, new_record
from streamgauge.core.verdict import Verdict

__all__ = ["Books"]

_ANSWERS = frozenset({"chat/completions", "messages", "completions", "responses"})
_UNREAD = frozenset({Anomaly.OVERSIZE_LINE, Anomaly.METER_ERROR})
"""With these, content may have passed that the meter has not seen."""


class Books:
    """Row, attempts and meter of one exchange. Times come in as monotonic seconds."""

    __slots__ = (
        "_facts",
        "_sent",
        "_started",
        "anomalies",
        "attempts",
        "meter",
        "record",
        "stream_end",
    )

    def __init__(self, facts: Facts, first: Attempt, started: float) -> None:
        """`first`: of the attempts of `facts`."""
        self._facts = facts
        self._started = started
        self._sent = False
        self.record: ExchangeRecord = new_record(facts, first)
        self.attempts: list[AttemptRecord] = []
        self.meter = self._new_meter(first)
        self.stream_end: float | None = None
        self.anomalies: set[str] = set()  # of attempts that failed

    def _new_meter(self, attempt: Attempt) -> Meter:
        request = self._facts.request
        several = request.n > 1 and attempt.kind == "llamacpp"
        return Meter(
            self._started, streaming=request.stream, choices=request.n, sum_choices=several
        )

    def _ms(self, now: float) -> float:
        return round((now - self._started) * 1000, 3)

    def _wall(self, now: float) -> int:
        """Return `now` in µs since the epoch; the wall clock was read once, at the start.

        Rounded as the row's milliseconds are: nothing ends a microsecond before what it ends with.
        """
        return self._facts.started_at + round(self._ms(now) * 1000)

    def begin(self, attempt: Attempt, now: float) -> BeginRecord | BeginAttempt:
        """Open the rows of the next attempt, and with the first one that of the exchange."""
        record, n = self.record, len(self.attempts) + 1
        row = new_attempt_record(self._facts, n, attempt, self._wall(now))
        self.attempts.append(row)
        if n == 1:  # its meter stands ready, and the new row names it
            return BeginRecord(record, row)
        self.meter = self._new_meter(attempt)
        record.attempts = n
        record.upstream, record.upstream_model = attempt.upstream, attempt.model
        record.latency_ms = record.first_byte_ms = record.bytes_in = None
        self._sent = False
        return BeginAttempt(row, self.attempts[-2])

    def instead(self, attempt: Attempt) -> None:
        """The first attempt is another one than was planned. Nothing was written yet."""
        self.meter = self._new_meter(attempt)
        self.record.upstream, self.record.upstream_model = attempt.upstream, attempt.model

    def connected(self, now: float) -> None:
        """A socket to the attempt's upstream is ready, or a reused one was taken."""
        self.attempts[-1].connected_ms = self._ms(now)

    def sent(self) -> None:
        """Request bytes have left for the upstream."""
        self._sent = True

    def begun(self, now: float) -> None:
        """The row is committed: until here the time was ours."""
        if self.record.overhead_us is None:
            self.record.overhead_us = round((now - self._started) * 1e6, 1)

    def head(self, status: int, now: float) -> None:
        """The head of an attempt's answer came."""
        self.attempts[-1].http_status = status
        self.record.latency_ms = self._ms(now)
        self.record.bytes_in = 0

    def data(self, size: int, now: float) -> None:
        """Body bytes came."""
        record = self.record
        if size and record.first_byte_ms is None:
            record.first_byte_ms = self.attempts[-1].first_byte_ms = self._ms(now)
        record.bytes_in = (record.bytes_in or 0) + size

    def to_client(self, size: int) -> None:
        """Body bytes were handed to the client."""
        record = self.record
        record.bytes_out = (record.bytes_out or 0) + size

    def marked(self, attempt: Attempt, now: float) -> None:
        """The end marker came: times stop."""
        self.stream_end = now
        self.record.status = Status.COMPLETED
        book(self.record, attempt, self.meter, now)

    def so_far(self, attempt: Attempt, now: float) -> ExchangeRecord:
        """Return a copy of the row with what the meter has read until `now`; nothing is changed."""
        row, meter = replace(self.record, status=Status.IN_FLIGHT), self.meter
        as_of, meter.booked_as_of = meter.booked_as_of, None
        book(row, attempt, meter, now if self.stream_end is None else self.stream_end)
        meter.booked_as_of = as_of  # it says what stands in the row, not in a copy
        if row.streaming and not self._facts.reads(attempt):
            row.frames_in = row.stalls = None
        return row

    def close_failed(self, verdict: Verdict, now: float) -> AttemptRecord:
        """Close and return the row of an attempt that failed, while another one follows."""
        row, meter = self.attempts[-1], self.meter
        self.anomalies.update(meter.anomalies)
        row.finished_at = self._wall(now)
        row.outcome = verdict.status.value
        row.error_code = None if verdict.error is None else verdict.error.code.value
        row.may_have_been_billed = may_have_been_billed(row, self._sent)
        self._times(row)
        booked = meter.booked()
        row.input_tokens, row.output_tokens = booked.usage.input, booked.usage.output
        return row

    def uncalled(self, verdict: Verdict, now: float) -> AttemptRecord:
        """Take back the first attempt, and return its row: no upstream was called (SPEC §8.1)."""
        row = self.close_failed(verdict, now)
        self.attempts.clear()
        self.record.attempts = 0
        self.record.upstream = self.record.upstream_model = None
        return row

    def close(
        self,
        verdict: Verdict,
        attempt: Attempt,
        now: float,
        *,
        delivered: Delivered,
        disposition: Disposition,
    ) -> Commit:
        """Fill in and return the closed rows."""
        record, meter = self.record, self.meter
        booked = book(record, attempt, meter, now if self.stream_end is None else self.stream_end)
        check_consistency(meter, booked)
        if record.streaming and not self._facts.reads(attempt):
            record.frames_in = record.stalls = None  # nothing was read: unknown, not zero
        record.status = verdict.status
        record.success = verdict.status is Status.COMPLETED or (
            verdict.status is Status.CLIENT_DISCONNECTED and meter.ended and meter.failed is None
        )
        if verdict.error is not None:
            record.error_code = verdict.error.code.value
            record.error_message = verdict.error.message[:1000]
        elif verdict.quiet:
            meter.note(Anomaly.FINISHED_WITHOUT_MARKER)
        if booked.usage_source == "counted" and booked.input_source == "provider":
            meter.note(Anomaly.PARTIAL_USAGE)
        if verdict.status is Status.COMPLETED and self._empty(attempt):
            meter.note(Anomaly.EMPTY_ANSWER)
        record.delivered, record.disposition = delivered, disposition
        record.finished_at = self._wall(now)
        if self.anomalies or meter.anomalies:
            record.anomalies = sorted(self.anomalies.union(meter.anomalies))
        last = self.attempts[-1] if self.attempts else None
        if last is not None and last.finished_at is None:  # else it failed, before another one
            close_attempt(last, record, self._sent)
            self._times(last)
        return Commit(record, tuple(self.attempts))

    def abandon(self, verdict: Verdict, now: float) -> Commit:
        """Return the rows closed as they stand: to fill them in has failed. Unknown stays unknown."""
        record = self.record
        record.status, record.success = verdict.status, verdict.status is Status.COMPLETED
        if verdict.error is not None:
            record.error_code = verdict.error.code.value
            record.error_message = verdict.error.message
        record.usage_source = record.usage_source or "none"
        record.input_source = record.input_source or "none"
        record.tps_source = record.tps_source or "none"
        record.finished_at = self._wall(now)
        for row in self.attempts:
            if row.finished_at is None:
                close_attempt(row, record, self._sent)
        return Commit(record, tuple(self.attempts))

    def _times(self, row: AttemptRecord) -> None:
        """Write the times that the meter of an attempt has of its answer."""
        meter = self.meter
        row.usage_ms = None if meter.usage_at is None else self._ms(meter.usage_at)
        if meter.streaming and meter.last_content is not None:
            row.last_token_ms = self._ms(meter.last_content)

    def _empty(self, attempt: Attempt) -> bool:
        request = self._facts.request
        if not self._facts.reads(attempt) or request.endpoint not in _ANSWERS:
            return False
        meter = self.meter
        if meter.content_frames or not _UNREAD.isdisjoint(meter.anomalies):
            return False
        if meter.shown and attempt.dialect is None:  # translated, it has no counterpart
            return False
        return meter.calls is None  # a call without arguments says all it has with its name
