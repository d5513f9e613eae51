"""Fills the row: what the meter read becomes the columns of SPEC §8.3."""

from __future__ import annotations

from streamgauge.core.attempt import Attempt
from streamgauge.core.dialects.finish import normal_finish
from streamgauge.core.meter import Booked, Meter
from streamgauge.core.pricing import UPSTREAM_SOURCE, book_cost
from streamgauge.core.record import Anomaly, AttemptRecord, ExchangeRecord
from streamgauge.core.usage import Timings, TokenUsage

__all__ = ["book", "check_consistency", "close_attempt", "may_have_been_billed", "metadata_of"]

_METADATA = (
    "dialect",
    "upstream",
    "requested_model",
    "upstream_model",
    "response_model",
    "status",
    "finish_reason",
    "finish_normal",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "usage_source",
    "input_source",
    "prompt_tps",
    "prompt_ms",
    "generation_tps",
    "generation_ms",
    "tps_source",
    "context_used",
    "context_total",
    "context_percent",
    "cost_nano",
    "currency",
    "cost_source",
    "cost_reason",
    "service_tier",
    "latency_ms",
    "first_byte_ms",
    "ttft_ms",
    "stream_duration_ms",
    "gap_p50_ms",
    "gap_p95_ms",
    "gap_max_ms",
    "stalls",
    "overhead_us",
    "attempts",
)


def _ms(start: float, end: float | None) -> float | None:
    return None if end is None else round((end - start) * 1000, 3)


def book(record: ExchangeRecord, attempt: Attempt, meter: Meter, ended_at: float) -> Booked:
    """Write what `meter` read into `record`; `ended_at`: monotonic seconds of the stream's end.

    What usage behind the end marker takes back is taken back: of an earlier booking nothing stays.
    """
    record.frames_in = meter.frames
    as_of = meter.booked_as_of
    if as_of is not None and as_of[0] == ended_at and as_of[1] == meter.ended:
        return as_of[2]  # at the end marker, and nothing came since
    booked = meter.booked()
    meter.booked_as_of = ended_at, meter.ended, booked
    _book_usage(record, booked)
    _book_speed(record, meter, booked)
    _book_context(record, attempt, meter.timings, booked.usage)
    _book_cost(record, attempt, meter, booked)
    _book_times(record, meter, ended_at)
    record.response_model = meter.model
    record.finish_reason = meter.finish_reason
    record.finish_normal = normal_finish(meter.finish_reason)
    record.service_tier = meter.service_tier
    return booked


def _book_usage(record: ExchangeRecord, booked: Booked) -> None:
    usage = booked.usage
    record.input_tokens = usage.input
    record.output_tokens = usage.output
    record.cache_read_tokens = usage.cache_read
    record.cache_write_tokens = usage.cache_write
    record.reasoning_tokens = usage.reasoning
    record.usage_source = booked.usage_source
    record.input_source = booked.input_source


def _book_speed(record: ExchangeRecord, meter: Meter, booked: Booked) -> None:
    timings = meter.timings
    record.tps_source, record.generation_tps, record.generation_ms = "none", None, None
    if timings is not None:
        record.prompt_tps = timings.prompt_per_second
        record.prompt_ms = timings.prompt_ms
        record.generation_tps = timings.predicted_per_second
        record.generation_ms = timings.predicted_ms
        if timings.predicted_per_second is not None:
            record.tps_source = "timings"
        return
    first, last, output = meter.first_content, meter.last_content, booked.usage.output
    if first is None or last is None or output is None or booked.usage_source == "none":
        return
    if meter.content_frames < 2 or last <= first or output < 1:
        return
    record.generation_tps = round((output - 1) / (last - first), 3)
    record.generation_ms = _ms(first, last)
    record.tps_source = "measured"


def _book_context(
    record: ExchangeRecord, attempt: Attempt, timings: Timings | None, usage: TokenUsage
) -> None:
    used = _context_used(timings, usage)
    total = attempt.context_total()
    record.context_used, record.context_total = used, total
    if used is not None and total:
        record.context_percent = round(100 * used / total, 1)


def _context_used(timings: Timings | None, usage: TokenUsage) -> int | None:
    if timings is not None:
        parts = (timings.prompt_n, timings.cache_n, timings.predicted_n)
        if all(part is not None for part in parts):
            return sum(part for part in parts if part is not None)
    if usage.input is None or usage.output is None:
        return None
    return usage.input + usage.output


def _book_cost(record: ExchangeRecord, attempt: Attempt, meter: Meter, booked: Booked) -> None:
    """Price the row: configured price, the upstream's own, the price data, null (SPEC §7.2)."""
    price = attempt.price and attempt.price.served_as(meter.service_tier)
    if price is not None and record.endpoint == "embeddings" and booked.usage.output is None:
        price = price.for_input()  # it states no output, as it has none
    cost = book_cost(booked.usage, price, meter.cost)
    record.cost_source = cost.source
    record.cost_reason = None if cost.reason is None else cost.reason.value
    record.cost_nano, record.currency, record.price = None, None, None
    if cost.money is not None:
        record.cost_nano, record.currency = cost.money.nano, cost.money.currency
    if price is not None and cost.source != UPSTREAM_SOURCE:
        record.price = price.as_json()


def _book_times(record: ExchangeRecord, meter: Meter, ended_at: float) -> None:
    start = meter.started
    record.stream_duration_ms = _ms(start, ended_at)
    if not meter.streaming:
        return
    first = meter.first_content
    if first is not None and first <= ended_at:  # not what came behind an error, for nobody
        record.ttft_ms = _ms(start, first)
    record.stalls = meter.stalls
    if (gaps := meter.gaps()) is not None:
        record.gap_p50_ms, record.gap_p95_ms, record.gap_max_ms = (
            round(gap * 1000, 3) for gap in gaps
        )


def check_consistency(meter: Meter, booked: Booked) -> None:
    """Note where llama.cpp's timings and usage disagree: shown, never hidden (WIRE §6.2)."""
    t, usage = meter.timings, booked.usage
    if t is None or booked.usage_source != "provider" or meter.sum_choices:
        return
    if t.predicted_n is not None and usage.output is not None and t.predicted_n != usage.output:
        meter.note(Anomaly.USAGE_MISMATCH)
    if None not in (t.prompt_n, t.cache_n, usage.input) and _read(t) != usage.input:
        meter.note(Anomaly.USAGE_MISMATCH)


def _read(t: Timings) -> int | None:
    return None if t.prompt_n is None or t.cache_n is None else t.prompt_n + t.cache_n


def metadata_of(record: ExchangeRecord) -> dict[str, object]:
    """Return what the client is told of its row: column names and values (SPEC §10.2)."""
    told: dict[str, object] = {"request_id": record.id}
    told.update((name, getattr(record, name)) for name in _METADATA)
    return told


def close_attempt(attempt: AttemptRecord, record: ExchangeRecord, sent: bool) -> None:
    """Close the serving attempt's row from the exchange's."""
    attempt.finished_at = record.finished_at
    attempt.outcome = record.status.value
    attempt.error_code = record.error_code
    attempt.first_byte_ms = record.first_byte_ms
    attempt.input_tokens = record.input_tokens
    attempt.output_tokens = record.output_tokens
    attempt.may_have_been_billed = may_have_been_billed(attempt, sent)


def may_have_been_billed(attempt: AttemptRecord, sent: bool) -> bool:
    """Return whether the upstream may charge for an attempt; `sent`: request bytes had left."""
    refused = attempt.http_status is not None and attempt.http_status >= 400
    return sent and not refused
