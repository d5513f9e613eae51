"""The writer's policy, with a store that fails when it is told to."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from queue import Empty

import pytest

from streamgauge.ledger.base import LedgerUnavailable
from streamgauge.ledger.operations import (
    AddAttempt,
    Begin,
    Close,
    Committed,
    Insert,
    Operation,
)
from streamgauge.ledger.writer import Writer

from .fake_store import FakeStore, begin, close, committed
from .ledger_rig import Owner


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def writer(store: FakeStore, owner: Owner) -> Iterator[Writer]:
    writer = Writer(store, owner.calls.put)
    yield writer
    store.gate.set()
    writer.stop(0.1)
    store.connection.close()


def test_what_queued_during_one_commit_is_the_next(
    store: FakeStore, writer: Writer, owner: Owner
) -> None:
    store.gate.clear()
    writer.submit(begin(owner, "0"))
    store.entered.acquire(timeout=20)
    for i in range(1, 50):
        writer.submit(begin(owner, str(i)))
    store.gate.set()
    owner.wait("begin 49")
    assert [len(group) for group in store.groups] == [1, 49]
    assert owner.batches == [1, 49]


@pytest.fixture
def patient(store: FakeStore, owner: Owner) -> Iterator[Writer]:
    writer = Writer(store, owner.calls.put, company_seconds=600)
    yield writer
    writer.stop(1)
    store.connection.close()


def test_what_nobody_waits_for_is_committed_with_the_next_begin(
    store: FakeStore, patient: Writer, owner: Owner
) -> None:
    for id in ("1", "2", "3"):
        patient.submit(close(owner, id))
    with pytest.raises(Empty):
        owner.calls.get(timeout=0.05)
    patient.submit(begin(owner, "4"))
    owner.wait("begin 4")
    assert [len(group) for group in store.groups] == [4]


def test_a_begin_waits_for_no_company_and_a_stop_for_none(
    store: FakeStore, patient: Writer, owner: Owner
) -> None:
    patient.submit(begin(owner, "1"))
    owner.wait("begin 1")
    patient.submit(close(owner, "1"))
    assert patient.stop(20)
    assert [len(group) for group in store.groups] == [1, 1]


def crowd(store: FakeStore, owner: Owner, writer: Writer, size: int) -> None:
    """Have `size` begins committed in one group, after a first one."""
    store.gate.clear()
    writer.submit(begin(owner, "first"))
    store.entered.acquire(timeout=20)
    for i in range(size):
        writer.submit(begin(owner, f"of {size}: {i}"))
    store.gate.set()
    owner.wait(f"begin of {size}: {size - 1}")


@pytest.fixture
def crowded(store: FakeStore, owner: Owner) -> Iterator[Writer]:
    writer = Writer(store, owner.calls.put, crowd_seconds=600)
    yield writer
    writer.stop(1)
    store.connection.close()


def test_after_a_crowd_a_begin_waits_for_others_but_a_stop_does_not(
    store: FakeStore, crowded: Writer, owner: Owner
) -> None:
    crowd(store, owner, crowded, 20)
    crowded.submit(begin(owner, "1"))
    crowded.submit(begin(owner, "2"))
    with pytest.raises(Empty):
        owner.calls.get(timeout=0.05)
    assert crowded.stop(20)
    owner.wait("begin 2")
    assert [len(group) for group in store.groups] == [1, 20, 2]


def test_a_few_begins_at_once_make_nobody_wait(
    store: FakeStore, crowded: Writer, owner: Owner
) -> None:
    crowd(store, owner, crowded, 3)
    crowded.submit(begin(owner, "1"))
    owner.wait("begin 1")
    assert [len(group) for group in store.groups] == [1, 3, 1]


def test_what_comes_while_a_begin_waits_is_in_its_group_and_the_wait_ends_by_itself(
    store: FakeStore, owner: Owner
) -> None:
    writer = Writer(store, owner.calls.put, crowd_seconds=0.2)
    crowd(store, owner, writer, 20)
    for id in ("1", "2", "3"):
        writer.submit(begin(owner, id))
    owner.wait("begin 3")
    assert [len(group) for group in store.groups] == [1, 20, 3]
    writer.submit(begin(owner, "4"))
    owner.wait("begin 4")
    assert writer.stop(20)
    store.connection.close()


def test_closes_without_company_are_committed_all_the_same(
    store: FakeStore, writer: Writer, owner: Owner
) -> None:
    for id in ("1", "2"):
        writer.submit(close(owner, id))
        owner.wait(f"close {id}")
    assert [len(group) for group in store.groups] == [1, 1]


def test_order_is_kept(store: FakeStore, writer: Writer, owner: Owner) -> None:
    operations: list[Operation] = []
    for i in range(3000):
        operations += [begin(owner, str(i)), close(owner, str(i))]
    for operation in operations:
        writer.submit(operation)
    owner.wait("close 2999")
    assert committed(store) == operations


def test_a_failed_commit_answers_begins_and_keeps_closes_in_order(
    store: FakeStore, writer: Writer, owner: Owner
) -> None:
    store.broken.set()
    closes = [close(owner, str(i)) for i in range(300)]
    for each in closes:
        writer.submit(each)
    writer.submit(begin(owner, "new"))
    writer.submit(AddAttempt(("new", 2), owner.done("attempt")))
    errors = owner.wait("begin new", "attempt")
    assert all(isinstance(error, LedgerUnavailable) for error in errors)
    assert writer.reason == "database or disk is full"
    assert writer.stats().kept == 300
    assert writer.stats().failures >= 1
    store.broken.clear()
    owner.wait("close 299")
    assert committed(store) == closes
    assert writer.reason is None
    assert writer.stats().kept == 0


def test_a_begin_during_an_outage_is_tried(store: FakeStore, writer: Writer, owner: Owner) -> None:
    store.broken.set()
    writer.submit(begin(owner, "lost"))
    owner.wait("begin lost")
    store.broken.clear()
    writer.submit(begin(owner, "found"))
    assert owner.wait("begin found") == [None]
    assert writer.reason is None


def test_health_comes_back_without_anyone_asking(
    store: FakeStore, writer: Writer, owner: Owner
) -> None:
    store.broken.set()
    writer.submit(begin(owner, "lost"))
    owner.wait("begin lost")
    assert store.probed.acquire(timeout=20)
    assert writer.reason is not None
    store.broken.clear()
    assert store.healed.wait(20)
    writer.stop(20)
    assert writer.reason is None
    assert store.groups == []


def test_the_rejection_of_a_failed_begin_may_be_dropped(store: FakeStore, owner: Owner) -> None:
    writer = Writer(store, owner.calls.put, kept_inserts=2)
    store.broken.set()
    for id in ("a", "b", "c"):
        writer.submit(begin(owner, id))
        owner.wait(f"begin {id}")
        writer.submit(close(owner, id, rejected=True))
    writer.submit(close(owner, "running", rejected=True))
    writer.submit(begin(owner, "d"))
    owner.wait("begin d", "close c")
    assert isinstance(owner.told["close c"][0], LedgerUnavailable)
    assert writer.stats().lost_inserts == 1
    store.broken.clear()
    owner.wait("close a", "close b", "close running")
    owed = [(each.request[0], each.owed) for each in committed(store) if isinstance(each, Close)]
    assert owed == [("a", False), ("b", False), ("running", True)]
    assert writer.stop(20)


def test_only_a_begin_makes_a_repetition_wait_long(
    store: FakeStore, writer: Writer, owner: Owner
) -> None:
    store.broken.set()
    writer.submit(close(owner, "a"))
    for _ in range(3):
        store.entered.acquire(timeout=20)
    writer.submit(begin(owner, "b"))
    owner.wait("begin b")
    assert store.patience[:3] == [True, False, False]
    assert True in store.patience[3:]


def test_stop_in_an_outage_gives_up_at_its_deadline_and_says_what_is_left(
    store: FakeStore, writer: Writer, owner: Owner
) -> None:
    store.broken.set()
    writer.submit(close(owner, "a"))
    store.entered.acquire(timeout=20)
    assert writer.stop(0.3)
    assert isinstance(owner.wait("close a")[0], LedgerUnavailable)
    assert writer.stats().kept == 1
    assert writer.reason is not None
    assert store.closed


def test_stop_in_an_outage_does_not_wait_for_rejections(
    store: FakeStore, writer: Writer, owner: Owner
) -> None:
    store.broken.set()
    writer.submit(Insert(("no",), owner.done("insert")))
    store.entered.acquire(timeout=20)
    start = time.monotonic()
    assert writer.stop(20)
    assert time.monotonic() - start < 5
    assert isinstance(owner.wait("insert")[0], LedgerUnavailable)


def test_stop_in_an_outage_that_ends_writes_everything(
    store: FakeStore, writer: Writer, owner: Owner
) -> None:
    store.broken.set()
    writer.submit(close(owner, "a"))
    for _ in range(2):
        store.entered.acquire(timeout=20)
    store.broken.clear()
    assert writer.stop(20)
    assert owner.wait("close a") == [None]


def test_a_callback_that_raises_silences_no_other(
    store: FakeStore, writer: Writer, owner: Owner
) -> None:
    def fails(error: object) -> None:
        raise ZeroDivisionError

    store.gate.clear()
    writer.submit(begin(owner, "0"))
    store.entered.acquire(timeout=20)
    writer.submit(begin(owner, "1"))
    writer.submit(Begin(("2",), ("2", 1), fails))
    writer.submit(begin(owner, "3"))
    store.gate.set()
    owner.run_one()
    with pytest.raises(ZeroDivisionError):
        owner.run_one()
    assert owner.wait("begin 3") == [None]
    assert "begin 1" in owner.told


def test_a_loop_that_is_closed_stops_nothing(store: FakeStore, owner: Owner) -> None:
    def gone(call: object) -> None:
        raise RuntimeError("Event loop is closed")

    writer = Writer(store, gone)
    writer.submit(begin(owner, "a"))
    writer.submit(close(owner, "a"))
    assert writer.stop(20)
    assert len(committed(store)) == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_writer_that_dies_of_a_fault_leaves_nobody_waiting(
    store: FakeStore, owner: Owner
) -> None:
    class Faulty(FakeStore):
        def commit(
            self, operations: Sequence[Operation], *, patient: bool, again: bool = False
        ) -> Committed:
            raise AssertionError("a bug")

    faulty = Faulty()
    writer = Writer(faulty, owner.calls.put)
    writer.submit(begin(owner, "a"))
    assert isinstance(owner.wait("begin a")[0], LedgerUnavailable)
    assert writer.reason is not None
    writer.submit(begin(owner, "b"))
    assert isinstance(owner.wait("begin b")[0], LedgerUnavailable)
    assert writer.stop(20)
