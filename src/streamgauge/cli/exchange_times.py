"""Where an exchange's time went: its moments, its slowest step, its pace. Knows no count and no cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from rich.table import Table
from rich.text import Text

from streamgauge.cli.figures import Signs, duration, when
from streamgauge.cli.fitted_table import printable
from streamgauge.cli.plots import span

__all__ = ["Moment", "moments_of", "pace", "timeline"]

Row = Mapping[str, Any]

_MOMENTS = (
    ("latency_ms", "headers of the attempt that served"),
    ("first_byte_ms", "first byte of its answer"),
    ("ttft_ms", "first content"),
    ("stream_duration_ms", "end marker"),
)
_BEGUN, _CLOSED = "begun", "row closed"
_BAR_CELLS = 24
_LONG = 0.5
"""A step that takes so much of the whole is worth a look, and has another colour."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened `ms` after the request had been read."""

    ms: float
    name: str


def moments_of(request: Row, attempts: Sequence[Row]) -> list[Moment]:
    """Return what is known to have happened, in order."""
    start = request["started_at"]
    moments = [Moment(0.0, _BEGUN)]
    moments += [Moment(request[key], name) for key, name in _MOMENTS if request[key] is not None]
    for attempt in attempts:
        moments += _tries(attempt, start)
    if request["finished_at"] is not None:
        moments.append(Moment((request["finished_at"] - start) / 1000, _CLOSED))
    # Sorting is stable: what happened in the same instant stays in the order of its causes.
    return sorted(moments, key=lambda moment: moment.ms)


def _tries(attempt: Row, start: int) -> Iterator[Moment]:
    name = f"attempt {attempt['n']} at {attempt['upstream']}"
    if attempt["started_at"] is not None:
        yield Moment((attempt["started_at"] - start) / 1000, f"{name} begun")
    if attempt["finished_at"] is not None:
        ended = (attempt["finished_at"] - start) / 1000
        yield Moment(ended, f"{name} ended: {attempt['outcome']}")


def timeline(request: Row, moments: Sequence[Moment], signs: Signs, *, bars: bool) -> Table:
    """Return a line for each moment. `bars`: with the step that led to it, drawn to scale."""
    grid = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for no_wrap in (True, True, False)[0 if bars else 1 :]:
        grid.add_column(no_wrap=no_wrap, overflow="fold")
    before, whole = 0.0, moments[-1].ms
    for moment in moments:
        at = Text(f"  {_after(moment.ms)}")
        told = moment.name
        if told == _BEGUN:
            told += f"  {when(request['started_at'])}"
        drawn = [_step(before, moment.ms, whole, signs)] if bars else []
        grid.add_row(at, *drawn, Text(printable(told)))
        before = moment.ms
    if request["finished_at"] is None:
        grid.add_row(Text(f"  {signs.dash}"), *([""] if bars else []), Text("not ended"))
    return grid


def _after(ms: float) -> str:
    return f"+{duration(ms)}" if ms >= 0 else f"{ms:.1f} ms"


def _step(begin: float, end: float, whole: float, signs: Signs) -> Text:
    if end <= begin:
        return Text(" " * _BAR_CELLS)
    colour = "yellow" if whole > 0 and (end - begin) / whole >= _LONG else "cyan"
    return Text(span(begin, end, whole, _BAR_CELLS, ascii_only=signs.ascii_only), colour)


def pace(request: Row, moments: Sequence[Moment], signs: Signs) -> list[tuple[str, str]]:
    """Return the slowest step, the speeds and the gaps, as far as they are known."""
    lines = list(_speeds(request))
    if request["tps_source"] is not None:
        lines.append(("speeds from", request["tps_source"]))
    gaps = [(f"gap {p}", duration(request[f"gap_{p}_ms"])) for p in ("p50", "p95", "max")]
    lines += [(name, gap) for name, gap in gaps if gap is not None]
    if request["stalls"] is not None:
        lines.append(("stalls over 1 s", str(request["stalls"])))
    if request["overhead_us"] is not None:
        lines.append(("gateway overhead", f"{request['overhead_us']:.0f} {signs.micro}s"))
    if request["drain_ms"] is not None:
        lines.append(("drained for", str(duration(request["drain_ms"]))))
    return [*_slowest(request, moments, signs), *lines]


def _speeds(request: Row) -> Iterator[tuple[str, str]]:
    for name in ("prompt", "generation"):
        speed, took = request[f"{name}_tps"], request[f"{name}_ms"]
        if speed is not None or took is not None:
            parts = [f"{speed:.1f} tok/s" if speed is not None else None, duration(took)]
            yield name, "  ".join(part for part in parts if part)


def _slowest(request: Row, moments: Sequence[Moment], signs: Signs) -> Iterator[tuple[str, str]]:
    """Yield the longest time between two moments; of an exchange that ended and had a first one."""
    if request["finished_at"] is None or len(moments) < 3:
        return
    steps = pairwise(moments)
    before, after = max(steps, key=lambda step: step[1].ms - step[0].ms)
    took = duration(after.ms - before.ms)
    yield "slowest step", f"{took}  {before.name} {signs.arrow} {after.name}"
