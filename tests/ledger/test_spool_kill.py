"""kill -9 while the database is locked or just back: the spool's promises hold (F1, F2, F12)."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from streamgauge.ledger.sqlite import SqliteLedger

from .ledger_rig import rows_in
from .subprocesses import start
from .test_crash import WORKING

ROUNDS = 40 if os.environ.get("STREAMGAUGE_FULL") == "1" else 4
SPOOLING = WORKING.replace("opened(sys.argv[1])", "opened(sys.argv[1], spool_bytes=16 << 20)")
PIPED = 65_536 // len("begun 1-1000 None")
"""Lines that a pipe holds at most."""
Outcomes = dict[str, set[str]]


def killed_in_an_outage(dice: random.Random, path: Path, number: int) -> Outcomes:
    """Lock the database under a gateway's work, perhaps let it come back, kill; return what was told."""
    lines: list[str] = []
    with (
        start(SPOOLING, path, number) as process,
        closing(sqlite3.connect(path, isolation_level=None, timeout=20)) as other,
    ):
        assert process.stdout is not None

        def read(count: int) -> None:
            lines.extend(process.stdout.readline() for _ in range(count))

        read(dice.randint(1, 100))
        other.execute("BEGIN IMMEDIATE")
        # What was told before fills the pipe: what comes after that much is told under the lock.
        read(dice.randint(1, 600) + PIPED)
        if dice.random() < 0.5:
            other.execute("COMMIT")
            read(dice.randint(1, 600) + dice.choice((0, PIPED)))
        process.kill()
        lines += process.stdout.readlines()
    outcomes: Outcomes = {"begun": set(), "closed": set()}
    for word, id, error in (line.split() for line in lines if line.endswith("\n")):
        assert error == "None"
        outcomes[word].add(id)
    return outcomes


@pytest.mark.timeout(30 + 5 * ROUNDS)
@pytest.mark.fault("F1", seeds=ROUNDS)
def test_kills_while_spooling_lose_nothing_and_double_nothing(
    path: Path, opened: Callable[..., SqliteLedger], record_property: Callable[..., None]
) -> None:
    seed = random.randrange(10**6)
    record_property("seed", seed)
    dice = random.Random(seed)
    begun: set[str] = set()
    ended: set[str] = set()
    replayed = 0
    opened().stop(5)
    for number in range(ROUNDS):
        outcomes = killed_in_an_outage(dice, path, number)
        begun |= outcomes["begun"]
        ended |= outcomes["closed"]
        ledger = opened(spool_bytes=16 << 20)
        replayed += ledger.stats().replayed
        ledger.stop(5)
    statuses = dict(rows_in(path, "SELECT id, status FROM requests"))
    assert begun <= statuses.keys(), seed
    assert {id for id in ended if statuses[id] != "completed"} == set(), seed
    assert set(statuses.values()) == {"completed", "gateway_crash"}, seed
    assert rows_in(path, "SELECT count(*) FROM attempts WHERE outcome IS NULL") == [(0,)]
    assert rows_in(path, "SELECT count(*) FROM attempts") == [(len(statuses),)]
    assert rows_in(path, "PRAGMA integrity_check") == [("ok",)]
    assert replayed > 100, "no kill met a spool that held anything"
