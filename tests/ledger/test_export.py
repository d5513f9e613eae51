"""Rows as CSV and JSON lines: nothing lost, nothing that a spreadsheet would run, flat memory."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from streamgauge.ledger.export import write_csv, write_jsonl
from streamgauge.ledger.reader import Filter, LedgerReader
from streamgauge.ledger.rows import REQUESTS, Kind

from .made_ledger import make


@pytest.fixture
def rows(path: Path) -> list[dict[str, Any]]:
    make(path, 200)
    with LedgerReader(path) as reader:
        return list(reader.oldest(Filter()))


def as_csv(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    out = io.StringIO()
    write_csv(rows, out)
    return list(csv.DictReader(io.StringIO(out.getvalue())))


def test_json_lines_are_the_rows(rows: list[dict[str, Any]]) -> None:
    out = io.StringIO()
    write_jsonl(rows, out)
    assert [json.loads(line) for line in out.getvalue().splitlines()] == rows
    assert list(json.loads(out.getvalue().splitlines()[0])) == list(REQUESTS.names)


def test_csv_has_every_column_and_reads_back(rows: list[dict[str, Any]]) -> None:
    told = as_csv(rows)
    assert list(told[0]) == list(REQUESTS.names)
    read = {Kind.TEXT: str, Kind.INTEGER: int, Kind.REAL: float, Kind.FLAG: lambda t: bool(int(t)),
            Kind.NAMES: json.loads}  # fmt: skip
    for line, row in zip(told, rows, strict=True):
        for name, kind in REQUESTS.columns():
            value = json.dumps(row[name]) if name == "price" and row[name] else row[name]
            assert (None if line[name] == "" else read[kind](line[name])) == value, name


@pytest.mark.parametrize(
    "name", ["=1+1", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", '=cmd|" /C calc"!A0']
)
def test_a_name_that_a_spreadsheet_would_run_is_made_text(
    rows: list[dict[str, Any]], name: str
) -> None:
    row = {**rows[0], "requested_model": name, "client_app": name, "drain_ms": -1.5}
    (told,) = as_csv([row])
    assert told["requested_model"] == told["client_app"] == f"'{name}"
    assert told["drain_ms"] == "-1.5"
    out = io.StringIO()
    write_jsonl([row], out)
    assert json.loads(out.getvalue())["requested_model"] == name


def test_line_ends_commas_and_quotes_stay_in_their_cell(rows: list[dict[str, Any]]) -> None:
    odd = 'a,"b"\nc;d\r\ne\rf'
    (told, next_one) = as_csv([{**rows[0], "error_message": odd}, rows[1]])
    assert told["error_message"] == odd
    assert next_one["id"] == rows[1]["id"]


@pytest.mark.parametrize("write", [write_csv, write_jsonl])
def test_memory_does_not_grow_with_the_rows(path: Path, tmp_path: Path, write: Any) -> None:
    make(path, 1500)
    peaks = []
    with LedgerReader(path) as reader, (tmp_path / "out").open("w", newline="") as out:
        for until in (list(reader.newest(Filter(), 1300))[-1]["started_at"], None):
            tracemalloc.start()
            write(reader.oldest(Filter(until=until)), out)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    few, many = peaks
    assert many < few + 100_000
