"""The folder of captures: private, bounded, and no way out of it (FAULTS S18)."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from streamgauge.gateway.capture.store import CaptureFolder, FolderRefused

NAME = "0123456789abcdef"
DAY = 86_400


def put(folder: Path, name: str, size: int, modified: float) -> None:
    file = folder / f"{name}.jsonl"
    file.write_bytes(b"x" * size)
    os.utime(file, (modified, modified))


def test_folder_and_file_are_nobody_elses(tmp_path: Path) -> None:
    where = tmp_path / "a" / "captures"
    old = os.umask(0)
    try:
        os.close(CaptureFolder(str(where), 1 << 20, 7).create(NAME))
    finally:
        os.umask(old)
    assert stat.S_IMODE(where.stat().st_mode) == 0o700
    assert stat.S_IMODE((where / f"{NAME}.jsonl").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_folder_open_to_others_is_refused_with_the_cure(mode: int, tmp_path: Path) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(FolderRefused, match="chmod 700"):
        CaptureFolder(str(tmp_path), 1 << 20, 7).check()


def test_a_link_to_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(FolderRefused):
        CaptureFolder(str(tmp_path / "link"), 1 << 20, 7).check()


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    where = tmp_path / "captures"
    where.mkdir(mode=0o700)
    (tmp_path / "victim").write_text("mine")
    (where / f"{NAME}.jsonl").symlink_to(tmp_path / "victim")
    folder = CaptureFolder(str(where), 1, 0)
    with pytest.raises(OSError, match="File exists"):
        folder.create(NAME)
    folder.prune(10.0**10)
    assert (tmp_path / "victim").read_text() == "mine"


@pytest.mark.parametrize("name", ["../../etc/passwd0000", "a/b" * 8, "", ".", "x" * 65, "a" * 15])
def test_only_our_ids_are_names(name: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(FolderRefused, match="no name"):
        CaptureFolder(str(tmp_path), 1 << 20, 7).create(name)
    assert list(tmp_path.iterdir()) == []


def test_the_oldest_go_first_and_what_is_being_written_stays(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    now = 1e9
    names = [f"capture-number-{n}" for n in range(5)]
    for n, name in enumerate(names):
        put(tmp_path, name, 300, now - 100 + n)
    (tmp_path / "notes.txt").write_text("not ours")
    folder = CaptureFolder(str(tmp_path), 1000, 7)
    assert folder.prune(now, keep={names[0]}) == 900
    left = {file.name for file in tmp_path.iterdir()}
    assert left == {"notes.txt", *(f"{names[n]}.jsonl" for n in (0, 3, 4))}


def test_what_is_too_old_goes_and_0_days_keep_all(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    put(tmp_path, "capture-that-is-old", 1, 1e9 - 8 * DAY)
    put(tmp_path, "capture-that-is-new", 1, 1e9 - 6 * DAY)
    assert CaptureFolder(str(tmp_path), 1000, 0).prune(1e9) == 2
    assert CaptureFolder(str(tmp_path), 1000, 7).prune(1e9) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["capture-that-is-new.jsonl"]


def test_who_deletes_at_the_same_time_makes_no_capture_fail(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    folder = CaptureFolder(str(tmp_path), 100, 0)
    for round_ in range(20):
        names = [f"{round_:08d}{number:08d}" for number in range(100)]
        for number, name in enumerate(names):
            put(tmp_path, name, 10, number)
        deleting = threading.Thread(target=lambda names=names: [*map(folder.delete, names)])
        deleting.start()
        folder.prune(0.0)
        deleting.join()
        assert not os.listdir(tmp_path)
