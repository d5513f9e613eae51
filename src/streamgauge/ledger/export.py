"""Writes rows as CSV or as JSON lines, one at a time. Knows no ledger and no command line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from streamgauge.ledger.rows import REQUESTS, Kind

__all__ = ["write_csv", "write_jsonl"]

Row = Mapping[str, Any]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the begin of a formula."""


def write_jsonl(rows: Iterable[Row], out: TextIO) -> None:
    """Write one object a line: the columns of SPEC §8.3 as `ls --json` has them, unknown is null."""
    for row in rows:
        out.write(json.dumps(row) + "\n")


def write_csv(rows: Iterable[Row], out: TextIO) -> None:
    """Write a line of names, then one a row, as RFC 4180 says but with LF; unknown is empty.

    Booleans are 1 and 0 as in the ledger, `anomalies` and `price` JSON. Text that a spreadsheet
    would run as a formula gets an apostrophe in front: clients choose names of models.
    """
    writer = csv.writer(_LineFeeds(out), lineterminator="\r\n")
    writer.writerow(REQUESTS.names)
    kinds = tuple(REQUESTS.columns())
    for row in rows:
        writer.writerow([_cell(kind, row[name]) for name, kind in kinds])


class _LineFeeds:
    """Ends rows as cut and awk like it.

    The writer quotes only those line ends that are in its own terminator, so it must have both.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, row: str) -> None:
        """Write one row; the writer hands over whole ones."""
        self._out.write(row.removesuffix("\r\n") + "\n")


def _cell(kind: Kind, value: Any) -> Any:
    if value is None:
        return ""
    if kind is Kind.FLAG:
        return int(value)
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    if kind is Kind.TEXT and str(value).startswith(_FORMULA):
        return f"'{value}"
    return value
