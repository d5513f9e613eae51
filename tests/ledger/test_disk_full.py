"""A full disk: begins are refused before any upstream call, closes wait, nothing is lost (F10)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from streamgauge.ledger.base import LedgerUnavailable
from streamgauge.ledger.sqlite import SqliteLedger

from .ledger_rig import Owner, a_record, an_attempt, closed, rows_in
from .subprocesses import output_of

PAGES = 200
LONG = "x" * 3000


@pytest.mark.fault("F10")
def test_space_that_returns_brings_every_row(
    opened: Callable[..., SqliteLedger], owner: Owner, path: Path
) -> None:
    opened().stop(5)
    ledger = opened(max_page_count=PAGES)
    ids = [f"r{i}" for i in range(20)]
    for id in ids:
        ledger.begin(a_record(id), an_attempt(id), owner.done(id))
    assert owner.wait(*ids) == [None] * len(ids)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE filler (x)")
        other.execute(f"INSERT INTO filler VALUES (zeroblob({PAGES * 4096}))")
        for id in ids:
            ledger.close(closed(a_record(id, error_message=LONG)), [], owner.done(f"{id} closed"))
        ledger.begin(a_record("new", client_app=LONG * 9), an_attempt("new"), owner.done("new"))
        assert isinstance(owner.wait("new")[0], LedgerUnavailable)
        assert "full" in str(ledger.reason())
        assert not ledger.healthy
        assert ledger.stats().kept + sum(f"{id} closed" in owner.told for id in ids) == len(ids)
        other.execute("DROP TABLE filler")
    assert owner.wait(*(f"{id} closed" for id in ids)) == [None] * len(ids)
    ledger.begin(a_record("new"), an_attempt("new"), owner.done("new again"))
    assert owner.wait("new again") == [None]
    assert ledger.healthy
    assert rows_in(path, "SELECT status, count(*) FROM requests GROUP BY 1 ORDER BY 1") == [
        ("completed", len(ids)),
        ("in_flight", 1),
    ]
    assert ledger.stats().double_closes == 0


FILE_SIZE_LIMIT = """
import resource, threading
ledger = opened(sys.argv[1])
told = {}
more = threading.Condition()

def done(name):
    def tell(error):
        with more:
            told[name] = error
            more.notify_all()
    return tell

def wait(name):
    with more:
        assert more.wait_for(lambda: name in told, 20), (name, ledger.reason())
    return told[name]

for i in range(50):
    record, attempt = rows(f"r{i}")
    ledger.begin(record, attempt, done(f"r{i}"))
for i in range(50):
    assert wait(f"r{i}") is None

size = os.stat(sys.argv[1] + "-wal").st_size
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
for i in range(50):
    record, attempt = rows(f"r{i}")
    record.status, record.success, record.error_message = Status.COMPLETED, True, "y" * 2000
    ledger.close(record, [attempt], done(f"r{i} closed"))
record, attempt = rows("new")
ledger.begin(record, attempt, done("new"))
say(type(wait("new")).__name__, ledger.healthy, ledger.stats().kept)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
for i in range(50):
    assert wait(f"r{i} closed") is None
say(ledger.healthy, ledger.stats().kept, ledger.stats().double_closes)
ledger.stop(10)
"""


@pytest.mark.fault("F10")
def test_a_file_that_may_not_grow_loses_nothing(path: Path) -> None:
    during, after = output_of(FILE_SIZE_LIMIT, path)
    assert during == "LedgerUnavailable False 50"
    assert after == "True 0 0"
    assert rows_in(path, "SELECT status, count(*) FROM requests GROUP BY 1") == [("completed", 50)]
    assert rows_in(path, "PRAGMA integrity_check") == [("ok",)]
