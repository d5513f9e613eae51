"""Writes rows of one table, several in one statement. Knows no transaction and no operation."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

from streamgauge.ledger.rows import Row, RowShape

__all__ = ["RowStatement"]

_SIZES = (16, 8, 4, 2, 1)
"""Rows in one statement. sqlite3 lets other threads have the interpreter at each one, and comes
back for it behind the event loop: fewer statements cost both threads less."""

_MOULDS = 48
"""Sets of known columns that have statements of their own; a gateway's rows are of ten or so."""


@dataclass(frozen=True, slots=True)
class _Mould:
    """The columns that a row knows: how to take them from it, and a statement for each size yet."""

    pick: Callable[[Row], tuple[Any, ...]]
    into: str
    row: str
    statements: dict[int, str]

    def statement(self, size: int, after: str) -> str:
        """Return the statement that writes `size` rows, always the same object."""
        statement = self.statements.get(size)
        if statement is None:
            statement = f"{self.into} VALUES {', '.join([self.row] * size)} {after}"
            self.statements[size] = statement
        return statement


class RowStatement:
    """`INSERT INTO table … VALUES …` and what follows it, without the columns that are unknown.

    A None costs sqlite3 0.25 µs to bind, a dozen times a text, and of a beginning exchange's 66
    columns 48 are unknown: left out they make a row at its begin and its end 20 µs instead of 44.
    """

    __slots__ = ("_after", "_columns", "_moulds", "_table", "_whole")

    def __init__(self, table: str, columns: RowShape, after: str = "") -> None:
        """`after`: an ON CONFLICT clause, in which a column left out is NULL, as it would be."""
        self._table = table
        self._columns = columns.names
        self._after = after
        self._moulds: dict[tuple[bool, ...], _Mould] = {}
        self._whole = self._mould(range(len(self._columns)))

    def write(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> int:
        """Write `rows` in their order; return how many the database says were changed.

        Raises sqlite3's errors: some of the rows may have been written by then.
        """
        changed = 0
        for mould, alike in groupby(rows, self._mould_of):
            for some in _pieces(list(map(mould.pick, alike))):
                values = some[0] if len(some) == 1 else tuple(chain.from_iterable(some))
                statement = mould.statement(len(some), self._after)
                changed += connection.execute(statement, values).rowcount
        return changed

    def _mould_of(self, row: Row) -> _Mould:
        known = tuple([value is not None for value in row])
        mould = self._moulds.get(known)
        if mould is None:
            if len(self._moulds) >= _MOULDS or sum(known) < 2:
                return self._whole
            mould = self._mould([i for i, is_known in enumerate(known) if is_known])
            self._moulds[known] = mould
        return mould

    def _mould(self, places: Sequence[int]) -> _Mould:
        names = ", ".join(self._columns[i] for i in places)
        row = f"({', '.join('?' * len(places))})"
        return _Mould(itemgetter(*places), f"INSERT INTO {self._table} ({names})", row, {})


def _pieces(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Yield `rows` in pieces of the sizes that have statements, the largest first."""
    start = 0
    for size in _SIZES:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size
