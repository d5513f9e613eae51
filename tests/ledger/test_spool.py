"""The spool's file: what was appended is found again, what was torn is not, space is taken at once."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamgauge.ledger.spool import SpoolFile, SpoolForeign, holds_rows, spool_path

from .subprocesses import output_of

SIZE = 64 << 10
FRAMES = [b"one", b"two" * 50, b"\0" * 40, b"x"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db.spool"


@pytest.fixture
def spool(place: Path) -> Iterator[SpoolFile]:
    file = SpoolFile(place)
    file.allocate(SIZE)
    yield file
    file.close()


def held(place: Path) -> list[bytes]:
    """Return what the next start finds."""
    file = SpoolFile(place)
    frames, behind = file.frames(file.start, 10**6)
    assert behind == file.end
    file.close()
    return frames


def test_what_was_appended_is_found_again(spool: SpoolFile, place: Path) -> None:
    spool.append(FRAMES[:2])
    assert held(place) == FRAMES[:2]
    spool.append(FRAMES[2:])
    assert held(place) == FRAMES


def test_frames_are_read_a_few_at_a_time(spool: SpoolFile) -> None:
    spool.append(FRAMES)
    first, position = spool.frames(spool.start, 3)
    rest, behind = spool.frames(position, 3)
    assert (first + rest, behind) == (FRAMES, spool.end)


def test_a_spool_goes_on_where_it_was_left(spool: SpoolFile, place: Path) -> None:
    spool.append(FRAMES[:1])
    spool.close()
    again = SpoolFile(place)
    again.append(FRAMES[1:])
    again.close()
    assert held(place) == FRAMES


def test_a_tail_torn_at_any_byte_is_no_frame(spool: SpoolFile, place: Path) -> None:
    spool.append(FRAMES[:2])
    sound = spool.end
    spool.append(FRAMES[2:])
    whole = place.read_bytes()
    starts = [sound, sound + 8 + len(FRAMES[2])]
    for cut in range(sound, spool.end):
        place.write_bytes(whole[:cut].ljust(SIZE, b"\0"))
        lost = FRAMES[2] if cut < starts[1] else FRAMES[3]
        complete = 2 if cut < starts[1] else 3
        # Frames may end in zeros: a tail that misses only those is whole.
        found = held(place)
        assert found == FRAMES[: len(found)]
        assert len(found) == complete or not lost.strip(b"\0")


def test_a_changed_byte_ends_the_frames(spool: SpoolFile, place: Path) -> None:
    spool.append(FRAMES)
    whole = bytearray(place.read_bytes())
    dice = random.Random(1)
    for _ in range(200):
        at = dice.randrange(spool.start, spool.end)
        changed = bytearray(whole)
        changed[at] ^= 1 << dice.randrange(8)
        place.write_bytes(changed)
        found = held(place)
        assert len(found) < len(FRAMES)
        assert found == FRAMES[: len(found)]


def test_after_a_reset_nothing_of_before_is_found(spool: SpoolFile, place: Path) -> None:
    for _ in range(5):
        spool.append(FRAMES)
        spool.reset()
        assert held(place) == []
    # The first frame again, over its older self: what stood behind it belongs to another generation.
    spool.append(FRAMES[:1])
    assert held(place) == FRAMES[:1]


def test_a_reset_that_a_crash_tears_leaves_all_or_nothing(spool: SpoolFile, place: Path) -> None:
    spool.append(FRAMES)
    before = place.read_bytes()
    spool.reset()
    after = place.read_bytes()
    changed = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    assert changed
    for cut in range(changed[0], changed[-1] + 2):
        place.write_bytes(after[:cut] + before[cut:])
        assert held(place) in ([], FRAMES)
    for cut in range(changed[0], changed[-1] + 2):
        place.write_bytes(before[:cut] + after[cut:])
        assert held(place) in ([], FRAMES)


def test_a_frame_that_the_next_append_replaced_is_not_found(spool: SpoolFile, place: Path) -> None:
    """A write whose sync failed may be on the disk; what is then written over it is what counts."""
    spool.append(FRAMES[:1])
    end, checksum = spool._end, spool._checksum
    spool.append([b"aaaa", b"stale"])
    spool._end, spool._checksum = end, checksum
    spool.append([b"bbbb"])
    assert held(place) == [FRAMES[0], b"bbbb"]


def test_its_space_is_taken_when_it_is_made(spool: SpoolFile, place: Path) -> None:
    assert place.stat().st_size == SIZE
    assert place.stat().st_blocks * 512 >= SIZE
    assert place.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("size", [SIZE // 2, SIZE * 2])
def test_another_size_is_taken_at_the_next_start(spool: SpoolFile, place: Path, size: int) -> None:
    spool.append(FRAMES)
    spool.reset()
    spool.allocate(size)
    assert place.stat().st_size == size
    assert held(place) == []
    spool.append(FRAMES)
    assert held(place) == FRAMES


def test_more_than_there_is_room_for_is_refused_and_harms_nothing(
    spool: SpoolFile, place: Path
) -> None:
    spool.append(FRAMES)
    with pytest.raises(OSError, match="full") as refusal:
        spool.append([b"x" * SIZE])
    assert refusal.value.errno == errno.ENOSPC
    assert held(place) == FRAMES
    assert place.stat().st_size == SIZE


@pytest.mark.parametrize("content", [b"notes\n", b"n" * 9000])
def test_a_file_of_another_kind_is_left_alone(place: Path, content: bytes) -> None:
    place.write_bytes(content)
    with pytest.raises(SpoolForeign):
        SpoolFile(place)
    assert place.read_bytes() == content


def test_each_name_of_a_ledger_means_one_spool(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    ledger.touch()
    (tmp_path / "link.db").symlink_to(ledger)
    names = [
        ledger,
        tmp_path / "link.db",
        tmp_path / "." / "ledger.db",
        Path(os.path.relpath(ledger)),
    ]
    assert {spool_path(name) for name in names} == {tmp_path.resolve() / "ledger.db.spool"}


NO_SPACE = """
import resource, signal
from streamgauge.ledger.spool import SpoolFile
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
file = SpoolFile(Path(sys.argv[1]))
try:
    file.allocate(4 << 20)
except OSError as error:
    say(error.errno, file.size)
file.allocate(1 << 19)
say(file.size)
"""


def test_space_that_is_not_there_leaves_the_file_as_it_was(place: Path) -> None:
    refused, taken = output_of(NO_SPACE, place)
    assert refused == f"{errno.EFBIG} 0"
    assert taken == str(1 << 19)


def test_whether_a_ledger_has_rows_in_its_spool_is_seen_without_touching_it(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    assert not holds_rows(ledger)
    assert not spool_path(ledger).exists()
    spool = SpoolFile(spool_path(ledger))
    spool.allocate(SIZE)
    assert not holds_rows(ledger)
    spool.append(FRAMES)
    before = spool_path(ledger).read_bytes()
    assert holds_rows(ledger)
    assert spool_path(ledger).read_bytes() == before
    spool.close()
    spool_path(ledger).write_bytes(b"my notes")
    assert not holds_rows(ledger)
