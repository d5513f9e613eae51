"""The moments of one exchange, in the order in which they came. It knows no screen and opens no ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Moment", "moments_of"]

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happens once in a good stream, `ms` after the request had been read.

    `ms` is None where it did not happen, or nothing is known of it.
    """

    name: str
    ms: float | None


def moments_of(row: Row, attempts: Sequence[Row]) -> list[Moment]:
    """Return all moments of an exchange; rows as LedgerReader gives them.

    What is known stands in the order of time, the rest behind its neighbour in a good stream. Of
    several attempts the last one's are told, as in the row; `routed` is when the first one began.
    """
    *steps, ended = (Moment(name, ms) for name, ms in _of_a_good_stream(row, attempts))
    # The close is the last thing whatever was measured: times of older rows were cut to µs.
    return [*_by_time(steps), ended]


def _of_a_good_stream(row: Row, attempts: Sequence[Row]) -> Iterator[tuple[str, float | None]]:
    start, overhead = row["started_at"], row["overhead_us"]
    first: Row = attempts[0] if attempts else {}
    last: Row = attempts[-1] if attempts else {}
    yield "accepted", 0.0
    yield "routed", _since(start, first.get("started_at"))
    yield "row_begun", None if overhead is None else overhead / 1000
    yield "connected", last.get("connected_ms")
    yield "headers", row["latency_ms"]
    yield "first_byte", row["first_byte_ms"]
    yield "first_content", row["ttft_ms"]
    yield "last_content", _last_content(row, last.get("last_token_ms"))
    yield "usage", last.get("usage_ms")
    yield "end_marker", row["stream_duration_ms"] if row["success"] else None
    yield "ended", _since(start, row["finished_at"])


def _since(start: int, at: int | None) -> float | None:
    return None if at is None else (at - start) / 1000


def _last_content(row: Row, told: float | None) -> float | None:
    """Return when the last content came; before schema 5 it follows from what was measured here."""
    ttft, generating = row["ttft_ms"], row["generation_ms"]
    if told is not None or row["tps_source"] != "measured" or None in (ttft, generating):
        return told
    return float(round(ttft + generating, 3))


def _by_time(steps: Iterable[Moment]) -> list[Moment]:
    places, latest = [], 0.0
    for step in steps:
        latest = latest if step.ms is None else step.ms
        places.append((latest, step))
    return [step for _, step in sorted(places, key=lambda place: place[0])]  # it is stable
