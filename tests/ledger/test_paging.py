"""Long listings: a filter means the same everywhere, and none reads the whole table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from streamgauge.core.record import Status
from streamgauge.ledger.reader import Filter, LedgerReader
from streamgauge.ledger.schema import LATEST
from streamgauge.ledger.sqlite import SqliteLedger

from .ledger_rig import Owner, a_record, closed
from .made_ledger import START, make


@pytest.mark.parametrize("wanted", [
    Filter(), Filter(statuses=[Status.UPSTREAM_ERROR, Status.SHUTDOWN]), Filter(model="qwen*"),
    Filter(statuses=[Status.COMPLETED, Status.REJECTED]), Filter(since=START + 10**9),
    Filter(until=START + 10**12), Filter(upstream="open*"), Filter(session="session-1*"),
])  # fmt: skip
def test_a_filter_means_the_same_in_either_order_and_in_numbers(path: Path, wanted: Filter) -> None:
    make(path, 300)
    with LedgerReader(path) as reader:
        whole = [row["id"] for row in reader.newest(wanted)]
        assert 0 < len(whole) <= 300
        assert [row["id"] for row in reader.oldest(wanted)] == whole[::-1]
        assert reader.count(wanted) == len(whole)


@pytest.mark.parametrize(("wanted", "index"), [
    (Filter(), "requests_by_start"),
    (Filter(since=START, until=START + 1), "requests_by_start"),
    (Filter(statuses=["upstream_error"]), "requests_ended_otherwise"),
    (Filter(statuses=["shutdown", "gateway_crash"]), "requests_ended_otherwise"),
    (Filter(session="session-1"), "requests_by_session"),
    (Filter(session="session-1*"), "requests_by_session"),
])  # fmt: skip
def test_filters_use_an_index(
    path: Path, wanted: Filter, index: str, request: pytest.FixtureRequest
) -> None:
    make(path, 300)
    where, values = wanted.as_sql()
    with LedgerReader(path) as reader, reader.snapshot() as connection:
        plan = connection.execute(
            f"EXPLAIN QUERY PLAN SELECT * FROM requests{where} "
            "ORDER BY started_at DESC, id DESC LIMIT 50",
            values,
        ).fetchall()
    assert f"INDEX {index}" in plan[0][3]


def test_a_clients_own_id_is_looked_up(path: Path) -> None:
    make(path, 10)
    query = "EXPLAIN QUERY PLAN SELECT id FROM requests WHERE client_request_id = ?"
    with LedgerReader(path) as reader, reader.snapshot() as connection:
        plan = connection.execute(query, ("x",)).fetchall()
    assert "requests_by_client_request" in plan[0][3]


def test_a_snapshot_is_of_one_instant(
    path: Path, opened: Callable[..., SqliteLedger], owner: Owner
) -> None:
    ledger = opened()
    with LedgerReader(path) as reader:
        with reader.snapshot() as connection:
            ledger.insert(closed(a_record("later")), owner.done("later"))
            owner.wait("later")
            assert connection.execute("SELECT count(*) FROM requests").fetchone() == (0,)
        assert reader.count(Filter()) == 1
        assert reader.schema == LATEST
