"""One gateway a ledger: an exclusive lock on a file beside it. Knows no database."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from streamgauge.ledger.base import LedgerLocked, LedgerOpenError, LedgerReadOnly
from streamgauge.ledger.presence import a_directory

__all__ = ["LedgerLock"]

_LOCK_BYTE = 1 << 20
"""Windows locks bytes and then lets nobody read them: this one lies behind the holder's name."""


class LedgerLock:
    """Holds `<ledger>.lock` from construction to `release`, or until the process ends in any way.

    The file stays when the lock is let go: removing it would let two holders lock two files.
    """

    def __init__(self, ledger: Path, *, owner: str) -> None:
        """Lock, or raise LedgerLocked (who holds it), LedgerReadOnly or LedgerOpenError."""
        # The real path: a second name for the same file must meet the same lock.
        real = ledger.resolve()
        if real.is_dir():
            raise a_directory(ledger)
        path = real.with_name(real.name + ".lock")
        self._fd = _open(path, ledger)
        try:
            _lock(self._fd)
        except OSError as error:
            holder = _holder(self._fd)
            os.close(self._fd)
            raise LedgerLocked(
                f"ledger {ledger} is in use by another gateway{holder}: "
                f"stop that one, or give this one another ledger (ledger.url, --ledger)"
            ) from error
        os.ftruncate(self._fd, 0)
        os.write(self._fd, json.dumps({"pid": os.getpid(), "owner": owner}).encode())

    def release(self) -> None:
        """Let the ledger go. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _open(path: Path, ledger: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except FileNotFoundError as error:
        raise LedgerOpenError(
            f"ledger {ledger}: there is no directory {path.parent}: make it first"
        ) from error
    except OSError as error:
        raise LedgerReadOnly(
            f"ledger {ledger}: cannot write in {path.parent} ({error.strerror}): "
            f"make the directory writable for this user, or set another ledger.url"
        ) from error


def _holder(fd: int) -> str:
    try:
        named = json.loads(os.read(fd, 4096))
        return f" (pid {named['pid']}, owner {named['owner']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # It has not written its name yet; the refusal stands without it.


if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int) -> None:
        os.lseek(fd, _LOCK_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(fd, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
