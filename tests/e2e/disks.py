"""Disks that fill up: a small file system where one may be mounted, else a limit on file sizes."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

__all__ = ["Disk", "small_disk"]


class Disk(Protocol):
    """A folder for a ledger, and the way to leave no space in it.

    `log_bytes`: how long the ledger's write-ahead log must be for that.
    """

    folder: Path
    log_bytes: int

    def fill(self, pid: int) -> None:
        """Leave no space for the process `pid`."""

    def free(self, pid: int) -> None:
        """Give the space back."""


class _Mounted:
    """A file system of its own. A file takes what is left."""

    log_bytes = 0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self, pid: int) -> None:
        with self._filler.open("wb", buffering=0) as file:
            for size in (64 << 10, 1):  # to the last byte
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def free(self, pid: int) -> None:
        self._filler.unlink()


class _Limited:
    """No file of the process may grow beyond its write-ahead log of now; the spool is shorter."""

    log_bytes = 1_200_000

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self, pid: int) -> None:
        size = max(os.stat(file).st_size for file in self.folder.glob("ledger.db*"))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, self._before[1]))

    def free(self, pid: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, self._before)


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Disk]:
    """Yield a disk of so many MB at `folder`; without the right to mount, a limited one."""
    folder.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if (
        os.getuid() == 0
        and mount
        and umount
        and subprocess.run([mount, *options], capture_output=True, check=False).returncode == 0
    ):
        try:
            yield _Mounted(folder)
        finally:
            subprocess.run([umount, "-l", str(folder)], check=True)
    else:
        yield _Limited(folder)
