"""`ls` as a table: as many columns as the terminal is wide. Knows rows as dicts of SPEC §8.3."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Any

from rich.cells import cell_len
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

__all__ = ["print_rows", "printable", "signs_of", "stdout_console"]

Row = Mapping[str, Any]

_PIPE_WIDTH = 1000
"""Off a terminal nothing is cut: grep and awk want whole lines."""

_SHORTEST_ID = 8
_GAP = 2


@dataclass(frozen=True, slots=True)
class _Column:
    """`rank`: the columns of the highest are left out first when the terminal is narrow."""

    title: str
    rank: int
    cell: Callable[[Row], str | None]
    right: bool = False


def _asked_model(row: Row) -> str | None:
    model: str | None = row["upstream_model"] or row["requested_model"]
    return model


def _lasted(row: Row) -> str | None:
    if row["stream_duration_ms"] is not None:
        return duration(row["stream_duration_ms"])
    if row["finished_at"] is None:
        return None
    return duration((row["finished_at"] - row["started_at"]) / 1000)


def _speed(per_second: float | None) -> str | None:
    return None if per_second is None else f"{per_second:.1f}"


_COLUMNS = (
    _Column("time", 2, lambda row: when(row["started_at"], date=False)),
    _Column("id", 0, lambda row: row["id"]),
    _Column("status", 0, lambda row: row["status"]),
    _Column("dialect", 9, lambda row: row["dialect"]),
    _Column("model", 3, lambda row: row["response_model"] or _asked_model(row)),
    _Column("upstream", 8, lambda row: row["upstream"]),
    _Column("in", 1, lambda row: tokens(row["input_tokens"], row["input_source"]), right=True),
    _Column("out", 1, lambda row: tokens(row["output_tokens"], row["usage_source"]), right=True),
    _Column("cost", 4, amount, right=True),
    _Column("ttft", 6, lambda row: duration(row["ttft_ms"]), right=True),
    _Column("duration", 5, _lasted, right=True),
    _Column("tok/s", 7, lambda row: _speed(row["generation_tps"]), right=True),
    _Column("finish", 10, lambda row: row["finish_reason"]),
)

_LEGEND = "~ not the upstream's final count"


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


def print_rows(rows: Sequence[Row], console: Console) -> None:
    """Print `rows` in their order, or say that there are none."""
    if not rows:
        console.print("no rows")
        return
    signs = signs_of(console)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    cells = _cells(rows, signs, short_ids=console.is_terminal)
    chosen = _fitting(cells, console.width)
    for column in chosen:
        table.add_column(column.title, justify="right" if column.right else "left", no_wrap=True)
    for i, row in enumerate(rows):
        colour = status_colour(row["status"])
        texts = [(column.title, cells[column.title][i]) for column in chosen]
        table.add_row(*(Text(text, colour if name == "status" else "") for name, text in texts))
    console.print(table)
    if any(text.endswith("~") for name in ("in", "out") for text in cells[name]):
        console.print(Text(f"{_LEGEND}; {signs.dash} unknown", "dim"))


def _cells(rows: Sequence[Row], signs: Signs, *, short_ids: bool) -> dict[str, list[str]]:
    cells = {
        column.title: [printable(signs.or_dash(column.cell(row))) for row in rows]
        for column in _COLUMNS
    }
    cells["status"] = [signs.status(status) for status in cells["status"]]
    if short_ids:
        length = _telling_length(cells["id"])
        cells["id"] = [id[:length] for id in cells["id"]]
    return cells


def printable(text: str) -> str:
    """Return `text` without the control bytes that a terminal would obey (SPEC §9.4)."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _fitting(cells: Mapping[str, Sequence[str]], width: int) -> list[_Column]:
    """Return the columns that fit into `width` characters, the least needed left out first."""
    chosen = list(_COLUMNS)

    def needed() -> int:
        widest = (max(map(cell_len, [c.title, *cells[c.title]])) for c in chosen)
        return sum(widest) + _GAP * len(chosen)

    while needed() > width and (least := max(chosen, key=lambda c: c.rank)).rank:
        chosen.remove(least)
    return chosen


def _telling_length(ids: Sequence[str]) -> int:
    """Return how many characters tell these ids apart; `show` takes any unique beginning."""
    length = _SHORTEST_ID
    while len({id[:length] for id in ids}) < len(set(ids)):
        length += 1
    return length
