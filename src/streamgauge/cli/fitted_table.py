"""A table of as many columns as there is width for. Knows no row's meaning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from streamgauge.cli.figures import Signs

__all__ = ["Cell", "Column", "fitted", "printable"]

Row = Mapping[str, Any]
Cell = Text | str | None
"""None is unknown."""

_GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """`rank`: the columns of the highest are left out first where there is little width; 0 stays."""

    title: str
    rank: int
    cell: Callable[[Row], Cell]
    right: bool = False


def fitted(columns: Sequence[Column], rows: Sequence[Row], signs: Signs, width: int) -> Table:
    """Return `rows` as a table of at most `width` characters, if the columns of rank 0 allow it."""
    cells = {column.title: [_text(column.cell(row), signs) for row in rows] for column in columns}
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    chosen = _fitting(columns, cells, width)
    for column in chosen:
        table.add_column(column.title, justify="right" if column.right else "left", no_wrap=True)
    for i in range(len(rows)):
        table.add_row(*(cells[column.title][i] for column in chosen))
    return table


def printable(text: str) -> str:
    """Return `text` without the control bytes that a terminal would obey (SPEC §9.4)."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _text(cell: Cell, signs: Signs) -> Text:
    return cell if isinstance(cell, Text) else Text(printable(signs.or_dash(cell)))


def _fitting(
    columns: Sequence[Column], cells: Mapping[str, Sequence[Text]], width: int
) -> list[Column]:
    """Return the columns that fit into `width` characters, the least needed left out first."""
    chosen = list(columns)

    def needed() -> int:
        widest = (
            max([cell_len(c.title), *(text.cell_len for text in cells[c.title])]) for c in chosen
        )
        return sum(widest) + _GAP * len(chosen)

    while needed() > width and (least := max(chosen, key=lambda c: c.rank)).rank:
        chosen.remove(least)
    return chosen
