"""`show` as a page: times, usage, cost, attempts, oddities. Computes nothing that it can read."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, JustifyMethod
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from streamgauge.cli.cost_terms import cost_lines
from streamgauge.cli.exchange_times import pace, steps_of, timeline
from streamgauge.cli.figures import Signs, duration, status_colour, tokens
from streamgauge.cli.ledger_table import printable, signs_of
from streamgauge.core.record import Status
from streamgauge.ledger.explaining import billed_of, usage_of
from streamgauge.ledger.oddities import meaning_of
from streamgauge.ledger.reasons import why

__all__ = ["print_exchange"]

Row = Mapping[str, Any]

_FACTS = (
    "client_request_id", "session_id", "repeats", "key_id", "client_app", "dialect", "endpoint",
    "streaming", "requested_model", "upstream", "upstream_model", "response_model", "route",
    "service_tier", "http_status", "finish_reason", "finish_normal", "delivered", "disposition",
    "error_code", "error_message", "frames_in", "frames_out", "bytes_in", "bytes_out",
    "stream_sha1", "config_version", "owner",
)  # fmt: skip
_USAGE_TITLES = ("  count", "reported", "booked", "source")
_PARTS = frozenset({"cache_read_tokens", "cache_write_tokens", "reasoning_tokens"})
_ATTEMPT_TITLES = ("n", "upstream", "dialect", "model", "http", "outcome", "error", "connected",
                   "first byte", "took", "billed", "in", "out")  # fmt: skip


def print_exchange(request: Row, attempts: Sequence[Row], console: Console) -> None:
    """Print the whole page to `console`."""
    signs = signs_of(console)
    head = Text(f"{request['id']}  ", "bold")
    head.append(signs.status(printable(request["status"])), status_colour(request["status"]))
    console.print(head)
    # Folded to the width as prose is; the sections below are tables.
    console.print(Text(f"  {printable(why(request, attempts))}"))
    _section(console, "request", _facts(request))
    steps = steps_of(request, attempts)
    console.print(Text("\ntimeline", "bold"))
    console.print(timeline(request, steps, signs, bars=console.is_terminal))
    _section(console, "pace", pace(request, steps, signs))
    console.print(Text("\nusage, as reported and as booked", "bold"))
    console.print(_usage(request, signs))
    _section(console, "context", _context(request, signs))
    _section(console, "cost", cost_lines(request, signs))
    _print_attempts(console, attempts, signs)
    oddities = [(name, meaning_of(name)) for name in request["anomalies"]]
    _section(console, "anomalies", oddities or [("none", "")])


def _section(console: Console, title: str, lines: Sequence[tuple[str, str]]) -> None:
    if not lines:
        return
    console.print(Text(f"\n{title}", "bold"))
    console.print(_grid(lines))


def _grid(lines: Sequence[tuple[str, str]]) -> Table:
    grid = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in lines:
        grid.add_row(Text(f"  {printable(name)}"), Text(printable(value)))
    return grid


def _facts(request: Row) -> list[tuple[str, str]]:
    return [(name, _fact(request[name])) for name in _FACTS if request[name] is not None]


def _fact(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _usage(request: Row, signs: Signs) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in _USAGE_TITLES:
        number = title in {"reported", "booked"}
        wraps = title == "source"
        justify: JustifyMethod = "right" if number else "left"
        table.add_column(title, justify=justify, no_wrap=not wraps, overflow="fold")
    for count in usage_of(request):
        indent = "    " if count["name"] in _PARTS else "  "
        name = count["name"].removesuffix("_tokens").replace("_", " ")
        booked, source = tokens(count["booked"], count["source"]), count["source"]
        origin = "" if source is None else f"{count['meaning'] or source} ({source})"
        cells = (signs.or_dash(count["reported"]), signs.or_dash(booked), origin)
        table.add_row(f"{indent}{name}", *(Text(printable(cell)) for cell in cells))
    return table


def _context(request: Row, signs: Signs) -> list[tuple[str, str]]:
    used, total = request["context_used"], request["context_total"]
    if used is None and total is None:
        return []
    percent = request["context_percent"]
    share = "" if percent is None else f"  {percent:.1f} %"
    return [("used", f"{signs.or_dash(used)} of {signs.or_dash(total)}{share}")]


def _print_attempts(console: Console, attempts: Sequence[Row], signs: Signs) -> None:
    """As a table, or one beneath the other where it would be wider than the window."""
    console.print(Text("\nattempts", "bold"))
    if not attempts:
        console.print("  none: no upstream was called")
        return
    rows = [[signs.or_dash(cell) for cell in _attempt_cells(attempt)] for attempt in attempts]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in _ATTEMPT_TITLES:
        table.add_column(title, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    unbounded = console.options.update(max_width=sys.maxsize)
    if Measurement.get(console, unbounded, table).maximum <= console.width:
        console.print(table)
        return
    for at, row in enumerate(rows):
        if at > 0:
            console.print()
        console.print(_grid(list(zip(_ATTEMPT_TITLES, row, strict=True))))


def _attempt_cells(attempt: Row) -> Iterator[object]:
    for name in ("n", "upstream", "dialect", "model", "http_status", "outcome", "error_code"):
        yield attempt[name]
    yield duration(attempt["connected_ms"])
    yield duration(attempt["first_byte_ms"])
    started, finished = attempt["started_at"], attempt["finished_at"]
    crashed = attempt["outcome"] == Status.GATEWAY_CRASH
    known = started is not None and finished is not None and not crashed
    yield duration((finished - started) / 1000) if known else None
    yield billed_of(attempt)
    yield attempt["input_tokens"]
    yield attempt["output_tokens"]
