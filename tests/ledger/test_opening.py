"""What a ledger refuses to open, and what it says (F11, F13, F53)."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streamgauge.ledger.base import (
    LedgerCorrupt,
    LedgerForeign,
    LedgerLocked,
    LedgerOpenError,
)
from streamgauge.ledger.lock import LedgerLock
from streamgauge.ledger.reader import LedgerReader
from streamgauge.ledger.spool import spool_path
from streamgauge.ledger.sqlite import SqliteLedger

from .ledger_rig import Owner, a_record, an_attempt, rows_in
from .subprocesses import output_of, start

OPENING = """
for path in sys.argv[1:]:
    try:
        opened(path).stop(5)
        say("opened")
    except LedgerError as error:
        say(type(error).__name__, error)
"""
HOLDING = """
ledger = opened(sys.argv[1])
say("holds", os.getpid())
sys.stdin.read()
"""
# The superuser may write everywhere: rights are tried as somebody else.
AS_NOBODY = """
import urllib.parse  # pathlib needs it late, where nobody may read
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
"""


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that another user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="streamgauge-test-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.fault("F53")
def test_a_second_gateway_on_the_same_file_is_refused_and_told_who_holds_it(path: Path) -> None:
    with start(HOLDING, path) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        pid = holder.stdout.readline().split()[1]
        (line,) = output_of(OPENING, path)
        holder.stdin.close()
    assert line.startswith("LedgerLocked")
    assert f"pid {pid}, owner boot-{pid}" in line
    assert str(path) in line
    assert output_of(OPENING, path) == ["opened"]


def test_a_dead_holder_holds_nothing(path: Path) -> None:
    with start(HOLDING, path) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        holder.kill()
    assert output_of(OPENING, path) == ["opened"]


def test_a_second_ledger_in_the_same_process_is_refused_by_any_name(
    opened: Callable[..., SqliteLedger], path: Path, tmp_path: Path
) -> None:
    opened()
    link = tmp_path / "link.db"
    link.symlink_to(path)
    for name in (path, link, tmp_path / "." / path.name):
        with pytest.raises(LedgerLocked, match="in use by another gateway"):
            opened(path=name)


def test_a_ledger_that_another_makes_is_waited_for(
    opened: Callable[..., SqliteLedger], path: Path
) -> None:
    lock = LedgerLock(path, owner="keys")
    letting_go = threading.Timer(0.1, lock.release)
    letting_go.start()
    opened()
    letting_go.join()


def test_a_refused_start_lets_the_lock_go(opened: Callable[..., SqliteLedger], path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    for _ in range(2):
        with pytest.raises(LedgerCorrupt):
            opened()


@pytest.mark.fault("F11")
@pytest.mark.parametrize("mode", [0o444, 0o000])
def test_a_read_only_file_is_refused(public: Path, mode: int) -> None:
    path = public / "ledger.db"
    output_of(OPENING, path)
    public.chmod(0o777)
    path.with_name("ledger.db.lock").chmod(0o666)
    path.chmod(mode)
    before = path.read_bytes() if os.access(path, os.R_OK) else b""
    (line,) = output_of(AS_NOBODY + OPENING, path)
    assert line.startswith("LedgerReadOnly")
    assert "make the file writable" in line
    assert not before or path.read_bytes() == before


@pytest.mark.fault("F11")
def test_a_read_only_directory_is_refused(public: Path) -> None:
    public.chmod(0o555)
    (line,) = output_of(AS_NOBODY + OPENING, public / "ledger.db")
    assert line.startswith("LedgerReadOnly")
    assert "make the directory writable" in line


READING = """
from pathlib import Path
from streamgauge.ledger.following import FollowedFile
from streamgauge.ledger.maintenance import vacuum
from streamgauge.ledger.reader import Filter, LedgerReader

PATH = Path(sys.argv[1])

def ids(path):
    with LedgerReader(path) as reader:
        return [row["id"] for row in reader.newest(Filter())]

def told(call, path):
    try:
        say(call(path))
    except LedgerError as error:
        say(type(error).__name__, error)
"""
FILLING = """
ledger = opened(sys.argv[1])
ledger.begin(*rows("one"), lambda _: None)
ledger.stop(5)
"""


def test_a_ledger_in_a_directory_that_is_read_only_is_read(public: Path) -> None:
    path = public / "ledger.db"
    output_of(FILLING, path)
    public.chmod(0o555)
    link = public.with_name(public.name + ".link")
    link.symlink_to(path)
    look = "told(ids, PATH); told(lambda path: len(FollowedFile(path).look(5)), PATH)"
    try:
        assert output_of(READING + AS_NOBODY + look, path) == ["['one']", "1"]
        path.with_name("ledger.db-wal").write_bytes(b"rows of a gateway that was killed")
        for name in (path, link):
            lines = output_of(READING + AS_NOBODY + look, name)
            assert [line.split()[0] for line in lines] == ["LedgerUnreadable"] * 2
            assert "its newest rows are in its -wal" in lines[0]
    finally:
        link.unlink()


def test_who_follows_a_ledger_that_nobody_writes_sees_a_gateway_that_starts(public: Path) -> None:
    path = public / "ledger.db"
    output_of(FILLING, path)
    public.chmod(0o555)
    follow = """
followed = FollowedFile(PATH)
say([row["id"] for row in followed.look(5)])
sys.stdin.readline()
say([row["id"] for row in followed.look()])
say([row["id"] for row in followed.look()])
"""
    with start(READING + AS_NOBODY + follow, path) as reader:
        assert reader.stdout is not None
        assert reader.stdin is not None
        assert reader.stdout.readline() == "['one']\n"
        output_of(FILLING.replace("one", "two"), path)
        reader.stdin.write("\n")
        reader.stdin.flush()
        # The next start has closed the first one's row.
        assert sorted(eval(reader.stdout.readline())) == ["one", "two"]
        assert reader.stdout.readline() == "[]\n"


def test_a_ledger_that_this_user_may_not_read_is_told_as_such(public: Path) -> None:
    path = public / "ledger.db"
    output_of(FILLING, path)
    looks = """
for call in (ids, vacuum, lambda path: FollowedFile(path).look()):
    told(call, PATH)
"""
    for place, mode in ((path, 0o000), (public, 0o000)):
        place.chmod(mode)
        lines = output_of(READING + AS_NOBODY + looks, path)
        assert len(lines) == 3
        for line in lines:
            assert line.startswith("LedgerUnreadable"), line
            assert "permission denied" in line


def test_a_directory_that_is_not_there_is_named(
    opened: Callable[..., SqliteLedger], tmp_path: Path
) -> None:
    with pytest.raises(LedgerOpenError, match="there is no directory"):
        opened(path=tmp_path / "not" / "there.db")


def test_a_directory_is_no_ledger(opened: Callable[..., SqliteLedger], tmp_path: Path) -> None:
    with pytest.raises(LedgerOpenError, match="is a directory: name a file, such as "):
        opened(path=tmp_path)
    assert not tmp_path.with_name(tmp_path.name + ".lock").exists()


def filled(path: Path, opened: Callable[..., SqliteLedger], owner: Owner) -> None:
    ledger = opened()
    for i in range(300):
        ledger.begin(a_record(f"r{i:04}"), an_attempt(f"r{i:04}"), owner.done(f"r{i}"))
    owner.wait(*(f"r{i}" for i in range(300)))
    ledger.stop(5)


def spoil(path: Path, start: int, length: int) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(os.urandom(length))


@pytest.mark.fault("F13")
@pytest.mark.parametrize(("start", "length"), [(0, 100), (16, 40), (8192, 4096), (40_000, 30_000)])
def test_a_damaged_file_is_refused_with_a_hint_and_left_as_it_is(
    opened: Callable[..., SqliteLedger], owner: Owner, path: Path, start: int, length: int
) -> None:
    filled(path, opened, owner)
    spoil(path, start, length)
    before = path.read_bytes()
    with pytest.raises(LedgerCorrupt, match=re.escape(".recover")) as refusal:
        opened()
    assert str(path) in str(refusal.value)
    assert path.read_bytes() == before


@pytest.mark.fault("F13")
def test_a_cut_file_is_refused(
    opened: Callable[..., SqliteLedger], owner: Owner, path: Path
) -> None:
    filled(path, opened, owner)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(LedgerCorrupt):
        opened()


def test_an_empty_file_becomes_a_ledger(opened: Callable[..., SqliteLedger], path: Path) -> None:
    path.touch()
    opened()
    assert rows_in(path, "SELECT count(*) FROM requests") == [(0,)]


def test_another_programs_database_is_refused(
    opened: Callable[..., SqliteLedger], path: Path
) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")
    before = path.read_bytes()
    with pytest.raises(LedgerForeign, match="another program"):
        opened()
    with pytest.raises(LedgerForeign):
        LedgerReader(path)
    assert path.read_bytes() == before


def test_a_newer_ledger_is_refused(opened: Callable[..., SqliteLedger], path: Path) -> None:
    opened().stop(5)
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 99")
    with pytest.raises(LedgerForeign, match="newer streamgauge"):
        opened()


NO_ROOM = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
for size in (64, 64, 0):
    try:
        opened(sys.argv[1], spool_bytes=size << 20).stop(5)
        say("opened")
    except LedgerError as error:
        say(type(error).__name__, error)
"""


def test_a_disk_without_room_for_the_spool_is_refused_with_its_cure(path: Path) -> None:
    first, second, without = output_of(NO_ROOM, path)
    assert first == second
    assert first.startswith("LedgerOpenError no 64 MiB for ")
    assert "set a smaller ledger.spool_mb" in first
    assert without == "opened"
    assert not spool_path(path).exists()


def test_a_spool_that_may_not_be_written_is_refused(public: Path) -> None:
    path = public / "ledger.db"
    output_of(OPENING, path)
    public.chmod(0o777)
    for name in ("ledger.db", "ledger.db.lock"):
        (public / name).chmod(0o666)
    locked = "os.close(os.open(sys.argv[1] + '.spool', os.O_CREAT, 0o400))"
    spooling = OPENING.replace("opened(path)", "opened(path, spool_bytes=1 << 20)")
    first, line = output_of(OPENING + locked + AS_NOBODY + spooling, path)
    assert first == "opened"
    assert line.startswith("LedgerReadOnly")
    assert "make it writable" in line


def test_a_second_gateway_that_names_the_file_otherwise_is_refused(path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path.name)
    with start(HOLDING, path) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        pid = holder.stdout.readline().split()[1]
        lines = output_of(OPENING, path.name, link, "./" + link.name, cwd=path.parent)
        holder.stdin.close()
    assert len(lines) == 3
    assert all(line.startswith("LedgerLocked") and f"pid {pid}" in line for line in lines)


def test_the_hint_for_a_damaged_file_names_the_commands(
    opened: Callable[..., SqliteLedger], path: Path
) -> None:
    path.write_bytes(b"SQLite format 3\0" + os.urandom(8192))
    with pytest.raises(LedgerCorrupt) as refusal:
        opened()
    assert f"sqlite3 {path} .recover | sqlite3 recovered.db" in str(refusal.value)
    assert "move the file away" in str(refusal.value)
