"""What the three witnesses of a soak say: the client, the simulator, the ledger. It judges nothing."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from streamgauge.ledger.reader import Filter, LedgerReader
from streamgauge.tools.simulator.journal import Entry

from .calls import Call, call_of

__all__ = ["Case", "Run", "Told", "cases_of", "read_run"]


class Told(msgspec.Struct):
    """The client's line on one call. None is: it got none.

    `metadata`: the JSON that the gateway told of its row.
    `clean`: the answer ended by its framing. `ending`: `marker`, `error`, `open` or `answer` (no
    stream). `size` and `sha256` are of the body in its one form (`wire.py`), less what was added.
    `whole_body`: the request was sent whole. `left_at`, `stopped_at`: seconds since the epoch.
    `cuts`: connections lost and taken up again. `fault`: what is wrong with stamps and numbers;
    `stream_sha1`: of all payloads that came.
    """

    number: int
    whole_body: bool = True
    id: str | None = None
    status: int | None = None
    clean: bool = False
    ending: str | None = None
    code: str | None = None
    size: int = 0
    sha256: str = ""
    frames: int = 0
    metadata: str | None = None
    left_at: float | None = None
    stopped_at: float | None = None
    cuts: int = 0
    fault: str | None = None
    stream_sha1: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One row with everything that is known of its call."""

    call: Call
    told: Told
    row: dict[str, Any]
    attempts: tuple[dict[str, Any], ...]
    entries: tuple[Entry, ...]


@dataclass(slots=True)
class Run:
    """A whole soak. `rows_of`: how many rows each call has; `strangers`: ids that no call explains."""

    calls: dict[str, Call]
    told: dict[str, Told]
    entries: dict[str, list[Entry]]
    rows_of: dict[str, int] = field(default_factory=dict)
    strangers: list[str] = field(default_factory=list)


def read_run(
    seed: int,
    fault_share: float,
    clients: list[Path],
    journals: list[Path],
    *,
    everything: bool = False,
) -> Run:
    """Read the journals of clients and simulators."""
    told: dict[str, Told] = {}
    calls: dict[str, Call] = {}
    for path in clients:
        for each in _lines(path, Told):
            call = call_of(seed, each.number, fault_share, everything=everything)
            calls[call.id], told[call.id] = call, each
    entries: dict[str, list[Entry]] = defaultdict(list)
    for path in journals:
        for entry in _lines(path, Entry):
            entries[entry.call_id].append(entry)
    for tried in entries.values():
        tried.sort(key=_began)
    return Run(calls, told, dict(entries))


def _began(entry: Entry) -> float:
    assert entry.began_at is not None
    return entry.began_at


def _lines(path: Path, kind: type[Any]) -> Iterator[Any]:
    decoder = msgspec.json.Decoder(kind)
    with path.open("rb") as file:
        for line in file:
            yield decoder.decode(line)


def cases_of(run: Run, ledger: Path) -> Iterator[Case]:
    """Yield each row of the ledger beside its call; what cannot be joined is noted in `run`."""
    by_id = {told.id: call for call, told in run.told.items() if told.id is not None}
    run.rows_of = dict.fromkeys(run.calls, 0)
    run.strangers = []
    tries = _attempts(ledger)
    with LedgerReader(ledger) as reader:
        for row in reader.newest(Filter()):
            name = by_id.get(row["id"], row["client_request_id"])
            if name not in run.calls:
                run.strangers.append(f"{row['id']} ({row['status']}, {name})")
                continue
            run.rows_of[name] += 1
            attempts = tuple(tries.pop(row["id"], ()))
            entries = tuple(run.entries.get(name, ()))
            yield Case(run.calls[name], run.told[name], row, attempts, entries)


def _attempts(ledger: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        for row in connection.execute("SELECT * FROM attempts ORDER BY request_id, n"):
            found[row["request_id"]].append(dict(row))
    return found
