"""The folder of captures: private, bounded in size and age, never left by a link (FAULTS S18)."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO

from streamgauge.gateway.capture.format import SUFFIX

__all__ = ["CaptureFolder", "FolderRefused"]

_OURS = re.compile(r"[A-Za-z0-9_-]{16,64}" + re.escape(SUFFIX))
_DAY = 86_400.0


class FolderRefused(Exception):
    """The folder cannot be used. The message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class CaptureFolder:
    """Where captures lie. Files are reached through the folder's descriptor, never by a path."""

    path: str
    max_bytes: int
    days: float

    def create(self, exchange_id: str) -> int:
        """Return the descriptor of a new, empty file of that exchange. Raises FolderRefused, OSError."""
        name = exchange_id + SUFFIX
        if _OURS.fullmatch(name) is None:
            raise FolderRefused("the id of the exchange is no name of a file")
        with self._opened() as folder:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            return os.open(name, flags, 0o600, dir_fd=folder)

    def prune(self, now: float, keep: Collection[str] = ()) -> int:
        """Delete what is too old, then the oldest until the rest fits; return the bytes that stay.

        `now`: seconds since the epoch. `keep`: ids of exchanges whose files are being written.
        """
        with self._opened() as folder:
            found = sorted(_captures(folder))
            total = sum(size for _, _, size in found)
            for modified, name, size in found:
                expired = bool(self.days) and modified < now - self.days * _DAY
                if name.removesuffix(SUFFIX) in keep or not (expired or total > self.max_bytes):
                    continue
                with suppress(FileNotFoundError):  # deleted meanwhile, by an admin
                    os.unlink(name, dir_fd=folder)
                total -= size
            return total

    def listed(self) -> list[tuple[float, str, int]]:
        """Return time of change (seconds, epoch), id and size of each capture, the newest first."""
        with self._opened() as folder:
            found = sorted(_captures(folder), reverse=True)
        return [(at, name.removesuffix(SUFFIX), size) for at, name, size in found]

    def open(self, exchange_id: str) -> BinaryIO | None:
        """Return a capture, open to be read, or None where there is none. Raises FolderRefused."""
        name = exchange_id + SUFFIX
        if _OURS.fullmatch(name) is None:
            return None
        with self._opened() as folder:
            try:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                found = os.open(name, flags, dir_fd=folder)
            except OSError:
                return None
        if not stat.S_ISREG(os.fstat(found).st_mode):
            os.close(found)
            return None
        return os.fdopen(found, "rb")

    def delete(self, exchange_id: str) -> bool:
        """Delete a capture; return whether it was there. Raises FolderRefused."""
        name = exchange_id + SUFFIX
        if _OURS.fullmatch(name) is None:
            return False
        with self._opened() as folder:
            try:
                os.unlink(name, dir_fd=folder)
            except OSError:
                return False
        return True

    def check(self) -> None:
        """Make the folder where it is missing. Raises FolderRefused."""
        with self._opened():
            pass

    @contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            os.makedirs(self.path, 0o700, exist_ok=True)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            folder = os.open(self.path, flags)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise FolderRefused(f"capture.dir cannot be used: {reason}") from error
        try:
            _check_private(os.fstat(folder))
            yield folder
        finally:
            os.close(folder)


def _check_private(found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise FolderRefused("capture.dir belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise FolderRefused("capture.dir is open to other users: chmod 700 it")


def _captures(folder: int) -> Iterator[tuple[float, str, int]]:
    """Yield time of change, name and size of every file of ours; what else lies there is not ours."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if _OURS.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # deleted since it was listed
                    continue
                yield found.st_mtime, entry.name, found.st_size
