"""The write-ahead log stays bounded though readers come and go, and is cut when nobody waits."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streamgauge.ledger.sqlite import SqliteLedger

from .ledger_rig import Owner, a_record, an_attempt, closed, rows_in

LARGE = "x" * 20_000
BOUND, UNCUT = 120 << 20, 150 << 20
"""It is cut from 16 MiB on, and again for each 8 MiB more: on a busy machine a dozen cuts may fail
one after the other. Without cuts it grows to 166 MiB here."""


def log_bytes(path: Path) -> int:
    return path.with_name(path.name + "-wal").stat().st_size


@pytest.fixture
def readers(path: Path, opened: Callable[..., SqliteLedger]) -> Iterator[None]:
    """Have two readers whose transactions overlap: at no instant is there none."""
    opened().stop(5)
    done = threading.Event()
    turn = threading.Barrier(2)

    def read(seconds: float) -> None:
        with (
            closing(sqlite3.connect(path, isolation_level=None)) as reader,
            contextlib.suppress(threading.BrokenBarrierError),
        ):
            while not done.is_set():
                reader.execute("BEGIN")
                reader.execute("SELECT count(*) FROM requests").fetchone()
                turn.wait(20)  # Now both are in a transaction: one leaves first, and comes back.
                done.wait(seconds)
                reader.execute("COMMIT")

    threads = [threading.Thread(target=read, args=(seconds,)) for seconds in (0.02, 0.03)]
    for thread in threads:
        thread.start()
    yield
    done.set()
    turn.abort()
    for thread in threads:
        thread.join()


def write(ledger: SqliteLedger, owner: Owner, start: int, count: int) -> None:
    """Write `count` large rows, some 20 kB each, in several commits."""
    for first in range(start, start + count, 100):
        ids = [f"r{i}" for i in range(first, first + 100)]
        for id in ids:
            ledger.begin(a_record(id, client_app=LARGE), an_attempt(id), owner.done(id))
            ledger.close(closed(a_record(id, client_app=LARGE)), [], owner.done(f"{id} closed"))
        owner.wait(*(f"{id} closed" for id in ids))


def test_readers_that_come_and_go_do_not_make_it_grow_without_bound(
    readers: None, opened: Callable[..., SqliteLedger], owner: Owner, path: Path
) -> None:
    ledger = opened()
    longest = 0
    for start in range(0, 8000, 100):
        write(ledger, owner, start, 100)
        longest = max(longest, log_bytes(path))
    assert path.stat().st_size + log_bytes(path) > UNCUT
    assert longest < BOUND, f"{longest >> 20} MiB"
    assert ledger.healthy


def test_it_is_cut_once_a_long_reader_has_gone_and_nobody_waits(
    opened: Callable[..., SqliteLedger], owner: Owner, path: Path
) -> None:
    ledger = opened()
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM requests").fetchone()
        write(ledger, owner, 0, 600)
        assert log_bytes(path) > 8 << 20
    write(ledger, owner, 600, 100)
    deadline = time.monotonic() + 20
    while log_bytes(path):
        assert time.monotonic() < deadline, log_bytes(path)
        threading.Event().wait(0.05)
    assert rows_in(path, "SELECT count(*) FROM requests") == [(700,)]
