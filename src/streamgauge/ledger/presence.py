"""Is there a file that a ledger could be? Opens none."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from streamgauge.ledger.base import LedgerOpenError, LedgerUnreadable

__all__ = ["a_directory", "is_there"]


def is_there(path: Path) -> bool:
    """Return whether a file is at `path`.

    Raises LedgerUnreadable where this user may not look for it, or not read it; LedgerOpenError where it
    is a directory.
    """
    try:
        found = path.stat()
    except PermissionError as error:
        raise _unreadable(path) from error
    except OSError:
        return False
    if stat.S_ISDIR(found.st_mode):
        raise a_directory(path)
    if not stat.S_ISREG(found.st_mode):
        return False
    if not os.access(path, os.R_OK):
        raise _unreadable(path)
    return True


def a_directory(path: Path) -> LedgerOpenError:
    """Return the refusal of a directory."""
    return LedgerOpenError(
        f"ledger {path} is a directory: name a file, such as {path / 'streamgauge.db'}"
    )


def _unreadable(path: Path) -> LedgerUnreadable:
    return LedgerUnreadable(
        f"ledger {path} cannot be read (permission denied): ask as a user who may, "
        f"such as the one that the gateway runs as"
    )
