"""Whoever closes a row, its closing is written with it, once, and in order; kills change nothing (I8)."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from streamgauge.ledger import rollup
from streamgauge.ledger.retention import cutoff_us, delete_older
from streamgauge.ledger.rollup_fill import catch_up, rebuild
from streamgauge.ledger.rollup_sql import DAY_US
from streamgauge.ledger.schema import open_for_writing
from streamgauge.ledger.sqlite import SqliteLedger

from .ledger_rig import NOW, Owner, a_record, an_attempt, closed, rows_in
from .made_ledger import START, add, an_exchange, one
from .rollup_rig import found_differences, roll_up, transaction
from .subprocesses import start

FULL = os.environ.get("STREAMGAUGE_FULL") == "1"
SEEDS = range(20 if FULL else 3)
ROUNDS = 20 if FULL else 3


def test_each_way_of_closing_writes_one_closing(
    opened: Callable[..., SqliteLedger], owner: Owner, path: Path
) -> None:
    ledger = opened()
    for id in ("closed", "left", "twice"):
        ledger.begin(a_record(id), an_attempt(id), owner.done(id))
    owner.wait("closed", "left", "twice")
    assert rows_in(path, "SELECT count(*) FROM closings") == [(0,)]
    ledger.close(closed(a_record("closed")), [an_attempt("closed")], owner.done("1"))
    ledger.insert(closed(a_record("rejected")), owner.done("2"))
    ledger.close(closed(a_record("never begun")), [], owner.done("3"))
    for n in "45":
        ledger.close(closed(a_record("twice")), [], owner.done(n))
    owner.wait(*"12345")
    ledger.stop(5)
    opened(now_us=lambda: NOW + 99).stop(5)
    told = rows_in(path, "SELECT request_id, finished_at FROM closings ORDER BY seq")
    assert told == [
        *((id, NOW + 5_000) for id in ("closed", "rejected", "never begun", "twice")),
        ("left", NOW + 99),
    ]
    with closing(open_for_writing(path)) as connection:
        roll_up(connection)
        (told_sum,) = rollup.usage(connection)
        assert (told_sum.exchanges, told_sum.successes, told_sum.failures) == (5, 4, 1)
        assert found_differences(connection) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_any_order_of_closing_rolling_up_and_deleting_keeps_the_sums(path: Path, seed: int) -> None:
    dice = random.Random(seed)
    connection = open_for_writing(path)
    made = 0
    for step in range(40):
        match dice.choice(["close", "close", "roll up", "delete", "rebuild", "undo", "reopen"]):
            case "close":
                count = dice.randrange(1, 30)
                records = [
                    # Also late ones, of days that retention has gone through.
                    an_exchange(dice, f"{seed}-{step}-{i}", START + dice.randrange(6) * DAY_US)
                    for i in range(count)
                ]
                add(connection, iter(records))
                made += count
            case "roll up":
                with transaction(connection):
                    catch_up(connection, dice.randrange(1, 60))
            case "delete":
                with transaction(connection):
                    cutoff = cutoff_us(START + dice.randrange(6) * DAY_US, dice.randrange(1, 5))
                    delete_older(connection, cutoff, dice.randrange(1, 60))
            case "rebuild":
                with transaction(connection):
                    rebuild(connection)
            case "undo":
                connection.execute("BEGIN IMMEDIATE")
                catch_up(connection)
                connection.execute("ROLLBACK")
            case _:
                connection.close()
                connection = open_for_writing(path)
        assert found_differences(connection) == []
        assert sum(each.exchanges for each in rollup.usage(connection)) == made
    connection.close()


WORKING = """
import itertools
from streamgauge.ledger.rollup_fill import catch_up
ledger, round = opened(sys.argv[1]), sys.argv[2]
for i in itertools.count():
    id = f"{round}-{i}"
    record, attempt = rows(id)
    ledger.begin(record, attempt, lambda error: None)
    record.status, record.success, record.finished_at = Status.COMPLETED, True, 1_000_000 + i
    record.output_tokens, record.usage_source, record.ttft_ms = i % 9, "provider", float(i % 50)
    if i % 5:
        ledger.close(record, [attempt], lambda error, id=id: say(id, error))
    if i % 20 == 0:
        ledger.maintain("roll-ups", lambda connection: catch_up(connection, 30) and None)
"""


def test_kills_leave_the_roll_ups_equal_to_the_rows(
    path: Path, opened: Callable[..., SqliteLedger]
) -> None:
    dice = random.Random(5)
    for number in range(ROUNDS):
        with start(WORKING, path, number) as process:
            assert process.stdout is not None
            for _ in range(dice.randint(100, 500)):
                assert process.stdout.readline().endswith("None\n")
            process.kill()
        opened().stop(5)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            assert found_differences(connection) == []
            assert one(connection, "SELECT count(*) FROM closings") == one(
                connection, "SELECT count(*) FROM requests"
            )
            (told,) = rollup.usage(connection)
            assert told.exchanges == one(connection, "SELECT count(*) FROM requests")
            rolled_up = one(connection, "SELECT rolled_up_to FROM rollup_state")
    assert rolled_up > 0
