"""What the screens read: pages that neither skip nor repeat, on indexes only, whatever is asked for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from streamgauge.core.record import ExchangeRecord, Status
from streamgauge.ledger.questions import Place, RequestFilter
from streamgauge.ledger.reader import Filter
from streamgauge.ledger.rollup import Hours
from streamgauge.ledger.rollup_sums import NOTHING, together
from streamgauge.ledger.schema import open_for_writing
from streamgauge.ledger.session_queries import MOST_TURNS, ScreenQueries

from .made_ledger import HOUR, START, add, exchanges, make
from .rollup_rig import assert_equal_by_hand

Row = dict[str, Any]
ROWS = 400
_ALL = Hours()
FAILED = ["upstream_error", "cancelled", "rejected"]


def _model(row: Row, glob: str) -> bool:
    names = (row["requested_model"], row["upstream_model"], row["response_model"])
    return any(name is not None and fnmatchcase(name, glob) for name in names)


CASES: list[tuple[RequestFilter, Callable[[Row], bool]]] = [
    (RequestFilter(), lambda r: True),
    (RequestFilter(statuses=["completed"]), lambda r: r["status"] == "completed"),
    (RequestFilter(statuses=["cancelled"]), lambda r: r["status"] == "cancelled"),
    (RequestFilter(statuses=FAILED), lambda r: r["status"] in FAILED),
    (RequestFilter(statuses=["completed", *FAILED]), lambda r: r["status"] in {"completed", *FAILED}),
    (RequestFilter(statuses=["in_flight"]), lambda r: False),
    (RequestFilter(model="gpt*"), lambda r: _model(r, "gpt*")),
    (RequestFilter(statuses=FAILED, model="gpt*"), lambda r: r["status"] in FAILED and _model(r, "gpt*")),
    (RequestFilter(model="gp[st]-*"), lambda r: _model(r, "gp[st]-*")),
    (RequestFilter(upstream="[!o]*"), lambda r: not (r["upstream"] or "o").startswith("o")),
    (RequestFilter(upstream="open*"), lambda r: (r["upstream"] or "").startswith("open")),
    (RequestFilter(key="key-a"), lambda r: r["key_id"] == "key-a"),
    (RequestFilter(session="s-3"), lambda r: r["session_id"] == "s-3"),
    (RequestFilter(session="s-3", statuses=["completed"]),
     lambda r: r["session_id"] == "s-3" and r["status"] == "completed"),
    (RequestFilter(since=START + 24 * HOUR), lambda r: r["started_at"] >= START + 24 * HOUR),
    (RequestFilter(until=START + 24 * HOUR), lambda r: r["started_at"] < START + 24 * HOUR),
    (RequestFilter(text="OPENCODE"), lambda r: "opencode" in (r["client_app"] or "")),
    (RequestFilter(text="nothing like it"), lambda r: False),
    (RequestFilter(text="100%_"), lambda r: False),
]  # fmt: skip


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of every kind, in a few sessions, in pairs that began at one instant."""
    path = tmp_path_factory.mktemp("queries") / "ledger.db"
    records = list(exchanges(ROWS, days=3))
    for i, record in enumerate(records):
        record.started_at = records[i // 2 * 2].started_at
        record.session_id = None if i % 3 == 0 else f"s-{i * 7 % 11}"
    with closing(open_for_writing(path)) as connection:
        add(connection, iter(records))
    return path


def everything(path: Path) -> list[Row]:
    with ScreenQueries(path) as queries:
        rows = list(queries.newest(Filter()))
    return sorted(rows, key=lambda row: (row["started_at"], row["id"]), reverse=True)


def pages(queries: ScreenQueries, wanted: RequestFilter, limit: int) -> list[list[Row]]:
    found, after = [], None
    while True:
        page = queries.requests(wanted, limit, after)
        found.append(page.rows)
        after = page.next
        if after is None:
            return found
        assert Place.read(str(after)) == after


@pytest.mark.parametrize("scan_rows", [1, 7, 10_000])
@pytest.mark.parametrize(("wanted", "fits"), CASES)
def test_pages_are_the_rows_that_fit_however_few_are_looked_at(
    books: Path, wanted: RequestFilter, fits: Callable[[Row], bool], scan_rows: int
) -> None:
    with ScreenQueries(books, scan_rows) as queries:
        found = pages(queries, wanted, 7)
    assert [row for page in found for row in page] == [
        row for row in everything(books) if fits(row)
    ]
    assert all(len(page) <= 7 for page in found)
    assert len(found) <= ROWS + 2, "a page that finds nothing goes on all the same"


@pytest.mark.parametrize(("wanted", "fits"), CASES)
def test_no_page_scans_the_table(
    books: Path, wanted: RequestFilter, fits: Callable[[Row], bool]
) -> None:
    with ScreenQueries(books) as queries:
        for place in (None, Place(START + HOUR), Place(START + HOUR, "0000")):
            steps = queries.plans(wanted) if place is None else queries.plans(wanted, place)
            assert steps
            for step in steps:
                index = step.startswith("SEARCH requests USING") and "INDEX requests_" in step
                # Within one instant only: SQLite's releases have two words for it.
                sorts_part = step.endswith(("LAST TERM OF ORDER BY", "RIGHT PART OF ORDER BY"))
                assert index or sorts_part, step


def test_a_page_that_gave_up_says_how_far_it_looked(books: Path) -> None:
    with ScreenQueries(books, 50) as queries:
        page = queries.requests(RequestFilter(key="nobody's"), 10)
    rows = everything(books)
    assert page.rows == []
    assert page.scanned_to is not None
    assert 50 <= len([row for row in rows if row["started_at"] >= page.scanned_to]) <= 52
    assert page.next == Place(page.scanned_to)


def test_an_id_is_found_wherever_it_is(books: Path) -> None:
    oldest = everything(books)[-1]
    with closing(open_for_writing(books)) as connection:
        connection.execute(
            "UPDATE requests SET client_request_id = 'mine' WHERE id = ?", (oldest["id"],)
        )
    with ScreenQueries(books, 10) as queries:
        for text in (oldest["id"], "mine"):
            page = queries.requests(RequestFilter(text=text), 5)
            assert ([row["id"] for row in page.rows], page.next) == ([oldest["id"]], None)


@pytest.mark.parametrize("text", ["", "x", "1", ":a", "-1:a", "1e3:", f"{2**63}:", "9" * 200 + ":"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Place.read(text)


@pytest.mark.parametrize("limit", [1, 3, 100])
@pytest.mark.parametrize("scan_rows", [3, 20, 10_000])
def test_sessions_come_once_each_the_one_heard_of_last_first(
    books: Path, scan_rows: int, limit: int
) -> None:
    rows = [row for row in everything(books) if row["session_id"] is not None]
    last = dict.fromkeys(row["session_id"] for row in rows)
    found, before = [], None
    with ScreenQueries(books, scan_rows) as queries:
        while True:
            page = queries.sessions(limit, before)
            found += page.sessions
            before = page.next
            if before is None:
                break
    heard = [each.last["started_at"] for each in found]
    assert heard == sorted(heard, reverse=True)
    assert sorted(each.session_id for each in found) == sorted(last)
    for each in found:
        own = [row for row in rows if row["session_id"] == each.session_id]
        assert (each.turns, each.first_started_at) == (len(own), own[-1]["started_at"])
        assert each.last == own[0]


def test_the_sums_of_a_session_are_those_of_its_rows(books: Path) -> None:
    rows = [row for row in everything(books) if row["session_id"] == "s-3"]
    columns = ExchangeRecord.__slots__
    records = [ExchangeRecord(**{name: row[name] for name in columns}) for row in rows]
    with ScreenQueries(books) as queries:
        sums = queries.session_usage("s-3", len(rows))
        nobody = queries.session_usage("s-99", 0)
        too_long = queries.session_usage("s-3", MOST_TURNS + 1)
    assert sums is not None
    assert_equal_by_hand(sums, records)
    assert (nobody, too_long) == (NOTHING, None)


def test_groups_together_are_the_whole(path: Path) -> None:
    make(path, 300)
    with ScreenQueries(path) as queries:
        (whole,) = queries.usage(_ALL, ())
        for by in ("model", "upstream", "key_id", "day", "client_app", "status", "currency"):
            assert together(queries.usage(_ALL, [by])) == whole
    assert together([]) == NOTHING


def test_who_was_superseded_by_whom_and_how_soon(path: Path) -> None:
    records = [
        _turn("a" * 16, 0, 500, Status.SUPERSEDED),
        _turn("b" * 16, 300, 900, Status.SUPERSEDED),
        _turn("c" * 16, 850, 2000, Status.COMPLETED),
        _turn("d" * 16, 1900, 1950, Status.SUPERSEDED),
    ]
    with closing(open_for_writing(path)) as connection:
        add(connection, iter(records))
    with ScreenQueries(path) as queries:
        found = queries.session("s")
        assert queries.session("none") is None
    assert found is not None
    assert [row["id"][0] for row in found.rows] == list("abcd")
    assert [(e.id[0], e.by[0], e.ms) for e in found.supersedes] == [("a", "b", 200), ("b", "c", 50)]


def _turn(id: str, begin_ms: int, end_ms: int, status: Status) -> ExchangeRecord:
    return ExchangeRecord(
        id=id,
        owner="o",
        started_at=START + begin_ms * 1000,
        finished_at=START + end_ms * 1000,
        session_id="s",
        status=status,
        success=False,
    )


def test_closed_rows_come_in_the_order_of_closing_and_once(books: Path) -> None:
    with ScreenQueries(books) as queries:
        last, ids, seq = queries.last_closing(), [], 0
        while seq < last:
            seq, rows = queries.closed_after(seq, 30)
            ids += [row["id"] for row in rows]
        assert queries.closed_after(last, 30) == (last, [])
    assert sorted(ids) == sorted(
        row["id"] for row in everything(books) if row["status"] != "in_flight"
    )


def test_an_empty_ledger_has_nothing_to_show(path: Path) -> None:
    make(path, 1)
    with closing(open_for_writing(path)) as connection:
        connection.execute("DELETE FROM requests")
        connection.execute("DELETE FROM closings")
    with ScreenQueries(path) as queries:
        assert queries.requests(RequestFilter(), 10).rows == []
        assert (queries.sessions(10).sessions, queries.sessions(10).next) == ([], None)
        assert (queries.oldest_at(), queries.last_closing()) == (None, 0)
        assert (queries.speeds(0), queries.labels(), queries.begun_since(0)) == ({}, {}, 0)
