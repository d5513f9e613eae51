"""Tells when a file has changed, also by a swapped link (SPEC §2.6). Reads no configuration."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

__all__ = ["FileWatch"]

_QUIET_MS = 100
"""A change is told when nothing more has happened for so long: editors write in several steps."""
_BUSY_MS = 400
"""The longest wait for that quiet: a ledger in the same directory is never quiet."""
_LOOK_MS = 1000
"""Without any word from the system the file is looked at all the same: network disks tell nothing."""
_STOP_SECONDS = 2.0

_Stamp = tuple[int, int, int, int] | None


class FileWatch:
    """Calls `changed` from its own thread whenever the file at `path` is another than before.

    The directory is watched, not the file: a replaced file has another inode, and Kubernetes swaps
    a link beside it. `start` takes the file as it is then.
    """

    def __init__(self, path: Path, changed: Callable[[], None]) -> None:
        self._path = path.absolute()
        self._changed = changed
        self._stopped = threading.Event()
        self._seen: _Stamp = None
        self._thread = threading.Thread(target=self._run, name="config-watch", daemon=True)

    def __repr__(self) -> str:
        return f"<FileWatch {self._path}>"

    def start(self) -> None:
        """Begin to watch."""
        self._seen = _stamp(self._path)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; blocks for the moment that the thread needs to notice."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._watch()
            except OSError:  # the directory is gone, or there is no watch to be had
                self._look()
                self._stopped.wait(_LOOK_MS / 1000)

    def _watch(self) -> None:
        """Watch until the file is in another directory."""
        from watchfiles import watch

        # It logs each stir: with the log in this same directory that line would be the next one.
        logging.getLogger("watchfiles").setLevel(logging.WARNING)
        folders = self._folders()
        stirrings = watch(
            *folders,
            watch_filter=None,
            debounce=_BUSY_MS,
            step=_QUIET_MS,
            stop_event=self._stopped,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
            recursive=False,
        )
        for _ in stirrings:
            if self._look() and self._folders() != folders:
                return

    def _folders(self) -> set[Path]:
        """Return where the file's name is, and where the file is that it leads to."""
        return {self._path.parent, Path(os.path.realpath(self._path)).parent}

    def _look(self) -> bool:
        """Tell, and return whether, the file is another than before."""
        now = _stamp(self._path)
        if now == self._seen:
            return False
        self._seen = now
        self._changed()
        return True


def _stamp(path: Path) -> _Stamp:
    """Return by what a changed file is known, links followed; None while there is none."""
    with suppress(OSError):
        found = path.stat()
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
    return None
