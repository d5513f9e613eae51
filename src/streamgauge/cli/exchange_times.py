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
from streamgauge.core.record import Status
from streamgauge.ledger.moments import moments_of

__all__ = ["Step", "pace", "steps_of", "timeline"]

Row = Mapping[str, Any]

_WORDS = {
    "first_content": "first token",
    "last_content": "last token",
    "ended": "row committed",
}
"""What is called otherwise than in the API: the words of the dashboard's timeline."""
_ACCEPTED = "accepted"
_BAR_CELLS = 24
_LONG = 0.5
"""A step that takes so much of the whole is worth a look, and has another colour."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened `ms` after the request had been read."""

    ms: float
    name: str


def steps_of(request: Row, attempts: Sequence[Row]) -> list[Step]:
    """Return what is known to have happened, in the order in which it came."""
    moments = moments_of(request, attempts)
    told = [Step(each.ms, _word(each.name)) for each in moments if each.ms is not None]
    closing = [told.pop()] if request["finished_at"] is not None else []
    for attempt in attempts:
        told += _tries(attempt, request["started_at"])
    # Sorting is stable: what happened in the same instant stays in the order of its causes.
    return sorted(told, key=lambda step: step.ms) + closing


def _word(name: str) -> str:
    return _WORDS.get(name, name.replace("_", " "))


def _tries(attempt: Row, start: int) -> Iterator[Step]:
    """Yield when an attempt began and ended; where the first one began, the routing was over."""
    name = f"attempt {attempt['n']} at {attempt['upstream']}"
    if attempt["started_at"] is not None and attempt["n"] > 1:
        yield Step((attempt["started_at"] - start) / 1000, f"{name} begun")
    if attempt["finished_at"] is not None:
        ended = (attempt["finished_at"] - start) / 1000
        yield Step(ended, f"{name} ended: {attempt['outcome']}")


def timeline(request: Row, steps: Sequence[Step], signs: Signs, *, bars: bool) -> Table:
    """Return a line for each step. `bars`: with the time that it took, drawn to scale."""
    grid = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for no_wrap in (True, True, False)[0 if bars else 1 :]:
        grid.add_column(no_wrap=no_wrap, overflow="fold")
    before, whole = 0.0, steps[-1].ms
    for step in steps:
        at = Text(f"  {_after(step.ms)}")
        told = step.name
        if told == _ACCEPTED:
            told += f"  {when(request['started_at'])}"
        drawn = [_bar(before, step.ms, whole, signs)] if bars else []
        grid.add_row(at, *drawn, Text(printable(told)))
        before = step.ms
    if request["finished_at"] is None:
        grid.add_row(Text(f"  {signs.dash}"), *([""] if bars else []), Text("not ended"))
    return grid


def _after(ms: float) -> str:
    return f"+{duration(ms)}" if ms >= 0 else f"{ms:.1f} ms"


def _bar(begin: float, end: float, whole: float, signs: Signs) -> Text:
    if end <= begin:
        return Text(" " * _BAR_CELLS)
    colour = "yellow" if whole > 0 and (end - begin) / whole >= _LONG else "cyan"
    return Text(span(begin, end, whole, _BAR_CELLS, ascii_only=signs.ascii_only), colour)


def pace(request: Row, steps: Sequence[Step], signs: Signs) -> list[tuple[str, str]]:
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
    return [*_slowest(request, steps, signs), *lines]


def _speeds(request: Row) -> Iterator[tuple[str, str]]:
    for name in ("prompt", "generation"):
        speed, took = request[f"{name}_tps"], request[f"{name}_ms"]
        if speed is not None or took is not None:
            parts = [f"{speed:.1f} tok/s" if speed is not None else None, duration(took)]
            yield name, "  ".join(part for part in parts if part)


def _slowest(request: Row, steps: Sequence[Step], signs: Signs) -> Iterator[tuple[str, str]]:
    """Yield the longest time between two steps; of an exchange that ended and had a first one.

    The last step of a crashed one is the next start, which took however long it was waited for.
    """
    crashed = request["status"] == Status.GATEWAY_CRASH
    if request["finished_at"] is None or crashed or len(steps) < 3:
        return
    before, after = max(pairwise(steps), key=lambda pair: pair[1].ms - pair[0].ms)
    took = duration(after.ms - before.ms)
    yield "slowest step", f"{took}  {before.name} {signs.arrow} {after.name}"
