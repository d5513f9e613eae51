"""The rows of the fault matrix that are automated, and the table of how they went. It runs nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["ROWS", "Result", "markdown", "marked_tests", "merged", "results_of", "summary"]

ROWS = {
    "F1": "kill -9 in the middle of streams: an open row becomes `gateway_crash`, once",
    "F2": "kill -9 between the final usage and the commit: one row",
    "F3": "SIGTERM with streams running: they finish, new ones are refused",
    "F4": "SIGTERM, a stream longer than the grace: an error end, `shutdown`",
    "F5": "a second signal: stops at once, the rows are written",
    "F6": "a reload with a bad file: the old configuration stays",
    "F7": "a good reload: running streams keep the old route and price",
    "F9": "the event loop is blocked: noted on the rows, the stack in the log",
    "F10": "the disk is full under the ledger: spooled, then 503 before any upstream call",
    "F11": "the ledger is read-only: start refused",
    "F12": "the ledger is locked by another process: streams are not delayed",
    "F13": "the ledger is corrupt: start refused with a hint, the file is left alone",
    "F18": "an exporter's destination is down, fails or hangs: nothing lost, nothing twice",
    "F19": "an exporter's destination refuses one row: a dead letter, the rest goes on",
    "F20": "the upstream refuses the connection, or has no address: the next one, else 502",
    "F21": "the connect hangs: at its deadline the next one, else 504",
    "F22": "a bad certificate: never ignored; the next one, else 502",
    "F23": "a reset before the headers: the next one, else 502; it may have been billed",
    "F24": "a stale keep-alive connection: no error, one attempt",
    "F25": "a hang before the headers or the first token: the next one, else 504 or an error end",
    "F26": "a stall between tokens: the text so far and an error end, counted",
    "F27": "reset, cut or half-close in the middle: error end, no finish invented",
    "F28": "cut between usage and `[DONE]`: a quiet end",
    "F29": "the last HTTP chunk is missing: `completed`, noted",
    "F30": "held open behind `[DONE]`: the end at once",
    "F31": "an error object as the first frame: the next one, else an HTTP error",
    "F32": "an error object in the stream: its end, in the client's dialect",
    "F33": "429 with an absurd `retry-after`: capped, and so long not called",
    "F34": "HTML, 204 or 101: the next one, else 502; JSON becomes a stream",
    "F35": "a redirect: 502, not followed",
    "F36": "a line of 50 MB, a gzip bomb: an error end, memory stays flat",
    "F37": "a legal frame of 2 MB; 100 000 frames: all of them",
    "F38": "the first upstream dies after text, another is there: error end, one attempt",
    "F39": "it dies after role or ping only: the other serves, exactly one start",
    "F40": "impossible usage values: the bytes unchanged, counted, noted",
    "F41": "the client leaves before the headers, after the first token, before usage",
    "F42": "the client leaves behind `[DONE]`: `completed`",
    "F43": "many leave at once, drains are capped",
    "F44": "FIN after the request: gone, or with `half_close` the whole answer",
    "F45": "readers that never read: others unaffected, cut, bounded memory",
    "F46": "a dripped header or body: closed or 408",
    "F47": "idle connections by the thousand, no descriptors left: normal calls go on",
    "F48": "the clock jumps: durations stay right",
    "F50": "twenty starters of one session at once: one lives, the others are told",
    "F51": "fifty clients and a dead upstream: at most 1.2 attempts a request, one probe",
    "F52": "answers sent twice, text behind the marker, two markers: not summed",
    "F53": "the port is taken, a second gateway on the ledger: refuses to start",
}
"""Row and what must hold. F8 and F14–F17 with what they name."""

MARK = "fault"
_CELL = re.compile(r"\|\s*(F\d+)\s*\|.*\|\s*([^|]*?)\s*\|\s*([^|]*?)\s*\|$")


@dataclass(slots=True)
class Result:
    """How one row went in one run."""

    tests: set[str] = field(default_factory=set)
    seeds: int = 0
    failed: int = 0

    def __str__(self) -> str:
        return f"{self.failed} of {self.seeds} failed" if self.failed else f"{self.seeds} held"


def results_of(reports: Iterable[Any]) -> dict[str, Result]:
    """Return each row's result from the reports of calls, by what their items noted."""
    results: dict[str, Result] = {}
    for report in reports:
        noted = [value for name, value in report.user_properties if name == MARK]
        for row, seeds in noted:
            result = results.setdefault(row, Result())
            result.tests.add(report.nodeid.partition("[")[0])
            result.seeds += seeds
            result.failed += seeds if report.outcome == "failed" else 0
    return results


def summary(results: Mapping[str, Result]) -> Iterator[str]:
    """Yield the table for a terminal: row, tests, seeds, result."""
    yield f"{'fault':<6} {'tests':>5} {'seeds':>6}  result"
    for row in sorted(results, key=_number):
        result = results[row]
        yield f"{row:<6} {len(result.tests):>5} {result.seeds:>6}  {result}"


def _number(row: str) -> int:
    return int(row[1:])


def marked_tests(folder: Path) -> dict[str, list[str]]:
    """Return the tests of each row, as their marks in the sources say: `room/file.py::name`."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if f"mark.{MARK}(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for row in _marks(node):
                    name = f"{path.relative_to(folder).as_posix()}::{node.name}"
                    found.setdefault(row, []).append(name)
    return found


def _marks(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for mark in node.decorator_list:
        for call in ast.walk(mark):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == f"pytest.mark.{MARK}":
                yield from (ast.literal_eval(argument) for argument in call.args)


def merged(page: str, results: Mapping[str, Result], *, full: bool) -> dict[str, tuple[str, str]]:
    """Return each row's two cells, of the default and the full run: the page's, renewed by `results`."""
    cells = dict.fromkeys(ROWS, ("-", "-"))
    for line in page.splitlines():
        if (found := _CELL.match(line)) is not None and found[1] in cells:
            cells[found[1]] = (found[2], found[3])
    for row, result in results.items():
        short, long = cells[row]
        cells[row] = (short, str(result)) if full else (str(result), long)
    return cells


def markdown(tests: Mapping[str, list[str]], cells: Mapping[str, tuple[str, str]]) -> str:
    """Return the page's table."""
    lines = [
        "| row | what must hold | proved by | default run | full run |",
        "|---|---|---|---|---|",
    ]
    for row, what in ROWS.items():
        short, long = cells[row]
        lines.append(f"| {row} | {what} | {_proofs(tests.get(row, []))} | {short} | {long} |")
    return "\n".join(lines) + "\n"


def _proofs(tests: list[str]) -> str:
    files = dict.fromkeys(name.partition("::")[0] for name in tests)
    return ", ".join(f"`{file}`" for file in files)
