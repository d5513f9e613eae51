"""Roll-ups say what the rows say: sums of exact, estimated and unknown apart (SPEC §8.4, I8)."""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from math import ceil
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from streamgauge.core.record import ExchangeRecord
from streamgauge.ledger import rollup
from streamgauge.ledger.rollup import Hours
from streamgauge.ledger.rollup_fill import catch_up, rebuild
from streamgauge.ledger.rollup_sql import BUCKET_COLUMNS, BUCKETS, DAY_US, HOUR_US, TIMES, USAGE
from streamgauge.ledger.schema import open_for_writing

from .made_ledger import HOUR, START, add, exchanges, one
from .rollup_rig import (
    assert_equal_by_hand,
    found_differences,
    model_of,
    roll_up,
    transaction,
    usage_by,
)

ROWS = 250


@pytest.fixture
def books(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_for_writing(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        yield connection


@pytest.fixture
def records(books: sqlite3.Connection) -> list[ExchangeRecord]:
    made = list(exchanges(ROWS, seed=11, days=2.5))
    for i, record in enumerate(made):
        record.cache_write_tokens = i if i % 3 else None
        record.reasoning_tokens = 3 * i if i % 5 else None
    add(books, iter(made))
    return made


GROUPS: dict[str, Callable[[ExchangeRecord], Any]] = {
    "hour": lambda r: r.finished_at // HOUR_US * HOUR_US,  # type: ignore[operator]
    "day": lambda r: r.finished_at // DAY_US * DAY_US,  # type: ignore[operator]
    "upstream": lambda r: r.upstream,
    "model": model_of,
    "dialect": lambda r: r.dialect,
    "status": lambda r: r.status.value,
    "key_id": lambda r: r.key_id,
    "client_app": lambda r: r.client_app,
    "usage_source": lambda r: r.usage_source,
    "input_source": lambda r: r.input_source,
    "currency": lambda r: r.currency,
}


@pytest.mark.parametrize("rolled_up", [0, ROWS // 2, ROWS])
def test_sums_by_anything_are_those_of_the_rows(
    books: sqlite3.Connection, records: list[ExchangeRecord], rolled_up: int
) -> None:
    if rolled_up:
        with transaction(books):
            catch_up(books, rolled_up)
    for by, value_of in GROUPS.items():
        groups: defaultdict[Any, list[ExchangeRecord]] = defaultdict(list)
        for record in records:
            groups[value_of(record)].append(record)
        told = usage_by(books, by)
        assert {key for (key,) in told} == groups.keys()
        for (key,), each in told.items():
            assert_equal_by_hand(each, groups[key])


def test_one_sum_of_all_and_none_of_nothing(
    books: sqlite3.Connection, records: list[ExchangeRecord]
) -> None:
    roll_up(books)
    (all_of_it,) = rollup.usage(books)
    assert_equal_by_hand(all_of_it, records)
    assert rollup.usage(books, Hours(until=0)) == []
    assert rollup.times(books, "ttft_ms", Hours(until=0)) == []


@pytest.mark.parametrize("rolled_up", [False, True])
def test_a_row_that_closes_between_two_queries_is_in_neither(
    books: sqlite3.Connection, path: Path, records: list[ExchangeRecord], rolled_up: bool
) -> None:
    later = list(exchanges(5, seed=12))
    for record in later:
        record.cost_nano, record.currency = 10**9, "USD"

    def closes(query: str) -> None:
        if "cost_high" in query and later:
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                add(other, iter(later))
                if rolled_up:
                    roll_up(other)
            later.clear()

    roll_up(books)
    books.set_trace_callback(closes)
    (told,) = rollup.usage(books)
    assert_equal_by_hand(told, records)
    books.set_trace_callback(None)
    assert not later
    assert rollup.usage(books)[0].exchanges == len(records) + 5


@pytest.mark.parametrize(
    ("first", "end"), [(0, 60), (3, 50), (23, 25), (24, 48), (10, 11), (7, None)]
)
def test_a_range_takes_whole_hours_and_no_other(
    books: sqlite3.Connection, records: list[ExchangeRecord], first: int, end: int | None
) -> None:
    roll_up(books)
    day = START // DAY_US * DAY_US
    hours = Hours(day + first * HOUR, None if end is None else day + end * HOUR)
    inside = [
        record for record in records
        if record.finished_at >= hours.since and (end is None or record.finished_at < hours.until)
    ]  # fmt: skip
    assert inside
    (told,) = rollup.usage(books, hours)
    assert_equal_by_hand(told, inside)
    (by_hour,) = [sum(each.exchanges for each in rollup.usage(books, hours, ["hour"]))]
    assert by_hour == len(inside)


def test_hours_are_whole() -> None:
    assert Hours.covering(START + 1, START + HOUR + 1) == Hours(START, START + 2 * HOUR)
    assert Hours.covering(START, START) == Hours(START, START)
    with pytest.raises(ValueError, match="whole hours"):
        Hours(since=START + 1)


def test_a_group_that_is_not_kept_is_refused(books: sqlite3.Connection) -> None:
    with pytest.raises(ValueError, match="session_id"):
        rollup.usage(books, by=["session_id"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="key_id"):
        rollup.times(books, "ttft_ms", by=["key_id"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="latency_ms"):
        rollup.times(books, "latency_ms")  # type: ignore[arg-type]


@pytest.mark.parametrize("metric", ["ttft_ms", "stream_duration_ms"])
def test_means_are_exact_and_quantiles_are_within_their_bucket(
    books: sqlite3.Connection, records: list[ExchangeRecord], metric: Any
) -> None:
    with transaction(books):
        catch_up(books, ROWS // 2)
    values = [v for r in records if (v := getattr(r, metric)) is not None]
    (told,) = rollup.times(books, metric)
    assert told.exchanges == len(values)
    assert told.mean_ms == pytest.approx(mean(values), abs=0.001)
    for q in (0.01, 0.5, 0.95, 0.99, 1.0):
        true = sorted(values)[ceil(q * len(values)) - 1]
        at = bisect_left(BUCKETS, true)
        lower = BUCKETS[at - 1] if at else 0
        assert lower <= told.quantile_ms(q) <= BUCKETS[min(at, len(BUCKETS) - 1)]
    by_model = rollup.times(books, metric, by=["model", "status"])
    assert sum(each.exchanges for each in by_model) == len(values)


def test_a_time_beyond_the_last_bucket_is_at_least_its_bound(books: sqlite3.Connection) -> None:
    (slow,) = exchanges(1)
    slow.ttft_ms = 1e300
    add(books, iter([slow]))
    roll_up(books)
    (told,) = rollup.times(books, "ttft_ms")
    assert told.quantile_ms(0.5) == 700_000
    assert found_differences(books) == []


def test_the_tables_have_the_columns_that_are_added_up(books: sqlite3.Connection) -> None:
    for table in (USAGE, TIMES):
        for name, span in ((table.name, "hour"), (table.daily, "day")):
            columns = [row[1] for row in books.execute(f"PRAGMA table_info({name})")]
            assert columns == [span, *table.dimensions, *table.sums]
    assert TIMES.sums[2:] == BUCKET_COLUMNS


def test_an_exchange_belongs_to_the_hour_in_which_it_finished(books: sqlite3.Connection) -> None:
    (record,) = exchanges(1)
    record.finished_at = START + 3 * HOUR - 1
    add(books, iter([record]))
    for _ in range(2):
        assert [each.group for each in rollup.usage(books, by=["hour"])] == [
            {"hour": START + 2 * HOUR}
        ]
        roll_up(books)


def test_names_that_clients_make_up_have_a_bound(books: sqlite3.Connection) -> None:
    records = list(exchanges(700, seed=3, days=1 / 24))
    for i, record in enumerate(records):
        record.response_model = record.upstream_model = f"made-up-{i}"
        record.client_app = f"app-{i}"
        record.finished_at = START + i
    add(books, iter(records))
    roll_up(books, limit=90)
    by_model, by_app = usage_by(books, "model"), usage_by(books, "client_app")
    assert (len(by_model), len(by_app)) == (256 + 1, 64 + 1)
    assert by_model["(other)",].exchanges == 700 - 256
    assert by_app["(other)",].exchanges == 700 - 64
    assert one(books, "SELECT count(*) FROM rollup_names") == 256 + 64
    assert found_differences(books) == []
    later = list(exchanges(50, seed=4))
    for i, record in enumerate(later):
        record.response_model, record.finished_at = f"new-{i}", START + i
    add(books, iter(later))
    assert usage_by(books, "model")["(other)",].exchanges == 700 - 256 + 50
    assert found_differences(books) == []


def test_costs_of_a_small_currency_outgrow_no_sum(books: sqlite3.Connection) -> None:
    records = list(exchanges(9, days=20))
    for record in records:
        record.cost_nano, record.currency = 2**62 + 1, "msat"
        record.output_tokens, record.usage_source = 2**53, "provider"
    add(books, iter(records))
    for _ in range(2):
        (told,) = rollup.usage(books)
        cost = told.costs["msat"]
        assert sum(part for part in (cost.exact, cost.estimated) if part is not None) == (
            9 * (2**62 + 1)
        )
        assert told.output.exact == 9 * 2**53
        roll_up(books)


def test_nothing_that_an_upstream_may_state_stops_the_roll_ups(books: sqlite3.Connection) -> None:
    """A row may say 2^53 tokens. A thousand of those in one hour are no number any more."""
    (pattern,) = exchanges(1)
    pattern.finished_at, pattern.output_tokens = START, 2**53
    add(books, (replace(pattern, id=f"r{i}") for i in range(1100)))
    roll_up(books)
    assert one(books, "SELECT rolled_up_to FROM rollup_state") == 1100
    assert one(books, "SELECT output_tokens FROM rollup_usage") == 2**63 - 1
    assert usage_by(books)[()].exchanges == 1100


# -- the check


def test_the_check_is_silent_when_they_agree(
    books: sqlite3.Connection, records: list[ExchangeRecord]
) -> None:
    for limit in (1, 100, 5000):
        with transaction(books):
            catch_up(books, limit)
        assert found_differences(books) == []


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE requests SET output_tokens = 7 WHERE rowid = 20",
        "UPDATE requests SET cost_nano = 7, currency = 'USD' WHERE rowid = 20",
        "UPDATE requests SET ttft_ms = 77.7 WHERE rowid = 20",
        "UPDATE requests SET status = 'shutdown' WHERE rowid = 20",
        "DELETE FROM requests WHERE rowid = 20",
        "UPDATE rollup_usage SET exchanges = exchanges + 1",
        "UPDATE rollup_usage SET successes = successes + 1 WHERE hour = (SELECT max(hour) FROM rollup_usage)",
        "DELETE FROM rollup_usage_daily",
        "UPDATE rollup_times SET upto_700 = upto_700 + 1",
        "UPDATE rollup_times_daily SET sum_us = sum_us + 1",
        "UPDATE rollup_state SET rolled_up_to = rolled_up_to - 1",
        "INSERT INTO closings (request_id, finished_at) SELECT request_id, finished_at FROM closings LIMIT 1",
    ],
)
def test_the_check_finds_every_damage_and_a_rebuild_mends_what_is_the_roll_ups(
    books: sqlite3.Connection, records: list[ExchangeRecord], damage: str
) -> None:
    roll_up(books)
    books.execute(damage)
    assert found_differences(books) != []
    if "closings" in damage:
        return
    with transaction(books):
        rebuild(books)
    roll_up(books)
    assert found_differences(books) == []


def test_a_rebuild_says_the_same_again(
    books: sqlite3.Connection, records: list[ExchangeRecord]
) -> None:
    roll_up(books, limit=77)
    tables = [t for each in (USAGE, TIMES) for t in (each.name, each.daily)]
    before = [books.execute(f"SELECT * FROM {table}").fetchall() for table in tables]
    with transaction(books):
        rebuild(books)
    assert [books.execute(f"SELECT * FROM {table}").fetchall() for table in tables] == before
