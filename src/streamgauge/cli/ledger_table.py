"""`ls` as a table: as many columns as the terminal is wide. Knows rows as dicts of SPEC §8.3."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from io import TextIOWrapper
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamgauge.cli.figures import (
    ASCII,
    UNICODE,
    Signs,
    amount,
    duration,
    status_colour,
    tokens,
    when,
)
from streamgauge.cli.fitted_table import Cell, Column, fitted, printable
from streamgauge.cli.plots import split_bar
from streamgauge.core.record import Status

__all__ = ["print_rows", "printable", "rows_table", "signs_of", "stdout_console"]

Row = Mapping[str, Any]

_PIPE_WIDTH = 1000
"""Off a terminal nothing is cut: grep and awk want whole lines."""

_SHORTEST_ID = 8
_BAR_CELLS = 14
_LEGEND = "~ not the upstream's final count"


def _asked_model(row: Row) -> str | None:
    model: str | None = row["upstream_model"] or row["requested_model"]
    return model


def _lasted_ms(row: Row) -> float | None:
    lasted: float | None = row["stream_duration_ms"]
    # A crashed row was closed by the next start, days later perhaps: nobody knows when it ended.
    crashed = row["status"] == Status.GATEWAY_CRASH
    if lasted is None and row["finished_at"] is not None and not crashed:
        lasted = (row["finished_at"] - row["started_at"]) / 1000
    return lasted


def _speed(per_second: float | None) -> str | None:
    return None if per_second is None else f"{per_second:.1f}"


_BEFORE = (
    Column("dialect", 10, lambda row: row["dialect"]),
    Column("model", 3, lambda row: row["response_model"] or _asked_model(row)),
    Column("upstream", 9, lambda row: row["upstream"]),
    Column("in", 1, lambda row: tokens(row["input_tokens"], row["input_source"]), right=True),
    Column("out", 1, lambda row: tokens(row["output_tokens"], row["usage_source"]), right=True),
    Column("cost", 4, amount, right=True),
    Column("ttft", 6, lambda row: duration(row["ttft_ms"]), right=True),
    Column("duration", 5, lambda row: duration(_lasted_ms(row)), right=True),
)
_AFTER = (
    Column("tok/s", 7, lambda row: _speed(row["generation_tps"]), right=True),
    Column("finish", 11, lambda row: row["finish_reason"]),
)


def stdout_console() -> Console:
    """Return a console on stdout: colours on a terminal only, whole lines off it."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A model's name may hold what the terminal's encoding lacks: no reason to fail.
        sys.stdout.reconfigure(errors="replace")
    on_terminal = sys.stdout.isatty()
    return Console(width=None if on_terminal else _PIPE_WIDTH, highlight=False, markup=False)


def signs_of(console: Console) -> Signs:
    """Return the signs that the console's encoding has."""
    return UNICODE if console.encoding.startswith("utf") else ASCII


def print_rows(rows: Sequence[Row], console: Console, none: str = "no rows") -> None:
    """Print `rows` in their order, or `none` where there are none."""
    if not rows:
        console.print(none)
        return
    signs = signs_of(console)
    console.print(rows_table(rows, signs, console.width, for_eyes=console.is_terminal))
    if any(map(_has_estimate, rows)):
        console.print(Text(f"{_LEGEND}; {signs.dash} unknown", "dim"))


def rows_table(rows: Sequence[Row], signs: Signs, width: int, *, for_eyes: bool) -> Table:
    """Return `rows` as a table of at most `width` characters.

    `for_eyes`: ids are cut to what tells them apart, and a bar shows where the time went.
    """
    id_length = _telling_length([row["id"] for row in rows]) if for_eyes else None
    columns = [
        Column("time", 2, lambda row: when(row["started_at"], date=False)),
        Column("id", 0, lambda row: row["id"][:id_length]),
        Column("status", 0, lambda row: _status(row, signs)),
        *_BEFORE,
        *((_bar_column(rows, signs),) if for_eyes else ()),
        *_AFTER,
    ]
    return fitted(columns, rows, signs, width)


def _status(row: Row, signs: Signs) -> Text:
    return Text(printable(signs.status(row["status"])), status_colour(row["status"]))


def _bar_column(rows: Sequence[Row], signs: Signs) -> Column:
    """The longest of these rows is as long as the bar; the first part is what the client waited."""
    known = [lasted for row in rows if (lasted := _lasted_ms(row)) is not None]
    longest = max(known, default=0.0)
    title = f"{signs.waited}wait {signs.answered}answer"
    return Column(title, 8, _bars(longest, signs))


def _bars(longest: float, signs: Signs) -> Callable[[Row], Cell]:
    def bars(row: Row) -> Cell:
        lasted, waited = _lasted_ms(row), row["ttft_ms"]
        if lasted is None:
            return None
        # Without a first token, or in one piece: the client waited all the time.
        waited = lasted if waited is None else min(waited, lasted)
        before, after = split_bar((waited, lasted - waited), longest, _BAR_CELLS)
        return Text(signs.waited * before, "yellow").append(signs.answered * after, "green")

    return bars


def _has_estimate(row: Row) -> bool:
    counts = (("input_tokens", "input_source"), ("output_tokens", "usage_source"))
    told = (tokens(row[count], row[source]) for count, source in counts)
    return any(text is not None and text.endswith("~") for text in told)


def _telling_length(ids: Sequence[str]) -> int:
    """Return how many characters tell these ids apart; `show` takes any unique beginning."""
    length = _SHORTEST_ID
    while len({id[:length] for id in ids}) < len(set(ids)):
        length += 1
    return length
