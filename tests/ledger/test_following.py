"""Following a ledger: each row once as it begins and once as it closes, whatever happens to the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streamgauge.ledger.base import LedgerCorrupt, LedgerForeign
from streamgauge.ledger.following import FollowedFile
from streamgauge.ledger.sqlite import SqliteLedger

from .ledger_rig import NOW, Owner, a_record, an_attempt, closed


class Books:
    """A ledger to which rows are begun and closed, each wait included."""

    def __init__(self, ledger: SqliteLedger, owner: Owner) -> None:
        self.ledger, self.owner = ledger, owner

    def begin(self, *ids: str) -> None:
        for id in ids:
            self.ledger.begin(a_record(id), an_attempt(id), self.owner.done(f"begin {id}"))
        self.owner.wait(*(f"begin {id}" for id in ids))

    def close(self, *ids: str, at: int = NOW + 5_000) -> None:
        for id in ids:
            record = closed(a_record(id), finished_at=at)
            self.ledger.close(record, [an_attempt(id)], self.owner.done(f"close {id}"))
        self.owner.wait(*(f"close {id}" for id in ids))


@pytest.fixture
def books(ledger: SqliteLedger, owner: Owner) -> Books:
    return Books(ledger, owner)


@pytest.fixture
def followed(path: Path) -> Iterator[FollowedFile]:
    followed = FollowedFile(path)
    yield followed
    followed.close()


def seen(followed: FollowedFile, first: int = 0) -> list[tuple[str, str]]:
    return [(row["id"], row["status"]) for row in followed.look(first)]


def test_a_row_is_told_once_begun_and_once_closed(books: Books, followed: FollowedFile) -> None:
    assert seen(followed) == []
    books.begin("a", "b")
    assert seen(followed) == [("a", "in_flight"), ("b", "in_flight")]
    assert seen(followed) == []
    books.close("b")
    assert seen(followed) == [("b", "completed")]
    books.begin("c")
    books.close("c", at=NOW + 1)
    books.close("a", at=NOW + 2)
    assert seen(followed) == [("c", "completed"), ("a", "completed")]
    assert seen(followed) == []


def test_it_begins_with_the_last_rows_and_those_in_flight(
    books: Books, followed: FollowedFile
) -> None:
    books.begin("open", "a", "b", "c")
    for n, id in enumerate("abc"):
        books.close(id, at=NOW + n)
    assert seen(followed, 2) == [("open", "in_flight"), ("b", "completed"), ("c", "completed")]
    books.close("open")
    assert seen(followed, 2) == [("open", "completed")]


def test_more_rows_may_be_asked_for_than_can_be_counted(
    books: Books, followed: FollowedFile
) -> None:
    books.begin("a")
    books.close("a")
    assert seen(followed, 10**30) == [("a", "completed")]


def test_more_rows_in_flight_than_one_query_takes(books: Books, followed: FollowedFile) -> None:
    ids = [f"id-{n}" for n in range(1200)]
    assert seen(followed) == []
    books.begin(*ids)
    assert len(seen(followed)) == 1200
    books.close(*ids)
    assert {id for id, status in seen(followed) if status == "completed"} == set(ids)


def test_a_quiet_ledger_costs_one_pragma(
    books: Books, followed: FollowedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    books.begin("a")
    seen(followed)
    asked: list[str] = []
    connection = followed._follower._connection  # type: ignore[union-attr]
    connection.set_trace_callback(asked.append)
    seen(followed)
    assert asked == ["PRAGMA data_version"]


def test_a_ledger_that_comes_later_is_told_whole(
    path: Path, followed: FollowedFile, opened: Callable[..., SqliteLedger], owner: Owner
) -> None:
    assert seen(followed, 1) == []
    assert not followed.there
    path.touch()
    assert seen(followed, 1) == [], "its gateway has not made it yet"
    books = Books(opened(), owner)
    books.begin("a", "b")
    assert seen(followed, 1) == [("a", "in_flight"), ("b", "in_flight")]
    assert followed.there


def test_a_ledger_that_is_replaced_is_followed_on(
    path: Path, followed: FollowedFile, opened: Callable[..., SqliteLedger], owner: Owner
) -> None:
    ledger = opened()
    Books(ledger, owner).begin("old")
    assert seen(followed) == [("old", "in_flight")]
    ledger.stop(5)
    for file in path.parent.glob("ledger.db*"):
        file.unlink()
    assert seen(followed) == []
    assert not followed.there
    Books(opened(), owner).begin("new")
    assert seen(followed) == [("new", "in_flight")]


def test_rows_that_are_numbered_anew_or_gone_lose_and_repeat_nothing(
    path: Path, opened: Callable[..., SqliteLedger], owner: Owner, followed: FollowedFile
) -> None:
    ledger = opened()
    books = Books(ledger, owner)
    books.begin("a", "b", "c")
    books.close("a", "b")
    assert len(seen(followed, 10)) == 3
    ledger.stop(5)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM requests WHERE id IN ('a', 'b')")
        connection.execute("UPDATE requests SET rowid = 1")  # as VACUUM may
        connection.commit()
    assert seen(followed) == []
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM requests")
        connection.commit()
    assert seen(followed) == [], "a row that was removed has not closed"
    Books(opened(), owner).begin("d")
    assert seen(followed) == [("d", "in_flight")]


def test_what_the_next_start_closes_is_told(
    opened: Callable[..., SqliteLedger], owner: Owner, followed: FollowedFile
) -> None:
    ledger = opened()
    Books(ledger, owner).begin("a")
    assert seen(followed) == [("a", "in_flight")]
    ledger.stop(5)
    opened()
    assert seen(followed) == [("a", "gateway_crash")]


@pytest.mark.parametrize("damage", [b"not a database " * 100, None])
def test_a_file_that_is_no_ledger_is_refused(
    path: Path, followed: FollowedFile, damage: bytes | None
) -> None:
    if damage is None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE notes (text)")
    else:
        path.write_bytes(damage)
    with pytest.raises((LedgerForeign, LedgerCorrupt)):
        followed.look()
