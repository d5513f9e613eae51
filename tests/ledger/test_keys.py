"""The store of client keys: made, changed and seen while a gateway has the ledger."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from streamgauge.core.keys import Caller, KeyLimits, KeyRing
from streamgauge.core.pricing import Money
from streamgauge.ledger.base import LedgerForeign, LedgerLocked
from streamgauge.ledger.key_secret import KeySecretMissing, made_secret, read_secret, secret_path
from streamgauge.ledger.keys import KeyRefused, KeyStore, NewKey, RingReader, list_keys
from streamgauge.ledger.lock import LedgerLock
from streamgauge.ledger.schema import open_for_writing
from streamgauge.ledger.sqlite import SqliteLedger

from .ledger_rig import NOW

SCHEMA_1 = Path(__file__).parents[1] / "data" / "ledgers" / "schema_1.sql"
LIMITS = KeyLimits(3, 60, 10_000, Money(5 * 10**9, "USD"), Money(7, "USD"))
ANN = Caller("", "ann", ("qwen3-*", "gpt-5"), LIMITS)
BOB = Caller("", "bob")


@contextmanager
def store(path: Path, now: int = NOW) -> Iterator[KeyStore]:
    with KeyStore(path, lambda: now) as opened:
        yield opened


def made(path: Path, caller: Caller = BOB, expires_at: int | None = None) -> NewKey:
    with store(path) as keys:
        return keys.create(caller, expires_at)


def ring(path: Path) -> KeyRing:
    with closing(RingReader(path)) as reader:
        return reader.read()[1]


def why_refused(path: Path, text: str, now: int = NOW) -> str | None:
    found = ring(path).find(text.encode())
    return "unknown" if found is None else found[1].why_dead(now)


def test_a_key_is_found_again_with_its_label_globs_and_limits(path: Path) -> None:
    new = made(path, ANN, NOW + 5)
    found = ring(path).find(new.text.encode())
    assert found is not None
    caller, state = found
    assert caller == Caller(new.key_id, "ann", ("qwen3-*", "gpt-5"), LIMITS)
    assert (state.expires_at, state.revoked_at) == (NOW + 5, None)


def test_the_first_key_makes_ledger_and_secret_and_the_secret_is_the_owners_alone(
    path: Path,
) -> None:
    made(path)
    assert secret_path(path).stat().st_mode & 0o777 == 0o600
    assert len(read_secret(path)) == 32
    first = read_secret(path)
    made(path)
    assert read_secret(path) == first


def test_neither_file_holds_a_key_nor_the_database_the_secret(path: Path) -> None:
    keys = [made(path, ANN), made(path)]
    with store(path) as opened:
        keys.append(opened.rotate(keys[0].key_id, 60))
        files = {file.name: file.read_bytes() for file in path.parent.glob("ledger.db*")}
    assert {"ledger.db", "ledger.db-wal", "ledger.db.keys-secret"} <= files.keys()
    assert [key for key in keys if key.text.encode() in b"".join(files.values())] == []
    database = files["ledger.db"] + files["ledger.db-wal"]
    assert read_secret(path) not in database
    assert read_secret(path).hex().encode() not in database
    assert all(key.text not in repr(key) for key in keys)


def test_a_list_tells_everything_but_the_key(path: Path) -> None:
    new = made(path, ANN, NOW + 5)
    (row,) = list_keys(path)
    assert row.as_json(NOW) == {
        "id": new.key_id, "label": "ann", "shown": new.text[:10], "state": "active",
        "created_at": NOW, "last_used_at": None, "rotated_at": None, "expires_at": NOW + 5,
        "revoked_at": None, "models": ["qwen3-*", "gpt-5"], "max_streams": 3, "rpm": 60,
        "tpm": 10_000, "per_day": "5 USD", "per_month": "0.000000007 USD",
    }  # fmt: skip
    assert row.as_json(NOW + 5)["state"] == "expired"


def test_a_rotated_key_has_a_new_text_and_the_old_one_is_dead_at_once(path: Path) -> None:
    old = made(path, ANN)
    with store(path, NOW + 9) as keys:
        new = keys.rotate(old.key_id)
    assert (new.key_id, new.label) == (old.key_id, "ann")
    assert why_refused(path, old.text) == "unknown"
    assert why_refused(path, new.text) is None
    (row,) = list_keys(path)
    assert (row.shown, row.rotated_at) == (new.text[:10], NOW + 9)


def test_within_its_grace_the_old_text_opens_too_but_never_the_one_before(path: Path) -> None:
    first = made(path)
    with store(path) as keys:
        second = keys.rotate(first.key_id, 10)
        assert why_refused(path, first.text, NOW + 9_999_999) is None
        assert why_refused(path, first.text, NOW + 10_000_000) == "expired"
        third = keys.rotate(first.key_id, 10)
    assert why_refused(path, first.text) == "unknown"
    assert why_refused(path, second.text) is None
    assert why_refused(path, third.text) is None


def test_a_revoked_key_opens_nothing_and_is_never_brought_back(path: Path) -> None:
    new = made(path)
    with store(path, NOW + 1) as keys:
        keys.revoke(new.key_id)
        with pytest.raises(KeyRefused, match="revoked"):
            keys.rotate(new.key_id)
        with pytest.raises(KeyRefused, match="revoked"):
            keys.change(new.key_id, {"label": "x"})
    with store(path, NOW + 2) as keys:
        keys.revoke(new.key_id)
    assert why_refused(path, new.text, NOW + 1) == "revoked"
    assert list_keys(path)[0].key.state.revoked_at == NOW + 1


def test_revoking_ends_the_grace_of_the_text_before(path: Path) -> None:
    old = made(path)
    with store(path) as keys:
        keys.rotate(old.key_id, 3600)
        keys.revoke(old.key_id)
    assert why_refused(path, old.text, NOW + 1) == "revoked"


def test_a_change_touches_what_it_names_and_nothing_else(path: Path) -> None:
    new = made(path, ANN)
    before = list_keys(path)[0].as_json(NOW)
    with store(path) as keys:
        keys.change(new.key_id, {"rpm": None, "label": "anne"})
    assert list_keys(path)[0].as_json(NOW) == {**before, "rpm": None, "label": "anne"}
    assert why_refused(path, new.text) is None


def test_a_key_that_is_not_there_is_refused_by_name(path: Path) -> None:
    made(path)
    with store(path) as keys:
        for act in (keys.revoke, keys.rotate, lambda key_id: keys.change(key_id, {"rpm": 1})):
            with pytest.raises(KeyRefused, match="no key 'key_x'"):
                act("key_x")


def test_each_change_has_its_version_and_being_used_has_none(path: Path) -> None:
    new = made(path)
    with closing(RingReader(path)) as reader, store(path) as keys:
        versions = [reader.version()]
        for act in (
            lambda: keys.create(ANN),
            lambda: keys.rotate(new.key_id),
            lambda: keys.change(new.key_id, {"rpm": 1}),
            lambda: keys.revoke(new.key_id),
        ):
            act()
            versions.append(reader.version())
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE client_keys SET last_used_at = 1")
        assert reader.version() == versions[-1]
    assert len(set(versions)) == 5


def test_without_its_secret_no_key_is_known_and_none_is_made_silently(path: Path) -> None:
    made(path)
    secret_path(path).unlink()
    with pytest.raises(KeySecretMissing, match=r"keys-secret is missing.*backup"):
        ring(path)
    with store(path) as keys, pytest.raises(KeySecretMissing):
        keys.create(BOB)
    assert not secret_path(path).exists()


def test_the_secret_of_another_ledger_is_told_apart(path: Path) -> None:
    made(path)
    secret_path(path).write_text("ab" * 32)
    with pytest.raises(KeySecretMissing, match="not the one"):
        ring(path)
    with store(path) as keys, pytest.raises(KeySecretMissing, match="another"):
        keys.create(BOB)


@pytest.mark.parametrize("text", ["", "zz" * 32, "ab" * 31, "\xff"])
def test_a_file_that_is_no_secret_is_said_to_be_none(path: Path, text: str) -> None:
    made(path)
    secret_path(path).write_bytes(text.encode("latin-1"))
    with pytest.raises(KeySecretMissing, match="holds no secret"):
        ring(path)


def test_a_secret_that_cannot_be_made_is_a_refusal_like_any_other(path: Path) -> None:
    secret_path(path).symlink_to(path.with_name("not-mounted"))
    with pytest.raises(KeySecretMissing, match="cannot be made: it is a link"):
        made_secret(path)


def test_when_every_key_is_revoked_a_lost_secret_is_made_anew(path: Path) -> None:
    old = made(path)
    with store(path) as keys:
        keys.revoke(old.key_id)
        secret_path(path).unlink()
        assert ring(path).count == 1
        new = keys.create(BOB)
    assert why_refused(path, new.text) is None
    assert why_refused(path, old.text) == "unknown"


def test_many_at_once_make_one_secret(path: Path) -> None:
    made_by: list[bytes] = []
    threads = [threading.Thread(target=lambda: made_by.append(made_secret(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made_by) == 8
    assert len(set(made_by)) == 1


def test_keys_are_made_while_a_gateway_has_the_ledger(
    path: Path, opened: Callable[..., SqliteLedger]
) -> None:
    opened()
    new = made(path)
    assert why_refused(path, new.text) is None


def test_an_older_ledger_is_migrated_but_not_under_a_gateways_feet(path: Path) -> None:
    with closing(sqlite3.connect(path)) as old:
        old.executescript(SCHEMA_1.read_text())
    assert list_keys(path) == []
    lock = LedgerLock(path, owner="a gateway of the last release")
    try:
        with pytest.raises(LedgerLocked):
            made(path)
    finally:
        lock.release()
    assert why_refused(path, made(path).text) is None


def test_a_ledger_in_the_making_is_waited_for(path: Path) -> None:
    lock = LedgerLock(path, owner="a gateway that starts")
    sqlite3.connect(path, isolation_level=None).execute("PRAGMA journal_mode = WAL").close()
    found: list[NewKey] = []
    maker = threading.Thread(target=lambda: found.append(made(path)))
    try:
        maker.start()
        maker.join(0.1)
        assert maker.is_alive()
        open_for_writing(path).close()
        maker.join(10)
    finally:
        lock.release()
    assert why_refused(path, found[0].text) is None, "the one that makes it may keep it"


def test_another_programs_database_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(LedgerForeign):
        made(path)
    assert path.read_bytes() == before
