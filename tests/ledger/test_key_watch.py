"""A running gateway is told of changed keys, and its ledger of used ones."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from streamgauge.core.keys import KeyRing
from streamgauge.ledger.key_secret import secret_path
from streamgauge.ledger.key_watch import POLL_SECONDS, KeyUse, KeyWatch
from streamgauge.ledger.sqlite import SqliteLedger

from .ledger_rig import NOW, Owner, rows_in
from .test_keys import ANN, made, store


class Gateway:
    """Runs what is posted on the thread that posts it, and tells the test."""

    def __init__(self) -> None:
        self.rings: list[KeyRing] = []
        self.notes: list[str] = []
        self.told = threading.Event()

    def post(self, call: Callable[[], None]) -> None:
        call()
        self.told.set()

    def note(self, level: str, event: str, fields: list[tuple[str, str]]) -> None:
        self.notes.append(dict(fields)["message"])

    def wait(self) -> None:
        assert self.told.wait(5), "nothing was told"
        self.told.clear()


@contextmanager
def watching(path: Path, owner: Gateway) -> Iterator[KeyWatch]:
    watch = KeyWatch(path, owner.post, owner.note)
    watch.start(owner.rings.append)
    try:
        yield watch
    finally:
        watch.stop()


@pytest.mark.usefixtures("ledger")
def test_a_gateway_is_told_of_each_change_and_of_nothing_else(path: Path) -> None:
    owner = Gateway()
    with watching(path, owner) as watch:
        assert watch.ring.count == 0
        new = made(path)
        owner.wait()
        with store(path) as keys:
            keys.revoke(new.key_id)
        owner.wait()
        assert not owner.told.wait(3 * POLL_SECONDS)
    assert [ring.count for ring in owner.rings] == [1, 1]
    found = owner.rings[1].find(new.text.encode())
    assert found is not None
    assert found[1].why_dead(NOW) == "revoked"


@pytest.mark.usefixtures("ledger")
def test_who_asks_for_a_look_is_answered_when_the_owner_knows(path: Path) -> None:
    owner = Gateway()
    with watching(path, owner) as watch:
        for count in range(1, 4):
            made(path)
            watch.look()
            assert [ring.count for ring in owner.rings] == [*range(1, count + 1)]


@pytest.mark.usefixtures("ledger")
def test_while_keys_cannot_be_read_the_last_ones_hold_and_it_is_said_once(path: Path) -> None:
    made(path)
    owner = Gateway()
    with watching(path, owner):
        hidden = secret_path(path).rename(path.with_name("hidden"))
        made_now = sqlite3.connect(path)
        with closing(made_now), made_now:
            made_now.execute("UPDATE keys_state SET version = version + 1")
        owner.wait()
        assert not owner.told.wait(3 * POLL_SECONDS)
        hidden.rename(secret_path(path))
        owner.wait()
    assert len(owner.rings) == 1
    assert len(owner.notes) == 1
    assert "the last ones hold" in owner.notes[0]


def test_uses_are_written_between_the_writers_commits(
    path: Path, ledger: SqliteLedger, owner: Owner
) -> None:
    ann, bob = made(path, ANN), made(path)
    uses = [{ann.key_id: 70}, {ann.key_id: 50, bob.key_id: 9}, {}]
    timers: list[Callable[[], None]] = []

    class Timer:
        def cancel(self) -> None: ...

    def later(seconds: float, call: Callable[[], None]) -> Timer:
        timers.append(call)
        return Timer()

    use = KeyUse(lambda: uses.pop(0), ledger.maintain, later)
    use.start()
    timers.pop()()
    use.stop()
    ledger.maintain("after both", lambda connection: None, owner.done("written"))
    assert owner.wait("written") == [None]
    assert rows_in(path, "SELECT last_used_at FROM client_keys ORDER BY rowid") == [(70,), (9,)]
