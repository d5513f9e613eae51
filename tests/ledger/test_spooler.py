"""What the spool takes, in which shares, and what happens when its own disk fails."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from streamgauge.ledger.base import LedgerUnavailable, RowRefused
from streamgauge.ledger.operations import AddAttempt, Begin, Close, Insert, Operation
from streamgauge.ledger.rows import ATTEMPTS, REQUESTS
from streamgauge.ledger.spool import SpoolFile
from streamgauge.ledger.spooler import Spooler

from .fake_store import FakeStore, committed
from .ledger_rig import Owner, a_record, an_attempt, closed


class FailingFile(SpoolFile):
    """A spool on a disk that fails when it is told to."""

    broken = False

    def append(self, frames: Sequence[bytes]) -> None:
        self._fail()
        super().append(frames)

    def reset(self) -> None:
        self._fail()
        super().reset()

    def frames(self, position: int, limit: int) -> tuple[list[bytes], int]:
        self._fail()
        return super().frames(position, limit)

    def _fail(self) -> None:
        if self.broken:
            raise OSError(errno.EIO, "Input/output error")


@pytest.fixture
def file(tmp_path: Path) -> FailingFile:
    return FailingFile(tmp_path / "ledger.db.spool")


@pytest.fixture
def spooler(file: FailingFile) -> Iterator[Spooler]:
    spooler = Spooler(file)
    spooler.allocate(64 << 10)
    yield spooler
    spooler.close()


@pytest.fixture
def store() -> Iterator[FakeStore]:
    store = FakeStore()
    yield store
    store.connection.close()


def begin(owner: Owner, id: str) -> Begin:
    return Begin(REQUESTS.row(a_record(id)), ATTEMPTS.row(an_attempt(id)), owner.done(id))


def close(owner: Owner, id: str, *, owed: bool = True) -> Close:
    return Close(REQUESTS.row(closed(a_record(id))), (), owner.done(id), not owed, owed)


def ids(operations: Sequence[Operation]) -> list[object]:
    return [each.request[0] for each in operations if not isinstance(each, AddAttempt)]


def fill(spooler: Spooler, operation: Operation) -> int:
    """Keep `operation` until there is no room; return the bytes then used."""
    while spooler.keep([operation]) == [None]:
        pass
    return spooler.used


def test_rejections_begins_and_closes_each_find_room_the_last_ones_longest(
    spooler: Spooler, owner: Owner
) -> None:
    size = (64 << 10) - 8192
    for operation, share in (
        (Insert(REQUESTS.row(a_record("no")), None), 0.5),
        (begin(owner, "new"), 0.75),
        (close(owner, "old"), 1.0),
    ):
        used = fill(spooler, operation)
        assert size * share - 2048 < used <= size * share
    assert not spooler.takes_begins


def test_the_rejection_of_a_failed_begin_has_a_rejections_share(
    spooler: Spooler, owner: Owner
) -> None:
    assert fill(spooler, close(owner, "no", owed=False)) <= (64 << 10) / 2


def test_a_smaller_one_finds_room_behind_a_larger_that_did_not(
    spooler: Spooler, owner: Owner
) -> None:
    large = Close(
        REQUESTS.row(closed(a_record("large", error_message="x" * 60_000))), (), owner.done("l")
    )
    outcomes = spooler.keep([large, close(owner, "small")])
    assert isinstance(outcomes[0], LedgerUnavailable)
    assert outcomes[1] is None


def test_what_no_ledger_takes_is_refused_alone(spooler: Spooler, owner: Owner) -> None:
    bad = Insert(REQUESTS.row(a_record("bad", input_tokens=2**63)), None)
    first, second, third = spooler.keep([begin(owner, "a"), bad, begin(owner, "b")])
    assert (first, third) == (None, None)
    assert isinstance(second, RowRefused)


def test_what_was_kept_is_played_in_order_and_once(
    spooler: Spooler, store: FakeStore, owner: Owner
) -> None:
    spooler.keep([begin(owner, "a"), close(owner, "a"), begin(owner, "b")])
    spooler.play(store, 2)
    spooler.keep([close(owner, "b")])
    while spooler.pending:
        spooler.play(store, 2)
    assert ids(committed(store)) == ["a", "a", "b", "b"]
    assert (spooler.used, spooler.spooled, spooler.played) == (0, 4, 4)


def test_a_store_that_is_still_away_takes_nothing_from_the_spool(
    spooler: Spooler, store: FakeStore, owner: Owner
) -> None:
    spooler.keep([begin(owner, "a")])
    store.broken.set()
    with pytest.raises(LedgerUnavailable):
        spooler.play(store, 100)
    store.broken.clear()
    spooler.play(store, 100)
    assert ids(committed(store)) == ["a"]


def test_a_failing_disk_under_the_spool_refuses_and_comes_back(
    file: FailingFile, spooler: Spooler, store: FakeStore, owner: Owner
) -> None:
    spooler.keep([begin(owner, "a")])
    file.broken = True
    (outcome,) = spooler.keep([begin(owner, "b")])
    assert "Input/output error" in str(outcome)
    assert not spooler.takes_begins
    with pytest.raises(LedgerUnavailable, match="Input/output error"):
        spooler.play(store, 100)
    file.broken = False
    assert spooler.keep([begin(owner, "c")]) == [None]
    assert spooler.takes_begins
    spooler.play(store, 100)
    assert ids(committed(store)) == ["a", "c"]


def test_a_reset_that_fails_plays_nothing_twice(
    file: FailingFile, spooler: Spooler, owner: Owner
) -> None:
    class Breaking(FakeStore):
        """Breaks the spool's disk while it commits."""

        def commit(self, operations, *, patient, again=False):  # type: ignore[no-untyped-def]
            file.broken = True
            return super().commit(operations, patient=patient, again=again)

    store = Breaking()
    spooler.keep([begin(owner, "a")])
    spooler.play(store, 100)
    assert not spooler.pending
    assert spooler.used
    file.broken = False
    spooler.keep([begin(owner, "b")])
    file.broken = False
    spooler.play(store, 100)
    assert ids(committed(store)) == ["a", "b"]
    store.connection.close()
