"""Tells when a file has changed, also by a swapped link (SPEC §2.6). Reads no configuration."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

__all__ = ["FileWatch", "Stamp", "stamp_of"]

_LOOK_SECONDS = 0.5
"""How often the file is looked at: one system call. To be told by the system instead was measured
at 3 % of a short request's cost where the ledger, which is never quiet, is in the same directory."""
_QUIET_SECONDS = 0.1
"""A change is told when the file has been the same for so long: editors write in several steps."""
_QUIET_LOOKS = 20
"""A file that never rests is told all the same, after two seconds."""
_STOP_SECONDS = 2.0

Stamp = tuple[int, int, int, int] | None
"""By what a changed file is known: device, inode, size and time; None while there is none."""


class FileWatch:
    """Calls `changed` from its own thread whenever the file at `path` is another than before.

    Links are followed at each look: a replaced file has another inode, and Kubernetes swaps a link
    beside it.
    """

    def __init__(self, path: Path, changed: Callable[[], None]) -> None:
        self._path = path.absolute()
        self._changed = changed
        self._stopped = threading.Event()
        self._seen: Stamp = None
        self._thread = threading.Thread(target=self._run, name="config-watch", daemon=True)

    def __repr__(self) -> str:
        return f"<FileWatch {self._path}>"

    def start(self, read: Stamp = None) -> None:
        """Begin to watch. `read`: the file as it was taken in, if that is not how it is now."""
        self._seen = read or stamp_of(self._path)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; blocks for the moment that the thread needs to notice."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopped.wait(_LOOK_SECONDS):
            if stamp_of(self._path) != self._seen and self._rested():
                self._changed()

    def _rested(self) -> bool:
        """Wait until the file rests; return whether it is then another than before."""
        before, now = self._seen, stamp_of(self._path)
        for _ in range(_QUIET_LOOKS):
            if self._stopped.wait(_QUIET_SECONDS):
                return False
            last, now = now, stamp_of(self._path)
            if now == last:
                break
        self._seen = now
        return now != before


def stamp_of(path: Path) -> Stamp:
    """Return the stamp of the file at `path`, links followed."""
    with suppress(OSError):
        found = path.stat()
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
    return None
